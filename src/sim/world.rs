//! The imagined EC2: instances, client tokens, capacity, and the troubles it has. One state machine
//! with two fronts (in process, and over HTTP in EC2's own protocol). It has no clock: whoever holds
//! it says what time it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::bad_offering::{BadOfferings, Failing};
use super::buckets::Buckets;
use super::faults::{Severity, Trouble, Troubles};
use super::machine::{Machine, ours};
use super::members::Members;
use super::people::People;
use super::receiver::Receiver;
use super::rng::Rng;
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, InstanceId};
use tidegate_engine::model::launch::{LaunchRequest, Token};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::model::warning::Warning;

/// How the imagined cloud behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub seed: u64,
    pub troubles: Troubles,
    pub severity: Severity,
    /// `pending` to `running`.
    pub start: (Duration, Duration),
    /// `running` to a page that says welcome.
    pub deploy: (Duration, Duration),
    /// Registered to in service, for a healthy member.
    pub register: Duration,
}

impl Default for Settings {
    /// A plain Linux image: running in under a minute, serving two to three minutes later.
    fn default() -> Self {
        Self {
            seed: 1,
            troubles: Troubles::new(),
            severity: Severity::default(),
            start: (Duration::from_secs(20), Duration::from_secs(50)),
            deploy: (Duration::from_secs(100), Duration::from_secs(160)),
            // Two checks, ten seconds apart.
            register: Duration::from_secs(20),
        }
    }
}

/// `shutting-down` to `terminated`.
const SHUTTING_DOWN: Duration = Duration::from_secs(30);
/// The same under [`Trouble::SlowEnd`].
const SHUTTING_DOWN_SLOWLY: Duration = Duration::from_hours(2);
#[derive(Debug)]
pub struct World {
    settings: Settings,
    now: Timestamp,
    pub(super) machines: BTreeMap<InstanceId, Machine>,
    /// Those that EC2 shows no more.
    pub(super) forgotten: BTreeMap<InstanceId, Machine>,
    /// Zonal: the same token in another subnet is another launch.
    tokens: BTreeMap<(Token, Option<Arc<str>>), InstanceId>,
    pub members: Members,
    /// What EC2 says of instances beside their state.
    pub warnings: Vec<Warning>,
    calls: BTreeMap<&'static str, u64>,
    buckets: Buckets,
    boots: Rng,
    receivers: Rng,
    pub(super) faults: Rng,
    next_console_kill: Timestamp,
    pub(super) people: People,
    ordinal: u64,
    account: Account,
    /// [`Trouble::NoCapacity`]'s, once there was a launch.
    pub(super) scarce_type: Option<String>,
    /// The subnet of the first launch, which [`Trouble::ZoneOutage`] strikes.
    pub(super) weakest_subnet: Option<Arc<str>>,
    /// A subnet of which EC2 shows nothing, as [`Trouble::ZoneUnlisted`] has it by spells.
    pub silent_subnet: Option<Arc<str>>,
    /// Until when EC2's lists lack single instances.
    pub(super) hidden: BTreeMap<InstanceId, Timestamp>,
    /// Whether tags may not be changed, as [`Trouble::RefusedTags`] has it by spells.
    pub refuses_tags: bool,
    /// How many launches to come lose their answer, as [`Trouble::LostReplies`] has it by chance.
    answers_to_lose: u32,
    /// Where launches fail, as [`Trouble::BadOfferings`] has it by spells.
    pub(super) bad_offerings: BadOfferings,
}

impl World {
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        let boots = Rng::new(settings.seed, "boots");
        let mut faults = Rng::new(settings.seed, "faults");
        let receivers = Rng::new(settings.seed, "receivers");
        let next_console_kill = time::after(now, faults.exponential(Duration::from_hours(1)));
        let members = Members::new(settings.register);
        let people = People::new(settings.seed, now, |trouble| settings.severity.of(trouble));
        Self {
            settings,
            now,
            machines: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            tokens: BTreeMap::new(),
            members,
            warnings: Vec::new(),
            calls: BTreeMap::new(),
            buckets: Buckets::default(),
            boots,
            receivers,
            faults,
            next_console_kill,
            people,
            ordinal: 0,
            account: Account { id: "123456789012".into(), region: "us-east-1".into() },
            scarce_type: None,
            weakest_subnet: None,
            silent_subnet: None,
            hidden: BTreeMap::new(),
            refuses_tags: false,
            answers_to_lose: 0,
            bad_offerings: BadOfferings::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass. Time never runs backwards here.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while self.has(Trouble::ConsoleKill) && self.next_console_kill <= self.now {
            let at = self.next_console_kill;
            self.console_kill(at);
            self.next_console_kill =
                time::after(at, self.faults.exponential(Duration::from_hours(1)));
        }
        self.visit(self.now);
        self.hear(self.now);
        let now = self.now;
        self.forgotten.extend(self.machines.extract_if(.., |_, machine| !machine.is_shown(now)));
        let machines = &self.machines;
        self.members.advance(now, |id| {
            let serving = machines.get(id).filter(|machine| machine.serves(now));
            serving.map(Machine::launch_time)
        });
    }

