//! The rows of drains.

use std::sync::Arc;
use std::time::Duration;

use super::contract::{Subject, at as minutes, subjects};
use super::made::{changes, memory, now, record};
use super::{DATABASE, Folder, Opened};
use crate::ports::Store as _;
use tidegate_engine::model::drain::{
    BusyDrains, Carrier, Delivery, Drain, DrainEnd, DrainRecord, DrainTerms, Receiver, Resume,
    Undelivered,
};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::LaunchRequest;
use tidegate_engine::model::ledger::{Change, FleetMemory, Ledger, Override, OverrideKey};
use tidegate_engine::model::reading::SecretHeader;
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage, Termination};
use tidegate_engine::model::server::LaunchState;

fn terms() -> [Option<Arc<DrainTerms>>; 3] {
    let header = |name: &str| SecretHeader { name: name.to_owned(), secret: "drain".to_owned() };
    let receiver = |header| Receiver { url: "http://{private_ip}:8080/drain".to_owned(), header };
    let of = |carrier, cancel| {
        Some(Arc::new(DrainTerms { carrier, deadline: Duration::from_mins(30), cancel }))
    };
    [
        of(Carrier::Tag, true),
        of(Carrier::Http(receiver(None)), false),
        of(Carrier::Http(receiver(Some(header("Authorization")))), true),
    ]
}

/// Every stage, every delivery and every end.
fn stages() -> Vec<Stage> {
    let deliveries = [
        Delivery::Pending { last_fault: None },
        Delivery::Pending { last_fault: Some("Throttled: RequestLimitExceeded".to_owned()) },
        Delivery::Refused { why: "TagLimitExceeded".to_owned() },
        Delivery::Received { at: minutes(1), nothing_runs: true },
    ];
    let ends = std::iter::once(None).chain(DrainEnd::ALL.map(Some));
    let mut stages = vec![Stage::Begun, Stage::Deregistered { at: now() }];
    for (n, end) in ends.enumerate() {
        for delivery in &deliveries {
            stages.push(Stage::Draining(Drain {
                deregistered_at: (n % 2 == 0).then(now),
                begun_at: minutes(1),
                deadline: minutes(31),
                signalled_at: minutes(2),
                delivery: delivery.clone(),
                may_be_tagged: n % 2 == 1,
                end,
            }));
        }
    }
    for done_at in [None, Some(minutes(5))] {
        stages.push(Stage::Resuming(Resume {
            deadline: minutes(31),
            cancelled_at: minutes(3),
            asked_at: minutes(4),
            received: done_at.is_none(),
            done_at,
            undelivered: done_at.map(|_| "HTTP 503".to_owned()),
        }));
    }
    for (deregistered_at, refusals) in [(None, 0), (Some(now()), 1)] {
        let (last_asked_at, asks) = (minutes(9), 2);
        stages.push(Stage::Terminating(Termination {
            deregistered_at,
            last_asked_at,
            asks,
            refusals,
        }));
    }
    stages
}

#[tokio::test]
async fn every_stage_of_a_drain_is_loaded_as_committed() {
    for Subject { name, store, .. } in subjects("drains") {
        let mut expected = Ledger::default();
        let terms = terms().into_iter().chain([None]).cycle();
        for (n, (stage, drain)) in stages().into_iter().zip(terms).enumerate() {
            let mut leaving = record(&format!("t-drain-{n}"));
            let request = (*leaving.request.unwrap()).clone();
            leaving.request = Some(Arc::new(LaunchRequest { drains: n % 2 == 0, ..request }));
            leaving.launch = LaunchState::Launched(InstanceId::new(&format!("i-{n}")));
            let (why, begun_at_ec2) = (RetireReason::ScaleIn, Some(now()));
            leaving.retirement =
                Some(Retirement { why, begun_at: now(), begun_at_ec2, drain, stage });
            let change = Change::Server(Arc::new(leaving));
            store.commit(std::slice::from_ref(&change)).await.unwrap();
            expected.apply(&change);
        }
        assert_eq!(store.load(now()).await.unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn drain_record_and_urgent_orders_are_loaded_as_committed() {
    let mut expected = Ledger::default();
    let [tag, _, http] = terms();
    let undelivered = Undelivered {
        at: now(),
        instance: InstanceId::new("i-1"),
        why: "timed out after 10s".to_owned(),
    };
    let records = [
        DrainRecord::default(),
        DrainRecord { terms: tag, ..DrainRecord::default() },
        DrainRecord {
            terms: http,
            took: [Duration::from_secs(61), Duration::from_millis(1500)].into(),
            heeded: true,
            ignored: 1,
            undelivered: Some(undelivered),
            busy: BusyDrains { seconds: 1234.5, ended: 3.25 },
        },
    ];
    let mut changes = Vec::new();
    for (n, drains) in records.into_iter().enumerate() {
        let name = FleetName::new(&format!("app-{n}")).unwrap();
        let memory = FleetMemory { drains: Arc::new(drains), ..memory() };
        changes.push(Change::Fleet(name, Box::new(memory)));
    }
    for (n, at_once) in [true, false].into_iter().enumerate() {
        changes.push(Change::Override(Override {
            key: OverrideKey::Terminate(InstanceId::new(&format!("i-{n}"))),
            capacity: 0,
            owner: "ann".to_owned(),
            reason: "its disk is broken".to_owned(),
            since: now(),
            until: minutes(60),
            at_once,
        }));
    }
    for change in &changes {
        expected.apply(change);
    }
    for Subject { name, store, .. } in subjects("drain-record") {
        store.commit(&changes).await.unwrap();
        assert_eq!(store.load(now()).await.unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn servers_and_fleets_without_drain_are_stored_as_before() {
    let folder = Folder::new("no-drains");
    {
        let (_dir, Opened { store, .. }) = folder.open();
        store.commit(&changes()).await.unwrap();
    }
    let connection = rusqlite::Connection::open(folder.0.join(DATABASE)).unwrap();
    let sql = "SELECT body FROM servers UNION ALL SELECT body FROM fleets";
    let mut query = connection.prepare(sql).unwrap();
    let bodies = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let bodies: Vec<String> = bodies.map(Result::unwrap).collect();
    assert!(bodies.len() > 10, "{bodies:?}");
    for body in bodies {
        for key in ["\"drains\":", "\"draining\":", "\"resuming\":"] {
            assert!(!body.contains(key), "{key} in {body}");
        }
    }
}

#[tokio::test]
async fn overrides_of_version_6_are_migrated() {
    let folder = Folder::new("version-6");
    let terminate = Override {
        key: OverrideKey::Terminate(InstanceId::new("i-1")),
        capacity: 0,
        owner: "ann".to_owned(),
        reason: "its disk is broken".to_owned(),
        since: now(),
        until: minutes(60),
        at_once: false,
    };
    {
        let (_dir, Opened { store, .. }) = folder.open();
        store.commit(&[Change::Override(terminate.clone())]).await.unwrap();
    }
    let connection = rusqlite::Connection::open(folder.0.join(DATABASE)).unwrap();
    let before = "ALTER TABLE overrides DROP COLUMN at_once; DROP TABLE begun;
         ALTER TABLE decisions DROP COLUMN reasons";
    connection.execute_batch(before).unwrap();
    connection.pragma_update(None, "user_version", 6).unwrap();
    drop(connection);
    let (_dir, Opened { store, .. }) = folder.open();
    let loaded = store.load(now()).await.unwrap();
    assert_eq!(loaded.begun, None, "nothing says when it was begun");
    let kept = loaded.overrides;
    assert_eq!(kept.values().collect::<Vec<_>>(), [&terminate]);
}
