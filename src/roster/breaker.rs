//! What failed launches forbid: the fleet's launch breaker, and the pools that refused lately. Both
//! are read off the journal's records, so a restart forgets nothing.

use std::time::Duration;

use super::note::UNANSWERED_HORIZON;
use crate::model::capacity::Capacity;
use crate::model::fault::{Fault, FaultKind};
use crate::model::ledger::Ledger;
use crate::model::roster::{Breaker, Cold, ColdScope};
use crate::model::server::{GoneHow, LaunchState, RetireReason, ServerRecord};
use crate::model::time::{self, Timestamp};

/// How many launches in a row must fail before launching stops.
const FAILURES_AT_MOST: Capacity = 3;

/// How often an open breaker lets one launch through.
const PROBE_EVERY: Duration = Duration::from_mins(15);

/// How long a pool that refused is passed over. Capacity comes back in minutes, and asking is cheap.
const COLD_POOL: Duration = Duration::from_mins(5);

/// How long no launch is tried after the account's quota was reached: another pool cannot help, and
/// only a termination or a person can.
const COLD_ACCOUNT: Duration = Duration::from_mins(10);

/// How one launch turned out, as far as the breaker cares.
enum Verdict {
    Good,
    Bad {
        why: String,
        at_once: bool,
    },
    /// Still open, or refused for want of capacity, which says nothing about the launch settings.
    Unsaid,
}

pub(super) fn breaker(records: &[&ServerRecord], now: Timestamp) -> Breaker {
    let mut launches: Vec<&&ServerRecord> =
        records.iter().filter(|record| record.request.is_some()).collect();
    launches.sort_by_key(|record| std::cmp::Reverse(record.planned_at));
    let mut failures: Capacity = 0;
    let mut open = false;
    let mut last: Option<(String, Timestamp)> = None;
    let mut under_way = false;
    for record in &launches {
        match verdict(record) {
            Verdict::Good => break,
            Verdict::Bad { why, at_once } => {
                failures = failures.saturating_add(1);
                open |= at_once && last.is_none();
                last.get_or_insert((why, record.planned_at));
            }
            Verdict::Unsaid => under_way |= record.is_open() && last.is_none(),
        }
    }
    let Some((why, planned_at)) = last else { return Breaker::Closed { failures } };
    if !open && failures < FAILURES_AT_MOST {
        return Breaker::Closed { failures };
    }
    if under_way {
        return Breaker::Probing { failures, last: why };
    }
    let probe_at = time::after(planned_at, PROBE_EVERY).max(now);
    Breaker::Open { failures, last: why, probe_at }
}

fn verdict(record: &ServerRecord) -> Verdict {
    if record.healthy_at.is_some() {
        return Verdict::Good;
    }
    if let Some(retirement) = &record.retirement {
        return match &retirement.why {
            RetireReason::NeverHealthy { waited } => {
                let why = format!("not healthy {} after its launch", time::text(*waited));
                Verdict::Bad { why, at_once: false }
            }
            RetireReason::StuckPending { waited } => {
                Verdict::Bad { why: format!("pending for {}", time::text(*waited)), at_once: false }
            }
            RetireReason::ScaleIn | RetireReason::Sick { .. } | RetireReason::Operator { .. } => {
                Verdict::Unsaid
            }
        };
    }
    match (&record.launch, record.gone.as_ref().map(|gone| &gone.how)) {
        (LaunchState::Refused(fault), _) => refusal(fault),
        (_, Some(GoneHow::BehindOurBack(why))) => {
            Verdict::Bad { why: format!("it died while booting: {why}"), at_once: false }
        }
        (_, Some(GoneHow::Vanished | GoneHow::NeverWas)) => {
            Verdict::Bad { why: "it never showed up in EC2".to_owned(), at_once: false }
        }
        (_, Some(GoneHow::Retired) | None) => Verdict::Unsaid,
    }
}

/// A request that can never succeed as it is stops launches at once: asking again is pointless.
fn refusal(fault: &Fault) -> Verdict {
    match fault.kind {
        FaultKind::Config
        | FaultKind::Permission
        | FaultKind::Credentials
        | FaultKind::Refused
        | FaultKind::TokenMismatch
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound => Verdict::Bad { why: fault.to_string(), at_once: true },
        FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::Throttled
        | FaultKind::Ambiguous
        | FaultKind::TokenSpent => Verdict::Unsaid,
    }
}

/// Pools and subnets that refused this fleet lately.
pub(super) fn cold_pools(records: &[&ServerRecord], now: Timestamp) -> Vec<Cold> {
    let refused = records.iter().filter_map(|record| match (&record.launch, &record.request) {
        (LaunchState::Refused(fault), Some(request)) => Some((record.planned_at, fault, request)),
        (LaunchState::Refused(_) | LaunchState::Asked(_) | LaunchState::Launched(_), _) => None,
    });
    let mut cold = Vec::new();
    for (at, fault, request) in refused {
        let scope = match (fault.kind, &request.pool.subnet) {
            (FaultKind::NoCapacity, _) => ColdScope::Pool(request.pool.clone()),
            (FaultKind::SubnetFull, Some(subnet)) => ColdScope::Subnet(subnet.clone()),
            (_, _) => continue,
        };
        let until = time::after(at, COLD_POOL);
        if until > now {
            cold.push(Cold { scope, until, fault: fault.clone() });
        }
    }
    cold
}

/// The account's quota, if it was reached lately by any fleet.
pub(super) fn cold_account(ledger: &Ledger, now: Timestamp) -> Option<Cold> {
    let refused = ledger.servers.values().filter_map(|record| match &record.launch {
        LaunchState::Refused(fault) if fault.kind == FaultKind::Quota => {
            Some((time::after(record.planned_at, COLD_ACCOUNT), fault))
        }
        LaunchState::Refused(_) | LaunchState::Asked(_) | LaunchState::Launched(_) => None,
    });
    let (until, fault) =
        refused.filter(|(until, _)| *until > now).max_by_key(|(until, _)| *until)?;
    Some(Cold { scope: ColdScope::Account, until, fault: fault.clone() })
}

// The horizon after which an unanswered launch is given up must outlast a probe, or an open breaker
// could let a second launch through beside an unanswered first.
const _: () = assert!(UNANSWERED_HORIZON.as_secs() > PROBE_EVERY.as_secs());
