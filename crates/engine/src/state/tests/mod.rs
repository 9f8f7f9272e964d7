//! What becomes of facts over time: gone and back, asked and unanswered, early and late.
#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are what they are")]

mod adopt;
mod brakes;
mod clock;
mod failing;
mod found;
mod stale;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{derive, note};
use crate::decide;
use crate::model::balancer::{Balancer, Membership};
use crate::model::decision::Reason;
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::{FleetName, Pool};
use crate::model::instance::{Instance, InstanceId, Lifecycle, OurTags};
use crate::model::launch::{Image, LaunchRequest, Token};
use crate::model::ledger::{Change, FleetMemory, Ledger, Override, OverrideKey};
use crate::model::observation::Observation;
use crate::model::reading::{Health, Recent};
use crate::model::retirement::{RetireReason, Retirement, Stage, Termination};
use crate::model::roster::{BalancerView, Phase, Roster, Stranger};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::sight::Doubt;
use crate::model::time::{self, Timestamp};
use crate::plan::plan;
use crate::policy::{Policy, load};

const WEB: &str = "    load_balancer: { classic: web }\n    health: { http: 'http://{private_ip}/', grace: 10m }\n    min: 2\n    max: 3\n";

fn now() -> Timestamp {
    "2026-03-02T18:00:00Z".parse().unwrap()
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

fn fleet() -> FleetName {
    FleetName::new("app").unwrap()
}

fn policy(mode: &str, fleets: &str) -> Policy {
    let text = format!("version: 1\nmode: {mode}\nfleets:\n{fleets}");
    let loaded = load("test.yaml", &text, now());
    loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

fn web() -> Policy {
    policy("act", &format!("  app:\n    launch: {{ template: web }}\n{WEB}"))
}

fn token(n: usize) -> Token {
    let pool = Pool { instance_type: None, subnet: None };
    Token::derive("main", &fleet(), Timestamp::UNIX_EPOCH, n, &pool)
}

fn id(n: usize) -> InstanceId {
    InstanceId::new(&format!("i-{n:017x}"))
}

/// A server that has been in service since `up` ago.
fn record(n: usize, up: Duration) -> ServerRecord {
    let at = time::before(now(), up);
    ServerRecord {
        token: token(n),
        fleet: fleet(),
        planned_at: at,
        planned_at_ec2: None,
        request: Some(Arc::new(LaunchRequest {
            token: token(n),
            image: Image::Id("ami-0123456789abcdef0".to_owned()),
            pool: Pool { instance_type: None, subnet: None },
            key_pair: None,
            security_groups: Vec::new(),
            instance_profile: None,
            user_data: String::new(),
            drains: false,
            tags: Arc::default(),
        })),
        launch: LaunchState::Launched(id(n)),
        launched_at: Some(at),
        private_ip: None,
        healthy_at: Some(at),
        in_service_at: Some(at),
        restarted_at: None,
        sick_since: None,
        absent_since: None,
        retirement: None,
        cleared_at: None,
        gone: None,
    }
}

/// One that has served for ten hours, and has failed its check for half of one.
fn sick(n: usize) -> ServerRecord {
    let since = time::before(now(), minutes(30));
    ServerRecord { sick_since: Some(since), ..record(n, minutes(600)) }
}

fn retirement(asks: u32) -> Retirement {
    Retirement {
        why: RetireReason::ScaleIn,
        begun_at: now(),
        begun_at_ec2: None,
        drain: None,
        stage: match asks {
            0 => Stage::Deregistered { at: time::before(now(), minutes(5)) },
            asks => terminating(asks, 0, now()),
        },
    }
}

fn terminating(asks: u32, refusals: u32, last_asked_at: Timestamp) -> Stage {
    let deregistered_at = Some(time::before(now(), minutes(5)));
    Stage::Terminating(Termination { deregistered_at, last_asked_at, asks, refusals })
}

/// A world of these servers, all running and members of `web`, and well unless their records say
/// otherwise.
struct Scene {
    ledger: Ledger,
    seen: Observation,
}

impl Scene {
    fn new(records: Vec<ServerRecord>) -> Self {
        let mut scene = Self {
            ledger: Ledger::default(),
            seen: Observation {
                now: now(),
                clock_ahead: None,
                account: None,
                instances: Ok(BTreeMap::new()),
                gap: None,
                balancers: [(Balancer::Classic("web".to_owned()), Ok(BTreeMap::new()))].into(),
                health: BTreeMap::new(),
                readings: BTreeMap::new(),
            },
        };
        for record in records {
            let instance = instance(&record);
            if record.healthy_at.is_some() && record.sick_since.is_none() {
                let passed =
                    Health { at: now(), passed: Ok(()), recent: Recent::default().then(true) };
                scene.seen.health.insert(instance.id.clone(), passed);
            }
            scene.ledger.apply(&Change::Server(Arc::new(record)));
            scene.member(&instance.id, Membership::InService);
            scene.listed().insert(instance.id.clone(), instance);
        }
        scene
    }

    fn listed(&mut self) -> &mut BTreeMap<InstanceId, Instance> {
        self.seen.instances.as_mut().unwrap()
    }

    fn member(&mut self, id: &InstanceId, membership: Membership) {
        let members = self.seen.balancers.values_mut().next().unwrap().as_mut().unwrap();
        members.insert(id.clone(), membership);
    }

    fn unlist(&mut self, n: usize) {
        self.listed().remove(&id(n));
        let members = self.seen.balancers.values_mut().next().unwrap().as_mut().unwrap();
        members.remove(&id(n));
    }

    /// One look, taken in.
    fn look(&mut self, policy: &Policy) -> Roster {
        for change in note(policy, &self.ledger, &self.seen) {
            self.ledger.apply(&change);
        }
        derive(policy, &self.ledger, &self.seen)
    }

    fn later(&mut self, span: Duration) {
        self.seen.now = time::after(self.seen.now, span);
    }

    fn record(&self, n: usize) -> &ServerRecord {
        self.ledger.servers.get(&token(n)).unwrap()
    }

    fn order(&mut self, key: OverrideKey) {
        let entry = Override {
            key,
            capacity: 0,
            owner: "ann".to_owned(),
            reason: "looking".to_owned(),
            since: now(),
            until: time::after(now(), minutes(60)),
            at_once: false,
        };
        self.ledger.apply(&Change::Override(entry));
    }

    /// What would be done, in words.
    fn planned(&mut self, policy: &Policy) -> Vec<String> {
        let roster = self.look(policy);
        let decisions = decide::all(policy, &roster);
        let plan = plan(policy, &roster, &decisions);
        plan.steps.iter().map(|step| step.text(&policy.zone)).collect()
    }
}

fn instance(record: &ServerRecord) -> Instance {
    Instance {
        id: record.instance().unwrap().clone(),
        lifecycle: Lifecycle::Running,
        launched_at: record.launched_at,
        instance_type: None,
        subnet: None,
        zone: None,
        private_ip: Some("10.0.0.1".into()),
        public_ip: None,
        private_dns: None,
        token: Some(record.token.text()),
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
    }
}

/// How the checks of a sick server went.
fn thrice_failed() -> Recent {
    Recent::default().then(false).then(false).then(false)
}

#[test]
fn a_server_that_was_taken_as_gone_and_appears_again_is_back_in_the_books() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    let lost = scene.listed()[&id(0)].clone();
    scene.unlist(0);
    scene.look(&web());
    scene.later(minutes(20));
    scene.look(&web());
    assert!(!scene.record(0).is_open(), "long missing");
    scene.listed().insert(id(0), lost);
    let roster = scene.look(&web());
    assert!(scene.record(0).is_open());
    assert_eq!(roster.fleets[&fleet()].capacity(), 2);
}

#[test]
fn what_its_balancer_sees_at_work_is_not_gone() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    scene.listed().remove(&id(0));
    scene.look(&web());
    scene.later(minutes(30));
    scene.look(&web());
    assert!(scene.record(0).is_open());
}

