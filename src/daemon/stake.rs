//! What an order means for the jobs on servers, for the answer to it.

use std::time::Duration;

use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::ledger::{Ledger, Override, OverrideKey};
use tidegate_engine::model::reading::{Reading, jobs};
use tidegate_engine::model::server::ServerRecord;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{FleetPolicy, Policy};

/// So many servers with jobs are named.
const NAMED_AT_MOST: usize = 10;

/// Returns what becomes of jobs, as a sentence to follow the answer; `None`: no job is concerned.
pub(super) fn stake(
    policy: &Policy,
    ledger: &Ledger,
    entry: &Override,
    now: Timestamp,
) -> Option<String> {
    match &entry.key {
        OverrideKey::Terminate(id) => {
            let fleet = &ledger.servers.of_instance(id)?.fleet;
            terminated(policy.fleets.get(fleet), ledger, id, entry.at_once, now)
        }
        OverrideKey::Hold(fleet) => held(policy.fleets.get(fleet)?, ledger, entry.capacity, now),
        OverrideKey::Pause(_)
        | OverrideKey::Retire(_)
        | OverrideKey::Keep(_)
        | OverrideKey::Launch(_)
        | OverrideKey::Approve(_) => None,
    }
}

fn terminated(
    fleet: Option<&FleetPolicy>,
    ledger: &Ledger,
    id: &InstanceId,
    at_once: bool,
    now: Timestamp,
) -> Option<String> {
    let record = ledger.servers.of_instance(id)?;
    let terms = ledger.fleets.get(&record.fleet).and_then(|memory| memory.drains.terms.clone());
    let terms = fleet.map_or(terms, |fleet| fleet.drain_terms().cloned());
    if let Some(terms) = terms.filter(|_| !at_once) {
        let most = time::text(terms.deadline);
        return Some(format!("it finishes its jobs first, for {most} at most"));
    }
    // Only servers that work off a queue run jobs.
    fleet?.queue.as_ref()?;
    Some(match busy(ledger, &record.fleet) {
        Some((busy, ago)) => match busy.iter().find(|(known, _)| known == id) {
            Some((_, n)) => {
                format!(
                    "it ran {} {} ago, which will be interrupted",
                    jobs(u64::from(*n)),
                    since(ago, now)
                )
            }
            None => format!("it ran no job {} ago", since(ago, now)),
        },
        None => "whether it runs jobs is not known, and any will be interrupted".to_owned(),
    })
}

fn held(fleet: &FleetPolicy, ledger: &Ledger, capacity: u32, now: Timestamp) -> Option<String> {
    fleet.queue.as_ref()?;
    let stays = |record: &&ServerRecord| record.fleet == fleet.name && record.retirement.is_none();
    let servers = ledger.servers.open().filter(stays).count();
    if servers <= usize::try_from(capacity).unwrap_or(usize::MAX) {
        return None;
    }
    if let Some(terms) = fleet.drain_terms() {
        let most = time::text(terms.deadline);
        let named = busy(ledger, &fleet.name).map(|(busy, at)| named(&busy, at, now));
        let named = named.filter(|named| !named.is_empty());
        let named = named.map_or_else(String::new, |named| format!("; {named}"));
        return Some(format!("servers that go finish their jobs first, for {most} at most{named}"));
    }
    match busy(ledger, &fleet.name) {
        Some((busy, _)) if busy.is_empty() => None,
        Some((busy, at)) => {
            Some(format!("servers with jobs stay until they are idle: {}", named(&busy, at, now)))
        }
        None => Some(
            "whether servers run jobs is not known: scale-in waits as long as the policy says"
                .to_owned(),
        ),
    }
}

/// Servers that run jobs, and when the queue told.
fn busy(ledger: &Ledger, fleet: &FleetName) -> Option<(Vec<(InstanceId, u32)>, Timestamp)> {
    let Reading { at, depth } = ledger.fleets.get(fleet)?.last_reading()?;
    let busy = depth.as_ref().ok()?.work.busy.as_ref()?;
    let busy = busy.iter().filter(|(_, jobs)| **jobs > 0);
    Some((busy.map(|(id, jobs)| (id.clone(), *jobs)).collect(), *at))
}

fn named(busy: &[(InstanceId, u32)], at: Timestamp, now: Timestamp) -> String {
    if busy.is_empty() {
        return String::new();
    }
    let one = |(id, n): &(InstanceId, u32)| format!("{id} ({})", jobs(u64::from(*n)));
    let first: Vec<String> = busy.iter().take(NAMED_AT_MOST).map(one).collect();
    let more = busy.len().saturating_sub(NAMED_AT_MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}, {} ago", first.join(", "), since(at, now))
}

fn since(at: Timestamp, now: Timestamp) -> String {
    let ago = time::since(now, at);
    time::text(Duration::from_secs(ago.as_secs()))
}
