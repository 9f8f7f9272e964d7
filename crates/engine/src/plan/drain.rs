//! The next step of a graceful drain: the signal, its end, and the way back of one that is cancelled.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::Draft;
use crate::model::drain::{Carrier, Delivery, Drain, DrainPost, DrainTerms};
use crate::model::instance::Lifecycle;
use crate::model::plan::{Act, OutOfService};
use crate::model::retirement::{RetireReason, Retirement, Stage};
use crate::model::roster::{FleetView, Phase, Server};
use crate::model::time::{self, Clocks, Timestamp};

/// A signal that no attempt has delivered for so long counts as not delivered.
const DELIVERED_WITHIN: Duration = Duration::from_mins(5);

/// How often a signal that was received is repeated.
const REPEATED_EVERY: Duration = Duration::from_mins(1);

/// Returns the terms on which a server finishes its jobs before it goes for `why`; `None`: it goes
/// without a drain.
pub(super) fn terms(
    view: &FleetView,
    server: &Server,
    why: &RetireReason,
) -> Option<Arc<DrainTerms>> {
    let runs = server.instance.as_ref().is_some_and(|i| i.lifecycle == Lifecycle::Running);
    // One that does not work would not answer either.
    let works = runs && !matches!(server.phase, Phase::Sick { .. } | Phase::Overdue);
    let drains = match why {
        RetireReason::ScaleIn => true,
        RetireReason::Operator { .. } => server.ordered.as_ref().is_none_or(|o| !o.at_once),
        RetireReason::NeverHealthy { .. }
        | RetireReason::Sick { .. }
        | RetireReason::StuckPending { .. } => false,
    };
    view.memory.drains.terms.clone().filter(|_| drains && works)
}

/// Returns the first signal of a drain.
pub(super) fn begin(
    server: &Server,
    why: &RetireReason,
    terms: &DrainTerms,
    clocks: Clocks,
) -> Option<Act> {
    signal(server, why, terms, time::after(clocks.ec2, terms.deadline))
}

/// Returns the next step of a drain under way.
pub(super) fn advance(
    server: &Server,
    retirement: &Retirement,
    drain: &Drain,
    clocks: Clocks,
) -> Option<Act> {
    if let Some(end) = drain.end {
        return Some(Act::Terminate {
            instance: server.id()?.clone(),
            token: server.record.token.clone(),
            proof: OutOfService::Drained(end),
        });
    }
    let terms = retirement.drain.as_ref()?;
    let received = drain.received_at().is_some();
    if received && time::since(clocks.ec2, drain.signalled_at) < REPEATED_EVERY {
        return None;
    }
    // A server that was never told has all of its time still before it.
    let over = !received && clocks.ec2 >= drain.deadline;
    let deadline = if over { time::after(clocks.ec2, terms.deadline) } else { drain.deadline };
    signal(server, &retirement.why, terms, deadline)
}

fn signal(
    server: &Server,
    why: &RetireReason,
    terms: &DrainTerms,
    deadline: Timestamp,
) -> Option<Act> {
    Some(Act::Drain {
        instance: server.id()?.clone(),
        token: server.record.token.clone(),
        deadline,
        post: post(server, terms, deadline, &why.text(&TimeZone::UTC), true),
    })
}

/// Returns the request that takes the signal of a cancelled drain back, until that is done.
pub(super) fn go_on(server: &Server, retirement: &Retirement) -> Option<Act> {
    let resume = retirement.resuming().filter(|resume| resume.done_at.is_none())?;
    let terms = retirement.drain.as_ref()?;
    Some(Act::EndSignal {
        instance: server.id()?.clone(),
        token: server.record.token.clone(),
        post: post(server, terms, resume.deadline, CANCELLED, false),
    })
}

const CANCELLED: &str = "the drain is cancelled";

/// Returns the request that tells the receiver of a server that no drain is under way.
pub(super) fn post_end(
    server: &Server,
    terms: &DrainTerms,
    clocks: Clocks,
) -> Option<Box<DrainPost>> {
    post(server, terms, clocks.ec2, CANCELLED, false)
}

fn post(
    server: &Server,
    terms: &DrainTerms,
    deadline: Timestamp,
    reason: &str,
    drain: bool,
) -> Option<Box<DrainPost>> {
    let Carrier::Http(receiver) = &terms.carrier else { return None };
    let instance = server.instance.as_ref();
    let private_ip = instance.and_then(|i| i.private_ip.clone());
    Some(Box::new(DrainPost {
        receiver: receiver.clone(),
        instance: server.id()?.clone(),
        private_ip: private_ip.or_else(|| server.record.private_ip.clone()),
        private_dns: instance.and_then(|i| i.private_dns.clone()),
        deadline,
        reason: reason.to_owned(),
        drain,
    }))
}

/// Returns why a drain is cancelled by itself: no server received its signal.
pub(super) fn undelivered(drain: &Drain) -> Option<String> {
    if drain.end.is_some() {
        return None;
    }
    match &drain.delivery {
        Delivery::Received { .. } => None,
        Delivery::Refused { why } => Some(why.clone()),
        Delivery::Pending { last_fault } => {
            // While the daemon was down, nothing was tried.
            let late = time::since(drain.signalled_at, drain.begun_at) >= DELIVERED_WITHIN;
            let why = last_fault.clone().unwrap_or_else(|| "it was not tried".to_owned());
            late.then_some(why)
        }
    }
}

/// Cancels a drain. A server that was signalled is told to go on.
pub(super) fn cancel(draft: &mut Draft<'_>, server: &Server, undelivered: Option<String>) {
    let (Some(retirement), Some(id)) = (&server.record.retirement, server.id()) else { return };
    let mut after = server.clone();
    let (instance, token) = (id.clone(), server.record.token.clone());
    draft.acts.push(Act::Reclaim { instance, token, undelivered: undelivered.clone() });
    let mut resumed = retirement.clone();
    if let Some(resume) = resumed.cancel(undelivered, draft.clocks.ec2) {
        resumed.stage = Stage::Resuming(resume);
        Arc::make_mut(&mut after.record).retirement = Some(resumed.clone());
        draft.acts.extend(go_on(&after, &resumed));
    } else {
        draft.put_back(server);
    }
}
