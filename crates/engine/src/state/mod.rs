//! What is true now: policy, journal and observation in, [`Roster`] out. Pure. Two steps: [`note()`]
//! turns what was seen into durable facts, [`derive()`] says where each server stands.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

mod adopt;
mod backoffs;
mod breaker;
mod drain;
mod length;
mod limits;
mod note;
mod offerings;
mod phase;
mod release;
mod renamed;
mod teach;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use crate::model::balancer::{Balancer, Membership};
use crate::model::busy::{Busy, Names};
use crate::model::capacity::{Capacity, half_floor};
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId};
use crate::model::launch::Token;
use crate::model::ledger::{FleetMemory, Ledger, OverrideKey};
use crate::model::observation::{Gap, Observation};
use crate::model::reading::Work;
use crate::model::retirement::Retirement;
use crate::model::roster::{
    Backoff, BackoffScope, BalancerView, FleetView, Leftover, Roster, Server, Stranger,
};
use crate::model::server::{GoneHow, ServerRecord};
use crate::model::servers::{self, OfFleet};
use crate::model::sight::{Blind, Doubt};
use crate::model::time::{self, Timestamp};
use crate::policy::{FleetPolicy, Policy, QueuePolicy};

use self::adopt::handed_over_to;
pub use self::adopt::{Handover, adopt};
pub use self::limits::{launch_limit, termination_limit};
pub use self::note::note;
pub use self::offerings::failures;
use self::phase::Standing;
use self::release::Looks;
use self::renamed::renamed_from;

/// How long an instance may be missing from EC2's list before it counts as gone. AWS says up to
/// five minutes for a new one; three times that, since replacing one too late is the lesser harm.
const VANISHED_AFTER: Duration = Duration::from_mins(15);

/// AWS refuses signatures that are five minutes off: nothing can be done then, and before, the hour of
/// every schedule is right enough.
const CLOCK_WRONG: Duration = Duration::from_mins(5);

/// Where everything stands, from a ledger that has taken in what [`note()`] found.
pub fn derive(policy: &Policy, ledger: &Ledger, seen: &Observation) -> Roster {
    let blind = blindness(ledger, seen);
    let doubt = doubt(ledger, seen);
    let quotas = backoffs::quotas(ledger, seen.now);
    let unanswered = breaker::unanswered(ledger);
    let desk = Desk { policy, ledger, seen, quotas, unanswered, doubt: doubt.as_ref() };
    let mut fleets = BTreeMap::new();
    let mut leftovers = Vec::new();
    for (name, fleet) in &policy.fleets {
        let records = ledger.servers.of_fleet(name).unwrap_or(&servers::NONE);
        let view = desk.view(Some(fleet), name, records);
        leftovers.extend(left_in_balancer(&view, records, seen));
        fleets.insert(name.clone(), view);
    }
    let mut unmanaged = BTreeMap::new();
    for (name, records) in ledger.servers.by_fleet() {
        if !policy.fleets.contains_key(name) && records.has_open() {
            unmanaged.insert(name.clone(), desk.view(None, name, records));
        }
    }
    for (name, view) in &mut fleets {
        let fleet = policy.fleets.get(name);
        view.renamed_from =
            fleet.and_then(|fleet| renamed_from(fleet, view, &unmanaged, ledger, seen.now));
    }
    Roster {
        now: seen.now,
        mostly_sick: sick_everywhere(&fleets),
        strangers: strangers(policy, ledger, seen),
        leftovers,
        recent_launches: limits::launches(policy, ledger, seen.clocks()),
        recent_retirements: limits::terminations(policy, ledger, seen.clocks()),
        blind,
        doubt,
        clock_ahead: seen.clock_ahead,
        fleets,
        unmanaged,
    }
}

/// What every fleet's view is drawn from.
struct Desk<'a> {
    policy: &'a Policy,
    ledger: &'a Ledger,
    seen: &'a Observation,
    quotas: Vec<backoffs::Reached<'a>>,
    doubt: Option<&'a Doubt>,
    /// The latest launch that was asked for in vain.
    unanswered: Option<breaker::Failed<'a>>,
}

