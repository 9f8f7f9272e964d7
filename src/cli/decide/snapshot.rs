//! What a line of input says, as the evaluator takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::line::{
    Drain, FailedLaunch, Failure, Inventory, Line, Order, Place, Progress, Server, State,
};
use tidegate_engine::evaluate::{self, FleetSnapshot, ServerSnapshot, ServerState, Snapshot};
use tidegate_engine::model::capacity::count;
use tidegate_engine::model::drain::{self, Delivery};
use tidegate_engine::model::fault::{Fault, FaultKind, printable};
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::{Override, OverrideKey};
use tidegate_engine::model::observation::Gap;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage};
use tidegate_engine::model::server::{Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::{Clocks, Timestamp};
use tidegate_engine::plan::frozen_request;
use tidegate_engine::policy::{FleetPolicy, Policy};

/// Returns the snapshot, or why the line contradicts itself.
pub(super) fn snapshot(
    line: Line,
    policy: &Policy,
    fleet: &FleetPolicy,
) -> Result<Snapshot, String> {
    let mut ids = BTreeSet::new();
    let now = line.now;
    if let Some(twice) = line.instances.iter().find(|server| !ids.insert(&server.id)) {
        return Err(format!("the instance `{}` is given twice", printable(&twice.id, 40)));
    }
    let reading = Some(reading(&line)?);
    let unseen = count(line.instances.iter().filter(|server| !server.listed));
    let launches = line.failed_launches.iter().map(|failed| record(failed, policy, fleet));
    let launches = launches.collect();
    let servers = line.instances.into_iter().map(|told| server(told, fleet)).collect();
    let told = FleetSnapshot { reading, servers, launches };
    let hold = line.hold.map(|order| entry(OverrideKey::Hold, order, fleet, now));
    let pause = line.pause.map(|order| entry(OverrideKey::Pause, order, fleet, now));
    let fault = || Fault::new(FaultKind::Ambiguous, "NotListed", "by the observation");
    let inventory = match line.inventory {
        Inventory::Complete => evaluate::Inventory::Complete,
        Inventory::Degraded => {
            let silent = BTreeSet::new();
            evaluate::Inventory::Degraded(Gap { fault: fault(), silent, unseen })
        }
        Inventory::Unusable => evaluate::Inventory::Unusable(fault()),
    };
    let fleets = BTreeMap::from([(fleet.name.clone(), told)]);
    Ok(Snapshot { now, fleets, inventory, overrides: hold.into_iter().chain(pause).collect() })
}

fn reading(line: &Line) -> Result<Reading, String> {
    let oldest = line.oldest_wait_s.map(Duration::try_from_secs_f64).transpose();
    let oldest = oldest
        .map_err(|_| "`oldest_wait_s` is no time to have waited: write seconds, 0 or more")?;
    // One server without the number, and the others' would mislead.
    let told =
        line.instances.iter().all(|server| server.busy.is_some() || server.state == State::Booting);
    let busy = |server: &Server| (InstanceId::new(&server.id), server.busy.unwrap_or(0));
    let busy = (told && line.instances.iter().any(|server| server.busy.is_some()))
        .then(|| line.instances.iter().map(busy).collect());
    let work =
        Work { running: line.running, arrived: line.arrived, completed: line.completed, busy };
    Ok(match line.queue {
        Some(waiting) => Reading { at: line.now, depth: Ok(Depth { waiting, oldest, work }) },
        None => Reading::unreadable(line.now, "not readable, by the observation"),
    })
}

fn server(told: Server, fleet: &FleetPolicy) -> ServerSnapshot {
    let state = match told.state {
        State::Booting => ServerState::Booting,
        State::InService => ServerState::InService,
        State::Unhealthy => ServerState::Unhealthy { since: told.unhealthy_since },
        State::Draining => ServerState::Draining(told.drain.map(|drain| retirement(&drain, fleet))),
    };
    let known = told.place.instance_type.is_some() || told.place.subnet.is_some();
    let server = ServerSnapshot::new(InstanceId::new(&told.id), told.launched_at, state);
    ServerSnapshot {
        pool: known.then(|| pool(&told.place, fleet)),
        zone: told.place.zone.map(Into::into),
        kept: told.kept,
        listed: told.listed,
        ..server
    }
}

fn retirement(told: &Drain, fleet: &FleetPolicy) -> Retirement {
    let at = told.since;
    let terms = fleet.drain_terms();
    let clocks = Clocks::new(at, None);
    let mut retirement = Retirement::begin(RetireReason::ScaleIn, terms.cloned(), clocks);
    if let Some(terms) = terms {
        let mut drain = drain::Drain::begin(None, terms, at);
        drain.deadline = told.deadline.unwrap_or(drain.deadline);
        let received = |nothing_runs| Delivery::Received { at, nothing_runs };
        drain.delivery = match told.progress {
            Progress::Signalled => Delivery::Pending { last_fault: None },
            Progress::Received => received(false),
            Progress::Finished => received(true),
        };
        retirement.stage = Stage::Draining(drain);
    }
    retirement
}

/// The type and subnet as told, and the policy's first where one is not.
fn pool(told: &Place, fleet: &FleetPolicy) -> Pool {
    let named = |told: &Option<String>, names: &[String]| {
        told.as_ref().or(names.first()).map(|name| name.as_str().into())
    };
    Pool {
        instance_type: named(&told.instance_type, &fleet.launch.types),
        subnet: named(&told.subnet, &fleet.launch.subnets),
    }
}

/// The journal's record of a failed launch. Its token is derived from what is told, so that the same
/// launch may be told with every line.
fn record(failed: &FailedLaunch, policy: &Policy, fleet: &FleetPolicy) -> Arc<ServerRecord> {
    let pool = pool(&failed.place, fleet);
    let token = format!("failed.{}.{}.{:?}.{pool}", fleet.name, failed.at, failed.failure);
    let token = Token::from_stored(&token);
    let id = InstanceId::new(token.as_str());
    let request = Arc::new(frozen_request(policy, fleet, pool, token));
    let clocks = Clocks::new(failed.at, None);
    let mut record = ServerRecord::planned(request, fleet.name.clone(), clocks);
    let refused = |kind, code| {
        (LaunchState::Refused(Fault::new(kind, code, "by the observation")), GoneHow::NeverWas)
    };
    let (launch, how) = match failed.failure {
        Failure::NeverHealthy => {
            let why = RetireReason::NeverHealthy { waited: fleet.grace, last: None };
            record.retirement = Some(Retirement::begin(why, None, clocks));
            (LaunchState::Launched(id), GoneHow::Retired)
        }
        Failure::Refused => refused(FaultKind::Config, "Refused"),
        Failure::NoCapacity => refused(FaultKind::NoCapacity, "InsufficientInstanceCapacity"),
    };
    record.launch = launch;
    record.gone = Some(Gone { at: failed.at, how });
    Arc::new(record)
}

fn entry(
    key: fn(FleetName) -> OverrideKey,
    order: Order,
    fleet: &FleetPolicy,
    now: Timestamp,
) -> Override {
    Override {
        key: key(fleet.name.clone()),
        capacity: order.capacity,
        owner: order.owner.unwrap_or_else(|| "the caller".to_owned()),
        reason: order.reason.unwrap_or_else(|| "by the observation".to_owned()),
        since: now,
        until: order.until,
        at_once: false,
    }
}
