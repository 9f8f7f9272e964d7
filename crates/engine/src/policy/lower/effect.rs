//! Schedule lines without the effect that was meant: those that never count, those that nothing ends,
//! and a minute left out between two.

use std::collections::BTreeSet;

use super::cover::{Cover, Span};
use super::fleet::Limits;
use crate::model::capacity::Capacity;
use crate::policy::calendar::{Line, When};
use crate::policy::cron::{Cron, Times};
use crate::policy::problem::{Place, Problem, Problems, quote};
use crate::policy::span::{Dates, WEEK_MINUTES, Window};

/// The last minute of a day.
const LAST_MINUTE: i64 = 24 * 60 - 1;

/// A line of the schedule, and where it stands.
pub(super) type Placed = (Line, Place);

/// Warns of lines that do less than they say.
pub(super) fn remarks(lines: &[Placed], limits: &Limits, out: &mut Problems) {
    let (mut crons, mut windows, mut dates) = (Vec::new(), Vec::new(), Vec::new());
    for placed in lines {
        match &placed.0.when {
            When::Cron(cron) => crons.push((cron.as_ref(), placed)),
            When::During(window) => windows.push((window, placed)),
            When::Dates(days) => dates.push((days, placed)),
        }
    }
    // Lines that were reported to have no effect at all.
    let mut idle: BTreeSet<Place> = BTreeSet::new();
    let whole_week = during(&windows, &crons, limits, (&mut idle, out));
    never_count(&dates, &mut idle, out);
    match whole_week {
        Some(covering) => {
            under_whole_week(&crons, covering, out);
            idle.extend(crons.iter().map(|(_, placed)| placed.1));
        }
        None => never_lowered(&crons, &[&placed(&windows), &placed(&dates)], limits, out),
    }
    let others: Vec<&Placed> = lines.iter().filter(|(_, at)| !idle.contains(at)).collect();
    at_minimum(&others, limits, out);
}

fn placed<'a, T>(of_kind: &[(T, &'a Placed)]) -> Vec<&'a Placed> {
    of_kind.iter().map(|(_, placed)| *placed).collect()
}

