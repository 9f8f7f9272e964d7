//! The stored shape of what a fleet has learned of its work.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::season::{Hour, Season};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::model::work::{Cohort, Counts, Inferred, WorkMemory};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkRow {
    cohorts: Vec<(Timestamp, Timestamp, f64)>,
    busy_seconds: f64,
    completed: f64,
    surprise: f64,
    started: f64,
    late: f64,
    #[serde(default)]
    season: Option<SeasonRow>,
    #[serde(default)]
    inferred: Option<InferredRow>,
    last: Option<CountsRow>,
}

/// What is inferred where the queue tells no totals.
#[derive(Debug, Serialize, Deserialize)]
struct InferredRow {
    job_takes: f64,
    running_told: bool,
    pace: f64,
    grown: f64,
    backlogs: u32,
    serving: f64,
    #[serde(rename = "drain_begun")]
    draining: Vec<(String, Timestamp)>,
}

impl InferredRow {
    fn of(inferred: &Inferred) -> Option<Self> {
        let draining = inferred.draining.iter();
        Some(Self {
            job_takes: inferred.job_takes?,
            running_told: inferred.running_told,
            pace: inferred.pace,
            grown: inferred.grown,
            backlogs: inferred.backlogs,
            serving: inferred.serving,
            draining: draining.map(|(token, since)| (token.as_str().to_owned(), *since)).collect(),
        })
    }

    fn into_inferred(self) -> Inferred {
        let draining = self.draining.into_iter();
        Inferred {
            job_takes: Some(self.job_takes),
            running_told: self.running_told,
            pace: self.pace,
            grown: self.grown,
            backlogs: self.backlogs,
            serving: self.serving,
            draining: draining.map(|(token, since)| (Token::from_stored(&token), since)).collect(),
        }
    }
}

/// The hours of the week as tuples: there are many, and they are written with each reading.
#[derive(Debug, Serialize, Deserialize)]
struct SeasonRow {
    hours: Vec<(f64, u32, i64, f64, f64)>,
    came: f64,
    expected: f64,
}

impl From<&Season> for SeasonRow {
    fn from(season: &Season) -> Self {
        let row = |hour: &Hour| (hour.rate, hour.weeks, hour.week, hour.watched, hour.jobs);
        let hours = season.hours.iter().map(row).collect();
        Self { hours, came: season.came, expected: season.expected }
    }
}

impl SeasonRow {
    /// Of another length than a week it is begun anew.
    fn into_season(self) -> Option<Season> {
        let Season { hours: fresh, .. } = Season::default();
        let hour = |(rate, weeks, week, watched, jobs)| Hour { rate, weeks, week, watched, jobs };
        let hours: Vec<Hour> = self.hours.into_iter().map(hour).collect();
        let whole = hours.len() == fresh.len();
        whole.then_some(Season { hours, came: self.came, expected: self.expected })
    }
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
        let WorkMemory {
            cohorts,
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            season,
            inferred,
            last,
        } = work;
        Self {
            cohorts: cohorts.into_iter().map(|c| (c.from, c.to, c.jobs)).collect(),
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            season: season.as_deref().map(SeasonRow::from),
            inferred: InferredRow::of(&inferred),
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
        let WorkRow {
            cohorts,
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            season,
            inferred,
            last,
        } = row;
        let cohorts = cohorts.into_iter().map(|(from, to, jobs)| Cohort { from, to, jobs });
        Self {
            cohorts: cohorts.collect(),
            busy_seconds,
            completed,
            surprise,
            started,
            late,
            season: season.and_then(SeasonRow::into_season).map(Arc::new),
            inferred: inferred.map(InferredRow::into_inferred).unwrap_or_default(),
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

/// Who is busy; one that is left out has no job.
pub(super) fn busy_row(busy: &BTreeMap<InstanceId, u32>) -> BTreeMap<&str, u32> {
    let busy = busy.iter().filter(|(_, jobs)| **jobs > 0);
    busy.map(|(id, jobs)| (id.as_str(), *jobs)).collect()
}

/// Damaged, it is as good as not told.
pub(super) fn busy_of(row: &str) -> Option<BTreeMap<InstanceId, u32>> {
    let busy: BTreeMap<String, u32> = serde_json::from_str(row).ok()?;
    Some(busy.into_iter().map(|(id, jobs)| (InstanceId::new(&id), jobs)).collect())
}
