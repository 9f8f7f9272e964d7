//! Before acting, a plan becomes an [`Intent`] by being written down; after acting, the outcomes
//! are. Only [`intend`] makes an `Intent`, and `act` takes nothing else: acting unrecorded does not
//! compile.

mod conclude;
mod decisions;
mod drains;
mod launches;
mod journal;
mod problems;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::StoreFault;
use tidegate_engine::evaluate::remember;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{LaunchRequest, Token};
use tidegate_engine::model::ledger::{Change, Event};
use tidegate_engine::model::plan::{OutOfService, Plan};
use tidegate_engine::model::problem::Problem;
use tidegate_engine::model::retirement::Retirement;
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

pub use self::conclude::conclude;
pub use self::journal::Journal;
pub use self::problems::find_problems;

/// A plan that has been written down. There is no other way to get one than [`intend`].
#[derive(Debug)]
pub struct Intent {
    calls: Vec<Call>,
    /// What was written, for whoever tells the story.
    pub events: Vec<Event>,
}

impl Intent {
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Its calls and events, once all is done.
    pub fn into_parts(self) -> (Vec<Call>, Vec<Event>) {
        (self.calls, self.events)
    }
}

/// One call to the world, with everything it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub fleet: FleetName,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `in_doubt`: an earlier attempt may have launched it.
    Launch {
        request: Arc<LaunchRequest>,
        in_doubt: bool,
    },
    Register {
        instance: InstanceId,
        balancer: Balancer,
    },
    Deregister {
        instance: InstanceId,
        balancer: Balancer,
        token: Token,
    },
    Drain {
        instance: InstanceId,
        token: Token,
        deadline: Timestamp,
        post: Option<Box<DrainPost>>,
        /// Whether an earlier attempt was received.
        received: bool,
        /// Whether an earlier attempt may have set the tag.
        tagged: bool,
    },
    EndSignal {
        instance: InstanceId,
        token: Token,
        post: Option<Box<DrainPost>>,
        /// Whether the signal was never received, so that nobody need answer.
        undelivered: bool,
    },
    Terminate {
        instance: InstanceId,
        token: Token,
        proof: OutOfService,
        /// The retirement as it was before this call was written down, for a call that is not made.
        before: Option<Retirement>,
    },
}

/// Everything one tick is about to do or has found, on its way into the journal.
#[derive(Debug)]
pub struct Findings<'a> {
    pub policy: &'a Policy,
    /// What `state::note` found.
    pub noted: Vec<Change>,
    pub roster: &'a Roster,
    pub decisions: &'a BTreeMap<FleetName, Decision>,
    pub plan: &'a Plan,
    /// What needs a person.
    pub problems: Vec<Problem>,
}

/// Writes down what was found, decided and planned, in one transaction. Nothing is written when
/// nothing is new.
pub async fn intend(journal: &mut Journal, findings: Findings<'_>) -> Result<Intent, StoreFault> {
    let now = findings.roster.now;
    let mut changes = findings.noted;
    let noted = changes.len();
    let decided = (findings.decisions, findings.plan);
    changes.extend(remember(findings.policy, journal.ledger(), decided, now));
    let mut taking =
        steps::Taking::new(journal.ledger(), &findings.policy.zone, findings.roster.clocks());
    for step in &findings.plan.steps {
        taking.take(step, findings.decisions.get(&step.fleet));
    }
    let (calls, taken) = taking.done();
    changes.extend(taken);
    changes.extend(lapsed(journal, now));
    changes.extend(problems::diff(&journal.ledger().problems, findings.problems, now));
    journal.commit_noted(&changes, noted).await?;
    Ok(Intent { calls, events: events_of(changes) })
}

pub(crate) fn events_of(changes: Vec<Change>) -> Vec<Event> {
    let events = changes.into_iter().filter_map(|change| match change {
        Change::Event(event) => Some(event),
        Change::Server(_)
        | Change::Fleet(..)
        | Change::Reading(..)
        | Change::Override(_)
        | Change::OverrideEnded(_)
        | Change::Problem(_)
        | Change::ProblemEnded(_)
        | Change::Unasked(_)
        | Change::Decided(_)
        | Change::InForce(_)
        | Change::Account(_)
        | Change::Begun(_) => None,
    });
    events.collect()
}

/// Overrides whose time is over.
fn lapsed(journal: &Journal, now: Timestamp) -> Vec<Change> {
    let over = journal.ledger().overrides.values().filter(|entry| entry.until <= now);
    over.map(|entry| Change::OverrideEnded(entry.key.clone())).collect()
}
