//! The clock's part of a fleet.

use std::collections::BTreeMap;

use super::Context;
use super::effect::{self, Placed};
use super::fleet::Limits;
use super::section::{Section, YES_NO, items, text, word};
use crate::model::capacity::Capacity;
use crate::policy::calendar::{Line, Schedule, When};
use crate::policy::cron::{self, CronError};
use crate::policy::file::{Entry, Node};
use crate::policy::keys;
use crate::policy::problem::{Place, Problem, Problems, quote};
use crate::policy::span::{Dates, Window};

/// The most lines with `ready: true`: each is searched for in the calendar at every edge of another.
const READY_MAX: usize = 500;

/// Reads `schedule`; `None` when there is none.
pub(super) fn read(
    fleet: &Section<'_>,
    limits: &Limits,
    context: &Context,
    out: &mut Problems,
) -> Option<Schedule> {
    let entry = fleet.get("schedule")?;
    let known_problems = out.len();
    let nodes = items(entry, out);
    let mut lines: Vec<Placed> = Vec::new();
    let mut known: BTreeMap<When, (Capacity, Place)> = BTreeMap::new();
    for node in nodes {
        let Some((line, at)) = line(node, limits, context, out) else { continue };
        if let Some((earlier, earlier_at)) = known.get(&line.when) {
            let message = "two lines that always fire together";
            let cron = matches!(line.when, When::Cron(_));
            let (wins, other) = if cron || line.capacity > *earlier {
                ((at, line.capacity), (*earlier_at, *earlier))
            } else {
                ((*earlier_at, *earlier), (at, line.capacity))
            };
            let problem = Problem::warning(wins.0, message, format!("this wins: {}", wins.1))
                .also(other.0, format!("so this never counts: {}", other.1))
                .remedy("remove one of them");
            out.push(problem);
        }
        known.entry(line.when.clone()).or_insert((line.capacity, at));
        lines.push((line, at));
    }
    // `defaults` are judged in each fleet, by its own `min`.
    if !context.partial && !out.has_error_since(known_problems) {
        effect::remarks(&lines, limits, out);
    }
    let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
    let ready = lines.iter().filter(|line| line.ready).count();
    if ready > READY_MAX {
        let message = format!("a schedule with {ready} lines of `ready: true`");
        let problem = Problem::error(entry.at, message, format!("at most {READY_MAX}"));
        out.push(problem.remedy("write lines that hold on more than one day"));
    }
    (!lines.is_empty()).then(|| Schedule::new(context.zone.clone(), lines))
}

fn line(
    node: &Node,
    limits: &Limits,
    context: &Context,
    out: &mut Problems,
) -> Option<(Line, Place)> {
    let section = Section::of("schedule", node.at, node, keys::SCHEDULE, out);
    let when = when(&section, out);
    let capacity = section.need("capacity", "say how many servers: `capacity: 3`", out);
    let ready = section.get("ready").and_then(|entry| word(entry, YES_NO, out));
    let capacity = capacity
        .and_then(|entry| Some(within(entry, section.whole("capacity", out)?, limits, out)));
    let when = when?;
    let line = match when.key.as_str() {
        "during" => span(when, |text| Window::parse(text).map(When::During), out),
        "dates" => dates(when, context, out),
        _ => expression(when, out),
    };
    let line = Line { capacity: capacity?, ready: ready.unwrap_or(false), ..line? };
    Some((line, when.value.at))
}

/// The one of `cron`, `during` and `dates` that is there.
fn when<'a>(section: &Section<'a>, out: &mut Problems) -> Option<&'a Entry> {
    let given = ["cron", "during", "dates"].into_iter().filter_map(|key| section.get(key));
    let given: Vec<&Entry> = given.collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("both `{}` and `{}`", first.key, second.key);
        let problem = Problem::error(second.at, message, "this")
            .also(first.at, "and this")
            .remedy("keep one of them in a line, and write a line for the other");
        out.push(problem);
    }
    if given.is_empty() {
        let remedy = "write `cron: \"0 8 * * mon-fri\"`, or `during: mon-fri 08:00-21:00`, or `dates: 2026-12-25`";
        section.need("cron", remedy, out);
    }
    given.first().copied()
}

/// A line that goes by spans; its capacity is yet to be filled in.
fn span(
    entry: &Entry,
    parse: impl Fn(&str) -> Result<When, CronError>,
    out: &mut Problems,
) -> Option<Line> {
    let text = text(entry, out)?;
    let at = entry.value.at;
    match parse(text) {
        Ok(when) => {
            Some(Line { when, text: text.to_owned(), capacity: 0, ready: false, at_line: at.line })
        }
        Err(error) => {
            let message = format!("{} is not what `{}` takes", quote(text), entry.key);
            out.push(Problem::error(at, message, error.message).remedy(error.remedy));
            None
        }
    }
}

fn dates(entry: &Entry, context: &Context, out: &mut Problems) -> Option<Line> {
    let line = span(entry, |text| Dates::parse(text).map(When::Dates), out)?;
    let today = context.now.to_zoned(context.zone.clone()).date();
    if let When::Dates(dates) = &line.when
        && dates.last < today
    {
        let message = format!("{} is over", quote(&line.text));
        let problem = Problem::warning(entry.value.at, message, "this changes nothing any more");
        out.push(problem.remedy("remove the line, or write the next date"));
    }
    Some(line)
}

/// A capacity within the fleet's bounds.
fn within(entry: &Entry, capacity: Capacity, limits: &Limits, out: &mut Problems) -> Capacity {
    let at = entry.value.at;
    if let Some(max) = limits.max.filter(|max| capacity > *max) {
        let label = format!("but this line asks for {capacity}");
        let problem = Problem::error(at, "the schedule asks for more than `max`", label)
            .also(limits.max_at, format!("never more than {max}"))
            .remedy(format!("raise `max` to {capacity}, or lower this line"));
        out.push(problem);
    } else if capacity < limits.min {
        let label = format!("but this line asks for {capacity}");
        let mut problem = Problem::error(at, "the schedule asks for less than `min`", label);
        if let Some(min_at) = limits.min_at {
            problem = problem.also(min_at, format!("never fewer than {}", limits.min));
        }
        out.push(problem.remedy(format!("lower `min` to {capacity}, or raise this line")));
    }
    capacity
}

/// A cron expression; its capacity is yet to be filled in.
fn expression(entry: &Entry, out: &mut Problems) -> Option<Line> {
    let text = text(entry, out)?;
    let at = entry.value.at;
    let line = match Line::new(text, 0, at.line) {
        Ok(line) => line,
        Err(error) => {
            let message = format!("{} is not a cron expression", quote(text));
            out.push(Problem::error(at, message, error.message).remedy(error.remedy));
            return None;
        }
    };
    if cron::names_two_kinds_of_day(text) {
        let message = format!("{} fires on either kind of day", quote(text));
        let label = "the days of the month, and also the days of the week";
        let problem = Problem::warning(at, message, label);
        out.push(problem.remedy("cron joins the two with `or`: write `*` for one of them"));
    }
    Some(line)
}
