//! What failed launches forbid: the fleet's launch breaker, and the pools that refused lately. Both
//! are read off the journal's records, so a restart forgets nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::note::UNANSWERED_HORIZON;
use crate::model::capacity::Capacity;
use crate::model::fault::{Fault, FaultKind};
use crate::model::ledger::Ledger;
use crate::model::retirement::RetireReason;
use crate::model::roster::{Breaker, Cold, ColdScope, Failing};
use crate::model::server::{Asked, GoneHow, LaunchState, ServerRecord};
use crate::model::servers::OfFleet;
use crate::model::time::{self, Timestamp};

/// How many launches in a row must fail before launching stops.
const FAILURES_AT_MOST: Capacity = 3;

/// How often an open breaker lets one launch through.
const PROBE_EVERY: Duration = Duration::from_mins(15);

/// How long a pool that refused is passed over. Capacity comes back in minutes, and asking is cheap.
const COLD_POOL: Duration = Duration::from_mins(5);
/// Doubled at each refusal within the hour, up to this.
const COLD_POOL_AT_MOST: Duration = Duration::from_mins(30);
const REFUSALS_COUNTED: Duration = Duration::from_hours(1);

/// How long no launch is tried after the account's quota was reached: another pool cannot help, and
/// only a termination or a person can.
const COLD_ACCOUNT: Duration = Duration::from_mins(10);

/// How a launch without success turned out, as far as the breaker cares.
enum Verdict<'a> {
    Bad {
        why: Why<'a>,
        at_once: bool,
    },
    /// Still open, or refused for want of capacity, which says nothing about the launch settings.
    Unsaid,
}

/// How a launch failed. Put into words for one failure of many.
#[derive(Clone, Copy)]
enum Why<'a> {
    NotHealthy(Duration),
    Pending(Duration),
    Died(&'a str),
    NeverShowed,
    NoAnswer,
    Refused(&'a Fault),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHealthy(waited) => {
                write!(f, "not healthy {} after its launch", time::text(*waited))
            }
            Self::Pending(waited) => write!(f, "pending for {}", time::text(*waited)),
            Self::Died(why) => write!(f, "it died while booting: {why}"),
            Self::NeverShowed => write!(f, "it never showed up in EC2"),
            Self::NoAnswer => write!(f, "no answer"),
            Self::Refused(fault) => write!(f, "{fault}"),
        }
    }
}

pub(super) fn breaker(records: &OfFleet, now: Timestamp) -> Breaker {
    let ours = |record: &&ServerRecord| record.request.is_some();
    // Whatever came before the last success no longer counts.
    let healthy = records.open().filter(ours).filter(|record| record.is_proven());
    let success = healthy.map(|record| record.planned_at).max().max(records.last_proven());
    let since = records.unproven_since(success.unwrap_or(Timestamp::MIN));
    let launches = since.filter(ours).filter(|record| Some(record.planned_at) > success);
    let mut failures: Capacity = 0;
    // The latest that failed, and the latest that is under way.
    let mut last: Option<(Why<'_>, bool, Timestamp)> = None;
    let mut under_way: Option<Timestamp> = None;
    for record in launches {
        let at = record.planned_at;
        match verdict(record) {
            Verdict::Bad { why, at_once } => {
                failures = failures.saturating_add(1);
                if last.is_none_or(|(_, _, latest)| latest < at) {
                    last = Some((why, at_once, at));
                }
            }
            Verdict::Unsaid if record.is_open() => under_way = under_way.max(Some(at)),
            Verdict::Unsaid => {}
        }
    }
    let Some((why, at_once, planned_at)) = last else { return Breaker::Closed { failures } };
    if !at_once && failures < FAILURES_AT_MOST {
        return Breaker::Closed { failures };
    }
    if under_way >= Some(planned_at) {
        return Breaker::Probing { failures, last: why.to_string() };
    }
    let probe_at = time::after(planned_at, PROBE_EVERY).max(now);
    Breaker::Open { failures, last: why.to_string(), probe_at }
}

fn verdict(record: &ServerRecord) -> Verdict<'_> {
    if let Some(retirement) = &record.retirement {
        return match &retirement.why {
            RetireReason::NeverHealthy { waited } => {
                Verdict::Bad { why: Why::NotHealthy(*waited), at_once: false }
            }
            RetireReason::StuckPending { waited } => {
                Verdict::Bad { why: Why::Pending(*waited), at_once: false }
            }
            RetireReason::ScaleIn | RetireReason::Sick { .. } | RetireReason::Operator { .. } => {
                Verdict::Unsaid
            }
        };
    }
    match (&record.launch, record.gone.as_ref().map(|gone| &gone.how)) {
        (LaunchState::Refused(fault), _) => refusal(fault),
        (_, Some(GoneHow::BehindOurBack(why))) => {
            Verdict::Bad { why: Why::Died(why), at_once: false }
        }
        // Never more than asked for, and not wanted any more when it could have been.
        (LaunchState::Asked(asked), Some(GoneHow::NeverWas)) if turned_away(asked) => {
            Verdict::Unsaid
        }
        (_, Some(GoneHow::Vanished | GoneHow::NeverWas)) => {
            Verdict::Bad { why: Why::NeverShowed, at_once: false }
        }
        (_, Some(GoneHow::Retired) | None) => Verdict::Unsaid,
    }
}

