//! How many servers may go for the sake of the jobs on them.

use std::time::Duration;

use super::queue::{stale_after, under_since};
use crate::model::busy::Elsewhere;
use crate::model::capacity::{Capacity, count};
use crate::model::decision::JobsReason;
use crate::model::drain::DrainRecord;
use crate::model::reading::Depth;
use crate::model::roster::FleetView;
use crate::model::time::{self, Timestamp};
use crate::policy::{FleetPolicy, QueuePolicy};

/// Fewer servers may go than scale-in would take.
pub(super) struct Held {
    pub at_most: Capacity,
    pub why: JobsReason,
    /// When that may change by itself.
    pub until: Option<Timestamp>,
}

impl Held {
    fn back(why: JobsReason, until: Option<Timestamp>) -> Self {
        Self { at_most: 0, why, until }
    }
}

/// Returns how many servers may go, and why no more; `None`: no job holds them.
pub(super) fn held(fleet: &FleetPolicy, view: &FleetView, now: Timestamp) -> Option<Held> {
    if fleet.drain_terms().is_some() {
        return by_drains(view, now);
    }
    let queue = fleet.queue.as_ref()?;
    // Only the last reading tells: what an earlier one told is out of date.
    let told = view.memory.last_reading().and_then(|reading| reading.depth.as_ref().ok());
    let risk = fleet.unprotected_jobs();
    match (told, risk) {
        (Some(depth), _) if depth.work.busy.is_some() => {
            let Elsewhere { key, jobs } = view.elsewhere.clone()?;
            Some(Held::back(JobsReason::Elsewhere { key, jobs }, None))
        }
        (Some(Depth { work, .. }), _) if work.running.is_some() => {
            let jobs = work.running.filter(|jobs| *jobs > 0)?;
            Some(Held::back(JobsReason::Run { jobs }, None))
        }
        (_, Some(risk)) => Some(Held::back(JobsReason::AtRisk { why: risk.as_str().into() }, None)),
        (_, None) => may_run(fleet, queue, view, now),
    }
}

fn by_drains(view: &FleetView, now: Timestamp) -> Option<Held> {
    let record: &DrainRecord = &view.memory.drains;
    if record.is_ignored() {
        let drains = record.ignored;
        return Some(Held::back(JobsReason::DrainsIgnored { drains }, None));
    }
    if let (Some(last), Some(until)) = (&record.undelivered, record.tried_again_at()) {
        let why = JobsReason::DrainUndelivered { why: last.why.clone(), until };
        if until > now {
            return Some(Held::back(why, Some(until)));
        }
    }
    if record.heeded {
        return None;
    }
    let drains = view.servers.iter().filter(|server| {
        let retirement = server.record.retirement.as_ref();
        retirement.is_some_and(|r| r.drain.is_some() && r.termination().is_none())
    });
    let draining = count(drains);
    let at_most = Capacity::from(draining == 0);
    Some(Held { at_most, why: JobsReason::DrainsOneByOne { draining }, until: None })
}

/// With `drain: none` and a queue that tells its length alone, the servers are idle once it has been
/// empty for as long as a job may take.
fn may_run(
    fleet: &FleetPolicy,
    queue: &QueuePolicy,
    view: &FleetView,
    now: Timestamp,
) -> Option<Held> {
    let takes = fleet.jobs_may_take();
    let readings = &view.memory.readings;
    let empty = readings.back().filter(|last| {
        let empty = last.depth.as_ref().is_ok_and(|depth| depth.waiting == 0);
        empty && time::since(now, last.at) <= stale_after(queue)
    });
    let since = empty.map(|last| under_since(queue, readings, last.at, 1));
    let empty_for = since.map_or(Duration::ZERO, |since| time::since(now, since));
    let until = since.map(|since| time::after(since, takes));
    (empty_for < takes).then(|| Held::back(JobsReason::MayRun { takes, empty_for, until }, until))
}
