//! The facts about fleets at one instant, from a caller that has no EC2 to ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::fleet::{FleetName, Pool};
use crate::model::instance::InstanceId;
use crate::model::ledger::Override;
use crate::model::observation::Gap;
use crate::model::reading::Reading;
use crate::model::retirement::Retirement;
use crate::model::server::ServerRecord;
use crate::model::time::Timestamp;

/// The input of one evaluation.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub now: Timestamp,
    /// A fleet of the policy that is left out has no servers and no reading.
    pub fleets: BTreeMap<FleetName, FleetSnapshot>,
    pub inventory: Inventory,
    /// The operators' orders in force: holds, pauses, keeps.
    pub overrides: Vec<Override>,
}

/// How far EC2's list of instances can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inventory {
    Complete,
    /// It could not be had as a whole. A server that it lacks may be there.
    Degraded(Gap),
    /// There is no list.
    Unusable(Fault),
}

#[derive(Debug, Clone, Default)]
pub struct FleetSnapshot {
    /// `None`: the queue was not read.
    pub reading: Option<Reading>,
    /// Where the inventory is complete, a server that is left out has ended.
    pub servers: Vec<ServerSnapshot>,
    /// Launches that were refused or have no answer yet, as the journal has them, and failed ones.
    pub launches: Vec<Arc<ServerRecord>>,
}

#[derive(Debug, Clone)]
pub struct ServerSnapshot {
    pub id: InstanceId,
    pub launched_at: Timestamp,
    pub state: ServerState,
    /// The journal's record. `None`: the evaluator keeps one, and `state` says what is in it.
    pub record: Option<Arc<ServerRecord>>,
    /// What it was launched from; `None`: not told.
    pub pool: Option<Pool>,
    /// Its Availability Zone; `None`: not told.
    pub zone: Option<Arc<str>>,
    /// Whether the instance has the tag `tidegate:keep`.
    pub kept: bool,
    /// Whether EC2's list has it.
    pub listed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    Booting,
    InService,
    /// It served, and its health check fails. `since`: from this snapshot on unless told.
    Unhealthy {
        since: Option<Timestamp>,
    },
    /// It is on its way out, as the journal has it. `None`: it drains for a scale-in, and the caller
    /// does not tell since when.
    Draining(Option<Retirement>),
    /// EC2 shows it as terminated.
    Ended,
}

impl Snapshot {
    /// Returns a snapshot of one fleet with a complete inventory and without orders.
    pub fn of_fleet(now: Timestamp, name: FleetName, fleet: FleetSnapshot) -> Self {
        let fleets = BTreeMap::from([(name, fleet)]);
        Self { now, fleets, inventory: Inventory::Complete, overrides: Vec::new() }
    }
}

impl ServerSnapshot {
    /// Returns a server that EC2 lists and that is not kept.
    pub fn new(id: InstanceId, launched_at: Timestamp, state: ServerState) -> Self {
        let (record, pool, zone) = (None, None, None);
        Self { id, launched_at, state, record, pool, zone, kept: false, listed: true }
    }
}
