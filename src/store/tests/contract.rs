//! The contract of the ports, over every store that there is: written once, so that no store may
//! differ in what it keeps and tells.

use std::sync::Arc;
use std::time::Duration;

use super::made::{changes, fleet, now, record};
use super::{ALL, Folder, SqliteHistory, StateDir};
use crate::ports::{History, ShadowBook, Store};
use crate::store::memory::MemoryStore;
use tidegate_engine::model::decision::Reason;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Decided, InForce, Told};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::{Change, Event, EventKind, Ledger, Override, OverrideKey};
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::server::{Gone, GoneHow, ServerRecord};
use tidegate_engine::model::shadow::{Differs, Imagined, ShadowChange};
use tidegate_engine::model::time::{self, Timestamp};

/// One store under the contract, and what reads the same journal.
pub(super) struct Subject {
    pub name: &'static str,
    pub store: Arc<dyn Store>,
    pub history: Arc<dyn History>,
    shadow: Arc<dyn ShadowBook>,
    _place: Option<(StateDir, Folder)>,
}

/// Every store, empty.
pub(super) fn subjects(test: &str) -> [Subject; 2] {
    let folder = Folder::new(test);
    let (dir, opened) = folder.open();
    let database = Arc::new(opened.store);
    let memory = Arc::new(MemoryStore::default());
    [
        Subject {
            name: "sqlite",
            store: database.clone(),
            history: Arc::new(SqliteHistory::of(&dir)),
            shadow: database,
            _place: Some((dir, folder)),
        },
        Subject {
            name: "memory",
            store: memory.clone(),
            history: memory.clone(),
            shadow: memory,
            _place: None,
        },
    ]
}

pub(super) fn at(minutes: u64) -> Timestamp {
    time::after(now(), Duration::from_mins(minutes))
}

fn other() -> FleetName {
    FleetName::new("job").unwrap()
}

fn event(minutes: u64, kind: EventKind, fleet: Option<FleetName>) -> Event {
    Event { at: at(minutes), kind, fleet, instance: None, text: format!("at {minutes}") }
}

fn decided(minutes: u64, desired: u32) -> Decided {
    let reason = Reason::QueueAbove { waiting: 22, above: 20, add: desired };
    Decided {
        at: at(minutes),
        fleet: fleet(),
        capacity: 0,
        desired,
        target: desired,
        rules: vec![reason.rule().to_owned()],
        because: vec![reason],
    }
}

