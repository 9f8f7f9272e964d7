//! Policies: what the operator asked for, in a form that cannot be wrong. Only [`load`] makes one,
//! and it reports every problem of a file at once.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

pub mod calendar;
pub mod coming;
pub mod cron;
pub mod file;
mod firing;
pub mod keys;
mod lines;
mod lower;
pub mod notify;
mod problem;
pub mod reference;
mod risk;
pub mod schema;
pub mod span;
#[cfg(test)]
mod tests;
pub mod units;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::balancer::Balancer;
use crate::model::boots::Boots;
use crate::model::capacity::{Bounds, Capacity};
use crate::model::drain::DrainTerms;
use crate::model::fleet::FleetName;
use crate::model::launch::Image;
use crate::model::rate::Rate;
use crate::model::reading::QueueSource;
use crate::model::time::{self, Timestamp};

pub use self::calendar::Schedule;
pub use self::lines::Lines;
pub use self::lower::{Loaded, load};
pub use self::notify::Notify;
pub use self::problem::{Place, Problem, Severity, render};
pub use self::risk::JobsAtRisk;

/// A whole policy file, valid.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which tidegate this is, among those that share an AWS account and region. It is in every
    /// tag and client token, so it survives the loss of the state directory.
    pub install: String,
    /// `None`: the AWS SDK's own chain decides.
    pub region: Option<String>,
    pub zone: TimeZone,
    /// Of servers whose fleet has left the file, and of fleets that do not say otherwise.
    pub mode: Mode,
    /// From one evaluation to the next at most. Zero: each reading is evaluated once, and nothing is
    /// spread over ticks in between; no file says so.
    pub tick: Duration,
    pub limits: Limits,
    pub fleets: BTreeMap<FleetName, FleetPolicy>,
    pub notify: Arc<Notify>,
    /// US dollars an hour by instance type, over the list prices. Reports use them; nothing that acts
    /// does.
    pub prices: BTreeMap<String, f64>,
    /// The first twelve hex digits of the file's SHA-256: which policy a decision was made under.
    pub digest: String,
    /// The file, word for word.
    pub text: Arc<str>,
}

impl Policy {
    /// Returns whether there are ticks over which launches can be spread.
    pub(crate) fn has_ticks(&self) -> bool {
        !self.tick.is_zero()
    }

    /// The same with one fleet alone.
    pub fn of_fleet(&self, name: &FleetName) -> Self {
        let fleet = self.fleets.get_key_value(name);
        let fleets = fleet.map(|(name, fleet)| (name.clone(), fleet.clone()));
        Self { fleets: fleets.into_iter().collect(), ..self.clone() }
    }

    /// The same, set to act: for imagined worlds, where nothing can come to harm.
    pub fn acting(&self) -> Self {
        let mut policy = self.clone();
        policy.mode = Mode::Act;
        policy.fleets.values_mut().for_each(|fleet| fleet.mode = Mode::Act);
        policy
    }
}

/// What beats every fleet, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Servers of all fleets together.
    pub instances: Option<Capacity>,
    /// Launches of all fleets together.
    pub launch: Option<Rate>,
    /// Retirements of all fleets together.
    pub terminate: Option<Rate>,
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Decide, record and show; change nothing.
    Observe,
    Act,
}

/// What the file says of the jobs on a server that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainPolicy {
    /// Nothing.
    Unsaid,
    /// `drain: none`: servers are terminated once the queue has been empty for long enough.
    Off,
    Terms(Arc<DrainTerms>),
}

/// How EC2 charges for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// Any started hour is paid whole, counted from the launch.
    Hour,
    /// By the second.
    Second,
}

#[derive(Debug, Clone)]
pub struct FleetPolicy {
    pub name: FleetName,
    pub mode: Mode,
    pub launch: LaunchPolicy,
    pub balancer: Option<BalancerPolicy>,
    pub health: Option<HealthPolicy>,
    /// How long a new server may take to come into service.
    pub grace: Duration,
    pub bounds: Bounds,
    pub schedule: Option<Schedule>,
    pub queue: Option<QueuePolicy>,
    /// How long a server stays at least, once launched.
    pub minimum_uptime: Duration,
    pub billing: Billing,
    /// Whether what somebody attaches to a server keeps it.
    pub keep_attached: bool,
    /// What becomes of the jobs on a server that goes.
    pub drain: DrainPolicy,
    pub lines: Lines,
    /// A digest of what a launch's success depends on: the sections `launch` and `health`.
    pub settings: Arc<str>,
}

