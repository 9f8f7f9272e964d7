//! Telemetry over OTLP/HTTP to a collector, where the standard `OTEL_` variables name one: spans of
//! the ticks, the log's lines, and the metrics. Nothing is started where they name none.
//!
//! It must never matter to a tick. What is to be sent waits in queues of bounded length, from which
//! threads of their own take it; what does not fit is dropped.

mod asked;
mod exposition;
mod metrics;
mod providers;
mod sender;
mod standing;

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, warn};
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::{Layer, Registry};

pub use self::asked::Variables;
use self::asked::{Asked, Signal, Target};
use self::metrics::Window;
use self::providers::{logs, resource, traces};
use self::sender::Sender;
use self::standing::Standing;
use crate::metrics::Meter;
use tidegate_engine::model::time::Timestamp;

/// How long the daemon's end may wait for what is still to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Whose events are never sent: they are of the sending itself, and would beget more.
const OF_THE_SENDING: [&str; 5] = ["hyper", "hyper_util", "reqwest", "rustls", "h2"];

/// Whose spans are sent besides our own: each call to AWS, by the SDK itself.
const OF_AWS: &str = "aws_sdk_";

/// What is to be added to the log's own layer.
pub type Layers = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

/// What the clock of the daemon says.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that is exported, until its end.
pub struct Exports {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    metrics: Option<Metered>,
    resource: Resource,
    begun: Timestamp,
    now: Now,
    /// To be told once there is a log.
    wrong: BTreeSet<String>,
}

/// The way of the metrics, until it is known what there is to measure, and its end after that.
struct Metered {
    sender: Sender,
    runtime: Handle,
    every: Duration,
    end: Option<oneshot::Sender<mpsc::Sender<()>>>,
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exports").finish_non_exhaustive()
    }
}

impl Exports {
    /// Starts what `variables` ask for. What is wrong with them is told later, and stops nothing.
    pub fn begin(variables: &Variables, now: Now) -> Self {
        let mut asked = Asked::of(variables);
        let mut exports = Self {
            traces: None,
            logs: None,
            metrics: None,
            resource: resource(asked.service.as_deref()),
            begun: now(),
            now,
            wrong: std::mem::take(&mut asked.wrong),
        };
        if !asked.targets.is_empty()
            && let Err(error) = exports.start(&asked)
        {
            exports.wrong.insert(format!("no telemetry: {error:#}"));
        }
        exports
    }

    fn start(&mut self, asked: &Asked) -> anyhow::Result<()> {
        let runtime = sender::begin()?;
        let standing = Arc::<Standing>::default();
        let to = |signal: Signal| -> anyhow::Result<Option<(&Target, Sender)>> {
            let Some(target) = asked.targets.get(&signal) else { return Ok(None) };
            let sender = Sender::new(signal, target.clone(), runtime.clone(), standing.clone())?;
            Ok(Some((target, sender)))
        };
        if let Some((target, sender)) = to(Signal::Traces)? {
            self.traces = Some(traces(target, sender, asked.spans, self.resource.clone())?);
        }
        if let Some((target, sender)) = to(Signal::Logs)? {
            self.logs = Some(logs(target, sender, asked.records, self.resource.clone())?);
        }
        if let Some((_, sender)) = to(Signal::Metrics)? {
            let (runtime, every) = (runtime.clone(), asked.metrics_every);
            self.metrics = Some(Metered { sender, runtime, every, end: None });
        }
        Ok(())
    }

    /// What takes spans and events to where they are sent. `verbose`: as the log is.
    pub fn layers(&self, verbose: bool) -> Layers {
        let ours = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let mut layers = Layers::new();
        if let Some(provider) = &self.logs {
            let others = if verbose { LevelFilter::INFO } else { LevelFilter::ERROR };
            let mut told = Targets::new().with_default(others).with_target("tidegate", ours);
            for target in OF_THE_SENDING {
                told = told.with_target(target, LevelFilter::OFF);
            }
            let told = told.and(filter_fn(an_event));
            layers.push(OpenTelemetryTracingBridge::new(provider).with_filter(told).boxed());
        }
        if let Some(provider) = &self.traces {
            let spans = Targets::new()
                .with_target("tidegate", LevelFilter::INFO)
                .with_target(OF_AWS, LevelFilter::DEBUG)
                .and(filter_fn(a_span));
            let layer = tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("tidegate"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false);
            layers.push(layer.with_filter(spans).boxed());
        }
        layers
    }

    /// Says what is wrong with the variables.
    pub fn tell(&self) {
        for wrong in &self.wrong {
            warn!("{wrong}");
        }
    }

    /// Sends what `meter` shows, at intervals and at the end.
    pub fn measure(&mut self, meter: Arc<Meter>) {
        let Some(metered) = &mut self.metrics else { return };
        let attributes = ResourceAttributesWithSchema::from(&self.resource).attributes.0;
        let resource = WireResource { attributes, ..WireResource::default() };
        let (now, begun) = (self.now.clone(), nanos(self.begun));
        let body = move || {
            let window = Window { begun, now: nanos(now()) };
            metrics::request(&meter.open_metrics(), &resource, window).encode_to_vec()
        };
        let (end, ended) = oneshot::channel();
        metered.runtime.spawn(send_again(metered.sender.clone(), metered.every, body, ended));
        metered.end = Some(end);
    }

    /// Sends what is left, for [`LAST`] at most.
    pub fn end(self) {
        self.end_within(LAST);
    }

    /// Sends what is left, and waits at most `limit` for each signal.
    pub fn end_within(self, limit: Duration) {
        let (done, all) = mpsc::channel();
        if let Some(end) = self.metrics.and_then(|metered| metered.end) {
            end.send(done.clone()).ok();
        }
        if let Some(provider) = self.traces {
            in_the_background(&done, move || provider.shutdown_with_timeout(limit).is_ok());
        }
        if let Some(provider) = self.logs {
            in_the_background(&done, move || provider.shutdown_with_timeout(limit).is_ok());
        }
        drop(done);
        // Each of them is bounded already, but for the metrics. What hangs ends with the process.
        let mut left = 3;
        while left > 0 && all.recv_timeout(limit).is_ok() {
            left -= 1;
        }
    }
}

fn in_the_background(done: &mpsc::Sender<()>, end: impl FnOnce() -> bool + Send + 'static) {
    let done = done.clone();
    std::thread::spawn(move || {
        end();
        done.send(()).ok();
    });
}

/// Sends the metrics until it is told to end, and then once more.
async fn send_again(
    sender: Sender,
    every: Duration,
    body: impl Fn() -> Vec<u8>,
    mut ended: oneshot::Receiver<mpsc::Sender<()>>,
) {
    let mut clock = tokio::time::interval(every);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first is due at once, when nothing is measured yet.
    clock.tick().await;
    loop {
        tokio::select! {
            done = &mut ended => {
                sender.post(body()).await.ok();
                if let Ok(done) = done {
                    done.send(()).ok();
                }
                return;
            }
            _ = clock.tick() => {}
        }
        // Why it failed is told; the next sending has all of it.
        sender.post(body()).await.ok();
    }
}

fn an_event(of: &Metadata<'_>) -> bool {
    of.is_event()
}

fn a_span(of: &Metadata<'_>) -> bool {
    of.is_span()
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}