/// How long the failure of a launch keeps servers from being scaled in: beyond the next probe.
const FAILURE_COUNTS: Duration = Duration::from_mins(20);

/// A launch that failed: when that turned out, and how.
#[derive(Clone, Copy)]
pub(super) struct Failed<'a> {
    at: Timestamp,
    why: Why<'a>,
}

/// Whether a server that goes now could be had back: the last launches of the fleet, or unanswered
/// ones of any fleet, failed, and none has succeeded since. In a region whose control plane is
/// impaired terminations often work while launches do not.
pub(super) fn failing(
    records: &OfFleet,
    elsewhere: Option<Failed<'_>>,
    now: Timestamp,
) -> Option<Failing> {
    let mut last = elsewhere;
    let mut success = records.last_proven();
    let long_ago = time::before(now, FAILURE_COUNTS);
    for record in records.unproven_since(long_ago) {
        match failure(record) {
            Some(failed) if last.is_none_or(|last| last.at <= failed.at) => last = Some(failed),
            None if record.instance().is_some() && record.request.is_some() => {
                success = success.max(Some(record.planned_at));
            }
            Some(_) | None => {}
        }
    }
    let Failed { at, why } = last?;
    let until = time::after(at, FAILURE_COUNTS);
    let failing = until > now && success.is_none_or(|good| good < at);
    failing.then(|| Failing { why: why.to_string(), until })
}

/// The latest launch of any fleet that was asked for in vain.
pub(super) fn unanswered(ledger: &Ledger) -> Option<Failed<'_>> {
    let unanswered = ledger.servers.open().filter(|record| is_unanswered(record));
    unanswered.filter_map(failure).max_by_key(|failed| failed.at)
}

fn is_unanswered(record: &ServerRecord) -> bool {
    matches!(&record.launch, LaunchState::Asked(asked) if asked.attempts > 1)
}

/// Whether the launch of a server turned out to have failed; asked in vain counts.
fn failure(record: &ServerRecord) -> Option<Failed<'_>> {
    record.request.as_ref()?;
    match &record.launch {
        LaunchState::Refused(fault) => {
            Some(Failed { at: record.planned_at, why: Why::Refused(fault) })
        }
        LaunchState::Asked(asked) if asked.attempts > 1 => {
            let why = asked.last_fault.as_ref().map_or(Why::NoAnswer, Why::Refused);
            Some(Failed { at: asked.last_attempt_at, why })
        }
        LaunchState::Asked(_) => None,
        LaunchState::Launched(_) if record.is_proven() => None,
        LaunchState::Launched(_) => {
            let Verdict::Bad { why, .. } = verdict(record) else { return None };
            let retired = record.retirement.as_ref().map(|retirement| retirement.begun_at);
            let known = retired.or(record.gone.as_ref().map(|gone| gone.at));
            Some(Failed { at: known.unwrap_or(record.planned_at), why })
        }
    }
}

