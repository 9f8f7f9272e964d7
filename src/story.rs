//! What the journal tells of one decision: the words of the day, what was measured, and what
//! followed. For `tidegate explain` and for the daemon's page.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::ports::{History, StoreFault};
use tidegate_engine::evaluate::reckoned_again;
use tidegate_engine::model::decision::Reason;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, FleetHistory, InForce, Told};
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
    /// The reasons come from asking the rules again. Of a decision that was no news, version 0.1.0
    /// stored none, and later versions remove them after some weeks.
    pub again: bool,
    pub reading: Option<Reading>,
    pub policy: Option<Policy>,
    pub did: Vec<Told>,
    /// The next that was told.
    pub next: Option<Told>,
}

/// Returns the decision that was made for a fleet within the second that its id names.
pub async fn decision(
    history: &dyn History,
    fleet: &FleetName,
    second: Timestamp,
) -> Result<Option<Decided>, StoreFault> {
    let span = (second, time::after(second, Duration::from_millis(999)));
    let mut decisions = history.decisions(fleet, span).await?;
    Ok(decisions.pop().filter(|decided| decided.at >= second))
}

/// Returns the policy that was in force, if a daemon noted it.
pub async fn policy_at(history: &dyn History, at: Timestamp) -> Result<Option<Policy>, StoreFault> {
    Ok(history.policy_at(at).await?.and_then(|ran| parsed(&ran)))
}

fn parsed(ran: &InForce) -> Option<Policy> {
    policy::load("the policy that ran", &ran.text, ran.since).policy
}

/// What the journal holds around one decision, as it was read.
#[derive(Debug)]
pub struct DecisionRecord {
    decided: Decided,
    past: FleetHistory,
    ran: Option<InForce>,
    /// From the decision on.
    lines: Vec<Told>,
}

impl DecisionRecord {
    pub async fn read(history: &dyn History, decided: Decided) -> Result<Self, StoreFault> {
        let (fleet, at) = (&decided.fleet, decided.at);
        let past = history.of_fleet(fleet, (time::before(at, LEARNED_WITHIN), at)).await?;
        let ran = history.policy_at(at).await?;
        let lines = history.lines(Some(fleet), (at, Timestamp::MAX)).await?;
        Ok(Self { decided, past, ran, lines })
    }
}

impl Story {
    /// Puts the story together. A large policy takes seconds to parse.
    pub fn of(record: DecisionRecord) -> Self {
        let DecisionRecord { decided, past, ran, lines } = record;
        let policy = ran.and_then(|ran| parsed(&ran));
        let at = decided.at;
        let (mut why, mut did, mut next) = (None, Vec::new(), None);
        for told in lines {
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
        let again = why.is_none() && decided.because.is_empty();
        let because = match (decided.because.as_slice(), why) {
            ([], Some(why)) => told_reasons(&why, &decided, policy.as_ref()),
            ([], None) => policy.as_ref().map_or_else(Vec::new, |p| reckoned(p, &past, &decided)),
            (stored, _) => stored_reasons(stored, &decided.fleet, policy.as_ref()),
        };
        let reading = past.readings.last().cloned();
        Self { decided, because, again, reading, policy, did, next }
    }
}

/// The stored reasons in words, each with the line that its rule goes back to.
fn stored_reasons(
    stored: &[Reason],
    fleet: &FleetName,
    policy: Option<&Policy>,
) -> Vec<(String, Option<usize>)> {
    let zone = policy.map_or(TimeZone::UTC, |policy| policy.zone.clone());
    let fleet = policy.and_then(|policy| policy.fleets.get(fleet));
    let line = |reason: &Reason| fleet.and_then(|fleet| fleet.lines.of_rule(reason.rule()));
    stored.iter().map(|reason| (reason.text(&zone), line(reason))).collect()
}

/// The words of a decision without stored reasons, apart, each with the line that its rule goes back to.
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
fn reckoned(
    policy: &Policy,
    past: &FleetHistory,
    decided: &Decided,
) -> Vec<(String, Option<usize>)> {
    let Some(fleet) = policy.fleets.get(&decided.fleet) else { return Vec::new() };
    let Some(decision) = reckoned_again(policy, past, decided) else {
        return Vec::new();
    };
    let line = |rule: &str| fleet.lines.of_rule(rule);
    let reasons = decision.because.iter();
    reasons.map(|reason| (reason.text(&policy.zone), line(reason.rule()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Store as _;
    use crate::store::memory::MemoryStore;
    use tidegate_engine::model::ledger::{Change, Event};

    const POLICY: &str = "\
version: 1
timezone: America/Winnipeg
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1], types: [t3.small] }
    min: 1
    max: 2
";

    /// A journal in which one decision was made and told.
    async fn journal(because: Vec<Reason>, told: &str) -> (MemoryStore, Decided) {
        let at: Timestamp = "2026-03-02T18:00:00.25Z".parse().unwrap();
        let fleet = FleetName::new("app").unwrap();
        let decided = Decided {
            at,
            fleet: fleet.clone(),
            capacity: 1,
            desired: 2,
            target: 2,
            rules: vec!["hold".to_owned(), "bounded".to_owned()],
            because,
        };
        let (kind, text) = (EventKind::Decision, told.to_owned());
        let event = Event { at, kind, fleet: Some(fleet), instance: None, text };
        let (since, digest) = (time::before(at, Duration::from_hours(1)), "a".to_owned());
        let ran = InForce { since, digest, text: POLICY.to_owned() };
        let changes =
            [Change::InForce(ran), Change::Decided(decided.clone()), Change::Event(event)];
        let store = MemoryStore::default();
        store.commit(&changes).await.unwrap();
        (store, decided)
    }

    async fn told(store: &MemoryStore, decided: &Decided) -> Vec<(String, Option<usize>)> {
        let second = "2026-03-02T18:00:00Z".parse().unwrap();
        let found = decision(store, &decided.fleet, second).await.unwrap();
        assert_eq!(found.as_ref(), Some(decided));
        let story = Story::of(DecisionRecord::read(store, found.unwrap()).await.unwrap());
        assert!(!story.again);
        story.because
    }

    #[tokio::test]
    async fn stored_reasons_are_told_whole_with_their_lines() {
        let until = "2026-03-03T06:00:00Z".parse().unwrap();
        let (owner, reason) = ("ann".to_owned(), "launch day; be nice".to_owned());
        let because = vec![
            Reason::Hold { capacity: 3, owner, reason, until },
            Reason::Bounded { asked: 3, min: 1, max: 2 },
        ];
        let (store, decided) = journal(because, "1 -> 2: held; x; y").await;
        let hold = "held at 3 by ann until 2026-03-03 00:00-06:00: launch day; be nice";
        let bounded = "3 asked for, min 1 and max 2 allow 2";
        let expected = [(hold.to_owned(), None), (bounded.to_owned(), Some(7))];
        assert_eq!(told(&store, &decided).await, expected);
    }

    #[tokio::test]
    async fn decision_of_version_0_1_0_is_told_in_its_words() {
        let (store, decided) = journal(Vec::new(), "1 -> 2: held by ann; bounded").await;
        let expected = [("held by ann".to_owned(), None), ("bounded".to_owned(), Some(7))];
        assert_eq!(told(&store, &decided).await, expected);
        // An operator's own semicolon: the parts are not the reasons.
        let (store, decided) = journal(Vec::new(), "1 -> 2: held; be nice; bounded").await;
        assert_eq!(told(&store, &decided).await, [("held; be nice; bounded".to_owned(), None)]);
    }
}
