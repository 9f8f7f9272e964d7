//! Where a queue is asked, what it said, and when. A gap is a fact of its own, never a zero.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instance::InstanceId;
use super::time::Timestamp;

/// Where a queue's length is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSource {
    pub url: String,
    /// Where the fields are in a JSON answer; `None`: the body is the number of waiting jobs.
    pub json: Option<JsonFields>,
    /// A header whose value is in a file: `{ name: Authorization, secret: NAME }`.
    pub header: Option<SecretHeader>,
}

/// Where the fields of a queue are in a JSON answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonFields {
    /// A JSON pointer to the number of waiting jobs. The other fields are looked up by their names,
    /// beside it and at the top, and may be missing.
    Named(String),
    /// A JSON pointer to each field that is read. No other field is looked up.
    Mapped(FieldMap),
}

/// A JSON pointer to each field that a queue tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMap {
    pub waiting: String,
    pub running: Option<String>,
    pub oldest_seconds: Option<String>,
    pub busy: Option<String>,
    pub arrived: Option<String>,
    pub completed: Option<String>,
}

impl FieldMap {
    /// Returns the fields that are mapped, with their pointers.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let others = [
            ("running", &self.running),
            ("oldest_seconds", &self.oldest_seconds),
            ("busy", &self.busy),
            ("arrived", &self.arrived),
            ("completed", &self.completed),
        ];
        let others = others.into_iter().filter_map(|(name, at)| Some((name, at.as_deref()?)));
        std::iter::once(("waiting", self.waiting.as_str())).chain(others)
    }
}

impl QueueSource {
    /// Returns whether an answer may tell which servers run jobs, or how many jobs run.
    pub(crate) fn may_tell_jobs(&self) -> bool {
        match &self.json {
            None => false,
            Some(JsonFields::Named(_)) => true,
            Some(JsonFields::Mapped(map)) => map.busy.is_some() || map.running.is_some(),
        }
    }
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

impl Work {
    /// Returns whether the queue tells how many jobs ever arrived or ended.
    pub(crate) fn has_totals(&self) -> bool {
        self.arrived.is_some() || self.completed.is_some()
    }

    /// Returns how many jobs run, by the count or by the servers.
    pub fn running(&self) -> Option<u64> {
        let on_servers =
            || self.busy.as_ref().map(|busy| busy.values().copied().map(u64::from).sum());
        self.running.or_else(on_servers)
    }
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
    /// How it went of late, this check included.
    pub recent: Recent,
}

impl Health {
    /// How many checks have failed in a row.
    pub fn failures(&self) -> u32 {
        self.recent.failures()
    }
}

/// How the last checks of a server went, 32 at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent {
    /// A bit for each, the latest the lowest: whether it failed.
    failed: u32,
    checks: u32,
}

impl Recent {
    /// So many checks make a picture.
    const ENOUGH: u32 = 16;
    /// One in so many fails.
    const OFTEN: u32 = 8;
    /// Turned so often from well to failing or back, it is no one bad time.
    const TURNS: u32 = 6;

    /// With one more check.
    #[must_use]
    pub fn then(self, passed: bool) -> Self {
        let failed = self.failed.wrapping_shl(1) | u32::from(!passed);
        Self { failed, checks: self.checks.saturating_add(1).min(u32::BITS) }
    }

    /// How many have failed in a row, up to the latest.
    pub fn failures(self) -> u32 {
        self.failed.trailing_ones()
    }

    /// How many have failed, and of how many, where it comes and goes; `still`: it was said before.
    pub fn flaps(self, still: bool) -> Option<(u32, u32)> {
        let (failed, checks) = (self.failed.count_ones(), self.checks);
        let before = u32::MAX.checked_shr(u32::BITS.saturating_sub(checks).saturating_add(1));
        let turned = (self.failed ^ self.failed.wrapping_shr(1)) & before.unwrap_or(0);
        // Half of it is enough to go on, so that it does not come and go itself.
        let half = if still { 2 } else { 1 };
        let often = failed.saturating_mul(Self::OFTEN).saturating_mul(half) >= checks;
        let turns = turned.count_ones().saturating_mul(half) >= Self::TURNS;
        (checks >= Self::ENOUGH && often && turns).then_some((failed, checks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_time_is_no_flapping_and_one_in_three_is() {
        let after = |checks: &str| {
            checks.chars().fold(Recent::default(), |recent, check| recent.then(check == '.'))
        };
        assert_eq!(after("").failures(), 0);
        assert_eq!(after(".FF").failures(), 2);
        assert_eq!(after("FF.").failures(), 0);
        assert_eq!(after(&"F".repeat(40)).failures(), 32);
        assert_eq!(after(&".".repeat(40)).flaps(false), None);
        assert_eq!(after(&"F".repeat(40)).flaps(false), None, "that is sick");
        assert_eq!(after(&".FF".repeat(5)).flaps(false), None, "not enough of them");
        assert_eq!(after(&".FF".repeat(6)).flaps(false), Some((12, 18)));
        assert_eq!(after(&(".".repeat(20) + "FFFFFFFFFF..")).flaps(false), None, "one bad time");
        assert_eq!(after(&(".FF".repeat(6) + &".".repeat(40))).flaps(true), None, "long ago");
        let fading = after(&(".F".repeat(4) + &".".repeat(26)));
        assert_eq!((fading.flaps(false), fading.flaps(true)), (None, Some((3, 32))));
    }
}
