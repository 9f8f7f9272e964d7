//! A second policy beside the live one, over the imagined cloud.

use std::sync::Arc;

use super::*;
use crate::sim::Simulation;
use crate::sim::load::{Interruption, Load};
use crate::sim::world::Settings;
use crate::store::memory::MemoryStore;
use tidegate_engine::policy::load;

const POLICY: &str = r#"
version: 1
timezone: UTC
mode: act
limits: { instances: 9 }
defaults: { launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] } }
fleets:
  job:
    min: MIN
    max: MAX
    drain: { via: tag, deadline: 30m }
    queue: { read: { http: "http://q.example/" }, scale_out: { above: ABOVE, add: 1 }, scale_in: { below: 2, remove: 1 } }
"#;

fn policy(min: u32, max: u32, above: u32) -> Policy {
    let text = POLICY.replace("MIN", &min.to_string()).replace("MAX", &max.to_string());
    let text = text.replace("ABOVE", &above.to_string());
    load("test.yaml", &text, start()).policy.expect("the policy is valid")
}

fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn job() -> FleetName {
    FleetName::new("job").unwrap()
}

/// Six hours of the live policy with the other beside it: every change that was noted, and the most
/// servers that either had.
async fn beside(live: Policy, second: Policy) -> (Vec<ShadowChange>, usize, usize) {
    let load = Load {
        per_hour: vec![5.0, 400.0, 0.0, 300.0, 0.0, 0.0],
        start: start(),
        job_takes: Duration::from_mins(2),
        jobs_at_once: 2,
        interruption: Interruption::default(),
    };
    let store = Arc::new(MemoryStore::default());
    let loads = [(job(), load)].into();
    let mut simulation =
        Simulation::new(live, Settings::default(), loads, store, start()).await.unwrap();
    let mut shadow = Shadow::new(second, Vec::new());
    let (mut changes, mut most_live, mut most_imagined) = (Vec::new(), 0, 0);
    while simulation.now() < time::after(start(), Duration::from_hours(6)) {
        let record = simulation.tick().await.unwrap();
        changes.extend(shadow.beside(&simulation.policy, &record.survey));
        most_live = most_live.max(record.survey.roster.fleets[&job()].servers.len());
        let imagined = shadow.fleets.get(&job()).map_or(0, |beside| beside.servers.len());
        most_imagined = most_imagined.max(imagined);
        simulation.advance(record.next);
    }
    (changes, most_live, most_imagined)
}

fn steps_of(changes: &[ShadowChange]) -> Vec<&Differs> {
    let differs = changes.iter().filter_map(|change| match change {
        ShadowChange::Differs(differs) => Some(differs),
        ShadowChange::Server(_) => None,
    });
    differs.collect()
}

#[tokio::test]
async fn the_same_policy_is_never_apart() {
    let (changes, live, imagined) = beside(policy(0, 4, 20), policy(0, 4, 20)).await;
    let differs = steps_of(&changes);
    assert!(differs.len() > 4, "it moved: {differs:?}");
    assert!(differs.iter().all(|d| d.live == d.shadow), "{differs:?}");
    assert_eq!(live, imagined);
}

#[tokio::test]
async fn another_policy_goes_its_own_way_and_the_live_one_does_not_notice() {
    let (alone, ..) = beside(policy(0, 4, 20), policy(0, 4, 20)).await;
    let (changes, _, imagined) = beside(policy(0, 4, 20), policy(1, 2, 20)).await;
    let differs = steps_of(&changes);
    assert!(differs.iter().any(|d| d.live != d.shadow), "{differs:?}");
    assert!(differs.iter().all(|d| (1..=2).contains(&d.shadow)), "{differs:?}");
    assert_eq!(imagined, 2);
    let live = |differs: &[&Differs]| {
        let mut steps: Vec<(Timestamp, Capacity)> = Vec::new();
        for d in differs {
            if steps.last().is_none_or(|(_, last)| *last != d.live) {
                steps.push((d.at, d.live));
            }
        }
        steps
    };
    assert_eq!(live(&differs), live(&steps_of(&alone)));
}

#[tokio::test]
async fn a_restart_goes_on_with_the_imagined_servers() {
    let (changes, ..) = beside(policy(0, 4, 20), policy(3, 3, 20)).await;
    let mut servers: BTreeMap<u64, Imagined> = BTreeMap::new();
    for change in &changes {
        if let ShadowChange::Server(server) = change {
            servers.insert(server.number, server.clone());
        }
    }
    let open: Vec<Imagined> =
        servers.into_values().filter(|server| server.ended_at.is_none()).collect();
    assert_eq!(open.len(), 3);
    let shadow = Shadow::new(policy(3, 3, 20), open.clone());
    assert_eq!(shadow.fleets[&job()].servers, open);
    assert!(open.iter().all(|server| server.number < shadow.next));
}

#[test]
fn what_cannot_be_compared_is_told() {
    let text = POLICY.replace("MIN", "0").replace("MAX", "2").replace("ABOVE", "9");
    let other = text.replace("q.example", "r.example").replace("  job:", "  other:");
    let load = |text: &str| load("test.yaml", text, start()).policy.unwrap();
    let told =
        |live: &str, second: &str| Shadow::new(load(second), Vec::new()).incomparable(&load(live));
    assert_eq!(told(&text, &text), [""; 0]);
    assert!(told(&text, &other)[0].contains("fleet other is not in the live policy"));
    let elsewhere = text.replace("q.example", "r.example");
    assert!(told(&text, &elsewhere)[0].contains("reads another queue"));
}
