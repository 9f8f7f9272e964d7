//! The built binary beside a collector that takes, refuses, hangs, or is not there.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate::sim::faults::Troubles;

use super::collector::{Collector, Manner, attribute, within};
use super::samples::{Samples, close, sent, shown};
use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::http::{door, get};
use crate::support::wait_for;

const SECRET: &str = "geheim";

const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A daemon that sends often, to be started. It waits ten minutes for an answer: a slow machine must
/// not make a collector look dead, and whatever waits for one that hangs is a hang itself.
fn daemon(cloud: &Cloud, endpoint: &str) -> Daemon {
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-key={SECRET}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
        ("OTEL_SERVICE_NAME", "ops"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=not-this,host.name=here"),
    ] {
        daemon.env.push((name, value.to_owned()));
    }
    daemon
}

fn metrics(door: &str) -> Samples {
    shown(&get(door, "/metrics").body)
}

fn ticks(door: &str) -> f64 {
    metrics(door).get("tidegate_tick_duration_seconds_count").copied().unwrap_or_default()
}

/// The names of the daemon's threads.
fn threads(daemon: &Daemon) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        // It may have ended meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(name).collect()
}

fn sending(daemon: &Daemon) -> bool {
    threads(daemon).iter().any(|name| {
        name.starts_with("telemetry") || name.to_ascii_lowercase().starts_with("opentelemetry")
    })
}

/// What the daemon says last.
const STOPPED: &str = "stopped; servers are left as they are";

/// The lines of the log that arrived.
fn said(collector: &Collector) -> Vec<String> {
    let logs = collector.told("logs");
    let records = within(&logs, &["resourceLogs", "scopeLogs", "logRecords"]);
    let bodies = records.iter().filter_map(|record| record["body"]["stringValue"].as_str());
    bodies.map(str::to_owned).collect()
}

#[test]
fn what_is_exported_is_what_is_shown() {
    let (cloud, collector) = (Cloud::new(Troubles::new()), Collector::new(Manner::Takes));
    let mut daemon = daemon(&cloud, &collector.endpoint());
    cloud.pin(7);
    daemon.start_with(&ANYWHERE);
    daemon.wait_in_service("app", 2);
    assert!(sending(&daemon), "{:?}", threads(&daemon));
    let door = &door(&daemon);
    wait_for("a sending that is as the metrics are", || {
        let before = metrics(door);
        let told = collector.told("metrics").len();
        let last = wait_for("another sending", || {
            let all = collector.told("metrics");
            (all.len() > told).then(|| all.last().cloned())?
        });
        let (sent, after) = (sent(&[last]), metrics(door));
        // Of what stood still meanwhile the value is known; what moves has its name.
        let same = before.iter().filter(|(name, value)| after.get(*name) == Some(value));
        let alike =
            same.clone().all(|(name, value)| sent.get(name).is_some_and(|s| close(*s, *value)));
        let named = sent.keys().eq(after.keys()) && before.keys().eq(after.keys());
        (alike && named && same.count() > 30).then_some(())
    });
    daemon.order(&["pause", "job", "--for", "1h", "to be seen"]);
    daemon.wait_log("paused by ann");
    // Its end waits for two seconds, in which a slow machine may not send the last lines.
    wait_for("what was told last arrives too", || {
        assert_eq!(daemon.stop(), 0);
        let arrived = said(&collector).contains(&STOPPED.to_owned());
        (!arrived).then(|| daemon.start());
        arrived.then_some(())
    });

    for (signal, list) in
        [("traces", "resourceSpans"), ("logs", "resourceLogs"), ("metrics", "resourceMetrics")]
    {
        let told = collector.told(signal);
        for of in within(&told, &[list]) {
            assert_eq!(attribute(&of["resource"], "service.name"), Some("ops"));
            assert_eq!(attribute(&of["resource"], "host.name"), Some("here"));
        }
    }
    let traces = collector.told("traces");
    let spans = within(&traces, &["resourceSpans", "scopeSpans", "spans"]);
    let named =
        |name: &str| -> Vec<&&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    for name in ["tick", "observe", "decide", "record", "act", "launch", "queue", "health"] {
        assert!(!named(name).is_empty(), "{name}");
    }
    // Calls to AWS are in the stage that makes them, and the sending itself is not traced.
    let launches = named("EC2.RunInstances");
    let parents = named("launch");
    assert_eq!(launches.len(), 2, "{launches:?}");
    for launch in launches {
        assert!(parents.iter().any(|parent| parent["spanId"] == launch["parentSpanId"]));
    }
    assert!(!spans.iter().any(|span| span.to_string().contains(&collector.endpoint())));

    // The log is as it is without.
    let bodies = said(&collector);
    for body in &bodies {
        assert!(daemon.says(body) > 0, "{body}");
    }
    let ends = daemon.says(STOPPED);
    assert!(ends > 1 || bodies.len() == daemon.log().lines().count(), "{}", daemon.log());
    assert_eq!(daemon.says("tick{"), 0, "{}", daemon.log());
    assert_eq!(daemon.says(SECRET), 0, "{}", daemon.log());
}