#[tokio::test]
async fn what_is_committed_is_what_is_loaded_and_twice_is_once() {
    for Subject { name, store, history, .. } in subjects("roundtrip") {
        let mut expected = Ledger::default();
        store.commit(&changes()).await.unwrap();
        let without_events: Vec<Change> =
            changes().into_iter().filter(|change| !matches!(change, Change::Event(_))).collect();
        store.commit(&without_events).await.unwrap();
        for change in &changes() {
            expected.apply(change);
        }
        assert_eq!(store.load(now()).await.unwrap(), expected, "{name}");
        assert_eq!(history.ledger(now()).await.unwrap(), expected, "{name}");
        assert_eq!(history.lines(Some(&fleet()), ALL).await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn order_is_kept_until_it_is_ended() {
    let order = |key, capacity| Override {
        key,
        capacity,
        owner: "ann".to_owned(),
        reason: "a test".to_owned(),
        since: now(),
        until: at(60),
        at_once: false,
    };
    for Subject { name, store, .. } in subjects("orders") {
        let hold = OverrideKey::Hold(fleet());
        let keep = order(OverrideKey::Keep(InstanceId::new("i-1")), 0);
        let given = [order(hold.clone(), 1), order(hold.clone(), 4), keep.clone()];
        store.commit(&given.map(Change::Override)).await.unwrap();
        let kept = store.load(now()).await.unwrap().overrides;
        assert_eq!(kept[&hold].capacity, 4, "{name}: the latest order of a kind stands");
        store.commit(&[Change::OverrideEnded(hold)]).await.unwrap();
        let kept = store.load(now()).await.unwrap().overrides;
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [keep], "{name}");
    }
}

#[tokio::test]
async fn a_policy_is_noted_once_while_it_stays_in_force() {
    for Subject { name, store, history, .. } in subjects("policies") {
        for (since, digest) in [(0, "a"), (1, "a"), (2, "b"), (3, "a")] {
            let (digest, text) = (digest.to_owned(), format!("version: 1 # {digest}"));
            let policy = InForce { since: at(since), digest, text };
            store.commit(&[Change::InForce(policy)]).await.unwrap();
        }
        let known = async |from, to| {
            let past = history.of_fleet(&fleet(), (at(from), at(to))).await.unwrap();
            past.policies.into_iter().map(|p| (p.since, p.digest)).collect::<Vec<_>>()
        };
        let noted = |n, digest: &str| (at(n), digest.to_owned());
        let all = [noted(0, "a"), noted(2, "b"), noted(3, "a")];
        assert_eq!(known(0, 9).await, all, "{name}");
        // What was in force before the span began is part of it.
        assert_eq!(known(1, 2).await, all[..2], "{name}");
        let at_minute = async |n| history.policy_at(at(n)).await.unwrap();
        assert_eq!(at_minute(2).await.map(|p| p.text), Some("version: 1 # b".to_owned()), "{name}");
        let before = time::before(now(), Duration::from_secs(1));
        assert_eq!(history.policy_at(before).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn a_past_is_what_was_there_in_its_span() {
    let ended = ServerRecord {
        planned_at: now(),
        gone: Some(Gone { at: at(5), how: GoneHow::Retired }),
        ..record("a")
    };
    let open = ServerRecord { planned_at: at(20), gone: None, ..record("b") };
    let foreign = ServerRecord { fleet: other(), planned_at: at(20), ..record("c") };
    let work = Work { busy: Some([(InstanceId::new("i-1"), 2)].into()), ..Work::default() };
    let reading = Reading { at: at(10), depth: Ok(Depth { work, ..Depth::of(3) }) };
    let unreadable = Reading::unreadable(at(12), "HTTP 503");
    let changes = [
        Change::Decided(decided(0, 1)),
        Change::Decided(decided(4, 2)),
        Change::Decided(decided(8, 3)),
        Change::Decided(Decided { fleet: other(), ..decided(7, 9) }),
        Change::Server(Arc::new(ended.clone())),
        Change::Server(Arc::new(open.clone())),
        Change::Server(Arc::new(foreign)),
        Change::Reading(fleet(), Reading::known(at(1), 9)),
        Change::Reading(fleet(), reading.clone()),
        Change::Reading(other(), Reading::known(at(11), 1)),
        Change::Reading(fleet(), unreadable.clone()),
    ];
    for Subject { name, store, history, .. } in subjects("past") {
        store.commit(&changes).await.unwrap();
        let span = (at(6), at(30));
        let past = history.of_fleet(&fleet(), span).await.unwrap();
        assert_eq!((&past.fleet, past.from, past.to), (&fleet(), span.0, span.1), "{name}");
        assert_eq!(past.decisions, [decided(4, 2), decided(8, 3)], "{name}");
        assert_eq!(past.servers, std::slice::from_ref(&open), "{name}");
        assert_eq!(past.readings, [reading.clone(), unreadable.clone()], "{name}");
        assert_eq!(history.decisions(&fleet(), span).await.unwrap(), past.decisions, "{name}");
        assert_eq!(history.readings(&fleet(), span).await.unwrap(), past.readings, "{name}");
        // Both ends belong to a span.
        let edge = history.of_fleet(&fleet(), (at(5), at(8))).await.unwrap();
        assert_eq!(edge.servers, std::slice::from_ref(&ended), "{name}");
        assert_eq!(edge.decisions, [decided(4, 2), decided(8, 3)], "{name}");
        let nothing = history.readings(&fleet(), (at(30), at(6))).await.unwrap();
        assert_eq!(nothing, [], "{name}: a span that ends before it begins");
    }
}

#[tokio::test]
async fn lines_are_told_with_the_numbers_of_decisions() {
    let events = [
        event(1, EventKind::Decision, Some(fleet())),
        event(1, EventKind::Action, Some(fleet())),
        event(1, EventKind::Decision, Some(other())),
        event(2, EventKind::Policy, None),
        event(9, EventKind::Decision, Some(fleet())),
    ];
    for Subject { name, store, history, .. } in subjects("lines") {
        let mut changes = vec![Change::Decided(decided(1, 2))];
        changes.extend(events.iter().cloned().map(Change::Event));
        store.commit(&changes).await.unwrap();
        let plain = |event: &Event| Told { event: event.clone(), from_to: None, because: vec![] };
        let mut expected: Vec<Told> = events.iter().map(plain).collect();
        expected[0].from_to = Some((0, 2));
        expected[0].because = decided(1, 2).because;
        assert_eq!(history.lines(None, ALL).await.unwrap(), expected, "{name}");
        let of_fleet = history.lines(Some(&fleet()), (at(1), at(8))).await.unwrap();
        assert_eq!(of_fleet, expected[..2], "{name}");
    }
}

#[tokio::test]
async fn second_policy_keeps_its_record_over_restarts() {
    let policy = |minutes, digest: &str| InForce {
        since: at(minutes),
        digest: digest.to_owned(),
        text: format!("version: 1 # {digest}"),
    };
    let server =
        |number, ended_at| Imagined { number, fleet: fleet(), launched_at: at(1), ended_at };
    let differs = |minutes, shadow| Differs {
        at: at(minutes),
        fleet: fleet(),
        live: 1,
        shadow,
        why_live: "live".to_owned(),
        why_shadow: "shadow".to_owned(),
    };
    for Subject { name, history, shadow, .. } in subjects("shadow") {
        assert_eq!(history.shadow().await.unwrap(), None, "{name}");
        assert_eq!(shadow.begin(&policy(0, "a"), "a.yaml").await.unwrap(), [], "{name}");
        let changes = [
            ShadowChange::Server(server(2, None)),
            ShadowChange::Server(server(1, None)),
            ShadowChange::Differs(differs(3, 2)),
            ShadowChange::Differs(differs(2, 4)),
            ShadowChange::Differs(differs(3, 3)),
            ShadowChange::Server(server(1, Some(at(5)))),
        ];
        shadow.note(&changes).await.unwrap();
        let again = shadow.begin(&policy(9, "a"), "other.yaml").await.unwrap();
        assert_eq!(again, [server(2, None)], "{name}: a restart continues the record");
        let record = history.shadow().await.unwrap().unwrap();
        assert_eq!((record.since, record.path.as_str()), (at(0), "a.yaml"), "{name}");
        assert_eq!(record.servers, [server(1, Some(at(5))), server(2, None)], "{name}");
        assert_eq!(record.differs, [differs(2, 4), differs(3, 3)], "{name}");
        assert_eq!(shadow.begin(&policy(9, "b"), "b.yaml").await.unwrap(), [], "{name}");
        let record = history.shadow().await.unwrap().unwrap();
        assert_eq!((record.digest.as_str(), record.differs.len()), ("b", 0), "{name}");
    }
}
