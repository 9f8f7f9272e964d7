//! Answers to orders, over a simulated cloud.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Telling;
use super::orders::Orders;
use crate::admin::order::Entry;
use crate::sim::Simulation;
use crate::sim::world::Settings;
use crate::store::memory::MemoryStore;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::OverrideKey;
use tidegate_engine::model::problem::ProblemKind;
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::time::{Clocks, Timestamp};
use tidegate_engine::policy::{Policy, load};

const POLICY: &str = "
version: 1
timezone: UTC
mode: act
limits: { terminate: 2 per 10m, launch: 9 per 1h }
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    min: 2
    max: 9
  seen:
    launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] }
    mode: observe
    min: 0
    max: 9
";

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn policy(text: &str) -> Policy {
    load("orders.yaml", text, start()).policy.expect("the policy is valid")
}

fn fleet(name: &str) -> FleetName {
    FleetName::new(name).unwrap()
}

struct Desk {
    simulation: Simulation,
    roster: Roster,
}

impl Desk {
    /// Runs the policy until all is in service.
    async fn open(text: &str) -> Self {
        let store = Arc::new(MemoryStore::default());
        let (settings, queues) = (Settings::default(), BTreeMap::new());
        let mut simulation =
            Simulation::new(policy(text), settings, queues, store, start()).await.unwrap();
        let mut roster = None;
        for _ in 0..20 {
            let record = simulation.tick().await.unwrap();
            simulation.wait(record.next);
            roster = Some(record.survey.roster);
        }
        Self { simulation, roster: roster.unwrap() }
    }

    async fn with(servers: u32) -> Self {
        Self::open(&POLICY.replace("min: 2", &format!("min: {servers}"))).await
    }

    async fn give(&mut self, entry: Entry) -> Result<String, String> {
        let now = self.simulation.now();
        let mut orders = Orders {
            policy: &self.simulation.policy,
            roster: Some(&self.roster),
            telling: &mut Telling::default(),
            journal: &mut self.simulation.journal,
            clocks: Clocks::new(now, None),
        };
        orders.take(entry).await
    }

    async fn begin(
        &mut self,
        key: OverrideKey,
        capacity: u32,
        force: bool,
    ) -> Result<String, String> {
        self.give(Entry::Begin {
            key,
            capacity,
            owner: "ann".to_owned(),
            reason: "a test".to_owned(),
            lasts: Duration::from_hours(2),
            at_once: false,
            force,
        })
        .await
    }

    async fn hold(&mut self, capacity: u32, force: bool) -> Result<String, String> {
        self.begin(OverrideKey::Hold(fleet("app")), capacity, force).await
    }

    fn servers(&self) -> Vec<InstanceId> {
        let servers = &self.roster.fleets[&fleet("app")].servers;
        servers.iter().filter_map(|server| server.id().cloned()).collect()
    }

    fn is_held(&self) -> bool {
        let overrides = &self.simulation.journal.ledger().overrides;
        overrides.contains_key(&OverrideKey::Hold(fleet("app")))
    }
}

#[tokio::test]
async fn hold_that_looks_like_a_slip_needs_force() {
    // The servers of the fleet, its `min`, what is held, and the reasons against it.
    let cases: [(u32, u32, u32, &[&str]); 7] = [
        (5, 5, 4, &["min is 5"]),
        (5, 5, 2, &["min is 5", "it would end more than half of 5 servers"]),
        (5, 0, 2, &["it would end more than half of 5 servers"]),
        (5, 0, 3, &[]),
        (2, 0, 0, &["it would end more than half of 2 servers"]),
        (1, 0, 0, &[]),
        (2, 2, 9, &[]),
    ];
    for (servers, min, to, against) in cases {
        let mut desk = Desk::with(servers).await;
        assert_eq!(desk.servers().len(), usize::try_from(servers).unwrap());
        desk.simulation.policy = policy(&POLICY.replace("min: 2", &format!("min: {min}")));
        let answer = desk.hold(to, false).await;
        let case = format!("{servers} servers, min {min}, held at {to}: {answer:?}");
        assert_eq!(answer.is_ok(), against.is_empty(), "{case}");
        assert_eq!(desk.is_held(), against.is_empty(), "{case}");
        if let Err(why) = answer {
            assert!(against.iter().all(|reason| why.contains(reason)), "{case}");
            assert!(why.contains("--force"), "{case}");
            desk.hold(to, true).await.unwrap();
            assert!(desk.is_held(), "{case}");
        }
    }
}

