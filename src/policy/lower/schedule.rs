//! The clock's part of a fleet.

use super::Context;
use super::fleet::{CAPACITY_MAX, Limits};
use super::section::{Section, items, text, whole, word};
use crate::model::capacity::Capacity;
use crate::policy::calendar::{Line, Schedule, next_firing};
use crate::policy::cron;
use crate::policy::file::{self, Entry, Node};
use crate::policy::problem::{Place, Problem, Problems, quote};

const YES_NO: &[(&str, bool)] = &[("true", true), ("false", false)];

/// Reads `schedule`; `None` when there is none.
pub(super) fn read(
    fleet: &Section<'_>,
    limits: &Limits,
    context: &Context,
    out: &mut Problems,
) -> Option<Schedule> {
    let entry = fleet.get("schedule")?;
    let mut lines: Vec<(Line, Place)> = Vec::new();
    for node in items(entry, out) {
        let Some((line, at)) = line(node, limits, context, out) else { continue };
        if let Some((earlier, earlier_at)) = lines.iter().find(|(l, _)| l.cron == line.cron) {
            let message = "two lines that always fire together";
            let problem = Problem::warning(at, message, format!("this wins: {}", line.capacity))
                .also(*earlier_at, format!("so this never counts: {}", earlier.capacity))
                .remedy("remove one of them");
            out.push(problem);
        }
        lines.push((line, at));
    }
    let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
    (!lines.is_empty()).then(|| Schedule { zone: context.zone.clone(), lines })
}

fn line(
    node: &Node,
    limits: &Limits,
    context: &Context,
    out: &mut Problems,
) -> Option<(Line, Place)> {
    let section = Section::of("schedule", node.at, node, file::SCHEDULE_KEYS, out);
    let cron = section.need("cron", "write `cron: \"0 8 * * mon-fri\"`", out);
    let capacity = section.need("capacity", "say how many servers: `capacity: 3`", out);
    let ready = section.get("ready").and_then(|entry| word(entry, YES_NO, out));
    let capacity = capacity.and_then(|entry| within(entry, limits, out));
    let cron = cron?;
    let line = expression(cron, context, out);
    let line = Line { capacity: capacity?, ready: ready.unwrap_or(false), ..line? };
    Some((line, cron.value.at))
}

/// A capacity within the fleet's bounds.
fn within(entry: &Entry, limits: &Limits, out: &mut Problems) -> Option<Capacity> {
    let capacity = whole(entry, 0..=CAPACITY_MAX, out)?;
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
    Some(capacity)
}

/// An expression that will fire again; its capacity is yet to be filled in.
fn expression(entry: &Entry, context: &Context, out: &mut Problems) -> Option<Line> {
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
    let now = context.now.to_zoned(context.zone.clone());
    if next_firing(&line.cron, &now, false).is_none() {
        let message = format!("{} never fires", quote(text));
        let problem = Problem::error(at, message, "no such day");
        out.push(problem.remedy("check the day of the month against the month"));
        return None;
    }
    if cron::names_two_kinds_of_day(text) {
        let message = format!("{} fires on either kind of day", quote(text));
        let label = "the days of the month, and also the days of the week";
        let problem = Problem::warning(at, message, label);
        out.push(problem.remedy("cron joins the two with `or`: write `*` for one of them"));
    }
    Some(line)
}
