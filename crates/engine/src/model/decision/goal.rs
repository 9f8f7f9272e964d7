//! What a waiting-time goal comes to, with its numbers.

use std::time::Duration;

use crate::model::capacity::Capacity;
use crate::model::reading;
use crate::model::time;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoalReason {
    /// Of the jobs that wait, so many would not start within the goal: servers are added.
    Missed {
        waiting: u64,
        /// Jobs that weeks before had at this hour; see `Foreseen`.
        expected: u32,
        late: u32,
        within: Duration,
        capacity: Capacity,
        add: Capacity,
    },
    /// So many would start late, and the next reading is soon enough to launch for them, or they
    /// are among the few that the goal lets be late.
    CanWait { waiting: u64, expected: u32, late: u32, within: Duration, capacity: Capacity },
    /// Every waiting job starts within the goal.
    Kept { waiting: u64, within: Duration, capacity: Capacity },
    /// The goal can do with fewer.
    Spare { waiting: u64, capacity: Capacity, remove: Capacity },
    /// More jobs are gone from the queue than servers can have started since the last reading: it was
    /// purged, or counted wrongly. Servers go upon a second reading that says the same.
    Doubted { before: u64, waiting: u64 },
    /// Draining servers are taken back: for the jobs that wait, or since their hour is paid.
    TakenBack { servers: Capacity },
    /// So many are expected, as in weeks before, of whom a launch at the next reading would come too
    /// late; `within`: how soon they come.
    Foreseen { jobs: u32, within: Duration },
    /// What the goal was reckoned with.
    Terms {
        job_takes: Duration,
        learned: Learned,
        boot: Duration,
        /// Jobs of a thousand that started late.
        late_per_mille: u32,
    },
}

/// What a run time was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// So many recent completions.
    Completions(u32),
    /// The queue's length alone, and so many recent drains of servers with jobs.
    Drains(u32),
}

impl GoalReason {
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::Missed { .. } => "goal_missed",
            Self::CanWait { .. } => "goal_can_wait",
            Self::Kept { .. } => "goal_kept",
            Self::Spare { .. } => "goal_spare",
            Self::Doubted { .. } => "goal_doubted",
            Self::TakenBack { .. } => "taken_back",
            Self::Foreseen { .. } => "goal_foreseen",
            Self::Terms { .. } => "goal_terms",
        }
    }

    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        let n = u64::from;
        match self {
            Self::Missed { waiting, expected, late, within, capacity, add } => vec![
                ("waiting", *waiting),
                ("expected", n(*expected)),
                ("late", n(*late)),
                ("within_s", within.as_secs()),
                ("capacity", n(*capacity)),
                ("add", n(*add)),
            ],
            Self::CanWait { waiting, expected, late, within, capacity } => vec![
                ("waiting", *waiting),
                ("expected", n(*expected)),
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
            Self::Doubted { before, waiting } => vec![("before", *before), ("waiting", *waiting)],
            Self::TakenBack { servers } => vec![("servers", n(*servers))],
            Self::Foreseen { jobs, within } => {
                vec![("foreseen", n(*jobs)), ("foreseen_within_s", within.as_secs())]
            }
            Self::Terms { job_takes, learned, boot, late_per_mille } => vec![
                ("job_takes_s", job_takes.as_secs()),
                match learned {
                    Learned::Completions(jobs) => ("completed", n(*jobs)),
                    Learned::Drains(drains) => ("drained", n(*drains)),
                },
                ("boot_s", boot.as_secs()),
                ("late_per_mille", n(*late_per_mille)),
            ],
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Missed { waiting, expected, late, within, capacity, add } => format!(
                "{late} of {} would not start within {} on {capacity} servers: add {add}",
                jobs(*waiting, *expected),
                time::text(*within)
            ),
            Self::CanWait { waiting, expected, late, within, capacity } => format!(
                "{late} of {} would not start within {} on {capacity} servers, and that can be mended later or is allowed: no change",
                jobs(*waiting, *expected),
                time::text(*within)
            ),
            Self::Kept { waiting, within, capacity } => format!(
                "{} waiting, all start within {} on {capacity} servers",
                reading::jobs(*waiting),
                time::text(*within)
            ),
            Self::Spare { waiting, capacity, remove } => {
                format!(
                    "{} waiting, nobody is late without {remove} of {capacity} servers",
                    reading::jobs(*waiting)
                )
            }
            Self::Doubted { before, waiting } => format!(
                "{} waiting before and {waiting} now, faster than servers can have started them: none goes before a second reading says so",
                reading::jobs(*before)
            ),
            Self::TakenBack { servers } => format!("{servers} draining servers are taken back"),
            Self::Foreseen { jobs, within } => format!(
                "{jobs} jobs are expected within {}, as in weeks before, too soon to wait for them",
                time::text(*within)
            ),
            Self::Terms { job_takes, learned, boot, late_per_mille } => format!(
                "a job takes {} ({}), a boot {}, {}.{} of 100 jobs were late",
                time::text(*job_takes),
                match learned {
                    Learned::Completions(jobs) => format!("by {jobs} of late"),
                    Learned::Drains(0) => "by the queue's length".to_owned(),
                    Learned::Drains(1) => "by the queue's length and 1 drain".to_owned(),
                    Learned::Drains(drains) => {
                        format!("by the queue's length and {drains} drains")
                    }
                },
                time::text(*boot),
                late_per_mille.div_euclid(10),
                late_per_mille.rem_euclid(10)
            ),
        }
    }
}

fn jobs(waiting: u64, expected: u32) -> String {
    if expected == 0 {
        format!("{waiting} waiting jobs")
    } else {
        format!("{waiting} waiting and {expected} expected jobs")
    }
}
