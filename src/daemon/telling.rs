//! What the daemon hands over to those who tell people. Handing over never waits, and what becomes of
//! it is no business of a tick.

use std::collections::{BTreeMap, BTreeSet};

use crate::notices::{Desk, Glance, News, Sender};
use crate::tick::TickRecord;
use tidegate_engine::model::ledger::{Event, Ledger, OpenProblem};
use tidegate_engine::model::problem::{Problem, ProblemKey, ProblemKind};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// The daemon's side of the desk; none in a drill, which tells nobody.
#[derive(Debug, Default)]
pub struct Telling {
    desk: Option<Desk>,
    /// What was ordered or reloaded since the last tick.
    news: Vec<News>,
    /// Since when no tick could be finished.
    stuck_since: Option<Timestamp>,
}

impl Telling {
    pub fn over(desk: Desk) -> Self {
        Self { desk: Some(desk), ..Self::default() }
    }

    /// An event between two ticks, to be told with the next.
    pub(super) fn note(&mut self, event: &Event) {
        self.news.extend(News::of(event, &BTreeSet::new()));
    }

    /// A tick is done.
    pub(super) fn ticked(&mut self, policy: &Policy, ledger: &Ledger, record: &TickRecord) {
        self.stuck_since = None;
        let decisions = record.survey.decisions.values();
        let scaled = decisions.filter(|decision| decision.desired != decision.capacity);
        let scaled = scaled.map(|decision| decision.fleet.to_string()).collect();
        let news = record.events.iter().filter_map(|event| News::of(event, &scaled));
        self.news.extend(news);
        let at = record.survey.seen.now;
        self.hand_over(policy, ledger.problems.clone(), at, true);
    }

    /// A tick could not be finished, since the journal could not be written.
    pub(super) fn stuck(&mut self, policy: &Policy, ledger: &Ledger, text: &str, at: Timestamp) {
        let since = *self.stuck_since.get_or_insert(at);
        let (key, text) = (ProblemKey::from(ProblemKind::StateDatabase), text.to_owned());
        let mut problems = ledger.problems.clone();
        problems.insert(key.clone(), OpenProblem { key, fleet: None, since, text });
        self.hand_over(policy, problems, at, false);
    }

    fn hand_over(
        &mut self,
        policy: &Policy,
        problems: BTreeMap<ProblemKey, OpenProblem>,
        at: Timestamp,
        alive: bool,
    ) {
        let news = std::mem::take(&mut self.news);
        let Some(desk) = &self.desk else { return };
        let (sender, notify) = (Sender::of(policy), policy.notify.clone());
        desk.hand_over(Glance { at, sender, notify, problems, news, alive });
    }

    /// Returns a problem for each route over which nobody is reached.
    pub(super) fn unreached(&self, now: Timestamp) -> Vec<Problem> {
        let unreached = self.desk.as_ref().map(|desk| desk.unreached(now)).unwrap_or_default();
        let problem = |(name, text): (String, String)| {
            Problem::new(ProblemKind::Undelivered.about(name), None, text)
        };
        unreached.into_iter().map(problem).collect()
    }
}
