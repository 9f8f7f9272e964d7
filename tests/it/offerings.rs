//! Fleets with offerings that fail: a bad zone or type stops no fleet that has a good one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::Simulation;
use tidegate::sim::bad_offering::Failing;
use tidegate::sim::world::Settings;
use tidegate::store::memory::MemoryStore;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::EventKind;
use tidegate_engine::model::roster::Phase;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Policy, load};

/// A server that never passes its check is retired after so long.
const GRACE: Duration = Duration::from_mins(10);

/// The longest boot of the simulated cloud, with a few ticks.
const BOOT: Duration = Duration::from_mins(6);

const START: &str = "2026-03-02T18:00:00Z";

struct Fleet {
    simulation: Simulation,
    store: Arc<MemoryStore>,
    start: Timestamp,
}

impl Fleet {
    async fn new(types: &[&str], subnets: &[&str], servers: u32, bad: &[(&str, Failing)]) -> Self {
        let start: Timestamp = START.parse().unwrap();
        let policy = policy(&types.join(", "), &subnets.join(", "), servers);
        let store = Arc::new(MemoryStore::default());
        let loads = BTreeMap::new();
        let simulation = Simulation::new(policy, Settings::default(), loads, store.clone(), start)
            .await
            .unwrap();
        let mut state = simulation.front.state();
        for (what, how) in bad {
            state.world.spoil(what, Some(*how));
        }
        drop(state);
        Self { simulation, store, start }
    }

    /// Runs until the fleet has so many servers in service, and returns how long after the start that
    /// is; at most `limit`.
    async fn serves(&mut self, servers: usize, limit: Duration) -> Option<Duration> {
        let end = time::after(self.start, limit);
        while self.simulation.now() < end {
            let record = self.simulation.tick().await.unwrap();
            let view = &record.survey.roster.fleets[&app()];
            if view.servers.iter().filter(|s| s.phase == Phase::InService).count() == servers {
                return Some(time::since(self.simulation.now(), self.start));
            }
            self.simulation.advance(record.next.min(end));
        }
        None
    }

    /// How many launches of the first hour were asked of each offering, answered or refused.
    fn asked(&self) -> BTreeMap<String, usize> {
        let end = time::after(self.start, Duration::from_hours(1));
        let mut asked = BTreeMap::new();
        for record in self.simulation.journal.ledger().servers.all() {
            if let Some(request) = record.request.as_ref().filter(|_| record.planned_at <= end) {
                *asked.entry(request.pool.to_string()).or_default() += 1;
            }
        }
        asked
    }
}

fn app() -> FleetName {
    FleetName::new("app").unwrap()
}

fn policy(types: &str, subnets: &str, servers: u32) -> Policy {
    let text = format!(
        r#"
version: 1
timezone: UTC
mode: act
fleets:
  app:
    launch: {{ image: ami-0123456789abcdef0, types: [{types}], subnets: [{subnets}] }}
    health: {{ http: "http://{{private_ip}}/", grace: 10m }}
    min: {servers}
    max: 12
"#
    );
    load("offerings.yaml", &text, START.parse().unwrap()).policy.unwrap()
}

/// Every proper subset of the subnets is bad, in every way.
#[tokio::test]
async fn bad_subnets_delay_a_fleet_by_one_boot() {
    let all = ["subnet-0a1", "subnet-0b2", "subnet-0c3"];
    for n in 2..=3 {
        let subnets = &all[..n];
        for bad in 1..(1_usize << n) - 1 {
            for how in ways() {
                for servers in [4, 9] {
                    let spoilt: Vec<(&str, Failing)> = (0..n)
                        .filter(|subnet| bad >> subnet & 1 == 1)
                        .map(|subnet| (subnets[subnet], how))
                        .collect();
                    let mut fleet = Fleet::new(&["t3.small"], subnets, servers, &spoilt).await;
                    let limit = GRACE + 2 * BOOT;
                    let case = format!("{servers} servers, {spoilt:?}");
                    let took = fleet.serves(servers as usize, limit).await;
                    assert!(took.is_some(), "{case}: {:?}", fleet.asked());
                    fleet.serves(usize::MAX, Duration::from_hours(1)).await;
                    let asked = fleet.asked();
                    for (subnet, how) in &spoilt {
                        let times = asked.get(&format!("t3.small in {subnet}")).unwrap_or(&0);
                        assert!(*times <= 4, "{case}: {how:?} {asked:?}");
                    }
                }
            }
        }
    }
}

