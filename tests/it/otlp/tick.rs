//! One tick over the imagined cloud, through the exporter that ships, to a collector on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tidegate::metrics::{Done, Meter};
use tidegate::otlp::{Exports, Variables};
use tidegate::ports::{Clock, Ports, Tally as _};
use tidegate::record::Journal;
use tidegate::sim::front::Front;
use tidegate::sim::world::{Settings, World};
use tidegate::store::memory::MemoryStore;
use tidegate::{telemetry, tick};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::collector::{Collector, Manner, attribute, within};
use super::samples::{same, sent, shown};
use crate::hang::{HANG, ends, wait_for};

/// In every secret of these tests, and in nothing that anybody may read.
const SECRET: &str = "geheim";

const POLICY: &str = "
version: 1
timezone: UTC
mode: act
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1], types: [t3.small] }
    min: 2
    max: 3
";

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

fn variables(more: &[(&str, &str)]) -> Variables {
    more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn begin(more: &[(&str, &str)]) -> Exports {
    Exports::begin(&variables(more), Arc::new(Timestamp::now))
}

/// One tick, told and measured.
fn ticked(exports: &Exports, meter: &Meter) {
    let subscriber = tracing_subscriber::registry().with(exports.layers(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let now = Timestamp::now();
    let policy = policy::load("policy.yaml", POLICY, now).policy.unwrap();
    let front = Front::new(World::new(Settings::default(), now), BTreeMap::new());
    let store = Arc::new(MemoryStore::default());
    let ports = Ports {
        cloud: Arc::new(front.clone()),
        balancers: Arc::new(front.clone()),
        probe: Arc::new(front),
        store: store.clone(),
        clock: Arc::new(Wall),
    };
    let mut journal = runtime.block_on(Journal::open(store, now)).unwrap();
    let begun = Instant::now();
    tracing::subscriber::with_default(subscriber, || {
        exports.tell();
        let turn = async {
            meter.begin(&policy, journal.ledger(), now);
            let record = tick::tick(&ports, &policy, &mut journal, &[]).await.unwrap();
            record.events.iter().for_each(telemetry::log);
            meter.request("RunInstances", "ok");
            let (at, took) = (Timestamp::now(), begun.elapsed());
            let ledger = journal.ledger();
            meter.ticked(&Done { policy: &policy, ledger, record: &record, at, took });
        };
        runtime.block_on(turn.instrument(info_span!(target: "tidegate::daemon", "tick")));
    });
}

/// Spans by name.
fn spans(told: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut found: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for span in within(told, &["resourceSpans", "scopeSpans", "spans"]) {
        found.entry(span["name"].as_str().unwrap().to_owned()).or_default().push(span);
    }
    found
}

#[test]
fn a_tick_arrives_as_spans_records_and_metrics() {
    let collector = Collector::new(Manner::Takes);
    let meter = Arc::new(Meter::new());
    let mut exports = begin(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-key={SECRET}%20%3D,x-other=a+b")),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ]);
    exports.measure(meter.clone());
    ticked(&exports, &meter);
    exports.end_within(HANG);

    let asked = collector.asked();
    let paths: BTreeSet<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["/v1/logs", "/v1/metrics", "/v1/traces"]));
    for asked in &asked {
        assert_eq!(asked.header("content-type"), "application/x-protobuf");
        assert_eq!(asked.header("content-encoding"), "gzip");
        assert_eq!(asked.header("x-key"), format!("{SECRET} ="));
        assert_eq!(asked.header("x-other"), "a+b");
    }

    let (traces, logs, metrics) =
        (collector.told("traces"), collector.told("logs"), collector.told("metrics"));
    for (told, list) in
        [(&traces, "resourceSpans"), (&logs, "resourceLogs"), (&metrics, "resourceMetrics")]
    {
        for of in within(told, &[list]) {
            assert_eq!(attribute(&of["resource"], "service.name"), Some("tidegate"));
            assert!(attribute(&of["resource"], "service.version").is_some(), "{of}");
        }
    }
    let spans = spans(&traces);
    let one = |name: &str| spans.get(name).unwrap_or_else(|| panic!("{name}: {spans:?}"))[0];
    let tick = one("tick");
    for (child, parent) in [
        ("observe", "tick"),
        ("instances", "observe"),
        ("decide", "tick"),
        ("record", "tick"),
        ("act", "tick"),
        ("launch", "act"),
    ] {
        assert_eq!(one(child)["parentSpanId"], one(parent)["spanId"], "{child} is in {parent}");
        assert_eq!(one(child)["traceId"], tick["traceId"]);
    }
    assert_eq!((spans["record"].len(), spans["launch"].len()), (2, 2));
    assert_eq!(attribute(one("launch"), "fleet"), Some("app"));
    assert!(attribute(one("launch"), "instance").unwrap().starts_with("i-"), "{spans:?}");

    // The log's own lines, each with its fields, in the trace of its tick.
    let records = within(&logs, &["resourceLogs", "scopeLogs", "logRecords"]);
    let launched = records.iter().find(|record| attribute(record, "kind") == Some("action"));
    let launched = launched.unwrap_or_else(|| panic!("{records:?}"));
    assert!(launched["body"]["stringValue"].as_str().unwrap().contains("launched i-"));
    assert_eq!(launched["severityText"], "INFO");
    assert_eq!(attribute(launched, "fleet"), Some("app"));
    assert!(attribute(launched, "instance").unwrap().starts_with("i-"), "{launched}");
    assert_eq!(launched["traceId"], tick["traceId"]);

    let (sent, shown) = (sent(&metrics), shown(&meter.open_metrics()));
    assert!(same(&sent, &shown) && sent.len() > 30, "{sent:#?}\n{shown:#?}");
}

#[test]
fn nobody_named_nothing_started() {
    let collector = Collector::new(Manner::Takes);
    let endpoint = collector.endpoint();
    let given = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    for more in [
        vec![],
        vec![("OTEL_SERVICE_NAME", "ops")],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        vec![given, ("OTEL_SDK_DISABLED", "TRUE")],
        vec![
            given,
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
    ] {
        let mut exports = begin(&more);
        assert!(exports.layers(true).is_empty(), "{more:?}");
        let meter = Arc::new(Meter::new());
        exports.measure(meter.clone());
        ticked(&exports, &meter);
        exports.end_within(HANG);
    }
    let asked = collector.asked();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn one_signal_alone_goes_where_it_is_told() {
    let collector = Collector::new(Manner::Takes);
    let exports =
        begin(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("{}/here", collector.endpoint()))]);
    ticked(&exports, &Meter::new());
    exports.end_within(HANG);
    let paths: Vec<String> = collector.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/here"]);
}

#[test]
fn what_is_wrong_is_told_without_its_value_and_stops_nothing() {
    let collector = Collector::new(Manner::Takes);
    for (more, told) in [
        (
            vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector geheim")],
            "TRACES_ENDPOINT is no URL",
        ),
        (
            vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://geheim/")],
            "TRACES_ENDPOINT is no URL",
        ),
        (
            vec![("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")],
            "take it out, and have OTEL_EXPORTER_OTLP_ENDPOINT name",
        ),
        (vec![("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")], "not http/protobuf"),
        (vec![("OTEL_TRACES_EXPORTER", "zipkin")], "neither `otlp` nor `none`"),
    ] {
        let endpoint = collector.endpoint();
        let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        all.extend(more);
        let exports = begin(&all);
        ticked(&exports, &Meter::new());
        exports.end_within(HANG);
        let said: Vec<String> =
            within(&collector.told("logs"), &["resourceLogs", "scopeLogs", "logRecords"])
                .iter()
                .map(|record| record["body"]["stringValue"].as_str().unwrap().to_owned())
                .collect();
        assert!(said.iter().any(|line| line.contains(told)), "{all:?}: {said:?}");
        assert!(!said.iter().any(|line| line.contains(SECRET)), "{said:?}");
        assert!(collector.told("traces").is_empty(), "{all:?}");
    }
}

/// An answer is waited for ten minutes, so whatever waits for the collector hangs.
#[test]
fn a_collector_that_hangs_or_refuses_delays_nothing() {
    for manner in [Manner::Hangs, Manner::Refuses] {
        ends(move || send_too_much(manner)).unwrap_or_else(|| panic!("it waits for {manner:?}"));
    }
}

fn send_too_much(manner: Manner) {
    let collector = Collector::new(manner);
    let meter = Arc::new(Meter::new());
    let mut exports = begin(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "10"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
    ]);
    exports.measure(meter.clone());
    for _ in 0..20 {
        ticked(&exports, &meter);
    }
    wait_for("each signal is sent", || {
        let paths: BTreeSet<_> = collector.asked().into_iter().map(|a| a.path).collect();
        (paths.len() == 3).then_some(())
    });
    // Far more than fits into memory: it is dropped, and nobody waits for room.
    let subscriber = tracing_subscriber::registry().with(exports.layers(false));
    tracing::subscriber::with_default(subscriber, || {
        for n in 0..20_000 {
            let _span = info_span!(target: "tidegate::test", "storm", n).entered();
            tracing::info!(target: "tidegate::test", "line {n}");
        }
    });
    exports.end();
}