/// Judges the hours of the week. Returns a line that holds where they leave no minute to cron lines.
fn during<'a>(
    windows: &[(&Window, &'a Placed)],
    crons: &[(&Cron, &Placed)],
    limits: &Limits,
    (idle, out): (&mut BTreeSet<Place>, &mut Problems),
) -> Option<&'a Placed> {
    let spans: Vec<Span> = windows
        .iter()
        .enumerate()
        .flat_map(|(line, (window, placed))| {
            let capacity = placed.0.capacity;
            window.week().map(move |(from, to)| Span { from, to, line, capacity })
        })
        .collect();
    let cover = Cover::of(&spans, Some((0, WEEK_MINUTES)));
    covered(&cover, &placed(windows), idle, out);
    // What holds where no hours of the week do, at the least.
    let below = crons.iter().map(|(_, placed)| placed.0.capacity).min().unwrap_or(limits.min);
    let pieces: Vec<(i64, i64, Option<&'a Placed>)> = cover
        .pieces()
        .map(|(from, to, line)| {
            let owner = line.and_then(|line| windows.get(line)).map(|(_, placed)| *placed);
            (from, to, owner)
        })
        .collect();
    missing_minutes(&pieces, below, out);
    let first = pieces.first().and_then(|(_, _, owner)| *owner);
    first.filter(|_| pieces.iter().all(|(_, _, owner)| owner.is_some()))
}

fn never_count(dates: &[(&Dates, &Placed)], idle: &mut BTreeSet<Place>, out: &mut Problems) {
    let spans: Vec<Span> = dates
        .iter()
        .enumerate()
        .map(|(line, (dates, placed))| {
            let (from, to) = dates.days();
            Span { from, to, line, capacity: placed.0.capacity }
        })
        .collect();
    covered(&Cover::of(&spans, None), &placed(dates), idle, out);
}

/// Warns of lines that are always inside lines of more.
fn covered(cover: &Cover, lines: &[&Placed], idle: &mut BTreeSet<Place>, out: &mut Problems) {
    for (line, by) in cover.covered() {
        let (Some((line, at)), Some((larger, larger_at))) = (lines.get(line), lines.get(by)) else {
            continue;
        };
        idle.insert(*at);
        let label = format!("{}, and more holds the whole time", line.capacity);
        let problem = Problem::warning(*at, "a line that never counts", label)
            .also(*larger_at, format!("{} here", larger.capacity))
            .remedy(format!(
                "the largest capacity counts: raise this one above {}, or remove the line",
                larger.capacity
            ));
        out.push(problem);
    }
}

/// Warns where a line ends one minute before another begins, and less holds in between.
fn missing_minutes(pieces: &[(i64, i64, Option<&Placed>)], below: Capacity, out: &mut Problems) {
    let level = |owner: Option<&Placed>| owner.map_or(below, |(line, _)| line.capacity);
    let mut reported: BTreeSet<Place> = BTreeSet::new();
    let next = pieces.iter().cycle().skip(1);
    let after = pieces.iter().cycle().skip(2);
    for ((before, gap), after) in pieces.iter().zip(next).zip(after) {
        let (from, to, owner) = *gap;
        let (Some(ends), Some(begins)) = (before.2, after.2) else { continue };
        let less = level(owner) < level(before.2).min(level(after.2));
        // A line of just that minute is meant.
        let meant = owner.is_some_and(|(line, _)| match &line.when {
            When::During(window) => window.week().any(|span| span == (from, to)),
            When::Cron(_) | When::Dates(_) => false,
        });
        if to.saturating_sub(from) != 1 || !less || meant || !reported.insert(ends.1) {
            continue;
        }
        let minute = from.rem_euclid(LAST_MINUTE.saturating_add(1));
        let remedy = if minute == LAST_MINUTE {
            "end at `24:00`, or write one span over midnight: `daily 22:00-06:00`".to_owned()
        } else {
            let end = minute.saturating_add(1);
            format!(
                "end at `{:02}:{:02}`, which the span does not include",
                end.div_euclid(60),
                end.rem_euclid(60)
            )
        };
        let message = format!("a minute is left out after {}", quote(&ends.0.text));
        let label = format!(
            "servers are terminated, and launched anew a minute later: {} holds",
            level(owner)
        );
        let mut problem = Problem::warning(ends.1, message, label);
        if begins.1 != ends.1 {
            problem = problem.also(begins.1, "the next span begins a minute later");
        }
        out.push(problem.remedy(remedy));
    }
}

/// Warns of cron lines in a week that is wholly covered by spans.
fn under_whole_week(crons: &[(&Cron, &Placed)], covering: &Placed, out: &mut Problems) {
    for (_, (line, at)) in crons {
        let label = format!("{} never holds", line.capacity);
        let problem = Problem::warning(*at, "a cron line that never counts", label)
            .also(covering.1, "`during` lines hold at all times, and beat cron")
            .remedy("remove the line, or leave hours of the week to it");
        out.push(problem);
    }
}

/// Warns of cron lines above `min` that no line ever lowers.
fn never_lowered(
    crons: &[(&Cron, &Placed)],
    others: &[&[&Placed]],
    limits: &Limits,
    out: &mut Problems,
) {
    let lowest = crons.iter().map(|(_, placed)| placed.0.capacity).min().unwrap_or(0);
    let highest = crons.iter().map(|(_, placed)| placed.0.capacity).max().unwrap_or(0);
    let lower = |capacity| {
        others.iter().any(|lines| lines.iter().any(|placed| placed.0.capacity < capacity))
    };
    if lowest == highest {
        let first = crons.iter().find(|(cron, _)| cron.fires_each_minute()).or(crons.first());
        if let Some((cron, placed)) = first.filter(|_| lowest > limits.min && !lower(lowest)) {
            out.push(unending(cron, placed, limits));
        }
        return;
    }
    let mut sorted: Vec<&(&Cron, &Placed)> = crons.iter().collect();
    sorted.sort_by_key(|(_, placed)| placed.0.capacity);
    // What the lines of less fire at, taken together.
    let mut less = Times::default();
    for group in sorted.chunk_by(|a, b| a.1.0.capacity == b.1.0.capacity) {
        for (cron, placed) in group {
            let capacity = placed.0.capacity;
            let above = capacity > limits.min && capacity > lowest;
            if above && cron.fires_right_after(less) && !lower(capacity) {
                out.push(unending(cron, placed, limits));
            }
        }
        for (cron, _) in group {
            less.add(cron);
        }
    }
}

fn unending(cron: &Cron, (line, at): &Placed, limits: &Limits) -> Problem {
    let label = format!("{} from then on: no line lowers it", line.capacity);
    let message = format!("{} never ends", quote(&line.text));
    let remedy = if cron.fires_each_minute() {
        "`*` fires at every minute, and the last firing holds on: for some hours write `during: daily 08:00-09:00`".to_owned()
    } else {
        format!(
            "add a line that lowers it, such as `{{ cron: \"0 21 * * *\", capacity: {} }}`, or write hours: `during: mon-fri 08:00-21:00`",
            limits.min
        )
    };
    Problem::warning(*at, message, label).remedy(remedy)
}

/// Warns of lines at `min` without a line of more that they could lower.
fn at_minimum(lines: &[&Placed], limits: &Limits, out: &mut Problems) {
    let kind = |line: &Line| match line.when {
        When::Cron(_) => 0,
        When::During(_) => 1,
        When::Dates(_) => 2,
    };
    // Of each kind, and of all kinds that it beats.
    let raises =
        |most: i32| lines.iter().any(|(line, _)| line.capacity > limits.min && kind(line) <= most);
    let raises = [raises(0), raises(0), raises(1)];
    for (line, at) in lines.iter().filter(|(line, _)| line.capacity == limits.min) {
        let lowers = usize::try_from(kind(line)).ok().and_then(|kind| raises.get(kind));
        if lowers.is_some_and(|lowers| !lowers) {
            let label = format!("{}, as without the line", line.capacity);
            let mut problem =
                Problem::warning(*at, "a schedule line at `min` that changes nothing", label);
            if let Some(min_at) = limits.min_at {
                problem = problem.also(min_at, "never fewer than this anyway");
            }
            out.push(problem.remedy("raise its capacity above `min`, or remove the line"));
        }
    }
}
