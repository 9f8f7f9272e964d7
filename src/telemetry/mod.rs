//! Logs: fields in the journal under systemd, readable lines or JSON elsewhere. One line per change,
//! none when nothing changes.

mod stderr;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use clap::ValueEnum;
use jiff::tz::TimeZone;
use tracing::{Level, Metadata, event};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use self::stderr::Lines;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::ledger::{Event, EventKind};
use tidegate_engine::model::time::{self, Timestamp};

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

/// The zone of the policy in force, in which the texts of events name their times.
static ZONE: RwLock<TimeZone> = RwLock::new(TimeZone::UTC);

/// The zone in which `journalctl` stamps the lines of this host, where they go there.
static JOURNAL_ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Stamps readable lines in `zone` from now on, so that all times of a line are in one zone. JSON
/// lines keep UTC.
pub fn stamp_in(zone: &TimeZone) {
    *ZONE.write().unwrap_or_else(PoisonError::into_inner) = zone.clone();
}

enum Timer {
    Utc(Now),
    Zoned(Now),
}

impl FormatTime for Timer {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let stamp = match self {
            Self::Utc(now) => now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            Self::Zoned(now) => {
                let zone = ZONE.read().unwrap_or_else(PoisonError::into_inner).clone();
                now().to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
            }
        };
        w.write_str(&stamp)
    }
}

/// What is logged unless more is asked for. The named libraries log an error for each call that fails,
/// without a fleet or an instance; tidegate reports the same failures itself.
const USUAL: &str = "error,rustls_platform_verifier=off,aws_config=off,aws_credential_types=off,aws_runtime=off,aws_smithy_http_client=off,aws_smithy_runtime=off,tidegate=info";

/// What takes events and spans elsewhere as well.
pub type Also = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

/// Sets up logging for the life of the process; `also` beside the log. A second call in one process
/// finds a logger in place, which is as good.
pub fn init(format: LogFormat, under_systemd: bool, verbose: bool, now: &Now, also: Also) {
    // As in `RUST_LOG`, of which only the part for tidegate itself is usual.
    let usual = EnvFilter::new(if verbose { "info,tidegate=debug" } else { USUAL });
    // Spans are for traces: a line of the log says what happened, not in which stage of a tick.
    let lines = usual.and(filter_fn(an_event));
    let text = |timer| {
        tracing_subscriber::fmt::layer()
            .with_writer(LINES.get_or_init(|| Lines::to(std::io::stderr())).clone())
            .with_timer(timer)
            .with_target(false)
            .with_ansi(false)
    };
    let journal = match format {
        LogFormat::Journald => tracing_journald::layer().ok(),
        LogFormat::Auto if under_systemd => tracing_journald::layer().ok(),
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => None,
    };
    if journal.is_some() {
        JOURNAL_ZONE.get_or_init(TimeZone::system);
    }
    let log = match (journal, format) {
        (Some(journal), _) => journal.with_filter(lines).boxed(),
        (None, LogFormat::Json) => {
            let text = text(Timer::Utc(now.clone()));
            text.json().flatten_event(true).with_filter(lines).boxed()
        }
        (None, LogFormat::Auto | LogFormat::Text | LogFormat::Journald) => {
            text(Timer::Zoned(now.clone())).with_filter(lines).boxed()
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

/// Logs one change as one line: `info` for what changed, `warn` for what needs a look. The message
/// begins with the fleet, since `journalctl` shows no other field.
pub fn log(told: &Event) {
    let kind = told.kind.as_str();
    let fleet = told.fleet.as_ref().map(tracing::field::display);
    let instance = told.instance.as_ref().map(tracing::field::display);
    let rezoned = JOURNAL_ZONE.get().and_then(|zone| time::rezoned(&told.text, zone));
    let text = printable(rezoned.as_ref().unwrap_or(&told.text), TEXT_AT_MOST);
    let whose = told.fleet.as_ref().map_or_else(String::new, |fleet| format!("{fleet}: "));
    match told.kind {
        EventKind::Problem | EventKind::Failure => {
            event!(Level::WARN, kind, fleet, instance, "{whose}{text}");
        }
        EventKind::Decision
        | EventKind::Action
        | EventKind::Seen
        | EventKind::Recovered
        | EventKind::Override
        | EventKind::Policy => event!(Level::INFO, kind, fleet, instance, "{whose}{text}"),
    }
}
