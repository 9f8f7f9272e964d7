//! What was decided at a moment, from the journal: the words of the day, and what followed.

use std::time::Duration;

use serde_json::{Value, json};

use super::row;
use crate::cli::journal::JournalFile;
use crate::cli::out::say;
use crate::cli::{Failure, USAGE, check, moment};
use crate::filter::reckoned_again;
use crate::model::fleet::FleetName;
use crate::model::history::{Decided, History, Told};
use crate::model::ledger::EventKind;
use crate::model::reading::Reading;
use crate::model::time::{self, Timestamp};
use crate::policy::Policy;
use crate::settings::Settings;

/// How far back the record is read: what a goal has learned is in it.
const LEARNED_WITHIN: Duration = Duration::from_hours(24 * 7);

/// A reading is answered once, and readings are at most a day apart.
const LOOKED_BACK: Duration = Duration::from_hours(24);

/// What is done for a decision is begun in its tick and the ones after.
const DONE_WITHIN: Duration = Duration::from_mins(2);

/// Everything that the journal says of one decision.
struct Story {
    decided: Decided,
    /// The reasons, each with its line of the policy of the day, where one can tell them apart.
    because: Vec<(String, Option<usize>)>,
    /// The reasons are not the words of the day, which were not news, but come from asking the rules
    /// again.
    again: bool,
    reading: Option<Reading>,
    policy: Option<Policy>,
    did: Vec<Told>,
    /// The next that was told.
    next: Option<Told>,
}

/// What stood at a moment.
pub(super) fn at(
    fleet: &FleetName,
    text: &str,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let journal = JournalFile::of(settings);
    let now = check::now();
    let zone = journal.zone(now)?;
    let at = moment::parse(text, &zone, now)
        .map_err(|why| Failure::Error(USAGE, anyhow::anyhow!("--at: {why}")))?;
    let mut decisions = journal.history(fleet, (time::before(at, LOOKED_BACK), at))?.decisions;
    // A tick that finds its reading answered stands by the decision that answered it.
    let answered = |decided: &Decided| decided.rules.iter().any(|rule| rule == "queue_answered");
    let decision = decisions.iter().rposition(|decided| !answered(decided));
    let decided = decision.map(|nth| decisions.swap_remove(nth));
    let Some(decided) = decided else {
        let at = time::local(at, &zone);
        return Err(journal.failed(&format!("nothing was decided for fleet {fleet} before {at}")));
    };
    tell(&journal, decided, json)
}

/// One decision, by the second it was made in.
pub(super) fn decision(
    fleet: &FleetName,
    second: Timestamp,
    settings: &Settings,
    json: bool,
) -> Result<(), Failure> {
    let journal = JournalFile::of(settings);
    let end = time::after(second, Duration::from_millis(999));
    let decided = journal.history(fleet, (second, end))?.decisions.pop();
    let decided = decided.filter(|decided| decided.at >= second);
    let none = || journal.failed(&format!("no decision was made for fleet {fleet} at {second}"));
    tell(&journal, decided.ok_or_else(none)?, json)
}

fn tell(journal: &JournalFile, decided: Decided, json: bool) -> Result<(), Failure> {
    let story = Story::read(journal, decided)?;
    if json { say!("{}", story.json()) } else { story.print() }
}

impl Story {
    fn read(journal: &JournalFile, decided: Decided) -> Result<Self, Failure> {
        let (fleet, at) = (&decided.fleet, decided.at);
        let past = journal.history(fleet, (time::before(at, LEARNED_WITHIN), at))?;
        let policy = journal.policy(at)?;
        let told = journal.told(Some(fleet), (at, Timestamp::MAX))?;
        let (mut why, mut did, mut next) = (None, Vec::new(), None);
        for told in told {
            match told.event.kind {
                EventKind::Decision if told.event.at == at => why = Some(told.event.text),
                EventKind::Decision => {
                    next = Some(told);
                    break;
                }
                EventKind::Action if time::since(told.event.at, at) <= DONE_WITHIN => {
                    did.push(told);
                }
                EventKind::Action
                | EventKind::Seen
                | EventKind::Problem
                | EventKind::Recovered
                | EventKind::Override
                | EventKind::Policy => {}
            }
        }
        let again = why.is_none();
        let because = match why {
            Some(why) => told_reasons(&why, &decided, policy.as_ref()),
            None => policy.as_ref().map_or_else(Vec::new, |p| reckoned(p, &past, &decided)),
        };
        let reading = past.readings.last().cloned();
        Ok(Self { decided, because, again, reading, policy, did, next })
    }

