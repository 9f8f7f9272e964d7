//! How far each drain has come by one observation: its end, the way back of a cancelled one, and what
//! a fleet learns of it.

use std::sync::Arc;
use std::time::Duration;

use super::placed;
use crate::model::busy::Busy;
use crate::model::drain::{
    Carrier, Delivery, Drain, DrainEnd, DrainRecord, DrainTerms, Resume, Undelivered,
};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId, Lifecycle};
use crate::model::ledger::{Ledger, OverrideKey};
use crate::model::observation::Observation;
use crate::model::reading::Work;
use crate::model::retirement::{RetireReason, Retirement, Stage};
use crate::model::server::ServerRecord;
use crate::model::time::{self, Timestamp};

/// So long after its signal was taken back, a running server counts as working: the shipped receiver
/// reads the tag every 10 s, and EC2 may take a minute to show a changed tag.
const BACK_AFTER: Duration = Duration::from_secs(90);

/// EC2's reason for an instance that powered off by itself.
const BY_ITSELF: &str = "Client.InstanceInitiatedShutdown";

/// So long a server has to be told that its drain is cancelled. Then it counts as draining again.
const TOLD_WITHIN: Duration = Duration::from_mins(15);

/// Brings the drain of a server up to date; `instance`: as EC2 shows it now.
pub(super) fn note(
    noted: &mut ServerRecord,
    instance: &Instance,
    ledger: &Ledger,
    seen: &Observation,
) {
    let ec2_now = seen.clocks().ec2;
    let now_ordered = ordered_now(ledger, &instance.id, seen.now);
    let Some(retirement) = &mut noted.retirement else {
        noted.retirement = tagged(noted, instance, ledger, seen);
        return;
    };
    let work = fresh(&noted.fleet, seen);
    let busy = work.and_then(|work| placed(ledger, seen, &noted.fleet, work));
    if let Stage::Resuming(resume) = &retirement.stage {
        match come_back(resume, instance, noted.sick_since.is_some(), seen, busy.as_ref()) {
            _ if now_ordered => retirement.drain_on(ec2_now),
            Back::Works => noted.retirement = None,
            Back::Stays => retirement.drain_on(ec2_now),
            Back::Waits => {}
        }
        return;
    }
    let carrier = retirement.drain.as_ref().map(|terms| &terms.carrier);
    let Stage::Draining(drain) = &mut retirement.stage else { return };
    if drain.end.is_some() {
        return;
    }
    let received = drain.received_at().is_some();
    let late = received && ec2_now >= drain.deadline;
    let said_so = matches!(drain.delivery, Delivery::Received { nothing_runs: true, .. });
    drain.end = powered_off(instance);
    if !is_kept(ledger, instance, seen.now) {
        drain.end = drain
            .end
            .or_else(|| said_so.then_some(DrainEnd::NothingRuns))
            .or_else(|| left_work(drain, carrier?, &instance.id, (work?, busy.as_ref()), ec2_now))
            .or_else(|| now_ordered.then_some(DrainEnd::Operator))
            .or_else(|| late.then_some(DrainEnd::Deadline));
    }
}

/// Whether a server is back from a cancelled drain.
enum Back {
    Works,
    /// It does not take up its work again.
    Stays,
    Waits,
}

fn come_back(
    resume: &Resume,
    instance: &Instance,
    sick: bool,
    seen: &Observation,
    busy: Option<&Busy>,
) -> Back {
    let ec2_now = seen.clocks().ec2;
    let undelivered = resume.undelivered.is_some();
    match instance.lifecycle {
        Lifecycle::Running => {}
        // The phase says the rest.
        Lifecycle::Stopping | Lifecycle::Stopped => return Back::Works,
        Lifecycle::Pending
        | Lifecycle::ShuttingDown
        | Lifecycle::Terminated
        | Lifecycle::Unknown => return Back::Waits,
    }
    match resume.done_at {
        Some(_) if undelivered || works(&instance.id, busy, seen) => Back::Works,
        Some(done_at) if time::since(ec2_now, done_at) >= BACK_AFTER => Back::Works,
        None if sick || time::since(ec2_now, resume.cancelled_at) >= TOLD_WITHIN => {
            if undelivered {
                Back::Works
            } else {
                Back::Stays
            }
        }
        Some(_) | None => Back::Waits,
    }
}

/// Whether somebody keeps the instance.
fn is_kept(ledger: &Ledger, instance: &Instance, now: Timestamp) -> bool {
    let keep = ledger.overrides.get(&OverrideKey::Keep(instance.id.clone()));
    instance.tags.keep || keep.is_some_and(|keep| keep.until > now)
}

/// The drain of a server that carries its tag and cannot take up its work again: an old copy of the
/// journal was put back.
fn tagged(
    record: &ServerRecord,
    instance: &Instance,
    ledger: &Ledger,
    seen: &Observation,
) -> Option<Retirement> {
    let terms = ledger.fleets.get(&record.fleet)?.drains.terms.as_ref()?;
    let running = instance.lifecycle == Lifecycle::Running;
    if terms.cancel || !running { None } else { found(instance, Some(terms), seen) }
}

/// What the fleet's queue told in a reading that was begun in this tick.
fn fresh<'a>(fleet: &FleetName, seen: &'a Observation) -> Option<&'a Work> {
    Some(&seen.readings.get(fleet)?.depth.as_ref().ok()?.work)
}

