//! `tidegate test`: the built binary over files of tests.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::hang::output;
use crate::tidy::{read, root};

/// A folder of its own for each test, with the shipped policy in it.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-tests").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("policies.yaml"), read("policies.yaml")).unwrap();
    folder
}

fn tested(file: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    output(command.arg("test").arg(file).args(args))
}

fn run(folder: &Path, tests: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let file = folder.join("some.test.yaml");
    fs::write(&file, format!("policy: policies.yaml\ntests:\n{tests}")).unwrap();
    let output = tested(&file, args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_shipped_tests_pass_on_the_shipped_policy() {
    let output = tested(&root().join("policies.test.yaml"), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.ends_with("3 tests, 0 failed\n"), "{said}");
}

#[test]
fn a_wrong_expectation_fails_with_the_reason_for_what_was_found() {
    let folder = folder("wrong");
    let tests = "  - name: two at eight
    at: { 2026-06-08 08:01: { app: 2 } }
  - name: <a burst> & \"more\"
    fleet: job
    servers: 1
    waiting: 25x6
    expect: { 0m: 3, 5m: 3, 30m: { in_service: 1 } }
";
    let report = folder.join("report.xml");
    let (code, said, _) = run(&folder, tests, &["--junit", report.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "app at 2026-06-08 08:01: capacity 3, expected 2: `0 8 * * mon-fri` holds, line 46 of the file",
        "job at 0s: 2 desired, expected 3: 25 jobs waiting, over 20: add 1",
        "job at 30m: 3 in service, expected 1: ",
        "2 tests, 2 failed",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let xml = fs::read_to_string(&report).unwrap();
    assert!(xml.contains("<testsuite name=") && xml.contains("failures=\"2\""), "{xml}");
    assert!(xml.contains("name=\"&lt;a burst&gt; &amp; &quot;more&quot;\""), "{xml}");

    let (code, said, _) = run(&folder, tests, &["--run", "two", "--json"]);
    assert_eq!(code, Some(1));
    let line: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(
        (line["test"].as_str(), line["passed"].as_bool()),
        (Some("two at eight"), Some(false))
    );
}

#[test]
fn an_unreadable_queue_and_the_goal_of_another_policy() {
    let folder = folder("goal");
    let policy = read("policies.yaml");
    let thresholds =
        policy.split("      scale_out:").nth(1).unwrap().split("    drain").next().unwrap();
    let goal = policy.replace(
        &format!("      scale_out:{thresholds}"),
        "      start_within: 10m\n      job_takes: 5m\n      jobs_at_once: 1\n",
    );
    fs::write(folder.join("policies.yaml"), &goal).unwrap();
    let tests = "  - name: unread
    fleet: job
    servers: 1
    waiting: _x20
    expect: { 1h: { desired: 1, alive: 1 } }
  - name: many jobs, and a goal
    fleet: job
    servers: 1
    waiting: 0x2 40x6
    expect: { 0m: 1, 10m: 1, 15m: 3, 40m: { in_service: 3 } }
";
    let (code, said, told) = run(&folder, tests, &[]);
    assert_eq!(code, Some(0), "{said}{told}");
}

/// Runs these tests of a job fleet that lets servers go after 20 minutes, once up for 45.
fn tested_from_the_start(name: &str, tests: &str) {
    let folder = folder(name);
    let policy = "version: 1
fleets:
  job:
    launch: { template: job }
    min: 1
    max: 5
    drain: none
    minimum_uptime: 45m
    queue:
      read: { http: \"http://queue.test/\" }
      job_takes: 1m
      scale_out: { above: 20 }
      scale_in: { below: 5, after: 20m }
";
    fs::write(folder.join("policies.yaml"), policy).unwrap();
    let (code, said, told) = run(&folder, tests, &[]);
    assert_eq!(code, Some(0), "{said}{told}");
}

#[test]
fn test_reads_its_queue_from_the_start_on() {
    let tests = "  - name: the window begins with the first sample
    fleet: job
    servers: 3
    waiting: 0x30
    expect: { 0m: 3, 15m: 3, 19m: 3, 20m: 2, 25m: 1, 30m: 1 }
  - name: a first sample over the threshold is one step
    fleet: job
    start: 2026-03-02 09:30
    servers: 2
    waiting: 30 10x9
    expect: { 0m: { desired: 3, in_service: 2 }, 30m: { desired: 3, in_service: 3 } }
";
    tested_from_the_start("from-the-start", tests);
}

#[test]
fn test_has_servers_of_the_age_it_says() {
    let tests = "  - name: young servers stay for their minimum uptime
    fleet: job
    servers: 2
    age: 10m
    waiting: 0x30
    expect: { 20m: 2, 34m: 2, 36m: 1 }
  - name: old ones go after the window
    fleet: job
    servers: 2
    age: 50m
    waiting: 0x30
    expect: { 19m: 2, 20m: 1 }
";
    tested_from_the_start("ages", tests);
}

#[test]
fn slips_are_named_with_their_place_and_remedy() {
    let folder = folder("slips");
    let slips = [
        (
            "  - { name: a, at: { 2026-06-08 08:01: { web: 2 } } }\n",
            "no fleet \"web\" in the policy; it has app, job",
        ),
        ("  - { name: a, at: { 08:01: { app: 2 } } }\n", "write `2026-06-09 14:02`"),
        ("  - { name: a }\n", "it asks nothing"),
        ("  - { name: a, fleet: app, waiting: 1, expect: { 1m: 1 } }\n", "fleet app has no queue"),
        ("  - { name: a, fleet: job, waiting: 1y, expect: { 1m: 1 } }\n", "`1y` is no sample"),
        (
            "  - { name: a, fleet: job, waiting: 1, expect: { 5: 1 } }\n",
            "`5` is a number without a unit",
        ),
        (
            "  - { name: a, fleet: job, wating: 1, expect: { 5m: 1 } }\n",
            "some.test.yaml:3:28: unknown key `wating`: did you mean `waiting`?",
        ),
        ("  - { at: { 2026-06-08 08:01: { app: 2 } } }\n", "`name` is missing"),
        ("  - { name: a, name: b }\n", "`name` is there twice"),
        (
            "  - { name: a, at: { 2026-06-08 08:01: { app: two } } }\n",
            "has a value of the wrong kind",
        ),
        (
            "  - { name: a, fleet: job, waiting: 1, expect: { 5m: { desire: 1 } } }\n",
            "has a value of the wrong kind",
        ),
        ("  - { name: a, at: [ }\n", "not valid YAML: check indentation"),
        ("  many\n", "has a value of the wrong kind"),
        (
            "  - { name: a, fleet: job, age: 3m, waiting: 1, expect: { 5m: 1 } }\n",
            "age: servers of 3m are not in service yet, at a `boot` of 3m: write 4m or more",
        ),
        (
            "  - { name: a, age: 1h, at: { 2026-06-08 08:01: { app: 2 } } }\n",
            "with `at` only the calendar is asked",
        ),
        ("  []\n", "there are no tests"),
    ];
    for (tests, named) in slips {
        let (code, said, told) = run(&folder, tests, &[]);
        assert_eq!(code, Some(2), "{tests}: {said}{told}");
        assert!(told.contains(named) && told.contains("some.test.yaml"), "{tests}: {told}");
        for library in ["field", "variant", "untagged", "expected one of", "invalid type"] {
            assert!(!told.contains(library), "{tests}: {told}");
        }
    }
    let (code, _, told) =
        run(&folder, "  - { name: a, at: { 2026-06-08 08:01: { app: 3 } } }\n", &["--run", "b"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("no test has a name that contains \"b\""), "{told}");
}

#[test]
fn jobs_at_risk_fail_check_and_stop_no_other_command() {
    let folder = folder("risk");
    let policy = read("policies.yaml");
    let drain = policy.split("    drain:").nth(1).unwrap().split("    minimum").next().unwrap();
    let policy = policy.replace(&format!("    drain:{drain}"), "");
    let file = folder.join("policies.yaml");
    fs::write(&file, &policy).unwrap();
    let told = "error: jobs are at risk when fleet `job` scales in";

    let checked = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = output(command.args(args).arg("--offline").arg(&file));
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = checked(&["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(told) && said.contains("or write `drain: none`"), "{said}");
    assert!(said.contains("policy   ok") && said.contains("1 error, 1 warning"), "{said}");
    let (code, said) = checked(&["--json", "check"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["valid"].as_bool()), (Some(1), Some(false)), "{said}");
    assert!(said["digest"].is_string(), "the daemon runs it: {said}");

    let tests = "  - { name: eight, at: { 2026-06-08 08:01: { app: 3 } } }\n";
    let (code, said, warned) = run(&folder, tests, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(warned.contains(told), "{warned}");
    let accepted = policy.replace("    minimum_uptime", "    drain: none\n    minimum_uptime");
    fs::write(&file, accepted).unwrap();
    let (_, _, warned) = run(&folder, tests, &[]);
    assert_eq!(warned, "");
}

#[test]
fn check_says_what_a_drain_requires_of_launches() {
    let file = root().join("policies.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = output(command.args(["check", "--offline"]).arg(file));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let asked = "drain    ok       job: launches ask for InstanceMetadataTags=enabled and InstanceInitiatedShutdownBehavior=terminate\n";
    assert!(said.contains(asked), "{said}");
}
