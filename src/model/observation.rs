//! One tick's picture of the world, with its gaps. A failed call is a gap with its cause, never a
//! zero and never an empty list.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::account::Account;
use super::balancer::{Balancer, Membership};
use super::fault::Fault;
use super::fleet::FleetName;
use super::instance::{Instance, InstanceId};
use super::reading::{Health, Reading};
use super::time::Timestamp;

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
    pub balancers: BTreeMap<Balancer, Result<BTreeMap<InstanceId, Membership>, Fault>>,
    /// Health checks made so far; an instance left out is unknown.
    pub health: BTreeMap<InstanceId, Health>,
    /// Queues that were due and asked in this tick.
    pub readings: BTreeMap<FleetName, Reading>,
}

impl Observation {
    /// An instant that EC2 tells, such as that of a launch, by this host's clock: a host whose clock is
    /// ahead makes no server older.
    pub fn by_host(&self, at: Timestamp) -> Timestamp {
        at.checked_add(self.clock_ahead.unwrap_or_default()).unwrap_or(at)
    }
}
