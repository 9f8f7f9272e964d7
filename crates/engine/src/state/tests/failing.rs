//! What launches that fail forbid.

use super::*;
use crate::model::server::{Asked, Gone, GoneHow};

/// Where launches fail and terminations work, whoever goes is gone.
#[test]
fn while_launches_fail_nobody_is_scaled_in_and_no_full_fleet_loses_its_sick() {
    let refused = |ago: u64| {
        let fault = Fault::new(FaultKind::Throttled, "RequestLimitExceeded", "too many");
        let planned_at = time::before(now(), minutes(ago));
        ServerRecord {
            planned_at,
            launch: LaunchState::Refused(fault),
            launched_at: None,
            healthy_at: None,
            in_service_at: None,
            gone: Some(Gone { at: planned_at, how: GoneHow::NeverWas }),
            ..record(9, minutes(ago))
        }
    };
    let three = || (0..3).map(|n| record(n, minutes(600)));
    let retired = |scene: &mut Scene| {
        scene.planned(&web()).iter().filter(|step| step.starts_with("retire")).count()
    };
    for (ago, goes) in [(5, false), (25, true)] {
        let mut scene = Scene::new(three().collect());
        scene.ledger.apply(&Change::Server(Arc::new(refused(ago))));
        let roster = scene.look(&web());
        let decision = &decide::all(&web(), &roster)[&fleet()];
        let rules: Vec<&str> = decision.because.iter().map(Reason::rule).collect();
        assert_eq!(rules.contains(&"launches_fail"), !goes, "{ago}: {rules:?}");
        assert_eq!(retired(&mut scene), usize::from(goes), "{ago}");
    }
    // One launch that went well since, and all is well.
    let mut scene = Scene::new(three().chain([record(3, minutes(2))]).collect());
    scene.ledger.apply(&Change::Server(Arc::new(refused(5))));
    assert_eq!(scene.look(&web()).fleets[&fleet()].failing, None);
    // A launch of another fleet that nobody answers says that EC2 does not.
    let asked = Asked { attempts: 2, last_attempt_at: now(), in_doubt: true, last_fault: None };
    let other = ServerRecord {
        fleet: FleetName::new("job").unwrap(),
        launch: LaunchState::Asked(asked),
        gone: None,
        ..refused(1)
    };
    let mut scene = Scene::new(three().collect());
    scene.ledger.apply(&Change::Server(Arc::new(other)));
    assert!(scene.look(&web()).fleets[&fleet()].failing.is_some());

    // A full fleet with a sick server: its replacement could not come.
    for (ago, goes) in [(5, false), (25, true)] {
        let mut scene = Scene::new(three().collect());
        scene.order(OverrideKey::Hold(fleet()));
        if let Some(hold) = scene.ledger.overrides.get_mut(&OverrideKey::Hold(fleet())) {
            hold.capacity = 3;
        }
        scene.ledger.apply(&Change::Server(Arc::new(refused(ago))));
        let sick =
            Health { at: now(), passed: Err("HTTP 500".to_owned()), recent: thrice_failed() };
        scene.seen.health.insert(id(0), sick.clone());
        scene.look(&web());
        scene.later(minutes(4));
        scene.seen.health.insert(id(0), Health { at: scene.seen.now, ..sick });
        assert_eq!(retired(&mut scene), usize::from(goes), "{ago}");
    }
}

/// A person and the rules mean the same server: it goes once, or the plan would be dropped.
#[test]
fn a_sick_server_whose_end_is_ordered_goes_once() {
    let late = ServerRecord { healthy_at: None, in_service_at: None, ..sick(0) };
    let overdue = ServerRecord { sick_since: None, ..late };
    for ails in [sick(0), overdue] {
        let mut scene = Scene::new([ails, record(1, minutes(600)), record(2, minutes(600))].into());
        scene.seen.health.insert(
            id(0),
            Health { at: now(), passed: Err("HTTP 500".to_owned()), recent: thrice_failed() },
        );
        scene.member(&id(0), Membership::OutOfService("it fails".to_owned()));
        let by_rule = scene.planned(&web());
        assert_eq!(by_rule.iter().filter(|step| step.starts_with("retire")).count(), 1);
        scene.order(OverrideKey::Terminate(id(0)));
        let planned = scene.planned(&web());
        let retired: Vec<_> = planned.iter().filter(|step| step.starts_with("retire")).collect();
        assert_eq!(retired, [&format!("retire {}: asked by ann: looking", id(0))], "{planned:?}");
    }
}

/// A launch that nobody has answered is asked for again, but not where its fleet is full without it.
#[test]
fn a_launch_is_not_asked_for_again_where_its_fleet_is_full() {
    let asked = Asked { attempts: 2, last_attempt_at: now(), in_doubt: false, last_fault: None };
    let unanswered = ServerRecord {
        launch: LaunchState::Asked(asked),
        launched_at: None,
        healthy_at: None,
        in_service_at: None,
        ..record(9, minutes(3))
    };
    for (there, again) in [(2, 1), (3, 0)] {
        let mut servers: Vec<ServerRecord> = (0..there).map(|n| record(n, minutes(600))).collect();
        // Sick ones are no capacity, so that the launch is wanted.
        servers[0] = ServerRecord { sick_since: Some(now()), ..servers[0].clone() };
        servers[1] = ServerRecord { sick_since: Some(now()), ..servers[1].clone() };
        let mut scene = Scene::new(servers);
        scene.ledger.apply(&Change::Server(Arc::new(unanswered.clone())));
        scene.later(minutes(2));
        let planned = scene.planned(&web());
        let asks = planned.iter().filter(|step| step.starts_with("ask again")).count();
        assert_eq!(asks, again, "{there}: {planned:?}");
    }
}
