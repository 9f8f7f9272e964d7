//! What can only be judged by looking at more than one fleet.

use std::collections::{BTreeMap, BTreeSet};

use super::Read;
use super::section::Section;
use crate::model::balancer::Balancer;
use crate::model::capacity::Capacity;
use crate::policy::file::Entry;
use crate::policy::problem::{Problem, Problems, quote};

/// Fleets against one another, and against the rest of the file.
pub(super) fn fleets(top: &Section<'_>, fleets: &[Read], out: &mut Problems) {
    let scheduled = fleets.iter().find_map(|fleet| fleet.schedule_at);
    if let Some(at) = scheduled.filter(|_| top.get("timezone").is_none()) {
        let problem = Problem::error(at, "a schedule without a time zone", "in which time zone?");
        out.push(problem.remedy("add a line at the top: `timezone: America/Winnipeg`, or `UTC`"));
    }
    let mut known: BTreeMap<&Balancer, &Read> = BTreeMap::new();
    for fleet in fleets {
        let (Some(ours), Some(at)) = (&fleet.policy.balancer, fleet.balancer_at) else { continue };
        let earlier = *known.entry(&ours.balancer).or_insert(fleet);
        let other = (!std::ptr::eq(earlier, fleet)).then_some(earlier);
        if let Some((other, other_at)) = other.and_then(|other| Some((other, other.balancer_at?))) {
            let message = format!(
                "fleets {} and {} share a load balancer",
                quote(other.policy.name.as_str()),
                quote(fleet.policy.name.as_str())
            );
            let problem = Problem::warning(at, message, format!("the {} again", ours.balancer));
            let problem = if other_at == at { problem } else { problem.also(other_at, "here too") };
            out.push(problem.remedy("each fleet sees the other's servers as strangers there"));
        }
    }
}

/// More places in one problem show nothing more.
const ALSO_MAX: usize = 20;

/// `limits.instances` against what the fleets want.
pub(super) fn with_limit(entry: &Entry, limit: Capacity, fleets: &[Read], out: &mut Problems) {
    let at = entry.value.at;
    let least =
        fleets.iter().fold(0, |sum: Capacity, fleet| sum.saturating_add(fleet.policy.bounds.min()));
    if least > limit {
        let label = format!("but the fleets' `min` come to {least}");
        let mut problem = Problem::error(at, "the limit is smaller than what must run", label);
        let mut shown = BTreeSet::new();
        for fleet in fleets.iter().filter(|fleet| fleet.policy.bounds.min() > 0) {
            if let Some(min_at) = fleet.min_at.filter(|at| shown.insert(*at)) {
                problem = problem.also(min_at, format!("{} here", fleet.policy.bounds.min()));
            }
            if shown.len() >= ALSO_MAX {
                break;
            }
        }
        out.push(problem.remedy(format!("raise `instances` to {least}, or lower a `min`")));
    }
    for fleet in fleets.iter().filter(|fleet| fleet.policy.bounds.max() > limit) {
        let max = fleet.policy.bounds.max();
        let message =
            format!("fleet {} can never reach its `max`", quote(fleet.policy.name.as_str()));
        let problem = Problem::warning(fleet.max_at, message, format!("{max} here"))
            .also(at, format!("but never more than {limit} servers in all"))
            .remedy(format!("raise `limits.instances` to {max}, or lower this `max`"));
        out.push(problem);
    }
}
