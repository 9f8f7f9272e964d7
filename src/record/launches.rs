//! Problems with launches: a fleet that may launch nothing, offerings that fail, and capacity that is
//! not to be had.

use super::Journal;
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::roster::{Breaker, Failures, FleetView, OfferingView, Phase};
use tidegate_engine::model::server::{LaunchState, ServerRecord};
use tidegate_engine::model::servers;
use tidegate_engine::model::time::Timestamp;

/// The problems of one fleet.
pub(super) fn launches(
    journal: &Journal,
    view: &FleetView,
    decision: Option<&Decision>,
) -> Vec<Problem> {
    let found = [
        breaker(view),
        failing(journal, view),
        decision.and_then(|decision| no_capacity(journal.ledger(), view, decision)),
    ];
    found.into_iter().flatten().collect()
}

fn breaker(view: &FleetView) -> Option<Problem> {
    let (failures, last) = match &view.breaker {
        Breaker::Closed { .. } => return None,
        Breaker::Open { failures, last, .. } | Breaker::Probing { failures, last } => {
            (failures, last)
        }
    };
    let name = &view.name;
    let text = format!(
        "launches stopped after {failures} failures, the last: {last}; one is tried every 15m, and at once after an edit of `launch` or `health` or after `tidegate resume {name}`"
    );
    Some(Problem::of_fleet(ProblemKind::LaunchesStopped, name, text))
}

/// Offerings that fail while others of the fleet work. The problem lasts when the others fail too: that is
/// no recovery.
fn failing(journal: &Journal, view: &FleetView) -> Option<Problem> {
    let failing: Vec<(&OfferingView, &Failures)> =
        view.offerings.iter().filter_map(|offering| Some((offering, failed(offering)?))).collect();
    let (_, last) = failing.iter().max_by_key(|(_, failures)| failures.planned_at)?;
    let names: Vec<String> =
        failing.iter().map(|(offering, _)| offering.pool.to_string()).collect();
    let works = |offering: &OfferingView| failed(offering).is_none() && !is_refused(view, offering);
    let name = &view.name;
    let key = ProblemKind::LaunchesFailing.about(name);
    let elsewhere = if view.offerings.iter().any(works) {
        "servers are launched elsewhere meanwhile"
    } else if journal.ledger().problems.contains_key(&key) {
        "no other type or subnet is left"
    } else {
        return None;
    };
    let text = format!(
        "launches fail: {}; {elsewhere}; the last failure: {}",
        names.join(", "),
        last.last
    );
    Some(Problem::new(key, Some(name), text))
}

/// Returns the failures of an offering. A single one may be chance.
fn failed(offering: &OfferingView) -> Option<&Failures> {
    offering.failures().filter(|failures| failures.broken || failures.count > 1)
}

fn is_refused(view: &FleetView, offering: &OfferingView) -> bool {
    view.backoffs.iter().any(|backoff| backoff.scope.covers(&offering.pool))
}

/// EC2 refuses all launches for want of capacity, addresses or quota. The problem lasts until a launch
/// is accepted or no server is missing: the end of a backoff alone is no recovery.
fn no_capacity(ledger: &Ledger, view: &FleetView, decision: &Decision) -> Option<Problem> {
    let name = &view.name;
    let key = ProblemKind::NoCapacity.about(name);
    let missing = decision.launch > 0 || view.servers.iter().any(|s| s.phase == Phase::Launching);
    if !missing {
        return None;
    }
    let records = ledger.servers.of_fleet(name).unwrap_or(&servers::NONE);
    let last = records.refused_since(Timestamp::MIN).find_map(refusal);
    let out = |offering: &OfferingView| is_refused(view, offering) || offering.is_broken();
    let refused = |offering: &OfferingView| is_refused(view, offering);
    let mut offerings = view.offerings.iter();
    if !(offerings.clone().all(out) && offerings.any(refused)) {
        let since = ledger.problems.get(&key)?.since;
        let refused_at = last.map_or(since, |(at, _)| at);
        let accepted = records.since(since).filter(|record| record.instance().is_some());
        if accepted.map(|record| record.planned_at).max() > Some(refused_at) {
            return None;
        }
    }
    let of_others = || view.backoffs.iter().max_by_key(|backoff| backoff.until).map(|b| &b.fault);
    let fault = last.map(|(_, fault)| fault).or_else(of_others)?;
    let text = format!("every type and subnet refused lately, the last: {fault}");
    Some(Problem::new(key, Some(name), text))
}

/// Returns when a launch was asked for that EC2 had no room for, and its answer.
fn refusal(record: &ServerRecord) -> Option<(Timestamp, &Fault)> {
    let LaunchState::Refused(fault) = &record.launch else { return None };
    let scarce = match fault.kind {
        FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::AccountQuota => true,
        FaultKind::Throttled
        | FaultKind::Ambiguous
        | FaultKind::Permission
        | FaultKind::Credentials
        | FaultKind::Config
        | FaultKind::NotFound
        | FaultKind::SubnetNotFound
        | FaultKind::TokenMismatch
        | FaultKind::TokenSpent
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound
        | FaultKind::Refused => false,
    };
    scarce.then_some((record.planned_at, fault))
}
