//! Whether a fleet could terminate a server in the midst of a job, by what its policy says.

use std::time::Duration;

use super::problem::{Place, Problem, quote};
use super::{DrainPolicy, FleetPolicy};
use crate::model::fleet::FleetName;
use crate::model::reading::JsonFields;

/// How long a job may take where the policy does not say.
const JOB_TAKES_USUAL: Duration = Duration::from_mins(15);

/// Why scale-in of a fleet would put jobs at risk. The daemon does not scale such a fleet in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobsAtRisk {
    /// The queue tells its length alone, and the policy has no `drain`.
    LengthOnly,
    /// The queue may tell which servers have jobs. Whether it does shows with its first reading.
    NotToldYet,
    /// Every answer tells which servers have jobs. None has been read yet.
    BusyUnread,
    /// Every answer tells how many jobs run, and not on which servers. None has been read yet.
    RunningUnread,
}

impl JobsAtRisk {
    /// Returns what is missing, as a sentence without its period.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LengthOnly => {
                "the queue tells neither who is busy nor how many jobs run, and there is no `drain`"
            }
            Self::NotToldYet => "the queue has not told yet who is busy or how many jobs run",
            Self::BusyUnread => "no reading has told who is busy",
            Self::RunningUnread => "no reading has told how many jobs run",
        }
    }

    /// Returns what the operator can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::LengthOnly => {
                "add `drain: { via: tag, deadline: 30m }` to the fleet; or have the queue tell `busy` or `running` in JSON, and set `json` in `read`; or write `drain: none`"
            }
            Self::NotToldYet => {
                "have the queue tell `busy` or `running` beside its length; or add `drain: { via: tag, deadline: 30m }` to the fleet, or `drain: none`"
            }
            Self::BusyUnread => "wait for the next reading",
            Self::RunningUnread => {
                "name `busy` in `json` as well, and idle servers are released at once; or add `drain: { via: tag, deadline: 30m }` to the fleet"
            }
        }
    }

    /// Returns what `check` says of it: of a queue at `at`. `None`: all is well.
    pub(super) fn problem(self, fleet: &FleetName, at: Place) -> Option<Problem> {
        let fleet = quote(fleet.as_str());
        let problem = match self {
            Self::LengthOnly => {
                let message = format!("jobs are at risk when fleet {fleet} scales in");
                Problem::risk(at, message, "tells its length, and not which servers have a job")
                    .remedy(self.remedy())
            }
            Self::NotToldYet => {
                let message =
                    format!("fleet {fleet} scales in only once its queue tells who is busy");
                let label = "scale-in waits until a reading has told `busy` or `running`";
                let remedy = "with `running` and no `busy`, scale-in waits until `running` is 0; with `busy`, idle servers are released at once";
                Problem::note(at, message, label).remedy(remedy)
            }
            Self::RunningUnread => {
                let message = format!("fleet {fleet} scales in only while no job runs");
                let label = "tells how many jobs run, and not on which servers";
                Problem::note(at, message, label).remedy(self.remedy())
            }
            Self::BusyUnread => return None,
        };
        Some(problem)
    }
}

impl FleetPolicy {
    /// Returns why scale-in would put jobs at risk; `None` for a fleet without a queue, for one
    /// that never scales in, and where the policy has a `drain`.
    pub fn jobs_at_risk(&self) -> Option<JobsAtRisk> {
        let scales_in = self.bounds.min() < self.bounds.max();
        self.unprotected_jobs().filter(|_| scales_in)
    }

    /// Returns the same for any fleet that is about to lose a server, as by a hold or an edit.
    pub(crate) fn unprotected_jobs(&self) -> Option<JobsAtRisk> {
        let queue = self.queue.as_ref()?;
        match &self.drain {
            DrainPolicy::Terms(_) | DrainPolicy::Off => None,
            DrainPolicy::Unsaid => Some(match &queue.source.json {
                Some(JsonFields::Named(_)) => JobsAtRisk::NotToldYet,
                Some(JsonFields::Mapped(map)) if map.busy.is_some() => JobsAtRisk::BusyUnread,
                Some(JsonFields::Mapped(map)) if map.running.is_some() => JobsAtRisk::RunningUnread,
                Some(JsonFields::Mapped(_)) | None => JobsAtRisk::LengthOnly,
            }),
        }
    }

    /// Returns how long a job may take: the policy's `job_takes`, or 15 minutes.
    pub(crate) fn jobs_may_take(&self) -> Duration {
        let said = self.queue.as_ref().and_then(|queue| queue.job_takes);
        said.unwrap_or(JOB_TAKES_USUAL)
    }
}
