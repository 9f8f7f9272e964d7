//! The rules against tables: one line, one case.
#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are what they are")]

mod floor;
mod limits;

use std::sync::Arc;
use std::time::Duration;

use super::{decide, each};
use crate::defect::contained;
use crate::model::balancer::Balancer;
use crate::model::decision::{Decision, Reason};
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId, Lifecycle, OurTags};
use crate::model::launch::Token;
use crate::model::ledger::{Change, FleetMemory, Ledger, Override, OverrideKey};
use crate::model::observation::Observation;
use crate::model::reading::Reading;
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::time::{self, Timestamp};
use crate::policy::{Policy, load};
use crate::state;

const MINUTE: Duration = Duration::from_mins(1);

/// 2026-03-02 was a Monday; 18:00 UTC is noon in Winnipeg.
fn noon() -> Timestamp {
    "2026-03-02T18:00:00Z".parse().unwrap()
}

/// A reading so many minutes ago; `None`: unreadable.
type Past = (u64, Option<u64>);

/// A policy of one fleet, `f`, from the lines that matter.
fn policy(lines: &str) -> Policy {
    let text = format!(
        "version: 1\ntimezone: America/Winnipeg\nmode: act\nfleets:\n  f:\n    launch: {{ image: ami-0123456789abcdef0, types: [t3.small] }}\n{lines}"
    );
    let loaded = load("test.yaml", &text, noon());
    loaded.policy.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.problems))
}

/// The article's job fleet; billing by the second unless said.
const JOBS: &str = "    min: 0\n    max: 2\n    minimum_uptime: 45m\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://q.example/' }, scale_out: { above: 20 }, scale_in: { below: 5 } }\n";

fn fleet() -> FleetName {
    FleetName::new("f").unwrap()
}

/// A ledger and an observation with a running server for each uptime in minutes.
struct Scene {
    policy: Policy,
    ledger: Ledger,
    seen: Observation,
}

impl Scene {
    fn new(policy: Policy, uptimes: &[u64]) -> Self {
        let now = noon();
        let mut scene = Self {
            ledger: Ledger::default(),
            seen: Observation {
                now,
                clock_ahead: None,
                account: None,
                instances: Ok(std::collections::BTreeMap::new()),
                gap: None,
                balancers: std::collections::BTreeMap::new(),
                health: std::collections::BTreeMap::new(),
                readings: std::collections::BTreeMap::new(),
            },
            policy,
        };
        for (n, uptime) in uptimes.iter().enumerate() {
            scene.server(n, time::before(now, MINUTE * u32::try_from(*uptime).unwrap()));
        }
        scene
    }

    fn server(&mut self, n: usize, launched_at: Timestamp) {
        let id = InstanceId::new(&format!("i-{n:017x}"));
        let token = Token::from_stored(&format!("tg1.main.{n:032x}"));
        let record = ServerRecord {
            token: token.clone(),
            fleet: fleet(),
            planned_at: launched_at,
            planned_at_ec2: None,
            request: None,
            launch: LaunchState::Launched(id.clone()),
            launched_at: Some(launched_at),
            private_ip: None,
            healthy_at: Some(launched_at),
            in_service_at: Some(launched_at),
            restarted_at: None,
            sick_since: None,
            absent_since: None,
            retirement: None,
            cleared_at: None,
            gone: None,
        };
        self.ledger.apply(&Change::Server(Arc::new(record)));
        let instance = Instance {
            id: id.clone(),
            lifecycle: Lifecycle::Running,
            launched_at: Some(launched_at),
            instance_type: Some("t3.small".into()),
            subnet: None,
            zone: None,
            private_ip: Some("10.0.0.1".into()),
            public_ip: None,
            private_dns: None,
            token: Some(token.text()),
            tags: OurTags {
                install: Some("main".into()),
                fleet: Some(fleet()),
                adopted: None,
                keep: false,
                drain: None,
                auto_scaling_group: false,
            },
            state_reason: None,
            attached: None,
            metadata_tags: None,
        };
        self.seen.instances.as_mut().unwrap().insert(id, instance);
    }

    fn reading(mut self, waiting: u64) -> Self {
        self.ledger.apply(&Change::Reading(fleet(), Reading::known(self.seen.now, waiting)));
        self
    }

    /// Readings before now, `(minutes ago, what was read)`, oldest first.
    fn readings(mut self, past: &[Past]) -> Self {
        for (ago, waiting) in past {
            let at = time::before(self.seen.now, MINUTE * u32::try_from(*ago).unwrap());
            let reading = match waiting {
                Some(n) => Reading::known(at, *n),
                None => Reading::unreadable(at, "HTTP 503"),
            };
            self.ledger.apply(&Change::Reading(fleet(), reading));
        }
        self
    }