impl Desk<'_> {
    fn view(
        &self,
        fleet: Option<&FleetPolicy>,
        name: &FleetName,
        records: &OfFleet,
    ) -> Box<FleetView> {
        let now = self.seen.now;
        let memory = self.ledger.fleets.get(name).cloned().unwrap_or_default();
        let balancer = balancer_view(fleet, &memory, records.has_open(), self.seen);
        let queue = fleet.and_then(|fleet| fleet.queue.as_ref());
        let may_tell = queue.is_some_and(QueuePolicy::may_tell_who_is_busy);
        let fresh = memory.last_reading().is_some_and(|last| last.at == now && last.depth.is_ok());
        let last = memory.last_reading().and_then(|last| last.depth.as_ref().ok());
        let busy = last.and_then(|depth| placed(self.ledger, self.seen, name, &depth.work));
        let standing = Standing {
            looks: Looks::of(fleet, self.policy.tick),
            drains: &memory.drains,
            drain_lead: self.drain_lead(&memory),
            busy: busy.as_ref(),
            asked: fresh || !may_tell,
            fleet,
            balancer: &balancer,
            ledger: self.ledger,
            seen: self.seen,
        };
        let mut servers: Vec<Server> =
            records.open_shared().map(|record| standing.server(record)).collect();
        servers.sort_by_cached_key(|server| {
            let started = server.record.launched_at.unwrap_or(server.record.planned_at);
            (started, server.record.token.clone())
        });
        let ordered = &self.ledger.overrides;
        let active = |key: fn(FleetName) -> OverrideKey| {
            // Hardly ever is anything ordered, and a key is not made for nothing.
            let entry = (!ordered.is_empty()).then(|| ordered.get(&key(name.clone())))?;
            entry.filter(|entry| entry.until > now).cloned()
        };
        let launch = fleet.map(|fleet| &fleet.launch);
        let mut backoffs = backoffs::of_fleet(records, now);
        backoffs
            .extend(launch.into_iter().flat_map(|l| backoffs::that_bind(&self.quotas, &l.image)));
        backoffs.extend(self.seen.gap.iter().flat_map(|gap| self.silent(gap)));
        let history = launch.map(|launch| {
            let settings = memory.settings.as_ref();
            let launches = offerings::Launches { settings, records, servers: &servers, now };
            offerings::history(launch, &launches)
        });
        let (offerings, failures) =
            history.map_or((Vec::new(), 0), |history| (history.offerings, history.failures));
        Box::new(FleetView {
            name: name.clone(),
            breaker: breaker::breaker(&offerings, failures, now),
            failing: breaker::failing(records, (&offerings, &backoffs), self.unanswered, now),
            offerings,
            backoffs,
            hold: active(OverrideKey::Hold),
            pause: active(OverrideKey::Pause),
            extra: active(OverrideKey::Launch),
            retire: active(OverrideKey::Retire),
            edited_from: memory.target.filter(|_| active(OverrideKey::Approve).is_none()).filter(
                |_| memory.decided_by.as_ref().is_some_and(|by| **by != *self.policy.digest),
            ),
            renamed_from: None,
            elsewhere: busy.and_then(|busy| busy.elsewhere),
            doubt: self.doubt.cloned(),
            others: self.others(&balancer),
            servers,
            memory,
            balancer,
        })
    }

    /// How much earlier than without jobs a server goes. Without ticks the caller drains servers, and
    /// gives them the time that it wants to.
    fn drain_lead(&self, memory: &FleetMemory) -> Duration {
        if self.policy.has_ticks() { memory.drain_lead() } else { Duration::ZERO }
    }

    /// Where nothing is launched, since EC2 would not show it.
    fn silent<'a>(&self, gap: &'a Gap) -> impl Iterator<Item = Backoff> + use<'a> {
        let until = time::after(self.seen.now, self.policy.tick);
        let (fault, silent) = (&gap.fault, gap.silent.iter());
        silent.map(move |subnet| Backoff {
            scope: BackoffScope::Subnet(subnet.clone()),
            until,
            fault: fault.clone(),
        })
    }

    /// Who else is in a balancer.
    fn others(&self, balancer: &BalancerView) -> Vec<InstanceId> {
        let BalancerView::Readable(balancer) = balancer else { return Vec::new() };
        let Some(Ok(members)) = self.seen.balancers.get(balancer) else { return Vec::new() };
        let known = |id: &InstanceId| self.ledger.servers.of_instance(id).is_some();
        members.keys().filter(|id| !known(id)).cloned().collect()
    }
}

/// Returns which servers of a fleet run jobs, by what its queue told.
fn placed(ledger: &Ledger, seen: &Observation, fleet: &FleetName, work: &Work) -> Option<Busy> {
    let records = ledger.servers.of_fleet(fleet).unwrap_or(&servers::NONE);
    let listed = seen.instances.as_ref().ok();
    let names = records.open().filter_map(|record| {
        let id = record.instance()?;
        let instance = listed.and_then(|listed| listed.get(id));
        let private_ip = instance.and_then(|instance| instance.private_ip.as_deref());
        Some(Names {
            id,
            private_ip: private_ip.or(record.private_ip.as_deref()),
            private_dns: instance.and_then(|instance| instance.private_dns.as_deref()),
        })
    });
    let ended = |key: &str| {
        records.left().any(|record| {
            let id = record.instance().is_some_and(|id| id.as_str() == key);
            id || record.private_ip.as_deref() == Some(key)
        })
    };
    Busy::place(work, &names.collect::<Vec<_>>(), ended)
}

