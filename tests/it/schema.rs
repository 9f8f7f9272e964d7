//! The JSON Schema of the policy file, judged by a validator that others wrote: it takes what
//! `check` takes, and sees what an editor should see.
#![expect(clippy::panic, reason = "a file that cannot be read fails the test")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::load;
use tidegate_engine::policy::schema::schema;

use crate::hang::output_of;
use crate::tidy::{read, root};

/// Tells of each line of JSON on stdin, in a line of its own, what is wrong with it.
const VALIDATOR: &str = r"
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
judge = jsonschema.Draft7Validator(schema)
for line in sys.stdin:
    print('; '.join(sorted(e.json_path + ': ' + e.message for e in judge.iter_errors(json.loads(line)))))
";

const SHIPPED: &str = "deploy/policies.schema.json";

fn judged(files: &[String]) -> Vec<String> {
    let program = std::env::var("TIDEGATE_PYTHON")
        .unwrap_or_else(|_| panic!("TIDEGATE_PYTHON names the venv's; run the tests by tests/run"));
    let mut command = Command::new(program);
    command.arg("-c").arg(VALIDATOR).arg(root().join(SHIPPED));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = String::new();
    for file in files {
        let value: Value = serde_yaml::from_str(file).unwrap_or_else(|why| panic!("{why}\n{file}"));
        lines.push_str(&format!("{value}\n"));
    }
    // The answers are short enough to wait in the pipe.
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = output_of(child);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn the_shipped_schema_is_the_one_that_is_printed() {
    let printed = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(root().join(SHIPPED), &printed).unwrap();
    }
    assert!(read(SHIPPED) == printed, "{SHIPPED} is old: TIDEGATE_BLESS=1 tests/run schema");
}

/// The policies that this repository has: the example, those of scenarios, and of the reference.
fn policies() -> Vec<String> {
    let mut found = vec![read("policies.yaml")];
    let files = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    for path in files("tests/scenarios") {
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let scenario: Value = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            found.push(scenario["policy"].as_str().unwrap().to_owned());
        }
    }
    // Of what the fuzzers begin with, what is good.
    for path in files("fuzz/corpus/policy") {
        found.extend(fs::read_to_string(path).ok());
    }
    let now: Timestamp = "2026-03-09T12:00:00Z".parse().unwrap();
    found.retain(|text| load("policies.yaml", text, now).policy.is_some());
    found
}

#[test]
fn what_check_takes_the_schema_takes() {
    let policies = policies();
    assert!(policies.len() > 20, "{}", policies.len());
    for (policy, verdict) in policies.iter().zip(judged(&policies)) {
        assert!(verdict.is_empty(), "{verdict}\n{policy}");
    }
}

#[test]
fn what_is_misspelt_or_of_the_wrong_form_is_seen_in_the_editor() {
    let base = "version: 1\nfleets:\n  app:\n    max: 3\n";
    let cases = [
        ("", ""),
        ("    mni: 2\n", "mni"),
        ("    minimum_uptime: 5\n", "5 is not of type 'string'"),
        ("    minimum_uptime: 5 mins\n", "5 mins"),
        ("    min: two\n", "two"),
        ("    billing: minute\n", "minute"),
        ("    launch: { image: ami-1, template: web }\n", "should not be valid"),
        ("    schedule: [{ cron: \"0 8 * *\", capacity: 1 }]\n", "0 8 * *"),
        ("    schedule: [{ capacity: 1 }]\n", "schedule"),
        ("    queue: { read: { url: \"http://q/\" } }\n", "url"),
        ("    queue: { read: { json: { waiting: /n, busy: /b } } }\n", ""),
        ("    queue: { read: { json: { waiting: n } } }\n", "json"),
        ("    queue: { read: { json: { wating: /n } } }\n", "json"),
        ("    load_balancer: { classic: a, drain: 1m }\n", ""),
        (
            "    load_balancer: { classic: a, drain: 1m, deregistration_delay: 1m }\n",
            "should not be valid",
        ),
        ("    drain: none\n", ""),
        ("    drain: { via: tag, deadline: 30m, cancel: false }\n", ""),
        ("    drain: { via: { http: \"https://q/{instance_id}\" }, deadline: 30m }\n", ""),
        ("    drain: { via: tags, deadline: 30m }\n", "drain"),
        ("    drain: never\n", "never"),
        ("  App: { max: 1 }\n", "App"),
        ("notify: { chat: { slack: \"https://hooks.example/x\" } }\n", "hooks.example"),
        ("notify: { chat: { slack: secret:s, send: [problems] } }\n", "problems"),
        ("prices: { t3.small: 0.02 }\n", ""),
        ("prices: { t3.small: $0.02 }\n", "$0.02"),
        ("prices: { t3.small: 0 }\n", "prices"),
        ("prices: { t3.small: 2000 }\n", "2000"),
        ("prices: { t3small: 0.02 }\n", "t3small"),
    ];
    let files: Vec<String> = cases.iter().map(|(more, _)| format!("{base}{more}")).collect();
    for ((more, named), verdict) in cases.iter().zip(judged(&files)) {
        let as_expected =
            if named.is_empty() { verdict.is_empty() } else { verdict.contains(named) };
        assert!(as_expected, "{more}: {verdict}");
    }
}
