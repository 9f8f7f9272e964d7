//! Infers a fleet's work from the length of its queue, where the queue has no totals: how many jobs run,
//! arrive and end, and how long a job takes. An empty queue looks the same for an idle fleet and for one
//! that starts each job at once. Drains show the difference: a draining server is gone with its last job.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::work::{Flow, Lesson};
use crate::model::capacity::count;
use crate::model::drain::DrainRecord;
use crate::model::launch::Token;
use crate::model::time::{self, Timestamp};
use crate::model::work::{Counts, Inferred, WorkMemory, job_declared, plausible};
use crate::policy::Billing;

/// A job's run time is at least, and at most, so many times less than the mean drain of a server that
/// runs one job.
const DRAIN_AT_LEAST: f64 = 1.2;
const DRAIN_AT_MOST: f64 = 0.5;

/// The part of the pace that one reading renews.
const PACE_RENEWED: f64 = 0.02;

/// Jobs are not believed to end more slowly than this share of the declared pace.
const PACE_AT_LEAST: f64 = 0.05;

/// The pace is learned from so many readings in a row that found jobs waiting.
const BACKLOGS_NEEDED: u32 = 3;

/// Of a job that is only reckoned to run, what counts as none.
const HARDLY_ONE: f64 = 0.01;

/// The drains of a fleet at a reading. Times are the host's.
#[derive(Debug, Clone)]
pub(super) struct Drains {
    /// Those that are under way, and since when.
    open: BTreeMap<Token, Timestamp>,
    /// Those that have begun, and were cancelled, since the reading before.
    begun: u32,
    cancelled: u32,
    /// The mean on servers with jobs, in seconds.
    mean: Option<f64>,
}

impl Drains {
    /// Returns what has become of the drains since the reading that `known` ends with, and lets the fleet
    /// learn from those that were cancelled. `is_over`: whether one that is not open any more has ended.
    pub(super) fn since(
        known: &WorkMemory,
        open: BTreeMap<Token, Timestamp>,
        is_over: impl Fn(&Token) -> bool,
        record: &mut Arc<DrainRecord>,
        now: Timestamp,
    ) -> Self {
        let before = &known.inferred.draining;
        let begun = count(open.keys().filter(|token| !before.contains_key(*token)));
        let mut cancelled: u32 = 0;
        for (token, since) in before.iter().filter(|(token, _)| !open.contains_key(*token)) {
            if !is_over(token) {
                cancelled = cancelled.saturating_add(1);
                // It was cancelled upon the reading before.
                let at = known.last.map_or(now, |last| last.at);
                Arc::make_mut(record).busy.given_up(time::since(at, *since));
            }
        }
        let mean = record.busy.mean(open.values().map(|since| time::since(now, *since)));
        Self { open, begun, cancelled, mean }
    }
}

/// Returns the counts of a reading, and what happened since the one before. `told`: the number of running
/// jobs in the reading, if it has one.
pub(super) fn infer(
    memory: &mut WorkMemory,
    lesson: &Lesson<'_>,
    waiting: f64,
    told: Option<f64>,
) -> (Counts, Option<Flow>) {
    let at = lesson.reading.at;
    let places = f64::from(lesson.goal.jobs_at_once);
    let takes = job_takes(&memory.inferred, lesson);
    let before = match (told, memory.last) {
        (Some(_), Some(last)) => last.running,
        (Some(_) | None, _) => running_before(memory, lesson),
    };
    memory.inferred.running_told = told.is_some();
    memory.inferred.serving = lesson.serving / places;
    memory.inferred.draining.clone_from(&lesson.drains.open);
    let Some(last) = memory.last else {
        memory.inferred.job_takes = Some(takes);
        let running = told.unwrap_or(if waiting > 0.0 { lesson.serving } else { 0.0 });
        return (Counts { at, waiting, running, arrived: None, completed: None }, None);
    };
    let span = time::since(at, last.at).as_secs_f64();
    let running = told.unwrap_or_else(|| running(lesson, waiting, before, span / takes));
    let ran = if told.is_some() { before } else { before.min(lesson.serving) };
    let busy = f64::midpoint(ran, running) * span;
    let started = (running - before).max(0.0);
    let grown = waiting + started - last.waiting;
    let backlog = waiting > 0.0 && last.waiting > 0.0;
    // A queue that stands still has not turned over: nothing came, and nothing went.
    let still = backlog && grown == 0.0;
    let completed = if still { 0.0 } else { busy / takes };
    let more = waiting + running - last.waiting - before;
    let arrived = if still { 0.0 } else { (completed + more).max(0.0) };
    pace(&mut memory.inferred, waiting, grown, busy / takes);
    memory.inferred.grown = grown;
    memory.inferred.job_takes = Some(job_takes(&memory.inferred, lesson));
    let flow = Flow { arrived, completed, counted: false, span, busy };
    (Counts { at, waiting, running, arrived: None, completed: None }, Some(flow))
}

/// Returns how many jobs ran at the last reading on what are the servers in service now.
fn running_before(known: &WorkMemory, lesson: &Lesson<'_>) -> f64 {
    let places = f64::from(lesson.goal.jobs_at_once);
    let mut running = known.last.map_or(0.0, |last| last.running);
    let mut serving = known.inferred.serving;
    for _ in 0..lesson.drains.begun {
        running -= (running / serving.max(1.0)).min(places);
        serving -= 1.0;
    }
    // A server whose drain is cancelled took no jobs for a while; how many it runs is not known.
    (running + f64::from(lesson.drains.cancelled) * places).max(0.0)
}

/// Returns how many jobs run. While jobs wait every place is taken; otherwise those that ran are left
/// that have not ended.
fn running(lesson: &Lesson<'_>, waiting: f64, before: f64, spans: f64) -> f64 {
    if waiting > 0.0 {
        return lesson.serving;
    }
    let fades = match lesson.billing {
        Billing::Hour => 1.0,
        Billing::Second => 0.5,
    };
    let left = (before * (-spans / fades).exp()).min(lesson.serving);
    if left < HARDLY_ONE { 0.0 } else { left }
}

/// Learns the pace at which jobs end from how unsteadily the queue grows: where so many jobs ended and
/// as many came, the difference of two readings varies by twice their number at least.
fn pace(inferred: &mut Inferred, waiting: f64, grown: f64, completed: f64) {
    inferred.backlogs = if waiting > 0.0 { inferred.backlogs.saturating_add(1) } else { 0 };
    if inferred.backlogs < BACKLOGS_NEEDED {
        return;
    }
    let square = (grown - inferred.grown).powi(2) / 2.0;
    let excess = square.min(4.0 * completed + 0.5) / (1.48 * completed + 0.35) - 1.0;
    let pace = inferred.pace + PACE_RENEWED * completed.min(1.0) * excess;
    inferred.pace = pace.clamp(PACE_AT_LEAST.ln(), 0.0);
}

/// Returns how long a job takes, in seconds: as declared, at the learned pace; once enough drains have
/// ended, within the bounds that they set.
fn job_takes(inferred: &Inferred, lesson: &Lesson<'_>) -> f64 {
    let declared = job_declared(lesson.goal.job_takes) * (-inferred.pace).exp();
    let Some(mean) = lesson.drains.mean else { return plausible(declared) };
    // The last of several jobs ends later than one.
    let jobs = (1..=lesson.goal.jobs_at_once).map(|nth| 1.0 / f64::from(nth)).sum::<f64>() / 1.5;
    let (least, most) = (mean / (DRAIN_AT_LEAST * jobs), mean / (DRAIN_AT_MOST * jobs));
    plausible(declared.max(least).min(most))
}
