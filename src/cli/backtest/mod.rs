//! `tidegate backtest`: what a policy would have cost over a trace, and who would have waited.

mod figures;
mod page;
mod slices;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::money;
use super::out::say;
use super::past::{self, Past};
use super::rehearsal::{Known, Rehearsal};
use super::{FAILED, FINDING, Failure, USAGE, check, runtime};
use crate::custody::{self, Accept};
use crate::prices::PriceList;
use crate::settings::Settings;
use crate::sim::backtest::{Backtest as Run, Jobs, Outcome, Setting};
use crate::sim::report::GOAL_USUAL;
use crate::sim::telling::Telling;
use crate::sim::trace::{self, Trace};
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::{FleetPolicy, Policy};

/// From launch to in service, where nobody says.
const BOOT_USUAL: Duration = Duration::from_mins(5);

/// Ten years of a line a minute.
const TRACE_AT_MOST: u64 = 256 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Traces are CSV with one of these headings: submit_s,runtime_s (a job a line, seconds since --start); \
time,arrivals or time,arrivals,mean_runtime_s (jobs in each bin); time,waiting (what the queue said; \
nobody's wait is known then). Times are instants like 2026-03-02T08:00:00Z or seconds since 1970.")]
pub(crate) struct Backtest {
    /// A policy file; several are compared. Instead of --config
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// The load, as CSV
    #[arg(long, value_name = "FILE", required_unless_present = "last")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    past: past::Args,
    /// The fleet that works it off [default: the only one with a queue]
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,
    /// When second 0 of submit_s is
    #[arg(long, value_name = "INSTANT", value_parser = super::instant, default_value = "2026-03-02T00:00:00Z")]
    start: Timestamp,
    /// From launch to in service [default: with --last what was measured, else 5m]
    #[arg(long, value_name = "SPAN", value_parser = super::span)]
    boot: Option<Duration>,
    /// Jobs that one server runs at once [default: the policy's `jobs_at_once`, else 2]
    #[arg(long, value_name = "N")]
    jobs_at_once: Option<u32>,
    /// How long a job of a bin without mean_runtime_s runs
    #[arg(long, value_name = "SPAN", value_parser = super::span, default_value = "2m")]
    job_takes: Duration,
    /// The wait that jobs are held against [default: the policy's `start_within`, else 15m]
    #[arg(long, value_name = "SPAN", value_parser = super::span)]
    goal: Option<Duration>,
    /// The old spelling of `--assume none`
    #[arg(long, hide = true, conflicts_with = "assume")]
    length_only: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
    /// Exit with 3 if more jobs than this wait longer than the goal or are lost: "waited_over > 5%"
    #[arg(long, value_name = "RULE", value_parser = rule)]
    fail_if: Option<f64>,
    /// The same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Charts too, as one self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// `waited_over > 5%`, as a share.
fn rule(text: &str) -> Result<f64, String> {
    let percent = text
        .split_once('>')
        .filter(|(name, _)| name.trim() == "waited_over")
        .and_then(|(_, limit)| limit.trim().strip_suffix('%'))
        .and_then(|limit| limit.trim().parse::<f64>().ok())
        .filter(|limit| (0.0..=100.0).contains(limit));
    let share = percent.map(|percent| percent / 100.0);
    share.ok_or_else(|| "write it as \"waited_over > 5%\"".to_owned())
}

/// One column: a policy and what it came to.
struct Column {
    name: String,
    goal: Duration,
    jobs_at_once: usize,
    known: Known,
    rehearsal: Rehearsal,
    outcome: Outcome,
    fleet: FleetPolicy,
    zone: TimeZone,
    prices: PriceList,
}

pub(crate) fn run(args: &Backtest, settings: &Settings, json: bool) -> Result<(), Failure> {
    let files = if args.policy.is_empty() && args.past.last.is_none() {
        std::slice::from_ref(&settings.config)
    } else {
        args.policy.as_slice()
    };
    let mut policies = Vec::new();
    for file in files {
        policies.push((file.display().to_string(), check::usable(file, settings)?));
    }
    let past = past(args, settings, &policies)?;
    let trace = match &past {
        None => load(args, args.start)?,
        Some(past) => recorded(args, past)?,
    };
    if args.fail_if.is_some() && matches!(trace, Trace::Lengths(_)) {
        let why = "where the load is `time,waiting` nobody knows who waited: --fail-if needs jobs";
        return Err(Failure::Error(USAGE, anyhow!(why)));
    }
    let boot = args.boot.or(past.as_ref().and_then(Past::boot)).unwrap_or(BOOT_USUAL);
    let mut rehearsal = args.rehearsal;
    if args.length_only {
        rehearsal.assume = Some(Telling::NONE);
    }
    if matches!(trace, Trace::Lengths(_)) && rehearsal.assume.is_some_and(|a| a != Telling::NONE) {
        let why =
            "where the load is `time,waiting` the queue can tell no more: --assume needs jobs";
        return Err(Failure::Error(USAGE, anyhow!(why)));
    }
    let asked = Asked { args, settings, rehearsal, trace: &trace, past: past.as_ref(), boot };
    if let Some(path) = &args.html {
        page::writable(path)?;
    }
    let mut columns = Vec::new();
    if let Some(past) = &past {
        let fleet = fleet(&past.policy, Some(past.history.fleet.as_str()), "the policy that ran")?;
        columns.push(asked.column("as it ran", &past.policy, fleet)?);
    }
    let fleet_of = past.as_ref().map(|past| past.history.fleet.as_str());
    for (name, policy) in &policies {
        let fleet = fleet(policy, args.fleet.as_deref().or(fleet_of), name)?;
        columns.push(asked.column(name, policy, fleet)?);
    }
    let reproduced = past.as_ref().zip(columns.first().map(|column| &column.outcome.span));
    // Before a reader of the report can go away.
    if let Some(path) = &args.html {
        page::write(path, &asked, &columns, reproduced)?;
    }
    let assumed = asked.first_lines(&columns);
    if json {
        let rows: Vec<Value> = columns.iter().map(Column::json).collect();
        let recorded = reproduced.map(|(past, span)| past.json(span));
        say!("{}", json!({ "format_version": 1, "recorded": recorded, "policies": rows }))?;
    } else {
        for line in assumed {
            say!("{line}")?;
        }
        say!("")?;
        if let Some((past, span)) = reproduced {
            past.print(span)?;
        }
        table::print(&asked, &columns)?;
        if let Some(path) = &args.html {
            say!("Charts: {}", printable(&path.display().to_string(), 1000))?;
        }
    }
    let over = |column: &Column| args.fail_if.is_some_and(|limit| column.share_over() > limit);
    if columns.iter().any(over) { Err(Failure::Told(FINDING)) } else { Ok(()) }
}

/// The recorded past, where that is the load: of the fleet that was named, or of the only one with
/// a queue in the policy file.
fn past(
    args: &Backtest,
    settings: &Settings,
    policies: &[(String, Policy)],
) -> Result<Option<Past>, Failure> {
    if args.past.last.is_none() {
        return Ok(None);
    }
    let name = match (&args.fleet, policies.first()) {
        (Some(name), _) => FleetName::new(name).ok_or_else(|| {
            let shown = printable(name, 64);
            Failure::Error(USAGE, anyhow!("`{shown}` is no fleet name"))
        })?,
        (None, Some((file, policy))) => fleet(policy, None, file)?.name.clone(),
        (None, None) => {
            let policy = check::usable(&settings.config, settings)?;
            fleet(&policy, None, &settings.config.display().to_string())?.name.clone()
        }
    };
    args.past.read(settings, &name)
}

fn recorded(args: &Backtest, past: &Past) -> Result<Trace, Failure> {
    past.trace(how(args, past.history.from)).ok_or_else(|| {
        let why =
            "nothing was read of the queue that makes a load; a longer --last looks further back";
        Failure::Error(FAILED, anyhow!(why))
    })
}

fn how(args: &Backtest, start: Timestamp) -> trace::Reading {
    trace::Reading { start, job_takes: args.job_takes, seed: args.seed }
}

fn load(args: &Backtest, start: Timestamp) -> Result<Trace, Failure> {
    let path = args.trace.as_deref().unwrap_or(Path::new("-"));
    let shown = path.display();
    let text = custody::read_named_text(path, TRACE_AT_MOST, Accept::RegularFilesAndPipes)
        .with_context(|| format!("failed to read the trace {shown}"))?;
    Ok(trace::read(&text, how(args, start)).map_err(|fault| anyhow!("{shown}: {fault}"))?)
}

fn fleet<'a>(
    policy: &'a Policy,
    named: Option<&str>,
    file: &str,
) -> Result<&'a FleetPolicy, Failure> {
    let with_queue: Vec<&FleetPolicy> =
        policy.fleets.values().filter(|fleet| fleet.queue.is_some()).collect();
    let names = || {
        let names: Vec<&str> = with_queue.iter().map(|fleet| fleet.name.as_str()).collect();
        names.join(", ")
    };
    let why = match (named, with_queue.as_slice()) {
        (None, [one]) => return Ok(one),
        (None, []) => "no fleet of it has a queue".to_owned(),
        (None, _) => format!("several fleets have a queue: pick one with --fleet ({})", names()),
        (Some(name), _) => {
            let found = FleetName::new(name).and_then(|name| policy.fleets.get(&name));
            match found {
                Some(fleet) if fleet.queue.is_some() => return Ok(fleet),
                Some(_) => format!("fleet {} has no queue", printable(name, 64)),
                None => {
                    format!("it has no fleet `{}`; with a queue: {}", printable(name, 64), names())
                }
            }
        }
    };
    Err(Failure::Error(USAGE, anyhow!("{}: {why}", printable(file, 200))))
}

