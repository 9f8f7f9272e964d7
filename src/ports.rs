//! What a tick asks of the world, in our words. Adapters: `aws`, `probe`, `store` for the real one,
//! `sim` for the imagined one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, FleetHistory, InForce, Told};
use tidegate_engine::model::instance::{Instance, InstanceId};
use tidegate_engine::model::launch::LaunchRequest;
use tidegate_engine::model::ledger::{Change, Ledger};
pub use tidegate_engine::model::reading::Health;
use tidegate_engine::model::reading::{Depth, QueueSource, Reading};
use tidegate_engine::model::shadow::{Imagined, ShadowChange, ShadowRecord};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::model::volume::Volume;
use tidegate_engine::model::warning::Warning;

/// EC2.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Every instance that carries the tag of this install, in any state, all pages or a fault:
    /// a partial list is a fault. Terminated ones as long as EC2 shows them.
    async fn instances(&self, install: &str) -> Result<Vec<Instance>, Fault>;

    /// Those of `ids` that there are, whatever tags they carry: asked for when the list lacks some
    /// that should be in it.
    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault>;

    /// Those of `ids` that EC2 knows, asked for by their ids alone: it answers for zones in good health
    /// while it shows no list of all.
    async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault>;

    /// RunInstances with MinCount = MaxCount = 1, once: no retry inside. The same request may be
    /// sent again at any time.
    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, Fault>;

    /// Whose servers these are, as far as anybody can tell now.
    async fn account(&self) -> Option<Account>;

    /// By how much the clock of this host was ahead of EC2's at the last answer; `None`: there was
    /// none yet, or it was not dated.
    fn clock_ahead(&self) -> Option<SignedDuration> {
        None
    }

    /// Volumes with the tag of this install that no instance uses.
    async fn free_volumes(&self, install: &str) -> Result<Vec<Volume>, Fault>;

    /// What EC2 says of the instances of this account that run, beside their state: those of which
    /// there is anything to say.
    async fn warnings(&self) -> Result<Vec<Warning>, Fault>;

    /// CreateTags: sets `tidegate:drain` of one instance. Setting it again to the same is fine.
    async fn tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault>;

    /// DeleteTags: takes `tidegate:drain` off one instance. An instance without it is fine.
    async fn untag_drain(&self, id: &InstanceId) -> Result<(), Fault>;

    /// TerminateInstances of one id, once.
    async fn terminate(&self, id: &InstanceId) -> Result<(), Fault>;
}

/// SNS.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes to the topic of this ARN, once.
    async fn publish(&self, topic: &str, subject: &str, text: &str) -> Result<(), Fault>;
}

/// Elastic Load Balancing, classic and target groups.
#[async_trait]
pub trait Balancers: Send + Sync {
    /// All members and what the balancer says of each; one call per balancer. Whoever is not in the
    /// map is not a member.
    async fn members(&self, balancer: &Balancer)
    -> Result<BTreeMap<InstanceId, Membership>, Fault>;

    /// How long the balancer leaves connections to a member that is taken out; `None`: it cuts them.
    async fn drain(&self, balancer: &Balancer) -> Result<Option<Duration>, Fault>;

    /// Asks for registration; the balancer takes its time. Registering a member again is fine.
    async fn register(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault>;

    /// Asks for deregistration; draining takes its time. Deregistering a non-member is fine.
    async fn deregister(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault>;
}

/// Where a queue's length is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueQuery {
    pub fleet: FleetName,
    pub source: Arc<QueueSource>,
}

/// One health check to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthQuery {
    pub instance: InstanceId,
    pub url: String,
    pub expect: Option<String>,
    pub timeout: Duration,
    pub every: Duration,
}

