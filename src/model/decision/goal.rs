//! What a waiting-time goal comes to, with its numbers.

use std::time::Duration;

use crate::model::capacity::Capacity;
use crate::model::time;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoalReason {
    /// Of the jobs that wait, so many would not start within the goal: servers are added.
    Missed { waiting: u64, late: u32, within: Duration, capacity: Capacity, add: Capacity },
    /// So many would start late, and the next reading is soon enough to launch for them, or they
    /// are among the few that the goal lets be late.
    CanWait { waiting: u64, late: u32, within: Duration, capacity: Capacity },
    /// Every waiting job starts within the goal.
    Kept { waiting: u64, within: Duration, capacity: Capacity },
    /// The goal can do with fewer.
    Spare { waiting: u64, capacity: Capacity, remove: Capacity },
    /// Draining servers are taken back: for the jobs that wait, or since their hour is paid.
    TakenBack { servers: Capacity },
    /// What the goal was reckoned with.
    Terms {
        job_takes: Duration,
        /// Recent completions that the run time was learned from.
        completed: u32,
        boot: Duration,
        /// Jobs of a thousand that started late.
        late_per_mille: u32,
    },
}

impl GoalReason {
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::Missed { .. } => "goal_missed",
            Self::CanWait { .. } => "goal_can_wait",
            Self::Kept { .. } => "goal_kept",
            Self::Spare { .. } => "goal_spare",
            Self::TakenBack { .. } => "taken_back",
            Self::Terms { .. } => "goal_terms",
        }
    }

    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        let n = u64::from;
        match self {
            Self::Missed { waiting, late, within, capacity, add } => vec![
                ("waiting", *waiting),
                ("late", n(*late)),
                ("within_s", within.as_secs()),
                ("capacity", n(*capacity)),
                ("add", n(*add)),
            ],
            Self::CanWait { waiting, late, within, capacity } => vec![
                ("waiting", *waiting),
                ("late", n(*late)),
                ("within_s", within.as_secs()),
                ("capacity", n(*capacity)),
            ],
            Self::Kept { waiting, within, capacity } => vec![
                ("waiting", *waiting),
                ("within_s", within.as_secs()),
                ("capacity", n(*capacity)),
            ],
            Self::Spare { waiting, capacity, remove } => {
                vec![("waiting", *waiting), ("capacity", n(*capacity)), ("remove", n(*remove))]
            }
            Self::TakenBack { servers } => vec![("servers", n(*servers))],
            Self::Terms { job_takes, completed, boot, late_per_mille } => vec![
                ("job_takes_s", job_takes.as_secs()),
                ("completed", n(*completed)),
                ("boot_s", boot.as_secs()),
                ("late_per_mille", n(*late_per_mille)),
            ],
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Missed { waiting, late, within, capacity, add } => format!(
                "{late} of {waiting} waiting jobs would not start within {} on {capacity} servers: add {add}",
                time::text(*within)
            ),
            Self::CanWait { waiting, late, within, capacity } => format!(
                "{late} of {waiting} waiting jobs would not start within {} on {capacity} servers, and that can be mended later or is allowed: no change",
                time::text(*within)
            ),
            Self::Kept { waiting, within, capacity } => format!(
                "{waiting} jobs waiting, all start within {} on {capacity} servers",
                time::text(*within)
            ),
            Self::Spare { waiting, capacity, remove } => {
                format!(
                    "{waiting} jobs waiting, nobody is late without {remove} of {capacity} servers"
                )
            }
            Self::TakenBack { servers } => format!("{servers} draining servers are taken back"),
            Self::Terms { job_takes, completed, boot, late_per_mille } => format!(
                "a job takes {} (by {completed} of late), a boot {}, {}.{} of 100 jobs were late",
                time::text(*job_takes),
                time::text(*boot),
                late_per_mille.div_euclid(10),
                late_per_mille.rem_euclid(10)
            ),
        }
    }
}
