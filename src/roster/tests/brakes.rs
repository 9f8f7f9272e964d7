//! The brakes over all fleets, as the journal's records put them on.

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
            launch: Some(crate::policy::Rate { count: 2, per: minutes(60) }),
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
        // It may have made an instance that EC2 has yet to list; one that was turned away has not.
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
