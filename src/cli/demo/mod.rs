//! `tidegate demo`: a day of an imagined shop on the real engine, in a minute.

mod screen;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use self::screen::Screen;
use super::{FAILED, Failure, runtime};
use crate::model::fleet::FleetName;
use crate::model::ledger::Event;
use crate::model::time::{self, Timestamp};
use crate::policy::{self, Mode, Policy};
use crate::sim::Simulation;
use crate::sim::load::Load;
use crate::sim::report::{FleetReport, report};
use crate::sim::world::Settings as WorldSettings;
use crate::store::memory::MemoryStore;
use crate::tick::TickRecord;

/// The policy that ships, so that what is shown is what one would run.
const POLICY: &str = include_str!("../../../policies.yaml");

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Imagined seconds per real second [default: 1440, a day in a minute; unlimited when the
    /// output is not a terminal]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    speed: Option<u32>,
    /// The same seed gives the same day
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// 128 and the number of SIGINT, as a shell says it.
const INTERRUPTED: u8 = 130;

/// Jobs an hour through the imagined day: payroll runs after opening and before closing.
const JOBS_PER_HOUR: [f64; 24] = [
    2.0, 2.0, 1.0, 1.0, 2.0, 4.0, 8.0, 20.0, 55.0, 75.0, 60.0, 35.0, 25.0, 30.0, 40.0, 70.0, 80.0,
    45.0, 20.0, 12.0, 8.0, 5.0, 3.0, 2.0,
];

pub(crate) fn run(demo: &Demo, json: bool) -> Result<(), Failure> {
    let zone = TimeZone::get("America/Winnipeg").context("failed to load the time zone")?;
    let start = jiff::civil::date(2026, 3, 2)
        .to_zoned(zone.clone())
        .context("failed to place the day")?
        .timestamp();
    let policy = shipped(start)?;
    let jobs = FleetName::new("job").filter(|name| policy.fleets.contains_key(name));
    let load = Load {
        per_hour: JOBS_PER_HOUR.to_vec(),
        start,
        job_takes: Duration::from_mins(3),
        jobs_at_once: 2,
    };
    let loads = jobs.into_iter().map(|name| (name, load.clone())).collect();
    let settings = WorldSettings { seed: demo.seed, ..WorldSettings::default() };
    let store = Arc::new(MemoryStore::default());
    let simulation = Simulation::new(policy, settings, loads, store, start)
        .map_err(|fault| Failure::Error(FAILED, anyhow!(fault)))?;
    let terminal = std::io::stdout().is_terminal() && !json;
    let speed = demo.speed.or(terminal.then_some(1440));
    let show = Show { zone, start, json, speed, seed: demo.seed };
    runtime()?.block_on(show.day(simulation, terminal))
}

/// The shipped policy, set to act: in the imagined world nothing can come to harm.
fn shipped(now: Timestamp) -> Result<Policy, Failure> {
    let loaded = policy::load("policies.yaml", POLICY, now);
    let mut policy = loaded.policy.ok_or_else(|| anyhow!("the shipped policy is not valid"))?;
    policy.mode = Mode::Act;
    for fleet in policy.fleets.values_mut() {
        fleet.mode = Mode::Act;
    }
    Ok(policy)
}

struct Show {
    zone: TimeZone,
    start: Timestamp,
    json: bool,
    speed: Option<u32>,
    seed: u64,
}

impl Show {
    async fn day(&self, mut simulation: Simulation, terminal: bool) -> Result<(), Failure> {
        let end = time::after(self.start, Duration::from_hours(24));
        let mut screen = terminal.then(|| Screen::new(self.zone.clone(), self.speed, self.seed));
        if !terminal && !self.json {
            println!(
                "A Monday in Winnipeg with the policy that ships, on an imagined EC2. Seed {}.",
                self.seed
            );
        }
        while simulation.now() < end {
            let record = simulation.tick().await.map_err(anyhow::Error::new)?;
            self.tell(&record, &mut screen, &simulation)?;
            let next = record.next.min(end);
            self.pass(&simulation, &mut screen, next).await?;
        }
        if let Some(screen) = &mut screen {
            screen.leave()?;
        }
        self.sum_up(&simulation)
    }

    fn tell(
        &self,
        record: &TickRecord,
        screen: &mut Option<Screen>,
        simulation: &Simulation,
    ) -> Result<(), Failure> {
        for event in &record.events {
            match screen {
                Some(screen) => screen.note(event),
                None if self.json => print_line(&Self::as_json(event).to_string())?,
                None => print_line(&self.as_line(event))?,
            }
        }
        if let Some(screen) = screen {
            screen.see(record, simulation);
        }
        Ok(())
    }

    /// Lets imagined time pass, at the speed that was asked for.
    async fn pass(
        &self,
        simulation: &Simulation,
        screen: &mut Option<Screen>,
        next: Timestamp,
    ) -> Result<(), Failure> {
        if let Some(speed) = self.speed {
            let span = time::since(next, simulation.now());
            tokio::select! {
                () = tokio::time::sleep(span / speed) => {}
                _ = tokio::signal::ctrl_c() => {
                    if let Some(screen) = screen {
                        screen.leave()?;
                    }
                    return Err(Failure::Told(INTERRUPTED));
                }
            }
        }
        simulation.advance(next);
        if let Some(screen) = screen {
            screen.draw(simulation)?;
        }
        Ok(())
    }

    fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    fn as_line(&self, event: &Event) -> String {
        let fleet = event.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{}  {fleet:<5} {}", self.clock(event.at), event.text)
    }

    fn as_json(event: &Event) -> serde_json::Value {
        json!({
            "format_version": 1,
            "type": "event",
            "at": event.at.to_string(),
            "kind": event.kind.as_str(),
            "fleet": event.fleet.as_ref().map(ToString::to_string),
            "instance": event.instance.as_ref().map(ToString::to_string),
            "text": event.text,
        })
    }

    fn sum_up(&self, simulation: &Simulation) -> Result<(), Failure> {
        let fleets = report(&simulation.policy, &simulation.front.state());
        if self.json {
            return print_line(&summary_json(&fleets).to_string());
        }
        let mut lines = vec![String::new(), "The day in short".to_owned()];
        for (name, fleet) in &fleets {
            lines.push(summary_line(name, fleet, &simulation.policy));
        }
        let total: f64 = fleets.values().map(|fleet| fleet.cost).sum();
        lines.push(format!("  in all, ${total:.2} at the list prices of us-east-1."));
        lines.push(String::new());
        lines.push(
            "Next: `tidegate check policies.yaml` and edit it; `tidegate drill` tries your own"
                .to_owned(),
        );
        lines.push(
            "policy with the real daemon against an imagined EC2; README.md has the rest."
                .to_owned(),
        );
        print_line(&lines.join("\n"))
    }
}

fn summary_line(name: &FleetName, fleet: &FleetReport, policy: &Policy) -> String {
    let hours = fleet.server_time.as_secs_f64() / 3600.0;
    let max = policy.fleets.get(name).map_or(0, |fleet| fleet.bounds.max());
    let mut line = format!(
        "  {name:<5} {} launched, {} terminated, {hours:.1} server-hours, ${:.2} ({max} servers all day: {:.0} server-hours)",
        fleet.launches,
        fleet.terminations,
        fleet.cost,
        f64::from(max) * 24.0,
    );
    if let Some(jobs) = &fleet.jobs {
        line.push_str(&format!(
            "\n        {} jobs done, {} interrupted; they waited {} (half of them), {} (95 of 100), {} at most",
            jobs.done,
            jobs.interrupted,
            time::text(jobs.wait(50)),
            time::text(jobs.wait(95)),
            time::text(jobs.wait(100)),
        ));
    }
    line
}

fn summary_json(fleets: &BTreeMap<FleetName, FleetReport>) -> serde_json::Value {
    let rows: Vec<_> = fleets
        .iter()
        .map(|(name, fleet)| {
            json!({
                "fleet": name.as_str(),
                "launches": fleet.launches,
                "terminations": fleet.terminations,
                "server_seconds": fleet.server_time.as_secs(),
                "cost_dollars": (fleet.cost * 100.0).round() / 100.0,
                "jobs": fleet.jobs.as_ref().map(|jobs| json!({
                    "done": jobs.done,
                    "waiting": jobs.waiting,
                    "interrupted": jobs.interrupted,
                    "wait_p50_seconds": jobs.wait(50).as_secs(),
                    "wait_p95_seconds": jobs.wait(95).as_secs(),
                    "wait_max_seconds": jobs.wait(100).as_secs(),
                })),
            })
        })
        .collect();
    json!({ "format_version": 1, "type": "summary", "fleets": rows })
}

/// Prints a line; a reader that has gone away (`| head`) ends the command quietly.
fn print_line(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Told(0)),
        Err(error) => Err(anyhow::Error::new(error).context("failed to write").into()),
    }
}
