//! What must outlive the process: servers from intent to end, what each fleet remembers, overrides,
//! problems, and the events that tell the story. The store keeps it; a [`Ledger`] is its picture in
//! memory, and both change only by [`Change`]s, so they cannot disagree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::balancer::Balancer;
use super::boots::Boots;
use super::capacity::Capacity;
use super::drain::DrainRecord;
use super::fleet::FleetName;
use super::history::{Decided, InForce};
use super::instance::InstanceId;
use super::launch::Token;
use super::problem::{Problem, ProblemKey};
use super::reading::Reading;
use super::server::ServerRecord;
use super::servers::Servers;
use super::time::{self, Timestamp};
use super::work::WorkMemory;

/// How long a finished server stays in memory. EC2 shows terminated instances for about an hour and
/// remembers client tokens for at least a day.
const KEEP_GONE: Duration = Duration::from_hours(25);

/// How long a journal counts as new. EC2's lists may lack an instance for minutes, and EC2 may be out of
/// reach at first.
const NEW_FOR: Duration = Duration::from_hours(1);

/// How many readings of a queue a fleet keeps at hand: a day of five-minute polls.
const READINGS_KEPT: usize = 300;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    pub servers: Servers,
    pub fleets: BTreeMap<FleetName, FleetMemory>,
    pub overrides: BTreeMap<OverrideKey, Override>,
    /// When the journal was begun; `None`: by a version that did not write it down.
    pub begun: Option<Timestamp>,
    /// Where its servers are; `None`: nobody could tell yet.
    pub account: Option<Account>,
    /// Open problems by key.
    pub problems: BTreeMap<ProblemKey, OpenProblem>,
}

/// What a fleet remembers from tick to tick. It is copied several times at each, so that its larger
/// parts are shared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetMemory {
    /// The desired capacity last decided.
    pub target: Option<Capacity>,
    /// How many of `target` the queue's own steps asked for, where a schedule's floor holds more;
    /// `None`: all of them.
    pub asked: Option<Capacity>,
    /// The reading that last led to a step, so that one reading leads to one step.
    pub stepped_at_reading: Option<Timestamp>,
    /// Recent readings, oldest first.
    pub readings: Arc<VecDeque<Reading>>,
    pub boots: Boots,
    /// What the last recorded decision said, to record only changes.
    pub last_decision: Option<Arc<LastDecision>>,
    /// The balancer its servers were last registered with, and its drain time: known even after
    /// the fleet has left the policy.
    pub balancer: Option<(Balancer, Duration)>,
    /// The policy that `target` was decided by, by its digest.
    pub decided_by: Option<Arc<str>>,
    /// Whether it acted, or only observed, when it was in the policy last.
    pub acting: Option<bool>,
    /// What its queue's readings have taught; only for a fleet with a goal.
    pub work: Option<Arc<WorkMemory>>,
    /// How its servers are drained, and how the last drains went.
    pub drains: Arc<DrainRecord>,
    /// What its launches are made with.
    pub settings: Option<SettingsRecord>,
}

/// The launch settings and health check of a fleet, as far as failed launches depend on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsRecord {
    /// A digest of both sections.
    pub digest: Arc<str>,
    /// Failures of earlier launches do not count: they happened under other settings, or before an
    /// operator resumed the fleet.
    pub since: Timestamp,
}

impl FleetMemory {
    /// Returns how long before the end of a paid hour a server is signalled for its jobs' sake. A goal
    /// whose queue tells its length alone has releases that wait for the jobs by themselves.
    pub(crate) fn drain_lead(&self) -> Duration {
        let by_length = self.work.as_ref().is_some_and(|work| work.is_by_length());
        if by_length { Duration::ZERO } else { self.drains.lead() }
    }
}

/// The latest decision of a fleet, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastDecision {
    pub at: Timestamp,
    pub from: Capacity,
    pub to: Capacity,
    /// What was worth telling in it; see `Decision::marks`.
    pub marks: BTreeSet<String>,
    pub text: String,
}

/// One override per fleet and kind, or per instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverrideKey {
    Hold(FleetName),
    Pause(FleetName),
    /// `tidegate retire`: a fleet that is no longer in the policy may be emptied.
    Retire(FleetName),
    Keep(InstanceId),
    /// `tidegate terminate`: one instance is to go.
    Terminate(InstanceId),
    /// `tidegate launch`: a number of servers is to be added.
    Launch(FleetName),
    /// `tidegate approve`: the edited policy may end most of the fleet, or launch it anew under
    /// another name.
    Approve(FleetName),
}

/// What an override is, without its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideKind {
    Hold,
    Pause,
    Retire,
    Keep,
    Terminate,
    Launch,
    Approve,
}

impl OverrideKind {
    pub const ALL: [Self; 7] = [
        Self::Hold,
        Self::Pause,
        Self::Retire,
        Self::Keep,
        Self::Terminate,
        Self::Launch,
        Self::Approve,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Pause => "pause",
            Self::Retire => "retire",
            Self::Keep => "keep",
            Self::Terminate => "terminate",
            Self::Launch => "launch",
            Self::Approve => "approve",
        }
    }
}