#[test]
fn servers_whose_end_was_asked_for_are_not_missed_in_the_list() {
    let ending = |n| ServerRecord { retirement: Some(retirement(1)), ..record(n, minutes(600)) };
    let mut scene = Scene::new(vec![ending(0), ending(1), ending(2), record(3, minutes(600))]);
    (0..3).for_each(|n| scene.unlist(n));
    assert!(scene.look(&web()).blind.is_none());
}

#[test]
fn a_launch_that_was_answered_late_has_its_time_from_then_on() {
    let mut late = record(0, minutes(30));
    (late.healthy_at, late.in_service_at) = (None, None);
    late.launched_at = Some(time::before(now(), minutes(1)));
    let mut scene = Scene::new(vec![late]);
    let failed = Health {
        at: now(),
        passed: Err("refused".to_owned()),
        recent: Recent::default().then(false),
    };
    scene.seen.health.insert(id(0), failed);
    scene.member(&id(0), Membership::OutOfService("not yet".to_owned()));
    let roster = scene.look(&web());
    assert_eq!(roster.fleets[&fleet()].servers[0].phase, Phase::Booting);
}

#[test]
fn a_time_that_no_boot_takes_is_no_boot_time() {
    let mut waited = record(0, minutes(300));
    waited.in_service_at = None;
    let mut quick = record(1, minutes(4));
    quick.in_service_at = None;
    let mut scene = Scene::new(vec![waited, quick]);
    scene.look(&web());
    assert_eq!(scene.ledger.fleets[&fleet()].boots, [minutes(4)].into_iter().collect());
}

