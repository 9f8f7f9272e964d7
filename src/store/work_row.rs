//! The stored shape of what a fleet has learned of its work.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::model::work::{Cohort, Counts, WorkMemory};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkRow {
    cohorts: Vec<(Timestamp, Timestamp, f64)>,
    busy_seconds: f64,
    completed: f64,
    surprise: f64,
    started: f64,
    late: f64,
    last: Option<CountsRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CountsRow {
    at: Timestamp,
    waiting: f64,
    running: f64,
    arrived: Option<u64>,
    completed: Option<u64>,
}

impl From<WorkMemory> for WorkRow {
    fn from(work: WorkMemory) -> Self {
        let WorkMemory { cohorts, busy_seconds, completed, surprise, started, late, last } = work;
        Self {
            cohorts: cohorts.into_iter().map(|c| (c.from, c.to, c.jobs)).collect(),
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            last: last.map(|Counts { at, waiting, running, arrived, completed }| CountsRow {
                at,
                waiting,
                running,
                arrived,
                completed,
            }),
        }
    }
}

impl From<WorkRow> for WorkMemory {
    fn from(row: WorkRow) -> Self {
        let WorkRow { cohorts, busy_seconds, completed, surprise, started, late, last } = row;
        let cohorts = cohorts.into_iter().map(|(from, to, jobs)| Cohort { from, to, jobs });
        Self {
            cohorts: cohorts.collect(),
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            last: last.map(|CountsRow { at, waiting, running, arrived, completed }| Counts {
                at,
                waiting,
                running,
                arrived,
                completed,
            }),
        }
    }
}
