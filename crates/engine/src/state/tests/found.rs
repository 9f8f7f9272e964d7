//! What becomes of servers that were found after the journal was lost, and do not serve.

use super::*;

/// Found `found_ago`, `age` old then, and out of its balancer, with a check that fails.
fn found(scene: &mut Scene, n: usize, found_ago: u64, age: u64) {
    let launched_at = time::before(now(), minutes(found_ago + age));
    let record = ServerRecord {
        planned_at: time::before(now(), minutes(found_ago)),
        request: None,
        launched_at: Some(launched_at),
        healthy_at: None,
        in_service_at: None,
        ..record(n, minutes(found_ago + age))
    };
    scene.listed().insert(id(n), instance(&record));
    scene.member(&id(n), Membership::OutOfService("Instance".to_owned()));
    let failing = Health { at: now(), passed: Err("HTTP 500".to_owned()), recent: thrice_failed() };
    scene.seen.health.insert(id(n), failing);
    scene.ledger.apply(&Change::Server(Arc::new(record)));
}

fn phase(scene: &mut Scene, n: usize) -> Phase {
    let roster = scene.look(&web());
    let servers = &roster.fleets[&fleet()].servers;
    servers.iter().find(|server| server.id() == Some(&id(n))).unwrap().phase.clone()
}

/// A launch of ours that was cut off from its record is a launch still.
#[test]
fn one_that_was_young_when_it_was_found_has_its_grace_and_no_more() {
    for (found_ago, age, expected) in
        [(5, 2, Phase::Booting), (9, 2, Phase::Overdue), (600, 2, Phase::Overdue)]
    {
        let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
        found(&mut scene, 2, found_ago, age);
        assert_eq!(phase(&mut scene, 2), expected, "found {found_ago} minutes ago");
    }
}

/// It may have served for months, so it has the protection of the sick: one at a time, and none
/// where most look sick. It does not count as capacity for ever.
#[test]
fn one_that_was_old_when_it_was_found_falls_sick() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    found(&mut scene, 2, 9, 6000);
    assert_eq!(phase(&mut scene, 2), Phase::Booting, "within its grace");
    found(&mut scene, 2, 10, 6000);
    assert_eq!(phase(&mut scene, 2), Phase::Sick { since: now() });
    scene.later(minutes(5));
    let planned = scene.planned(&web());
    assert!(planned.iter().any(|step| step.starts_with("retire i-")), "{planned:?}");

    let mut scene = Scene::new(vec![record(0, minutes(600))]);
    found(&mut scene, 1, 10, 6000);
    found(&mut scene, 2, 10, 6000);
    scene.look(&web());
    scene.later(minutes(5));
    let planned = scene.planned(&web());
    assert!(!planned.iter().any(|step| step.starts_with("retire")), "{planned:?}");
}

/// Where as many serve as should, none is kept for looking sick with most of its fellows.
#[test]
fn what_nobody_wants_is_not_kept_for_being_sick() {
    let none = policy(
        "act",
        &format!("  app:\n    launch: {{ template: web }}\n{WEB}").replace("min: 2", "min: 0"),
    );
    for (wanted, others, goes) in [(none, 0, true), (web(), 0, false), (web(), 2, true)] {
        let healthy = (2..2 + others).map(|n| record(n, minutes(600)));
        let servers = [record(0, minutes(600)), record(1, minutes(600)), record(8, minutes(600))];
        let mut scene = Scene::new(servers.into_iter().chain(healthy).collect());
        let failing =
            Health { at: now(), passed: Err("HTTP 500".to_owned()), recent: thrice_failed() };
        for n in [0, 1, 8] {
            scene.seen.health.insert(id(n), failing.clone());
        }
        for n in 2..2 + others {
            let well = Health { at: now(), passed: Ok(()), recent: Recent::default().then(true) };
            scene.seen.health.insert(id(n), well);
        }
        scene.look(&wanted);
        scene.later(minutes(5));
        let planned = scene.planned(&wanted);
        let retired = planned.iter().filter(|step| step.starts_with("retire")).count();
        assert_eq!(retired, usize::from(goes), "one at a time, or none: {planned:?}");
    }
}
