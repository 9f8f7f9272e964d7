//! What is true now: set anew at each tick, so that a fleet that leaves the policy leaves the metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Done, Labels, word};
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::decision::{Decision, Reason};
use tidegate_engine::model::ledger::{Ledger, OverrideKey};
use tidegate_engine::model::phase::PhaseKind;
use tidegate_engine::model::plan::Limit;
use tidegate_engine::model::problem::ProblemKind;
use tidegate_engine::model::roster::{BalancerView, Breaker, FleetView};
use tidegate_engine::policy::{FleetPolicy, Mode, Policy};

type Gauges = Family<Labels, Gauge>;

/// The phases that every fleet has a number for, be it zero.
const USUAL: [PhaseKind; 5] = [
    PhaseKind::Launching,
    PhaseKind::Booting,
    PhaseKind::Registering,
    PhaseKind::InService,
    PhaseKind::Draining,
];

#[derive(Debug)]
pub(super) struct State {
    instances: Gauges,
    desired: Gauges,
    min: Gauges,
    max: Gauges,
    condition: Gauges,
    waiting: Gauges,
    oldest: Gauges,
    start_within: Gauges,
    read_errors: Family<Labels, Counter>,
    overrides: Gauges,
    problems: Gauges,
    alive: Gauges,
    limit: Gauges,
}

