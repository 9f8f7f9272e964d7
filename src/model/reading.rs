//! What a queue said, and when. A gap is a fact of its own, never a zero.

use std::time::Duration;

use super::time::Timestamp;

/// How much work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that nobody has started.
    pub waiting: u64,
    /// How long the oldest of them has waited, where the queue says so.
    pub oldest: Option<Duration>,
}

/// One look at a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub at: Timestamp,
    /// The depth, or why it could not be read.
    pub depth: Result<Depth, String>,
}

impl Reading {
    pub fn known(at: Timestamp, waiting: u64) -> Self {
        Self { at, depth: Ok(Depth { waiting, oldest: None }) }
    }

    pub fn unreadable(at: Timestamp, why: impl Into<String>) -> Self {
        Self { at, depth: Err(why.into()) }
    }
}

/// What a health check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub at: Timestamp,
    /// `Err`: why it failed, in words.
    pub passed: Result<(), String>,
    /// How many checks have failed in a row, this one included.
    pub failures: u32,
}