impl FleetPolicy {
    /// Its queue and waiting-time goal, if it has one.
    pub fn goal(&self) -> Option<(&QueuePolicy, &Goal)> {
        let queue = self.queue.as_ref()?;
        Some((queue, queue.goal()?))
    }

    /// Returns the terms on which its servers are drained.
    pub fn drain_terms(&self) -> Option<&Arc<DrainTerms>> {
        match &self.drain {
            DrainPolicy::Terms(terms) => Some(terms),
            DrainPolicy::Unsaid | DrainPolicy::Off => None,
        }
    }

    /// When its queue is to be read next, read last at `last`; `None` without a queue. At once when
    /// it never was.
    pub fn poll_due(&self, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let queue = self.queue.as_ref()?;
        Some(match last {
            // A reading from the future was stamped before the clock was set back.
            Some(last) if last <= now => time::after(last, queue.every),
            Some(_) | None => now,
        })
    }
}

#[derive(Debug, Clone)]
pub struct LaunchPolicy {
    /// What user data tells a server to be.
    pub role: String,
    pub image: Image,
    /// In order of preference; empty: the launch template's.
    pub types: Vec<String>,
    /// Spread evenly; empty: the launch template's or the default subnet.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub key_pair: Option<String>,
    pub instance_profile: Option<String>,
    /// As it is sent: `DB=10.126.17.1;ROLE=app`.
    pub user_data: String,
    /// The operator's own tags.
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct BalancerPolicy {
    pub balancer: Balancer,
    /// How long a server out of the balancer may take to finish its connections.
    pub deregistration_delay: Duration,
}

#[derive(Debug, Clone)]
pub struct HealthPolicy {
    /// With `{private_ip}`, `{public_ip}`, `{private_dns}` or `{instance_id}` still in it.
    pub url: String,
    /// A text the page must contain, without regard to case.
    pub expect: Option<String>,
    pub timeout: Duration,
    pub every: Duration,
}

#[derive(Debug, Clone)]
pub struct QueuePolicy {
    pub source: Arc<QueueSource>,
    pub every: Duration,
    pub rule: QueueRule,
    /// How long a job may take, where the file says so; with a goal the goal's.
    pub job_takes: Option<Duration>,
    pub if_unreadable: IfUnreadable,
}

/// How a reading becomes a number of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRule {
    Thresholds(ScaleOut, ScaleIn),
    Goal(Goal),
}

impl QueuePolicy {
    /// Whether its answers may say who is busy, or how many jobs run. Servers are then released upon a
    /// fresh answer only.
    pub(crate) fn may_tell_who_is_busy(&self) -> bool {
        self.source.may_tell_jobs() || self.goal().is_some()
    }

    /// The waiting-time goal, if that is its rule.
    pub fn goal(&self) -> Option<&Goal> {
        match &self.rule {
            QueueRule::Goal(goal) => Some(goal),
            QueueRule::Thresholds(..) => None,
        }
    }
}

/// 95 of 100 jobs start within a time, at the least cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    pub start_within: Duration,
    /// How long a job runs; `None`: learned alone.
    pub job_takes: Option<Duration>,
    /// On one server.
    pub jobs_at_once: u32,
    /// From launch to in service, at least; `None`: measured alone.
    pub boot_takes: Option<Duration>,
}

impl Goal {
    /// Returns how long a boot takes: as declared, or as measured where boots are known to take longer.
    pub fn boot(&self, boots: &Boots) -> Duration {
        match (self.boot_takes, boots.known()) {
            (Some(declared), Some(measured)) => declared.max(measured),
            (Some(declared), None) => declared,
            (None, _) => boots.usual(),
        }
    }

    /// For how long after a reading jobs come that a launch at the next one, `every` later, serves
    /// too late. Nobody can wait and see whether they come; zero for a goal that is long enough.
    pub(crate) fn blind_for(&self, every: Duration, boots: &Boots) -> Duration {
        every.saturating_add(self.boot(boots)).saturating_sub(self.start_within)
    }
}

/// Over `above` waiting jobs: launch `add` servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleOut {
    pub above: u64,
    pub add: Capacity,
}

/// Under `below` waiting jobs, for as long as `after`: retire `remove` servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleIn {
    pub below: u64,
    pub remove: Capacity,
    pub after: Duration,
}

/// What holds while the queue cannot be read. Neither ever scales in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUnreadable {
    Hold,
    AtLeast(Capacity),
}
