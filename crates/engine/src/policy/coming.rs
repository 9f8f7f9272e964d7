//! What the schedule will do: its changes to come, and those of the clocks.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::calendar::Standing;
use super::{FleetPolicy, Policy, Schedule};
use crate::model::capacity::Capacity;
use crate::model::time::{self, Timestamp};

/// A thing to come.
#[derive(Debug, Clone)]
pub struct Coming<'a> {
    pub at: Timestamp,
    pub what: What<'a>,
}

/// What comes.
#[derive(Debug, Clone)]
pub enum What<'a> {
    /// From one capacity to another, by a line; `None`: no line, and so the fleet's `min`.
    Capacity { fleet: &'a FleetPolicy, from: Capacity, to: Capacity, standing: Option<Standing> },
    /// The clocks are set; by how much, in seconds.
    Clocks { by: i64 },
}

/// What comes to some fleets until `end`, in order of time.
pub fn coming<'a>(
    policy: &Policy,
    fleets: impl IntoIterator<Item = &'a FleetPolicy>,
    (now, end): (Timestamp, Timestamp),
) -> Vec<Coming<'a>> {
    let mut coming: Vec<Coming<'_>> = clock_changes(&policy.zone, now, end).collect();
    for fleet in fleets {
        if let Some(schedule) = &fleet.schedule {
            coming.extend(changes(fleet, schedule, now, end));
        }
    }
    coming.sort_by_key(|coming| coming.at);
    coming
}

/// The capacity that a fleet's schedule asks for now, and by which line.
pub fn stands(fleet: &FleetPolicy, now: Timestamp) -> String {
    let standing = fleet.schedule.as_ref().and_then(|schedule| schedule.standing(now));
    let by_queue = if fleet.queue.is_some() { "at least " } else { "" };
    match standing {
        Some(standing) => {
            format!(
                "{by_queue}{} by \"{}\" (line {})",
                standing.capacity, standing.text, standing.at_line
            )
        }
        None => format!("{by_queue}{}: min", fleet.bounds.min()),
    }
}

fn changes<'a>(
    fleet: &'a FleetPolicy,
    schedule: &'a Schedule,
    now: Timestamp,
    end: Timestamp,
) -> Vec<Coming<'a>> {
    let mut found = Vec::new();
    // Without a line, `min` it is.
    let capacity = |standing: &Option<Standing>| {
        standing.as_ref().map_or(fleet.bounds.min(), |standing| standing.capacity)
    };
    let mut from = capacity(&schedule.standing(now));
    for (at, standing) in schedule.edges(now).take_while(|(at, _)| *at <= end) {
        let to = capacity(&standing);
        if to != from {
            found.push(Coming { at, what: What::Capacity { fleet, from, to, standing } });
            from = to;
        }
    }
    found
}

fn clock_changes(
    zone: &TimeZone,
    now: Timestamp,
    end: Timestamp,
) -> impl Iterator<Item = Coming<'static>> {
    let seconds = |at: Timestamp| i64::from(zone.to_offset(at).seconds());
    let by = move |at: Timestamp| {
        seconds(at).saturating_sub(seconds(time::before(at, Duration::from_secs(1))))
    };
    let following = zone.following(now).map(|change| change.timestamp());
    let within = following.take_while(move |at| *at <= end).collect::<Vec<_>>();
    let set = within.into_iter().map(move |at| Coming { at, what: What::Clocks { by: by(at) } });
    let set: Vec<_> = set.filter(|set| !matches!(set.what, What::Clocks { by: 0 })).collect();
    set.into_iter()
}

impl Coming<'_> {
    /// The fleet that it comes to; `None`: the clocks.
    pub fn fleet(&self) -> Option<&FleetPolicy> {
        match &self.what {
            What::Capacity { fleet, .. } => Some(fleet),
            What::Clocks { .. } => None,
        }
    }

    /// What changes, and by what.
    pub fn text(&self) -> String {
        match &self.what {
            What::Capacity { fleet, from, to, standing } => {
                let floor = if fleet.queue.is_some() { "at least " } else { "" };
                let by = standing.as_ref().map_or_else(
                    || "min".to_owned(),
                    |standing| format!("\"{}\" (line {})", standing.text, standing.at_line),
                );
                format!("{from} -> {floor}{to}   {by}")
            }
            What::Clocks { by } => {
                let span = time::text(Duration::from_secs(by.unsigned_abs()));
                if *by > 0 {
                    format!(
                        "clocks go forward by {span}: a line for a time that is skipped fires now"
                    )
                } else {
                    format!(
                        "clocks go back by {span}: a line for a time that comes twice fires at the first"
                    )
                }
            }
        }
    }
}
