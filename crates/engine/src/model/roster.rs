//! What is true of each server and fleet at one instant, derived anew at every tick from EC2, the
//! balancers, the health checks and the journal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::balancer::{Balancer, Membership};
use super::busy::Elsewhere;
use super::capacity::{Capacity, count};
use super::fault::Fault;
use super::fleet::FleetName;
use super::instance::{Instance, InstanceId, Lifecycle};
use super::launch::Token;
use super::ledger::{FleetMemory, Override};
pub use super::offering::BackoffScope;
pub use super::offering::QuotaFamily;
pub use super::offering::{Backoff, TrackRecord};
pub use super::offering::{Breaker, Failures, OfferingView};
pub use super::phase::{Block, Phase};
use super::rate::{Rate, RateLimit};
use super::reading::Recent;
use super::retirement::Retirement;
use super::server::{ServerName, ServerRecord};
use super::sight::{Blind, Doubt};
use super::time::{Clocks, Timestamp};

#[derive(Debug, Clone)]
pub struct Roster {
    pub now: Timestamp,
    /// The fleets of the policy. Boxed, as a map has room for eleven of its values from the first on.
    pub fleets: BTreeMap<FleetName, Box<FleetView>>,
    /// Fleets that have servers and are not in the policy: watched and reported, never changed but
    /// by `tidegate retire`.
    pub unmanaged: BTreeMap<FleetName, Box<FleetView>>,
    /// Instances that carry our tag and cannot be proven ours.
    pub strangers: BTreeMap<InstanceId, Stranger>,
    /// Why nothing may be changed anywhere: EC2 could not be listed, or the list is implausible.
    pub blind: Option<Blind>,
    /// Why nobody may be ended anywhere, while servers may be launched.
    pub doubt: Option<Doubt>,
    /// By how much this host's clock is ahead of EC2's, if EC2 has said what time it is.
    pub clock_ahead: Option<SignedDuration>,
    /// More than half of all servers that are checked look sick, in more than one fleet: rather the
    /// network of this host is.
    pub mostly_sick: Option<(Capacity, Capacity)>,
    pub leftovers: Vec<Leftover>,
    /// Servers launched within the window of `limits.launch` by EC2's clock, oldest first; those that EC2
    /// refused are none.
    pub recent_launches: Vec<Timestamp>,
    /// Servers retired within the window of `limits.terminate` by EC2's clock, oldest first.
    pub recent_retirements: Vec<Timestamp>,
}

impl Roster {
    pub fn clocks(&self) -> Clocks {
        Clocks::new(self.now, self.clock_ahead)
    }

    /// Returns what `limits.terminate` still lets through, in all fleets together.
    pub fn terminations(&self, rate: Option<Rate>) -> RateLimit {
        RateLimit::new(rate, &self.recent_retirements, self.clocks())
    }
}

/// A gone instance that has yet to leave its balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub fleet: FleetName,
    pub balancer: Balancer,
    pub instance: InstanceId,
    pub token: Token,
}

/// Why an instance with our tag is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stranger {
    /// The client token is not one of this install: somebody tagged it by hand, or copied tags.
    NoToken,
    /// Launched by this install, but the tag that names its fleet is gone.
    NoFleet,
    /// A server of a fleet that has lost the tag that says so.
    Untagged,
    /// EC2 gave the same client token to two instances; the other one is in the books.
    SameToken,
    /// An Auto Scaling group owns it.
    AutoScalingGroup,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => {
                "it carries our tag, but was not launched by this install; `tidegate adopt` hands it over"
            }
            Self::Untagged => {
                "it is a server of ours that has lost its tag tidegate:install: put the tag back, or nothing can be done to it"
            }
            Self::SameToken => "its client token is that of another server of ours",
            Self::NoFleet => "its tag tidegate:fleet is gone",
            Self::AutoScalingGroup => "an Auto Scaling group owns it",
        })
    }
}