/// The balancer that a fleet's servers are in: the policy's; but the one they were registered with,
/// `held`, for as long as there is a server and that balancer exists, since only there can it be
/// proven that a server is out of service.
fn balancer_of<'a>(
    fleet: Option<&'a FleetPolicy>,
    held: Option<&'a Balancer>,
    open: bool,
    seen: &Observation,
) -> Option<&'a Balancer> {
    let Some(fleet) = fleet else { return held };
    let asked = fleet.balancer.as_ref().map(|entry| &entry.balancer);
    let missing = |balancer| {
        let said = seen.balancers.get(balancer).and_then(|said| said.as_ref().err());
        said.is_some_and(|fault| fault.kind == FaultKind::BalancerNotFound)
    };
    held.filter(|held| open && !missing(*held)).or(asked)
}

fn balancer_view(
    fleet: Option<&FleetPolicy>,
    memory: &FleetMemory,
    open: bool,
    seen: &Observation,
) -> BalancerView {
    let held = memory.balancer.as_ref().map(|(held, _)| held);
    let Some(balancer) = balancer_of(fleet, held, open, seen).cloned() else {
        return BalancerView::None;
    };
    match seen.balancers.get(&balancer) {
        Some(Ok(_)) => BalancerView::Readable(balancer),
        Some(Err(fault)) if fault.kind == FaultKind::BalancerNotFound => {
            BalancerView::Missing(balancer, fault.clone())
        }
        Some(Err(fault)) => BalancerView::Unreadable(balancer, fault.clone()),
        None => {
            let fault = Fault::new(FaultKind::Ambiguous, "NotAsked", "not asked yet");
            BalancerView::Unreadable(balancer, fault)
        }
    }
}

/// How far this host's clock is off, if that is too far to act by.
fn wrong_clock(seen: &Observation) -> Option<SignedDuration> {
    seen.clock_ahead.filter(|ahead| ahead.unsigned_abs() >= CLOCK_WRONG)
}

/// A list that lacks more than a fifth of the servers that should be in it (and more than one) is
/// not believed: whole pages have gone missing before, and acting on it would replace a fleet that
/// runs. New launches are not counted, since lists lag behind them.
fn blindness(ledger: &Ledger, seen: &Observation) -> Option<Blind> {
    if let Some(ahead) = wrong_clock(seen) {
        return Some(Blind::WrongClock(ahead));
    }
    let listed = match &seen.instances {
        Ok(listed) => listed,
        Err(fault) => return Some(Blind::Unlisted(fault.clone())),
    };
    if seen.gap.is_some() {
        return None;
    }
    let mut settled = ledger.servers.open().filter(|record| {
        // One whose termination may have been accepted may be gone from the list for good.
        let ended = record.retirement.as_ref().is_some_and(Retirement::may_have_ended);
        !ended && is_settled(record, seen.clocks().ec2)
    });
    lacks_many(&mut settled, listed)
        .map(|(absent, expected)| Blind::Implausible { absent, expected })
}

/// Whether EC2 has had the time to list a launch, by EC2's clock: as an absence is measured, or servers
/// could be taken as gone before they count as missing.
fn is_settled(record: &ServerRecord, ec2_now: Timestamp) -> bool {
    time::since(ec2_now, known_since(record)) >= VANISHED_AFTER
}

/// From when on EC2 may list a launch, by EC2's clock as far as it is known.
fn known_since(record: &ServerRecord) -> Timestamp {
    record.launched_at.or(record.planned_at_ec2).unwrap_or(record.planned_at)
}

/// Returns how many of the expected instances the list lacks, and how many were expected, where it
/// lacks more than a fifth of them and more than one.
fn lacks_many(
    expected: &mut dyn Iterator<Item = &ServerRecord>,
    listed: &BTreeMap<InstanceId, Instance>,
) -> Option<(Capacity, Capacity)> {
    let (mut all, mut absent): (Capacity, Capacity) = (0, 0);
    for id in expected.filter_map(ServerRecord::instance) {
        all = all.saturating_add(1);
        absent = absent.saturating_add(Capacity::from(!listed.contains_key(id)));
    }
    let tolerated = all.checked_div(5).unwrap_or(0).max(1);
    (absent > tolerated).then_some((absent, all))
}

/// How far behind EC2's lists may be: as long as an instance may be missing from one.
const OLD_AT_MOST: Duration = VANISHED_AFTER;

