//! Lets fleets learn: from the readings of their queues, and from where their servers are at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::length::Drains;
use super::note::Memories;
use super::work::{Lesson, learn};
use super::wrong_clock;
use crate::model::capacity::count;
use crate::model::fleet::FleetName;
use crate::model::launch::Token;
use crate::model::ledger::{Change, Ledger};
use crate::model::observation::Observation;
use crate::model::retirement::Retirement;
use crate::model::server::ServerRecord;
use crate::model::servers::OfFleet;
use crate::model::time::Timestamp;
use crate::policy::Policy;

/// Fleets with a goal learn from their readings, but not of time by a clock that is wrong.
pub(super) fn teach(
    policy: &Policy,
    seen: &Observation,
    changes: &[Change],
    memories: &mut Memories<'_>,
) {
    if wrong_clock(seen).is_some() {
        return;
    }
    for (name, reading) in &seen.readings {
        let Some(fleet) = policy.fleets.get(name) else { continue };
        let Some((queue, goal)) = fleet.goal() else { continue };
        let servers = noted_servers(memories.ledger, name, changes);
        let at_work = |r: &&&ServerRecord| r.in_service_at.is_some() && r.retirement.is_none();
        let serving = count(servers.iter().filter(at_work));
        let places = f64::from(serving.saturating_mul(goal.jobs_at_once));
        let memory = memories.change(name);
        let known = memory.work.take().unwrap_or_default();
        let blind = !goal.blind_for(queue.every, &memory.boots).is_zero();
        let open = drains_under_way(&servers, seen);
        let ended = |token: &Token| is_drain_over(&servers, token);
        let drains = Drains::since(&known, open, ended, &mut memory.drains, seen.now);
        let billing = fleet.billing;
        let lesson = Lesson { goal, reading, serving: places, blind, billing, drains: &drains };
        memory.work = Some(Arc::new(learn(&known, lesson)));
    }
}

/// The open servers of a fleet as they have just been noted: one that has come into service has taken its
/// first jobs.
fn noted_servers<'a>(
    ledger: &'a Ledger,
    fleet: &FleetName,
    changes: &'a [Change],
) -> Vec<&'a ServerRecord> {
    let changed: BTreeMap<&Token, &ServerRecord> = changes
        .iter()
        .filter_map(|change| {
            let Change::Server(noted) = change else { return None };
            Some((&noted.token, &**noted))
        })
        .collect();
    let records = ledger.servers.of_fleet(fleet).into_iter().flat_map(OfFleet::open);
    records.map(|record| changed.get(&record.token).copied().unwrap_or(record)).collect()
}

/// The drains that are under way, and since when.
fn drains_under_way(servers: &[&ServerRecord], seen: &Observation) -> BTreeMap<Token, Timestamp> {
    let drains = servers.iter().filter_map(|record| {
        let drain = record.retirement.as_ref()?.draining().filter(|drain| drain.end.is_none())?;
        let open = record.gone.is_none();
        open.then(|| (record.token.clone(), seen.by_host(drain.begun_at)))
    });
    drains.collect()
}

/// Returns whether a drain that is under way no more has ended, and was not cancelled.
fn is_drain_over(servers: &[&ServerRecord], token: &Token) -> bool {
    let server = servers.iter().find(|record| record.token == *token);
    server.is_none_or(|record| {
        let retirement = record.retirement.as_ref();
        let over = |r: &Retirement| r.termination().is_some() || r.draining().is_some();
        record.gone.is_some() || retirement.is_some_and(over)
    })
}
