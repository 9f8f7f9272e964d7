//! `tidegate next`: the schedule as it will be held, with the days on which the clocks change.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use super::out::say;
use super::{FAILED, Failure, check};
use crate::model::fault::printable;
use crate::model::time::{self, Timestamp};
use crate::policy::calendar::Standing;
use crate::policy::{FleetPolicy, Schedule};
use crate::settings::Settings;

/// More changes of one fleet than this are a schedule that nobody reads to the end.
const CHANGES_AT_MOST: usize = 2000;

#[derive(Debug, Args)]
#[command(after_help = "\
A schedule line sets a fleet's desired capacity; for a fleet with a queue it is the floor. Orders by \
hand, the queue and lost servers are not foreseen here.")]
pub(crate) struct Next {
    /// One fleet only
    fleet: Option<String>,
    /// How far ahead
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=400))]
    days: u64,
}

/// A thing to come.
struct Coming<'a> {
    at: Timestamp,
    what: What<'a>,
}

enum What<'a> {
    Capacity {
        fleet: &'a FleetPolicy,
        from: Option<u32>,
        standing: Option<Standing>,
    },
    /// The clocks are set; by how much, in seconds.
    Clocks {
        by: i64,
    },
}

pub(crate) fn run(args: &Next, settings: &Settings, json: bool) -> Result<(), Failure> {
    let policy = check::usable(&settings.config, settings)?;
    let named = |name: &str| args.fleet.as_ref().is_none_or(|fleet| fleet == name);
    let fleets: Vec<&FleetPolicy> =
        policy.fleets.values().filter(|fleet| named(fleet.name.as_str())).collect();
    if let (Some(name), true) = (&args.fleet, fleets.is_empty()) {
        let why = anyhow!("the policy has no fleet `{}`", printable(name, 64));
        return Err(Failure::Error(FAILED, why));
    }
    let now = check::now();
    let end = time::after(now, Duration::from_hours(args.days.saturating_mul(24)));
    let mut coming: Vec<Coming<'_>> = clock_changes(&policy.zone, now, end).collect();
    for fleet in &fleets {
        if let Some(schedule) = &fleet.schedule {
            coming.extend(changes(fleet, schedule, now, end));
        }
    }
    coming.sort_by_key(|coming| coming.at);
    if json {
        return coming.iter().try_for_each(|coming| say!("{}", coming.json()));
    }
    for fleet in &fleets {
        say!("{:<12}  now {}", fleet.name, stands(fleet, now))?;
    }
    let mut day = None;
    for coming in &coming {
        let zoned = coming.at.to_zoned(policy.zone.clone());
        if day != Some(zoned.date()) {
            day = Some(zoned.date());
            say!("\n{}", zoned.strftime("%a %Y-%m-%d"))?;
        }
        say!("  {}  {}", zoned.strftime("%H:%M"), coming.text())?;
    }
    if coming.is_empty() {
        say!("\nNothing changes by the clock in the next {} days.", args.days)?;
    }
    Ok(())
}

fn stands(fleet: &FleetPolicy, now: Timestamp) -> String {
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
    let mut from = schedule.standing(now).map(|standing| standing.capacity);
    let mut at = now;
    while let Some((changes, standing)) = schedule.next_change(at, Duration::ZERO)
        && changes <= end
        && found.len() < CHANGES_AT_MOST
    {
        at = changes;
        let capacity = standing.as_ref().map(|standing| standing.capacity);
        found.push(Coming { at, what: What::Capacity { fleet, from, standing } });
        from = capacity;
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
    fn text(&self) -> String {
        match &self.what {
            What::Capacity { fleet, from, standing } => {
                let min = fleet.bounds.min();
                let from = from.unwrap_or(min);
                let to = standing.as_ref().map_or(min, |standing| standing.capacity);
                let floor = if fleet.queue.is_some() { "at least " } else { "" };
                let by = standing.as_ref().map_or_else(
                    || "min".to_owned(),
                    |standing| format!("\"{}\" (line {})", standing.text, standing.at_line),
                );
                format!("{:<12}  {from} -> {floor}{to}   {by}", fleet.name)
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

    fn json(&self) -> serde_json::Value {
        let at = self.at.to_string();
        match &self.what {
            What::Capacity { fleet, from, standing } => json!({
                "format_version": 1,
                "at": at,
                "kind": "capacity",
                "fleet": fleet.name.as_str(),
                "from": from.unwrap_or_else(|| fleet.bounds.min()),
                "to": standing.as_ref().map_or_else(|| fleet.bounds.min(), |s| s.capacity),
                "floor": fleet.queue.is_some(),
                "by": standing.as_ref().map(|standing| standing.text.as_str()),
                "line": standing.as_ref().map(|standing| standing.at_line),
            }),
            What::Clocks { by } => json!({
                "format_version": 1,
                "at": at,
                "kind": "clocks",
                "by_seconds": by,
            }),
        }
    }
}