/// Why nobody may be ended by this picture.
fn doubt(ledger: &Ledger, seen: &Observation) -> Option<Doubt> {
    if let Some(gap) = &seen.gap {
        return Some(Doubt::Partial(gap.clone()));
    }
    let ended = ledger.servers.since(time::before(seen.now, OLD_AT_MOST));
    let listed = seen.instances.as_ref().ok()?;
    let alive = |record: &&ServerRecord| {
        let instance = record.instance().and_then(|id| listed.get(id));
        instance.is_some_and(|instance| is_old_news(record, instance, seen.now))
    };
    ended.filter(|record| !record.is_open()).find(alive)?.instance().cloned().map(Doubt::Old)
}

/// EC2 shows as alive what it has said is terminated, a short while ago: no instance comes back from
/// that, so it is the list that is old.
fn is_old_news(record: &ServerRecord, instance: &Instance, now: Timestamp) -> bool {
    let Some(gone) = &record.gone else { return false };
    // One that we ended may be gone by its absence alone, and be there after all: it is counted at once.
    let by_its_word = matches!(gone.how, GoneHow::BehindOurBack(_));
    by_its_word && instance.lifecycle.is_alive() && time::since(now, gone.at) < OLD_AT_MOST
}

/// Whether this install launched the instance: its tag and its client token both say so.
fn is_ours(policy: &Policy, instance: &Instance) -> bool {
    let token = instance.token.as_deref();
    has_our_tag(policy, instance)
        && token.is_some_and(|token| Token::is_ours(token, &policy.install))
}

fn has_our_tag(policy: &Policy, instance: &Instance) -> bool {
    instance.tags.install.as_deref() == Some(policy.install.as_str())
}

fn strangers(
    policy: &Policy,
    ledger: &Ledger,
    seen: &Observation,
) -> BTreeMap<InstanceId, Stranger> {
    let Ok(listed) = &seen.instances else { return BTreeMap::new() };
    let known = |instance: &Instance| ledger.servers.get(instance.token.as_deref()?)?.instance();
    let alive = listed.values().filter(|instance| !instance.lifecycle.is_ending());
    alive
        .filter_map(|instance| {
            let stranger = if known(instance).is_some_and(|id| *id != instance.id) {
                Stranger::SameToken
            } else if !is_ours(policy, instance) {
                let record =
                    ledger.servers.of_instance(&instance.id).filter(|record| record.is_open());
                match record {
                    Some(_) if !has_our_tag(policy, instance) => Stranger::Untagged,
                    Some(record) if record.token.is_adopted() => return None,
                    Some(_) | None => Stranger::NoToken,
                }
            } else if instance.tags.auto_scaling_group {
                Stranger::AutoScalingGroup
            } else if instance.tags.fleet.is_none() {
                Stranger::NoFleet
            } else {
                return None;
            };
            Some((instance.id.clone(), stranger))
        })
        .collect()
}

/// Instances that are gone and were never taken out of their balancer: those that died behind our
/// back, since a classic balancer stops describing them and still keeps them, and those that the
/// balancer still lists.
fn left_in_balancer(view: &FleetView, records: &OfFleet, seen: &Observation) -> Vec<Leftover> {
    let BalancerView::Readable(balancer) = &view.balancer else { return Vec::new() };
    let Some(Ok(members)) = seen.balancers.get(balancer) else { return Vec::new() };
    let gone = records.left().filter_map(|record| {
        let instance = record.instance()?;
        let listed = members.get(instance).is_some_and(|m| *m != Membership::Draining);
        // One that was to go may have died before its balancer took the deregistration.
        let told = record.retirement.as_ref().is_some_and(|r| r.deregistered_at().is_some());
        let died = record.is_proven() && !told;
        (listed || (died && record.cleared_at.is_none())).then(|| Leftover {
            fleet: view.name.clone(),
            balancer: balancer.clone(),
            instance: instance.clone(),
            token: record.token.clone(),
        })
    });
    gone.collect()
}

/// Looks at all fleets at once: where every fleet has one server, none can be compared with another
/// of its own.
fn sick_everywhere(fleets: &BTreeMap<FleetName, Box<FleetView>>) -> Option<(Capacity, Capacity)> {
    let counted: Vec<_> = fleets.values().map(|view| view.sick_of()).collect();
    let sum = |sum: Capacity, n: &Capacity| sum.saturating_add(*n);
    let sick = counted.iter().map(|(sick, _)| sick).fold(0, sum);
    let of = counted.iter().map(|(_, of)| of).fold(0, sum);
    let fleets = counted.iter().filter(|(sick, _)| *sick > 0).count();
    (fleets > 1 && mostly_sick(sick, of)).then_some((sick, of))
}

/// More than half of the fleet, and at least one, looks sick.
pub fn mostly_sick(sick: Capacity, of: Capacity) -> bool {
    sick > half_floor(of)
}
