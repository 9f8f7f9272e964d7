//! What the daemon counts and measures, for whoever collects it. Fed after each tick from the
//! journal's picture, read at any time without the loop's help. Labels are names of fleets from the
//! policy and fixed words: never an instance, never a text.

mod lives;
mod state;
mod text;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::lives::Lives;
use self::state::State;
use crate::ports::Tally;
use crate::tick::TickRecord;
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// Names and values, in the same order wherever a metric is set.
type Labels = Vec<(&'static str, String)>;

type Seconds = Gauge<f64, AtomicU64>;

/// Calls to AWS are given up after 45 seconds, and a tick makes several, one after the other.
const TICK_BUCKETS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0];

/// A tick that has ended, and what it left behind.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    pub policy: &'a Policy,
    pub ledger: &'a Ledger,
    pub record: &'a TickRecord,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, by a clock that nobody sets.
    pub took: Duration,
}

/// The last tick that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastTick {
    pub at: Timestamp,
    /// How often there should be one.
    pub every: Duration,
}

/// Every metric of the process.
#[derive(Debug)]
pub struct Meter {
    // One lock for all: whoever reads sees a whole tick, never half of one.
    inner: Mutex<Inner>,
    requests: Family<Labels, Counter>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    state: State,
    lives: Lives,
    ticks: Histogram,
    /// Without a sample until there was one.
    last_tick: Family<Labels, Seconds>,
    last: Option<LastTick>,
    reload_success: Gauge,
    reload_at: Seconds,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let ticks = Histogram::new(TICK_BUCKETS);
        registry.register("tick_duration_seconds", "How long ticks take", ticks.clone());
        let last_tick = Family::<Labels, Seconds>::default();
        registry.register(
            "last_tick_timestamp_seconds",
            "When the last tick ended",
            last_tick.clone(),
        );
        let (reload_success, reload_at) = (Gauge::default(), Seconds::default());
        registry.register(
            "policy_reload_success",
            "Whether the policy file was taken when it was read last",
            reload_success.clone(),
        );
        registry.register(
            "policy_reload_timestamp_seconds",
            "When the policy in force was read",
            reload_at.clone(),
        );
        let requests = Family::<Labels, Counter>::default();
        registry.register(
            "aws_requests",
            "Requests to AWS by operation, each attempt of its own, and how they ended",
            requests.clone(),
        );
        let state = State::new(&mut registry);
        let lives = Lives::new(&mut registry);
        let inner = Inner {
            registry,
            state,
            lives,
            ticks,
            last_tick,
            last: None,
            reload_success,
            reload_at,
        };
        Self { inner: Mutex::new(inner), requests }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the first tick: what is in the journal by now has happened, and is not counted.
    pub fn begin(&self, policy: &Policy, ledger: &Ledger, at: Timestamp) {
        let mut inner = self.inner();
        inner.lives.begin(policy, ledger);
        inner.state.begin(policy);
        inner.read(true, at);
    }

    pub fn ticked(&self, done: &Done<'_>) {
        let mut inner = self.inner();
        inner.lives.follow(done.policy, done.ledger);
        inner.state.show(done);
        inner.ticks.observe(done.took.as_secs_f64());
        inner.last_tick.get_or_create(&Labels::new()).set(seconds(done.at));
        inner.last = Some(LastTick { at: done.at, every: done.policy.tick });
    }

    /// A tick could not be finished, since the journal could not be written.
    pub fn stuck(&self) {
        self.inner().state.stuck();
    }

    /// The policy file was read again.
    pub fn reloaded(&self, taken: bool, at: Timestamp) {
        self.inner().read(taken, at);
    }

    pub fn last_tick(&self) -> Option<LastTick> {
        self.inner().last
    }

    /// In the format of OpenMetrics 1.0.
    pub fn open_metrics(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        encode(&mut out, &self.inner().registry).ok();
        out
    }

    /// In the older text format of Prometheus, for those who do not ask for the other.
    pub fn plain(&self) -> String {
        text::plain(&self.open_metrics())
    }
}

impl Inner {
    fn read(&self, taken: bool, at: Timestamp) {
        self.reload_success.set(i64::from(taken));
        if taken {
            self.reload_at.set(seconds(at));
        }
    }
}

impl Tally for Meter {
    fn request(&self, operation: &str, result: &'static str) {
        let labels = vec![("operation", operation.to_owned()), ("result", result.to_owned())];
        self.requests.get_or_create(&labels).inc();
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// A word of ours as a label's value.
fn word(text: &str) -> String {
    text.replace([' ', '-'], "_")
}