#[test]
fn servers_stay_in_the_balancer_they_are_in_when_the_file_names_another() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    scene.look(&web());
    let elsewhere = policy(
        "act",
        "  app:\n    launch: { template: web }\n    load_balancer: { classic: front }\n    max: 3\n",
    );
    let none = policy("act", "  app:\n    launch: { template: web }\n    max: 3\n");
    for changed in [&elsewhere, &none] {
        let roster = scene.look(changed);
        let view = &roster.fleets[&fleet()];
        let web = Balancer::Classic("web".to_owned());
        assert_eq!(view.balancer, BalancerView::Readable(web));
        let steps = scene.planned(changed);
        assert!(steps.iter().any(|step| step.contains("deregister")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("terminate")), "{steps:?}");
    }
}

#[test]
fn a_sick_server_is_not_replaced_while_its_balancer_is_gone() {
    let sick = sick(0);
    let mut scene = Scene::new(vec![sick, record(1, minutes(600)), record(2, minutes(600))]);
    let before = scene.planned(&web());
    assert!(before.iter().any(|step| step.contains("retire")), "{before:?}");
    for kind in [FaultKind::BalancerNotFound, FaultKind::Ambiguous] {
        let members = scene.seen.balancers.values_mut().next().unwrap();
        *members = Err(Fault::new(kind, "X", ""));
        assert_eq!(scene.planned(&web()), [""; 0], "{kind:?}");
    }
}

#[test]
fn a_kept_server_is_left_alone_in_every_phase() {
    let draining = ServerRecord { retirement: Some(retirement(0)), ..record(2, minutes(600)) };
    let mut scene =
        Scene::new(vec![sick(0), record(1, minutes(600)), draining, record(3, minutes(600))]);
    scene.member(&id(2), Membership::Draining);
    let before = scene.planned(&web());
    assert!(before.iter().any(|step| step.contains(&id(0).to_string())), "{before:?}");
    assert!(before.iter().any(|step| step.contains(&id(2).to_string())), "{before:?}");
    scene.order(OverrideKey::Keep(id(0)));
    scene.order(OverrideKey::Keep(id(2)));
    scene.order(OverrideKey::Terminate(id(0)));
    let kept = scene.planned(&web());
    assert!(!kept.iter().any(|step| step.contains(&id(0).to_string())), "{kept:?}");
    assert!(!kept.iter().any(|step| step.contains(&id(2).to_string())), "{kept:?}");
    assert_eq!(scene.ledger.servers.ended().count(), 0);
}

#[test]
fn a_fleet_that_left_the_file_ends_its_retirements_in_its_own_mode() {
    let going = ServerRecord { retirement: Some(retirement(0)), ..record(0, minutes(600)) };
    let mut scene = Scene::new(vec![going]);
    scene.member(&id(0), Membership::Draining);
    let acting = policy(
        "observe",
        &format!("  app:\n    mode: act\n    launch: {{ template: web }}\n{WEB}"),
    );
    scene.look(&acting);
    let without = policy("observe", "  job: { launch: { template: job }, max: 1 }\n");
    let steps = scene.planned(&without);
    assert!(steps.iter().any(|step| step.contains("terminat")), "{steps:?}");
    // One that only ever observed changes nothing even then.
    let memory = FleetMemory { acting: Some(false), ..scene.ledger.fleets[&fleet()].clone() };
    scene.ledger.apply(&Change::Fleet(fleet(), Box::new(memory)));
    assert!(scene.planned(&without).is_empty());
}

#[test]
fn who_serves_is_not_scaled_in_on_the_strength_of_who_boots() {
    let lines = WEB.replace("min: 2\n    max: 3", "min: 2\n    max: 3\n    minimum_uptime: 45m");
    let policy = policy("act", &format!("  app:\n    launch: {{ template: web }}\n{lines}"));
    let young = ServerRecord { healthy_at: None, in_service_at: None, ..record(2, minutes(5)) };
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600)), young]);
    scene.member(&id(2), Membership::OutOfService("booting".to_owned()));
    assert_eq!(scene.planned(&policy), [""; 0], "the third may never serve");
    let decision = decide::all(&policy, &scene.look(&policy)).remove(&fleet()).unwrap();
    let rules: Vec<_> = decision.because.iter().map(Reason::rule).collect();
    assert!(rules.contains(&"awaits_service"), "{rules:?}");
    // Without a minimum uptime it is the one that boots that goes.
    let planned = scene.planned(&web());
    assert!(planned.iter().any(|step| step.contains(&format!("retire {}", id(2)))), "{planned:?}");
    scene.ledger.apply(&Change::Server(Arc::new(record(2, minutes(5)))));
    scene.member(&id(2), Membership::InService);
    let planned = scene.planned(&policy);
    assert!(planned.iter().any(|step| step.contains(&format!("retire {}", id(1)))), "{planned:?}");
}

