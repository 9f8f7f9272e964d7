//! `tidegate history`: what happened, one line for each change, from the journal.

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::journal::{Journal, fleet_named};
use super::out::say;
use super::{Failure, USAGE, check, moment, runtime};
use crate::settings::Settings;
use tidegate_engine::model::decision::Reason;
use tidegate_engine::model::fleet::FleetName;
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
    let fleet = args.fleet.as_deref().map(fleet_named).transpose()?;
    runtime()?.block_on(tell(args, fleet, settings, json))
}

async fn tell(
    args: &History,
    fleet: Option<FleetName>,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let journal = Journal::of(settings)?;
    let now = check::now();
    let zone = journal.zone(now).await?;
    let since = match units::duration(&args.since) {
        Ok(span) => time::before(now, span),
        Err(_) => moment::parse(&args.since, &zone, now).map_err(|why| {
            let why = anyhow::anyhow!("--since: {why}, or a span back like `24h`");
            Failure::Error(USAGE, why)
        })?,
    };
    let lines = journal.history()?.lines(fleet.as_ref(), (since, Timestamp::MAX)).await;
    let told = journal.answer(lines)?;
    let mut shown: usize = 0;
    for told in told.iter().filter(|told| args.shows(told)) {
        shown = shown.saturating_add(1);
        if json {
            say!("{}", line(told, &zone))?;
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

fn line(told: &Told, zone: &TimeZone) -> Value {
    let event = &told.event;
    let decision = event.fleet.as_ref().filter(|_| event.kind == EventKind::Decision);
    let because: Vec<_> = told.because.iter().map(|reason| as_json(reason, zone)).collect();
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
        "because": (!because.is_empty()).then_some(because),
    })
}

/// A reason with its numbers, in the form of `tidegate decide`.
fn as_json(reason: &Reason, zone: &TimeZone) -> Value {
    let mut told = Map::new();
    told.insert("rule".to_owned(), reason.rule().into());
    told.insert("text".to_owned(), reason.text(zone).into());
    told.extend(
        reason.numbers().into_iter().map(|(name, number)| (name.to_owned(), number.into())),
    );
    Value::Object(told)
}
