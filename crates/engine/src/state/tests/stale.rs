//! What EC2 showed before and shows otherwise now.

use jiff::SignedDuration;

use super::*;
use crate::model::server::{Asked, GoneHow};

/// No instance comes back from its end: EC2's list does, for a while, and nobody is ended by it.
#[test]
fn who_was_terminated_is_not_back_in_a_list_that_is_old() {
    let up = minutes(600);
    let mut scene = Scene::new((0..4).map(|n| record(n, up)).collect());
    let ended = |scene: &mut Scene, lifecycle| {
        scene.listed().get_mut(&id(0)).unwrap().lifecycle = lifecycle;
    };
    ended(&mut scene, Lifecycle::Terminated);
    scene.member(&id(0), Membership::OutOfService("gone".to_owned()));
    scene.look(&web());
    scene.later(minutes(5));
    ended(&mut scene, Lifecycle::Running);
    let roster = scene.look(&web());
    assert_eq!(roster.doubt, Some(Doubt::Old(id(0))));
    assert_eq!(roster.fleets[&fleet()].servers.len(), 3);
    scene.order(OverrideKey::Terminate(id(1)));
    assert!(scene.planned(&web()).is_empty(), "{:?}", scene.planned(&web()));
    // What EC2 goes on saying is believed in the end: it had said wrongly that it was terminated.
    scene.later(minutes(10));
    let roster = scene.look(&web());
    assert_eq!((roster.doubt, roster.fleets[&fleet()].servers.len()), (None, 4));
    assert!(!scene.planned(&web()).is_empty());
}

/// It boots once more: until its time is over its check may fail, and then it is sick, not a launch
/// that failed.
#[test]
fn a_server_that_was_stopped_and_started_has_its_time_anew() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    scene.look(&web());
    scene.later(minutes(1));
    let started = scene.seen.now;
    scene.listed().get_mut(&id(0)).unwrap().launched_at = Some(started);
    let failed =
        || Health { at: now(), passed: Err("refused".to_owned()), recent: thrice_failed() };
    scene.seen.health.insert(id(0), failed());
    scene.member(&id(0), Membership::OutOfService("failed".to_owned()));
    scene.later(minutes(5));
    assert!(scene.planned(&web()).is_empty(), "{:?}", scene.planned(&web()));
    let phase = |roster: &Roster, n| {
        let servers = &roster.fleets[&fleet()].servers;
        servers.iter().find(|server| server.id() == Some(&id(n))).unwrap().phase.clone()
    };
    assert_eq!(phase(&scene.look(&web()), 0), Phase::Booting);
    // A list that is out of date takes nothing back.
    scene.listed().get_mut(&id(0)).unwrap().launched_at = Some(time::before(now(), minutes(600)));
    assert_eq!(phase(&scene.look(&web()), 0), Phase::Booting);
    scene.later(minutes(5));
    let since = scene.seen.now;
    assert_eq!(phase(&scene.look(&web()), 0), Phase::Sick { since });
    assert_eq!(scene.record(0).healthy_at, None);
    // Once it is healthy it is taken out, since it can be put in again; once.
    let passed = Health { at: now(), passed: Ok(()), recent: Recent::default().then(true) };
    scene.seen.health.insert(id(0), passed);
    let out = [format!("deregister {} from load balancer web", id(0))];
    assert_eq!(scene.planned(&web()), out);
    let cleared_at = Some(scene.seen.now);
    let cleared = ServerRecord { cleared_at, ..scene.record(0).clone() };
    scene.ledger.apply(&Change::Server(Arc::new(cleared)));
    assert!(scene.planned(&web()).is_empty(), "{:?}", scene.planned(&web()));
}

/// A tag or a volume may keep it, and nobody can see that.
#[test]
fn an_order_to_end_one_that_is_not_listed_waits_until_it_is() {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    scene.order(OverrideKey::Terminate(id(0)));
    let lost = scene.listed().remove(&id(0)).unwrap();
    assert_eq!(scene.planned(&web()), Vec::<String>::new());
    scene.listed().insert(id(0), lost.clone());
    let planned = scene.planned(&web());
    assert_eq!(planned.first(), Some(&format!("retire {}: asked by ann: looking", id(0))));
    let kept = Instance { tags: OurTags { keep: true, ..lost.tags.clone() }, ..lost };
    scene.listed().insert(id(0), kept);
    assert_eq!(scene.planned(&web()), Vec::<String>::new());
}