fn powered_off(instance: &Instance) -> Option<DrainEnd> {
    match instance.lifecycle {
        Lifecycle::Stopping
        | Lifecycle::Stopped
        | Lifecycle::ShuttingDown
        | Lifecycle::Terminated => Some(DrainEnd::PoweredOff),
        Lifecycle::Pending | Lifecycle::Running | Lifecycle::Unknown => None,
    }
}

/// The queue shows no job on the server, and it takes none any more.
fn left_work(
    drain: &Drain,
    carrier: &Carrier,
    id: &InstanceId,
    (work, busy): (&Work, Option<&Busy>),
    ec2_now: Timestamp,
) -> Option<DrainEnd> {
    let settled = time::after(drain.received_at()?, carrier.settles_after());
    let idle = match busy {
        // Jobs on a server that is not known may be on this one.
        Some(busy) => busy.on(id) == 0 && busy.elsewhere.is_none(),
        None => work.running == Some(0),
    };
    (idle && ec2_now >= settled).then_some(DrainEnd::NotBusy)
}

/// An operator asked for the termination of a draining server without waiting for its jobs.
fn ordered_now(ledger: &Ledger, id: &InstanceId, now: Timestamp) -> bool {
    let order = ledger.overrides.get(&OverrideKey::Terminate(id.clone()));
    order.is_some_and(|order| order.at_once && order.until > now)
}

/// Whether a check or the queue shows the server at work.
fn works(id: &InstanceId, busy: Option<&Busy>, seen: &Observation) -> bool {
    let busy = busy.is_some_and(|busy| busy.on(id) > 0);
    let checked =
        seen.health.get(id).is_some_and(|check| check.at == seen.now && check.passed.is_ok());
    busy || checked
}

/// Returns what a fleet knows of its drains after a change of one of them; `None`: nothing new.
pub(super) fn learn(
    known: Option<&DrainRecord>,
    before: &ServerRecord,
    after: &ServerRecord,
    instance: Option<&Instance>,
    ec2_now: Timestamp,
) -> Option<DrainRecord> {
    let known = known.cloned().unwrap_or_default();
    let mut record = known.clone();
    let drain = |record: &'_ ServerRecord| record.retirement.as_ref()?.draining().cloned();
    if let (Some(was), Some(is)) = (drain(before), drain(after))
        && was.end.is_none()
        && let Some(end) = is.end
        && ended_by_itself(end, instance)
    {
        record.learn(time::since(ec2_now, is.begun_at), end);
    }
    if let Some(received) = drain(after).and_then(|drain| drain.received_at())
        && record.undelivered.as_ref().is_some_and(|last| last.at <= received)
    {
        record.undelivered = None;
    }
    let resume = before.retirement.as_ref().and_then(Retirement::resuming);
    if let (Some(resume), Some(id)) = (resume, after.instance())
        && let Some(why) = &resume.undelivered
        && record.undelivered.as_ref().is_none_or(|last| last.at < resume.cancelled_at)
    {
        let (at, instance, why) = (resume.cancelled_at, id.clone(), why.clone());
        record.undelivered = Some(Undelivered { at, instance, why });
    }
    (record != known).then_some(record)
}

/// An instance that AWS or a person ended has heeded nothing.
fn ended_by_itself(end: DrainEnd, instance: Option<&Instance>) -> bool {
    let reason = instance.and_then(|instance| instance.state_reason.as_deref());
    end != DrainEnd::PoweredOff || reason.is_none_or(|reason| reason.starts_with(BY_ITSELF))
}

/// The retirement of a server that was found with the tag of a drain: the journal was lost, and the
/// tag is the record.
pub(super) fn found(
    instance: &Instance,
    terms: Option<&Arc<DrainTerms>>,
    seen: &Observation,
) -> Option<Retirement> {
    let deadline: Timestamp = instance.tags.drain.as_deref()?.parse().ok()?;
    let clocks = seen.clocks();
    let default = || {
        let deadline = time::since(deadline, clocks.ec2);
        Arc::new(DrainTerms { carrier: Carrier::Tag, deadline, cancel: true })
    };
    let terms = terms.cloned().unwrap_or_else(default);
    let drain = Drain {
        deregistered_at: None,
        begun_at: clocks.ec2,
        deadline,
        signalled_at: clocks.ec2,
        // EC2 shows the tag, so the server was told.
        delivery: Delivery::Received { at: clocks.ec2, nothing_runs: false },
        may_be_tagged: true,
        end: None,
    };
    let mut retirement = Retirement::begin(RetireReason::ScaleIn, Some(terms), clocks);
    retirement.stage = Stage::Draining(drain);
    Some(retirement)
}

/// What changed in a server's drain, in words.
pub(super) fn story(name: &str, before: &ServerRecord, after: &ServerRecord) -> Option<String> {
    let was = before.retirement.as_ref()?;
    let Some(is) = &after.retirement else {
        return was.resuming().map(|_| format!("{name} works again"));
    };
    let end = is.draining()?.end.filter(|_| was.draining().is_some_and(|was| was.end.is_none()))?;
    Some(match end {
        DrainEnd::Deadline => format!("{name} still runs at the deadline of its drain"),
        DrainEnd::PoweredOff => format!("{name} has finished its jobs and powers off"),
        DrainEnd::NothingRuns | DrainEnd::NotBusy => format!("{name} has finished its jobs"),
        DrainEnd::Operator => format!("{name} is not waited for any more"),
    })
}
