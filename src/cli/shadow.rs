//! `tidegate shadow`: where the second policy decided otherwise, and what it would have cost.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::journal::Journal;
use super::money;
use super::out::say;
use super::{Failure, check, runtime};
use crate::prices::{Cost, PriceList};
use crate::settings::Settings;
use crate::sim::report::paid;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::FleetHistory;
use tidegate_engine::model::shadow::{Differs, ShadowRecord};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{self, Billing, Policy};

#[derive(Debug, Args)]
#[command(after_help = "\
The second policy is given to the daemon: tidegate run --shadow next.yaml. It goes by the queue as the \
live servers work it off, on servers that boot as fast as the live ones and are never refused; orders \
by hand are the live policy's alone. What it would have done to the queue itself: tidegate backtest \
--last 7d --policy next.yaml.")]
pub(crate) struct Shadow {
    /// One fleet only
    fleet: Option<String>,
    /// How many of the latest differences are told
    #[arg(long, value_name = "N", default_value_t = 20)]
    lines: usize,
}

/// One side of the comparison.
#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    server_time: Duration,
    cost: Cost,
    launches: u64,
}

impl Side {
    /// Of servers that were there at some time of the span: begun, ended, and their type.
    fn of(
        servers: &[(Timestamp, Option<Timestamp>, Option<&str>)],
        (from, to): (Timestamp, Timestamp),
        (billing, prices): (Billing, &PriceList),
    ) -> Self {
        let mut side = Self::default();
        for (begun, ended, of_type) in servers.iter().copied() {
            let span = time::since(ended.map_or(to, |ended| ended.min(to)), begun.max(from));
            side.server_time += span;
            side.cost.add(of_type, paid(span, billing).as_secs_f64() / 3600.0, prices);
            side.launches += u64::from(begun >= from);
        }
        side
    }
}

/// One fleet under both policies.
struct Compared<'a> {
    fleet: &'a FleetName,
    live: Side,
    shadow: Side,
    /// How long the two wanted different numbers.
    apart: Duration,
    differs: Vec<&'a Differs>,
    /// Of both sides alike: the second policy's, then the live one's.
    prices: PriceList,
}

pub(crate) fn run(args: &Shadow, settings: &Settings, json: bool) -> Result<(), Failure> {
    runtime()?.block_on(told(args, settings, json))
}

async fn told(args: &Shadow, settings: &Settings, json: bool) -> Result<(), Failure> {
    let journal = Journal::of(settings)?;
    let failed = |why: String| journal.failed(&why);
    let history = journal.history()?;
    let record = journal.answer(history.shadow().await)?.ok_or_else(|| {
        failed("no second policy was ever decided beside the live one; start the daemon with `run --shadow FILE`".to_owned())
    })?;
    let second = policy::load(&record.path, &record.text, record.since).policy;
    let second =
        second.ok_or_else(|| failed("the second policy cannot be read any more".to_owned()))?;
    let now = check::now();
    let mut compared = Vec::new();
    for name in second.fleets.keys() {
        let named = args.fleet.as_ref().is_none_or(|fleet| fleet == name.as_str());
        let known = record.differs.iter().any(|differs| differs.fleet == *name);
        if !named || !known {
            continue;
        }
        let past = journal.answer(history.of_fleet(name, (record.since, now)).await)?;
        compared.push(compare(&record, &second, name, &past, money::prices(&second, settings)));
    }
    if compared.is_empty() {
        let fleet = args
            .fleet
            .as_deref()
            .map_or_else(String::new, |name| format!(" of fleet {}", printable(name, 64)));
        return Err(failed(format!("nothing{fleet} was decided beside the live policy yet")));
    }
    if json {
        let fleets: Vec<Value> = compared.iter().map(Compared::json).collect();
        say!(
            "{}",
            json!({
                "format_version": 1,
                "policy": record.digest,
                "path": record.path,
                "since": record.since.to_string(),
                "fleets": fleets,
            })
        )?;
        return Ok(());
    }
    say!(
        "Policy {} of {} beside the live one, since {}.",
        record.digest,
        printable(&record.path, 200),
        time::local(record.since, &second.zone)
    )?;
    for fleet in &compared {
        fleet.print(&second, args.lines)?;
    }
    match compared.first() {
        Some(fleet) => say!("\nCosts by {}.", fleet.prices.source()),
        None => Ok(()),
    }
}