    fn target(mut self, target: u32) -> Self {
        let memory = FleetMemory { target: Some(target), ..FleetMemory::default() };
        self.ledger.apply(&Change::Fleet(fleet(), Box::new(memory)));
        self
    }

    fn order(mut self, key: OverrideKey, capacity: u32) -> Self {
        let entry = Override {
            key,
            capacity,
            owner: "ann".to_owned(),
            reason: "launch day".to_owned(),
            since: self.seen.now,
            until: time::after(self.seen.now, MINUTE * 60),
            at_once: false,
        };
        self.ledger.apply(&Change::Override(entry));
        self
    }

    fn decide(&self) -> Decision {
        let roster = state::derive(&self.policy, &self.ledger, &self.seen);
        let view = &roster.fleets[&fleet()];
        decide(&self.policy.fleets[&fleet()], view, roster.blind.as_ref(), self.seen.now)
    }
}

fn rules(decision: &Decision) -> Vec<&'static str> {
    decision.because.iter().map(Reason::rule).collect()
}

/// The article's Listing 9: over 20 and fewer than two: one more; under 5: the newest goes if it has
/// been up for 45 minutes.
#[test]
fn listing_9() {
    let uptimes: [&[u64]; 8] =
        [&[], &[44], &[45], &[46], &[300, 44], &[300, 45], &[300, 46], &[44, 44]];
    for (queue, uptimes) in [20, 21, 5, 4].iter().flat_map(|q| uptimes.map(|u| (*q, u))) {
        let servers = u32::try_from(uptimes.len()).unwrap();
        // Where the article looks at the newest alone, we take the newest that may go.
        let one_may_go = uptimes.iter().any(|uptime| *uptime >= 45);
        let expected = match queue {
            21 if servers < 2 => servers + 1,
            4 if one_may_go => servers - 1,
            _ => servers,
        };
        let decision = Scene::new(policy(JOBS), uptimes).reading(queue).decide();
        assert_eq!(decision.desired, expected, "queue {queue}, up {uptimes:?}: {decision:?}");
        assert!(!decision.because.is_empty());
    }
}

/// The article never has three; a person or a lowered `max` may bring it about. Then `max` rules,
/// and only servers that may go do.
#[test]
fn three_servers_are_brought_back_to_max_as_they_may_go() {
    for (uptimes, desired) in [([50, 50, 50], 2), ([50, 50, 10], 2), ([10, 10, 10], 3)] {
        let decision = Scene::new(policy(JOBS), &uptimes).reading(10).decide();
        assert_eq!(decision.desired, desired, "{uptimes:?}: {decision:?}");
    }
}

#[test]
fn one_reading_leads_to_one_step() {
    let mut scene = Scene::new(policy(JOBS), &[]).reading(50);
    let first = scene.decide();
    assert_eq!((first.desired, first.steps_on), (1, Some(noon())));
    let memory = FleetMemory {
        target: Some(1),
        stepped_at_reading: first.steps_on,
        ..FleetMemory::default()
    };
    scene.ledger.apply(&Change::Fleet(fleet(), Box::new(memory)));
    let second = scene.decide();
    assert_eq!((second.desired, rules(&second)), (1, vec!["queue_answered"]));
}

#[test]
fn a_gap_never_scales_in() {
    let unreadable: [&[Past]; 4] = [
        &[(0, None)],
        &[(5, Some(0)), (0, None)],
        // The last good reading is too old.
        &[(13, Some(0))],
        &[],
    ];
    for past in unreadable {
        for (lines, desired) in [(JOBS.to_owned(), 2), (JOBS.replace("max: 2", "max: 1"), 2)] {
            let scene = Scene::new(policy(&lines), &[300, 300]).readings(past).target(2);
            let decision = scene.decide();
            if past.is_empty() && lines.contains("max: 1") {
                continue; // Nothing was ever read: there is no gap, and `max` rules.
            }
            assert_eq!(decision.desired, desired, "{past:?}: {decision:?}");
        }
    }
    let at_least =
        JOBS.replace("scale_in: { below: 5 }", "scale_in: { below: 5 }, if_unreadable: 1");
    let decision = Scene::new(policy(&at_least), &[]).readings(&[(0, None)]).target(0).decide();
    assert_eq!((decision.desired, rules(&decision)), (1, vec!["queue_unreadable"]));
}

