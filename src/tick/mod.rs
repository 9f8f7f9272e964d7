//! The spine: observe, decide, plan, record the intent, act, record the outcome.

mod attend;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use tracing::{Instrument as _, info_span};

use self::attend::{attending, halting};
use crate::act::{Halt, act};
use crate::observe::{Questions, observe};
use crate::ports::{Ports, StoreFault};
use crate::record::{Call, Findings, Journal, conclude, find_problems, intend};
use tidegate_engine::evaluate::Evaluation;
use tidegate_engine::model::capacity::count;
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Change, Event};
use tidegate_engine::model::observation::Observation;
use tidegate_engine::model::plan::{Outcome, Plan};
use tidegate_engine::model::problem::Problem;
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::time::{self, Clocks, Timestamp};
use tidegate_engine::policy::Policy;

pub use self::attend::{Attendant, Served, Unattended};

/// A picture of the world older than this is taken anew before anything is done on it: the host was
/// suspended, or the process stopped. Above what the slowest calls may take in good health.
const FRESH: Duration = Duration::from_mins(2);

/// What one tick saw, decided and planned. Nothing has been changed yet.
#[derive(Debug)]
pub struct Survey {
    pub seen: Observation,
    pub noted: Vec<Change>,
    pub roster: Roster,
    pub decisions: BTreeMap<FleetName, Decision>,
    pub plan: Plan,
}

/// The whole story of one tick.
#[derive(Debug)]
pub struct TickRecord {
    /// It is large, and handed from one to the next several times.
    pub survey: Box<Survey>,
    pub calls: Vec<Call>,
    pub outcomes: Vec<Outcome>,
    /// What changed, in order.
    pub events: Vec<Event>,
    /// When to look again at the latest.
    pub next: Timestamp,
}

/// The first half: what would be done now, and why. Reads the world, changes nothing in it.
pub async fn survey(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
) -> Result<Survey, StoreFault> {
    Ok(match look(ports, policy, journal, &mut Unattended).await? {
        ControlFlow::Continue(survey) => *survey,
        ControlFlow::Break(never) => match never {},
    })
}

/// One turn of the loop. `standing`: problems that the driver knows of. An error means that nothing
/// was begun in the world, or that its outcome will be found again by the next tick.
pub async fn tick(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
    standing: &[Problem],
) -> Result<TickRecord, StoreFault> {
    Ok(match attended(ports, policy, journal, standing, &mut Unattended).await? {
        ControlFlow::Continue(record) => record,
        ControlFlow::Break(never) => match never {},
    })
}

/// The same, in the presence of somebody who serves visitors. `Break`: one of them made the look
/// useless before anything was begun.
pub async fn attended<A: Attendant>(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
    standing: &[Problem],
    attendant: &mut A,
) -> Result<ControlFlow<A::Interrupt, TickRecord>, StoreFault> {
    let mut survey = match fresh(ports, policy, journal, attendant).await? {
        ControlFlow::Continue(survey) => survey,
        ControlFlow::Break(interrupt) => return Ok(ControlFlow::Break(interrupt)),
    };
    let Survey { roster, decisions, plan, .. } = &*survey;
    let mut problems = find_problems(journal, policy, roster, decisions, plan);
    problems.extend_from_slice(standing);
    let findings = Findings {
        policy,
        noted: std::mem::take(&mut survey.noted),
        roster: &survey.roster,
        decisions: &survey.decisions,
        plan: &survey.plan,
        problems,
    };
    let intent =
        intend(journal, findings).instrument(info_span!("record", what = "intent")).await?;
    attendant.written(&intent.events);
    let acting = info_span!("act", calls = i64::from(count(intent.calls())));
    let halt = Halt::default();
    let acting = act(ports, &intent, &halt).instrument(acting);
    let outcomes = halting(attendant, journal, pin!(acting), || halt.now()).await;
    let clocks = Clocks::new(ports.clock.now(), ports.cloud.clock_ahead());
    let recording = info_span!("record", what = "outcome");
    let came_of_it = conclude(journal, &intent, &outcomes, clocks).instrument(recording).await?;
    attendant.written(&came_of_it);
    let (calls, mut events) = intent.into_parts();
    events.extend(came_of_it);
    let next = next_look(policy, &survey, !calls.is_empty());
    Ok(ControlFlow::Continue(TickRecord { survey, calls, outcomes, events, next }))
}

/// A look at the world that is not old when it is done.
async fn fresh<A: Attendant>(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
    attendant: &mut A,
) -> Result<ControlFlow<A::Interrupt, Box<Survey>>, StoreFault> {
    let looked = look(ports, policy, journal, attendant).await?;
    match looked {
        ControlFlow::Continue(survey)
            if time::since(ports.clock.now(), survey.seen.now) > FRESH =>
        {
            look(ports, policy, journal, attendant).await
        }
        ControlFlow::Continue(_) | ControlFlow::Break(_) => Ok(looked),
    }
}

async fn look<A: Attendant>(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
    attendant: &mut A,
) -> Result<ControlFlow<A::Interrupt, Box<Survey>>, StoreFault> {
    let now = ports.clock.now();
    journal.refresh(now).await?;
    let questions = Questions::of(policy, journal.ledger(), journal.has_seen_all(), now);
    let looking = observe(ports, questions).instrument(info_span!("observe"));
    let seen = match attending(attendant, journal, pin!(looking)).await {
        ControlFlow::Continue(seen) => seen,
        ControlFlow::Break(interrupt) => return Ok(ControlFlow::Break(interrupt)),
    };
    // An order that could not be written leaves the picture in memory unsure.
    journal.make_sure(now).await?;
    // One span for all that is pure: none of it asks anybody, so none of it is waited for.
    Ok(ControlFlow::Continue(info_span!("decide").in_scope(|| consider(policy, journal, seen))))
}

