//! What the daemon measures, against what is true of the world; who may ask for it; and the alerts
//! that stand on it, by Prometheus's own judgement.
#![expect(clippy::panic, reason = "a referee that is missing fails the test")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use tidegate::sim::faults::Troubles;

use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::http::{door, get, raw};
use crate::support::proxy::{Proxy, Trick};
use crate::support::{HANG, output_of, wait_for};

/// On a port that is free.
const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// As a collector asks that knows the newer format, and as one that says nothing.
fn scraped(door: &str, accept: Option<&str>) -> (String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request = reqwest::Client::new().get(format!("http://{door}/metrics"));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let answer = request.timeout(HANG).send().await.unwrap().error_for_status().unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, answer.text().await.unwrap())
    })
}

/// The value of one sample, named with its labels as they are written.
fn sample(door: &str, name: &str) -> Option<f64> {
    let (_, text) = scraped(door, None);
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    rest.map(|value| value.parse().unwrap())
}

#[track_caller]
fn wait_sample(door: &str, name: &str, value: f64) {
    wait_for(&format!("{name} is {value}"), || {
        (sample(door, name).is_some_and(|found| (found - value).abs() < 1e-9)).then_some(())
    });
}

fn promtool(args: &[&str], input: &str) -> Output {
    let program = std::env::var_os("TIDEGATE_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let spawned = Command::new(&program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("{}: {error}. `tests/run` fetches it; TIDEGATE_PROMTOOL names it", program.display())
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    output_of(child)
}

#[test]
fn what_is_measured_is_true_of_the_world() {
    let cloud = Cloud::new(Troubles::new());
    let policy = cloud.policy("classic", (3, 4));
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    cloud.pin(7);
    let seconds = || tidegate_engine::model::time::Timestamp::now().as_duration().as_secs_f64();
    let begun = seconds();
    daemon.start_with(&ANYWHERE);
    let three = daemon.wait_in_service("app", 3);
    let door = &door(&daemon);
    wait_sample(door, "tidegate_fleet_instances{fleet=\"app\",state=\"in_service\"}", 3.0);
    for (name, value) in [
        ("tidegate_fleet_instances{fleet=\"app\",state=\"booting\"}", 0.0),
        ("tidegate_fleet_desired_instances{fleet=\"app\"}", 3.0),
        ("tidegate_fleet_min_instances{fleet=\"app\"}", 3.0),
        ("tidegate_fleet_max_instances{fleet=\"app\"}", 4.0),
        ("tidegate_fleet_condition{fleet=\"app\",condition=\"acting\"}", 1.0),
        ("tidegate_fleet_condition{fleet=\"app\",condition=\"able\"}", 1.0),
        ("tidegate_fleet_condition{fleet=\"app\",condition=\"limited\"}", 0.0),
        ("tidegate_launches_total{fleet=\"app\",result=\"launched\"}", 3.0),
        ("tidegate_terminations_total{fleet=\"app\",reason=\"scale_in\"}", 0.0),
        ("tidegate_boot_duration_seconds_count{fleet=\"app\"}", 3.0),
        ("tidegate_queue_waiting_jobs{fleet=\"job\"}", 7.0),
        ("tidegate_queue_read_errors_total{fleet=\"job\"}", 0.0),
        ("tidegate_aws_requests_total{operation=\"RunInstances\",result=\"ok\"}", 3.0),
        ("tidegate_policy_reload_success", 1.0),
        ("tidegate_limit_instances", 10.0),
        ("tidegate_alive_instances", 3.0),
        (concat!("tidegate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        wait_sample(door, name, value);
    }
    let now = seconds();
    let last = sample(door, "tidegate_last_tick_timestamp_seconds").unwrap();
    assert!(begun <= last && last <= now, "{begun}, {last}, {now}");
    assert!(sample(door, "tidegate_tick_duration_seconds_sum").unwrap() > 0.0);

    // What happens from now on.
    cloud.console_terminate(&three[0]);
    wait_sample(door, "tidegate_terminations_total{fleet=\"app\",reason=\"behind_our_back\"}", 1.0);
    wait_sample(door, "tidegate_launches_total{fleet=\"app\",result=\"launched\"}", 4.0);
    daemon.order(&["hold", "app", "4", "--for", "1h", "to be counted"]);
    wait_sample(door, "tidegate_override_active{fleet=\"app\",kind=\"hold\"}", 1.0);
    wait_sample(door, "tidegate_fleet_desired_instances{fleet=\"app\"}", 4.0);
    daemon.order(&["resume", "app"]);
    wait_sample(door, "tidegate_terminations_total{fleet=\"app\",reason=\"scale_in\"}", 1.0);
    assert_eq!(sample(door, "tidegate_override_active{fleet=\"app\",kind=\"hold\"}"), None);
    daemon.write_policy("fleets: [");
    wait_sample(door, "tidegate_policy_reload_success", 0.0);
    wait_sample(door, "tidegate_problems{fleet=\"\",kind=\"policy-refused\"}", 1.0);
    daemon.write_policy(&policy.replace("  job:\n", "  jobs:\n"));
    wait_sample(door, "tidegate_policy_reload_success", 1.0);
    // A fleet that leaves the policy leaves the metrics, and what is over is over.
    wait_for("the fleet is gone", || {
        let gone = sample(door, "tidegate_fleet_max_instances{fleet=\"job\"}").is_none();
        let over = sample(door, "tidegate_problems{fleet=\"\",kind=\"policy-refused\"}").is_none();
        (gone && over).then_some(())
    });

    let (kind, text) = scraped(door, None);
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for id in &three {
        assert!(!text.contains(id.as_str()), "an instance in a label: {id}");
    }
    let told = promtool(&["check", "metrics"], &text);
    assert!(told.status.success() && told.stderr.is_empty(), "{told:?}\n{text}");
    let open = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let (kind, text) = scraped(door, Some(open));
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE tidegate_build info"), "{text}");
}

/// Counted from the daemon's start: what the journal holds already is not counted again.
#[test]
fn a_restart_counts_nothing_twice() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start_with(&ANYWHERE);
    daemon.wait_in_service("app", 2);
    daemon.kill_9();
    std::fs::remove_file(daemon.folder.path().join("log")).unwrap();
    daemon.start_with(&ANYWHERE);
    let door = &door(&daemon);
    wait_sample(door, "tidegate_fleet_instances{fleet=\"app\",state=\"in_service\"}", 2.0);
    wait_sample(door, "tidegate_launches_total{fleet=\"app\",result=\"launched\"}", 0.0);
    assert_eq!(sample(door, "tidegate_boot_duration_seconds_count{fleet=\"app\"}"), None);
}

#[test]
fn ready_is_who_has_finished_a_tick() {
    let cloud = Cloud::new(Troubles::new());
    let proxy = Proxy::new(&cloud.endpoint, 1);
    let mut daemon = Daemon::new(&proxy.endpoint, &cloud.policy("classic", (1, 2)));
    proxy.on("DescribeInstances", Trick::Held, 1);
    daemon.start_with(&ANYWHERE);
    let door = &door(&daemon);
    wait_for("it asks", || (proxy.seen("DescribeInstances") > 0).then_some(()));
    let (ready, healthy) = (get(door, "/-/ready"), get(door, "/-/healthy"));
    assert_eq!((ready.status, ready.body.as_str()), (503, "no tick is finished yet\n"));
    assert_eq!(healthy.status, 200, "{healthy:?}");
    assert_eq!(sample(door, "tidegate_last_tick_timestamp_seconds"), None, "there was none");
    proxy.release();
    let ready =
        wait_for("it is ready", || Some(get(door, "/-/ready")).filter(|ready| ready.status == 200));
    assert!(ready.body.starts_with("the last tick was finished "), "{ready:?}");
}

/// Another site's page may make the browser of somebody on this host ask; it learns nothing, and
/// nobody changes anything.
#[test]
fn foreign_names_are_refused_and_nothing_can_be_changed() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 2)));
    daemon.start_with(&ANYWHERE);
    let door = &door(&daemon);
    daemon.wait_in_service("app", 1);
    let ask = |line: &str, host: &str| {
        raw(
            door,
            &format!("{line}\r\n{host}Origin: http://evil.example\r\nConnection: close\r\n\r\n"),
        )
    };
    let good = ask("GET /metrics HTTP/1.1", "Host: localhost:1234\r\n");
    assert_eq!(good.status, 200);
    for (line, host) in [
        ("GET /metrics HTTP/1.1", "Host: evil.example\r\n"),
        ("GET /-/healthy HTTP/1.1", "Host: evil.example:8490\r\n"),
        ("GET http://evil.example/metrics HTTP/1.1", "Host: localhost\r\n"),
        ("GET /metrics HTTP/1.0", ""),
    ] {
        let told = ask(line, host);
        assert_eq!(told.status, 421, "{line} {host}: {told:?}");
        assert!(told.body.starts_with("this is tidegate, which answers to localhost"), "{told:?}");
    }
    for answer in [&good, &ask("GET /metrics HTTP/1.1", "Host: evil.example\r\n")] {
        let header = |name: &str| answer.headers.get(name).map_or("", String::as_str);
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{answer:?}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let shared = answer.headers.keys().find(|name| name.starts_with("access-control"));
        assert_eq!(shared, None);
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/metrics", "/-/healthy", "/-/ready"] {
            let told = ask(&format!("{method} {path} HTTP/1.1"), "Host: localhost\r\n");
            assert_eq!(told.status, 405, "{method} {path}: {told:?}");
        }
        for path in ["/orders", "/reload", "/status"] {
            let told = ask(&format!("{method} {path} HTTP/1.1"), "Host: localhost\r\n");
            assert_eq!(told.status, 404, "the socket's doors are not here: {method} {path}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_told_and_stops_nothing() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 2)));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    daemon.start_with(&["--listen", &address]);
    daemon.wait_in_service("app", 1);
    let status = daemon.status().unwrap();
    let text = status["problems"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("no page and no metrics: failed to listen on {address}: ")));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn the_alerts_are_sound_and_come_when_they_should() {
    for args in [
        ["check", "rules", "deploy/prometheus/alerts.yaml"],
        ["test", "rules", "deploy/prometheus/alerts_test.yaml"],
    ] {
        let told = promtool(&args, "");
        assert!(told.status.success(), "{args:?}: {told:?}");
    }
}
