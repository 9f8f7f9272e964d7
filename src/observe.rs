//! Asks the world everything a tick needs, and judges nothing: a failed call is a gap with its
//! cause, and the tick goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use tracing::{Instrument as _, info_span};

use crate::ports::{HealthQuery, Ports, QueueQuery};
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::capacity::count;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, InstanceId, Lifecycle};
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::observation::{Gap, Observation};
use tidegate_engine::model::placeholder::server_url;
use tidegate_engine::model::reading::{Health, Reading};
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::{HealthPolicy, Policy};

/// What one tick asks the world. Settled before anybody is asked: the journal is free for others
/// while the answers are waited for.
#[derive(Debug)]
pub struct Questions<'a> {
    policy: &'a Policy,
    /// Where our servers were seen last.
    place: Option<Account>,
    /// Our servers that are not proven gone.
    ours: Vec<Arc<ServerRecord>>,
    balancers: BTreeSet<Balancer>,
    queues: Vec<QueueQuery>,
    /// Whether a list that was whole has been held against the journal: it knows all that there is.
    known: bool,
    now: Timestamp,
}

impl<'a> Questions<'a> {
    /// `known`: see the field.
    pub fn of(policy: &'a Policy, ledger: &Ledger, known: bool, now: Timestamp) -> Self {
        let ours = ledger.servers.by_fleet().flat_map(|(_, records)| records.open_shared());
        Self {
            known,
            policy,
            place: ledger.account.clone(),
            ours: ours.cloned().collect(),
            balancers: balancers(policy, ledger),
            queues: queues(policy, ledger, now),
            now,
        }
    }
}

/// One picture of the world.
pub async fn observe(ports: &Ports, questions: Questions<'_>) -> Observation {
    let Questions { policy, place, ours, balancers, queues, known, now } = questions;
    let (account, listed, balancers, readings) = tokio::join!(
        ports.cloud.account(),
        ports.cloud.instances(&policy.install).instrument(info_span!("instances")),
        members(ports, balancers),
        depths(ports, queues, now),
    );
    let listed = match (listed, &place, &account) {
        (_, Some(ours), Some(theirs)) if ours != theirs => Err(elsewhere(ours, theirs)),
        (Ok(listed), ..) => sought(ports, &ours, listed).await.map(|found| (found, None)),
        // Of a zone that is disturbed EC2 shows nothing, and then no list of all zones either.
        (Err(fault), ..) if known && fault.kind == FaultKind::Ambiguous => {
            piecewise(ports, &ours, fault).await
        }
        (Err(fault), ..) => Err(fault),
    };
    let (instances, gap) = match listed {
        Ok((listed, gap)) => (Ok(listed), gap),
        Err(fault) => (Err(fault), None),
    };
    let health = match &instances {
        Ok(listed) => health(ports, policy, &ours, listed, now).await,
        Err(_) => BTreeMap::new(),
    };
    let clock_ahead = ports.cloud.clock_ahead();
    Observation { now, clock_ahead, account, instances, gap, balancers, health, readings }
}

/// The servers of another place are a list of something else, and ours are not in it.
fn elsewhere(ours: &Account, theirs: &Account) -> Fault {
    let text = format!(
        "the credentials are of {theirs}, and the servers of this journal are in {ours}: give each its own --state-dir"
    );
    Fault::new(FaultKind::Config, "OtherAccount", &text)
}

/// The list, and those that should be in it and are not, asked for by name: a server may have lost
/// the tag that the list goes by. Lists lag behind launches, so this is quite usual for a while.
async fn sought(
    ports: &Ports,
    ours: &[Arc<ServerRecord>],
    listed: Vec<Instance>,
) -> Result<BTreeMap<InstanceId, Instance>, Fault> {
    let by_id = |instance: Instance| (instance.id.clone(), instance);
    // Not collected: that sorts first, and a list is mostly in order.
    let mut found = BTreeMap::new();
    found.extend(listed.into_iter().map(by_id));
    let ids = ours.iter().filter_map(|record| record.instance());
    let missing: Vec<InstanceId> = ids.filter(|id| !found.contains_key(*id)).cloned().collect();
    if !missing.is_empty() {
        found.extend(ports.cloud.instances_by_id(&missing).await?.into_iter().map(by_id));
    }
    Ok(found)
}