/// Evaluates the observation, and remembers that the whole inventory has been seen.
fn consider(policy: &Policy, journal: &mut Journal, seen: Observation) -> Box<Survey> {
    let Evaluation { noted, roster, decisions, plan } = journal.evaluate(policy, &seen);
    if roster.blind.is_none() && seen.gap.is_none() {
        journal.saw_all();
    }
    Box::new(Survey { seen, noted, roster, decisions, plan })
}

/// The next tick comes after `tick` at the latest, earlier where something is known to change.
fn next_look(policy: &Policy, survey: &Survey, acted: bool) -> Timestamp {
    let now = survey.seen.now;
    let regular = time::after(now, policy.tick);
    let booting = policy.fleets.values().filter_map(|fleet| {
        let every = fleet.health.as_ref()?.every;
        let view = survey.roster.fleets.get(&fleet.name)?;
        let waiting =
            view.servers.iter().any(|s| s.phase == tidegate_engine::model::roster::Phase::Booting);
        (waiting || acted).then(|| time::after(now, every))
    });
    let polls = policy.fleets.values().filter_map(|fleet| {
        let view = survey.roster.fleets.get(&fleet.name)?;
        fleet.poll_due(view.memory.last_reading().map(|reading| reading.at), now)
    });
    let looks = survey.decisions.values().filter_map(|decision| decision.next_look);
    let soonest = booting.chain(polls).chain(looks).filter(|at| *at > now).min();
    soonest.map_or(regular, |at| at.min(regular))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::ports::{Clock, Store};
    use crate::sim::front::Front;
    use crate::sim::world::{Settings, World};
    use crate::store::memory::MemoryStore;
    use tidegate_engine::model::ledger::Ledger;

    const POLICY: &str = r#"
version: 1
timezone: UTC
mode: act
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1], types: [t3.small] }
    min: 0
    max: 3
    schedule:
      - { cron: "0 8 * * *", capacity: 2 }
      - { cron: "0 21 * * *", capacity: 0 }
"#;

    /// 20:59 when it is first asked, 23:59 from then on.
    struct Suspended(AtomicBool);

    impl Clock for Suspended {
        fn now(&self) -> Timestamp {
            let woken = self.0.swap(true, Ordering::Relaxed);
            let at = if woken { "2026-03-05T23:59:00Z" } else { "2026-03-05T20:59:00Z" };
            at.parse().unwrap()
        }
    }

    /// Keeps each batch apart.
    #[derive(Default)]
    struct Batches(MemoryStore, Mutex<Vec<Vec<Change>>>);

    #[async_trait]
    impl Store for Batches {
        async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault> {
            self.0.load(now).await
        }

        async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
            self.1.lock().unwrap().push(changes.to_vec());
            self.0.commit(changes).await
        }
    }

    #[tokio::test]
    async fn tick_commits_once_before_and_once_after_acting() {
        let start = "2026-03-05T08:00:00Z".parse().unwrap();
        let policy = tidegate_engine::policy::load("policy.yaml", POLICY, start).policy.unwrap();
        let front = Front::new(World::new(Settings::default(), start), BTreeMap::new());
        let store = Arc::new(Batches::default());
        let ports = Ports {
            cloud: Arc::new(front.clone()),
            balancers: Arc::new(front.clone()),
            probe: Arc::new(front.clone()),
            store: store.clone(),
            clock: Arc::new(front.clone()),
        };
        let mut journal = Journal::open(store.clone(), start).await.unwrap();
        let mut acted = 0;
        for _ in 0..20 {
            let record = tick(&ports, &policy, &mut journal, &[]).await.unwrap();
            let batches = std::mem::take(&mut *store.1.lock().unwrap());
            if record.calls.is_empty() {
                assert!(batches.len() <= 1, "{batches:?}");
            } else {
                acted += 1;
                assert_eq!(batches.len(), 2, "{batches:?}");
                let intent = |change: &Change| matches!(change, Change::Server(_));
                assert!(batches[0].iter().any(intent), "{batches:?}");
            }
            front.state().advance(record.next);
        }
        assert!(acted > 0, "two servers are launched at 8");
    }

    #[tokio::test]
    async fn a_picture_that_grew_old_is_taken_anew() {
        let start = "2026-03-05T20:59:00Z".parse().unwrap();
        let policy = tidegate_engine::policy::load("policy.yaml", POLICY, start).policy.unwrap();
        let front = Front::new(World::new(Settings::default(), start), BTreeMap::new());
        let store = Arc::new(MemoryStore::default());
        let ports = Ports {
            cloud: Arc::new(front.clone()),
            balancers: Arc::new(front.clone()),
            probe: Arc::new(front.clone()),
            store: store.clone(),
            clock: Arc::new(Suspended(AtomicBool::new(false))),
        };
        let mut journal = Journal::open(store, start).await.unwrap();
        tick(&ports, &policy, &mut journal, &[]).await.unwrap();
        let launched = front.state().world.machines().count();
        assert_eq!(launched, 0, "launched at midnight what was due at nine");
    }
}
