//! What was decided at a moment, from the journal: the words of the day, and what followed.

use std::time::Duration;

use serde_json::{Value, json};

use super::row;
use crate::cli::journal::Journal;
use crate::cli::out::say;
use crate::cli::{Failure, USAGE, check, moment};
use crate::settings::Settings;
use crate::story::{self, DecisionRecord, Story};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::Decided;
use tidegate_engine::model::reading::jobs;
use tidegate_engine::model::time::{self, Timestamp};

/// A reading is answered once, and readings are at most a day apart.
const LOOKED_BACK: Duration = Duration::from_hours(24);

/// What stood at a moment.
pub(super) async fn at(
    fleet: &FleetName,
    text: &str,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let journal = Journal::of(settings)?;
    let now = check::now();
    let zone = journal.zone(now).await?;
    let at = moment::parse(text, &zone, now)
        .map_err(|why| Failure::Error(USAGE, anyhow::anyhow!("--at: {why}")))?;
    let span = (time::before(at, LOOKED_BACK), at);
    let mut decisions = journal.answer(journal.history()?.decisions(fleet, span).await)?;
    // A tick that finds its reading answered stands by the decision that answered it.
    let answered = |decided: &Decided| decided.rules.iter().any(|rule| rule == "queue_answered");
    let decision = decisions.iter().rposition(|decided| !answered(decided));
    let decided = decision.map(|nth| decisions.swap_remove(nth));
    let Some(decided) = decided else {
        let at = time::local(at, &zone);
        return Err(journal.failed(&format!("nothing was decided for fleet {fleet} before {at}")));
    };
    tell(&journal, decided, json).await
}

/// One decision, by the second it was made in.
pub(super) async fn decision(
    fleet: &FleetName,
    second: Timestamp,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let journal = Journal::of(settings)?;
    let decided = story::decision(journal.history()?, fleet, second).await;
    let decided = journal.answer(decided)?;
    let none = || journal.failed(&format!("no decision was made for fleet {fleet} at {second}"));
    tell(&journal, decided.ok_or_else(none)?, json).await
}

async fn tell(journal: &Journal, decided: Decided, json: bool) -> Result<(), Failure> {
    let record = DecisionRecord::read(journal.history()?, decided).await;
    let story = Story::of(journal.answer(record)?);
    if json { say!("{}", as_json(&story)) } else { print(&story) }
}

fn print(story: &Story) -> Result<(), Failure> {
    let Decided { fleet, at, capacity, desired, .. } = &story.decided;
    let zone = story.policy.as_ref().map_or(jiff::tz::TimeZone::UTC, |p| p.zone.clone());
    let when = time::local(*at, &zone);
    let id = story.decided.id();
    if capacity == desired {
        say!("{fleet} stayed at {desired} from {when} on   decision {id}")?;
    } else {
        say!("{fleet} went from {capacity} to {desired} at {when}   decision {id}")?;
    }
    if let Some(reading) = &story.reading {
        let ago = time::text(time::since(*at, reading.at));
        let said = match &reading.depth {
            Ok(depth) => {
                let oldest = depth.oldest.map(|o| format!(", the oldest for {}", time::text(o)));
                format!("{} waiting{}", jobs(depth.waiting), oldest.unwrap_or_default())
            }
            Err(why) => format!("not readable: {why}"),
        };
        row("measured", &format!("{said}, read {ago} before"), None)?;
    }
    for (n, (text, line)) in story.because.iter().enumerate() {
        row(if n == 0 { "because" } else { "" }, text, *line)?;
    }
    if story.because.is_empty() {
        row("because", &format!("rules {}", story.decided.rules.join(", ")), None)?;
    } else if story.again {
        row("", "(was no news then; reckoned again from the record)", None)?;
    }
    for told in &story.did {
        row("did", &told.event.text, None)?;
    }
    if let Some(policy) = &story.policy {
        row("policy", &policy.digest, None)?;
    }
    if let Some(next) = &story.next {
        let when = time::local(next.event.at, &zone);
        row("until", &format!("{when}, then {}", next.event.text), None)?;
    }
    Ok(())
}

fn as_json(story: &Story) -> Value {
    let Decided { fleet, at, capacity, desired, target, rules, because: _ } = &story.decided;
    let depth = story.reading.as_ref().and_then(|reading| reading.depth.as_ref().ok());
    let because = story.because.iter().map(|(text, line)| json!({ "text": text, "line": line }));
    json!({
        "format_version": 1,
        "decision": story.decided.id(),
        "fleet": fleet.as_str(),
        "at": at.to_string(),
        "from": capacity,
        "to": desired,
        "target": target,
        "rules": rules,
        "because": because.collect::<Vec<_>>(),
        "reckoned_again": story.again,
        "reading": story.reading.as_ref().map(|reading| json!({
            "at": reading.at.to_string(),
            "waiting": depth.map(|depth| depth.waiting),
            "oldest_seconds": depth.and_then(|depth| depth.oldest).map(|oldest| oldest.as_secs()),
            "unreadable": reading.depth.as_ref().err(),
        })),
        "did": story.did.iter().map(|told| told.event.text.as_str()).collect::<Vec<_>>(),
        "policy": story.policy.as_ref().map(|policy| policy.digest.as_str()),
        "until": story.next.as_ref().map(|next| next.event.at.to_string()),
    })
}
