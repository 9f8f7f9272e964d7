//! Logs: fields in the journal under systemd, readable lines or JSON elsewhere. One line per change,
//! none when nothing changes.

mod stderr;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::ValueEnum;
use tracing::{Level, Metadata, event};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use self::stderr::Lines;
use crate::model::fault::printable;
use crate::model::ledger::{Event, EventKind};
use crate::model::time::Timestamp;

/// Longer texts than any of ours, in characters.
const TEXT_AT_MOST: usize = 4000;

/// The process's stderr, where lines go there.
static LINES: OnceLock<Lines> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The journal under systemd, else text
    Auto,
    /// Readable lines on stderr
    Text,
    /// JSON lines on stderr
    Json,
    /// Fields in the journal
    Journald,
}

/// What the log's lines are stamped with: the daemon's own clock, which in a drill is an imagined
/// one.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

struct Timer(Now);

impl FormatTime for Timer {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        w.write_str(&(self.0)().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }
}

/// What takes events and spans elsewhere as well.
pub type Also = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

/// Sets up logging for the life of the process; `also` beside the log. A second call in one process
/// finds a logger in place, which is as good.
pub fn init(format: LogFormat, under_systemd: bool, verbose: bool, now: &Now, also: Also) {
    // As in `RUST_LOG`, of which only the part for tidegate itself is usual.
    let usual = EnvFilter::new(if verbose { "info,tidegate=debug" } else { "error,tidegate=info" });
    // Spans are for traces: a line of the log says what happened, not in which stage of a tick.
    let lines = usual.and(filter_fn(an_event));
    let text = || {
        tracing_subscriber::fmt::layer()
            .with_writer(LINES.get_or_init(|| Lines::to(std::io::stderr())).clone())
            .with_timer(Timer(now.clone()))
            .with_target(false)
            .with_ansi(false)
    };
    let journal = match format {
        LogFormat::Journald => tracing_journald::layer().ok(),
        LogFormat::Auto if under_systemd => tracing_journald::layer().ok(),
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => None,
    };
    let log = match (journal, format) {
        (Some(journal), _) => journal.with_filter(lines).boxed(),
        (None, LogFormat::Json) => text().json().flatten_event(true).with_filter(lines).boxed(),
        (None, LogFormat::Auto | LogFormat::Text | LogFormat::Journald) => {
            text().with_filter(lines).boxed()
        }
    };
    let mut layers = also;
    layers.push(log);
    tracing_subscriber::registry().with(layers).try_init().ok();
}

fn an_event(of: &Metadata<'_>) -> bool {
    of.is_event()
}

/// Waits a moment for what is still on its way to stderr: called once, at the end.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(Duration::from_secs(1));
    }
}

/// One change, as one line: `info` for what changed, `warn` for what needs a look.
pub fn log(told: &Event) {
    let kind = told.kind.as_str();
    let fleet = told.fleet.as_ref().map(tracing::field::display);
    let instance = told.instance.as_ref().map(tracing::field::display);
    let text = printable(&told.text, TEXT_AT_MOST);
    match told.kind {
        EventKind::Problem => event!(Level::WARN, kind, fleet, instance, "{text}"),
        EventKind::Decision
        | EventKind::Action
        | EventKind::Seen
        | EventKind::Recovered
        | EventKind::Override
        | EventKind::Policy => event!(Level::INFO, kind, fleet, instance, "{text}"),
    }
}
