//! One tick's picture of the world, with its gaps. A failed call is a gap with its cause, never a
//! zero and never an empty list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;

use super::account::Account;
use super::balancer::{Balancer, Membership};
use super::capacity::Capacity;
use super::fault::Fault;
use super::fleet::FleetName;
use super::instance::{Instance, InstanceId};
use super::reading::{Health, Reading};
use super::time::{Clocks, Timestamp};

#[derive(Debug, Clone)]
pub struct Observation {
    /// When the tick began. The only clock reading of a tick.
    pub now: Timestamp,
    /// By how much this host's clock is ahead of EC2's, if EC2 has said what time it is.
    pub clock_ahead: Option<SignedDuration>,
    /// Whose servers EC2 showed, as far as it is known.
    pub account: Option<Account>,
    /// Everything in EC2 that carries the tag of this install, or why it could not be listed.
    pub instances: Result<BTreeMap<InstanceId, Instance>, Fault>,
    /// What the list lacks, where it could not be had as a whole.
    pub gap: Option<Gap>,
    pub balancers: BTreeMap<Balancer, Result<BTreeMap<InstanceId, Membership>, Fault>>,
    /// Health checks made so far; an instance left out is unknown.
    pub health: BTreeMap<InstanceId, Health>,
    /// Queues that were due and asked in this tick.
    pub readings: BTreeMap<FleetName, Reading>,
}

/// A list that was asked for piece by piece, each server by its id, as it could not be had as a whole.
/// Who is in it is so; who is not may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why it could not be had as a whole.
    pub fault: Fault,
    /// The subnets of which nothing could be had.
    pub silent: BTreeSet<Arc<str>>,
    /// How many of our servers were not shown.
    pub unseen: Capacity,
}

impl Observation {
    /// Returns the time at which the tick began by both clocks.
    pub fn clocks(&self) -> Clocks {
        Clocks::new(self.now, self.clock_ahead)
    }

    /// An instant that EC2 tells, such as that of a launch, by this host's clock: a host whose clock is
    /// ahead makes no server older.
    pub(crate) fn by_host(&self, at: Timestamp) -> Timestamp {
        at.checked_add(self.clock_ahead.unwrap_or_default()).unwrap_or(at)
    }
}
