//! `tidegate history`: what happened, one line for each change, from the journal.

use clap::Args;
use serde_json::json;

use super::journal::{JournalFile, fleet_named};
use super::out::say;
use super::{Failure, USAGE, check, moment};
use crate::settings::Settings;
use tidegate_engine::model::history::{Told, id};
use tidegate_engine::model::ledger::EventKind;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Decisions, problems, orders by hand and policies are kept for 13 months; calls and sightings, which \
--all adds, for three. `tidegate explain --decision ID` tells more of a decision.")]
pub(crate) struct History {
    /// One fleet only
    fleet: Option<String>,
    /// From when on: a span back, or a moment like `14:02` or `2026-06-09 14:02`
    #[arg(long, value_name = "SPAN|MOMENT", default_value = "24h")]
    since: String,
    /// Also decisions that changed nothing, with what stood in the way
    #[arg(long)]
    why_not: bool,
    /// Also each call to AWS, and what was seen of each server
    #[arg(long)]
    all: bool,
}

impl History {
    fn shows(&self, told: &Told) -> bool {
        self.all || told.is_news() || (self.why_not && told.event.kind == EventKind::Decision)
    }
}

pub(crate) fn run(args: &History, settings: &Settings, json: bool) -> Result<(), Failure> {
    let journal = JournalFile::of(settings);
    let fleet = args.fleet.as_deref().map(fleet_named).transpose()?;
    let now = check::now();
    let zone = journal.zone(now)?;
    let since = match units::duration(&args.since) {
        Ok(span) => time::before(now, span),
        Err(_) => moment::parse(&args.since, &zone, now).map_err(|why| {
            let why = anyhow::anyhow!("--since: {why}, or a span back like `24h`");
            Failure::Error(USAGE, why)
        })?,
    };
    let told = journal.told(fleet.as_ref(), (since, Timestamp::MAX))?;
    let mut shown: usize = 0;
    for told in told.iter().filter(|told| args.shows(told)) {
        shown = shown.saturating_add(1);
        if json {
            say!("{}", line(told))?;
            continue;
        }
        let event = &told.event;
        let at = time::local(event.at, &zone);
        let fleet = event.fleet.as_ref().map_or("-", |fleet| fleet.as_str());
        say!("{at:<25}  {fleet:<12}  {:<9}  {}", event.kind.as_str(), event.text)?;
    }
    if shown == 0 && !json {
        let of = fleet.map_or_else(String::new, |fleet| format!(" of fleet {fleet}"));
        let more =
            if args.why_not || args.all { "" } else { "; --why-not says what stood in the way" };
        eprintln!("nothing{of} changed since {}{more}", time::local(since, &zone));
    }
    Ok(())
}

fn line(told: &Told) -> serde_json::Value {
    let event = &told.event;
    let decision = event.fleet.as_ref().filter(|_| event.kind == EventKind::Decision);
    json!({
        "format_version": 1,
        "at": event.at.to_string(),
        "kind": event.kind.as_str(),
        "fleet": event.fleet.as_ref().map(ToString::to_string),
        "instance": event.instance.as_ref().map(ToString::to_string),
        "text": event.text,
        "from": told.from_to.map(|(from, _)| from),
        "to": told.from_to.map(|(_, to)| to),
        "decision": decision.map(|fleet| id(fleet, event.at)),
    })
}