fn compare<'a>(
    record: &'a ShadowRecord,
    second: &'a Policy,
    name: &'a FleetName,
    past: &FleetHistory,
    prices: PriceList,
) -> Compared<'a> {
    let (from, to) = (past.from, past.to);
    let live_policy = past
        .policies
        .last()
        .and_then(|ran| policy::load("the live policy", &ran.text, ran.since).policy);
    let live_billing = live_policy.as_ref().and_then(|live| Some(live.fleets.get(name)?.billing));
    let prices = match &live_policy {
        Some(live) => prices.or(&live.prices),
        None => prices,
    };
    let fleet = second.fleets.get(name);
    let billing = fleet.map_or(Billing::Second, |fleet| fleet.billing);
    let there = past.servers.iter().filter(|server| server.instance().is_some());
    let live: Vec<_> = there
        .map(|server| {
            let kind =
                server.request.as_ref().and_then(|request| request.pool.instance_type.as_deref());
            let begun = server.launched_at.unwrap_or(server.planned_at);
            (begun, server.gone.as_ref().map(|gone| gone.at), kind)
        })
        .collect();
    let live = Side::of(&live, (from, to), (live_billing.unwrap_or(billing), &prices));
    let kind = fleet.and_then(|fleet| fleet.launch.types.first()).map(String::as_str);
    let imagined = record.servers.iter().filter(|server| server.fleet == *name);
    let imagined: Vec<_> =
        imagined.map(|server| (server.launched_at, server.ended_at, kind)).collect();
    let shadow = Side::of(&imagined, (from, to), (billing, &prices));
    let differs: Vec<&Differs> = record.differs.iter().filter(|d| d.fleet == *name).collect();
    let mut apart = Duration::ZERO;
    for (nth, differs_at) in differs.iter().enumerate() {
        let until = differs.get(nth + 1).map_or(to, |next| next.at);
        if differs_at.live != differs_at.shadow {
            apart += time::since(until, differs_at.at);
        }
    }
    Compared { fleet: name, live, shadow, apart, differs, prices }
}

impl Compared<'_> {
    fn json(&self) -> Value {
        let side = |side: &Side| {
            json!({
                "server_seconds": side.server_time.as_secs(),
                "cost_dollars": money::cents(&side.cost),
                "types_without_price": money::without_price(&side.cost),
                "launches": side.launches,
            })
        };
        let differs: Vec<Value> = self
            .differs
            .iter()
            .map(|d| {
                json!({
                    "at": d.at.to_string(),
                    "live": d.live,
                    "shadow": d.shadow,
                    "because_live": d.why_live,
                    "because_shadow": d.why_shadow,
                })
            })
            .collect();
        json!({
            "fleet": self.fleet.as_str(),
            "live": side(&self.live),
            "shadow": side(&self.shadow),
            "prices": money::source(&self.prices),
            "apart_seconds": self.apart.as_secs(),
            "decisions": differs,
        })
    }

    fn print(&self, second: &Policy, lines: usize) -> Result<(), Failure> {
        let (live, shadow) = (&self.live, &self.shadow);
        let now = self.differs.last();
        let wants = |of: fn(&Differs) -> u32| now.map_or(0, |now| of(now));
        let row =
            |head: &str, live: String, shadow: String| say!("{head:<20}  {live:>10}  {shadow:>10}");
        say!("")?;
        row(&format!("fleet {}", self.fleet), "live".to_owned(), "shadow".to_owned())?;
        row("wants now", wants(|d| d.live).to_string(), wants(|d| d.shadow).to_string())?;
        let hours = |side: &Side| format!("{:.1}", side.server_time.as_secs_f64() / 3600.0);
        row("server-hours", hours(live), hours(shadow))?;
        row("cost", live.cost.to_string(), shadow.cost.to_string())?;
        row("launches", live.launches.to_string(), shadow.launches.to_string())?;
        let mut both = live.cost.clone();
        both.join(&shadow.cost);
        for line in self.prices.missing(&both) {
            say!("{line}")?;
        }
        let apart: Vec<&&Differs> = self.differs.iter().filter(|d| d.live != d.shadow).collect();
        if apart.is_empty() {
            say!("They have always wanted the same.")?;
            return Ok(());
        }
        say!(
            "They wanted different numbers {} times, {} in all.",
            apart.len(),
            time::text(self.apart)
        )?;
        for d in apart.iter().skip(apart.len().saturating_sub(lines)) {
            let at = time::local(d.at, &second.zone);
            say!("{at}  live {}: {}", d.live, printable(&d.why_live, 400))?;
            say!(
                "{:width$}  shadow {}: {}",
                "",
                d.shadow,
                printable(&d.why_shadow, 400),
                width = at.len()
            )?;
        }
        Ok(())
    }
}