/// What every policy is held against.
struct Asked<'a> {
    args: &'a Backtest,
    settings: &'a Settings,
    rehearsal: Rehearsal,
    trace: &'a Trace,
    past: Option<&'a Past>,
    boot: Duration,
}

impl Asked<'_> {
    fn column(&self, name: &str, policy: &Policy, fleet: &FleetPolicy) -> Result<Column, Failure> {
        let Self { args, rehearsal, trace, boot, .. } = *self;
        let named = fleet.goal().map(|(_, goal)| goal);
        let goal = args.goal.or(named.map(|goal| goal.start_within)).unwrap_or(GOAL_USUAL);
        let at_once = args.jobs_at_once.or(named.map(|goal| goal.jobs_at_once)).unwrap_or(2);
        let jobs_at_once = usize::try_from(at_once.max(1)).unwrap_or(usize::MAX);
        let known = self.known(policy, fleet);
        let tells = rehearsal.telling(known);
        let interruption = rehearsal.interrupted;
        let setting = Setting { seed: args.seed, boot, jobs_at_once, tells, interruption, goal };
        let bar = std::io::stderr().is_terminal();
        let mut shown = None;
        let mut progress = |share: f64| {
            let percent = format!("{:3.0}", share * 100.0);
            if bar && shown.as_ref() != Some(&percent) {
                // A bar that cannot be drawn is no reason to stop.
                write!(std::io::stderr(), "\r{name}: {percent} %").ok();
                shown = Some(percent);
            }
        };
        let prices = money::prices(policy, self.settings);
        let backtest =
            Run { policy, fleet: &fleet.name, trace, setting: &setting, prices: &prices };
        if let Some(why) = backtest.too_long() {
            return Err(Failure::Error(USAGE, anyhow!("{}: {why}", printable(name, 200))));
        }
        let outcome =
            runtime()?.block_on(backtest.run(&mut progress)).map_err(anyhow::Error::new)?;
        if bar {
            write!(std::io::stderr(), "\r\u{1b}[K").ok();
        }
        let (fleet, zone) = (fleet.clone(), policy.zone.clone());
        let name = name.to_owned();
        Ok(Column { name, goal, jobs_at_once, known, rehearsal, outcome, fleet, zone, prices })
    }

    /// The policy that ran hears what was recorded; another one as much of it as its own `read` can
    /// tell.
    fn known(&self, policy: &Policy, fleet: &FleetPolicy) -> Known {
        let own = fleet.queue.as_ref().map_or(Telling::NONE, |queue| Telling::of(&queue.source));
        match (self.past, self.trace) {
            (None, Trace::Lengths(_)) => Known::Length,
            (None, Trace::Jobs(_)) => {
                fleet.queue.as_ref().map_or(Known::Plain, |queue| Known::of(&queue.source))
            }
            (Some(past), _) => {
                let recorded = Telling::recorded(&past.history.readings);
                let ran = std::ptr::eq(policy, &raw const past.policy);
                Known::Recorded(if ran { recorded } else { recorded.and(own) })
            }
        }
    }

    /// The first lines of the output.
    fn first_lines(&self, columns: &[Column]) -> Vec<String> {
        let queues: Vec<_> = columns.iter().map(|c| (printable(&c.name, 200), c.known)).collect();
        let jobs = matches!(self.trace, Trace::Jobs(_));
        self.rehearsal.lines(&queues, jobs)
    }
}

