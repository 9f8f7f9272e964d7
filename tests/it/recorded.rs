//! A recorded day, replayed: the same decisions come out of it, and a backtest of it comes close to
//! what was. `tests/recorded/day.sql` is what a daemon wrote down in its day, and a regression test
//! of the rules; `TIDEGATE_BLESS=1` records another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use tidegate::sim::Simulation;
use tidegate::sim::faults::Trouble;
use tidegate::sim::load::{Interruption, Load};
use tidegate::sim::world::Settings;
use tidegate::store::{self, DATABASE, StateDir};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::load;

use crate::hang::output;

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
mode: act
tick: 1m
defaults:
  launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
fleets:
  job:
    min: 0
    max: 4
    schedule:
      - { cron: "0 8 * * mon-fri", capacity: 1 }
      - { cron: "0 18 * * mon-fri", capacity: 0 }
    drain: { via: tag, deadline: 30m }
    queue:
      read: { http: "http://q.example/job" }
      scale_out: { above: 20, add: 2 }
      scale_in: { below: 5, remove: 1, after: 10m }
  work:
    min: 0
    max: 5
    billing: second
    queue:
      read: { http: "http://q.example/work", json: /waiting }
      every: 5m
      start_within: 15m
      jobs_at_once: 2
"#;

/// Monday 06:00 in Winnipeg.
fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn end() -> Timestamp {
    time::after(start(), Duration::from_hours(24))
}

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// A day of the daemon's spine over the imagined cloud, into a state directory.
async fn record(dir: &Path, end: Timestamp) {
    let lock = StateDir::lock(dir).unwrap();
    let store = Arc::new(store::open(&lock, start()).unwrap().store);
    let policy = load("policies.yaml", POLICY, start()).policy.expect("the policy is valid");
    let mut per_hour = vec![10.0; 24];
    per_hour[2..12]
        .copy_from_slice(&[60.0, 150.0, 90.0, 40.0, 20.0, 200.0, 120.0, 60.0, 0.0, 30.0]);
    let load = |minutes| Load {
        per_hour: per_hour.clone(),
        start: start(),
        job_takes: Duration::from_mins(minutes),
        jobs_at_once: 2,
        interruption: Interruption::default(),
    };
    let loads = ["job", "work"].map(|name| (FleetName::new(name).unwrap(), load(2)));
    let troubles = [Trouble::LostReplies, Trouble::BlindSpots].into();
    let settings = Settings { seed: 3, troubles, ..Settings::default() };
    let mut simulation =
        Simulation::new(policy.clone(), settings, loads.into(), store, start()).await.unwrap();
    simulation.journal.in_force(&policy, start()).await.unwrap();
    while simulation.now() < end {
        let record = simulation.tick().await.unwrap();
        simulation.advance(record.next);
    }
}

/// What the tables hold, as statements.
fn dump(dir: &Path) -> String {
    let database = Connection::open(dir.join(DATABASE)).unwrap();
    let mut text = "-- A day as the daemon recorded it. See tests/it/recorded.rs.\n".to_owned();
    for table in ["policies", "readings", "decisions", "servers", "events"] {
        // The recorded day stays one of version 0.1.0, which stored no reasons.
        let columns = match table {
            "decisions" => "fleet, at, capacity, desired, target, rules",
            _ => "*",
        };
        let sql = format!("SELECT {columns} FROM {table} ORDER BY 1, 2");
        let mut query = database.prepare(&sql).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..columns)
                .map(|nth| match row.get_ref(nth).unwrap() {
                    // No table has blobs.
                    ValueRef::Null | ValueRef::Blob(_) => "NULL".to_owned(),
                    ValueRef::Integer(n) => n.to_string(),
                    ValueRef::Text(text) => {
                        format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''"))
                    }
                    ValueRef::Real(n) => n.to_string(),
                })
                .collect();
            writeln!(text, "INSERT INTO {table} VALUES ({});", cells.join(", ")).unwrap();
        }
    }
    text
}

/// The schema of version 0.1.0.
const OLD_SCHEMA: [&str; 8] = [
    include_str!("../../src/store/migrations/0001_journal.sql"),
    include_str!("../../src/store/migrations/0002_work.sql"),
    include_str!("../../src/store/migrations/0003_decisions.sql"),
    include_str!("../../src/store/migrations/0004_shadow.sql"),
    include_str!("../../src/store/migrations/0005_events_by_id.sql"),
    include_str!("../../src/store/migrations/0006_account.sql"),
    include_str!("../../src/store/migrations/0007_at_once.sql"),
    include_str!("../../src/store/migrations/0008_begun.sql"),
];

