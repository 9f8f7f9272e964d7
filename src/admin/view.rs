//! The shapes on the socket and in `--json`, and how they come from the model. Fields are only ever
//! added.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::wire::{self, Known, Word};
use crate::tick::Survey;
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::decision::Reason;
use tidegate_engine::model::drain::Delivery;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Ledger, Override, OverrideKind};
use tidegate_engine::model::phase::PhaseKind;
use tidegate_engine::model::plan::{Plan, Step};
use tidegate_engine::model::reading::{Reading, jobs};
use tidegate_engine::model::roster::{FleetView, Server};
use tidegate_engine::model::server::ServerName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{FleetPolicy, Mode, Policy};

/// `tidegate status --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    pub format_version: u32,
    pub version: String,
    /// The policy in force.
    pub policy: String,
    /// The time zone of the times in messages.
    pub timezone: Option<String>,
    pub last_tick: Timestamp,
    pub fleets: Vec<FleetStatus>,
    pub problems: Vec<ProblemView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FleetStatus {
    #[serde(with = "wire::fleet")]
    pub name: FleetName,
    pub mode: Known<FleetMode>,
    pub min: Option<Capacity>,
    pub max: Option<Capacity>,
    pub capacity: Capacity,
    pub in_service: Capacity,
    pub wanted: Option<Capacity>,
    pub desired: Option<Capacity>,
    pub because: Vec<ReasonView>,
    pub reading: Option<ReadingView>,
    pub instances: Vec<InstanceView>,
    /// Members of its load balancer that are servers of no fleet; they are not counted.
    #[serde(default)]
    pub others: Vec<String>,
    /// Since when the last told decision stands.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// When its queue is read next.
    #[serde(default)]
    pub next_reading: Option<Timestamp>,
    /// The earliest instant, besides readings and what nobody foresees, at which the answer may
    /// differ.
    #[serde(default)]
    pub next_look: Option<Timestamp>,
    /// What the last tick began for it.
    #[serde(default)]
    pub steps: Vec<StepView>,
    /// What it wanted and was not given.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Orders by hand that are in force for the fleet as a whole.
    #[serde(default)]
    pub orders: Vec<OrderInForce>,
}

/// Whether the decisions of a fleet are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetMode {
    Act,
    Observe,
    /// The fleet is not in the policy.
    Unmanaged,
}

impl Word for FleetMode {
    const ALL: &'static [Self] = &[Self::Act, Self::Observe, Self::Unmanaged];

    fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Observe => "observe",
            Self::Unmanaged => "unmanaged",
        }
    }
}

