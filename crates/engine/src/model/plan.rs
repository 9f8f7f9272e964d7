//! Plans: exactly which server, which pool, in which order. The vocabulary of doing.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::balancer::Balancer;
use super::capacity::Capacity;
use super::drain::{DrainEnd, DrainPost, DrainTerms};
use super::fault::Fault;
use super::fleet::FleetName;
use super::instance::{Instance, InstanceId};
use super::launch::{LaunchRequest, Token};
use super::rate::Exhausted;
use super::retirement::RetireReason;
use super::time::{self, Timestamp};

/// Everything one tick will do, and what it leaves undone, with reasons.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What would have been done, had the fleet not been in observe mode.
    pub withheld: Vec<Step>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
}

/// One step for one fleet. A step names everything; nothing is chosen when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub fleet: FleetName,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ask EC2 for a new server.
    Launch(Arc<LaunchRequest>),
    /// Ask again, with the same token and the same bytes.
    Replay { token: Token, attempt: u32, in_doubt: bool },
    /// Put a healthy server into its balancer.
    Register { instance: InstanceId, balancer: Balancer },
    /// Write a server off: it is on its way out from now on.
    Retire {
        instance: InstanceId,
        token: Token,
        why: RetireReason,
        /// The terms on which it finishes its jobs first.
        drain: Option<Arc<DrainTerms>>,
    },
    /// Take a draining server back.
    Reclaim { instance: InstanceId, token: Token, undelivered: Option<String> },
    /// Tell a server to finish its jobs.
    Drain { instance: InstanceId, token: Token, deadline: Timestamp, post: Option<Box<DrainPost>> },
    /// Tell a server whose drain is cancelled to go on.
    EndSignal { instance: InstanceId, token: Token, post: Option<Box<DrainPost>> },
    /// Take a server out of its balancer.
    Deregister { instance: InstanceId, balancer: Balancer, token: Token },
    /// Terminate it: proven out of its balancer, or its drain time is over.
    Terminate { instance: InstanceId, token: Token, proof: OutOfService },
}

/// Why a server may be terminated now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfService {
    /// Its fleet has no balancer.
    NoBalancer,
    /// The balancer does not list it any more, or never did.
    NotMember,
    /// Deregistered, and the drain time is over.
    DrainTimeOver,
    /// The balancer itself does not exist any more.
    BalancerGone,
    /// It was told to finish its jobs, and that has come to an end.
    Drained(DrainEnd),
}

/// Something wanted and not planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub fleet: FleetName,
    /// How many servers it is about.
    pub count: Capacity,
    pub why: Limit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// `limits.instances` is reached.
    Instances { limit: Capacity, alive: Capacity },
    /// `max` servers are alive, though not all are capacity.
    Max { max: Capacity, alive: Capacity },
    /// `limits.launch` is used up.
    Launch(Exhausted),
    /// `limits.terminate` is used up.
    Terminate(Exhausted),
    /// The launch breaker is open.
    Breaker { failures: Capacity, last: String, probe_at: Option<Timestamp> },
    /// Every offering refused or failed lately; the next one is asked at `until`.
    NoOffering { last: String, until: Timestamp },
    /// Offerings from which no server has passed its check yet are not launched from further.
    FirstServers { under_way: Capacity },
    /// Launches are spread over ticks.
    Pace,
    /// More than half of the fleet looks sick: more likely the check or the network is.
    MostlySick { sick: Capacity, of: Capacity },
    /// A sick server of a full fleet goes before its replacement comes, and launches fail.
    Unlaunchable { why: String },
    /// A plan that broke a rule was not carried out: a defect of ours.
    Audit(String),
}

