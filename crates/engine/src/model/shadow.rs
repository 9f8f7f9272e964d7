//! What a shadow leaves behind: imagined servers, and where the second policy decided otherwise.

use super::capacity::Capacity;
use super::fleet::FleetName;
use super::time::Timestamp;

/// A server that the second policy would have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imagined {
    pub number: u64,
    pub fleet: FleetName,
    pub launched_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

impl Imagined {
    /// The next one by number.
    pub fn new(fleet: &FleetName, next: &mut u64, launched_at: Timestamp) -> Self {
        let number = *next;
        *next = next.saturating_add(1);
        Self { number, fleet: fleet.clone(), launched_at, ended_at: None }
    }
}

/// From here on the one policy wants `live` servers and the other `shadow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    pub at: Timestamp,
    pub fleet: FleetName,
    pub live: Capacity,
    pub shadow: Capacity,
    pub why_live: String,
    pub why_shadow: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShadowChange {
    Server(Imagined),
    Differs(Differs),
}

/// The record of one second policy, since it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowRecord {
    pub since: Timestamp,
    pub digest: String,
    pub path: String,
    pub text: String,
    pub servers: Vec<Imagined>,
    /// Oldest first.
    pub differs: Vec<Differs>,
}