/// Every attempt was refused for who asked, or how often.
fn turned_away(asked: &Asked) -> bool {
    let kind = asked.last_fault.as_ref().map(|fault| fault.kind);
    !asked.in_doubt && matches!(kind, Some(FaultKind::Credentials | FaultKind::Throttled))
}

/// A request that can never succeed as it is stops launches at once: asking again is pointless.
fn refusal(fault: &Fault) -> Verdict<'_> {
    match fault.kind {
        FaultKind::Config
        | FaultKind::Permission
        | FaultKind::Refused
        | FaultKind::TokenMismatch
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound => Verdict::Bad { why: Why::Refused(fault), at_once: true },
        FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::Throttled
        // They say who asks, and nothing of what is asked for.
        | FaultKind::Credentials
        | FaultKind::Ambiguous
        | FaultKind::TokenSpent => Verdict::Unsaid,
    }
}

/// Pools and subnets that refused this fleet lately, each for the longer the more often it did.
pub(super) fn cold_pools(records: &OfFleet, now: Timestamp) -> Vec<Cold> {
    let mut refusals: BTreeMap<ColdScope, Vec<(Timestamp, &Fault)>> = BTreeMap::new();
    let long_ago = time::before(now, REFUSALS_COUNTED);
    let asked = records.unproven_since(long_ago).filter(|record| record.planned_at >= long_ago);
    for record in asked {
        let (LaunchState::Refused(fault), Some(request)) = (&record.launch, &record.request) else {
            continue;
        };
        let scope = match (fault.kind, &request.pool.subnet) {
            (FaultKind::NoCapacity, _) => ColdScope::Pool(request.pool.clone()),
            (FaultKind::SubnetFull, Some(subnet)) => ColdScope::Subnet(subnet.clone()),
            (_, _) => continue,
        };
        refusals.entry(scope).or_default().push((record.planned_at, fault));
    }
    let cold = refusals.into_iter().filter_map(|(scope, refusals)| {
        let (last, fault) = refusals.iter().max_by_key(|(at, _)| *at)?;
        let doublings = u32::try_from(refusals.len()).unwrap_or(u32::MAX).saturating_sub(1).min(16);
        let wait = COLD_POOL.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let until = time::after(*last, wait.min(COLD_POOL_AT_MOST));
        (until > now).then(|| Cold { scope, until, fault: (*fault).clone() })
    });
    cold.collect()
}

/// The account's quota, if it was reached lately by any fleet.
pub(super) fn cold_account(ledger: &Ledger, now: Timestamp) -> Option<Cold> {
    let long_ago = time::before(now, COLD_ACCOUNT);
    let fleets = ledger.servers.by_fleet();
    let records = fleets.flat_map(|(_, records)| records.unproven_since(long_ago));
    let refused = records.filter_map(|record| match &record.launch {
        LaunchState::Refused(fault)
            if record.planned_at > long_ago && fault.kind == FaultKind::Quota =>
        {
            Some((record.planned_at, fault))
        }
        LaunchState::Refused(_) | LaunchState::Asked(_) | LaunchState::Launched(_) => None,
    });
    let (at, fault) = refused.max_by_key(|(at, _)| *at)?;
    let until = time::after(at, COLD_ACCOUNT);
    Some(Cold { scope: ColdScope::Account, until, fault: fault.clone() })
}

// The horizon after which an unanswered launch is given up must outlast a probe, or an open breaker
// could let a second launch through beside an unanswered first.
const _: () = assert!(UNANSWERED_HORIZON.as_secs() > PROBE_EVERY.as_secs());