/// One whose termination EC2 has refused each time should be in the list as any other; one where some
/// ask may have been heard need not be.
#[test]
fn one_that_ec2_refused_to_end_is_missed_and_not_taken_for_ended() {
    for (refusals, ended) in [(2, false), (1, true)] {
        let refused = Retirement { stage: terminating(2, refusals, now()), ..retirement(2) };
        let leaves = ServerRecord { retirement: Some(refused), ..record(0, minutes(600)) };
        let others = (1..4).map(|n| record(n, minutes(600)));
        let mut scene = Scene::new(std::iter::once(leaves).chain(others).collect());
        scene.unlist(0);
        assert!(scene.look(&web()).blind.is_none());
        scene.later(minutes(16));
        scene.look(&web());
        let how = scene.record(0).gone.clone().map(|gone| gone.how);
        assert_eq!(how, Some(if ended { GoneHow::Retired } else { GoneHow::Vanished }));

        let leaves = scene.record(0).clone();
        let mut scene = Scene::new((1..4).map(|n| record(n, minutes(600))).collect());
        let still = ServerRecord { gone: None, absent_since: None, ..leaves };
        scene.ledger.apply(&Change::Server(Arc::new(still)));
        scene.unlist(1);
        assert_eq!(scene.look(&web()).blind.is_some(), !ended, "two are missing, or one");
    }
}

/// It had been put into its load balancer and had not served: it is put in anew all the same.
#[test]
fn server_restarted_before_it_served_is_registered_anew() {
    let booting = ServerRecord { in_service_at: None, ..record(0, minutes(5)) };
    let mut scene = Scene::new(vec![booting, record(1, minutes(600))]);
    let outs = |scene: &mut Scene| {
        let planned = scene.planned(&web()).into_iter();
        planned.filter(|step| step.starts_with("deregister")).collect::<Vec<_>>()
    };
    let dead = || Membership::OutOfService("failed".to_owned());
    scene.member(&id(0), dead());
    scene.look(&web());
    // Until it is started again, its load balancer may just not have found it well yet.
    assert_eq!(outs(&mut scene), Vec::<String>::new());
    scene.later(minutes(1));
    scene.listed().get_mut(&id(0)).unwrap().lifecycle = Lifecycle::Stopped;
    let out = [format!("deregister {} from load balancer web", id(0))];
    assert_eq!(outs(&mut scene), out);
    // That call failed, and then it is started.
    scene.later(minutes(1));
    let started = scene.seen.now;
    let again = scene.listed().get_mut(&id(0)).unwrap();
    (again.lifecycle, again.launched_at) = (Lifecycle::Running, Some(started));
    scene.later(minutes(3));
    let passed = Health { at: now(), passed: Ok(()), recent: Recent::default().then(true) };
    scene.seen.health.remove(&id(0));
    assert_eq!(outs(&mut scene), Vec::<String>::new(), "it boots once more");
    scene.seen.health.insert(id(0), passed);
    assert_eq!(outs(&mut scene), out, "once it is healthy");
    let cleared_at = Some(scene.seen.now);
    let cleared = ServerRecord { cleared_at, ..scene.record(0).clone() };
    scene.ledger.apply(&Change::Server(Arc::new(cleared)));
    assert_eq!(outs(&mut scene), Vec::<String>::new(), "once for each start");
    scene.member(&id(0), Membership::InService);
    scene.look(&web());
    let record = scene.record(0);
    assert_eq!((record.restarted_at, record.cleared_at), (None, None));
    assert!(record.in_service_at.is_some());
}

/// Whether a server was stopped before it was found is not known. It is put in anew once, and never
/// while its load balancer, which finds no member healthy, may send it traffic all the same.
#[test]
fn found_server_out_of_service_is_registered_anew() {
    for (others_serve, cleared, anew) in [(true, false, 1), (false, false, 0), (true, true, 0)] {
        let mut found = record(0, minutes(5));
        (found.request, found.in_service_at) = (None, None);
        found.cleared_at = cleared.then(now);
        let mut scene = Scene::new(vec![found, record(1, minutes(600))]);
        let dead = || Membership::OutOfService("failed".to_owned());
        scene.member(&id(0), dead());
        if !others_serve {
            scene.member(&id(1), dead());
        }
        let planned = scene.planned(&web());
        let out = planned.iter().filter(|step| step.starts_with("deregister")).count();
        assert_eq!(out, anew, "{planned:?}");
    }
}