/// A state directory of version 0.1.0 with what was recorded, as the next start finds it.
fn restore(dir: &Path, text: &str) {
    let lock = StateDir::lock(dir).unwrap();
    let fresh = !dir.join(DATABASE).exists();
    let database = Connection::open(dir.join(DATABASE)).unwrap();
    if fresh {
        database.execute_batch(&OLD_SCHEMA.concat()).unwrap();
        database.pragma_update(None, "user_version", 8).unwrap();
    }
    database.execute_batch(text).unwrap();
    drop(database);
    assert!(store::open(&lock, end()).unwrap().rebuilt.is_none());
}

fn backtest(dir: &Path, fleet: &str, more: &[&str]) -> String {
    let output = output(
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .env("AWS_REGION", "us-east-1")
            .args(["backtest", "--last", "1d", "--until", &end().to_string(), "--fleet", fleet])
            .arg("--state-dir")
            .arg(dir)
            .args(more),
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_recorded_day_replays_to_the_same_decisions() {
    let (file, told) = (recorded().join("day.sql"), recorded().join("day.out"));
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    if bless {
        let folder = Folder::new("recording");
        record(&folder.0, end()).await;
        std::fs::create_dir_all(recorded()).unwrap();
        std::fs::write(&file, dump(&folder.0)).unwrap();
    }
    let folder = Folder::new("recorded");
    restore(&folder.0, &std::fs::read_to_string(&file).unwrap());
    let said = ["job", "work"].map(|fleet| backtest(&folder.0, fleet, &[])).join("\n");
    if bless {
        std::fs::write(&told, &said).unwrap();
    }
    assert_eq!(said, std::fs::read_to_string(&told).unwrap());
    for fleet in ["job", "work"] {
        let answer: Value = serde_json::from_str(&backtest(&folder.0, fleet, &["--json"])).unwrap();
        let past = &answer["recorded"];
        assert!(past["decisions"].as_u64().unwrap() > 200, "{past}");
        assert_eq!(past["decisions"], past["decisions_same"], "{past}");
    }
}

#[test]
fn a_page_of_the_recorded_past_says_how_close_it_comes() {
    let folder = Folder::new("drawn");
    restore(&folder.0, &std::fs::read_to_string(recorded().join("day.sql")).unwrap());
    let page = folder.0.join("page.html").display().to_string();
    let answer = backtest(&folder.0, "work", &["--json", "--html", &page]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    for key in ["really", "backtest"] {
        let launches = &answer["recorded"][key]["launches"];
        assert!(page.contains(&format!("<td>{launches}</td>")), "{key}: {answer}");
    }
    let [same, looks] = ["decisions_same", "decisions"].map(|key| &answer["recorded"][key]);
    assert!(page.contains(&format!("{same} of {looks} decisions are the same")), "{answer}");
    assert!(page.contains("as recorded, 2026-03-02 06:00") && page.contains("as it ran"));
}

/// Runs the built binary on a state directory; its exit code and what it said on both ends.
fn ask(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        output(Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).arg("--state-dir").arg(dir));
    let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    (output.status.code(), out, err)
}

/// What a person asks of the day, and what is answered: `tests/recorded/asked.out`.
#[test]
fn the_recorded_day_is_told_and_explained() {
    let folder = Folder::new("asked");
    restore(&folder.0, &std::fs::read_to_string(recorded().join("day.sql")).unwrap());
    let questions: [&[&str]; 6] = [
        &["history", "job", "--since", "2026-03-02 14:00"],
        &["history", "job", "--since", "2026-03-03 03:50", "--why-not"],
        &["explain", "job", "--at", "2026-03-02 09:00"],
        &["explain", "job", "--at", "2026-03-02 14:51"],
        &["explain", "work", "--at", "2026-03-02 11:00"],
        &["explain", "job", "--at", "2026-03-02 14:51", "--json"],
    ];
    let mut told = String::new();
    for question in questions {
        let (code, out, err) = ask(&folder.0, question);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{question:?}");
        writeln!(told, "$ tidegate {}\n{out}", question.join(" ")).unwrap();
    }
    let file = recorded().join("asked.out");
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&file, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&file).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_reasons_are_explained_as_they_were() {
    let folder = Folder::new("reasons");
    record(&folder.0, time::after(start(), Duration::from_hours(3))).await;
    let (_, out, _) = ask(&folder.0, &["history", "--since", "2026-03-02", "--why-not", "--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decisions: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "decision").collect();
    assert!(decisions.len() > 10, "{}", decisions.len());
    for decision in decisions.iter().step_by(5) {
        let reasons = decision["because"].as_array().unwrap();
        let texts: Vec<&str> = reasons.iter().map(|why| why["text"].as_str().unwrap()).collect();
        let text = decision["text"].as_str().unwrap();
        assert!(text.ends_with(&texts.join("; ")), "{decision}");
        let id = decision["decision"].as_str().unwrap();
        let (_, out, _) = ask(&folder.0, &["explain", "--decision", id, "--json"]);
        let explained: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(explained["reckoned_again"], false, "{explained}");
        let because = explained["because"].as_array().unwrap();
        assert_eq!(because.len(), reasons.len(), "{explained}");
        for (told, stored) in because.iter().zip(reasons) {
            assert_eq!(told["text"], stored["text"], "{explained}");
        }
        let rules: Vec<&Value> = reasons.iter().map(|why| &why["rule"]).collect();
        assert_eq!(explained["rules"].as_array().unwrap().iter().collect::<Vec<_>>(), rules);
    }
    let policy = lines.iter().find(|line| line["kind"] != "decision");
    assert!(policy.is_none_or(|line| line["because"].is_null()), "{policy:?}");
}

#[test]
fn every_decision_of_the_history_can_be_asked_for() {
    let folder = Folder::new("each");
    restore(&folder.0, &std::fs::read_to_string(recorded().join("day.sql")).unwrap());
    let (_, out, _) = ask(&folder.0, &["history", "--since", "2026-03-02", "--why-not", "--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decisions: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "decision").collect();
    assert!(decisions.len() > 30, "{}", decisions.len());
    for decision in decisions.iter().step_by(7) {
        let id = decision["decision"].as_str().unwrap();
        let (code, out, err) = ask(&folder.0, &["explain", "--decision", id, "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let explained: Value = serde_json::from_str(&out).unwrap();
        for key in ["at", "fleet", "from", "to"] {
            assert_eq!(explained[key], decision[key], "{id}");
        }
        let rules = explained["rules"].as_array().unwrap();
        let because = explained["because"].as_array().unwrap();
        if rules.iter().any(|rule| *rule == "in_doubt") {
            // How EC2 looked then is not recorded, so the words of then are all there is.
            assert_eq!(because.len(), 1, "{explained}");
            continue;
        }
        assert_eq!(because.len(), rules.len(), "a reason for each rule: {explained}");
    }
}

#[test]
fn what_cannot_be_explained_says_so() {
    let folder = Folder::new("unasked");
    let questions: [(&[&str], i32, &str); 6] = [
        (&["history"], 1, "there is no journal at"),
        (&["explain", "job", "--at", "09:00"], 1, "there is no journal at"),
        (&["explain", "job", "--at", "soon"], 2, "write a moment as"),
        (&["explain", "--decision", "job"], 2, "no decision's id"),
        (&["explain", "Job", "--at", "09:00"], 2, "no fleet name"),
        (&["history", "--since", "soon"], 2, "--since"),
    ];
    for (question, code, word) in questions {
        let (exit, _, err) = ask(&folder.0, question);
        assert_eq!(exit, Some(code), "{question:?}: {err}");
        assert!(err.contains(word), "{question:?}: {err}");
    }
    restore(&folder.0, &std::fs::read_to_string(recorded().join("day.sql")).unwrap());
    let (code, _, err) = ask(&folder.0, &["explain", "job", "--at", "2026-03-01"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nothing was decided for fleet job before 2026-03-01"), "{err}");
    let (code, _, err) = ask(&folder.0, &["explain", "--decision", "job-20260302T000000Z"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no decision was made for fleet job at"), "{err}");
    let (code, out, err) = ask(&folder.0, &["history", "none", "--since", "2026-03-02"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(err.contains("nothing of fleet none changed since"), "{err}");
}

#[test]
fn without_a_record_there_is_nothing_to_go_back_to() {
    let folder = Folder::new("unrecorded");
    let ask = |dir: &Path, fleet: &str| {
        let output = output(
            Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(["backtest", "--last", "1d", "--until", &end().to_string(), "--fleet", fleet])
                .arg("--state-dir")
                .arg(dir),
        );
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = ask(&folder.0, "job");
    assert!(said.contains("there is no journal at") && said.contains("--state-dir"), "{said}");
    restore(&folder.0, "");
    let said = ask(&folder.0, "job");
    assert!(said.contains("no queue of fleet job was read in the 1d before"), "{said}");
    let reading = "INSERT INTO readings (fleet, at, waiting) \
                   VALUES ('job', '2026-03-03T00:00:00.000000000Z', 4);";
    restore(&folder.0, reading);
    let said = ask(&folder.0, "job");
    assert!(said.contains("it does not say which policy ran"), "{said}");
}