impl State {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let read_errors = Family::<Labels, Counter>::default();
        registry.register(
            "queue_read_errors",
            "Readings of the queue that gave no number",
            read_errors.clone(),
        );
        let mut gauges = |name: &str, help: &str| {
            let family = Gauges::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            instances: gauges("fleet_instances", "Servers by phase, as tidegate status names it"),
            desired: gauges("fleet_desired_instances", "How many servers are aimed at"),
            min: gauges("fleet_min_instances", "The fleet's min in the policy"),
            max: gauges("fleet_max_instances", "The fleet's max in the policy"),
            condition: gauges("fleet_condition", "Whether it is so: 1, or 0"),
            waiting: gauges(
                "queue_waiting_jobs",
                "Jobs waiting, by the last reading; none: unread",
            ),
            oldest: gauges(
                "queue_oldest_job_age_seconds",
                "How long the oldest of them has waited",
            ),
            start_within: gauges("queue_start_within_seconds", "The goal: how long a job may wait"),
            read_errors,
            overrides: gauges("override_active", "Orders of people that stand, by kind"),
            problems: gauges("problems", "Problems that stand, by kind; no fleet: of all"),
            alive: gauges("alive_instances", "Servers of all fleets that hold capacity in EC2"),
            limit: gauges("limit_instances", "limits.instances of the policy"),
        }
    }

    /// A counter that is there from the start shows its first increase.
    pub(super) fn begin(&self, policy: &Policy) {
        for fleet in policy.fleets.values().filter(|fleet| fleet.queue.is_some()) {
            drop(self.read_errors.get_or_create(&labels(fleet.name.as_str(), &[])));
        }
    }

    /// The journal cannot be written: that itself is a problem which it could not keep.
    pub(super) fn stuck(&self) {
        let kind = ProblemKind::StateDatabase.as_str();
        self.problems.get_or_create(&labels("", &[("kind", kind)])).set(1);
    }

    pub(super) fn show(&self, done: &Done<'_>) {
        self.begin(done.policy);
        for gauges in [
            &self.instances,
            &self.desired,
            &self.min,
            &self.max,
            &self.condition,
            &self.waiting,
            &self.oldest,
            &self.start_within,
            &self.overrides,
            &self.problems,
            &self.alive,
            &self.limit,
        ] {
            gauges.clear();
        }
        let roster = &done.record.survey.roster;
        for (name, fleet) in &done.policy.fleets {
            if let Some(view) = roster.fleets.get(name) {
                self.show_fleet(done, fleet, view);
            }
        }
        for (name, reading) in &done.record.survey.seen.readings {
            if reading.depth.is_err() {
                self.read_errors.get_or_create(&labels(name.as_str(), &[])).inc();
            }
        }
        let all = roster.fleets.values().chain(roster.unmanaged.values());
        let alive = all.map(|view| view.alive()).fold(0, Capacity::saturating_add);
        self.alive.get_or_create(&Labels::new()).set(i64::from(alive));
        if let Some(limit) = done.policy.limits.instances {
            self.limit.get_or_create(&Labels::new()).set(i64::from(limit));
        }
        self.show_ledger(done.policy, done.ledger);
    }

    fn show_fleet(&self, done: &Done<'_>, fleet: &FleetPolicy, view: &FleetView) {
        let name = fleet.name.as_str();
        for phase in USUAL {
            let phase = word(phase.as_str());
            self.instances.get_or_create(&labels(name, &[("state", &phase)])).set(0);
        }
        for server in &view.servers {
            let phase = word(server.phase.kind().as_str());
            self.instances.get_or_create(&labels(name, &[("state", &phase)])).inc();
        }
        let set = |gauges: &Gauges, n: i64| {
            gauges.get_or_create(&labels(name, &[])).set(n);
        };
        let decision = done.record.survey.decisions.get(&fleet.name);
        if let Some(decision) = decision {
            set(&self.desired, i64::from(decision.desired));
        }
        set(&self.min, i64::from(fleet.bounds.min()));
        set(&self.max, i64::from(fleet.bounds.max()));
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        if let Some(Ok(depth)) = view.memory.last_reading().map(|reading| &reading.depth) {
            set(&self.waiting, whole(depth.waiting));
            if let Some(oldest) = depth.oldest {
                set(&self.oldest, whole(oldest.as_secs()));
            }
        }
        if let Some((_, goal)) = fleet.goal() {
            set(&self.start_within, whole(goal.start_within.as_secs()));
        }
        let blind = done.record.survey.roster.blind.is_some();
        let left_out = done.record.survey.plan.left_out.iter();
        let held_up = left_out.clone().any(|left| left.fleet == fleet.name && holds(&left.why));
        for (condition, so) in [
            ("acting", fleet.mode == Mode::Act),
            ("able", !blind && able(view)),
            ("limited", held_up || decision.is_some_and(is_limited)),
        ] {
            let labels = labels(name, &[("condition", condition)]);
            self.condition.get_or_create(&labels).set(i64::from(so));
        }
    }

    fn show_ledger(&self, policy: &Policy, ledger: &Ledger) {
        for problem in ledger.problems.values() {
            let fleet = problem.fleet.as_ref().filter(|fleet| policy.fleets.contains_key(*fleet));
            let fleet = fleet.map_or("", |fleet| fleet.as_str());
            self.problems.get_or_create(&labels(fleet, &[("kind", problem.key.word())])).inc();
        }
        for key in ledger.overrides.keys() {
            let fleet = match key {
                OverrideKey::Hold(fleet)
                | OverrideKey::Pause(fleet)
                | OverrideKey::Retire(fleet)
                | OverrideKey::Launch(fleet)
                | OverrideKey::Approve(fleet) => Some(fleet),
                OverrideKey::Keep(id) | OverrideKey::Terminate(id) => {
                    ledger.servers.of_instance(id).map(|record| &record.fleet)
                }
            };
            let fleet = fleet.filter(|fleet| policy.fleets.contains_key(*fleet));
            let fleet = fleet.map_or("", |fleet| fleet.as_str());
            self.overrides.get_or_create(&labels(fleet, &[("kind", key.kind().as_str())])).inc();
        }
    }
}

fn labels(fleet: &str, more: &[(&'static str, &str)]) -> Labels {
    let mut labels = vec![("fleet", fleet.to_owned())];
    labels.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    labels
}

/// Whether launches and scale-in are possible as far as the fleet itself goes.
fn able(view: &FleetView) -> bool {
    let readable = matches!(view.balancer, BalancerView::None | BalancerView::Readable(_));
    readable && matches!(view.breaker, Breaker::Closed { .. })
}

/// Whether it stays that way for longer than a tick.
fn holds(limit: &Limit) -> bool {
    !matches!(limit, Limit::Pace)
}

/// Whether `max` or `limits.terminate` lets a decision reach only a part of what the rules ask for.
fn is_limited(decision: &Decision) -> bool {
    let limits = |reason: &Reason| {
        let more_than_max = matches!(reason, Reason::Bounded { asked, max, .. } if asked > max);
        more_than_max || matches!(reason, Reason::TerminationsLimited(_))
    };
    decision.because.iter().any(limits)
}