impl Column {
    /// The share of the jobs that waited longer than the goal or are lost.
    fn share_over(&self) -> f64 {
        self.outcome.jobs.as_ref().map_or(0.0, Jobs::share_over)
    }

    fn json(&self) -> Value {
        let Outcome { from, to, server_time, idle, launches, reversals, at_max, .. } =
            &self.outcome;
        let jobs = self.outcome.jobs.as_ref().map(|jobs| {
            json!({
                "started": jobs.started,
                "unfinished": jobs.unfinished,
                "interrupted": jobs.interrupted,
                "lost": jobs.lost,
                "wait_mean_s": jobs.mean.as_secs(),
                "wait_p50_s": jobs.wait(50).as_secs(),
                "wait_p95_s": jobs.wait(95).as_secs(),
                "wait_p99_s": jobs.wait(99).as_secs(),
                "wait_max_s": jobs.wait(100).as_secs(),
                "waited_over": self.share_over(),
            })
        });
        let worst = self.outcome.worst.as_ref().map(|worst| {
            json!({
                "arrived": worst.arrived.to_string(),
                "waited_s": worst.waited.as_secs(),
                "decided_at": worst.decided.as_ref().map(|(at, _)| at.to_string()),
                "decision": worst.decided.as_ref().map(|(_, text)| text.clone()),
            })
        });
        json!({
            "policy": self.name,
            "assumed": self.rehearsal.json(self.known),
            "from": from.to_string(),
            "to": to.to_string(),
            "goal_s": self.goal.as_secs(),
            "jobs_at_once": self.jobs_at_once,
            "cost_by_hour_dollars": money::cents(&self.outcome.cost_by_hour),
            "cost_by_second_dollars": money::cents(&self.outcome.cost_by_second),
            "types_without_price": money::without_price(&self.outcome.cost_by_second),
            "prices": money::source(&self.prices),
            "server_seconds": server_time.as_secs(),
            "idle_seconds": idle.as_secs(),
            "launches": launches,
            "reversals": reversals,
            "at_max_seconds": at_max.as_secs(),
            "jobs": jobs,
            "worst": worst,
        })
    }
}
