//! The command line as a person or a script meets it: closed pipes, missing daemons, slips.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::binary::Daemon;
use crate::support::{HANG, output, output_of};

const POLICY: &str = include_str!("../../policies.yaml");

/// Nothing listens there, and nothing is asked.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_word() {
    let daemon = Daemon::new(NOWHERE, POLICY);
    for args in [&["check", "--offline"][..], &["demo"], &["demo", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = daemon.command(args);
        let output = output_of(command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(output.status.code(), Some(141), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn without_a_daemon_one_is_told_how_to_start_it() {
    let daemon = Daemon::new(NOWHERE, POLICY);
    let output = daemon.ask(&["status"]);
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no daemon listens at"), "{said}");
    assert!(said.contains("systemctl start tidegate"), "{said}");
    assert!(!said.contains("http"), "no noise of the client: {said}");
    let output = daemon.ask(&["--json", "status"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(said["error"].as_str().unwrap().contains("no daemon listens"), "{said}");
}

/// A user who may not look into the journal is told so, and not that there is none.
#[test]
fn a_journal_that_is_not_open_is_not_told_as_absent() {
    let daemon = Daemon::new(NOWHERE, POLICY);
    let file = daemon.state().join("state.db");
    std::fs::create_dir(daemon.state()).unwrap();
    std::fs::write(&file, "").unwrap();
    let close = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for (path, open) in [(daemon.state(), 0o700), (file, 0o600)] {
        close(&path, 0);
        for args in [&["history"][..], &["plan"], &["shadow"], &["explain", "app", "--at", "now"]] {
            let (said, told) = without_roots_rights(&daemon.command(args));
            assert!(
                told.contains("not open to this user") && told.contains("ask as root"),
                "{args:?}: {told}"
            );
            assert_eq!(said, "", "{args:?}");
        }
        close(&path, open);
    }
}

/// What a command says where closed files are closed to root too.
fn without_roots_rights(command: &Command) -> (String, String) {
    let mut bound = Command::new("setpriv");
    bound.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]);
    bound.arg(command.get_program()).args(command.get_args()).env_clear();
    bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = output(&mut bound);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn slips_in_orders_get_their_remedy() {
    let daemon = Daemon::new(NOWHERE, POLICY);
    let slips = [
        (&["hold", "app", "five", "why", "--for", "2h"][..], "in figures"),
        (&["hold", "app", "3", "why", "--for", "400d"], "the longest is a year"),
        (&["hold", "app", "3", "why", "--for", "90d"], "the longest is 31d"),
        (&["hold", "app", "3", "why", "--for", "2 hours"], "write `2h`"),
        (&["drill", "--start", "yesterday"], "2026-03-02T13:50:00Z"),
    ];
    for (args, remedy) in slips {
        let output = daemon.ask(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(remedy), "{args:?}: {said}");
    }
}

#[test]
fn the_demo_takes_ones_own_policy() {
    let own = POLICY.replace("min: 1", "min: 0");
    assert_ne!(own, POLICY);
    let daemon = Daemon::new(NOWHERE, &own);
    let said = daemon.order(&["demo"]);
    assert!(said.contains("policies.yaml, on an imagined EC2"), "{said}");
    assert!(said.contains("The day in short"), "{said}");
}

/// `tidegate decide`: a line is answered before the next is written, and a bad one does not end it.
#[test]
fn the_filter_answers_line_by_line() {
    let goal = "version: 1\nfleets:\n  job:\n    launch: { template: job }\n    max: 5\n    billing: hour\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://127.0.0.1:9/' }, start_within: 15m, jobs_at_once: 2 }\n";
    let daemon = Daemon::new(NOWHERE, goal);
    let mut command = daemon.command(&["decide", "--fleet", "job"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // Read on a thread of its own, so that an answer that never comes fails.
    let (told, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            told.send(line).ok();
        }
    });
    let mut ask = |line: &str| -> serde_json::Value {
        writeln!(stdin, "{line}").unwrap();
        serde_json::from_str(&answers.recv_timeout(HANG).unwrap()).unwrap()
    };
    let idle = ask(r#"{"now":"2026-03-02T08:00:00Z","queue":0,"instances":[]}"#);
    assert_eq!((&idle["desired"], &idle["launch"]), (&0.into(), &0.into()), "{idle}");
    let now = r#""now":"2026-03-02T08:05:00Z""#;
    for (bad, error) in [
        ("{".to_owned(), "not JSON from column 1 on: write one object a line"),
        ("7".to_owned(), "7 is no object: write {\"now\": …}"),
        (
            r#"{"now":"today","queue":0,"instances":[]}"#.to_owned(),
            "`now` cannot be \"today\": write an instant like \"2026-03-02T08:00:00Z\"",
        ),
        (
            format!(r#"{{{now},"instances":[]}}"#),
            "`queue` is missing: give the number of waiting jobs, or null if it was not readable",
        ),
        (
            format!(r#"{{{now},"queue":-1,"instances":[]}}"#),
            "`queue` cannot be -1: write a whole number, 0 or more",
        ),
        (
            format!(r#"{{{now},"queue":0,"instances":null}}"#),
            "`instances` cannot be null: write a list of objects, or [] for none",
        ),
        (
            format!(
                r#"{{{now},"queue":0,"instances":[{{"id":"i-1","launched_at":"2026-03-02T08:00:00Z","state":"up"}}]}}"#
            ),
            "instance 1: `state` cannot be \"up\": write \"booting\", \"in_service\", \"unhealthy\" or \"draining\"",
        ),
        (
            format!(r#"{{{now},"queue":0,"oldest_wait_s":-3,"instances":[]}}"#),
            "`oldest_wait_s` is no time to have waited: write seconds, 0 or more",
        ),
    ] {
        let answer = ask(&bad);
        assert_eq!(answer["error"].as_str(), Some(error), "{bad}");
    }
    let busy = ask(
        r#"{"now":"2026-03-02T08:05:00Z","queue":37,"running":0,"arrived":37,"completed":0,"instances":[]}"#,
    );
    assert_eq!(busy["launch"], 5, "{busy}");
    assert_eq!(busy["because"][0]["rule"], "goal_missed");
    assert_eq!(busy["because"][0]["waiting"], 37);
    assert_eq!(busy["next_look"], "2026-03-02T08:06:00Z");
    let gap = ask(
        r#"{"now":"2026-03-02T08:59:00Z","queue":null,"instances":[{"id":"i-1","launched_at":"2026-03-02T08:03:00Z","state":"in_service","busy":0}]}"#,
    );
    assert_eq!(gap["terminate"], serde_json::json!([]), "{gap}");
    drop(stdin);
    assert_eq!(output_of(child).status.code(), Some(0));
}

const GOAL: &str = "version: 1\nfleets:\n  job:\n    launch: { template: job, types: [t3.small] }\n    max: 10\n    billing: second\n    queue: { read: { http: 'http://127.0.0.1:9/', json: /waiting }, start_within: 15m, job_takes: 2m, jobs_at_once: 2 }\n";

/// Two hundred jobs of two minutes within an hour.
fn trace(daemon: &Daemon) -> String {
    let mut text = "submit_s,runtime_s\n".to_owned();
    for n in 0..200 {
        text += &format!("{},120\n", n * 18);
    }
    let path = daemon.folder.path().join("load.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_backtest_says_what_it_cost_and_who_waited() {
    let daemon = Daemon::new(NOWHERE, GOAL);
    let trace = trace(&daemon);
    let told = daemon.order(&["--json", "backtest", "--trace", &trace]);
    let said: serde_json::Value = serde_json::from_str(&told).unwrap();
    let row = &said["policies"][0];
    assert_eq!(row["jobs"]["started"], 200, "{row}");
    assert_eq!(row["jobs"]["unfinished"], 0);
    assert_eq!(row["jobs"]["interrupted"], 0, "none is interrupted that is known to run");
    assert_eq!(row["jobs"]["lost"], 0);
    assert_eq!(row["assumed"]["queue_tells_by"], "policy");
    assert_eq!(row["assumed"]["interrupted_jobs"], "4h");
    assert!(row["jobs"]["waited_over"].as_f64().unwrap() <= 0.05, "{row}");
    // The work itself: two hundred times two minutes, two at once.
    let server_seconds = row["server_seconds"].as_u64().unwrap();
    assert!((12_000..36_000).contains(&server_seconds), "{row}");
    let dollars = row["cost_by_second_dollars"].as_f64().unwrap();
    let hours = f64::from(u32::try_from(server_seconds).unwrap()) / 3600.0;
    assert!((dollars - hours * 0.0208).abs() < 0.01, "{row}");
    assert!(row["cost_by_hour_dollars"].as_f64().unwrap() >= dollars);
    assert!(row["worst"]["decision"].as_str().unwrap().contains("waiting"), "{row}");
    assert_eq!(daemon.order(&["--json", "backtest", "--trace", &trace]), told, "the same again");
}

#[test]
fn backtest_names_its_assumptions_first() {
    let daemon = Daemon::new(NOWHERE, GOAL);
    let trace = trace(&daemon);
    let plain = daemon.folder.path().join("plain.yaml").display().to_string();
    std::fs::write(&plain, GOAL.replace(", json: /waiting", "")).unwrap();
    let own = daemon.policy().display().to_string();
    let first = |policy: &str, more: &[&str]| {
        let args = [&["backtest", "--trace", &trace, "--policy", policy], more].concat();
        let said = daemon.order(&args);
        said.lines().take(2).collect::<Vec<_>>().join("\n")
    };
    let json = "it answers JSON with oldest_seconds, running, arrived, completed and busy.\n";
    assert!(first(&own, &[]).contains(json));
    let back =
        "a job whose server ends: its lock times out 4h after its start, and it waits again.";
    assert!(first(&plain, &[]).ends_with(back));
    assert!(first(&plain, &[]).contains("a plain number, its length alone."));
    let busy = first(&plain, &["--assume", "busy", "--interrupted", "lost"]);
    assert!(busy.starts_with("Assumed beyond the policy: the queue tells its length with busy."));
    assert!(busy.ends_with("it is lost, and counts as late."), "{busy}");
    let short = "Assumed short of the policy: the queue tells its length alone.";
    for none in [&["--length-only"][..], &["--assume", "none"]] {
        assert!(first(&own, none).starts_with(short));
    }
    let args = ["--json", "backtest", "--trace", &trace, "--policy", &plain];
    let told = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&daemon.order(&[&args, more].concat())).unwrap()
    };
    let assumed = |said: serde_json::Value| said["policies"][0]["assumed"].clone();
    assert_eq!(assumed(told(&[]))["queue_tells"], serde_json::json!([]));
    let beyond = assumed(told(&["--assume", "running"]));
    assert_eq!(beyond["queue_tells"], serde_json::json!(["running"]));
    assert_eq!(beyond["beyond_policy"], true);
}

#[test]
fn backtests_compare_policies_and_fail_on_asking() {
    let daemon = Daemon::new(NOWHERE, GOAL);
    let trace = trace(&daemon);
    let slow = daemon.folder.path().join("slow.yaml").display().to_string();
    std::fs::write(&slow, GOAL.replace("max: 10", "max: 1")).unwrap();
    let own = daemon.policy().display().to_string();
    let both = ["backtest", "--trace", &trace, "--policy", &own, "--policy", &slow];
    let said = daemon.order(&both);
    assert!(said.contains("policies.yaml") && said.contains("slow.yaml"), "{said}");
    let strict = [&both[..], &["--fail-if", "waited_over > 5%"]].concat();
    assert_eq!(daemon.ask(&strict).status.code(), Some(3));
    let one = ["backtest", "--trace", &trace, "--policy", &own, "--fail-if", "waited_over > 5%"];
    assert_eq!(daemon.ask(&one).status.code(), Some(0));
}

#[test]
fn a_backtest_that_cannot_be_run_says_why() {
    let daemon = Daemon::new(NOWHERE, GOAL);
    let file = |name: &str, text: &str| {
        let path = daemon.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let lengths =
        file("lengths.csv", "time,waiting\n2026-03-02T08:00:00Z,40\n2026-03-02T10:00:00Z,0\n");
    let said = daemon.order(&["--json", "backtest", "--trace", &lengths]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["policies"][0]["jobs"], serde_json::Value::Null);
    assert!(said["policies"][0]["launches"].as_u64().unwrap() > 0, "{said}");
    let torn = file("torn.csv", "submit_s,runtime_s\n1,2\n3\n");
    let good = trace(&daemon);
    let slips: [(&[&str], &str, i32); 5] = [
        (&["--trace", &torn], "torn.csv: line 3: column 2 is missing", 1),
        (&["--trace", "/nowhere.csv"], "/nowhere.csv", 1),
        (&["--trace", &good, "--fleet", "web"], "no fleet `web`; with a queue: job", 2),
        (&["--trace", &good, "--fail-if", "cost > 5"], "waited_over > 5%", 2),
        (&["--trace", &lengths, "--fail-if", "waited_over > 5%"], "--fail-if needs jobs", 2),
    ];
    for (args, remedy, code) in slips {
        let output = daemon.ask(&[&["backtest"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(remedy), "{args:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}
