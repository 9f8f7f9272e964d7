//! What a reading teaches about a fleet's work: arrivals and completions since the one before, and
//! from them who waits since when, how long a job takes, and how many started late.

use std::sync::Arc;

use super::length::{self, Drains};
use crate::model::reading::{Depth, Reading};
use crate::model::time::{self, Timestamp};
use crate::model::work::{Cohort, Counts, Inferred, WorkMemory};
use crate::policy::{Billing, Goal};

/// How many completions experience of run times reaches back: long enough for a mean of jobs whose
/// lengths differ much, short enough to follow a change within a day of a small shop's work.
const COMPLETIONS_REMEMBERED: f64 = 300.0;

/// How many starts the share of late jobs reaches back.
const STARTS_REMEMBERED: f64 = 2000.0;

/// The part of the surprise that is renewed by one reading: two hundred of them, most of a day.
const SURPRISE_RENEWED: f64 = 0.005;

/// Fewer completions than this are too few to be surprised at.
const SURPRISE_NEEDS: f64 = 0.3;

/// Cohorts kept apart; beyond, the oldest are taken together.
const COHORTS: usize = 300;

/// What a reading is read for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson<'a> {
    pub goal: &'a Goal,
    pub reading: &'a Reading,
    /// Jobs that the servers in service can run at once.
    pub serving: f64,
    /// Whether the goal is too short to wait and see: the hours of the week are learned then.
    pub blind: bool,
    pub billing: Billing,
    pub drains: &'a Drains,
}

/// What is known after the lesson.
pub(super) fn learn(known: &WorkMemory, lesson: Lesson<'_>) -> WorkMemory {
    let Lesson { goal, reading, serving, blind, .. } = lesson;
    let mut memory = known.clone();
    if !blind {
        memory.season = None;
    }
    let Ok(depth) = &reading.depth else { return memory };
    if known.last.is_some_and(|last| last.at == reading.at) {
        return memory;
    }
    set_back(&mut memory, reading.at);
    let (now, flow) = if depth.work.has_totals() {
        memory.inferred = Inferred::default();
        let now = counts(&memory, goal, reading.at, depth, serving);
        let flow = memory.last.map(|last| flow(&memory, goal, &last, &now));
        (now, flow)
    } else {
        let running = depth.work.running().map(whole);
        length::infer(&mut memory, &lesson, whole(depth.waiting), running)
    };
    match memory.last.zip(flow) {
        Some((last, flow)) => {
            experience(&mut memory, goal, &flow);
            if blind {
                let season = memory.season.get_or_insert_default();
                Arc::make_mut(season).learn(last.at, now.at, flow.arrived);
            }
            arrivals(&mut memory, last.at, now.at, flow.arrived);
            starts(&mut memory, goal, (last.at, now.at), now.waiting);
        }
        // Since when they wait is not known; had they all waited long, the oldest would say so.
        None => arrivals(&mut memory, reading.at, reading.at, now.waiting),
    }
    if now.waiting == 0.0 {
        memory.cohorts.clear();
    }
    if let (Some(oldest), Some(first)) = (depth.oldest, memory.cohorts.front_mut()) {
        first.from = time::before(reading.at, oldest);
        first.to = first.to.max(first.from);
    }
    memory.last = Some(now);
    memory
}

/// A reading before the last was stamped after the clock had been set back: the last one was now, by
/// the clock as it is, and who waits has waited for as long as they had then.
fn set_back(memory: &mut WorkMemory, now: Timestamp) {
    let Some(last) = memory.last.as_mut().filter(|last| last.at > now) else { return };
    let by = time::since(last.at, now);
    last.at = now;
    for cohort in &mut memory.cohorts {
        cohort.from = time::before(cohort.from, by);
        cohort.to = time::before(cohort.to, by);
    }
}

/// The reading's counts; what it does not tell is reckoned.
fn counts(known: &WorkMemory, goal: &Goal, at: Timestamp, depth: &Depth, serving: f64) -> Counts {
    let told = depth.work.running().map(whole);
    // While jobs wait every place is taken; otherwise as many run as arrive in a job's time.
    let reckoned = || {
        if depth.waiting > 0 {
            return serving;
        }
        let last = known.last.map_or(0.0, |last| last.running);
        let since = known.last.map_or(0.0, |last| time::since(at, last.at).as_secs_f64());
        let left = (last * (-since / known.job_takes(goal.job_takes)).exp()).min(serving);
        if left < HARDLY_ONE { 0.0 } else { left }
    };
    Counts {
        at,
        waiting: whole(depth.waiting),
        running: told.unwrap_or_else(reckoned),
        arrived: depth.work.arrived,
        completed: depth.work.completed,
    }
}