/// A forced hold needs no approval.
#[tokio::test]
async fn forced_hold_is_carried_out() {
    let mut desk = Desk::with(2).await;
    desk.hold(0, true).await.unwrap();
    for _ in 0..10 {
        let record = desk.simulation.tick().await.unwrap();
        desk.simulation.wait(record.next);
        desk.roster = record.survey.roster;
    }
    assert_eq!(desk.servers().len(), 0);
    let problems = &desk.simulation.journal.ledger().problems;
    assert!(problems.keys().all(|key| !key.is(ProblemKind::Approval)), "{problems:?}");
}

#[tokio::test]
async fn answer_names_limits_and_their_end() {
    let mut desk = Desk::with(5).await;
    let servers = desk.servers();
    let answer = desk.hold(0, true).await.unwrap();
    assert!(answer.contains("limits.terminate: 2 per 10m is used up, the next from "), "{answer}");
    assert!(answer.contains("(2 of 5 go now)"), "{answer}");
    let first = desk.begin(OverrideKey::Terminate(servers[0].clone()), 0, false).await.unwrap();
    assert!(!first.contains("limits.terminate"), "one may go: {first}");
    let launch = desk.begin(OverrideKey::Launch(fleet("app")), 9, false).await.unwrap();
    assert!(launch.contains("held by ann until 2026-03-02 "), "{launch}");
    let limits = "launch: 9 per 1h";
    desk.simulation.policy = policy(&POLICY.replace(limits, "launch: 5 per 1h"));
    let launch = desk.begin(OverrideKey::Launch(fleet("seen")), 1, false).await.unwrap();
    assert!(launch.contains("limits.launch: 5 per 1h is used up, the next from "), "{launch}");
}

#[tokio::test]
async fn answer_names_what_comes_first() {
    let mut desk = Desk::with(3).await;
    let observed = desk.begin(OverrideKey::Launch(fleet("seen")), 1, false).await.unwrap();
    assert!(observed.contains("while the fleet is in observe mode"), "{observed}");
    let plain = desk.begin(OverrideKey::Launch(fleet("app")), 1, false).await.unwrap();
    assert!(plain.ends_with("asked by ann: a test"), "nothing holds it up: {plain}");

    let kept = desk.servers()[1].clone();
    desk.begin(OverrideKey::Keep(kept.clone()), 0, false).await.unwrap();
    let answer = desk.begin(OverrideKey::Terminate(kept.clone()), 0, false).await.unwrap();
    assert!(answer.contains(&format!("{kept} is kept by ann until 2026-03-02 ")), "{answer}");

    desk.begin(OverrideKey::Pause(fleet("app")), 0, false).await.unwrap();
    let answer = desk.hold(2, true).await.unwrap();
    assert!(answer.contains("the fleet is paused by ann until 2026-03-02 "), "{answer}");
    assert!(answer.contains(&format!("{kept} is kept by ann")), "{answer}");
}

#[tokio::test]
async fn server_that_is_being_terminated_cannot_be_kept() {
    let mut desk = Desk::with(2).await;
    let [first, second] = desk.servers().try_into().unwrap();
    desk.begin(OverrideKey::Terminate(first.clone()), 0, false).await.unwrap();
    desk.simulation.tick().await.unwrap();
    let refused = desk.begin(OverrideKey::Keep(first.clone()), 0, false).await.unwrap_err();
    assert!(refused.contains("EC2 was asked to terminate it at 2026-03-02 "), "{refused}");
    desk.begin(OverrideKey::Keep(second), 0, false).await.unwrap();
}
