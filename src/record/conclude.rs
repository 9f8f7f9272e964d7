//! Outcomes into the journal: what each answer proves, and what it leaves open.

use std::sync::Arc;
use std::time::Duration;

use super::journal::FailingCall;
use super::{Call, Intent, Journal, What, events_of};
use crate::ports::StoreFault;
use tidegate_engine::model::drain::Delivery;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::ledger::{Change, Event, EventKind};
use tidegate_engine::model::plan::Outcome;
use tidegate_engine::model::retirement::{Retirement, Stage};
use tidegate_engine::model::server::{Asked, Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::{self, Clocks, Timestamp};

/// Writes down how the calls of an intent ended; gives back the events this made.
pub async fn conclude(
    journal: &mut Journal,
    intent: &Intent,
    outcomes: &[Outcome],
    clocks: Clocks,
) -> Result<Vec<Event>, StoreFault> {
    let mut changes = Vec::new();
    let mut failing = std::collections::BTreeMap::new();
    for (call, outcome) in intent.calls().iter().zip(outcomes) {
        if let Outcome::Failed(fault) = outcome
            && !is_repeat(call)
        {
            let is_launch = matches!(call.what, What::Launch { .. });
            let (fleet, fault) = (call.fleet.clone(), fault.clone());
            failing.insert(name(call), FailingCall { fleet, is_launch, fault });
        }
        changes.extend(change(journal, call, outcome, clocks));
        // A failure is told once, when it begins; its problem says when it ends.
        let known = || is_repeat(call) || journal.failing.contains_key(&name(call));
        let told = matches!(outcome, Outcome::Failed(_)) && known();
        if !told {
            changes.extend(event(call, outcome, clocks).map(Change::Event));
        }
    }
    journal.failing = failing;
    journal.commit(&changes).await?;
    Ok(events_of(changes))
}

/// Whether the call repeats a signal that was received: nothing depends on it.
fn is_repeat(call: &Call) -> bool {
    matches!(call.what, What::Drain { received: true, .. })
}

/// The call's name, the same at every repeat.
fn name(call: &Call) -> String {
    match &call.what {
        What::Launch { request, .. } => format!("launch {}", request.token),
        What::Register { instance, balancer } => format!("register {instance} with {balancer}"),
        What::Deregister { instance, balancer, .. } => {
            format!("deregister {instance} from {balancer}")
        }
        What::Drain { instance, .. } => format!("tell {instance} to finish its jobs"),
        What::EndSignal { instance, .. } => format!("tell {instance} to go on working"),
        What::Terminate { instance, .. } => format!("terminate {instance}"),
    }
}

/// What becomes of the record that a call was about.
fn change(journal: &Journal, call: &Call, outcome: &Outcome, clocks: Clocks) -> Option<Change> {
    let servers = &journal.ledger().servers;
    let record = match (&call.what, outcome) {
        // Nothing is kept of a launch that was certainly not asked for, and that may not be what is
        // wanted now: the next plan launches that, as the policy has it then.
        (What::Launch { request, in_doubt: false }, Outcome::Halted) => {
            return Some(Change::Unasked(request.token.clone()));
        }
        (What::Launch { request, in_doubt }, outcome) => {
            let mut record = servers.get(&request.token)?.clone();
            launched(&mut record, outcome, *in_doubt, clocks.host);
            Some(record)
        }
        (What::Deregister { token, .. }, Outcome::Done(_)) => {
            let mut record = servers.get(token)?.clone();
            match &mut record.retirement {
                Some(retirement) => retirement.deregistered(clocks.ec2),
                None => record.cleared_at = Some(clocks.ec2),
            }
            Some(record)
        }
        (What::Drain { token, tagged, .. }, outcome) => {
            let mut record = servers.get(token)?.clone();
            signalled(&mut record, outcome, *tagged, clocks.ec2);
            Some(record)
        }
        (What::EndSignal { token, .. }, Outcome::Done(_)) => {
            let mut record = servers.get(token)?.clone();
            if let Some(Retirement { stage: Stage::Resuming(resume), .. }) = &mut record.retirement
            {
                resume.done_at.get_or_insert(clocks.ec2);
            }
            Some(record)
        }
        // The asking was written down before the call, which was not made.
        (What::Terminate { token, before, .. }, Outcome::Skipped | Outcome::Halted) => {
            let mut record = servers.get(token)?.clone();
            record.retirement.clone_from(before);
            Some(record)
        }
        (What::Terminate { token, .. }, Outcome::Failed(fault)) if is_refused(fault) => {
            let mut record = servers.get(token)?.clone();
            if let Some(retirement) = &mut record.retirement {
                retirement.termination_refused();
            }
            Some(record)
        }
        // EC2's list tells the rest.
        (
            What::Deregister { .. }
            | What::Register { .. }
            | What::EndSignal { .. }
            | What::Terminate { .. },
            _,
        ) => None,
    };
    record.map(|record| Change::Server(Arc::new(record)))
}

/// What an attempt to signal a drain proves. `tagged`: an earlier one may have set the tag.
fn signalled(record: &mut ServerRecord, outcome: &Outcome, tagged: bool, ec2_now: Timestamp) {
    let Some(Retirement { drain: terms, stage: Stage::Draining(drain), .. }) =
        &mut record.retirement
    else {
        return;
    };
    match outcome {
        Outcome::Received { running } => {
            let at = drain.received_at().unwrap_or(ec2_now);
            // A server that has just been told may still take a job.
            let settles = terms.as_ref().map(|terms| terms.carrier.settles_after());
            let settled = settles.is_some_and(|settles| time::since(ec2_now, at) >= settles);
            let nothing_runs = settled && *running == Some(0);
            drain.delivery = Delivery::Received { at, nothing_runs };
        }
        Outcome::Failed(fault) => {
            let refused = is_refused(fault);
            drain.may_be_tagged = tagged || !refused;
            if drain.received_at().is_none() {
                let why = fault.to_string();
                let for_good = refused && !passes(fault);
                drain.delivery = if for_good {
                    Delivery::Refused { why }
                } else {
                    Delivery::Pending { last_fault: Some(why) }
                };
            }
        }
        Outcome::Skipped | Outcome::Halted => drain.may_be_tagged = tagged,
        Outcome::Done(_) => {}
    }
}

/// Whether a refusal says nothing of the request, so that a repeat may succeed.
fn passes(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Throttled | FaultKind::Credentials)
}