/// What happened between two readings.
pub(super) struct Flow {
    pub arrived: f64,
    pub completed: f64,
    /// Whether `completed` was counted by somebody, not reckoned from what it would teach.
    pub counted: bool,
    /// From the one to the other, in seconds.
    pub span: f64,
    /// Running time in between, in seconds.
    pub busy: f64,
}

fn flow(known: &WorkMemory, goal: &Goal, last: &Counts, now: &Counts) -> Flow {
    let span = time::since(now.at, last.at).as_secs_f64();
    let busy = f64::midpoint(last.running, now.running) * span;
    // A total that has become smaller was begun anew: it says nothing of this span.
    let grown = |from: Option<u64>, to: Option<u64>| Some(whole(to?.checked_sub(from?)?));
    let arrived = grown(last.arrived, now.arrived);
    let completed = grown(last.completed, now.completed);
    let more = now.waiting + now.running - last.waiting - last.running;
    let ended = completed.or_else(|| Some((arrived? - more).max(0.0)));
    let reckoned = busy / known.job_takes(goal.job_takes);
    let completed = ended.unwrap_or(reckoned);
    Flow {
        arrived: arrived.unwrap_or_else(|| (completed + more).max(0.0)),
        completed,
        counted: ended.is_some(),
        span,
        busy,
    }
}

/// How long jobs take, and how unlike one another they are.
fn experience(memory: &mut WorkMemory, goal: &Goal, flow: &Flow) {
    // In no time at all nothing runs, and what ended teaches nothing.
    if !flow.counted || flow.span == 0.0 {
        return;
    }
    let expected = flow.busy / memory.job_takes(goal.job_takes);
    if expected > SURPRISE_NEEDS {
        let square = (flow.completed - expected).powi(2) / expected;
        memory.surprise += SURPRISE_RENEWED * (square - memory.surprise);
    }
    let kept = (-flow.completed / COMPLETIONS_REMEMBERED).exp();
    memory.busy_seconds = memory.busy_seconds * kept + flow.busy;
    memory.completed = memory.completed * kept + flow.completed;
}

fn arrivals(memory: &mut WorkMemory, from: Timestamp, to: Timestamp, jobs: f64) {
    if jobs > NOTHING {
        memory.cohorts.push_back(Cohort { from, to, jobs });
    }
    while memory.cohorts.len() > COHORTS
        && let Some(oldest) = memory.cohorts.pop_front()
        && let Some(next) = memory.cohorts.front_mut()
    {
        next.from = oldest.from;
        next.jobs += oldest.jobs;
    }
}

/// Takes the jobs that no longer wait from the front, at an even pace through the span, and counts
/// those that had waited for longer than the goal.
fn starts(memory: &mut WorkMemory, goal: &Goal, (from, to): (Timestamp, Timestamp), waiting: f64) {
    if waiting == 0.0 && memory.cohorts.is_empty() {
        return;
    }
    let known: f64 = memory.cohorts.iter().map(|cohort| cohort.jobs).sum();
    if known < waiting {
        // More wait than ever arrived, by our count: the newest cohort had more.
        arrivals(memory, from, to, waiting - known);
        return;
    }
    let started = known - waiting;
    let kept = (-started / STARTS_REMEMBERED).exp();
    memory.started = memory.started * kept + started;
    memory.late *= kept;
    let span = time::since(to, from).as_secs_f64();
    let allowed = goal.start_within.as_secs_f64();
    let age = |at: Timestamp| to.duration_since(at).as_secs_f64();
    let mut left = started;
    while left > NOTHING
        && let Some(first) = memory.cohorts.front_mut()
    {
        // A quarter of a cohort at a time, since its jobs did not arrive at once.
        let take = left.min(first.jobs).min((first.jobs / 4.0).max(1.0));
        let width = (age(first.from) - age(first.to)) * take / first.jobs;
        let arrived = age(first.from) - width / 2.0;
        let nth = started - left + take / 2.0;
        let begun = (span * (1.0 - nth / started)).min(arrived);
        if arrived - begun > allowed {
            memory.late += take;
        }
        first.jobs -= take;
        left -= take;
        if first.jobs <= NOTHING {
            memory.cohorts.pop_front();
        } else {
            first.from = time::after(first.from, seconds(width)).min(first.to);
        }
    }
}

/// Of a job that is only reckoned to run, what counts as none.
const HARDLY_ONE: f64 = 0.01;

/// What is left of a job in the arithmetic of fractions.
const NOTHING: f64 = 1e-6;

fn seconds(span: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(span.max(0.0)).unwrap_or_default()
}

/// Counts of jobs as numbers to reckon with; beyond what is exact they are misreadings anyway.
fn whole(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
