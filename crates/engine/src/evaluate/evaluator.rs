//! An evaluator for callers without EC2: snapshots in, answers out, and what was learned kept in
//! between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::snapshot::{FleetSnapshot, Inventory, Snapshot};
use super::{Evaluation, evaluate, remember};
use crate::model::capacity::Capacity;
use crate::model::decision::Decision;
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::ledger::{FleetMemory, Ledger, SettingsRecord};
use crate::model::observation::Observation;
use crate::model::plan::{Act, Plan};
use crate::model::time::{self, Timestamp};
use crate::policy::{HealthPolicy, Limits, Policy};

/// How often a fleet without a queue is evaluated at least.
const REGULAR: Duration = Duration::from_mins(5);

/// What to do about one fleet.
#[derive(Debug, Clone)]
pub struct Answer {
    pub decision: Decision,
    /// The number of servers to launch.
    pub launch: Capacity,
    /// Servers to drain, and to terminate when their work is done.
    pub terminate: Vec<InstanceId>,
    /// Draining servers to put back into service.
    pub cancel_drains: Vec<InstanceId>,
    /// When to evaluate again at the latest.
    pub next_look: Timestamp,
}

/// A policy, and what is known along a stream of snapshots.
#[derive(Debug)]
pub struct Evaluator {
    policy: Policy,
    /// The policy's install, as tags have it.
    install: Arc<str>,
    ledger: Ledger,
    /// Whether boot times are measured from the snapshots. Else the caller sets them.
    measures_boots: bool,
}

impl Evaluator {
    /// Returns an evaluator that answers as a daemon with this policy would at a tick.
    pub fn new(mut policy: Policy) -> Self {
        let mut ledger = Ledger::default();
        for (name, fleet) in &mut policy.fleets {
            // The snapshot says which servers are healthy, so that every fleet counts as checked.
            fleet.health.get_or_insert_with(told_by_the_caller);
            // Launches count that failed before the first snapshot.
            let settings =
                SettingsRecord { digest: Arc::clone(&fleet.settings), since: Timestamp::MIN };
            let mut memory = FleetMemory { settings: Some(settings), ..FleetMemory::default() };
            Arc::make_mut(&mut memory.drains).adopt(fleet.drain_terms());
            ledger.fleets.insert(name.clone(), memory);
        }
        let install = policy.install.as_str().into();
        Self { policy, install, ledger, measures_boots: false }
    }

    /// Returns an evaluator for a caller that gives each reading once and carries the answer out
    /// before the next. It measures boots, and relies on the caller to drain servers. `limits` do not
    /// apply: they are shared by all fleets of a daemon, and of those the caller tells nothing.
    pub fn of_readings(mut policy: Policy) -> Self {
        policy.tick = Duration::ZERO;
        policy.limits = Limits::default();
        let mut evaluator = Self { measures_boots: true, ..Self::new(policy) };
        for memory in evaluator.ledger.fleets.values_mut() {
            Arc::make_mut(&mut memory.drains).heeded = true;
        }
        evaluator
    }

    /// Returns what is remembered of a fleet, for a caller that knows it better.
    pub fn memory(&mut self, fleet: &FleetName) -> &mut FleetMemory {
        self.ledger.fleets.entry(fleet.clone()).or_default()
    }

    /// Evaluates a snapshot: an answer for each fleet of the policy.
    pub fn evaluate(&mut self, snapshot: Snapshot) -> BTreeMap<FleetName, Answer> {
        let now = snapshot.now;
        self.ledger.forget_old(now);
        let seen = self.observe(snapshot);
        let Evaluation { decisions, plan, .. } = evaluate(&self.policy, &mut self.ledger, &seen);
        for change in remember(&self.policy, &self.ledger, (&decisions, &plan), now) {
            self.ledger.apply(&change);
        }
        let answers = decisions.into_iter().map(|(name, decision)| {
            let queue = self.policy.fleets.get(&name).and_then(|fleet| fleet.queue.as_ref());
            let every = queue.map_or(REGULAR, |queue| queue.every);
            let answer = answer(decision, &plan, now, every);
            (name, answer)
        });
        answers.collect()
    }

    /// Evaluates a snapshot of one fleet; `None`: it is not in the policy.
    pub fn evaluate_fleet(
        &mut self,
        now: Timestamp,
        name: &FleetName,
        fleet: FleetSnapshot,
    ) -> Option<Answer> {
        self.evaluate(Snapshot::of_fleet(now, name.clone(), fleet)).remove(name)
    }

    /// Writes a snapshot into the ledger. Returns what a tick would have observed.
    fn observe(&mut self, snapshot: Snapshot) -> Observation {
        let Snapshot { now, mut fleets, inventory, overrides } = snapshot;
        let overrides = overrides.into_iter().map(|order| (order.key.clone(), order));
        self.ledger.overrides = overrides.collect();
        let complete = inventory == Inventory::Complete;
        let (listed, gap) = match inventory {
            Inventory::Complete => (Ok(BTreeMap::new()), None),
            Inventory::Degraded(gap) => (Ok(BTreeMap::new()), Some(gap)),
            Inventory::Unusable(fault) => (Err(fault), None),
        };
        let mut seen = Observation {
            now,
            clock_ahead: None,
            account: None,
            instances: listed,
            gap,
            balancers: BTreeMap::new(),
            health: BTreeMap::new(),
            readings: BTreeMap::new(),
        };
        let Self { policy, install, ledger, measures_boots } = self;
        for (name, fleet) in &policy.fleets {
            let told = fleets.remove(name).unwrap_or_default();
            seen.readings.extend(told.reading.map(|reading| (name.clone(), reading)));
            if let Some(entry) = &fleet.balancer {
                let members = || Ok(BTreeMap::new());
                seen.balancers.entry(entry.balancer.clone()).or_insert_with(members);
            }
            let (install, measures_boots) = (&*install, *measures_boots);
            let mut facts =
                Facts { policy, fleet, install, measures_boots, ledger, seen: &mut seen };
            facts.launches(told.launches);
            let ended = if complete { facts.ended(&told.servers) } else { Vec::new() };
            for server in told.servers.into_iter().chain(ended) {
                facts.server(server);
            }
        }
        seen
    }
}

/// The health check of a fleet whose caller says how its servers are.
fn told_by_the_caller() -> HealthPolicy {
    HealthPolicy { url: String::new(), expect: None, timeout: Duration::ZERO, every: REGULAR }
}

/// What the plan comes to, by the servers' instance ids.
fn answer(decision: Decision, plan: &Plan, now: Timestamp, every: Duration) -> Answer {
    let mut launch: Capacity = 0;
    let (mut terminate, mut cancel_drains) = (Vec::new(), Vec::new());
    let steps = plan.steps.iter().chain(&plan.withheld);
    for step in steps.filter(|step| step.fleet == decision.fleet) {
        match &step.act {
            Act::Launch(_) => launch = launch.saturating_add(1),
            Act::Retire { instance, .. } => terminate.push(instance.clone()),
            Act::Reclaim { instance, .. } => cancel_drains.push(instance.clone()),
            // The calls that these lead to are the caller's.
            Act::Replay { .. }
            | Act::Register { .. }
            | Act::Drain { .. }
            | Act::EndSignal { .. }
            | Act::Deregister { .. }
            | Act::Terminate { .. } => {}
        }
    }
    let regular = time::after(now, every);
    let soonest = decision.next_look.filter(|at| *at > now);
    let next_look = soonest.map_or(regular, |at| at.min(regular));
    Answer { decision, launch, terminate, cancel_drains, next_look }
}