#[derive(Debug, Clone)]
pub struct FleetView {
    pub name: FleetName,
    /// Every server that is not proven gone, oldest first.
    pub servers: Vec<Server>,
    pub memory: FleetMemory,
    /// Jobs that run on servers that are not known, by the last reading.
    pub elsewhere: Option<Elsewhere>,
    /// That of the roster.
    pub doubt: Option<Doubt>,
    /// The balancer's state as a whole.
    pub balancer: BalancerView,
    pub hold: Option<Override>,
    pub pause: Option<Override>,
    /// Servers wanted on top of the rules, by hand.
    pub extra: Option<Override>,
    pub retire: Option<Override>,
    /// The policy has been edited since the last decision, which was for so many, and nobody has
    /// approved of it.
    pub edited_from: Option<Capacity>,
    /// A fleet that has left the policy, and how many servers of it run: this one looks like it, has
    /// none of its own and was never decided for, so that it is rather the same under a new name.
    /// Nobody has approved of it as a new one.
    pub renamed_from: Option<(FleetName, Capacity)>,
    pub breaker: Breaker,
    /// What launches may be made from, in the policy's order: by type, then by subnet.
    pub offerings: Vec<OfferingView>,
    /// Refusals for want of capacity, addresses or quota that are still respected.
    pub backoffs: Vec<Backoff>,
    /// No launch has succeeded of late, and some have failed.
    pub failing: Option<Failing>,
    /// Members of its balancer that are servers of no fleet: what ran before, or what a person put
    /// there. They are told, and never counted or touched.
    pub others: Vec<InstanceId>,
}

/// Launches that fail: what happened last, and until when that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub why: String,
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BalancerView {
    /// The fleet has none.
    None,
    Readable(Balancer),
    /// It does not exist, by its own service's word.
    Missing(Balancer, Fault),
    /// It could not be asked.
    Unreadable(Balancer, Fault),
}

/// A server: its record, what EC2 and the balancer say of it, and what follows.
#[derive(Debug, Clone)]
pub struct Server {
    pub record: Arc<ServerRecord>,
    pub instance: Option<Instance>,
    pub phase: Phase,
    /// `None`: not a member, no balancer, or it could not be asked (see [`BalancerView`]).
    pub membership: Option<Membership>,
    /// Why its last health check failed, if it did.
    pub ailing: Option<String>,
    /// It passed its last health check.
    pub well: bool,
    /// How its health checks went of late.
    pub checks: Recent,
    /// By EC2's launch time; `None` when that is not known.
    pub uptime: Option<Duration>,
    /// The end of the hour that is paid already, where hours are billed.
    pub paid_until: Option<Timestamp>,
    /// Whether that hour lasts so long that no retirement would begin yet. A draining server with such
    /// an hour began its drain in an earlier one, and its jobs took longer than that lasted.
    pub hour_to_spare: bool,
    /// Jobs that it runs, by the last reading; `None`: not told.
    pub busy: Option<u32>,
    /// Who protects it, a person or a tag, whatever its phase.
    pub kept: Option<Block>,
    /// Why it cannot be told to finish its jobs, where its fleet drains.
    pub undrainable: Option<&'static str>,
    /// An operator's order to terminate it, not carried out yet.
    pub ordered: Option<Override>,
    /// Whether scale-in may take it now.
    pub release: Result<(), Block>,
}

impl Server {
    /// Serving, or on its way to: what desired capacity is compared with.
    pub fn is_capacity(&self) -> bool {
        match self.phase {
            Phase::Launching
            | Phase::Booting
            | Phase::Registering
            | Phase::InService
            | Phase::Disputed
            | Phase::Unclear
            | Phase::Resuming => true,
            Phase::Overdue
            | Phase::Sick { .. }
            | Phase::Draining
            | Phase::Terminating
            | Phase::Stopped => false,
        }
    }

    /// Holding EC2 capacity, or perhaps holding it: what `max` and `limits` count.
    pub fn is_alive(&self) -> bool {
        match (&self.phase, &self.instance) {
            (Phase::Stopped, _) => false,
            (_, Some(instance)) => instance.lifecycle.is_alive(),
            (_, None) => true,
        }
    }