    fn print(&self) -> Result<(), Failure> {
        let Decided { fleet, at, capacity, desired, .. } = &self.decided;
        let zone = self.policy.as_ref().map_or(jiff::tz::TimeZone::UTC, |p| p.zone.clone());
        let when = time::local(*at, &zone);
        let id = self.decided.id();
        if capacity == desired {
            say!("{fleet} stayed at {desired} from {when} on   decision {id}")?;
        } else {
            say!("{fleet} went from {capacity} to {desired} at {when}   decision {id}")?;
        }
        if let Some(reading) = &self.reading {
            let ago = time::text(time::since(*at, reading.at));
            let said = match &reading.depth {
                Ok(depth) => {
                    let oldest =
                        depth.oldest.map(|o| format!(", the oldest for {}", time::text(o)));
                    format!("{} jobs waiting{}", depth.waiting, oldest.unwrap_or_default())
                }
                Err(why) => format!("not readable: {why}"),
            };
            row("measured", &format!("{said}, read {ago} before"), None)?;
        }
        for (n, (text, line)) in self.because.iter().enumerate() {
            row(if n == 0 { "because" } else { "" }, text, *line)?;
        }
        if self.because.is_empty() {
            row("because", &format!("rules {}", self.decided.rules.join(", ")), None)?;
        } else if self.again {
            row("", "(was no news then; reckoned again from the record)", None)?;
        }
        for told in &self.did {
            row("did", &told.event.text, None)?;
        }
        if let Some(policy) = &self.policy {
            row("policy", &policy.digest, None)?;
        }
        if let Some(next) = &self.next {
            let when = time::local(next.event.at, &zone);
            row("until", &format!("{when}, then {}", next.event.text), None)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let Decided { fleet, at, capacity, desired, target, rules } = &self.decided;
        let depth = self.reading.as_ref().and_then(|reading| reading.depth.as_ref().ok());
        let because = self.because.iter().map(|(text, line)| json!({ "text": text, "line": line }));
        json!({
            "format_version": 1,
            "decision": self.decided.id(),
            "fleet": fleet.as_str(),
            "at": at.to_string(),
            "from": capacity,
            "to": desired,
            "target": target,
            "rules": rules,
            "because": because.collect::<Vec<_>>(),
            "reckoned_again": self.again,
            "reading": self.reading.as_ref().map(|reading| json!({
                "at": reading.at.to_string(),
                "waiting": depth.map(|depth| depth.waiting),
                "oldest_seconds": depth.and_then(|depth| depth.oldest).map(|oldest| oldest.as_secs()),
                "unreadable": reading.depth.as_ref().err(),
            })),
            "did": self.did.iter().map(|told| told.event.text.as_str()).collect::<Vec<_>>(),
            "policy": self.policy.as_ref().map(|policy| policy.digest.as_str()),
            "until": self.next.as_ref().map(|next| next.event.at.to_string()),
        })
    }
}

/// The words of the day, apart, each with the line that its rule goes back to.
fn told_reasons(
    told: &str,
    decided: &Decided,
    policy: Option<&Policy>,
) -> Vec<(String, Option<usize>)> {
    let why = told.split_once(": ").map_or(told, |(_, why)| why);
    let texts: Vec<&str> = why.split("; ").collect();
    if texts.len() != decided.rules.len() {
        return vec![(why.to_owned(), None)];
    }
    let fleet = policy.and_then(|policy| policy.fleets.get(&decided.fleet));
    let line = |rule: &str| fleet.and_then(|fleet| fleet.lines.of_rule(rule));
    let texts = texts.into_iter().zip(&decided.rules);
    texts.map(|(text, rule)| (text.to_owned(), line(rule))).collect()
}

/// What the policy's rules say to the same reading again; nothing if that is not what was decided.
fn reckoned(policy: &Policy, past: &History, decided: &Decided) -> Vec<(String, Option<usize>)> {
    let Some(fleet) = policy.fleets.get(&decided.fleet) else { return Vec::new() };
    let Some(decision) = reckoned_again(fleet, policy.tick, past, decided) else {
        return Vec::new();
    };
    let line = |rule: &str| fleet.lines.of_rule(rule);
    let reasons = decision.because.iter();
    reasons.map(|reason| (reason.text(&policy.zone), line(reason.rule()))).collect()
}
