//! The queue's part of a fleet.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::fleet::Limits;
use super::goal;
use super::health::url;
use super::section::{Section, formed, text};
use crate::model::capacity::Capacity;
use crate::model::reading::{FieldMap, JsonFields, QueueSource, SecretHeader};
use crate::model::time;
use crate::policy::file::{Entry, Kind};
use crate::policy::keys;
use crate::policy::problem::{Problem, Problems, quote};
use crate::policy::{IfUnreadable, QueuePolicy, QueueRule, ScaleIn, ScaleOut};

/// A queue longer than this is a misreading.
/// How often a queue with a goal is read by default.
const GOAL_EVERY: Duration = Duration::from_mins(1);

/// How many readings back a fleet can look; a few fewer than are kept.
pub(super) const READINGS_LOOKED_BACK: u32 = 280;

/// Reads `queue`; `None` when there is none, or it cannot be understood.
pub(super) fn read(
    fleet: &Section<'_>,
    limits: &Limits,
    context: &Context,
    out: &mut Problems,
) -> Option<QueuePolicy> {
    let section = fleet.section("queue", keys::QUEUE, out)?;
    // In `defaults` a queue may be half said, and a fleet says the rest.
    let need = |section: &Section<'_>, key, remedy, out: &mut Problems| {
        if context.partial { None } else { section.need(key, remedy, out).map(|_| ()) }
    };
    need(&section, "read", "add `read: { http: \"http://HOST/queue/length\" }`", out);
    // A goal is kept at the least cost where the queue is read often.
    let every = match section.get("start_within") {
        Some(_) => section.span("every", out).unwrap_or(GOAL_EVERY),
        None => section.span_or_default("every", out),
    };
    let source = section.section("read", keys::READ, out).and_then(|read| {
        need(&read, "http", "add `http: \"http://HOST/queue/length\"`", out);
        source(&read, context, out)
    });
    let (rule, job_takes) = if section.get("start_within").is_some() {
        let goal = goal::read(&section, every, out);
        (goal.map(QueueRule::Goal), goal.and_then(|goal| goal.job_takes))
    } else {
        goal::stray(&section, out);
        let job_takes = goal::job_takes_without(&section, out);
        need(
            &section,
            "scale_out",
            "add `scale_out: { above: 20 }`, or a goal: `start_within: 15m`",
            out,
        );
        need(&section, "scale_in", "add `scale_in: { below: 5 }`", out);
        (thresholds(&section, every, context, out), job_takes)
    };
    let if_unreadable =
        section.get("if_unreadable").and_then(|entry| if_unreadable(entry, limits, out));
    Some(QueuePolicy {
        source: Arc::new(source?),
        every,
        rule: rule?,
        job_takes,
        if_unreadable: if_unreadable.unwrap_or(IfUnreadable::Hold),
    })
}

/// `scale_out` and `scale_in`, which must leave room between them.
fn thresholds(
    section: &Section<'_>,
    every: Duration,
    context: &Context,
    out: &mut Problems,
) -> Option<QueueRule> {
    let need = |section: &Section<'_>, key, remedy, out: &mut Problems| {
        if context.partial { None } else { section.need(key, remedy, out).map(|_| ()) }
    };
    let grow = section.section("scale_out", keys::SCALE_OUT, out);
    let shrink = section.section("scale_in", keys::SCALE_IN, out);
    let scale_out = grow.as_ref().and_then(|grow| {
        need(grow, "above", "say from how many waiting jobs on: `above: 20`", out);
        let add = grow.whole("add", out).unwrap_or(1);
        let above = grow.whole("above", out)?;
        Some(ScaleOut { above, add })
    });
    let scale_in = shrink.as_ref().and_then(|shrink| {
        need(shrink, "below", "say under how many waiting jobs: `below: 5`", out);
        let remove = shrink.whole("remove", out);
        let after = shrink.span_or_default("after", out);
        let longest = every.saturating_mul(READINGS_LOOKED_BACK);
        if let Some(entry) = shrink.get("after").filter(|_| after > longest) {
            let message = "`after` looks back further than readings are kept at hand";
            let label = format!("{} of readings every {}", time::text(after), time::text(every));
            let remedy = format!("write at most {}, or raise `every`", time::text(longest));
            out.push(Problem::error(entry.value.at, message, label).remedy(remedy));
        }
        let below = shrink.whole("below", out)?;
        Some(ScaleIn { below, remove: remove.unwrap_or(1), after })
    });
    if let (Some(scale_out), Some(scale_in), Some(grow), Some(shrink)) =
        (scale_out, scale_in, &grow, &shrink)
    {
        between(scale_out, scale_in, (grow, shrink), out);
        stability(scale_in, shrink, every, out);
    }
    Some(QueueRule::Thresholds(scale_out?, scale_in?))
}