impl Limit {
    /// Returns when it ends by itself, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Launch(limit) | Self::Terminate(limit) => Some(limit.until),
            Self::NoOffering { until, .. } => Some(*until),
            Self::Breaker { probe_at, .. } => *probe_at,
            Self::Instances { .. }
            | Self::Max { .. }
            | Self::FirstServers { .. }
            | Self::Pace
            | Self::MostlySick { .. }
            | Self::Unlaunchable { .. }
            | Self::Audit(_) => None,
        }
    }

    /// The limit in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        let local = |at: &Timestamp| time::local(*at, zone);
        match self {
            Self::Instances { limit, alive } => {
                format!("limits.instances is {limit}, and {alive} are alive in all")
            }
            Self::Max { max, alive } => format!("max is {max}, and {alive} are alive"),
            Self::Launch(limit) => format!("limits.launch: {}", limit.text(zone)),
            Self::Terminate(limit) => format!("limits.terminate: {}", limit.text(zone)),
            Self::Breaker { failures, last, probe_at } => {
                let probe = probe_at.as_ref().map(|at| format!("one probe at {}", local(at)));
                let probe = probe.unwrap_or_else(|| "a probe is under way".to_owned());
                format!("launches stopped after {failures} failures, the last: {last}; {probe}")
            }
            Self::NoOffering { last, until } => format!(
                "every type and subnet refused or failed lately, the last: {last}; tried again from {}",
                local(until)
            ),
            Self::FirstServers { under_way } => format!(
                "{under_way} first servers are under way; one has to pass its health check before more are launched beside it"
            ),
            Self::Pace => "launches are spread over several ticks".to_owned(),
            Self::MostlySick { sick, of } => format!(
                "{sick} of {of} look sick at once: more likely the check or the network is at fault"
            ),
            Self::Unlaunchable { why } => {
                format!("launches fail, so it could not be replaced: {why}")
            }
            Self::Audit(rule) => format!("the plan was dropped: {rule}"),
        }
    }
}

impl Step {
    /// The step in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        match &self.act {
            Act::Launch(request) => format!("launch {}", request.pool),
            Act::Replay { attempt, .. } => format!("ask again for a launch (attempt {attempt})"),
            Act::Register { instance, balancer } => format!("register {instance} with {balancer}"),
            Act::Retire { instance, why, .. } => format!("retire {instance}: {}", why.text(zone)),
            Act::Reclaim { instance, undelivered: None, .. } => {
                format!("take back {instance}, which was draining")
            }
            Act::Reclaim { instance, undelivered: Some(why), .. } => {
                format!("take back {instance}, which was not told to drain: {why}")
            }
            Act::Drain { instance, deadline, .. } => {
                format!("tell {instance} to finish its jobs by {}", time::local(*deadline, zone))
            }
            Act::EndSignal { instance, .. } => format!("tell {instance} to go on working"),
            Act::Deregister { instance, balancer, .. } => {
                format!("deregister {instance} from {balancer}")
            }
            Act::Terminate { instance, proof, .. } => format!("terminate {instance}: {proof}"),
        }
    }
}

impl RetireReason {
    /// The reason in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        match self {
            Self::ScaleIn => "scale-in, newest eligible server of the fullest zone".to_owned(),
            Self::NeverHealthy { waited, last } => {
                let last = last.as_ref().map_or_else(String::new, |last| format!(" ({last})"));
                format!("not healthy {} after its launch{last}", time::text(*waited))
            }
            Self::Sick { since } => {
                format!("its health check has failed since {}", time::local(*since, zone))
            }
            Self::StuckPending { waited } => format!("pending for {}", time::text(*waited)),
            Self::Operator { who, why } => format!("asked by {who}: {why}"),
        }
    }
}

impl fmt::Display for OutOfService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBalancer => "no load balancer to drain from",
            Self::NotMember => "out of its load balancer",
            Self::DrainTimeOver => "drain time is over",
            Self::BalancerGone => "its load balancer is gone",
            Self::Drained(DrainEnd::PoweredOff) => "drained: it powered off",
            Self::Drained(DrainEnd::NothingRuns) => "drained: no job runs on it",
            Self::Drained(DrainEnd::NotBusy) => "drained: the queue shows no job on it",
            Self::Drained(DrainEnd::Deadline) => "the deadline of its drain is over",
            Self::Drained(DrainEnd::Operator) => "asked to be terminated without a drain",
        })
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; a launch with the instance EC2 answered.
    Done(Option<Box<Instance>>),
    /// A drain was received; with the number of jobs that run, where the receiver told it.
    Received {
        running: Option<u64>,
    },
    Failed(Fault),
    /// Not tried: an earlier call of the tick was throttled, or the tick has taken long enough. The
    /// next one tries.
    Skipped,
    /// Not tried: somebody has ordered something since it was planned.
    Halted,
}