/// EC2 shows a server for an hour after its end: a list without those that were just ended lacks others
/// too. The same holds of servers that were taken as gone by their absence alone.
#[test]
fn incomplete_list_proves_no_single_absence() {
    let ending = |asked_ago: u64| {
        let last_asked_at = time::before(now(), minutes(asked_ago));
        Retirement { stage: terminating(1, 0, last_asked_at), ..retirement(1) }
    };
    for (asked_ago, after) in [(20, 35), (40, 15)] {
        let ends = ServerRecord { retirement: Some(ending(asked_ago)), ..record(0, minutes(600)) };
        let others = (1..4).map(|n| record(n, minutes(600)));
        let mut scene = Scene::new(std::iter::once(ends).chain(others).collect());
        scene.unlist(0);
        scene.look(&web());
        scene.later(minutes(5));
        scene.unlist(1);
        let missed = scene.seen.now;
        let gone_after = (0..90).find(|_| {
            assert!(scene.look(&web()).blind.is_none(), "launches go on");
            if scene.record(1).is_open() {
                scene.later(minutes(1));
            }
            !scene.record(1).is_open()
        });
        assert!(gone_after.is_some());
        assert_eq!(time::since(scene.seen.now, missed), minutes(after), "asked {asked_ago}m ago");
        assert_eq!(scene.record(1).gone.clone().unwrap().how, GoneHow::Vanished);
        // Another one within the hour is not believed sooner for it.
        scene.unlist(2);
        scene.look(&web());
        scene.later(minutes(20));
        scene.look(&web());
        assert!(scene.record(2).is_open(), "two in twenty minutes");
        scene.later(minutes(45));
        scene.look(&web());
        assert!(!scene.record(2).is_open(), "a list that says the same for an hour is believed");
    }
}

/// A host clock that is set forward makes no absence longer than it was, neither that of a server nor
/// that of a launch without an answer.
#[test]
fn absence_is_measured_by_the_clock_of_ec2() {
    let asked = Asked { attempts: 2, last_attempt_at: now(), in_doubt: true, last_fault: None };
    let unanswered = ServerRecord {
        launch: LaunchState::Asked(asked),
        launched_at: None,
        healthy_at: None,
        in_service_at: None,
        ..record(9, minutes(3))
    };
    let mut scene = Scene::new((0..3).map(|n| record(n, minutes(600))).collect());
    scene.ledger.apply(&Change::Server(Arc::new(unanswered)));
    scene.unlist(0);
    let at = |scene: &mut Scene, minute: u64, ahead: i64| {
        let ahead = SignedDuration::from_mins(ahead);
        scene.seen.now = time::after(now(), minutes(minute)).checked_add(ahead).unwrap();
        scene.seen.clock_ahead = Some(ahead);
        scene.look(&web());
        (scene.record(0).is_open(), scene.record(9).is_open())
    };
    assert_eq!(at(&mut scene, 0, -4), (true, true));
    assert_eq!(at(&mut scene, 14, 4), (true, true), "22 minutes by the host");
    assert_eq!(at(&mut scene, 15, -4), (false, true), "7 minutes by the host");
    assert_eq!(at(&mut scene, 24, 4), (false, true), "32 minutes by the host");
    assert_eq!(at(&mut scene, 25, 0), (false, false));
    assert_eq!(scene.record(9).gone.clone().unwrap().how, GoneHow::NeverWas);
}

/// A host clock that is set back makes no server too young to count as missing.
#[test]
fn young_servers_missing_together_are_not_gone() {
    let mut scene = Scene::new((0..3).map(|n| record(n, minutes(1))).collect());
    (0..3).for_each(|n| scene.unlist(n));
    scene.seen.clock_ahead = Some(SignedDuration::ZERO);
    scene.look(&web());
    for minute in 1..40 {
        let ahead = SignedDuration::from_mins(-4);
        scene.seen.now = time::after(now(), minutes(minute)).checked_add(ahead).unwrap();
        scene.seen.clock_ahead = Some(ahead);
        scene.look(&web());
        assert!((0..3).all(|n| scene.record(n).is_open()), "gone after {minute} minutes");
    }
}