/// Judges the numbers of jobs at which a fleet neither grows nor shrinks.
fn between(
    scale_out: ScaleOut,
    scale_in: ScaleIn,
    (grow, shrink): (&Section<'_>, &Section<'_>),
    out: &mut Problems,
) {
    let (Some(above), Some(below)) = (grow.get("above"), shrink.get("below")) else { return };
    if scale_in.below > scale_out.above.saturating_add(1) {
        let message = "the fleet would grow and shrink at once";
        let problem = Problem::error(below.value.at, message, "shrinks below this")
            .also(above.value.at, "and grows above this")
            .remedy("keep `below` well under `above`, or the fleet never rests");
        out.push(problem);
    } else if scale_out.above > 0 && scale_in.below >= scale_out.above {
        let message = "the fleet hardly ever rests";
        let problem = Problem::warning(below.value.at, message, "shrinks below this")
            .also(above.value.at, "and grows above this")
            .remedy("keep `below` well under `above`: each server that comes and goes is paid for");
        out.push(problem);
    } else if scale_in.below == 0 {
        let message = "the fleet never shrinks";
        let problem = Problem::warning(below.value.at, message, "no queue is shorter than this");
        out.push(problem.remedy("write `below: 1` to shrink once no job waits"));
    }
}

/// Warns of a stabilization window that a single reading fills.
fn stability(scale_in: ScaleIn, shrink: &Section<'_>, every: Duration, out: &mut Problems) {
    if scale_in.after.is_zero() || scale_in.after >= every {
        return;
    }
    if let Some(entry) = shrink.get("after") {
        let label = format!("one reading every {} is all that it covers", time::text(every));
        let problem = Problem::warning(entry.value.at, "`after` is shorter than `every`", label);
        out.push(problem.remedy(format!(
            "write `after: {}` for two readings in a row, or remove it",
            time::text(every)
        )));
    }
}

fn source(read: &Section<'_>, context: &Context, out: &mut Problems) -> Option<QueueSource> {
    let json = read.get("json").and_then(|entry| json(entry, context, out));
    let header = read.section("header", keys::HEADER, out).and_then(|h| header(&h, out));
    let url = read.get("http").and_then(|entry| url(entry, &[], out))?;
    Some(QueueSource { url, json, header })
}

/// Reads where the fields are in a JSON answer: a pointer to the number of waiting jobs, or a map.
fn json(entry: &Entry, context: &Context, out: &mut Problems) -> Option<JsonFields> {
    match &entry.value.kind {
        Kind::Map(_) => {
            let section = Section::open(entry, keys::READ_JSON, out);
            if !context.partial {
                let remedy = "say where the number of waiting jobs is: `waiting: /messages_ready`";
                section.need("waiting", remedy, out);
            }
            let mut at = |key| section.get(key).and_then(|entry| pointer(entry, out));
            Some(JsonFields::Mapped(FieldMap {
                // Where it is missing the file is refused.
                waiting: at("waiting").unwrap_or_default(),
                running: at("running"),
                oldest_seconds: at("oldest_seconds"),
                busy: at("busy"),
                arrived: at("arrived"),
                completed: at("completed"),
            }))
        }
        Kind::List(_) => {
            let problem = Problem::error(
                entry.value.at,
                "`json` is a list",
                "should be a JSON pointer, or a map of them",
            );
            out.push(problem.remedy(
                "write `json: /waiting`, or `json: { waiting: /messages_ready, running: /messages_unacknowledged }`",
            ));
            None
        }
        Kind::Text(_) | Kind::Nothing => pointer(entry, out).map(JsonFields::Named),
    }
}

fn pointer(entry: &Entry, out: &mut Problems) -> Option<String> {
    let form = "a JSON pointer like `/queues/0/length`";
    formed(entry, form, |text| text.starts_with('/'), out)
}

/// Reads a header whose value is in a file.
pub(super) fn header(section: &Section<'_>, out: &mut Problems) -> Option<SecretHeader> {
    let name = section.need("name", "say which header: `name: Authorization`", out);
    let secret = section.need("secret", "say which file has its value: `secret: queue-token`", out);
    let is_name = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    };
    let is_secret = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let hidden = text.split('/').any(|part| part == "..");
        !hidden && (plain || text.starts_with('/'))
    };
    let name = name.and_then(|entry| formed(entry, "the name of a header", is_name, out));
    let form = "the name of a secret, or the absolute path of a file; never the secret itself";
    let secret = secret.and_then(|entry| formed(entry, form, is_secret, out));
    Some(SecretHeader { name: name?, secret: secret? })
}

fn if_unreadable(entry: &Entry, limits: &Limits, out: &mut Problems) -> Option<IfUnreadable> {
    let text = text(entry, out)?;
    if text == "hold" {
        return Some(IfUnreadable::Hold);
    }
    let Ok(servers) = text.parse::<Capacity>() else {
        let message = format!("{} cannot be {}", quote(&entry.key), quote(text));
        let problem = Problem::error(entry.value.at, message, "should be `hold` or a number");
        out.push(problem.remedy("write `hold`, or how many servers to have at least"));
        return None;
    };
    if let Some(max) = limits.max.filter(|max| servers > *max) {
        let label = format!("asks for {servers}");
        let problem = Problem::error(entry.value.at, "`if_unreadable` is above `max`", label)
            .also(limits.max_at, format!("never more than {max}"))
            .remedy(format!("raise `max` to {servers}, or lower `if_unreadable`"));
        out.push(problem);
    }
    Some(IfUnreadable::AtLeast(servers))
}