/// Queue readings and health checks over HTTP.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Reads a queue once, within a bounded time. `Err`: why it is unreadable.
    async fn queue(&self, query: &QueueQuery) -> Result<Depth, String>;

    /// Checks each instance at most once per its `every`; otherwise answers what the last check
    /// found. An instance that could not be checked yet is left out: unknown, not sick. So is one
    /// that had passed and keeps the next check waiting: unknown, not well.
    async fn health(&self, queries: &[HealthQuery], now: Timestamp)
    -> BTreeMap<InstanceId, Health>;

    /// Posts a drain to its receiver, or takes it back, within a bounded time. Returns how many jobs
    /// run, where a 2xx answer says so; `Err`: why it was not received.
    async fn drain(&self, post: &DrainPost) -> Result<Option<u64>, String>;
}

/// The store could not be read or written. Nothing may be done in the world until it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The store did not answer, or another process holds it. The same call may succeed in a moment.
    #[error("the state database: {0}")]
    Unreachable(String),
    /// Trying again changes nothing until an operator or a restart removes the cause.
    #[error("the state database: {0}")]
    Failed(String),
}

impl StoreFault {
    /// Returns whether the same call may succeed in a moment, without an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Failed(_) => false,
        }
    }
}

/// The durable journal, as the loop writes it and reads it back.
///
/// A caller may drop a future of these methods before it is ready. What was to be written is then
/// written whole or not at all, and the caller has to load to know which.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns everything that is open or recent.
    async fn load(&self, now: Timestamp) -> Result<Ledger, StoreFault>;

    /// Writes a batch, durable when it returns, whole or not at all.
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault>;

    /// Removes what is older than it is kept. A store that ends with its process keeps everything.
    async fn prune(&self, _now: Timestamp) -> Result<(), StoreFault> {
        Ok(())
    }
}

/// A span of time; both ends belong to it.
pub type Span = (Timestamp, Timestamp);

/// What the journal tells of the past, oldest first. Nothing here changes it.
#[async_trait]
pub trait History: Send + Sync {
    /// Returns all that is recorded of a fleet over a span.
    async fn of_fleet(&self, fleet: &FleetName, span: Span) -> Result<FleetHistory, StoreFault>;

    /// Returns the lines of the record over a span, of one fleet or of all.
    async fn lines(&self, fleet: Option<&FleetName>, span: Span) -> Result<Vec<Told>, StoreFault>;

    /// Returns a fleet's decisions over a span, and the last one before it.
    async fn decisions(&self, fleet: &FleetName, span: Span) -> Result<Vec<Decided>, StoreFault>;

    /// Returns the readings of a fleet's queue over a span: the load that was recorded.
    async fn readings(&self, fleet: &FleetName, span: Span) -> Result<Vec<Reading>, StoreFault>;

    /// Returns the policy in force at an instant, as it was written; `None`: no daemon noted one.
    async fn policy_at(&self, at: Timestamp) -> Result<Option<InForce>, StoreFault>;

    /// Returns the record of the second policy; `None`: no second policy ever ran.
    async fn shadow(&self) -> Result<Option<ShadowRecord>, StoreFault>;

    /// Returns what [`Store::load`] would, for commands that change nothing.
    async fn ledger(&self, now: Timestamp) -> Result<Ledger, StoreFault>;
}

/// The record of a second policy beside the live one, apart from the journal.
#[async_trait]
pub trait ShadowBook: Send + Sync {
    /// Begins the record of a policy, or continues it if it was the last one. Returns the simulated
    /// servers that run.
    async fn begin(&self, policy: &InForce, path: &str) -> Result<Vec<Imagined>, StoreFault>;

    /// Writes a batch, whole or not at all.
    async fn note(&self, changes: &[ShadowChange]) -> Result<(), StoreFault>;
}

/// Who counts the requests that are made.
pub trait Tally: Send + Sync {
    /// One attempt of an operation, and how it ended.
    fn request(&self, operation: &str, result: &'static str);
}

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The world, as a tick is handed it.
#[derive(Clone)]
pub struct Ports {
    pub cloud: Arc<dyn Cloud>,
    pub balancers: Arc<dyn Balancers>,
    pub probe: Arc<dyn Probe>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