/// A bad type or a single bad offering costs a boot; where most offerings are bad, each boot tells of
/// those that it tried.
#[tokio::test]
async fn bad_types_and_single_offerings_are_left_behind() {
    let (types, subnets) = (["t3.small", "t3a.small"], ["subnet-0a1", "subnet-0b2"]);
    let in_subnets = |kind: &&str| subnets.map(|subnet| format!("{kind} in {subnet}"));
    let all: Vec<String> = types.iter().flat_map(in_subnets).collect();
    // A subnet that does not exist fails for every type.
    for how in ways().filter(|how| *how != Failing::SubnetNotFound) {
        for bad in 1..15_usize {
            let is_bad = |n: &usize| bad >> n & 1 == 1;
            let spoilt: Vec<(&str, Failing)> =
                (0..4).filter(is_bad).map(|n| (all[n].as_str(), how)).collect();
            let mut fleet = Fleet::new(&types, &subnets, 4, &spoilt).await;
            let took = fleet.serves(4, 2 * GRACE + 2 * BOOT).await;
            let case = format!("{spoilt:?}");
            assert!(took.is_some(), "{case}: {:?}", fleet.asked());
            // Where the preferred type works in a subnet, one further boot is enough.
            let preferred_works = bad & 0b11 != 0b11;
            assert!(!preferred_works || took <= Some(GRACE + 2 * BOOT), "{case}: {took:?}");
            fleet.serves(usize::MAX, Duration::from_hours(1)).await;
            let asked = fleet.asked();
            let few = |(name, _): &(&str, _)| asked.get(*name).is_none_or(|times| *times <= 4);
            assert!(spoilt.iter().all(few), "{case}: {asked:?}");
        }
    }
}

/// Where everything fails, each offering is tried, and launches stop; the probes go round.
#[tokio::test]
async fn broken_fleet_stops_after_a_few_launches() {
    let (types, subnets) = (["t3.small", "t3a.small"], ["subnet-0a1", "subnet-0b2"]);
    for how in ways() {
        let mut fleet = Fleet::new(&types, &subnets, 2, &[("*", how)]).await;
        assert_eq!(fleet.serves(1, Duration::from_hours(1)).await, None);
        let asked = fleet.asked();
        let tried = if how == Failing::SubnetNotFound { 2 } else { 4 };
        let few = asked.values().all(|times| *times <= 4);
        assert!(asked.len() == tried && few, "{how:?}: {asked:?}");
    }
    // A key pair that is missing is missing everywhere: one offering tells.
    let mut fleet = Fleet::new(&types, &subnets, 2, &[("*", Failing::KeyNotFound)]).await;
    assert_eq!(fleet.serves(1, Duration::from_mins(14)).await, None);
    let calls: usize = fleet.asked().values().sum();
    assert!((3..=6).contains(&calls), "{:?}", fleet.asked());
}

/// The quota of a GPU family is no reason to launch no other type.
#[tokio::test]
async fn quota_of_one_family_leaves_other_types_alone() {
    let quota = [("g4dn.xlarge", Failing::Quota)];
    let mut fleet = Fleet::new(&["g4dn.xlarge", "m5.large"], &["subnet-0a1"], 3, &quota).await;
    assert!(fleet.serves(3, BOOT).await.is_some(), "{:?}", fleet.asked());
    // The other type of the same family is not asked for.
    let quota = [("g4dn.xlarge", Failing::Quota)];
    let mut fleet = Fleet::new(&["g4dn.xlarge", "g5.xlarge"], &["subnet-0a1"], 1, &quota).await;
    assert_eq!(fleet.serves(1, Duration::from_mins(9)).await, None);
    assert_eq!(fleet.asked().len(), 1, "{:?}", fleet.asked());
}

/// The end of a backoff is no recovery.
#[tokio::test]
async fn no_capacity_is_over_when_a_launch_succeeds() {
    let mut fleet =
        Fleet::new(&["t3.small"], &["subnet-0a1"], 1, &[("*", Failing::NoCapacity)]).await;
    assert_eq!(fleet.serves(1, Duration::from_mins(50)).await, None);
    fleet.simulation.front.state().world.spoil("*", None);
    assert!(fleet.serves(1, Duration::from_mins(90)).await.is_some());
    let events = fleet.store.events();
    let of_kind = |kind| -> Vec<String> {
        let events = events.iter().filter(|event| event.kind == kind);
        events.map(|event| event.text.clone()).collect()
    };
    let (begun, over) = (of_kind(EventKind::Problem), of_kind(EventKind::Recovered));
    assert_eq!((begun.len(), over.len()), (1, 1), "{begun:?} {over:?}");
    let refusals = fleet.asked()["t3.small in subnet-0a1"];
    assert!(refusals > 2, "it was asked {refusals} times");
}

/// How offerings fail one by one: neither a missing key pair nor a quota is a matter of the subnet.
fn ways() -> impl Iterator<Item = Failing> {
    let of_all = [Failing::KeyNotFound, Failing::Quota];
    Failing::ALL.into_iter().filter(move |how| !of_all.contains(how))
}
