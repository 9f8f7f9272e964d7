//! The command line as a person or a script meets it: closed pipes, missing daemons, slips.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::support::binary::Daemon;

const POLICY: &str = include_str!("../../policies.yaml");

/// Nothing listens there, and nothing is asked.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_word() {
    let daemon = Daemon::new(NOWHERE, POLICY);
    for args in [&["check", "--offline"][..], &["demo"], &["demo", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = daemon.command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
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
    let own = POLICY.replace("min: 0", "min: 1");
    assert_ne!(own, POLICY);
    let daemon = Daemon::new(NOWHERE, &own);
    let said = daemon.order(&["demo"]);
    assert!(said.contains("policies.yaml, on an imagined EC2"), "{said}");
    assert!(said.contains("The day in short"), "{said}");
}

/// `tidegate decide`: a line is answered before the next is written, and a bad one does not end it.
#[test]
fn the_filter_answers_line_by_line() {
    let goal = "version: 1\nfleets:\n  job:\n    launch: { template: job }\n    max: 5\n    billing: hour\n    queue: { read: { http: 'http://127.0.0.1:9/' }, start_within: 15m, jobs_at_once: 2 }\n";
    let daemon = Daemon::new(NOWHERE, goal);
    let mut command = daemon.command(&["decide", "--fleet", "job"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = BufReader::new(stdout).lines();
    let mut ask = |line: &str| -> serde_json::Value {
        writeln!(stdin, "{line}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    let idle = ask(r#"{"now":"2026-03-02T08:00:00Z","queue":0,"instances":[]}"#);
    assert_eq!((&idle["desired"], &idle["launch"]), (&0.into(), &0.into()), "{idle}");
    for bad in [
        "{",
        "7",
        r#"{"now":"today","queue":0,"instances":[]}"#,
        r#"{"now":"2026-03-02T08:05:00Z","instances":[]}"#,
        r#"{"now":"2026-03-02T08:05:00Z","queue":-1,"instances":[]}"#,
    ] {
        let answer = ask(bad);
        assert!(answer["error"].is_string(), "{bad}: {answer}");
    }
    let busy = ask(
        r#"{"now":"2026-03-02T08:05:00Z","queue":37,"running":0,"arrived":37,"completed":0,"instances":[]}"#,
    );
    assert_eq!(busy["launch"], 5, "{busy}");
    assert_eq!(busy["because"][0]["rule"], "goal_missed");
    assert_eq!(busy["because"][0]["waiting"], 37);
    assert_eq!(busy["next_look"], "2026-03-02T08:10:00Z");
    let gap = ask(
        r#"{"now":"2026-03-02T08:59:00Z","queue":null,"instances":[{"id":"i-1","launched_at":"2026-03-02T08:03:00Z","state":"in_service","busy":0}]}"#,
    );
    assert_eq!(gap["terminate"], serde_json::json!([]), "{gap}");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
