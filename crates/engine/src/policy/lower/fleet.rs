//! One fleet, its defaults already merged in.

use std::time::Duration;

use super::queue::READINGS_LOOKED_BACK;
use super::section::{Section, YES_NO, default_span, formed, word};
use super::{Context, MODES, Read, drain, health, launch, queue, schedule};
use crate::model::balancer::Balancer;
use crate::model::capacity::{Bounds, Capacity};
use crate::model::fleet::FleetName;
use crate::model::time;
use crate::policy::file::{Entry, Kind, Node};
use crate::policy::keys;
use crate::policy::problem::{Place, Problem, Problems, quote};
use crate::policy::{BalancerPolicy, Billing, DrainPolicy, FleetPolicy, Lines, QueueRule};

const BILLINGS: &[(&str, Billing)] = &[("hour", Billing::Hour), ("second", Billing::Second)];

/// The longest deregistration that still ends within the paid hour it begins in, with ticks to spare.
const DEREGISTRATION_IN_PAID_HOUR_MAX: Duration = Duration::from_mins(45);

/// Least and most capacity, and where the file says so.
pub(super) struct Limits {
    pub(super) min: Capacity,
    pub(super) max: Option<Capacity>,
    pub(super) min_at: Option<Place>,
    pub(super) max_at: Place,
}

/// `None` when too much is wrong to know what was meant; the problems say what.
pub(super) fn read(entry: &Entry, context: &Context, out: &mut Problems) -> Option<Read> {
    let name = FleetName::new(&entry.key);
    if name.is_none() {
        let message = format!("{} is not a name for a fleet", quote(&entry.key));
        let problem = Problem::error(entry.at, message, "not a name");
        out.push(problem.remedy("1 to 32 of a-z, 0-9 and `-`, beginning with a letter"));
    }
    let section = Section::of("fleet", entry.at, &entry.value, keys::FLEET, out);
    let limits = limits(&section, context, out);
    let mode = section.get("mode").and_then(|entry| word(entry, MODES, out));
    let launch = launch::read(&section, &entry.key, context, out);
    let balancer = balancer(&section, context, out);
    let health = health::read(&section, context, out);
    let schedule = schedule::read(&section, &limits, context, out);
    let queue = queue::read(&section, &limits, context, out);
    let drain = drain::read(&section, context, out);
    let minimum_uptime = section.span_or_default("minimum_uptime", out);
    let billing = billing(&section, balancer.as_ref(), out);
    let keep_attached = section.get("keep_attached").and_then(|entry| word(entry, YES_NO, out));
    let (health, grace) = health;
    let max = limits.max?;
    let launch = launch?;
    let policy = FleetPolicy {
        name: name?,
        mode: mode.unwrap_or(context.mode),
        settings: super::digest(&format!("{launch:?} {health:?} {grace:?}")).into(),
        launch,
        balancer,
        health,
        grace,
        bounds: Bounds::new(limits.min, max)?,
        schedule,
        queue,
        minimum_uptime,
        billing,
        keep_attached: keep_attached.unwrap_or(true),
        drain,
        lines: Lines::of(entry),
    };
    if !context.partial {
        remarks(&section, &policy, out);
        waits_for_ever(&section, &policy, limits.min_at, out);
    }
    Some(Read {
        policy,
        min_at: limits.min_at,
        max_at: limits.max_at,
        schedule_at: section.get("schedule").map(|entry| entry.at),
        balancer_at: section.get("load_balancer").map(|entry| entry.at),
    })
}

/// What the parts of a fleet mean for one another.
fn remarks(section: &Section<'_>, policy: &FleetPolicy, out: &mut Problems) {
    if let Some(terms) = policy.drain_terms() {
        drain::launches(section, terms, out);
    }
    if let (Some(risk), Some(queue)) = (policy.jobs_at_risk(), section.get("queue"))
        && let Some(problem) = risk.problem(&policy.name, queue.at)
    {
        out.push(problem);
    }
    if let (DrainPolicy::Off, Some(queue), Some(entry)) =
        (&policy.drain, &policy.queue, section.get("drain"))
    {
        let longest = queue.every.saturating_mul(READINGS_LOOKED_BACK);
        let takes = policy.jobs_may_take();
        if takes > longest {
            let message = "`drain: none` waits for longer than readings are kept at hand";
            let label = format!(
                "a job may take {}, of readings every {}",
                time::text(takes),
                time::text(queue.every)
            );
            let problem = Problem::error(entry.value.at, message, label);
            out.push(problem.remedy(format!(
                "raise `every`, lower `job_takes` to {} at most, or give the fleet a `drain`",
                time::text(longest)
            )));
        }
    }
}

