//! `tidegate status`: the fleets and their servers, as the daemon last saw them.

use clap::Args;
use jiff::tz::TimeZone;

use super::out::say;
use super::{FINDING, Failure, client, runtime};
use crate::admin::view::{FleetStatus, InstanceView, ReadingView, StatusView};
use crate::model::fault::printable;
use crate::model::time::{self, Timestamp};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One fleet only
    fleet: Option<String>,
    /// Exit with 3 while there is a problem
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(status: &Status, settings: &Settings, json: bool) -> Result<(), Failure> {
    let body = runtime()?.block_on(client::get(&settings.socket, "/status"))?;
    let mut view: StatusView = serde_json::from_str(&body).map_err(anyhow::Error::new)?;
    if let Some(name) = &status.fleet {
        view.fleets.retain(|fleet| fleet.name == *name);
        view.problems.retain(|problem| problem.fleet.as_ref().is_none_or(|fleet| fleet == name));
        if view.fleets.is_empty() {
            return Err(
                anyhow::anyhow!("the daemon knows no fleet `{}`", printable(name, 64)).into()
            );
        }
    }
    if json {
        say!("{}", serde_json::to_string(&view).map_err(anyhow::Error::new)?)?;
    } else {
        print(&view)?;
    }
    if status.check && !view.problems.is_empty() { Err(Failure::Told(FINDING)) } else { Ok(()) }
}

fn print(view: &StatusView) -> Result<(), Failure> {
    let zone = view.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let zone = zone.unwrap_or(TimeZone::UTC);
    say!(
        "tidegate {}   policy {}   last tick {}",
        view.version,
        view.policy,
        local(&view.last_tick, &zone)
    )?;
    for fleet in &view.fleets {
        say!("")?;
        print_fleet(fleet, &zone)?;
    }
    if !view.problems.is_empty() {
        say!("")?;
    }
    for problem in &view.problems {
        let fleet = problem.fleet.as_deref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
        say!("PROBLEM since {}  {fleet}{}", local(&problem.since, &zone), problem.text)?;
    }
    Ok(())
}

/// One fleet's part of the screen.
pub(super) fn print_fleet(fleet: &FleetStatus, zone: &TimeZone) -> Result<(), Failure> {
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    say!(
        "{}   {}   desired {}   capacity {}   in service {}   min {}   max {}",
        fleet.name,
        fleet.mode,
        number(fleet.desired),
        fleet.capacity,
        fleet.in_service,
        number(fleet.min),
        number(fleet.max)
    )?;
    for reason in &fleet.because {
        say!("  because  {}", reason.text)?;
    }
    if let Some(reading) = &fleet.reading {
        say!("  queue    {}", reading_text(reading, zone))?;
    }
    for instance in &fleet.instances {
        say!("  {}", instance_text(instance, zone))?;
    }
    Ok(())
}

fn reading_text(reading: &ReadingView, zone: &TimeZone) -> String {
    let at = local(&reading.at, zone);
    match (reading.waiting, &reading.unreadable) {
        (Some(waiting), _) => {
            let oldest =
                reading.oldest_seconds.map(|secs| format!(", the oldest for {}", span(secs)));
            format!("{waiting} waiting{} at {at}", oldest.unwrap_or_default())
        }
        (None, why) => {
            format!("unreadable at {at}: {}", why.as_deref().unwrap_or("no cause known"))
        }
    }
}

fn instance_text(instance: &InstanceView, zone: &TimeZone) -> String {
    let mut parts = vec![format!("{:<20} {:<12}", instance.id, instance.phase)];
    parts.extend(instance.instance_type.clone());
    parts.extend(instance.subnet.clone());
    parts.extend(instance.uptime_seconds.map(|secs| format!("up {}", span(secs))));
    parts.extend(instance.paid_until.as_ref().map(|at| format!("paid until {}", local(at, zone))));
    parts.extend(instance.balancer.as_ref().map(|said| format!("balancer: {said}")));
    parts.extend(instance.ailing.as_ref().map(|why| format!("check: {why}")));
    parts.extend(instance.blocked.as_ref().map(|why| format!("stays: {why}")));
    parts.join("  ")
}

fn span(secs: u64) -> String {
    time::text(std::time::Duration::from_secs(secs))
}

fn local(at: &str, zone: &TimeZone) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| time::local(at, zone))
}