fn launched(record: &mut ServerRecord, outcome: &Outcome, in_doubt: bool, now: Timestamp) {
    match outcome {
        Outcome::Done(Some(instance)) => {
            record.launch = LaunchState::Launched(instance.id.clone());
            record.launched_at = instance.launched_at;
            record.private_ip.clone_from(&instance.private_ip);
        }
        // EC2 said yes and named no instance: it may show up.
        Outcome::Done(None) | Outcome::Received { .. } => {}
        Outcome::Skipped | Outcome::Halted => {
            if let LaunchState::Asked(asked) = &mut record.launch {
                asked.in_doubt = in_doubt;
                asked.attempts = asked.attempts.saturating_sub(1);
            }
        }
        Outcome::Failed(fault) => match settles(fault, in_doubt) {
            Settled::No { in_doubt } => {
                if let LaunchState::Asked(asked) = &record.launch {
                    let last_fault = Some(fault.clone());
                    record.launch =
                        LaunchState::Asked(Asked { in_doubt, last_fault, ..asked.clone() });
                }
            }
            Settled::Refused => {
                record.launch = LaunchState::Refused(fault.clone());
                record.gone = Some(Gone { at: now, how: GoneHow::NeverWas });
            }
            Settled::CameAndWent => {
                let how = GoneHow::BehindOurBack(fault.to_string());
                record.gone = Some(Gone { at: now, how });
            }
        },
    }
}

enum Settled {
    /// Whether EC2 launched something remains to be seen.
    No { in_doubt: bool },
    /// For certain there is no instance.
    Refused,
    /// There was one, and it has been terminated.
    CameAndWent,
}

