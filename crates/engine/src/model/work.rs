//! What a fleet has learned of its work from its queue's readings: who waits since when, how long a
//! job takes, how far that can be relied on, and how many jobs started late.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::launch::Token;
use super::season::Season;
use super::time::Timestamp;

/// Learned from one reading to the next; see `state::work`. Counts of jobs are estimates, hence
/// not whole.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkMemory {
    /// The jobs that wait, oldest first.
    pub cohorts: VecDeque<Cohort>,
    /// Time that jobs have spent running, in seconds, old ones fading.
    pub busy_seconds: f64,
    /// Jobs that ended in that time, fading alike.
    pub completed: f64,
    /// Variance of the number of completions between two readings, in multiples of what jobs of
    /// exponential length would show. Over 1 where long and short jobs come in runs.
    pub surprise: f64,
    /// Jobs that started, fading, and those of them that waited longer than the goal.
    pub started: f64,
    pub late: f64,
    /// What hours of the week are like; only where a goal is too short to wait and see.
    pub season: Option<Arc<Season>>,
    /// What stands in for what the queue does not tell.
    pub inferred: Inferred,
    /// The reading that was learned from last.
    pub last: Option<Counts>,
}

/// What is inferred of a fleet's work where its queue tells its length, and no totals; see
/// `state::length`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inferred {
    /// How long a job takes, in seconds; `None`: the last reading told totals.
    pub job_takes: Option<f64>,
    /// Whether the last reading told how many jobs run.
    pub running_told: bool,
    /// The natural logarithm of the pace at which jobs end, in multiples of the declared one. At most
    /// zero.
    pub pace: f64,
    /// By how many jobs the queue grew between the last two readings, those that found a place at once
    /// included.
    pub grown: f64,
    /// The number of readings in a row that found jobs waiting.
    pub backlogs: u32,
    /// The servers in service at the last reading.
    pub serving: f64,
    /// The drains that were under way at the last reading, and since when.
    pub draining: BTreeMap<Token, Timestamp>,
}

/// Jobs that arrived between two readings and wait still.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    pub from: Timestamp,
    pub to: Timestamp,
    pub jobs: f64,
}

/// A reading's counts, for the difference to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    pub at: Timestamp,
    pub waiting: f64,
    pub running: f64,
    /// Running totals, where the queue offers them.
    pub arrived: Option<u64>,
    pub completed: Option<u64>,
}

/// What a job is taken to run for when neither the policy nor experience says.
const JOB_UNKNOWN: Duration = Duration::from_mins(5);

/// How many completions a declared run time weighs as much as: a wrong one is soon outvoted.
const DECLARED_WEIGHS: f64 = 10.0;

/// A guess weighs less than a declaration.
const GUESS_WEIGHS: f64 = 2.0;

/// Jobs that must have started before the share of late ones means anything.
const SHARE_NEEDS: f64 = 30.0;

impl Default for WorkMemory {
    fn default() -> Self {
        Self {
            cohorts: VecDeque::new(),
            busy_seconds: 0.0,
            completed: 0.0,
            surprise: 1.0,
            started: 0.0,
            late: 0.0,
            season: None,
            inferred: Inferred::default(),
            last: None,
        }
    }
}

impl WorkMemory {
    /// How long a job runs on average, in seconds: time spent running over jobs ended, which also
    /// counts the running time of those that have not ended; with what the policy declares as the
    /// first few.
    pub fn job_takes(&self, declared: Option<Duration>) -> f64 {
        if let Some(inferred) = self.inferred.job_takes {
            return inferred;
        }
        let weight = if declared.is_some() { DECLARED_WEIGHS } else { GUESS_WEIGHS };
        let prior = job_declared(declared);
        let mean = (prior * weight + self.busy_seconds) / (weight + self.completed);
        plausible(mean)
    }

    /// Returns whether arrivals and ends of jobs are inferred, since the queue told no totals when it was
    /// last read.
    pub(crate) fn is_inferred(&self) -> bool {
        self.inferred.job_takes.is_some()
    }

    /// Returns whether the queue told its length alone when it was last read.
    pub(crate) fn is_by_length(&self) -> bool {
        self.is_inferred() && !self.inferred.running_told
    }

    /// The share of jobs that started late, between 0 and 1; cautious while few have started.
    pub fn late_share(&self) -> f64 {
        self.late / (self.started + SHARE_NEEDS)
    }
}

/// Returns how long a job runs by the policy, in seconds; of a policy that does not say, the usual.
pub(crate) fn job_declared(declared: Option<Duration>) -> f64 {
    declared.unwrap_or(JOB_UNKNOWN).as_secs_f64()
}

/// Returns a run time within the bounds of any job's, from a second to 30 days.
pub(crate) fn plausible(seconds: f64) -> f64 {
    seconds.clamp(1.0, 30.0 * 86_400.0)
}