impl OverrideKey {
    pub fn kind(&self) -> OverrideKind {
        match self {
            Self::Hold(_) => OverrideKind::Hold,
            Self::Pause(_) => OverrideKind::Pause,
            Self::Retire(_) => OverrideKind::Retire,
            Self::Keep(_) => OverrideKind::Keep,
            Self::Terminate(_) => OverrideKind::Terminate,
            Self::Launch(_) => OverrideKind::Launch,
            Self::Approve(_) => OverrideKind::Approve,
        }
    }
}

/// What a person asked for: by whom, why, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub key: OverrideKey,
    /// The capacity of a hold, the number to launch; 0 for the others.
    pub capacity: Capacity,
    pub owner: String,
    pub reason: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Whether a termination is to be without a drain.
    pub at_once: bool,
}

/// A problem that the journal keeps until it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenProblem {
    pub key: ProblemKey,
    pub fleet: Option<FleetName>,
    pub since: Timestamp,
    pub text: String,
}

impl OpenProblem {
    /// Returns the problem as a tick found it.
    pub fn problem(&self) -> Problem {
        Problem::new(self.key.clone(), self.fleet.as_ref(), &*self.text)
    }
}

/// One line of history: what changed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
    pub fleet: Option<FleetName>,
    pub instance: Option<InstanceId>,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The desired capacity, or the reason for it, changed.
    Decision,
    /// A call was made or answered.
    Action,
    /// A call failed.
    Failure,
    /// Something happened in the world.
    Seen,
    Problem,
    Recovered,
    Override,
    Policy,
}

impl EventKind {
    pub const ALL: [Self; 8] = [
        Self::Decision,
        Self::Action,
        Self::Failure,
        Self::Seen,
        Self::Problem,
        Self::Recovered,
        Self::Override,
        Self::Policy,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Action => "action",
            Self::Failure => "failure",
            Self::Seen => "seen",
            Self::Problem => "problem",
            Self::Recovered => "recovered",
            Self::Override => "override",
            Self::Policy => "policy",
        }
    }
}

/// One durable change. A batch of them is committed as a whole or not at all; each is an upsert or
/// a removal by key, so that applying one twice is applying it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Server(Arc<ServerRecord>),
    /// The fleet's memory less its readings, which have a change of their own.
    Fleet(FleetName, Box<FleetMemory>),
    Reading(FleetName, Reading),
    Override(Override),
    OverrideEnded(OverrideKey),
    Problem(OpenProblem),
    ProblemEnded(ProblemKey),
    /// A launch that was written down and never asked for: there is no server, and never was.
    Unasked(Token),
    Event(Event),
    Decided(Decided),
    InForce(InForce),
    Account(Account),
    /// The journal is empty, and is begun now.
    Begun(Timestamp),
}

impl Ledger {
    /// Takes in a committed change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Server(record) => {
                self.servers.insert(record.clone());
            }
            Change::Fleet(name, memory) => {
                let known = self.fleets.entry(name.clone()).or_default();
                let readings = std::mem::take(&mut known.readings);
                *known = FleetMemory { readings, ..(**memory).clone() };
            }
            Change::Reading(name, reading) => {
                let known = self.fleets.entry(name.clone()).or_default();
                // The clock of the host may have been set back, so the last is not always the latest.
                if known.readings.iter().all(|other| other.at != reading.at) {
                    let readings = Arc::make_mut(&mut known.readings);
                    // Who was busy is out of date, and a thousand names long.
                    if let Some(Reading { depth: Ok(depth), .. }) = readings.back_mut() {
                        depth.work.busy = None;
                    }
                    readings.push_back(reading.clone());
                    while readings.len() > READINGS_KEPT {
                        readings.pop_front();
                    }
                }
            }
            Change::Override(entry) => {
                self.overrides.insert(entry.key.clone(), entry.clone());
            }
            Change::OverrideEnded(key) => {
                self.overrides.remove(key);
            }
            Change::Problem(problem) => {
                self.problems.insert(problem.key.clone(), problem.clone());
            }
            Change::ProblemEnded(key) => {
                self.problems.remove(key);
            }
            Change::Unasked(token) => self.servers.drop_unasked(token),
            Change::Account(account) => self.account = Some(account.clone()),
            Change::Begun(at) => self.begun = Some(*at),
            Change::Event(_) | Change::Decided(_) | Change::InForce(_) => {}
        }
    }

    /// Returns whether nothing was ever written down: the journal begins now.
    pub(crate) fn is_blank(&self) -> bool {
        self.begun.is_none() && self.fleets.is_empty() && self.servers.by_fleet().next().is_none()
    }

    /// Returns whether the journal was begun a short while ago: after its loss, it lacks what was known.
    pub(crate) fn is_new(&self, now: Timestamp) -> bool {
        let lately = |begun| begun <= now && time::since(now, begun) < NEW_FOR;
        self.is_blank() || self.begun.is_some_and(lately)
    }

    /// Drops what no longer matters to any decision from memory; the store keeps it.
    pub fn forget_old(&mut self, now: Timestamp) {
        self.servers.forget_ended(time::before(now, KEEP_GONE));
    }
}

impl FleetMemory {
    pub fn last_reading(&self) -> Option<&Reading> {
        self.readings.back()
    }
}