    pub fn id(&self) -> Option<&InstanceId> {
        self.record.instance()
    }

    /// It has served, somebody keeps it, and it is in its balancer no more: whoever keeps it took it
    /// out, and looks at it.
    pub fn is_kept_out(&self) -> bool {
        let served = self.record.in_service_at.is_some();
        let out = self.phase == Phase::Registering && self.membership.is_none();
        // Not by us, after it was stopped.
        served && out && self.kept.is_some() && self.record.cleared_at.is_none()
    }

    /// It was stopped, and its balancer still lists it and finds it dead: while it is stopped, or once it
    /// runs, is healthy and can be put in again; that once for each start.
    pub(crate) fn is_out_since_its_stop(&self) -> bool {
        let record = &self.record;
        // A list that is old may have had it put in while it was stopped.
        let again = record.restarted_at.is_some() && record.cleared_at < record.restarted_at;
        let back = again && self.is_healthy_and_found_dead();
        self.is_found_dead() && (back || self.phase == Phase::Stopped)
    }

    /// Returns whether the server may have been stopped and started before it was found: it passes its
    /// check, its load balancer finds it dead, and it has not been in service or registered anew since.
    pub(crate) fn may_be_out_since_a_stop(&self) -> bool {
        let record = &self.record;
        let unwatched = record.request.is_none() && record.in_service_at.is_none();
        unwatched && record.cleared_at.is_none() && self.is_healthy_and_found_dead()
    }

    fn is_healthy_and_found_dead(&self) -> bool {
        let healthy = self.record.healthy_at.is_some() && self.record.sick_since.is_none();
        healthy && self.is_found_dead()
    }

    fn is_found_dead(&self) -> bool {
        let dead = matches!(self.membership, Some(Membership::OutOfService(_)));
        dead && self.record.retirement.is_none()
    }

    /// Draining for no other reason than scale-in: it can be taken back.
    pub(crate) fn may_be_reclaimed(&self) -> bool {
        let running = self.instance.as_ref().is_some_and(|i| i.lifecycle == Lifecycle::Running);
        let scale_in = self.record.retirement.as_ref().is_some_and(|r| r.why.may_be_reclaimed());
        let open = self.record.retirement.as_ref().is_some_and(Retirement::can_be_cancelled);
        let drains = self.phase == Phase::Draining && running && self.record.sick_since.is_none();
        drains && scale_in && open
    }

    /// Returns whether an operator's order retires the server next. A kept server stays. So does a
    /// server that EC2 does not show, because its tags are unknown, and one that cannot be drained.
    pub(crate) fn is_ordered_out(&self) -> bool {
        let stays = self.record.retirement.is_none() && self.phase != Phase::Terminating;
        let drains = |order: &Override| order.at_once || self.undrainable.is_none();
        let ordered = self.ordered.as_ref().is_some_and(drains);
        ordered && stays && self.kept.is_none() && self.instance.is_some()
    }

    /// Orders servers by their launches: the newest is the greatest.
    fn age(&self) -> (Option<Timestamp>, &Token) {
        (self.record.launched_at, &self.record.token)
    }

    /// Returns its Availability Zone, or its subnet where EC2 does not name the zone; empty where EC2
    /// names neither.
    fn zone(&self) -> &str {
        let zone = self.instance.as_ref().and_then(|i| i.zone.as_deref().or(i.subnet.as_deref()));
        zone.unwrap_or_default()
    }

    pub fn name(&self) -> ServerName {
        self.record.name()
    }
}

impl FleetView {
    /// Returns the server with this token.
    pub fn server(&self, token: &Token) -> Option<&Server> {
        self.servers.iter().find(|server| server.record.token == *token)
    }

    pub fn capacity(&self) -> Capacity {
        count(self.servers.iter().filter(|server| server.is_capacity()))
    }

    pub fn alive(&self) -> Capacity {
        count(self.servers.iter().filter(|server| server.is_alive()))
    }

