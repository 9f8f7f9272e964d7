//! What a failed launch is, and what failed launches forbid: the fleet's launch breaker, and scale-in
//! while a server could not be had back. Both follow from the journal's records, so a restart forgets
//! nothing.

use std::fmt;
use std::time::Duration;

use super::note::UNANSWERED_HORIZON;
use crate::model::capacity::Capacity;
use crate::model::fault::{Fault, FaultKind};
use crate::model::ledger::Ledger;
use crate::model::offering::{Backoff, Breaker, OfferingView, TrackRecord};
use crate::model::retirement::RetireReason;
use crate::model::roster::Failing;
use crate::model::server::{Asked, GoneHow, LaunchState, ServerRecord};
use crate::model::servers::OfFleet;
use crate::model::time::{self, Timestamp};

/// How often an open breaker lets one launch through.
const PROBE_EVERY: Duration = Duration::from_mins(15);

/// How a launch without success turned out, as far as the breaker cares.
#[derive(Clone, Copy)]
pub(super) enum Verdict<'a> {
    Bad {
        why: Why<'a>,
        at_once: bool,
    },
    /// Still open, or refused for want of capacity, which says nothing about the launch settings.
    Unsaid,
}

/// How a launch failed. Put into words for one failure of many.
#[derive(Clone, Copy)]
pub(super) enum Why<'a> {
    NotHealthy { waited: Duration, last: Option<&'a str> },
    Pending(Duration),
    Died(&'a str),
    NeverShowed,
    NoAnswer,
    Refused(&'a Fault),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHealthy { waited, last } => {
                write!(f, "not healthy {} after its launch", time::text(*waited))?;
                last.map_or(Ok(()), |last| write!(f, " ({last})"))
            }
            Self::Pending(waited) => write!(f, "pending for {}", time::text(*waited)),
            Self::Died(why) => write!(f, "it died while booting: {why}"),
            Self::NeverShowed => write!(f, "it never showed up in EC2"),
            Self::NoAnswer => write!(f, "no answer"),
            Self::Refused(fault) => write!(f, "{fault}"),
        }
    }
}

/// Returns whether the fleet may launch: not while every offering is broken, but for a probe.
pub(super) fn breaker(offerings: &[OfferingView], failures: Capacity, now: Timestamp) -> Breaker {
    let failing = offerings.iter().filter_map(OfferingView::failures);
    let last = failing.max_by_key(|failing| failing.planned_at);
    let Some(last) = last.filter(|_| offerings.iter().all(OfferingView::is_broken)) else {
        return Breaker::Closed { failures };
    };
    let why = last.last.clone();
    let under_way = offerings.iter().filter_map(|offering| offering.last_under_way).max();
    if under_way >= Some(last.planned_at) {
        return Breaker::Probing { failures, last: why };
    }
    let probe_at = time::after(last.planned_at, PROBE_EVERY).max(now);
    Breaker::Open { failures, last: why, probe_at }
}

/// Returns how a launch that has not passed its health check turned out.
pub(super) fn verdict(record: &ServerRecord) -> Verdict<'_> {
    if let Some(retirement) = &record.retirement {
        return match &retirement.why {
            RetireReason::NeverHealthy { waited, last } => Verdict::Bad {
                why: Why::NotHealthy { waited: *waited, last: last.as_deref() },
                at_once: false,
            },
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

/// Returns why a server that is terminated now could not be replaced: the last launches of the fleet,
/// or unanswered ones of any fleet, failed, and none has succeeded since. In a region whose control
/// plane is impaired terminations often work while launches do not.
///
/// Failures of the fleet count only where no offering works.
pub(super) fn failing(
    records: &OfFleet,
    (offerings, backoffs): (&[OfferingView], &[Backoff]),
    elsewhere: Option<Failed<'_>>,
    now: Timestamp,
) -> Option<Failing> {
    let works = |offering: &OfferingView| {
        let available = !backoffs.iter().any(|backoff| backoff.scope.covers(&offering.pool));
        available && offering.track == TrackRecord::Proven
    };
    let replaceable = offerings.iter().any(works);
    let mut last = elsewhere;
    let mut success = records.last_proven();
    let long_ago = time::before(now, FAILURE_COUNTS);
    for record in records.unproven_since(long_ago) {
        match failure(record) {
            Some(_) if replaceable && !is_unanswered(record) => {}
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
        | FaultKind::NotFound
        | FaultKind::SubnetNotFound
        | FaultKind::Permission
        | FaultKind::Refused
        | FaultKind::TokenMismatch
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound => Verdict::Bad { why: Why::Refused(fault), at_once: true },
        FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::AccountQuota
        | FaultKind::Throttled
        // They say who asks, and nothing of what is asked for.
        | FaultKind::Credentials
        | FaultKind::Ambiguous
        | FaultKind::TokenSpent => Verdict::Unsaid,
    }
}

// The horizon after which an unanswered launch is given up must outlast a probe, or an open breaker
// could let a second launch through beside an unanswered first.
const _: () = assert!(UNANSWERED_HORIZON.as_secs() > PROBE_EVERY.as_secs());