/// Its health check fails from here, and its balancer, which asks from elsewhere, finds it well.
#[test]
fn the_only_server_of_a_fleet_is_not_replaced_against_its_balancers_word() {
    let lines = WEB.replace("min: 2\n    max: 3", "min: 1\n    max: 1");
    let policy = policy("act", &format!("  app:\n    launch: {{ template: web }}\n{lines}"));
    let sick = sick(0);
    let mut scene = Scene::new(vec![sick]);
    assert_eq!(scene.planned(&policy), [""; 0]);
    scene.member(&id(0), Membership::OutOfService("failed".to_owned()));
    let planned = scene.planned(&policy);
    assert!(planned.iter().any(|step| step.contains("retire")), "{planned:?}");
}

#[test]
fn when_the_only_servers_of_several_fleets_look_sick_at_once_none_is_replaced() {
    let one = "launch: { template: web }, health: { http: 'http://{private_ip}/' }, min: 1, max: 1";
    let policy = policy("act", &format!("  app: {{ {one} }}\n  job: {{ {one} }}\n"));
    let other =
        |record: ServerRecord| ServerRecord { fleet: FleetName::new("job").unwrap(), ..record };
    let mut scene = Scene::new(vec![sick(0), other(sick(1))]);
    assert_eq!(scene.planned(&policy), [""; 0]);
    scene.ledger.apply(&Change::Server(Arc::new(other(record(1, minutes(600))))));
    let planned = scene.planned(&policy);
    assert!(planned.iter().any(|step| step.contains(&format!("retire {}", id(0)))), "{planned:?}");
}

/// EC2 promises that it never happens. If it does, the second is paid for, and a person has to know.
#[test]
fn a_second_instance_with_one_of_our_tokens_is_told_of() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    let double = Instance { id: id(7), ..instance(&record(0, minutes(600))) };
    scene.listed().insert(id(7), double);
    let roster = scene.look(&web());
    assert_eq!(roster.strangers.get(&id(7)), Some(&Stranger::SameToken));
    assert_eq!(roster.strangers.len(), 1, "{:?}", roster.strangers);
}

/// By EC2's clock, whose launch time it is.
#[test]
fn a_host_whose_clock_is_ahead_makes_no_server_older() {
    let lines = WEB.replace("min: 2\n    max: 3", "min: 0\n    max: 3\n    minimum_uptime: 45m");
    let policy = policy("act", &format!("  app:\n    launch: {{ template: web }}\n{lines}"));
    let mut scene = Scene::new(vec![record(0, minutes(47))]);
    let goes = |planned: Vec<String>| planned.iter().any(|step| step.contains("retire"));
    assert!(goes(scene.planned(&policy)));
    scene.seen.clock_ahead = Some(jiff::SignedDuration::from_mins(4));
    assert!(!goes(scene.planned(&policy)), "it is up for 43 minutes");
    scene.seen.clock_ahead = Some(jiff::SignedDuration::from_mins(2));
    assert!(goes(scene.planned(&policy)), "to the minute");
    let server = scene.look(&policy).fleets[&fleet()].servers[0].clone();
    assert_eq!(server.uptime, Some(minutes(45)));
}

/// Every page fails, and of the others nobody can tell yet: EC2 has just begun to list them again, or
/// they have failed once.
#[test]
fn who_has_not_been_asked_is_no_witness_for_the_network() {
    let lines = WEB.replace("min: 2\n    max: 3", "min: 3\n    max: 3");
    let policy = policy("act", &format!("  app:\n    launch: {{ template: web }}\n{lines}"));
    let sick = sick(0);
    let others = [record(1, minutes(600)), record(2, minutes(600))];
    let mut scene = Scene::new([&[sick][..], &others].concat());
    let goes = |scene: &mut Scene| scene.planned(&policy).iter().any(|s| s.contains("retire"));
    assert!(goes(&mut scene), "two are well");
    let failed = Health {
        at: now(),
        passed: Err("refused".to_owned()),
        recent: Recent::default().then(false),
    };
    scene.seen.health.insert(id(1), failed);
    scene.listed().remove(&id(2));
    scene.seen.health.remove(&id(2));
    assert!(!goes(&mut scene), "one has failed, and one is not listed");
    scene.seen.health.clear();
    assert!(!goes(&mut scene), "nobody was asked");
    let passed = Health { at: now(), passed: Ok(()), recent: Recent::default().then(true) };
    scene.seen.health.insert(id(1), passed);
    assert!(goes(&mut scene), "one is well");
}
