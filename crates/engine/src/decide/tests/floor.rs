//! A schedule's floor under a queue: what it adds goes when it falls.

use super::*;

/// At noon the floor is `floor`, by a line that fired at 11:00.
fn jobs(floor: u32, more: &str) -> Policy {
    policy(&format!(
        "    min: 1\n    max: 9\n    drain: {{ via: tag, deadline: 30m }}\n    schedule: [{{ cron: '0 8 * * *', capacity: 5 }}, {{ cron: '0 11 * * *', capacity: {floor} }}]\n    queue: {{ read: {{ http: 'http://q.example/' }}, scale_out: {{ above: 20 }}, scale_in: {{ below: 5{more} }} }}\n"
    ))
}

impl Scene {
    /// Of the desired capacity last decided, the queue asked for this.
    fn asked(mut self, asked: Option<u32>) -> Self {
        let memory = self.ledger.fleets[&fleet()].clone();
        self.ledger.apply(&Change::Fleet(fleet(), Box::new(FleetMemory { asked, ..memory })));
        self
    }

    /// Takes in what a decision leaves behind.
    fn remember(&mut self, decision: &Decision) {
        let memory = FleetMemory {
            target: Some(decision.target),
            asked: decision.asked,
            stepped_at_reading: decision.steps_on,
            ..self.ledger.fleets[&fleet()].clone()
        };
        self.ledger.apply(&Change::Fleet(fleet(), Box::new(memory)));
    }
}

#[test]
fn servers_of_a_floor_leave_with_it() {
    // The floor, what the queue asked for, what waits, and what is wanted.
    let cases = [
        (1, Some(1), 10, 1),
        (1, Some(3), 10, 3),
        (2, Some(1), 20, 2),
        (4, Some(1), 5, 4),
        // All of them are the queue's.
        (1, None, 10, 5),
        // The queue is long with all five at work.
        (1, Some(1), 21, 6),
        (1, Some(2), 4, 1),
    ];
    for (floor, asked, waiting, wanted) in cases {
        let scene = Scene::new(jobs(floor, ""), &[300; 5]).target(5).asked(asked);
        let decision = scene.reading(waiting).decide();
        assert_eq!(decision.wanted, wanted, "{floor} {asked:?} {waiting}: {decision:?}");
    }
}

#[test]
fn a_new_fleet_asks_for_no_more_than_min() {
    let first = Scene::new(jobs(5, ""), &[]).reading(10).decide();
    assert_eq!((first.desired, first.asked), (5, Some(1)));
}

#[test]
fn growth_above_a_floor_is_the_queue_s() {
    let scene = Scene::new(jobs(5, ""), &[300; 5]).target(5).asked(Some(1));
    let decision = scene.reading(30).decide();
    assert_eq!((decision.desired, decision.asked), (6, None));
    // At `max` there is nothing to add, and the queue asks for all that there is.
    let scene = Scene::new(jobs(9, ""), &[300; 9]).target(9).asked(Some(1));
    let decision = scene.reading(30).decide();
    assert_eq!((decision.desired, decision.asked, decision.steps_on), (9, None, None));
}

#[test]
fn steps_below_a_floor_are_remembered() {
    let mut scene = Scene::new(jobs(5, ""), &[300; 5]).target(5).asked(Some(3)).reading(2);
    let first = scene.decide();
    assert_eq!((first.desired, first.asked, first.steps_on), (5, Some(2), Some(noon())));
    scene.remember(&first);
    let again = scene.decide();
    assert_eq!((again.desired, again.asked, again.steps_on), (5, Some(2), None), "one a reading");
    let least = Scene::new(jobs(5, ""), &[300; 5]).target(5).asked(Some(1)).reading(2).decide();
    assert_eq!((least.desired, least.asked, least.steps_on), (5, Some(1), None));
    // The steps wait for the stabilization window, as those of servers do.
    let waits = Scene::new(jobs(5, ", after: 10m"), &[300; 5]).target(5).asked(Some(3)).reading(2);
    assert_eq!(waits.decide().asked, Some(3));
}

#[test]
fn a_gap_releases_no_server_of_a_floor() {
    let scene = Scene::new(jobs(1, ""), &[300; 5]).target(5).asked(Some(1));
    let decision = scene.readings(&[(0, None)]).decide();
    assert_eq!((decision.desired, decision.asked), (5, Some(1)));
}

#[test]
fn an_edit_that_lowers_a_floor_awaits_approval() {
    for (asked, wanted, awaits) in [(Some(1), 5, true), (Some(3), 3, false), (None, 5, false)] {
        let mut scene = Scene::new(jobs(1, ""), &[300; 5]).target(5).asked(asked).reading(10);
        let memory = scene.ledger.fleets[&fleet()].clone();
        let decided_by = Some("another policy".into());
        let memory = FleetMemory { decided_by, ..memory };
        scene.ledger.apply(&Change::Fleet(fleet(), Box::new(memory)));
        let decision = scene.decide();
        assert_eq!(decision.wanted, wanted, "{asked:?}: {decision:?}");
        assert_eq!(rules(&decision).contains(&"awaits_approval"), awaits, "{decision:?}");
    }
}