#[test]
fn with_no_variable_nothing_is_started_and_nothing_sent() {
    let (cloud, collector) = (Cloud::new(Troubles::new()), Collector::new(Manner::Takes));
    for disabled in [false, true] {
        let mut daemon = daemon(&cloud, &collector.endpoint());
        if disabled {
            daemon.env.push(("OTEL_SDK_DISABLED", "true".to_owned()));
        } else {
            daemon.env.retain(|(name, _)| !name.ends_with("_ENDPOINT"));
        }
        daemon.start();
        daemon.wait_in_service("app", 2);
        assert!(!sending(&daemon), "{:?}", threads(&daemon));
        assert_eq!(daemon.stop(), 0);
    }
    let asked = collector.asked();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_collector_that_hangs_is_told_once_and_delays_neither_ticks_nor_the_end() {
    let (cloud, collector) = (Cloud::new(Troubles::new()), Collector::new(Manner::Hangs));
    let mut daemon = daemon(&cloud, &collector.endpoint());
    daemon.env.retain(|(name, _)| *name != "OTEL_EXPORTER_OTLP_TIMEOUT");
    daemon.env.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "5000".to_owned()));
    daemon.start_with(&ANYWHERE);
    daemon.wait_in_service("app", 2);
    daemon.wait_log(&format!("do not arrive at {}", collector.endpoint()));
    let door = &door(&daemon);
    let before = ticks(door);
    wait_for("five ticks", || (ticks(door) >= before + 5.0).then_some(()));
    assert_eq!(daemon.says("do not arrive"), 1, "{}", daemon.log());
    // It comes back, and is gone again.
    collector.set(Manner::Takes);
    daemon.wait_log("arrive again");
    collector.set(Manner::Hangs);
    let asked = collector.asked().len();
    wait_for("more is sent", || (collector.asked().len() > asked + 2).then_some(()));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(daemon.says("do not arrive"), 1, "{}", daemon.log());
    assert_eq!(daemon.says("arrive again"), 1, "{}", daemon.log());
}

#[test]
fn hanging_collector_delays_neither_ticks_nor_exit() {
    let (cloud, collector) = (Cloud::new(Troubles::new()), Collector::new(Manner::Hangs));
    let mut daemon = daemon(&cloud, &collector.endpoint());
    daemon.start_with(&ANYWHERE);
    wait_for("each signal is sent", || {
        let paths: BTreeSet<String> = collector.asked().into_iter().map(|a| a.path).collect();
        (paths.len() == 3).then_some(())
    });
    daemon.wait_ticks(5);
    daemon.wait_in_service("app", 2);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(daemon.says("do not arrive"), 0, "it still waits: {}", daemon.log());
}

#[test]
fn a_collector_that_is_not_there_or_refuses_stops_nothing() {
    let cloud = Cloud::new(Troubles::new());
    let refusing = Collector::new(Manner::Refuses);
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, why) in [
        (refusing.endpoint(), "it answered 401 Unauthorized"),
        (format!("http://ann:{SECRET}@{gone}"), "onnection refused"),
        ("collector".to_owned(), "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
    ] {
        let mut daemon = daemon(&cloud, &endpoint);
        daemon.start();
        daemon.wait_log(why);
        daemon.wait_in_service("app", 2);
        assert_eq!(daemon.stop(), 0);
        assert_eq!(daemon.says(why), 1, "{}", daemon.log());
        assert_eq!(daemon.says(SECRET), 0, "{}", daemon.log());
    }
}

#[test]
fn a_single_tick_is_sent_too() {
    let (cloud, collector) = (Cloud::new(Troubles::new()), Collector::new(Manner::Takes));
    let daemon = daemon(&cloud, &collector.endpoint());
    // Its end waits for two seconds, in which a slow machine may not send all.
    wait_for("a tick's span and its lines", || {
        let output = daemon.ask(&["run", "--once", "--log-format", "text"]);
        assert!(output.status.success(), "{output:?}");
        let traces = collector.told("traces");
        let spans = within(&traces, &["resourceSpans", "scopeSpans", "spans"]);
        let ticks = spans.iter().any(|span| span["name"] == "tick");
        (ticks && !said(&collector).is_empty()).then_some(())
    });
    // There is no page beside it to agree with.
    assert!(collector.told("metrics").is_empty());
}
