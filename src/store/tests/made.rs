//! What the tests of the store write: one change of every kind, a server in every state.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};
use tidegate_engine::model::ledger::{
    Change, Event, EventKind, FleetMemory, LastDecision, OpenProblem, Override, OverrideKey,
};
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage, Termination};
use tidegate_engine::model::server::{Asked, Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::{Clocks, Timestamp};
use tidegate_engine::model::work::{Cohort, Counts, Inferred, WorkMemory};

pub(super) fn now() -> Timestamp {
    "2026-03-02T18:00:00Z".parse().unwrap()
}

pub(super) fn fleet() -> FleetName {
    FleetName::new("app").unwrap()
}

pub(super) fn season() -> tidegate_engine::model::season::Season {
    let mut season = tidegate_engine::model::season::Season::default();
    for week in 0..3 {
        let at = tidegate_engine::model::time::after(now(), Duration::from_hours(168 * week));
        season.learn(at, tidegate_engine::model::time::after(at, Duration::from_mins(40)), 12.5);
    }
    season
}

pub(super) fn record(token: &str) -> ServerRecord {
    let request = LaunchRequest {
        token: Token::from_stored(token),
        image: Image::Template { name: "web".to_owned(), version: "7".to_owned() },
        pool: Pool { instance_type: Some("t3.small".into()), subnet: Some("subnet-1".into()) },
        key_pair: Some("main".to_owned()),
        security_groups: vec!["sg-1".to_owned()],
        instance_profile: None,
        user_data: "DB=10.1.2.3;ROLE=app".to_owned(),
        tags: Arc::new([("a".to_owned(), "b".to_owned())].into()),
        drains: false,
    };
    ServerRecord::planned(request.into(), fleet(), Clocks::new(now(), None))
}

/// A server in each state that can be stored.
pub(super) fn records() -> Vec<ServerRecord> {
    let fault = || Fault::new(FaultKind::NoCapacity, "InsufficientInstanceCapacity", "none left");
    let reasons = [
        RetireReason::ScaleIn,
        RetireReason::NeverHealthy {
            waited: Duration::from_secs(601),
            last: Some("answered 403".to_owned()),
        },
        RetireReason::Sick { since: now() },
        RetireReason::StuckPending { waited: Duration::from_mins(30) },
        RetireReason::Operator { who: "ann".to_owned(), why: "broken disk".to_owned() },
    ];
    let ends = [
        GoneHow::NeverWas,
        GoneHow::Retired,
        GoneHow::BehindOurBack("Client.UserInitiatedShutdown".to_owned()),
        GoneHow::Vanished,
    ];
    let mut records = vec![record("t-asked")];
    let mut doubted = record("t-doubted");
    let asked =
        Asked { attempts: 3, last_attempt_at: now(), in_doubt: false, last_fault: Some(fault()) };
    doubted.launch = LaunchState::Asked(asked);
    records.push(doubted);
    let mut refused = record("t-refused");
    refused.launch = LaunchState::Refused(fault());
    records.push(refused);
    let terminating = |deregistered_at| {
        Stage::Terminating(Termination {
            deregistered_at,
            last_asked_at: now(),
            asks: 2,
            refusals: 1,
        })
    };
    let stages = [
        Stage::Begun,
        Stage::Deregistered { at: now() },
        terminating(None),
        terminating(Some(now())),
    ];
    let mut stages = stages.into_iter().cycle();
    for (n, why) in reasons.into_iter().enumerate() {
        let mut leaving = record(&format!("t-leaving-{n}"));
        leaving.launch = LaunchState::Launched(InstanceId::new(&format!("i-{n}")));
        leaving.launched_at = Some(now());
        leaving.private_ip = Some("10.0.0.1".into());
        leaving.healthy_at = Some(now());
        leaving.in_service_at = Some(now());
        leaving.sick_since = Some(now());
        leaving.absent_since = Some(now());
        leaving.cleared_at = Some(now());
        leaving.restarted_at = Some(now());
        leaving.retirement = Some(Retirement {
            why,
            begun_at: now(),
            begun_at_ec2: Some(now()),
            drain: None,
            stage: stages.next().unwrap(),
        });
        records.push(leaving);
    }
    for (n, how) in ends.into_iter().enumerate() {
        let mut gone = record(&format!("t-gone-{n}"));
        gone.request = None;
        gone.gone = Some(Gone { at: now(), how });
        records.push(gone);
    }
    records
}

pub(super) fn memory() -> FleetMemory {
    FleetMemory {
        target: Some(3),
        asked: Some(1),
        stepped_at_reading: Some(now()),
        boots: [Duration::from_secs(90), Duration::from_millis(1500)].into_iter().collect(),
        last_decision: Some(Arc::new(LastDecision {
            at: now(),
            from: 2,
            to: 3,
            marks: ["schedule 31".to_owned()].into(),
            text: "because".to_owned(),
        })),
        balancer: Some((Balancer::TargetGroup("web".to_owned()), Duration::from_secs(30))),
        work: Some(Arc::new(WorkMemory {
            season: Some(Arc::new(season())),
            cohorts: [Cohort { from: now(), to: now(), jobs: 2.5 }].into(),
            busy_seconds: 1234.5,
            completed: 3.25,
            surprise: 1.5,
            started: 17.0,
            late: 0.5,
            inferred: Inferred {
                job_takes: Some(239.5),
                running_told: true,
                pace: -0.25,
                grown: -2.0,
                backlogs: 3,
                serving: 4.0,
                draining: [(Token::from_stored("tg-main-1"), now())].into(),
            },
            last: Some(Counts {
                at: now(),
                waiting: 7.0,
                running: 4.0,
                arrived: Some(9120),
                completed: None,
            }),
        })),
        ..FleetMemory::default()
    }
}

/// One change of every kind.
pub(super) fn changes() -> Vec<Change> {
    let over = |key| Override {
        key,
        capacity: 3,
        owner: "ann".to_owned(),
        reason: "launch day".to_owned(),
        since: now(),
        until: now(),
        at_once: false,
    };
    let id = InstanceId::new("i-1");
    let event = Event {
        at: now(),
        kind: EventKind::Action,
        fleet: Some(fleet()),
        instance: Some(id.clone()),
        text: "launched".to_owned(),
    };
    let work = Work { running: Some(4), arrived: Some(9120), completed: Some(9079), busy: None };
    let oldest = Depth { waiting: 7, oldest: Some(Duration::from_secs(61)), work };
    let mut changes: Vec<Change> =
        records().into_iter().map(|r| Change::Server(Arc::new(r))).collect();
    changes.extend([
        Change::Account(Account { id: "123456789012".into(), region: "eu-west-1".into() }),
        Change::Fleet(fleet(), Box::new(memory())),
        Change::Reading(fleet(), Reading::known(now(), 7)),
        Change::Reading(
            fleet(),
            Reading::unreadable(
                tidegate_engine::model::time::after(now(), Duration::from_secs(1)),
                "HTTP 503",
            ),
        ),
        Change::Reading(
            fleet(),
            Reading {
                at: tidegate_engine::model::time::after(now(), Duration::from_secs(2)),
                depth: Ok(oldest),
            },
        ),
        Change::Override(over(OverrideKey::Hold(fleet()))),
        Change::Override(over(OverrideKey::Pause(fleet()))),
        Change::Override(over(OverrideKey::Retire(fleet()))),
        Change::Override(over(OverrideKey::Launch(fleet()))),
        Change::Override(over(OverrideKey::Keep(id.clone()))),
        Change::Override(over(OverrideKey::Terminate(id))),
        Change::OverrideEnded(OverrideKey::Pause(fleet())),
        Change::Problem(OpenProblem {
            key: ProblemKey::parse("a"),
            fleet: Some(fleet()),
            since: now(),
            text: "x".to_owned(),
        }),
        Change::Problem(OpenProblem {
            key: ProblemKey::parse("b"),
            fleet: None,
            since: now(),
            text: "y".to_owned(),
        }),
        Change::ProblemEnded(ProblemKey::parse("a")),
        Change::Event(event),
    ]);
    changes
}
