//! Why the jobs on servers hold up scale-in.

use std::borrow::Cow;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::capacity::Capacity;
use crate::model::fault::printable;
use crate::model::reading::jobs;
use crate::model::time::{self, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobsReason {
    /// Nothing tells whether a server runs jobs; with what is missing.
    AtRisk { why: Cow<'static, str> },
    /// Jobs run, and the queue does not say where.
    Run { jobs: u64 },
    /// Jobs run on a server that is not known. `key`: the name that the queue told; `None`: more jobs
    /// run than it names servers for.
    Elsewhere { key: Option<String>, jobs: u64 },
    /// The queue has not been empty for as long as a job may take. `until`: when it will have been.
    MayRun { takes: Duration, empty_for: Duration, until: Option<Timestamp> },
    /// Servers of the fleet ran on to the deadlines of their drains.
    DrainsIgnored { drains: u32 },
    /// The last drain was not received; `until`: the next one is tried then.
    DrainUndelivered { why: String, until: Timestamp },
    /// No server of the fleet has ended by itself yet, so one is drained at a time.
    DrainsOneByOne { draining: Capacity },
}

impl JobsReason {
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::AtRisk { .. } => "jobs_at_risk",
            Self::Run { .. } => "jobs_run",
            Self::Elsewhere { .. } => "jobs_elsewhere",
            Self::MayRun { .. } => "jobs_may_run",
            Self::DrainsIgnored { .. } => "drains_ignored",
            Self::DrainUndelivered { .. } => "drain_undelivered",
            Self::DrainsOneByOne { .. } => "drains_one_by_one",
        }
    }

    /// Whether it is worth telling: the others pass by themselves.
    pub(super) fn is_news(&self) -> bool {
        match self {
            Self::AtRisk { .. }
            | Self::Elsewhere { .. }
            | Self::DrainsIgnored { .. }
            | Self::DrainUndelivered { .. } => true,
            Self::Run { .. } | Self::MayRun { .. } | Self::DrainsOneByOne { .. } => false,
        }
    }

    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Run { jobs } | Self::Elsewhere { jobs, .. } => vec![("jobs", *jobs)],
            Self::MayRun { takes, empty_for, .. } => {
                vec![("job_takes_s", takes.as_secs()), ("empty_for_s", empty_for.as_secs())]
            }
            Self::DrainsIgnored { drains } => vec![("drains", u64::from(*drains))],
            Self::DrainsOneByOne { draining } => vec![("draining", u64::from(*draining))],
            Self::AtRisk { .. } | Self::DrainUndelivered { .. } => Vec::new(),
        }
    }

    pub(super) fn text(&self, zone: &TimeZone) -> String {
        let local = |at: &Timestamp| time::local(*at, zone);
        match self {
            Self::AtRisk { why } => format!("no scale-in: {why}"),
            Self::Run { jobs: n } => {
                format!("no scale-in while {} on servers unknown", running(*n))
            }
            Self::Elsewhere { key: Some(key), jobs: n } => {
                let key = printable(key, 60);
                format!("no scale-in: {} on `{key}`, which is no server of the fleet", running(*n))
            }
            Self::Elsewhere { key: None, jobs: n } => {
                format!("no scale-in: {} on servers that the queue does not name", running(*n))
            }
            Self::MayRun { takes, empty_for, until } => {
                let takes = time::text(*takes);
                let until = until.as_ref().map(local);
                let until = until.map_or_else(String::new, |at| format!(" (until {at})"));
                let empty_for = time::text(*empty_for);
                format!(
                    "no scale-in before the queue has been empty for job_takes {takes}{until}: empty for {empty_for}"
                )
            }
            Self::DrainsIgnored { drains } => format!(
                "no scale-in: {drains} servers in a row ran on to the deadlines of their drains"
            ),
            Self::DrainUndelivered { why, until } => {
                format!("the last drain was not received, next from {}: {why}", local(until))
            }
            Self::DrainsOneByOne { draining } => format!(
                "one drain at a time until a server has ended by itself, and {draining} under way"
            ),
        }
    }
}

fn running(n: u64) -> String {
    let verb = if n == 1 { "runs" } else { "run" };
    format!("{} {verb}", jobs(n))
}
