//! `tidegate next`: the schedule as it will be held, with the days on which the clocks change.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::out::say;
use super::{FAILED, Failure, check};
use crate::settings::Settings;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time;
use tidegate_engine::policy::FleetPolicy;
use tidegate_engine::policy::coming::{Coming, What, coming, stands};

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
    let coming = coming(&policy, fleets.iter().copied(), (now, end));
    if json {
        return coming.iter().try_for_each(|coming| say!("{}", as_json(coming)));
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
        let fleet =
            coming.fleet().map_or_else(String::new, |fleet| format!("{:<12}  ", fleet.name));
        say!("  {}  {fleet}{}", zoned.strftime("%H:%M"), coming.text())?;
    }
    if coming.is_empty() {
        say!("\nNothing changes by the clock in the next {} days.", args.days)?;
    }
    Ok(())
}

fn as_json(coming: &Coming<'_>) -> serde_json::Value {
    let at = coming.at.to_string();
    match &coming.what {
        What::Capacity { fleet, from, to, standing } => json!({
            "format_version": 1,
            "at": at,
            "kind": "capacity",
            "fleet": fleet.name.as_str(),
            "from": from,
            "to": to,
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
