//! Where a queue is asked, what it said, and when. A gap is a fact of its own, never a zero.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instance::InstanceId;
use super::time::Timestamp;

/// Where a queue's length is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSource {
    pub url: String,
    /// A JSON pointer to the number; `None`: the body is the number.
    pub json: Option<String>,
    /// A header whose value is in a file: `{ name: Authorization, secret: NAME }`.
    pub header: Option<SecretHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    pub name: String,
    /// `$CREDENTIALS_DIRECTORY/NAME`, else `/etc/tidegate/secrets/NAME`, else an absolute path.
    pub secret: String,
}

/// How much work there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that nobody has started.
    pub waiting: u64,
    /// How long the oldest of them has waited, where the queue says so.
    pub oldest: Option<Duration>,
    /// What else the queue says.
    pub work: Work,
}

/// What a queue may tell besides its length. Each is used where it is there, and missed where not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Jobs that run now.
    pub running: Option<u64>,
    /// Jobs that ever arrived, a running total.
    pub arrived: Option<u64>,
    /// Jobs that ever ended, a running total.
    pub completed: Option<u64>,
    /// Jobs on each server; one that is left out has none. `None`: not told. Out of date at the next
    /// reading, and kept for replays only.
    pub busy: Option<BTreeMap<InstanceId, u32>>,
}

impl Depth {
    /// A queue that tells its length and no more.
    pub fn of(waiting: u64) -> Self {
        Self { waiting, ..Self::default() }
    }
}

/// One look at a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub at: Timestamp,
    /// The depth, or why it could not be read.
    pub depth: Result<Depth, String>,
}

/// `1 job`, `20 jobs`.
pub fn jobs(n: u64) -> String {
    if n == 1 { "1 job".to_owned() } else { format!("{n} jobs") }
}

impl Reading {
    pub fn known(at: Timestamp, waiting: u64) -> Self {
        Self { at, depth: Ok(Depth::of(waiting)) }
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
