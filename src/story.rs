//! What the journal tells of one decision: the words of the day, what was measured, and what
//! followed. For `tidegate explain` and for the daemon's page.

use std::path::Path;
use std::time::Duration;

use crate::ports::StoreFault;
use crate::store;
use tidegate_engine::evaluate::reckoned_again;
use tidegate_engine::model::history::{Decided, History, Told};
use tidegate_engine::model::ledger::EventKind;
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{self, Policy};

/// How far back the record is read: what a goal has learned is in it.
const LEARNED_WITHIN: Duration = Duration::from_hours(24 * 7);

/// What is done for a decision is begun in its tick and the ones after.
const DONE_WITHIN: Duration = Duration::from_mins(2);

/// Everything that the journal says of one decision.
#[derive(Debug)]
pub struct Story {
    pub decided: Decided,
    /// The reasons, each with its line of the policy of the day, where one can tell them apart.
    pub because: Vec<(String, Option<usize>)>,
    /// The reasons are not the words of the day, which were not news, but come from asking the rules
    /// again.
    pub again: bool,
    pub reading: Option<Reading>,
    pub policy: Option<Policy>,
    pub did: Vec<Told>,
    /// The next that was told.
    pub next: Option<Told>,
}

/// The span of the second that a decision's id names.
pub fn second(at: Timestamp) -> (Timestamp, Timestamp) {
    (at, time::after(at, Duration::from_millis(999)))
}

/// The decision that was made within a history's span, not before it.
pub fn made(mut history: History) -> Option<Decided> {
    history.decisions.pop().filter(|decided| decided.at >= history.from)
}

/// The policy that was in force, if a daemon noted it.
pub fn policy_at(journal: &Path, at: Timestamp) -> Result<Option<Policy>, StoreFault> {
    let ran = store::in_force(journal, at)?;
    Ok(ran.and_then(|ran| policy::load("the policy that ran", &ran.text, ran.since).policy))
}

impl Story {
    /// `None`: there is no journal.
    pub fn read(journal: &Path, decided: Decided) -> Result<Option<Self>, StoreFault> {
        let (fleet, at) = (&decided.fleet, decided.at);
        let span = (time::before(at, LEARNED_WITHIN), at);
        let Some(past) = store::history(journal, fleet, span)? else { return Ok(None) };
        let policy = policy_at(journal, at)?;
        let told = store::told(journal, Some(fleet), (at, Timestamp::MAX))?.unwrap_or_default();
        let (mut why, mut did, mut next) = (None, Vec::new(), None);
        for told in told {
            match told.event.kind {
                EventKind::Decision if told.event.at == at => why = Some(told.event.text),
                EventKind::Decision => {
                    next = Some(told);
                    break;
                }
                EventKind::Action | EventKind::Failure
                    if time::since(told.event.at, at) <= DONE_WITHIN =>
                {
                    did.push(told);
                }
                EventKind::Action
                | EventKind::Failure
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
        Ok(Some(Self { decided, because, again, reading, policy, did, next }))
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
    let Some(decision) = reckoned_again(policy, past, decided) else {
        return Vec::new();
    };
    let line = |rule: &str| fleet.lines.of_rule(rule);
    let reasons = decision.because.iter();
    reasons.map(|reason| (reason.text(&policy.zone), line(reason.rule()))).collect()
}
