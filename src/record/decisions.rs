//! Problems that a decision shows, and what holds a plan back.

use super::Journal;
use super::problems::Concern;
use tidegate_engine::model::decision::{Decision, Reason};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::plan::Limit;
use tidegate_engine::policy::Policy;

/// Returns the problems of one fleet's decision. `blind`: EC2 cannot be seen, which is a problem of its
/// own.
pub(super) fn decided(
    journal: &Journal,
    policy: &Policy,
    decision: &Decision,
    blind: bool,
) -> Vec<Concern> {
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

pub(super) fn limit_key(limit: &Limit) -> Option<&'static str> {
    match limit {
        Limit::Instances { .. } => Some("limit-instances"),
        Limit::Launch { .. } => Some("limit-launch"),
        Limit::Terminate { .. } => Some("limit-terminate"),
        Limit::MostlySick { .. } => Some("mostly-sick"),
        Limit::Audit(_) => Some("audit"),
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
fn limited(journal: &Journal, decision: &Decision, policy: &Policy) -> Option<Concern> {
    let key = format!("limit-terminate:{}", decision.fleet);
    let limited = |reason: &&Reason| matches!(reason, Reason::TerminationsLimited(_));
    let text = match decision.because.iter().find(limited) {
        Some(reason) => reason.text(&policy.zone),
        None if decision.is_between_readings() => journal.ledger().problems.get(&key)?.text.clone(),
        None => return None,
    };
    Some(Concern::new(key, Some(&decision.fleet), text))
}

/// An edit of the policy waits for a person.
fn approval(name: &FleetName, decision: &Decision, policy: &Policy) -> Option<Concern> {
    let awaits = decision.because.iter().find(|reason| reason.awaits_approval())?;
    Some(Concern::new(format!("approval:{name}"), Some(name), awaits.text(&policy.zone)))
}

/// Where EC2 is seen, only a defect of ours keeps a fleet from being decided.
fn undecided(name: &FleetName, decision: &Decision, policy: &Policy) -> Option<Concern> {
    let frozen = decision.because.iter().find(|reason| reason.rule() == "frozen")?;
    Some(Concern::new(format!("audit:{name}"), Some(name), frozen.text(&policy.zone)))
}

fn queue(name: &FleetName, decision: &Decision) -> Option<Concern> {
    decision.because.iter().find_map(|reason| {
        let Reason::QueueUnreadable { why, .. } = reason else { return None };
        let text = format!("the queue cannot be read: {why}");
        Some(Concern::new(format!("queue:{name}"), Some(name), text))
    })
}
