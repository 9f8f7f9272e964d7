//! The brakes over all fleets, as the journal's records put them on.

use jiff::SignedDuration;

use super::*;
use crate::model::server::{Asked, Gone, GoneHow};

/// Launches within the window count, whatever became of them; refusals do not.
#[test]
fn launches_are_braked_by_what_the_journal_knows() {
    let braked = policy(
        "act",
        &format!("  app:\n    launch: {{ template: web }}\n{WEB}").replace("min: 2", "min: 3"),
    );
    let braked = Policy {
        limits: crate::policy::Limits {
            launch: Some(crate::model::rate::Rate { count: 2, per: minutes(60) }),
            ..braked.limits
        },
        ..braked
    };
    let gone = |n: usize, ago: u64, how: GoneHow, launch: LaunchState| ServerRecord {
        gone: Some(Gone { at: time::before(now(), minutes(1)), how }),
        launch,
        healthy_at: None,
        ..record(n, minutes(ago))
    };
    let died = |n, ago| {
        gone(n, ago, GoneHow::BehindOurBack("died".to_owned()), LaunchState::Launched(id(n)))
    };
    let asked = Asked { attempts: 2, last_attempt_at: now(), in_doubt: true, last_fault: None };
    let unseen =
        gone(8, 30, GoneHow::BehindOurBack("came and went".to_owned()), LaunchState::Asked(asked));
    let given_up = |in_doubt| {
        let fault = Fault::new(FaultKind::Throttled, "RequestLimitExceeded", "too many");
        let asked =
            Asked { attempts: 2, last_attempt_at: now(), in_doubt, last_fault: Some(fault) };
        gone(8, 30, GoneHow::NeverWas, LaunchState::Asked(asked))
    };
    let fault = Fault::new(FaultKind::NoCapacity, "InsufficientInstanceCapacity", "none");
    let refused = gone(9, 30, GoneHow::NeverWas, LaunchState::Refused(fault));
    let cases = [
        (vec![died(5, 59), died(6, 5)], false),
        (vec![died(5, 61), died(6, 5)], true),
        (vec![unseen.clone(), died(6, 5)], false),
        (vec![refused.clone(), died(6, 5)], true),
        // It may have made an instance that EC2 has yet to list; a refused launch has not.
        (vec![given_up(true), died(6, 5)], false),
        (vec![given_up(false), died(6, 5)], true),
    ];
    for (ended, launches) in cases {
        let mut scene = Scene::new((0..2).map(|n| record(n, minutes(600))).collect());
        for record in ended {
            scene.ledger.apply(&Change::Server(Arc::new(record)));
        }
        let planned = scene.planned(&braked);
        let launched = planned.iter().any(|step| step.starts_with("launch"));
        assert_eq!(launched, launches, "{planned:?}");
    }
}

/// A host clock that is set forward by four minutes lets no launch through early, and one that is set
/// back holds none up.
#[test]
fn rates_are_measured_by_the_clock_of_ec2() {
    let limits = crate::policy::Limits {
        launch: Some(crate::model::rate::Rate { count: 2, per: minutes(60) }),
        terminate: Some(crate::model::rate::Rate { count: 1, per: minutes(10) }),
        ..web().limits
    };
    let braked = Policy { limits, ..web() };
    // By EC2's clock both were `ago`; by the host's of then, four minutes earlier or later.
    let noted = |n: usize, ago: u64, host: u64| {
        let of_ec2 = time::before(now(), minutes(ago));
        let begun_at = time::before(now(), minutes(host));
        let begun = Retirement { begun_at, begun_at_ec2: Some(of_ec2), ..retirement(0) };
        let retirement = Some(begun);
        ServerRecord { planned_at_ec2: Some(of_ec2), retirement, ..record(n, minutes(host)) }
    };
    for (ago, host, of_late) in [(58, 62, 1), (62, 58, 0), (9, 13, 1), (11, 7, 0)] {
        let mut scene = Scene::new(vec![noted(0, ago, host)]);
        scene.seen.clock_ahead = Some(SignedDuration::ZERO);
        let roster = scene.look(&braked);
        let found = if ago > 30 { roster.recent_launches } else { roster.recent_retirements };
        assert_eq!(found.len(), of_late, "{ago} minutes ago, {host} by the host");
    }
    // The host is three minutes ahead now: the window is EC2's.
    let mut scene = Scene::new(vec![noted(0, 58, 58), noted(1, 59, 59)]);
    scene.seen.now = time::after(now(), minutes(3));
    scene.seen.clock_ahead = Some(SignedDuration::from_mins(3));
    assert_eq!(scene.look(&braked).recent_launches.len(), 2);
}
