//! What SQLite adds to the contract: one file, whole, whatever happens next.

mod contract;
mod dir;
mod drain;
mod made;
mod problem;
mod reasons;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::made::{changes, fleet, now, record, records};
use super::sqlite::fault;
use super::*;
use crate::ports::{History as _, Span, Store as _};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::{Change, Event, EventKind, Ledger};
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::server::{Gone, GoneHow, ServerRecord};

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

/// Every line of the record, read as a command reads it.
async fn events(dir: &StateDir) -> Vec<Event> {
    let lines = SqliteHistory::of(dir).lines(None, ALL).await.unwrap();
    lines.into_iter().map(|line| line.event).collect()
}

const ALL: Span = (Timestamp::MIN, Timestamp::MAX);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn finished_servers_are_loaded_for_a_day_and_pruned_after_a_year() {
    let folder = Folder::new("prune");
    let (dir, opened) = folder.open();
    opened.store.commit(&changes()).await.unwrap();
    let later = tidegate_engine::model::time::after(now(), Duration::from_hours(26));
    assert_eq!(opened.store.load(later).await.unwrap().servers.ended().count(), 0);
    let much_later = tidegate_engine::model::time::after(now(), Duration::from_hours(24 * 400));
    // A clock that is a year ahead loses nothing: nobody has written for that long.
    let before = events(&dir).await;
    opened.store.prune(much_later).await.unwrap();
    assert_eq!(events(&dir).await, before);
    let fresh = Event {
        at: much_later,
        kind: EventKind::Seen,
        fleet: None,
        instance: None,
        text: "x".to_owned(),
    };
    opened.store.commit(&[Change::Event(fresh.clone())]).await.unwrap();
    opened.store.prune(much_later).await.unwrap();
    assert_eq!(events(&dir).await, [fresh]);
    let open = opened.store.load(much_later).await.unwrap().servers.all().count();
    assert_eq!(open, records().iter().filter(|record| record.is_open()).count());
}

#[tokio::test]
async fn details_are_kept_for_weeks_and_lines_for_months() {
    let folder = Folder::new("details");
    let (dir, Opened { store, .. }) = folder.open();
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
    let known = async || {
        let past = SqliteHistory::of(&dir).of_fleet(&fleet(), (now(), days(200))).await.unwrap();
        past.servers.into_iter().next().unwrap()
    };
    alive(30).await;
    assert_eq!(known().await, ended);
    alive(40).await;
    let request = known().await.request.unwrap();
    assert!(request.tags.is_empty() && request.user_data.is_empty(), "{request:?}");
    assert_eq!(request.pool, ended.request.clone().unwrap().pool, "what it cost is known");
    assert_eq!(known().await.gone, ended.gone);
    assert_eq!(events(&dir).await.len(), 4);
    alive(100).await;
    let left = events(&dir).await;
    let kinds: Vec<_> = left.iter().map(|event| event.kind).collect();
    let [decision, problem] = [EventKind::Decision, EventKind::Problem];
    assert_eq!(kinds, [decision, problem, problem, problem]);
}

#[tokio::test]
async fn a_file_with_much_idle_room_is_packed_and_says_the_same() {
    let folder = Folder::new("packed");
    let (dir, Opened { store, .. }) = folder.open();
    let at = |minutes| tidegate_engine::model::time::after(now(), Duration::from_mins(minutes));
    let busy = (0..40).map(|n| (InstanceId::new(&format!("i-{n:017x}")), 2)).collect();
    let work = Work { busy: Some(busy), ..Work::default() };
    let readings = (0..2000).map(|n| {
        let depth = Depth { work: work.clone(), ..Depth::of(n) };
        Change::Reading(fleet(), Reading { at: at(5 * n), depth: Ok(depth) })
    });
    store.commit(&readings.collect::<Vec<_>>()).await.unwrap();
    let size = || std::fs::metadata(folder.0.join(DATABASE)).unwrap().len();
    let waiting = async || {
        let readings = SqliteHistory::of(&dir).readings(&fleet(), (now(), at(10_000))).await;
        let depths = readings.unwrap().into_iter().flat_map(|reading| reading.depth);
        depths.map(|depth| depth.waiting).collect::<Vec<_>>()
    };
    store.prune(at(10_000)).await.unwrap();
    let (full, said) = (size(), waiting().await);
    store.prune(at(60 * 24 * 60)).await.unwrap();
    assert_eq!(waiting().await, said);
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
async fn journal_is_the_same_after_reopening() {
    let folder = Folder::new("reopened");
    let mut expected = Ledger::default();
    {
        let (_dir, opened) = folder.open();
        assert!(opened.created && opened.rebuilt.is_none());
        opened.store.commit(&changes()).await.unwrap();
        for change in &changes() {
            expected.apply(change);
        }
    }
    let (dir, opened) = folder.open();
    assert!(!opened.created);
    assert_eq!(opened.store.load(now()).await.unwrap(), expected);
    assert_eq!(SqliteHistory::of(&dir).ledger(now()).await.unwrap(), expected);
}

#[tokio::test]
async fn reading_keeps_no_idle_server() {
    let folder = Folder::new("idle");
    let (dir, Opened { store, .. }) = folder.open();
    let busy = [(InstanceId::new("i-1"), 2), (InstanceId::new("i-2"), 0)];
    let work = Work { busy: Some(busy.into()), ..Work::default() };
    let reading = Reading { at: now(), depth: Ok(Depth { work, ..Depth::of(3) }) };
    store.commit(&[Change::Reading(fleet(), reading)]).await.unwrap();
    let readings = SqliteHistory::of(&dir).readings(&fleet(), ALL).await.unwrap();
    let told: Vec<_> = readings.iter().flat_map(|r| &r.depth).map(|d| &d.work.busy).collect();
    assert_eq!(told, [&Some([(InstanceId::new("i-1"), 2)].into())]);
}

#[tokio::test]
async fn history_of_a_missing_journal_says_so() {
    let folder = Folder::new("missing");
    assert!(SqliteHistory::look(&folder.0).unwrap().is_none());
    let (dir, opened) = folder.open();
    let history = SqliteHistory::look(dir.path()).unwrap().unwrap();
    drop(opened);
    std::fs::remove_file(folder.0.join(DATABASE)).unwrap();
    let fault = history.ledger(now()).await.unwrap_err();
    assert!(fault.to_string().contains("there is no journal"), "{fault}");
    assert!(!fault.is_transient());
}

#[tokio::test]
async fn locked_database_is_a_transient_fault() {
    let folder = Folder::new("locked");
    let (_dir, Opened { store, .. }) = folder.open();
    let impatient = |connection: &mut rusqlite::Connection| {
        connection.busy_timeout(Duration::ZERO).map_err(|error| fault(&error))
    };
    store.with(impatient).await.unwrap();
    let other = rusqlite::Connection::open(folder.0.join(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fault = store.commit(&changes()).await.unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert!(fault.to_string().contains("another process holds it"), "{fault}");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&changes()).await.unwrap();
}