    /// Those that EC2 shows, whatever troubles its list has.
    pub fn shown(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// Every machine there ever was.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.forgotten.values().chain(self.machines.values())
    }

    pub fn machine(&self, id: &InstanceId) -> Option<&Machine> {
        self.machines.get(id).or_else(|| self.forgotten.get(id))
    }

    /// When the next machine of `fleets` boots, serves or ends; `None`: nothing will happen to them
    /// by itself.
    pub fn next_event(&self, fleets: impl Fn(&FleetName) -> bool) -> Option<Timestamp> {
        let asked = |m: &&Machine| m.fleet().is_some_and(&fleets);
        let events = self.machines.values().filter(asked).flat_map(|machine| {
            let ends = machine.ends.as_ref().map(|(at, _)| *at);
            let ended = ends.map(|at| time::after(at, machine.shuts_down));
            let (hears, closes) = (machine.receiver.hears_at(), machine.receiver.closed_at);
            [Some(machine.running_at), machine.serves_at, ends, ended, hears, closes]
        });
        events.flatten().filter(|at| *at > self.now).min()
    }

    /// How often each call was made.
    pub fn calls(&self) -> &BTreeMap<&'static str, u64> {
        &self.calls
    }

    pub fn has(&self, trouble: Trouble) -> bool {
        self.settings.troubles.contains(&trouble)
    }

    /// Draws whether a trouble strikes, which it does `usually` so often.
    pub(super) fn strikes(&mut self, trouble: Trouble, usually: f64) -> bool {
        let share = (usually * self.settings.severity.of(trouble)).min(0.9);
        self.has(trouble) && self.faults.chance(share)
    }

    /// Whether a trouble has one of its spells, which come `every` so often and last so long; `whose`
    /// spells are at times of their own.
    pub(super) fn spell(
        &self,
        trouble: Trouble,
        whose: &str,
        every: Duration,
        lasts: Duration,
    ) -> bool {
        if !self.has(trouble) {
            return false;
        }
        let offset = whose.bytes().fold(self.settings.seed, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let every = every.as_secs().max(1);
        let at = u64::try_from(self.now.as_second()).unwrap_or(0).wrapping_add(offset % every);
        let lasts = lasts.mul_f64(self.settings.severity.of(trouble)).as_secs();
        at % every < lasts.min(every.saturating_mul(3).div_euclid(4))
    }

    /// Ends every trouble: from here on the world behaves.
    pub fn calm(&mut self) {
        self.settings.troubles.clear();
        self.hidden.clear();
        self.refuses_tags = false;
        self.answers_to_lose = 0;
        self.bad_offerings.clear();
    }

    /// Loses the answers of the next launches that take effect.
    pub fn lose_answers(&mut self, launches: u32) {
        self.answers_to_lose = launches;
    }

    /// Counts a call, and refuses it if a bucket is empty or somebody else has emptied it, or if the
    /// caller is not believed.
    pub fn admit(&mut self, call: &'static str) -> Result<(), Fault> {
        *self.calls.entry(call).or_default() += 1;
        let storm = self.strikes(Trouble::Throttling, 1.0 / 3.0);
        if storm || !self.buckets.take(call, self.now) {
            return Err(Fault::new(
                FaultKind::Throttled,
                "RequestLimitExceeded",
                "Request limit exceeded.",
            ));
        }
        if self.has(Trouble::DeadBalancer) && is_of_balancers(call) && self.balancers_fail() {
            return Err(Fault::new(
                FaultKind::Ambiguous,
                "InternalFailure",
                "The request processing has failed because of an unknown error.",
            ));
        }
        let stale = self.now.as_second().div_euclid(1200) % 6 == 0;
        if stale && self.has(Trouble::StaleCredentials) && !call.starts_with("Describe") {
            return Err(Fault::new(
                FaultKind::Credentials,
                "ExpiredToken",
                "The security token included in the request is expired.",
            ));
        }
        Ok(())
    }

    /// By how much the daemon's clock is ahead of the world's: for a quarter of each hour by four
    /// minutes, for another behind by as much, and in every third hour by two hours instead.
    pub fn clock_ahead(&self) -> SignedDuration {
        if !self.has(Trouble::WrongClock) {
            return SignedDuration::ZERO;
        }
        let quarter = self.now.as_second().div_euclid(900);
        match (quarter % 4, quarter.div_euclid(4) % 3) {
            (0, 2) => SignedDuration::from_hours(2),
            (0, _) => SignedDuration::from_mins(4),
            (2, _) => SignedDuration::from_mins(-4),
            _ => SignedDuration::ZERO,
        }
    }

    /// Whether every page fails now.
    pub fn looks_sick(&self) -> bool {
        self.has(Trouble::AllSick) && self.now.as_second().div_euclid(600) % 12 == 5
    }

    /// RunInstances of one instance: a repeated token gives the same instance, whose request must
    /// be the same. An empty token is none: every such request launches.
    pub fn launch(&mut self, request: &LaunchRequest) -> Result<Instance, Fault> {
        self.admit("RunInstances")?;
        let key = (request.token.clone(), request.pool.subnet.clone());
        let known = self
            .tokens
            .get(&key)
            .filter(|_| !request.token.as_str().is_empty())
            .and_then(|id| self.machine(id))
            .cloned();
        let machine = match known {
            Some(machine) if machine.request != *request => {
                return Err(Fault::new(
                    FaultKind::TokenMismatch,
                    "IdempotentParameterMismatch",
                    "The client token was used with other parameters.",
                ));
            }
            Some(machine) if machine.lifecycle(self.now).is_ending() => {
                return Err(Fault::new(
                    FaultKind::TokenSpent,
                    "IdempotentInstanceTerminated",
                    "The instance of this client token has been terminated.",
                ));
            }
            Some(machine) => machine,
            None => self.create(request)?,
        };
        self.tokens.insert(key, machine.id.clone());
        if self.weakest_subnet.is_none() {
            self.weakest_subnet.clone_from(&request.pool.subnet);
        }
        let answer = machine.describe(self.now);
        self.machines.insert(machine.id.clone(), machine);
        let by_chance = self.strikes(Trouble::LostReplies, 1.0 / 3.0);
        let left = self.answers_to_lose.checked_sub(1);
        self.answers_to_lose = left.unwrap_or(0);
        if by_chance || left.is_some() {
            return Err(lost());
        }
        Ok(answer)
    }

    fn create(&mut self, request: &LaunchRequest) -> Result<Machine, Fault> {
        if let Some(fault) = self.refusal(&request.pool) {
            return Err(fault);
        }
        let fails = self.fails(&request.pool);
        self.ordinal += 1;
        let id = InstanceId::new(&format!("i-{:017x}", 0x0fa0_0000_0000_0000_u64 + self.ordinal));
        let slow = if self.has(Trouble::SlowBoot) { 3 } else { 1 };
        let start = self.boots.between(self.settings.start.0, self.settings.start.1);
        let deploy = self.boots.between(self.settings.deploy.0, self.settings.deploy.1) * slow;
        let running_at = time::after(self.now, start);
        let broken =
            self.strikes(Trouble::NeverHealthy, 0.5) || fails == Some(Failing::NeverHealthy);
        let dies = self.strikes(Trouble::DieYoung, 1.0 / 3.0) || fails == Some(Failing::DiePending);
        let why = "Server.InternalError: Internal error on launch".to_owned();
        let slow_end = self.strikes(Trouble::SlowEnd, 0.5);
        Ok(Machine {
            shuts_down: if slow_end { SHUTTING_DOWN_SLOWLY } else { SHUTTING_DOWN },
            keeps_volume: self.has(Trouble::KeptVolumes),
            private_ip: address(self.ordinal).into(),
            receiver: self.receiver(),
            id,
            ours: ours(&request.tags),
            tags: request.tags.clone(),
            request: request.clone(),
            launched_at: self.now,
            running_at,
            stopped_at: None,
            started_at: None,
            attached_at: None,
            serves_at: (!broken).then(|| time::after(running_at, deploy)),
            ends: dies.then(|| (time::after(self.now, start / 2), why)),
        })
    }

    fn receiver(&mut self) -> Receiver {
        let odd = self.strikes(Trouble::OddReceivers, 0.5);
        let late = self.has(Trouble::LateTags);
        Receiver::new(&mut self.receivers, odd, late)
    }

    /// Somebody else launches an instance: no call of ours, refused only for want of capacity.
    pub fn add_foreign(&mut self, request: &LaunchRequest) -> Result<InstanceId, Fault> {
        let machine = self.create(request)?;
        let id = machine.id.clone();
        self.machines.insert(id.clone(), machine);
        Ok(id)
    }

    /// TerminateInstances of one id.
    pub fn terminate(&mut self, id: &InstanceId) -> Result<(), Fault> {
        self.terminate_all(std::slice::from_ref(id))
    }

    /// TerminateInstances: one id that does not exist spares them all.
    pub fn terminate_all(&mut self, ids: &[InstanceId]) -> Result<(), Fault> {
        self.admit("TerminateInstances")?;
        if let Some(id) = ids.iter().find(|id| !self.machines.contains_key(*id)) {
            return Err(unknown(id));
        }
        for id in ids {
            self.end(id, self.now, "Client.UserInitiatedShutdown: User initiated shutdown")?;
        }
        Ok(())
    }

    /// The account that all of this is in.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Somebody changes the credentials: the same servers in another's name.
    pub fn move_to_account(&mut self, id: &str) {
        self.account.id = id.into();
    }

    pub(super) fn end(&mut self, id: &InstanceId, at: Timestamp, why: &str) -> Result<(), Fault> {
        let Some(machine) = self.machines.get_mut(id) else {
            return Err(unknown(id));
        };
        let ended = machine.ends.as_ref().is_some_and(|(ends, _)| *ends <= at);
        if !ended {
            machine.ends = Some((at, why.to_owned()));
        }
        Ok(())
    }

    /// A running instance's page breaks, or works again.
    pub fn set_page(&mut self, id: &InstanceId, works: bool) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.serves_at = works.then_some(self.now);
        }
    }

    /// Whether an instance's page says welcome, by instance or by address.
    pub fn page(&self, id: &InstanceId) -> bool {
        let serves = self.machines.get(id).is_some_and(|machine| {
            machine.serves(self.now) && !self.is_cut_off(&machine.request.pool)
        });
        serves && !self.looks_sick()
    }

    /// The instances that serve, of one fleet, in order of their ids.
    pub fn serving(&self, fleet: &FleetName) -> impl Iterator<Item = &InstanceId> + Clone {
        let serves =
            |machine: &&Machine| machine.serves(self.now) && machine.fleet() == Some(fleet);
        self.machines.values().filter(serves).map(|machine| &machine.id)
    }

    /// Registers an instance with a balancer, which may not have heard of it yet.
    pub fn register(&mut self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        if !self.is_known_to_balancers(id) {
            let message = format!("Could not find EC2 instance {id}.");
            return Err(Fault::new(FaultKind::InstanceNotFound, "InvalidInstance", &message));
        }
        self.members.register(balancer, id, self.now)
    }

    /// Sets up a balancer, with its drain time.
    pub fn add_balancer(&mut self, balancer: Balancer, drain: Duration) {
        self.members.add(balancer, drain);
    }
}

/// Whether a call goes to Elastic Load Balancing.
fn is_of_balancers(call: &str) -> bool {
    ["LoadBalancer", "InstanceHealth", "Target"].iter().any(|word| call.contains(word))
}

/// EC2's word for an id that it does not know.
pub(super) fn unknown(id: &InstanceId) -> Fault {
    let message = format!("The instance ID '{id}' does not exist");
    Fault::new(FaultKind::InstanceNotFound, "InvalidInstanceID.NotFound", &message)
}

/// An answer that never arrives, although the call took effect.
pub fn lost() -> Fault {
    Fault::new(FaultKind::Ambiguous, LOST_REPLY, "the connection was lost before the answer")
}

/// The code by which the HTTP front knows to cut the connection instead of answering.
pub const LOST_REPLY: &str = "LostReply";

/// A loopback address for each instance, so that the HTTP front can serve its page there.
fn address(ordinal: u64) -> String {
    let host = ordinal % 63_999 + 1;
    format!("127.77.{}.{}", host.div_euclid(250), host % 250 + 1)
}
