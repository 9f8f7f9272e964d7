//! The stored form of reasons, and decisions of version 0.1.0, which have none.

use std::time::Duration;

use rusqlite_migration::Migrations;

use super::contract::{Subject, at, subjects};
use super::made::{fleet, now};
use super::{ALL, DATABASE, Folder, SqliteHistory};
use crate::ports::{History as _, Store as _};
use crate::store::reason_row::{reasons_of, reasons_row};
use crate::store::sqlite::MIGRATIONS;
use tidegate_engine::model::decision::{GoalReason, JobsReason, Learned, Reason};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::Decided;
use tidegate_engine::model::instance::Attachment;
use tidegate_engine::model::ledger::{Change, Event, EventKind};
use tidegate_engine::model::phase::Block;
use tidegate_engine::model::rate::{Exhausted, Rate};

const MINUTE: Duration = Duration::from_mins(1);

fn text(text: &str) -> String {
    text.to_owned()
}

/// Reasons of the schedule, of orders and of a queue's thresholds.
fn plain() -> Vec<(Reason, &'static str)> {
    let until = now();
    vec![
        (
            Reason::Hold { capacity: 3, owner: text("ann"), reason: text("a; b: c"), until },
            r#"{"kind":"hold","capacity":3,"owner":"ann","reason":"a; b: c","until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            Reason::Paused { owner: text("ann"), reason: text("x"), until },
            r#"{"kind":"paused","owner":"ann","reason":"x","until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            Reason::Schedule {
                capacity: 3,
                cron: text("0 8 * * *"),
                line: 31,
                early_by: Some(MINUTE),
            },
            r#"{"kind":"schedule","capacity":3,"cron":"0 8 * * *","line":31,"early_by":{"secs":60,"nanos":0}}"#,
        ),
        (
            Reason::Floor { capacity: 1, cron: text("0 8 * * *"), line: 31 },
            r#"{"kind":"floor","capacity":1,"cron":"0 8 * * *","line":31}"#,
        ),
        (Reason::FloorFell { asked: 1, of: 2 }, r#"{"kind":"floor_fell","asked":1,"of":2}"#),
        (
            Reason::Minimum { min: 1, scheduled: true },
            r#"{"kind":"minimum","min":1,"scheduled":true}"#,
        ),
        (
            Reason::Extra { add: 2, owner: text("ann"), until },
            r#"{"kind":"extra","add":2,"owner":"ann","until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            Reason::QueueAbove { waiting: 22, above: 20, add: 1 },
            r#"{"kind":"queue_above","waiting":22,"above":20,"add":1}"#,
        ),
        (
            Reason::QueueBelow { waiting: 2, below: 5, remove: 1 },
            r#"{"kind":"queue_below","waiting":2,"below":5,"remove":1}"#,
        ),
        (
            Reason::QueueBetween { waiting: 9, below: 5, above: 20 },
            r#"{"kind":"queue_between","waiting":9,"below":5,"above":20}"#,
        ),
        (
            Reason::QueueAnswered { waiting: 9, read_at: now() },
            r#"{"kind":"queue_answered","waiting":9,"read_at":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            Reason::QueueUnreadable { why: text("HTTP 503"), since: now(), at_least: None },
            r#"{"kind":"queue_unreadable","why":"HTTP 503","since":"2026-03-02T18:00:00Z","at_least":null}"#,
        ),
        (Reason::QueueUnread, r#"{"kind":"queue_unread"}"#),
        (
            Reason::Stabilising { under_for: MINUTE, after: MINUTE * 2, until },
            r#"{"kind":"stabilising","under_for":{"secs":60,"nanos":0},"after":{"secs":120,"nanos":0},"until":"2026-03-02T18:00:00Z"}"#,
        ),
    ]
}

/// Reasons of limits, of an edited policy and of what is not known.
fn held_back() -> Vec<(Reason, &'static str)> {
    let until = now();
    let name = |name| FleetName::new(name).unwrap();
    let limit = Exhausted { rate: Rate { count: 5, per: MINUTE * 10 }, until };
    vec![
        (Reason::LostNotMissed { lost: 1 }, r#"{"kind":"lost_not_missed","lost":1}"#),
        (
            Reason::Bounded { asked: 5, min: 0, max: 4 },
            r#"{"kind":"bounded","asked":5,"min":0,"max":4}"#,
        ),
        (
            Reason::AwaitsApproval { fleet: name("app"), from: 9, to: 1 },
            r#"{"kind":"awaits_approval","fleet":"app","from":9,"to":1}"#,
        ),
        (
            Reason::AwaitsRename { fleet: name("app"), old: name("web"), servers: 2 },
            r#"{"kind":"awaits_rename","fleet":"app","old":"web","servers":2}"#,
        ),
        (
            Reason::AwaitsService { serving: 2, stay: 2 },
            r#"{"kind":"awaits_service","serving":2,"stay":2}"#,
        ),
        (
            Reason::LaunchesFail { why: text("no capacity"), until },
            r#"{"kind":"launches_fail","why":"no capacity","until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            Reason::TerminationsLimited(limit),
            r#"{"kind":"terminations_limited","rate":{"count":5,"per":{"secs":600,"nanos":0}},"until":"2026-03-02T18:00:00Z"}"#,
        ),
        (Reason::InDoubt { why: text("x") }, r#"{"kind":"in_doubt","why":"x"}"#),
        (Reason::Frozen { why: text("x") }, r#"{"kind":"frozen","why":"x"}"#),
    ]
}

fn goals() -> Vec<(Reason, &'static str)> {
    let (within, job_takes, boot) = (MINUTE * 15, Duration::from_millis(1500), MINUTE);
    let goals = [
        (
            GoalReason::Missed { waiting: 9, expected: 1, late: 2, within, capacity: 1, add: 1 },
            r#"{"kind":"goal","reason":"missed","waiting":9,"expected":1,"late":2,"within":{"secs":900,"nanos":0},"capacity":1,"add":1}"#,
        ),
        (
            GoalReason::CanWait { waiting: 9, expected: 1, late: 2, within, capacity: 1 },
            r#"{"kind":"goal","reason":"can_wait","waiting":9,"expected":1,"late":2,"within":{"secs":900,"nanos":0},"capacity":1}"#,
        ),
        (
            GoalReason::Kept { waiting: 9, within, capacity: 1 },
            r#"{"kind":"goal","reason":"kept","waiting":9,"within":{"secs":900,"nanos":0},"capacity":1}"#,
        ),
        (
            GoalReason::Spare { waiting: 0, capacity: 2, remove: 1 },
            r#"{"kind":"goal","reason":"spare","waiting":0,"capacity":2,"remove":1}"#,
        ),
        (
            GoalReason::Doubted { before: 90, waiting: 0 },
            r#"{"kind":"goal","reason":"doubted","before":90,"waiting":0}"#,
        ),
        (
            GoalReason::TakenBack { servers: 1 },
            r#"{"kind":"goal","reason":"taken_back","servers":1}"#,
        ),
        (
            GoalReason::Foreseen { jobs: 4, within },
            r#"{"kind":"goal","reason":"foreseen","jobs":4,"within":{"secs":900,"nanos":0}}"#,
        ),
        (
            GoalReason::Terms { job_takes, learned: Learned::Drains(2), boot, late_per_mille: 5 },
            r#"{"kind":"goal","reason":"terms","job_takes":{"secs":1,"nanos":500000000},"learned":{"drains":2},"boot":{"secs":60,"nanos":0},"late_per_mille":5}"#,
        ),
    ];
    goals.map(|(goal, row)| (Reason::Goal(goal), row)).into()
}

fn jobs() -> Vec<(Reason, &'static str)> {
    let until = now();
    let jobs = [
        (
            JobsReason::AtRisk { why: "not told".into() },
            r#"{"kind":"jobs","reason":"at_risk","why":"not told"}"#,
        ),
        (JobsReason::Run { jobs: 3 }, r#"{"kind":"jobs","reason":"run","jobs":3}"#),
        (
            JobsReason::Elsewhere { key: None, jobs: 1 },
            r#"{"kind":"jobs","reason":"elsewhere","key":null,"jobs":1}"#,
        ),
        (
            JobsReason::MayRun { takes: MINUTE, empty_for: MINUTE, until: Some(until) },
            r#"{"kind":"jobs","reason":"may_run","takes":{"secs":60,"nanos":0},"empty_for":{"secs":60,"nanos":0},"until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            JobsReason::DrainsIgnored { drains: 3 },
            r#"{"kind":"jobs","reason":"drains_ignored","drains":3}"#,
        ),
        (
            JobsReason::DrainUndelivered { why: text("HTTP 503"), until },
            r#"{"kind":"jobs","reason":"drain_undelivered","why":"HTTP 503","until":"2026-03-02T18:00:00Z"}"#,
        ),
        (
            JobsReason::DrainsOneByOne { draining: 1 },
            r#"{"kind":"jobs","reason":"drains_one_by_one","draining":1}"#,
        ),
    ];
    jobs.map(|(jobs, row)| (Reason::Jobs(jobs), row)).into()
}

/// Servers that have to stay, for every cause.
fn kept() -> Vec<(Reason, &'static str)> {
    let (until, paid_until, opens) = (now(), now(), now());
    let attached = Attachment { id: "vol-1".into(), after: MINUTE };
    let blocks = [
        (
            Block::MinimumUptime { uptime: MINUTE, minimum: MINUTE, until },
            r#"{"minimum_uptime":{"uptime":{"secs":60,"nanos":0},"minimum":{"secs":60,"nanos":0},"until":"2026-03-02T18:00:00Z"}}"#,
        ),
        (
            Block::PaidHour { paid_until, opens },
            r#"{"paid_hour":{"paid_until":"2026-03-02T18:00:00Z","opens":"2026-03-02T18:00:00Z"}}"#,
        ),
        (Block::Keep { by: text("ann"), until: None }, r#"{"keep":{"by":"ann","until":null}}"#),
        (Block::Attached(attached), r#"{"attached":{"id":"vol-1","after":{"secs":60,"nanos":0}}}"#),
        (Block::Unsettled, r#""unsettled""#),
        (Block::NoDrain, r#""no_drain""#),
        (Block::Busy { jobs: 2 }, r#"{"busy":{"jobs":2}}"#),
        (Block::Unasked, r#""unasked""#),
        (Block::Undrainable("no tags".into()), r#"{"undrainable":"no tags"}"#),
        (Block::Coming, r#""coming""#),
        (Block::NotCapacity, r#""not_capacity""#),
    ];
    let kept = |first| Reason::Kept { surplus: 2, free: 1, first };
    let mut rows = vec![(kept(None), r#"{"kind":"kept","surplus":2,"free":1,"first":null}"#)];
    for (block, row) in blocks {
        let row = format!(
            r#"{{"kind":"kept","surplus":2,"free":1,"first":{{"server":"i-1","block":{row}}}}}"#
        );
        rows.push((kept(Some((text("i-1"), block))), row.leak()));
    }
    rows
}

/// What is on disk must be read by every later version, so the form changes by addition alone.
#[test]
fn stored_reasons_keep_their_form() {
    for (reason, row) in [plain(), held_back(), goals(), jobs(), kept()].concat() {
        let stored = reasons_row(std::slice::from_ref(&reason)).unwrap();
        assert_eq!(stored, format!("[{row}]"));
        assert_eq!(reasons_of(Some(&stored)), [reason]);
    }
}

#[test]
fn unknown_reason_leaves_the_decision_readable() {
    let row = r#"[{"kind":"queue_unread"},{"kind":"of_a_later_version","n":1}]"#;
    assert_eq!(reasons_of(Some(row)), []);
    assert_eq!(reasons_of(Some("not JSON")), []);
    assert_eq!(reasons_of(None), []);
}

#[tokio::test]
async fn reasons_are_read_as_they_were_decided() {
    let all = [plain(), held_back(), goals(), jobs(), kept()].concat();
    let because: Vec<Reason> = all.into_iter().map(|(reason, _)| reason).collect();
    let decided = Decided {
        at: now(),
        fleet: fleet(),
        capacity: 1,
        desired: 2,
        target: 2,
        rules: because.iter().map(|reason| reason.rule().to_owned()).collect(),
        because,
    };
    for Subject { name, store, history, .. } in subjects("reasons") {
        store.commit(&[Change::Decided(decided.clone())]).await.unwrap();
        let read = history.decisions(&fleet(), ALL).await.unwrap();
        assert_eq!(read, std::slice::from_ref(&decided), "{name}");
    }
}

/// Rows as version 0.1.0 wrote them.
const OLD_ROWS: &str = r"
INSERT INTO decisions VALUES ('app', '2026-03-02T18:00:00.000000000Z', 1, 2, 2, 'queue_above bounded');
INSERT INTO events (at, kind, fleet, instance, text) VALUES
    ('2026-03-02T18:00:00.000000000Z', 'decision', 'app', NULL,
     '1 -> 2: 22 jobs waiting, over 20: add 2; 3 asked for, min 0 and max 2 allow 2');
";

#[tokio::test]
async fn decisions_of_version_0_1_0_are_migrated() {
    let folder = Folder::new("version-0-1-0");
    std::fs::create_dir_all(&folder.0).unwrap();
    let mut connection = rusqlite::Connection::open(folder.0.join(DATABASE)).unwrap();
    Migrations::from_slice(&MIGRATIONS[..8]).to_latest(&mut connection).unwrap();
    connection.execute_batch(OLD_ROWS).unwrap();
    drop(connection);
    let refused = SqliteHistory::look(&folder.0).unwrap_err().to_string();
    assert!(refused.contains("older tidegate"), "{refused}");
    let (dir, opened) = folder.open();
    assert!(!opened.created && opened.rebuilt.is_none());
    let history = SqliteHistory::of(&dir);
    let old = history.decisions(&fleet(), ALL).await.unwrap();
    let [decision] = old.as_slice() else { panic!("{old:?}") };
    assert_eq!(decision.rules, ["queue_above", "bounded"]);
    assert_eq!(decision.because, []);
    // What is decided from now on has its reasons beside the old rows.
    let because = vec![Reason::QueueUnread];
    let new = Decided { at: at(1), rules: vec![text("queue_unread")], because, ..decision.clone() };
    opened.store.commit(&[Change::Decided(new.clone())]).await.unwrap();
    let both = history.decisions(&fleet(), ALL).await.unwrap();
    assert_eq!(both, [decision.clone(), new]);
    let lines = history.lines(None, ALL).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].from_to, lines[0].because.len()), (Some((1, 2)), 0));
}

#[tokio::test]
async fn reasons_of_quiet_decisions_are_kept_for_weeks() {
    let folder = Folder::new("quiet");
    let (dir, opened) = folder.open();
    let because = vec![Reason::QueueUnread];
    let quiet = Decided {
        at: now(),
        fleet: fleet(),
        capacity: 2,
        desired: 2,
        target: 2,
        rules: vec![text("queue_unread")],
        because,
    };
    let changed = Decided { at: at(1), desired: 3, ..quiet.clone() };
    let decided = [quiet.clone(), changed.clone()].map(Change::Decided);
    opened.store.commit(&decided).await.unwrap();
    let known = async |day: u64| {
        let alive = Event {
            at: at(day * 24 * 60),
            kind: EventKind::Problem,
            fleet: None,
            instance: None,
            text: text("the daemon is at work"),
        };
        opened.store.commit(&[Change::Event(alive.clone())]).await.unwrap();
        opened.store.prune(alive.at).await.unwrap();
        SqliteHistory::of(&dir).decisions(&fleet(), ALL).await.unwrap()
    };
    assert_eq!(known(30).await, [quiet.clone(), changed.clone()]);
    assert_eq!(known(40).await, [Decided { because: Vec::new(), ..quiet }, changed]);
}