/// An order by hand that is in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderInForce {
    /// `hold`, `pause`, `launch` or `retire`.
    pub kind: Known<OverrideKind>,
    /// The capacity of a hold, the servers added by a launch; 0 for the others.
    pub capacity: Capacity,
    pub owner: String,
    pub reason: String,
    pub until: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReasonView {
    pub rule: String,
    pub text: String,
    /// The line of the policy file that it goes back to.
    #[serde(default)]
    pub line: Option<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadingView {
    pub at: Timestamp,
    pub waiting: Option<u64>,
    #[serde(rename = "oldest_seconds", default, with = "wire::seconds_or_null")]
    pub oldest: Option<Duration>,
    pub unreadable: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceView {
    #[serde(with = "wire::server")]
    pub id: ServerName,
    pub phase: Known<PhaseKind>,
    pub instance_type: Option<String>,
    pub subnet: Option<String>,
    pub private_ip: Option<String>,
    #[serde(rename = "uptime_seconds", default, with = "wire::seconds_or_null")]
    pub uptime: Option<Duration>,
    pub paid_until: Option<Timestamp>,
    pub balancer: Option<String>,
    pub ailing: Option<String>,
    /// Why scale-in may not take it now; absent: it may.
    pub blocked: Option<String>,
    /// How far its drain has come; absent: it does not drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProblemView {
    #[serde(default, with = "wire::fleet_or_null")]
    pub fleet: Option<FleetName>,
    pub since: Timestamp,
    pub text: String,
}

impl StatusView {
    pub fn of(policy: &Policy, ledger: &Ledger, survey: &Survey) -> Self {
        let problems = ledger.problems.values().map(|problem| ProblemView {
            fleet: problem.fleet.clone(),
            since: problem.since,
            text: problem.text.clone(),
        });
        Self {
            format_version: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: policy.digest.clone(),
            timezone: policy.zone.iana_name().map(str::to_owned),
            last_tick: survey.roster.now,
            fleets: fleets(policy, survey),
            problems: problems.collect(),
        }
    }

    /// Returns the time zone of the times in messages.
    pub fn zone(&self) -> TimeZone {
        let known = self.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
        known.unwrap_or(TimeZone::UTC)
    }
}

fn fleets(policy: &Policy, survey: &Survey) -> Vec<FleetStatus> {
    let views = survey.roster.fleets.values().chain(survey.roster.unmanaged.values());
    views.map(|view| FleetStatus::of(policy, view, survey)).collect()
}

impl FleetStatus {
    fn of(policy: &Policy, view: &FleetView, survey: &Survey) -> Self {
        let fleet = policy.fleets.get(&view.name);
        let decision = survey.decisions.get(&view.name);
        let mode = match fleet.map(|fleet| fleet.mode) {
            Some(Mode::Act) => FleetMode::Act,
            Some(Mode::Observe) => FleetMode::Observe,
            None => FleetMode::Unmanaged,
        };
        let because = decision.map(|decision| decision.because.as_slice()).unwrap_or_default();
        let reason = |reason: &Reason| ReasonView {
            rule: reason.rule().to_owned(),
            text: reason.text(&policy.zone),
            line: line_of(fleet, reason),
        };
        let read_at = view.memory.last_reading().map(|reading| reading.at);
        let next_reading = fleet.and_then(|fleet| fleet.poll_due(read_at, survey.roster.now));
        let left_out = survey.plan.left_out.iter().filter(|left| left.fleet == view.name);
        // What a limit holds up goes on when it ends.
        let ends = left_out.clone().filter_map(|left| left.why.until());
        let next_look = ends.chain(decision.and_then(|decision| decision.next_look)).min();
        let mut steps = steps(&survey.plan, &policy.zone);
        steps.retain(|step| step.fleet == view.name);
        Self {
            name: view.name.clone(),
            mode: mode.into(),
            min: fleet.map(|fleet| fleet.bounds.min()),
            max: fleet.map(|fleet| fleet.bounds.max()),
            capacity: view.capacity(),
            in_service: view.in_service(),
            wanted: decision.map(|decision| decision.wanted),
            desired: decision.map(|decision| decision.desired),
            because: because.iter().map(reason).collect(),
            reading: view.memory.last_reading().map(ReadingView::of),
            instances: view.servers.iter().map(|s| InstanceView::of(s, &policy.zone)).collect(),
            others: view.others.iter().map(ToString::to_string).collect(),
            since: view.memory.last_decision.as_ref().map(|last| last.at),
            next_reading,
            next_look,
            steps,
            left_out: left_out.map(|left| left.why.text(&policy.zone)).collect(),
            orders: orders(view),
        }
    }
}

fn orders(view: &FleetView) -> Vec<OrderInForce> {
    let orders = [&view.pause, &view.hold, &view.extra, &view.retire];
    let in_force = orders.into_iter().flatten().map(|order| {
        let Override { key, capacity, owner, reason, until, .. } = order;
        OrderInForce {
            kind: key.kind().into(),
            capacity: *capacity,
            owner: owner.clone(),
            reason: reason.clone(),
            until: *until,
        }
    });
    in_force.collect()
}

fn line_of(fleet: Option<&FleetPolicy>, reason: &Reason) -> Option<usize> {
    if let Reason::Schedule { line, .. } | Reason::Floor { line, .. } = reason {
        return Some(*line);
    }
    fleet?.lines.of_rule(reason.rule())
}

impl ReadingView {
    fn of(reading: &Reading) -> Self {
        let depth = reading.depth.as_ref().ok();
        Self {
            at: reading.at,
            waiting: depth.map(|depth| depth.waiting),
            oldest: depth.and_then(|depth| depth.oldest).map(whole_seconds),
            unreadable: reading.depth.clone().err(),
        }
    }
}

impl InstanceView {
    fn of(server: &Server, zone: &TimeZone) -> Self {
        let instance = server.instance.as_ref();
        let asked = server.record.request.as_ref().map(|request| &request.pool);
        Self {
            id: server.name(),
            phase: server.phase.kind().into(),
            instance_type: instance
                .and_then(|i| i.instance_type.as_deref())
                .or_else(|| asked.and_then(|pool| pool.instance_type.as_deref()))
                .map(str::to_owned),
            subnet: instance
                .and_then(|i| i.subnet.as_deref())
                .or_else(|| asked.and_then(|pool| pool.subnet.as_deref()))
                .map(str::to_owned),
            private_ip: instance.and_then(|i| i.private_ip.as_deref()).map(str::to_owned),
            uptime: server.uptime.map(whole_seconds),
            paid_until: server.paid_until,
            balancer: server.membership.as_ref().map(|m| printable(&m.to_string(), 200)),
            ailing: server.ailing.clone(),
            blocked: server.release.as_ref().err().map(|block| block.text(zone)),
            drain: drain(server, zone),
        }
    }
}

/// Cuts a span to what documents show of it.
fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

/// How far the drain of a server has come, in words.
fn drain(server: &Server, zone: &TimeZone) -> Option<String> {
    let retirement = server.record.retirement.as_ref()?;
    if retirement.resuming().is_some() {
        return Some("cancelled, and it has yet to work again".to_owned());
    }
    let drain = retirement.draining()?;
    let until = time::local(drain.deadline, zone);
    let with = server.busy.map_or_else(String::new, |n| format!(", {}", jobs(u64::from(n))));
    Some(match (drain.end, &drain.delivery) {
        (Some(_), _) => "ended".to_owned(),
        (None, Delivery::Received { .. }) => format!("finishes its jobs until {until}{with}"),
        (None, Delivery::Pending { .. } | Delivery::Refused { .. }) => {
            format!("is told to finish its jobs until {until}{with}")
        }
    })
}

/// `tidegate plan --json`.
#[derive(Debug, Clone, Serialize)]
pub struct PlanView {
    pub format_version: u32,
    pub at: Timestamp,
    pub fleets: Vec<FleetStatus>,
    pub steps: Vec<StepView>,
    pub left_out: Vec<LeftOutView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepView {
    #[serde(with = "wire::fleet")]
    pub fleet: FleetName,
    /// `observe`: the step is told, not done.
    pub mode: Known<Mode>,
    pub text: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct LeftOutView {
    #[serde(with = "wire::fleet")]
    pub fleet: FleetName,
    pub count: Capacity,
    pub text: String,
}

impl PlanView {
    pub fn of(policy: &Policy, survey: &Survey) -> Self {
        let left_out = survey.plan.left_out.iter().map(|left| LeftOutView {
            fleet: left.fleet.clone(),
            count: left.count,
            text: left.why.text(&policy.zone),
        });
        Self {
            format_version: 1,
            at: survey.roster.now,
            fleets: fleets(policy, survey),
            steps: steps(&survey.plan, &policy.zone),
            left_out: left_out.collect(),
        }
    }
}

fn steps(plan: &Plan, zone: &TimeZone) -> Vec<StepView> {
    let view = |mode: Mode| {
        move |step: &Step| StepView {
            fleet: step.fleet.clone(),
            mode: mode.into(),
            text: step.text(zone),
        }
    };
    let acted = plan.steps.iter().map(view(Mode::Act));
    acted.chain(plan.withheld.iter().map(view(Mode::Observe))).collect()
}
