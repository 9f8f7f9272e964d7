//! `tidegate demo`: a day of an imagined shop on the real engine, in a minute.

mod page;
mod screen;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use self::screen::Screen;
use super::listen::Listen;
use super::money;
use super::out::say;
use super::rehearsal::{self, Rehearsal};
use super::{FAILED, Failure, check, runtime};
use crate::ports::Store;
use crate::prices::PriceList;
use crate::settings::Settings;
use crate::sim::Simulation;
use crate::sim::load::Load;
use crate::sim::report::report;
use crate::sim::world::Settings as WorldSettings;
use crate::store::memory::MemoryStore;
use crate::tick::TickRecord;
use tidegate_engine::model::ledger::Event;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{self, Policy};

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
    /// Also shows the day on the daemon's page, there: an address and a port. The page stays until
    /// it is interrupted
    #[arg(long, value_name = "ADDRESS", default_value = "off")]
    listen: Listen,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// How this very build is called: from the checkout, where it has no AWS.
#[cfg(feature = "aws")]
const PROGRAM: &str = "tidegate ";
#[cfg(not(feature = "aws"))]
const PROGRAM: &str = "cargo run --no-default-features -- ";

#[cfg(feature = "aws")]
const NEXT: &[&str] = &[
    "check policies.yaml",
    "demo --config policies.yaml",
    "drill --config policies.yaml    (the real daemon against an imagined EC2 over HTTP)",
];
#[cfg(not(feature = "aws"))]
const NEXT: &[&str] = &["check policies.yaml", "demo --config policies.yaml"];

/// 128 and the number of SIGINT, as a shell says it.
const INTERRUPTED: u8 = 130;

/// Jobs an hour through the imagined day: payroll runs after opening and before closing.
const JOBS_PER_HOUR: [f64; 24] = [
    2.0, 2.0, 1.0, 1.0, 2.0, 4.0, 8.0, 20.0, 55.0, 75.0, 60.0, 35.0, 25.0, 30.0, 40.0, 70.0, 80.0,
    45.0, 20.0, 12.0, 8.0, 5.0, 3.0, 2.0,
];

/// By the policy that ships, or by one's `own`.
pub(crate) fn run(
    demo: &Demo,
    own: Option<&Path>,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let policy = match own {
        Some(path) => check::usable(path, settings)?,
        None => shipped()?,
    };
    let zone = policy.zone.clone();
    let start = jiff::civil::date(2026, 3, 2)
        .to_zoned(zone.clone())
        .context("failed to place the day")?
        .timestamp();
    let policy = policy.acting();
    let jobs = policy.fleets.values().filter(|fleet| fleet.queue.is_some());
    let load = Load {
        per_hour: JOBS_PER_HOUR.to_vec(),
        start,
        job_takes: Duration::from_mins(3),
        jobs_at_once: 2,
        interruption: demo.rehearsal.interrupted,
    };
    let loads = jobs.map(|fleet| (fleet.name.clone(), load.clone())).collect();
    let world = WorldSettings { seed: demo.seed, ..WorldSettings::default() };
    let prices = money::prices(&policy, settings);
    let page = page::Desk::prepare(demo.listen, start)?;
    let store: Arc<dyn Store> = match &page {
        Some(page) => page.store.clone(),
        None => Arc::new(MemoryStore::default()),
    };
    let terminal = std::io::stdout().is_terminal() && !json && !settings.dumb;
    let speed = demo.speed.or(terminal.then_some(1440));
    let shown = own.map_or_else(|| "the policy that ships".to_owned(), |p| p.display().to_string());
    let show = Show {
        zone,
        start,
        json,
        speed,
        seed: demo.seed,
        policy: shown,
        rehearsal: demo.rehearsal,
        prices,
    };
    runtime()?.block_on(async {
        let simulation = Simulation::new(policy, world, loads, store, start)
            .await
            .map_err(|fault| Failure::Error(FAILED, anyhow!(fault)))?;
        if let Some(telling) = demo.rehearsal.assume {
            let mut state = simulation.front.state();
            let names: Vec<_> = state.queues.keys().cloned().collect();
            for name in names {
                state.assume(name, telling);
            }
        }
        show.day(simulation, terminal, page).await
    })
}

fn shipped() -> Result<Policy, Failure> {
    let loaded = policy::load("policies.yaml", POLICY, check::now());
    Ok(loaded.policy.ok_or_else(|| anyhow!("the shipped policy is not valid"))?)
}

struct Show {
    zone: TimeZone,
    start: Timestamp,
    json: bool,
    speed: Option<u32>,
    seed: u64,
    policy: String,
    rehearsal: Rehearsal,
    prices: PriceList,
}

impl Show {
    async fn day(
        &self,
        mut simulation: Simulation,
        terminal: bool,
        desk: Option<page::Desk>,
    ) -> Result<(), Failure> {
        let mut page = match desk {
            Some(desk) => Some(desk.open(&mut simulation).await?),
            None => None,
        };
        let end = time::after(self.start, Duration::from_hours(24));
        let assumed = self.rehearsal.lines(&rehearsal::queues(&simulation.policy), true);
        let mut screen = terminal
            .then(|| Screen::new(self.zone.clone(), (self.speed, self.seed), assumed.clone()));
        if !terminal && !self.json {
            for line in assumed {
                say!("{line}")?;
            }
            say!(
                "A Monday in {} with {}, on an imagined EC2. Seed {}.",
                self.zone.iana_name().unwrap_or("its zone"),
                self.policy,
                self.seed
            )?;
        }
        while simulation.now() < end {
            let record = simulation.tick().await.map_err(anyhow::Error::new)?;
            self.tell(&record, &mut screen, &simulation)?;
            if let Some(page) = &mut page {
                page.show(&record, &simulation);
            }
            let next = record.next.min(end);
            self.pass(&simulation, &mut screen, next).await?;
        }
        if let Some(screen) = &mut screen {
            screen.leave()?;
        }
        self.sum_up(&simulation)?;
        match page {
            Some(page) => page.stay().await,
            None => Ok(()),
        }
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
                None if self.json => say!("{}", Self::as_json(event))?,
                None => say!("{}", self.as_line(event))?,
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
            screen.draw(simulation, &self.prices)?;
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
        let fleets = report(&simulation.policy, &simulation.front.state(), &self.prices);
        if self.json {
            let rows = rehearsal::summary_json(&fleets, &simulation.policy, &self.rehearsal);
            return say!(
                "{}",
                json!({
                    "format_version": 1,
                    "type": "summary",
                    "prices": money::source(&self.prices),
                    "fleets": rows,
                })
            );
        }
        let mut lines = vec![String::new(), "The day in short".to_owned()];
        lines.extend(rehearsal::summary(
            &fleets,
            (&simulation.policy, &self.prices),
            ("all day", 24.0),
        ));
        lines.push(String::new());
        lines.push("Next: edit policies.yaml, check it, and see its day here:".to_owned());
        for args in NEXT {
            lines.push(format!("  {PROGRAM}{args}"));
        }
        say!("{}", lines.join("\n"))
    }
}
