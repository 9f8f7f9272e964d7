//! The store's contract: what is committed is there, whole, whatever happens next.

mod dir;
mod drain;
mod problem;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ports::Store as _;
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::history::{Decided, InForce};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};
use tidegate_engine::model::ledger::{
    Change, Event, EventKind, FleetMemory, LastDecision, Ledger, OpenProblem, Override, OverrideKey,
};
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage, Termination};
use tidegate_engine::model::server::{Asked, Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::Clocks;
use tidegate_engine::model::work::{Cohort, Counts, Inferred, WorkMemory};

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }

    fn open(&self) -> (StateDir, Opened) {
        let dir = StateDir::lock(&self.0).unwrap();
        let opened = open(&dir, now()).unwrap();
        (dir, opened)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn now() -> Timestamp {
    "2026-03-02T18:00:00Z".parse().unwrap()
}

fn fleet() -> FleetName {
    FleetName::new("app").unwrap()
}

fn season() -> tidegate_engine::model::season::Season {
    let mut season = tidegate_engine::model::season::Season::default();
    for week in 0..3 {
        let at = tidegate_engine::model::time::after(now(), Duration::from_hours(168 * week));
        season.learn(at, tidegate_engine::model::time::after(at, Duration::from_mins(40)), 12.5);
    }
    season
}

fn record(token: &str) -> ServerRecord {
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
fn records() -> Vec<ServerRecord> {
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

fn memory() -> FleetMemory {
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
fn changes() -> Vec<Change> {
    let problem = |key: &str, fleet| {
        let (key, text) = (ProblemKey::parse(key), format!("{key} is wrong"));
        Change::Problem(OpenProblem { key, fleet, since: now(), text })
    };
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
        problem("a", Some(fleet())),
        problem("b", None),
        Change::ProblemEnded(ProblemKey::parse("a")),
        Change::Event(event),
    ]);
    changes
}

#[tokio::test]
async fn what_is_committed_is_what_is_loaded_and_twice_is_once() {
    let folder = Folder::new("roundtrip");
    let mut expected = Ledger::default();
    {
        let (_dir, opened) = folder.open();
        assert!(opened.created && opened.rebuilt.is_none());
        opened.store.commit(&changes()).await.unwrap();
        let without_events: Vec<Change> =
            changes().into_iter().filter(|change| !matches!(change, Change::Event(_))).collect();
        opened.store.commit(&without_events).await.unwrap();
        for change in changes() {
            expected.apply(&change);
        }
        assert_eq!(opened.store.load(now()).await.unwrap(), expected);
        let events = opened.store.events(Timestamp::MIN, Some(&fleet())).await.unwrap();
        assert_eq!(events.len(), 1);
    }
    let (_dir, opened) = folder.open();
    assert!(!opened.created);
    assert_eq!(opened.store.load(now()).await.unwrap(), expected);
    let peeked = SqliteStore::peek(&folder.0.join(DATABASE), now()).unwrap();
    assert_eq!(peeked, Some(expected));
}

#[tokio::test]
async fn finished_servers_are_loaded_for_a_day_and_pruned_after_a_year() {
    let folder = Folder::new("prune");
    let (_dir, opened) = folder.open();
    opened.store.commit(&changes()).await.unwrap();
    let later = tidegate_engine::model::time::after(now(), Duration::from_hours(26));
    assert_eq!(opened.store.load(later).await.unwrap().servers.ended().count(), 0);
    let much_later = tidegate_engine::model::time::after(now(), Duration::from_hours(24 * 400));
    // A clock that is a year ahead loses nothing: nobody has written for that long.
    let before = opened.store.events(Timestamp::MIN, None).await.unwrap();
    opened.store.prune(much_later).await.unwrap();
    assert_eq!(opened.store.events(Timestamp::MIN, None).await.unwrap(), before);
    let fresh = Event {
        at: much_later,
        kind: EventKind::Seen,
        fleet: None,
        instance: None,
        text: "x".to_owned(),
    };
    opened.store.commit(&[Change::Event(fresh.clone())]).await.unwrap();
    opened.store.prune(much_later).await.unwrap();
    assert_eq!(opened.store.events(Timestamp::MIN, None).await.unwrap(), [fresh]);
    let open = opened.store.load(much_later).await.unwrap().servers.all().count();
    assert_eq!(open, records().iter().filter(|record| record.is_open()).count());
}

#[tokio::test]
async fn details_are_kept_for_weeks_and_lines_for_months() {
    let folder = Folder::new("details");
    let (_dir, Opened { store, .. }) = folder.open();
    let days = |n: u64| tidegate_engine::model::time::after(now(), Duration::from_hours(24 * n));
    let ended = ServerRecord {
        planned_at: now(),
        gone: Some(Gone { at: now(), how: GoneHow::Retired }),
        ..record("a")
    };
    let line_at = |at, kind| Event { at, kind, fleet: None, instance: None, text: "x".to_owned() };
    let line = |kind| line_at(now(), kind);
    // The daemon is at work.
    let alive = async |day| {
        let line = line_at(days(day), EventKind::Problem);
        store.commit(&[Change::Event(line)]).await.unwrap();
        store.prune(days(day)).await.unwrap();
    };
    store
        .commit(&[
            Change::Server(Arc::new(ended.clone())),
            Change::Event(line(EventKind::Action)),
            Change::Event(line(EventKind::Decision)),
        ])
        .await
        .unwrap();
    let known = || {
        let past = history(&folder.0.join(DATABASE), &fleet(), (now(), days(200))).unwrap();
        past.unwrap().servers.into_iter().next().unwrap()
    };
    alive(30).await;
    assert_eq!(known(), ended);
    alive(40).await;
    let request = known().request.unwrap();
    assert!(request.tags.is_empty() && request.user_data.is_empty(), "{request:?}");
    assert_eq!(request.pool, ended.request.clone().unwrap().pool, "what it cost is known");
    assert_eq!(known().gone, ended.gone);
    assert_eq!(store.events(Timestamp::MIN, None).await.unwrap().len(), 4);
    alive(100).await;
    let left = store.events(Timestamp::MIN, None).await.unwrap();
    let kinds: Vec<_> = left.iter().map(|event| event.kind).collect();
    let [decision, problem] = [EventKind::Decision, EventKind::Problem];
    assert_eq!(kinds, [decision, problem, problem, problem]);
}

#[tokio::test]
async fn a_file_with_much_idle_room_is_packed_and_says_the_same() {
    let folder = Folder::new("packed");
    let (_dir, Opened { store, .. }) = folder.open();
    let at = |minutes| tidegate_engine::model::time::after(now(), Duration::from_mins(minutes));
    let busy = (0..40).map(|n| (InstanceId::new(&format!("i-{n:017x}")), 2)).collect();
    let work = Work { busy: Some(busy), ..Work::default() };
    let readings = (0..2000).map(|n| {
        let depth = Depth { work: work.clone(), ..Depth::of(n) };
        Change::Reading(fleet(), Reading { at: at(5 * n), depth: Ok(depth) })
    });
    store.commit(&readings.collect::<Vec<_>>()).await.unwrap();
    let size = || std::fs::metadata(folder.0.join(DATABASE)).unwrap().len();
    let waiting = || {
        let past = history(&folder.0.join(DATABASE), &fleet(), (now(), at(10_000))).unwrap();
        let depths = past.unwrap().readings.into_iter().flat_map(|reading| reading.depth);
        depths.map(|depth| depth.waiting).collect::<Vec<_>>()
    };
    store.prune(at(10_000)).await.unwrap();
    let (full, said) = (size(), waiting());
    store.prune(at(60 * 24 * 60)).await.unwrap();
    assert_eq!(waiting(), said);
    assert_eq!(said.len(), 2000);
    assert!(size() < full.div_euclid(2), "{full} bytes before, {} after", size());
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_the_directory() {
    let folder = Folder::new("lock");
    let held = StateDir::lock(&folder.0).unwrap();
    let refused = StateDir::lock(&folder.0).unwrap_err().to_string();
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
    drop(held);
    StateDir::lock(&folder.0).unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_a_new_one_begun() {
    for (n, damage) in [&b"not a database at all, but a text that is long enough to be read as one............"[..], b"SQLite format 3\0garbage garbage garbage garbage garbage garbage garbage garbage garbage garbage garbage garbage"].iter().enumerate() {
        let folder = Folder::new(&format!("damaged-{n}"));
        drop(folder.open());
        std::fs::write(folder.0.join(DATABASE), damage).unwrap();
        let (_dir, opened) = folder.open();
        let why = opened.rebuilt.expect("damage is noticed");
        assert!(why.contains("corrupt-20260302T180000Z"), "{why}");
        assert_eq!(opened.store.load(now()).await.unwrap(), Ledger::default());
        let kept = std::fs::read(folder.0.join("state.db.corrupt-20260302T180000Z")).unwrap();
        assert_eq!(&kept, damage);
    }
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let folder = Folder::new("newer");
    drop(folder.open());
    let path = folder.0.join(DATABASE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let dir = StateDir::lock(&folder.0).unwrap();
    let refused = open(&dir, now()).unwrap_err().to_string();
    assert!(refused.contains("newer tidegate"), "{refused}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_batch_and_heals() {
    let folder = Folder::new("full");
    let (_dir, opened) = folder.open();
    opened.store.limit_pages(40);
    let big: Vec<Change> = (0..200)
        .map(|n| {
            let mut big = record(&format!("t-big-{n}"));
            big.private_ip = Some("x".repeat(4000).into());
            Change::Server(Arc::new(big))
        })
        .collect();
    let fault = opened.store.commit(&big).await.unwrap_err().to_string();
    assert!(fault.contains("full"), "{fault}");
    assert_eq!(opened.store.load(now()).await.unwrap(), Ledger::default());
    opened.store.limit_pages(1_000_000);
    opened.store.commit(&big).await.unwrap();
    assert_eq!(opened.store.load(now()).await.unwrap().servers.all().count(), 200);
}

#[tokio::test]
async fn a_policy_is_noted_once_while_it_stays_in_force() {
    let folder = Folder::new("policies");
    let (_dir, Opened { store, .. }) = folder.open();
    let at = |minutes| tidegate_engine::model::time::after(now(), Duration::from_mins(minutes));
    for (since, digest) in [(0, "a"), (1, "a"), (2, "b"), (3, "a")] {
        let (digest, text) = (digest.to_owned(), format!("version: 1 # {digest}"));
        store.commit(&[Change::InForce(InForce { since: at(since), digest, text })]).await.unwrap();
    }
    let path = folder.0.join(DATABASE);
    let known = |from, to| {
        let past = history(&path, &fleet(), (at(from), at(to))).unwrap().unwrap();
        past.policies.into_iter().map(|p| (p.since, p.digest)).collect::<Vec<_>>()
    };
    let noted = |n, digest: &str| (at(n), digest.to_owned());
    assert_eq!(known(0, 9), [noted(0, "a"), noted(2, "b"), noted(3, "a")]);
    // What was in force before the span began is part of it.
    assert_eq!(known(1, 2), [noted(0, "a"), noted(2, "b")]);
}

#[tokio::test]
async fn a_past_is_what_was_there_in_its_span() {
    let folder = Folder::new("past");
    let (_dir, Opened { store, .. }) = folder.open();
    let at = |minutes| tidegate_engine::model::time::after(now(), Duration::from_mins(minutes));
    let decided = |minutes, desired| {
        let rules = vec!["queue_above".to_owned(), "maximum".to_owned()];
        Decided { at: at(minutes), fleet: fleet(), capacity: 0, desired, target: desired, rules }
    };
    let ended = ServerRecord {
        planned_at: now(),
        gone: Some(Gone { at: at(5), how: GoneHow::Retired }),
        ..record("a")
    };
    let open = ServerRecord { planned_at: at(20), gone: None, ..record("b") };
    let busy = [(InstanceId::new("i-1"), 2), (InstanceId::new("i-2"), 0)];
    let work = Work { busy: Some(busy.into()), ..Work::default() };
    let reading = Reading { at: at(10), depth: Ok(Depth { work, ..Depth::of(3) }) };
    let changes = [
        Change::Decided(decided(0, 1)),
        Change::Decided(decided(4, 2)),
        Change::Decided(decided(8, 3)),
        Change::Server(Arc::new(ended)),
        Change::Server(Arc::new(open.clone())),
        Change::Reading(fleet(), Reading::known(at(1), 9)),
        Change::Reading(fleet(), reading),
    ];
    store.commit(&changes).await.unwrap();
    let path = folder.0.join(DATABASE);
    let past = history(&path, &fleet(), (at(6), at(30))).unwrap().unwrap();
    assert_eq!(past.decisions, [decided(4, 2), decided(8, 3)]);
    assert_eq!(past.servers, [open]);
    let told: Vec<_> = past.readings.iter().flat_map(|r| &r.depth).map(|d| &d.work.busy).collect();
    assert_eq!(told, [&Some([(InstanceId::new("i-1"), 2)].into())], "who is idle is left out");
    assert_eq!(history(&folder.0.join("none.db"), &fleet(), (now(), at(1))).unwrap(), None);
}