    pub fn in_service(&self) -> Capacity {
        count(self.servers.iter().filter(|server| server.phase == Phase::InService))
    }

    /// Those in service that passed their last health check: one that has just failed may be about to
    /// fall sick with the others.
    pub(crate) fn well_in_service(&self) -> Capacity {
        let well = |server: &&Server| server.phase == Phase::InService && server.well;
        count(self.servers.iter().filter(well))
    }

    /// How many looked sick when they were last seen, of those that are to stay and can be told. One
    /// that is missing from EC2's list just now is no less sick for it, nor one that fell sick before it
    /// ever served; but one that is not sick speaks for the network of this host only if it has served,
    /// has just been asked, and was well.
    pub(crate) fn sick_of(&self) -> (Capacity, Capacity) {
        // One that a person ended may take hours to shut down, and is no healthy peer meanwhile.
        let leaves = |server: &Server| {
            server.record.retirement.is_some()
                || matches!(server.phase, Phase::Terminating | Phase::Stopped)
        };
        // One that was found, or handed over, may have served before.
        let served = |server: &Server| {
            server.record.in_service_at.is_some() || server.record.request.is_none()
        };
        let sick = |server: &Server| server.record.sick_since.is_some();
        let told = |server: &Server| sick(server) || (served(server) && server.well);
        let stays = |server: &&Server| !leaves(server) && told(server);
        let of: Vec<&Server> = self.servers.iter().filter(stays).collect();
        (count(of.iter().filter(|server| sick(server))), count(&of))
    }

    /// Returns the servers whose drain can be cancelled. The order is that of cancelling: by the end of
    /// the paid hour, latest first, then by the start of the drain, latest first.
    pub fn cancellable(&self) -> Vec<&Server> {
        let mut draining: Vec<&Server> =
            self.servers.iter().filter(|server| server.may_be_reclaimed()).collect();
        draining.sort_by_key(|server| {
            let begun_at = server.record.retirement.as_ref().map(|retirement| retirement.begun_at);
            Reverse((server.paid_until, begun_at, &server.record.token))
        });
        draining
    }

    /// Returns the servers that scale-in may take now, in the order in which it takes them: those that
    /// do not serve yet, then those with the fewest jobs where the queue says, then one from the zone
    /// with the most servers that stay, then the newest.
    pub fn eligible(&self) -> Vec<&Server> {
        let mut staying = ByZone::<Capacity>::new();
        for server in self.servers.iter().filter(|server| server.is_capacity()) {
            let in_zone = staying.entry(server.zone()).or_default();
            *in_zone = in_zone.saturating_add(1);
        }
        // By class, and in each class by zone; of each zone the newest is last.
        let mut classes: BTreeMap<_, ByZone<'_, Vec<&Server>>> = BTreeMap::new();
        for server in self.servers.iter().filter(|server| server.release.is_ok()) {
            let class = (server.phase == Phase::InService, server.busy);
            let zones = classes.entry(class).or_default();
            zones.entry(server.zone()).or_default().push(server);
        }
        let mut eligible = Vec::new();
        for mut zones in classes.into_values() {
            for servers in zones.values_mut() {
                servers.sort_by(|a, b| a.age().cmp(&b.age()));
            }
            while let Some(zone) = most_crowded(&zones, &staying) {
                eligible.extend(zones.get_mut(zone).and_then(Vec::pop));
                let left: &mut Capacity = staying.entry(zone).or_default();
                *left = left.saturating_sub(1);
            }
        }
        eligible
    }
}

type ByZone<'a, T> = BTreeMap<&'a str, T>;

/// Returns the zone that has the most servers that stay, and of several the one with the newest server
/// to take.
fn most_crowded<'a>(
    zones: &ByZone<'a, Vec<&'a Server>>,
    staying: &ByZone<'a, Capacity>,
) -> Option<&'a str> {
    let newest = zones.iter().filter_map(|(zone, servers)| {
        Some(((staying.get(zone).copied(), servers.last()?.age()), *zone))
    });
    newest.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, zone)| zone)
}