/// Our servers by their ids, subnet by subnet; a fault where none of them answers. AWS: "If you specify
/// only instance IDs that are in an unaffected Availability Zone, the call works normally"
/// (DescribeInstances).
async fn piecewise(
    ports: &Ports,
    ours: &[Arc<ServerRecord>],
    fault: Fault,
) -> Result<(BTreeMap<InstanceId, Instance>, Option<Gap>), Fault> {
    let mut by_subnet: BTreeMap<Option<Arc<str>>, Vec<InstanceId>> = BTreeMap::new();
    for record in ours {
        let subnet = record.request.as_ref().and_then(|request| request.pool.subnet.clone());
        by_subnet.entry(subnet).or_default().extend(record.instance().cloned());
    }
    by_subnet.retain(|_, ids| !ids.is_empty());
    let asked = by_subnet.iter().map(async |(subnet, ids)| {
        let asking = info_span!("instances", subnet = subnet.as_deref().unwrap_or_default());
        (subnet, ports.cloud.instances_named(ids).instrument(asking).await)
    });
    let (mut found, mut silent, mut answered) = (BTreeMap::new(), BTreeSet::new(), false);
    for (subnet, answer) in join_all(asked).await {
        match answer {
            Ok(shown) => {
                answered = true;
                found.extend(shown.into_iter().map(|row| (row.id.clone(), row)));
            }
            Err(_) => silent.extend(subnet.clone()),
        }
    }
    if !answered {
        return Err(fault);
    }
    let unseen =
        ours.iter().filter(|record| record.instance().is_none_or(|id| !found.contains_key(id)));
    let unseen = count(unseen);
    Ok((found, Some(Gap { fault, silent, unseen })))
}

/// Each balancer once, however many fleets share it; also those that servers were registered with
/// before the policy changed, as long as there are servers.
fn balancers(policy: &Policy, ledger: &Ledger) -> BTreeSet<Balancer> {
    let named = policy.fleets.values().filter_map(|fleet| fleet.balancer.as_ref());
    let mut balancers: BTreeSet<Balancer> = named.map(|entry| entry.balancer.clone()).collect();
    for (name, _) in ledger.servers.by_fleet().filter(|(_, records)| records.has_open()) {
        if let Some((balancer, _)) = ledger.fleets.get(name).and_then(|m| m.balancer.clone()) {
            balancers.insert(balancer);
        }
    }
    balancers
}

async fn members(
    ports: &Ports,
    balancers: BTreeSet<Balancer>,
) -> BTreeMap<Balancer, Result<BTreeMap<InstanceId, Membership>, Fault>> {
    let asked = balancers.into_iter().map(async |balancer| {
        let asking = info_span!("members", %balancer);
        let members = ports.balancers.members(&balancer).instrument(asking).await;
        (balancer, members)
    });
    join_all(asked).await.into_iter().collect()
}

/// The queues whose time has come.
fn queues(policy: &Policy, ledger: &Ledger, now: Timestamp) -> Vec<QueueQuery> {
    let due = policy.fleets.values().filter_map(|fleet| {
        let last = ledger.fleets.get(&fleet.name).and_then(|memory| memory.last_reading());
        let at = fleet.poll_due(last.map(|reading| reading.at), now)?;
        let source = fleet.queue.as_ref()?.source.clone();
        (at <= now).then(|| QueueQuery { fleet: fleet.name.clone(), source })
    });
    due.collect()
}

async fn depths(
    ports: &Ports,
    queues: Vec<QueueQuery>,
    now: Timestamp,
) -> BTreeMap<FleetName, Reading> {
    let asked = queues.into_iter().map(async |query| {
        let asking = info_span!("queue", fleet = %query.fleet);
        let depth = ports.probe.queue(&query).instrument(asking).await;
        (query.fleet, Reading { at: now, depth })
    });
    join_all(asked).await.into_iter().collect()
}

async fn health(
    ports: &Ports,
    policy: &Policy,
    ours: &[Arc<ServerRecord>],
    listed: &BTreeMap<InstanceId, Instance>,
    now: Timestamp,
) -> BTreeMap<InstanceId, Health> {
    let queries: Vec<HealthQuery> = ours
        .iter()
        .filter(|record| record.retirement.as_ref().is_none_or(|r| r.resuming().is_some()))
        .filter_map(|record| {
            let check = policy.fleets.get(&record.fleet)?.health.as_ref()?;
            let instance = listed.get(record.instance()?)?;
            (instance.lifecycle == Lifecycle::Running).then(|| query(check, record, instance))?
        })
        .collect();
    let asking = info_span!("health", checks = i64::from(count(&queries)));
    ports.probe.health(&queries, now).instrument(asking).await
}

/// The check of one instance; `None` while an address that the URL needs is not known.
fn query(check: &HealthPolicy, record: &ServerRecord, instance: &Instance) -> Option<HealthQuery> {
    let url = server_url(&check.url, record, instance).ok()?;
    Some(HealthQuery {
        instance: instance.id.clone(),
        url,
        expect: check.expect.clone(),
        timeout: check.timeout,
        every: check.every,
    })
}
