//! The document on the socket, against one that version 0.1.0 wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::view::{PlanView, StatusView};
use super::words::{Teller, servers};
use crate::sim::Simulation;
use crate::sim::load::{Interruption, Job, Queue};
use crate::sim::world::Settings;
use crate::store::memory::MemoryStore;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Policy, load};

const LAUNCH: &str = "{ image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }";

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
mode: act
limits: { terminate: 1 per 10m }
defaults:
  launch: LAUNCH
fleets:
  app:
    load_balancer: { classic: web, deregistration_delay: 2m }
    health: { http: "http://{private_ip}/", expect: welcome, grace: 10m }
    min: 2
    max: 3
    billing: hour
    schedule:
      - { cron: "0 8 * * mon-fri", capacity: 3 }
      - { cron: "0 9 * * mon-fri", capacity: 2 }
  dark:
    min: 1
    max: 2
    queue: { read: { http: "http://q.example/dark" }, every: 5m, scale_out: { above: 20 }, scale_in: { below: 5 } }
  job:
    min: 0
    max: 4
    drain: { via: tag, deadline: 30m }
    queue: { read: { http: "http://q.example/" }, every: 1m, scale_out: { above: 1000 }, scale_in: { below: 1, after: 4h } }
  seen:
    mode: observe
    min: 1
    max: 3
"#;

const OLD: &str = "  old: { min: 2, max: 2 }\n";

fn start() -> Timestamp {
    "2026-03-02T13:50:00Z".parse().unwrap()
}

fn fleet(name: &str) -> FleetName {
    FleetName::new(name).unwrap()
}

fn policy(fleets: &str) -> Policy {
    let text = format!("{POLICY}{fleets}").replace("LAUNCH", LAUNCH);
    let loaded = load("policies.yaml", &text, start());
    loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

/// A world in which much happens, and the documents of some of its ticks.
struct Told {
    simulation: Simulation,
    lines: Vec<String>,
}

impl Told {
    async fn order(&mut self, key: OverrideKey, capacity: u32) {
        let since = self.simulation.now();
        let until = time::after(since, Duration::from_hours(24));
        let (owner, reason) = ("ann".to_owned(), "a test".to_owned());
        let order = Override { key, capacity, owner, reason, since, until, at_once: false };
        self.simulation.journal.commit(&[Change::Override(order)]).await.unwrap();
    }

    /// Ticks for so long, and writes the documents of the last tick down.
    async fn run(&mut self, minutes: u64) {
        let end = time::after(self.simulation.now(), Duration::from_mins(minutes));
        loop {
            let record = self.simulation.tick().await.unwrap();
            self.simulation.wait(record.next);
            if self.simulation.now() >= end {
                let (policy, ledger) = (&self.simulation.policy, self.simulation.journal.ledger());
                let mut status = StatusView::of(policy, ledger, &record.survey);
                status.version = "0.1.0".to_owned();
                self.lines.push(serde_json::to_string(&status).unwrap());
                let plan = PlanView::of(policy, &record.survey);
                self.lines.push(serde_json::to_string(&plan).unwrap());
                break;
            }
        }
    }
}

async fn told() -> Vec<String> {
    let store = Arc::new(MemoryStore::default());
    let loads = [].into();
    let simulation =
        Simulation::new(policy(OLD), Settings::default(), loads, store, start()).await.unwrap();
    let jobs =
        [20, 600].map(|minutes| Job { arrives: start(), takes: Duration::from_mins(minutes) });
    let queue = Queue::given(jobs, 1, Interruption::default(), start());
    simulation.front.state().queues.insert(fleet("job"), queue);
    let mut told = Told { simulation, lines: Vec::new() };
    told.run(1).await;
    told.order(OverrideKey::Hold(fleet("job")), 2).await;
    told.run(1).await;
    told.run(20).await;
    told.order(OverrideKey::Hold(fleet("job")), 0).await;
    told.order(OverrideKey::Launch(fleet("app")), 1).await;
    told.order(OverrideKey::Pause(fleet("dark")), 0).await;
    told.run(2).await;
    told.simulation.policy = policy("");
    told.run(10).await;
    told.order(OverrideKey::Retire(fleet("old")), 0).await;
    let kept = told
        .simulation
        .journal
        .ledger()
        .servers
        .open()
        .find_map(|record| record.instance().filter(|_| record.fleet == fleet("app")).cloned());
    told.order(OverrideKey::Keep(kept.unwrap()), 0).await;
    told.run(45).await;
    told.run(1).await;
    told.lines
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/status.jsonl")
}

/// The texts that `key` has in the documents.
fn words(lines: &[String], key: &str) -> BTreeSet<String> {
    let head = format!("\"{key}\":\"");
    let values = lines.iter().flat_map(|line| line.split(&head).skip(1));
    values.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn status_keeps_the_bytes_of_version_0_1_0() {
    let lines = told().await;
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(recorded(), lines.join("\n") + "\n").unwrap();
    }
    let phases = words(&lines, "phase");
    assert!(phases.len() >= 3, "the documents show little: {phases:?}");
    assert_eq!(words(&lines, "mode").len(), 3);
    assert_eq!(words(&lines, "kind").len(), 3);
    for key in ["unreadable", "paid_until", "ailing", "blocked", "drain", "since", "next_look"] {
        assert!(!words(&lines, key).is_empty(), "no document has `{key}`");
    }
    let text = std::fs::read_to_string(recorded()).unwrap();
    let expected: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line, expected, "fields of the documents are only ever added");
    }
}

#[test]
fn recorded_status_is_written_back_as_it_was_read() {
    let text = std::fs::read_to_string(recorded()).unwrap();
    let documents = text.lines().filter(|line| line.contains("\"last_tick\""));
    let mut read = 0;
    for line in documents {
        let view: StatusView = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&view).unwrap(), line);
        read += 1;
    }
    assert!(read >= 7, "{read}");
}

#[test]
fn words_of_a_newer_daemon_are_shown() {
    let text = std::fs::read_to_string(recorded()).unwrap();
    let known = ["\"phase\":\"draining\"", "\"mode\":\"observe\"", "\"kind\":\"hold\""];
    let newer = ["\"phase\":\"warming\"", "\"mode\":\"rehearse\"", "\"kind\":\"freeze\""];
    let mut documents = text.lines().filter(|line| line.contains("\"last_tick\""));
    let line = documents.find(|line| known.iter().all(|word| line.contains(word)));
    let mut line = line.unwrap().to_owned();
    for (known, newer) in known.iter().zip(newer) {
        line = line.replace(known, newer);
    }
    let view: StatusView = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string(&view).unwrap(), line);
    let teller = Teller { zone: view.zone(), now: Some(view.last_tick) };
    let mut orders = view.fleets.iter().flat_map(|fleet| teller.orders(fleet));
    assert!(orders.any(|order| order.starts_with("freeze by ann until 2026-03-03")));
    assert!(view.fleets.iter().any(|fleet| servers(fleet).contains("warming")));
    assert!(view.fleets.iter().any(|fleet| fleet.mode.as_str() == "rehearse"));
}
