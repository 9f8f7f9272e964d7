//! What a fleet's past leaves behind for whoever reckons with it later.

use super::capacity::Capacity;
use super::fleet::FleetName;
use super::reading::Reading;
use super::server::ServerRecord;
use super::time::Timestamp;

/// A fleet's past over a span of time, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub fleet: FleetName,
    pub from: Timestamp,
    pub to: Timestamp,
    pub readings: Vec<Reading>,
    /// What was decided in the span, and the last decision before it.
    pub decisions: Vec<Decided>,
    /// Servers that were there at some time of it.
    pub servers: Vec<ServerRecord>,
    /// The policies that were in force at some time of it.
    pub policies: Vec<InForce>,
}

/// A decision in numbers, for whoever reckons with it later; its story is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub at: Timestamp,
    pub fleet: FleetName,
    pub capacity: Capacity,
    pub desired: Capacity,
    /// What the next tick starts from.
    pub target: Capacity,
    /// The rules that led to it, the first first.
    pub rules: Vec<String>,
}

/// A policy that came into force, word for word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub since: Timestamp,
    pub digest: String,
    pub text: String,
}
