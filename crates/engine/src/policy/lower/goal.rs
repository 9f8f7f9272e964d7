//! The waiting-time goal of a queue, which excludes its thresholds.

use std::time::Duration;

use super::section::{Section, bad_unit, text};
use crate::model::time;
use crate::policy::file::{Entry, Kind};
use crate::policy::problem::{Problem, Problems, quote};
use crate::policy::{Goal, units};

/// How long a boot is taken to last where neither the policy nor a measurement says.
const BOOT_USUAL: Duration = Duration::from_mins(5);

/// What an unreadable goal is taken for.
const GOAL_USUAL: Duration = Duration::from_mins(15);

/// Keys of a queue that belong to its goal, and to no thresholds.
const GOAL_KEYS: [&str; 3] = ["start_within", "jobs_at_once", "boot_takes"];

/// Reads the keys of a goal. `every`: how often the queue is read.
pub(super) fn read(section: &Section<'_>, every: Duration, out: &mut Problems) -> Option<Goal> {
    for threshold in ["scale_out", "scale_in"] {
        if let (Some(theirs), Some(goal)) = (section.get(threshold), section.get("start_within")) {
            let message = format!("both `start_within` and {}", quote(threshold));
            let problem = Problem::error(theirs.at, message, "a threshold")
                .also(goal.at, "and a goal, which needs none")
                .remedy("keep the goal, or the two thresholds");
            out.push(problem);
        }
    }
    let start_within = section.span("start_within", out);
    let job_takes = auto(section, "job_takes", out);
    let boot_takes = auto(section, "boot_takes", out);
    section.need("jobs_at_once", "say how many jobs one server runs: `jobs_at_once: 2`", out);
    let jobs_at_once = section.whole("jobs_at_once", out);
    let entry = section.get("start_within")?;
    // A span that cannot be read is reported; the others are judged by a usual one.
    let start_within = start_within.unwrap_or(GOAL_USUAL);
    let boot = boot_takes.unwrap_or(BOOT_USUAL);
    if every.saturating_add(boot) >= start_within {
        let label = format!("{} is too short", time::text(start_within));
        let message = "a job that finds no server waits longer than the goal";
        let why = format!(
            "the queue is read every {} and a boot takes {}: raise `start_within` to {}, lower `every`, or keep a `min`",
            time::text(every),
            time::text(boot),
            time::text(every.saturating_add(boot)),
        );
        out.push(Problem::warning(entry.value.at, message, label).remedy(why));
    }
    Some(Goal { start_within, job_takes, jobs_at_once: jobs_at_once?, boot_takes })
}

/// Keys of a goal where there is none.
pub(super) fn stray(section: &Section<'_>, out: &mut Problems) {
    let found = GOAL_KEYS.iter().find_map(|key| section.get(key));
    if let Some(entry) = found {
        let message = format!("{} without a goal", quote(&entry.key));
        let problem = Problem::error(entry.at, message, "belongs to `start_within`");
        out.push(problem.remedy("add `start_within: 15m`, or take this line out"));
    }
}

/// Reads `job_takes` beside thresholds, which learn nothing of how long jobs run.
pub(super) fn job_takes_without(section: &Section<'_>, out: &mut Problems) -> Option<Duration> {
    let entry = section.get("job_takes")?;
    if matches!(&entry.value.kind, Kind::Text(text) if text == "auto") {
        let problem =
            Problem::error(entry.value.at, "`job_takes: auto` without a goal", "learned by none");
        out.push(problem.remedy("write how long a job may take: `job_takes: 15m`"));
        return None;
    }
    auto(section, "job_takes", out)
}

/// A span of time, or `auto`; `None`: to be learned.
fn auto(section: &Section<'_>, key: &str, out: &mut Problems) -> Option<Duration> {
    let entry: &Entry = section.get(key)?;
    let written = text(entry, out)?;
    if written == "auto" {
        return None;
    }
    match units::duration(written) {
        Ok(span) if span >= Duration::from_secs(1) => Some(span),
        Ok(_) => {
            let message = format!("{} cannot be zero", quote(key));
            out.push(
                Problem::error(entry.value.at, message, "no time at all")
                    .remedy(format!("write how long it takes: `{key}: 5m`")),
            );
            None
        }
        Err(error) => {
            out.push(bad_unit(entry, written, &error));
            None
        }
    }
}
