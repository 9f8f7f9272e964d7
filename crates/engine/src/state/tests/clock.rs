//! What is learned of a queue while this host's clock is wrong, and when it has been set right.
#![expect(clippy::float_cmp, reason = "whole numbers, and a zero that nothing was added to")]

use jiff::SignedDuration;

use super::*;
use crate::model::reading::Reading;

const QUEUE: &str = "  app:\n    launch: { template: web }\n    max: 9\n    queue: { read: { http: 'http://queue/' }, every: 5m, start_within: 15m, jobs_at_once: 1 }\n";

/// So many wait at this look; then what the fleet thinks: who waits, and the oldest for how long.
fn waits(scene: &mut Scene, jobs: u64) -> (f64, Duration) {
    scene.seen.readings = [(fleet(), Reading::known(scene.seen.now, jobs))].into();
    let roster = scene.look(&policy("act", QUEUE));
    let work = roster.fleets[&fleet()].memory.work.clone().unwrap_or_default();
    let oldest = work.cohorts.front().map(|cohort| time::since(scene.seen.now, cohort.from));
    (work.cohorts.iter().map(|cohort| cohort.jobs).sum(), oldest.unwrap_or_default())
}

/// The first look, at which ten wait, and one five minutes later with twenty.
fn twenty_wait() -> Scene {
    let mut scene = Scene::new(vec![record(0, minutes(600)), record(1, minutes(600))]);
    waits(&mut scene, 10);
    scene.later(minutes(5));
    assert_eq!(waits(&mut scene, 20), (20.0, minutes(5)));
    scene
}

#[test]
fn after_the_clock_is_set_back_the_queue_is_followed_at_once() {
    let mut scene = twenty_wait();
    // Two hours too early from here on: they have waited no longer for that.
    scene.seen.now = time::before(scene.seen.now, minutes(120));
    let (jobs, oldest) = waits(&mut scene, 12);
    assert_eq!(jobs.round(), 12.0);
    assert!(oldest <= minutes(5), "{oldest:?}");
    scene.later(minutes(5));
    let (_, oldest) = waits(&mut scene, 12);
    assert!((minutes(5)..=minutes(10)).contains(&oldest), "{oldest:?}");
    scene.later(minutes(5));
    assert_eq!(waits(&mut scene, 0), (0.0, Duration::ZERO));
    let work = scene.ledger.fleets[&fleet()].work.clone().unwrap();
    assert_eq!(work.late, 0.0, "nobody was late");
}

#[test]
fn a_clock_that_is_wrong_teaches_nothing() {
    let mut scene = twenty_wait();
    let before = scene.ledger.fleets[&fleet()].work.clone();
    scene.later(minutes(125));
    scene.seen.clock_ahead = Some(SignedDuration::from_mins(120));
    waits(&mut scene, 8);
    assert_eq!(scene.ledger.fleets[&fleet()].work, before, "two hours too late");
    // Set right: ten minutes have passed.
    scene.seen.now = time::after(now(), minutes(15));
    scene.seen.clock_ahead = Some(SignedDuration::ZERO);
    let (jobs, oldest) = waits(&mut scene, 8);
    assert_eq!(jobs.round(), 8.0);
    assert!(oldest <= minutes(15), "{oldest:?}");
    let work = scene.ledger.fleets[&fleet()].work.clone().unwrap();
    assert_eq!(work.late, 0.0, "nobody was late");
}