#[test]
fn scale_in_waits_until_the_queue_has_been_short_for_long_enough() {
    let lines = JOBS.replace("below: 5 }", "below: 5, after: 10m }");
    let cases: [(&[Past], u32); 7] = [
        (&[(0, Some(1))], 1),
        (&[(5, Some(1)), (0, Some(1))], 1),
        (&[(10, Some(1)), (5, Some(1)), (0, Some(1))], 0),
        // A longer queue in between, and a gap, begin the wait anew.
        (&[(15, Some(1)), (10, Some(9)), (5, Some(1)), (0, Some(1))], 1),
        (&[(15, Some(1)), (10, None), (5, Some(1)), (0, Some(1))], 1),
        // Nobody looked for three hours.
        (&[(185, Some(1)), (180, Some(1)), (0, Some(1))], 1),
        // The clock was ahead, and was set back: the wait is by the clock as it is.
        (&[(2, Some(1)), (10, Some(1)), (5, Some(1)), (0, Some(1))], 0),
    ];
    for (past, desired) in cases {
        let decision = Scene::new(policy(&lines), &[300]).readings(past).target(1).decide();
        assert_eq!(decision.desired, desired, "{past:?}: {decision:?}");
        let waits = decision.because.iter().any(|r| matches!(r, Reason::Stabilising { .. }));
        assert_eq!(waits, desired == 1);
        assert!(!waits || decision.next_look.is_some());
    }
}

#[test]
fn a_paid_hour_is_used_up_and_left_in_time() {
    let lines = format!("{JOBS}    billing: hour\n");
    // Drain 0, tick 15 s: the window is from 1m30s to 45s before the end of the hour.
    let cases = [
        (45 * 60, 1),
        (58 * 60 + 29, 1),
        (58 * 60 + 30, 0),
        (59 * 60 + 15, 0),
        (59 * 60 + 16, 1),
        (60 * 60, 1),
    ];
    for (uptime, desired) in cases {
        let mut scene = Scene::new(policy(&lines), &[]).reading(0).target(1);
        scene.server(0, time::before(noon(), Duration::from_secs(uptime)));
        let decision = scene.decide();
        assert_eq!(decision.desired, desired, "up {uptime} s: {decision:?}");
        if desired == 1 {
            let opens = decision.next_look.expect("the window opens at a known time");
            assert!(opens > noon());
        }
    }
}

const OFFICE: &str = "    min: 2\n    max: 4\n    schedule:\n      - { cron: '0 8 * * mon-fri', capacity: 3 }\n      - { cron: '0 21 * * mon-fri', capacity: 2 }\n";

#[test]
fn precedence_is_hold_schedule_queue_bounds() {
    let both = format!(
        "{OFFICE}    queue: {{ read: {{ http: 'http://q.example/' }}, scale_out: {{ above: 20 }}, scale_in: {{ below: 5 }} }}\n"
    );
    let hold = || OverrideKey::Hold(fleet());
    let cases: [(Scene, u32, &str); 7] = [
        (Scene::new(policy(OFFICE), &[]), 3, "schedule"),
        (Scene::new(policy(OFFICE), &[60]).order(hold(), 1), 1, "hold"),
        // A hold is above `max`, too.
        (Scene::new(policy(OFFICE), &[]).order(hold(), 6), 6, "hold"),
        (Scene::new(policy(&both), &[60, 60, 60]).reading(0).target(3), 3, "queue_below"),
        (Scene::new(policy(&both), &[60, 60, 60]).reading(30).target(3), 4, "queue_above"),
        (Scene::new(policy(&both), &[60; 4]).reading(30).target(4), 4, "queue_above"),
        (Scene::new(policy("    min: 1\n    max: 4\n"), &[]), 1, "minimum"),
    ];
    for (scene, desired, first) in cases {
        let decision = scene.decide();
        assert_eq!((decision.desired, rules(&decision)[0]), (desired, first), "{decision:?}");
    }
}

#[test]
fn a_pause_changes_nothing_either_way() {
    for uptimes in [&[60_u64][..], &[60; 4]] {
        let scene = Scene::new(policy(OFFICE), uptimes).order(OverrideKey::Pause(fleet()), 0);
        let decision = scene.decide();
        assert_eq!(decision.desired, decision.capacity);
        assert_eq!(rules(&decision), ["paused"]);
    }
}

