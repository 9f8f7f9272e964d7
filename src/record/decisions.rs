//! Problems that a decision shows, and what holds a plan back.

use super::Journal;
use tidegate_engine::model::decision::{Decision, Reason};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::plan::Limit;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::policy::Policy;

/// Returns the problems of one fleet's decision. `blind`: EC2 cannot be seen, which is a problem of its
/// own.
pub(super) fn decided(
    journal: &Journal,
    policy: &Policy,
    decision: &Decision,
    blind: bool,
) -> Vec<Problem> {
    let name = &decision.fleet;
    let undecided = if blind { None } else { undecided(name, decision, policy) };
    let found = [
        queue(name, decision),
        approval(name, decision, policy),
        limited(journal, decision, policy),
        undecided,
    ];
    found.into_iter().flatten().collect()
}

/// Returns the problem that a limit is, where it is one.
pub(super) fn limit_kind(limit: &Limit) -> Option<ProblemKind> {
    match limit {
        Limit::Instances { .. } => Some(ProblemKind::InstanceLimit),
        Limit::Launch { .. } => Some(ProblemKind::LaunchLimit),
        Limit::Terminate { .. } => Some(ProblemKind::TerminationLimit),
        Limit::MostlySick { .. } => Some(ProblemKind::MostlyUnhealthy),
        Limit::Audit(_) => Some(ProblemKind::Audit),
        // Whatever holds the places, a sick or a draining server, is told by itself; the breaker
        // is told for as long as it is open, not only while servers are missing.
        Limit::Max { .. }
        | Limit::Breaker { .. }
        | Limit::FirstServers { .. }
        | Limit::NoOffering { .. }
        | Limit::Unlaunchable { .. }
        | Limit::Pace => None,
    }
}

/// `limits.terminate` holds a scale-in back. Between two readings the problem lasts.
fn limited(journal: &Journal, decision: &Decision, policy: &Policy) -> Option<Problem> {
    let key = ProblemKind::TerminationLimit.about(&decision.fleet);
    let limited = |reason: &&Reason| matches!(reason, Reason::TerminationsLimited(_));
    let text = match decision.because.iter().find(limited) {
        Some(reason) => reason.text(&policy.zone),
        None if decision.is_between_readings() => journal.ledger().problems.get(&key)?.text.clone(),
        None => return None,
    };
    Some(Problem::new(key, Some(&decision.fleet), text))
}

/// An edit of the policy waits for a person.
fn approval(name: &FleetName, decision: &Decision, policy: &Policy) -> Option<Problem> {
    let awaits = decision.because.iter().find(|reason| reason.awaits_approval())?;
    Some(Problem::of_fleet(ProblemKind::Approval, name, awaits.text(&policy.zone)))
}

/// Where EC2 is seen, only a defect of ours keeps a fleet from being decided.
fn undecided(name: &FleetName, decision: &Decision, policy: &Policy) -> Option<Problem> {
    let frozen = decision.because.iter().find(|reason| matches!(reason, Reason::Frozen { .. }))?;
    Some(Problem::of_fleet(ProblemKind::Audit, name, frozen.text(&policy.zone)))
}

fn queue(name: &FleetName, decision: &Decision) -> Option<Problem> {
    decision.because.iter().find_map(|reason| {
        let Reason::QueueUnreadable { why, .. } = reason else { return None };
        let text = format!("the queue cannot be read: {why}");
        Some(Problem::of_fleet(ProblemKind::QueueUnreadable, name, text))
    })
}
