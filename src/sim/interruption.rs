//! What becomes of a job whose server ends.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidegate_engine::model::time;
use tidegate_engine::policy::units;

/// What the job system does with a job whose server ends during its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The job never runs again.
    Lost,
    /// The job is locked for this long from the start of its run, and waits again after that, as
    /// with `max_run_time` of delayed_job.
    BackAfter(Duration),
    /// The job waits again at once.
    AtOnce,
}

impl Default for Interruption {
    /// The lock of delayed_job.
    fn default() -> Self {
        Self::BackAfter(Duration::from_hours(4))
    }
}

impl FromStr for Interruption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lost" => Ok(Self::Lost),
            "at-once" => Ok(Self::AtOnce),
            span => units::duration(span).map(Self::BackAfter).map_err(|_| {
                "write `lost`, `at-once`, or how long its lock holds: `4h`".to_owned()
            }),
        }
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("lost"),
            Self::BackAfter(lock) => f.write_str(&time::text(*lock)),
            Self::AtOnce => f.write_str("at-once"),
        }
    }
}