/// What a failed RunInstances proves. `in_doubt`: an earlier attempt with the same token may have
/// launched an instance; then only an answer that EC2 would not give after a success proves that
/// none did. A capacity refusal is such an answer: after a success, EC2 repeats the success.
fn settles(fault: &Fault, in_doubt: bool) -> Settled {
    match fault.kind {
        FaultKind::TokenSpent => Settled::CameAndWent,
        FaultKind::Ambiguous | FaultKind::TokenMismatch => Settled::No { in_doubt: true },
        // The door was shut before anybody looked at the request: neither says anything of it.
        FaultKind::Throttled | FaultKind::Credentials => Settled::No { in_doubt },
        FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::AccountQuota => Settled::Refused,
        FaultKind::Permission
        | FaultKind::Config
        | FaultKind::NotFound
        | FaultKind::SubnetNotFound
        | FaultKind::InstanceNotFound
        | FaultKind::BalancerNotFound
        | FaultKind::Refused => {
            if in_doubt {
                Settled::No { in_doubt: true }
            } else {
                Settled::Refused
            }
        }
    }
}

/// Whether a failed TerminateInstances has ended nothing for certain.
fn is_refused(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Throttled
        | FaultKind::Credentials
        | FaultKind::Permission
        | FaultKind::Config
        | FaultKind::Refused => true,
        // It may be gone already.
        FaultKind::Ambiguous
        | FaultKind::InstanceNotFound
        // Answers to other calls.
        | FaultKind::TokenSpent
        | FaultKind::TokenMismatch
        | FaultKind::NoCapacity
        | FaultKind::SubnetFull
        | FaultKind::Quota
        | FaultKind::AccountQuota
        | FaultKind::NotFound
        | FaultKind::SubnetNotFound
        | FaultKind::BalancerNotFound => false,
    }
}

fn event(call: &Call, outcome: &Outcome, clocks: Clocks) -> Option<Event> {
    let (instance, text) = match (&call.what, outcome) {
        (What::Drain { instance, deadline, received: false, .. }, Outcome::Received { .. }) => {
            // The answer took a moment of it.
            let moment = Duration::from_millis(999);
            let most = time::text(time::since(*deadline, clocks.ec2).saturating_add(moment));
            (Some(instance.clone()), format!("told {instance} to finish its jobs, within {most}"))
        }
        // The repeats of a signal are no news.
        (_, Outcome::Skipped | Outcome::Halted | Outcome::Received { .. })
        | (What::Drain { .. }, Outcome::Done(_)) => return None,
        (What::EndSignal { instance, .. }, Outcome::Done(_)) => {
            (Some(instance.clone()), format!("told {instance} to go on working"))
        }
        (What::Launch { request, .. }, Outcome::Done(answer)) => {
            let id = answer.as_ref().map(|instance| instance.id.clone());
            let named = id.as_ref().map_or_else(|| request.token.to_string(), ToString::to_string);
            (id, format!("launched {named}: {}", request.pool))
        }
        (What::Launch { request, .. }, Outcome::Failed(fault)) => {
            (None, format!("launch of {} failed: {fault}", request.pool))
        }
        (What::Register { instance, balancer }, Outcome::Done(_)) => {
            (Some(instance.clone()), format!("registered {instance} with {balancer}"))
        }
        (What::Deregister { instance, balancer, .. }, Outcome::Done(_)) => {
            (Some(instance.clone()), format!("deregistered {instance} from {balancer}"))
        }
        (What::Terminate { instance, proof, .. }, Outcome::Done(_)) => {
            (Some(instance.clone()), format!("terminating {instance}: {proof}"))
        }
        (
            What::Register { instance, .. }
            | What::Deregister { instance, .. }
            | What::Drain { instance, .. }
            | What::EndSignal { instance, .. }
            | What::Terminate { instance, .. },
            Outcome::Failed(fault),
        ) => (Some(instance.clone()), format!("failed to {}: {fault}", name(call))),
    };
    Some(Event {
        at: clocks.host,
        kind: match outcome {
            Outcome::Failed(_) => EventKind::Failure,
            Outcome::Done(_) | Outcome::Received { .. } | Outcome::Skipped | Outcome::Halted => {
                EventKind::Action
            }
        },
        fleet: Some(call.fleet.clone()),
        instance,
        text,
    })
}