#[test]
fn nothing_is_decided_on_half_a_picture() {
    let mut unlisted = Scene::new(policy(OFFICE), &[60, 60]);
    unlisted.seen.instances = Err(Fault::new(FaultKind::Throttled, "RequestLimitExceeded", ""));
    let mut partial = Scene::new(policy(OFFICE), &[60; 4]);
    let listed = partial.seen.instances.as_mut().unwrap();
    listed.retain(|id, _| id.as_str().ends_with('0'));
    for scene in [unlisted, partial] {
        let decision = scene.decide();
        assert_eq!(decision.desired, decision.capacity, "{decision:?}");
        assert_eq!(rules(&decision), ["frozen"]);
    }
}

#[test]
fn without_its_balancer_no_server_is_released() {
    let lines = format!("{OFFICE}    load_balancer: {{ classic: lb }}\n");
    for kind in [FaultKind::BalancerNotFound, FaultKind::Ambiguous] {
        let mut scene = Scene::new(policy(&lines), &[60; 4]);
        let fault = Fault::new(kind, "X", "");
        scene.seen.balancers.insert(Balancer::Classic("lb".to_owned()), Err(fault));
        let decision = scene.decide();
        assert_eq!((decision.wanted, decision.desired), (3, 4), "{decision:?}");
    }
}

mod laws {
    //! What holds for any fleet, whatever its servers, readings and bounds.

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn lines(min: u32, max: u32) -> String {
        JOBS.replace("min: 0\n    max: 2", &format!("min: {min}\n    max: {max}"))
    }

    prop_compose! {
        /// Uptimes in minutes, readings in the last hour, the remembered target.
        fn scenes()(
            uptimes in vec(0_u64..200, 0..6),
            readings in vec((1_u64..60, proptest::option::of(0_u64..50)), 0..6),
            target in 0_u32..6,
        ) -> (Vec<u64>, Vec<Past>, u32) {
            let mut readings = readings;
            readings.sort_by_key(|(ago, _)| std::cmp::Reverse(*ago));
            (uptimes, readings, target)
        }
    }

    fn scene(policy: &Policy, (uptimes, readings, target): &(Vec<u64>, Vec<Past>, u32)) -> Scene {
        Scene::new(policy.clone(), uptimes).readings(readings).target(*target)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn the_wanted_capacity_is_within_bounds_and_always_has_a_reason(
            given in scenes(), min in 0_u32..3, more in 0_u32..4,
        ) {
            let policy = policy(&lines(min, min + more));
            let decision = scene(&policy, &given).decide();
            prop_assert!((min..=min + more).contains(&decision.wanted), "{decision:?}");
            prop_assert!(!decision.because.is_empty());
        }

        #[test]
        fn only_servers_that_may_go_are_given_up(given in scenes()) {
            let policy = policy(&lines(0, 2));
            let decision = scene(&policy, &given).decide();
            let old = given.0.iter().filter(|uptime| **uptime >= 45).count();
            let given_up = decision.capacity.saturating_sub(decision.desired);
            prop_assert!(given_up <= u32::try_from(old).unwrap(), "{decision:?}");
        }

        #[test]
        fn an_unreadable_queue_gives_up_nothing(given in scenes()) {
            let (uptimes, mut readings, target) = given;
            readings.push((0, None));
            let policy = policy(&lines(0, 2));
            let decision = scene(&policy, &(uptimes, readings, target)).decide();
            prop_assert!(decision.desired >= decision.capacity, "{decision:?}");
        }

        #[test]
        fn a_higher_max_never_costs_a_server(given in scenes(), max in 0_u32..5) {
            let low = scene(&policy(&lines(0, max)), &given).decide();
            let high = scene(&policy(&lines(0, max + 1)), &given).decide();
            prop_assert!(high.desired >= low.desired, "{low:?} {high:?}");
        }
    }
}

/// A defect in the rules of one fleet: it stays as it is and says why, and the other is decided.
#[test]
fn what_falls_over_in_one_fleet_costs_no_other_its_decision() {
    let scene = Scene::new(
        policy("    min: 2\n    max: 3\n  g: { launch: { template: web }, min: 1, max: 1 }\n"),
        &[60],
    );
    let roster = state::derive(&scene.policy, &scene.ledger, &scene.seen);
    let decisions = each(&scene.policy, &roster, |of, view| {
        contained(|| {
            assert!(of.name == fleet(), "no such thing");
            decide(of, view, None, noon())
        })
    });
    assert_eq!(decisions[&fleet()].desired, 2);
    let other = &decisions[&FleetName::new("g").unwrap()];
    assert_eq!((other.capacity, other.desired), (0, 0));
    let why = other.because[0].text(&scene.policy.zone);
    assert!(why.contains("a defect of tidegate") && why.contains("no such thing"), "{why}");
}
