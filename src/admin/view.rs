//! The shapes on the socket and in `--json`, and how they come from the model. Fields are only ever
//! added.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::tick::Survey;
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::decision::Reason;
use tidegate_engine::model::drain::Delivery;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::ledger::{Ledger, Override};
use tidegate_engine::model::plan::{Plan, Step};
use tidegate_engine::model::reading::{Reading, jobs};
use tidegate_engine::model::roster::{FleetView, Server};
use tidegate_engine::model::time;
use tidegate_engine::policy::{FleetPolicy, Mode, Policy};

/// `tidegate status --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    pub format_version: u32,
    pub version: String,
    /// The policy in force.
    pub policy: String,
    /// The zone that times for people are told in.
    pub timezone: Option<String>,
    pub last_tick: String,
    pub fleets: Vec<FleetStatus>,
    pub problems: Vec<ProblemView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FleetStatus {
    pub name: String,
    /// `act`, `observe` or `unmanaged`.
    pub mode: String,
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
    pub since: Option<String>,
    /// When its queue is read next.
    #[serde(default)]
    pub next_reading: Option<String>,
    /// The earliest instant, besides readings and what nobody foresees, at which the answer may
    /// differ.
    #[serde(default)]
    pub next_look: Option<String>,
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

/// An order by hand that is in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderInForce {
    /// `hold`, `pause`, `launch` or `retire`.
    pub kind: String,
    /// The capacity of a hold, the servers added by a launch; 0 for the others.
    pub capacity: Capacity,
    pub owner: String,
    pub reason: String,
    pub until: String,
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
    pub at: String,
    pub waiting: Option<u64>,
    pub oldest_seconds: Option<u64>,
    pub unreadable: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceView {
    /// The instance id, or the client token of a launch without an answer.
    pub id: String,
    pub phase: String,
    pub instance_type: Option<String>,
    pub subnet: Option<String>,
    pub private_ip: Option<String>,
    pub uptime_seconds: Option<u64>,
    pub paid_until: Option<String>,
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
    pub fleet: Option<String>,
    pub since: String,
    pub text: String,
}

impl StatusView {
    pub fn of(policy: &Policy, ledger: &Ledger, survey: &Survey) -> Self {
        let problems = ledger.problems.values().map(|problem| ProblemView {
            fleet: problem.fleet.as_ref().map(ToString::to_string),
            since: problem.since.to_string(),
            text: problem.text.clone(),
        });
        Self {
            format_version: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: policy.digest.clone(),
            timezone: policy.zone.iana_name().map(str::to_owned),
            last_tick: survey.roster.now.to_string(),
            fleets: fleets(policy, survey),
            problems: problems.collect(),
        }
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
            Some(Mode::Act) => "act",
            Some(Mode::Observe) => "observe",
            None => "unmanaged",
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
        steps.retain(|step| step.fleet == view.name.as_str());
        Self {
            name: view.name.to_string(),
            mode: mode.to_owned(),
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
            since: view.memory.last_decision.as_ref().map(|last| last.at.to_string()),
            next_reading: next_reading.map(|at| at.to_string()),
            next_look: next_look.map(|at| at.to_string()),
            steps,
            left_out: left_out.map(|left| left.why.text(&policy.zone)).collect(),
            orders: orders(view),
        }
    }
}

fn orders(view: &FleetView) -> Vec<OrderInForce> {
    let orders = [
        ("pause", &view.pause),
        ("hold", &view.hold),
        ("launch", &view.extra),
        ("retire", &view.retire),
    ];
    let in_force = orders.into_iter().filter_map(|(kind, order)| {
        let Override { capacity, owner, reason, until, .. } = order.as_ref()?;
        Some(OrderInForce {
            kind: kind.to_owned(),
            capacity: *capacity,
            owner: owner.clone(),
            reason: reason.clone(),
            until: until.to_string(),
        })
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
            at: reading.at.to_string(),
            waiting: depth.map(|depth| depth.waiting),
            oldest_seconds: depth.and_then(|depth| depth.oldest).map(|oldest| oldest.as_secs()),
            unreadable: reading.depth.clone().err(),
        }
    }
}

impl InstanceView {
    fn of(server: &Server, zone: &TimeZone) -> Self {
        let instance = server.instance.as_ref();
        let asked = server.record.request.as_ref().map(|request| &request.pool);
        Self {
            id: server.name().to_string(),
            phase: server.phase.as_str().to_owned(),
            instance_type: instance
                .and_then(|i| i.instance_type.as_deref())
                .or_else(|| asked.and_then(|pool| pool.instance_type.as_deref()))
                .map(str::to_owned),
            subnet: instance
                .and_then(|i| i.subnet.as_deref())
                .or_else(|| asked.and_then(|pool| pool.subnet.as_deref()))
                .map(str::to_owned),
            private_ip: instance.and_then(|i| i.private_ip.as_deref()).map(str::to_owned),
            uptime_seconds: server.uptime.map(|uptime| uptime.as_secs()),
            paid_until: server.paid_until.map(|at| at.to_string()),
            balancer: server.membership.as_ref().map(|m| printable(&m.to_string(), 200)),
            ailing: server.ailing.clone(),
            blocked: server.release.as_ref().err().map(|block| block.text(zone)),
            drain: drain(server, zone),
        }
    }
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
    pub at: String,
    pub fleets: Vec<FleetStatus>,
    pub steps: Vec<StepView>,
    pub left_out: Vec<LeftOutView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepView {
    pub fleet: String,
    /// `observe`: the step is told, not done.
    pub mode: String,
    pub text: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct LeftOutView {
    pub fleet: String,
    pub count: Capacity,
    pub text: String,
}

impl PlanView {
    pub fn of(policy: &Policy, survey: &Survey) -> Self {
        let left_out = survey.plan.left_out.iter().map(|left| LeftOutView {
            fleet: left.fleet.to_string(),
            count: left.count,
            text: left.why.text(&policy.zone),
        });
        Self {
            format_version: 1,
            at: survey.roster.now.to_string(),
            fleets: fleets(policy, survey),
            steps: steps(&survey.plan, &policy.zone),
            left_out: left_out.collect(),
        }
    }
}

fn steps(plan: &Plan, zone: &TimeZone) -> Vec<StepView> {
    let view = |mode| {
        move |step: &Step| StepView {
            fleet: step.fleet.to_string(),
            mode: String::from(mode),
            text: step.text(zone),
        }
    };
    let acted = plan.steps.iter().map(view("act"));
    acted.chain(plan.withheld.iter().map(view("observe"))).collect()
}