/// Warns of a fleet that may be without servers while jobs wait, and grows only above a number of them.
fn waits_for_ever(
    section: &Section<'_>,
    policy: &FleetPolicy,
    min_at: Option<Place>,
    out: &mut Problems,
) {
    let Some(QueueRule::Thresholds(scale_out, _)) = policy.queue.as_ref().map(|queue| &queue.rule)
    else {
        return;
    };
    let above = scale_out.above;
    // A schedule that raises the floor serves them in the end.
    let raised = policy
        .schedule
        .as_ref()
        .is_some_and(|schedule| schedule.lines.iter().any(|line| line.capacity > 0));
    let empty = policy.bounds.min() == 0 && policy.bounds.max() > 0;
    if above == 0 || raised || !empty {
        return;
    }
    let Some(at) =
        section.get("queue").and_then(|queue| value_below(&queue.value, &["scale_out", "above"]))
    else {
        return;
    };
    let jobs = if above == 1 { "1 job".to_owned() } else { format!("up to {above} jobs") };
    let label = format!("without servers, {jobs} may wait here");
    let mut problem = Problem::warning(at, "jobs may wait for ever", label);
    if let Some(min_at) = min_at {
        problem = problem.also(min_at, "the fleet may be without servers");
    }
    out.push(problem.remedy(
        "write `above: 0` with `scale_in: { below: 1 }`, or `min: 1`, or a goal: `start_within: 15m`",
    ));
}

/// Returns where the value below some keys stands.
fn value_below(node: &Node, path: &[&str]) -> Option<Place> {
    let [key, rest @ ..] = path else { return Some(node.at) };
    let Kind::Map(entries) = &node.kind else { return None };
    value_below(&entries.iter().find(|entry| entry.key == *key)?.value, rest)
}

fn limits(section: &Section<'_>, context: &Context, out: &mut Problems) -> Limits {
    let min_entry = section.get("min");
    let min = section.whole("min", out);
    let max_entry = if context.partial {
        section.get("max")
    } else {
        section.need("max", "say how many servers it may have at most: `max: 3`", out)
    };
    let max = section.whole("max", out);
    // What else the file says is not held against a `min` that cannot be meant.
    let likely = min.filter(|min| max.is_none_or(|max| *min <= max));
    let limits = Limits {
        min: likely.unwrap_or(0),
        max,
        min_at: min_entry.map(|entry| entry.value.at),
        max_at: max_entry.map_or(section.at, |entry| entry.value.at),
    };
    if let (Some(min), Some(max), Some(min_at)) = (min, max, limits.min_at)
        && min > max
    {
        let problem = Problem::error(min_at, "`min` is above `max`", format!("at least {min}"))
            .also(limits.max_at, format!("but at most {max}"))
            .remedy(format!("raise `max` to {min}, or lower `min` to {max}"));
        out.push(problem);
    }
    limits
}

fn balancer(fleet: &Section<'_>, context: &Context, out: &mut Problems) -> Option<BalancerPolicy> {
    let section = fleet.section("load_balancer", keys::LOAD_BALANCER, out)?;
    let delay = section.either("deregistration_delay", "drain", out);
    let delay = delay.and_then(|entry| section.span(&entry.key, out));
    let delay = delay.unwrap_or_else(|| default_span(keys::LOAD_BALANCER, "deregistration_delay"));
    let Some(entry) = section.either("classic", "target_group", out) else {
        if !context.partial && !section.means("classic") && !section.means("target_group") {
            let problem = Problem::error(section.at, "a load balancer without a name", "which?");
            out.push(problem.remedy("write `classic: NAME`, or `target_group: NAME-OR-ARN`"));
        }
        return None;
    };
    let named = |text: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=32).contains(&text.len()) && text.chars().all(legal)
    };
    let balancer = if entry.key == "classic" {
        let form = "the name of a classic load balancer: 1 to 32 letters, digits and `-`";
        Balancer::Classic(formed(entry, form, named, out)?)
    } else {
        let arn = |text: &str| {
            text.starts_with("arn:") && text.contains(":targetgroup/") && !text.contains(' ')
        };
        let form = "the name or the ARN of a target group";
        Balancer::TargetGroup(formed(entry, form, |text| named(text) || arn(text), out)?)
    };
    Some(BalancerPolicy { balancer, deregistration_delay: delay })
}

fn billing(
    section: &Section<'_>,
    balancer: Option<&BalancerPolicy>,
    out: &mut Problems,
) -> Billing {
    let entry = section.get("billing");
    let billing = entry.and_then(|entry| word(entry, BILLINGS, out)).unwrap_or(Billing::Second);
    if let (Billing::Hour, Some(entry), Some(balancer)) = (billing, entry, balancer)
        && balancer.deregistration_delay > DEREGISTRATION_IN_PAID_HOUR_MAX
    {
        let most = time::text(DEREGISTRATION_IN_PAID_HOUR_MAX);
        let message = "the deregistration delay does not fit into the paid hour";
        let delay = time::text(balancer.deregistration_delay);
        let mut problem =
            Problem::error(entry.value.at, message, "a server leaves before the hour is up");
        if let Some(section) = section.get("load_balancer") {
            problem = problem.also(section.at, format!("but deregisters for {delay}"));
        }
        out.push(
            problem.remedy(format!(
                "lower `deregistration_delay` to {most}, or write `billing: second`"
            )),
        );
    }
    billing
}
