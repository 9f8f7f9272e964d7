//! The phase of one server: a table over its record, EC2's state, its health and its balancer.

use std::sync::Arc;
use std::time::Duration;

use super::release::{self, Looks};
use crate::model::balancer::Membership;
use crate::model::busy::Busy;
use crate::model::drain::{Carrier, DrainRecord};
use crate::model::instance::{Attachment, Instance, InstanceId, Lifecycle};
use crate::model::ledger::{Ledger, Override, OverrideKey};
use crate::model::observation::Observation;
use crate::model::reading::Recent;
use crate::model::roster::{BalancerView, Block, Phase, Server};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::time::{self, Timestamp};
use crate::policy::{Billing, FleetPolicy};

/// How long a server may be `pending` before it counts as stuck. EC2 takes a minute or two.
const PENDING_AT_MOST: Duration = Duration::from_mins(30);

/// When a server has booted whose fleet is not in the policy to say so.
const BOOTED_AFTER: Duration = Duration::from_mins(10);

/// What a server's standing depends on besides its record.
pub(super) struct Standing<'a> {
    pub looks: Looks,
    pub drains: &'a DrainRecord,
    /// How much earlier than without jobs a server goes.
    pub drain_lead: Duration,
    /// Jobs by server; one that is left out has none. `None`: not told.
    pub busy: Option<&'a Busy>,
    /// Whether the queue has just been asked who is busy, if it may tell. What it told earlier is
    /// out of date: an idle server may have taken a job since.
    pub asked: bool,
    /// `None`: the fleet is not in the policy.
    pub fleet: Option<&'a FleetPolicy>,
    pub balancer: &'a BalancerView,
    pub ledger: &'a Ledger,
    pub seen: &'a Observation,
}

impl Standing<'_> {
    fn launched_at(&self, record: &ServerRecord) -> Option<Timestamp> {
        record.launched_at.map(|at| self.seen.by_host(at))
    }

    pub(super) fn server(&self, record: &Arc<ServerRecord>) -> Server {
        let now = self.seen.now;
        let listed = self.seen.instances.as_ref().ok();
        let instance = record.instance().and_then(|id| listed?.get(id)).cloned();
        let membership = record.instance().and_then(|id| self.membership(id));
        let phase = self.phase(record, instance.as_ref(), membership.as_ref());
        let launched_at = self.launched_at(record);
        let uptime = launched_at.filter(|at| *at <= now).map(|at| time::since(now, at));
        let health = record.instance().and_then(|id| self.seen.health.get(id));
        let ailing = health.and_then(|health| health.passed.clone().err());
        let paid_until = match self.fleet.map(|fleet| fleet.billing) {
            Some(Billing::Hour) => launched_at.map(|at| release::paid_until(at, now)),
            Some(Billing::Second) | None => None,
        };
        let spare = |at| {
            self.fleet.is_some_and(|fleet| {
                release::has_hour_to_spare(fleet, self.looks, self.drain_lead, at, now)
            })
        };
        let told = |id| self.busy.map(|busy| busy.on(id));
        let busy = record.instance().and_then(told);
        let kept = record.instance().and_then(|id| self.kept(id, instance.as_ref()));
        let ordered = record.instance().and_then(|id| self.ordered(record, id));
        let mut server = Server {
            record: record.clone(),
            release: Err(Block::NotCapacity),
            instance,
            phase,
            membership,
            ailing,
            well: health.is_some_and(|health| health.passed.is_ok()),
            checks: health.map_or_else(Recent::default, |health| health.recent),
            uptime,
            paid_until,
            hour_to_spare: launched_at.is_some_and(spare),
            busy,
            kept,
            undrainable: None,
            ordered,
        };
        server.undrainable = self.undrainable(&server);
        if server.is_capacity() {
            server.release = self.release(&server);
        }
        server
    }

    fn membership(&self, id: &InstanceId) -> Option<Membership> {
        let BalancerView::Readable(balancer) = self.balancer else { return None };
        self.seen.balancers.get(balancer)?.as_ref().ok()?.get(id).cloned()
    }

    fn phase(
        &self,
        record: &ServerRecord,
        instance: Option<&Instance>,
        membership: Option<&Membership>,
    ) -> Phase {
        let now = self.seen.now;
        let asked = record.retirement.as_ref().is_some_and(|r| r.termination().is_some());
        if asked || instance.is_some_and(|instance| instance.lifecycle.is_ending()) {
            return Phase::Terminating;
        }
        if let Some(retirement) = &record.retirement {
            return match (retirement.resuming(), instance.map(|instance| instance.lifecycle)) {
                (Some(_), Some(Lifecycle::Stopped | Lifecycle::Stopping)) => Phase::Stopped,
                (Some(_), _) => Phase::Resuming,
                (None, _) => Phase::Draining,
            };
        }
        match &record.launch {
            LaunchState::Asked(_) | LaunchState::Refused(_) => return Phase::Launching,
            LaunchState::Launched(_) => {}
        }
        // By EC2's word for it: a launch that was answered late has had no time yet.
        let age = time::since(now, self.launched_at(record).unwrap_or(record.planned_at));
        match instance.map(|instance| instance.lifecycle) {
            None if record.in_service_at.is_none() => Phase::Booting,
            None | Some(Lifecycle::Unknown) => Phase::Unclear,
            Some(Lifecycle::Stopped | Lifecycle::Stopping) => Phase::Stopped,
            Some(Lifecycle::Pending) if age >= PENDING_AT_MOST => Phase::Overdue,
            Some(Lifecycle::Pending) => Phase::Booting,
            Some(Lifecycle::ShuttingDown | Lifecycle::Terminated) => Phase::Terminating,
            Some(Lifecycle::Running) => self.running(record, membership, age),
        }
    }

    fn running(
        &self,
        record: &ServerRecord,
        membership: Option<&Membership>,
        age: Duration,
    ) -> Phase {
        if let Some(since) = record.sick_since {
            return Phase::Sick { since };
        }
        if record.healthy_at.is_none() {
            return if self.is_overdue(record, membership, age) {
                Phase::Overdue
            } else {
                Phase::Booting
            };
        }
        match (self.balancer, membership) {
            (BalancerView::None, _) | (_, Some(Membership::InService)) => Phase::InService,
            (BalancerView::Unreadable(..), _) if record.in_service_at.is_some() => Phase::Unclear,
            (_, Some(Membership::OutOfService(_))) if record.in_service_at.is_some() => {
                Phase::Disputed
            }
            (_, _) => Phase::Registering,
        }
    }

    /// Whether a launch has had its time and come to nothing. Not said of a server that was no longer
    /// young when it was found, after the journal was lost, nor of one that served and was started
    /// again: it may have served for months, so it falls sick and has the protection of the sick. Nor against the word of its balancer: there, rather
    /// the check is at fault, and a person is told.
    fn is_overdue(
        &self,
        record: &ServerRecord,
        membership: Option<&Membership>,
        age: Duration,
    ) -> bool {
        let Some(grace) = self.fleet.map(|fleet| fleet.grace) else { return false };
        // A check that has never been made says nothing about the server.
        let checked = record.instance().is_some_and(|id| self.seen.health.contains_key(id));
        let serving = membership == Some(&Membership::InService);
        let served = record.in_service_at.is_some();
        age >= grace && checked && !serving && !served && record.was_watched(grace)
    }

    /// Who protects it: a person, its tag, or an Auto Scaling group that has it.
    fn kept(&self, id: &InstanceId, instance: Option<&Instance>) -> Option<Block> {
        let keep = self.ledger.overrides.get(&OverrideKey::Keep(id.clone()));
        if let Some(keep) = keep.filter(|keep| keep.until > self.seen.now) {
            let by = format!("{}: {}", keep.owner, keep.reason);
            return Some(Block::Keep { by, until: Some(keep.until) });
        }
        let instance = instance?;
        let by = match (instance.tags.keep, instance.tags.auto_scaling_group) {
            (true, _) => "tag tidegate:keep",
            (false, true) => "an Auto Scaling group owns it",
            (false, false) => return self.attached_by_hand(instance).map(Block::Attached),
        };
        Some(Block::Keep { by: by.to_owned(), until: None })
    }

    /// Returns the operator's order to terminate it: the instance, or its fleet that left the policy.
    fn ordered(&self, record: &ServerRecord, id: &InstanceId) -> Option<Override> {
        let orders = &self.ledger.overrides;
        if orders.is_empty() {
            return None;
        }
        let active = |key| orders.get(&key).filter(|order| order.until > self.seen.now);
        let whole = || active(OverrideKey::Retire(record.fleet.clone()));
        let order = active(OverrideKey::Terminate(id.clone()));
        order.or_else(|| whole().filter(|_| self.fleet.is_none())).cloned()
    }

    /// What was attached to it when its boot was over for certain: what its own boot attaches is no sign
    /// of a person.
    fn attached_by_hand(&self, instance: &Instance) -> Option<Attachment> {
        let (keeps, grace) =
            self.fleet.map_or((true, BOOTED_AFTER), |fleet| (fleet.keep_attached, fleet.grace));
        instance.attached.clone().filter(|attached| keeps && attached.after >= grace)
    }

    /// Returns why the signal of a drain cannot reach a server that works.
    fn undrainable(&self, server: &Server) -> Option<&'static str> {
        let terms = self.drains.terms.as_ref()?;
        let instance = server.instance.as_ref()?;
        let hidden = instance.metadata_tags == Some(false);
        let works = instance.lifecycle == Lifecycle::Running;
        (terms.carrier == Carrier::Tag && hidden && works).then_some(NO_METADATA_TAGS)
    }

    fn release(&self, server: &Server) -> Result<(), Block> {
        let now = self.seen.now;
        if server.id().is_none() {
            return Err(Block::Unsettled);
        }
        if let Some(kept) = &server.kept {
            return Err(kept.clone());
        }
        let (Some(fleet), Some(launched_at), Some(_), true) = (
            self.fleet,
            self.launched_at(&server.record),
            server.uptime,
            !matches!(server.phase, Phase::Unclear | Phase::Resuming),
        ) else {
            return Err(Block::Unsettled);
        };
        if matches!(self.balancer, BalancerView::Missing(..) | BalancerView::Unreadable(..)) {
            return Err(Block::NoDrain);
        }
        release::by_time(fleet, self.looks, self.drain_lead, launched_at, now)?;
        if fleet.goal().is_some() && matches!(server.phase, Phase::Booting | Phase::Registering) {
            return Err(Block::Coming);
        }
        if fleet.drain_terms().is_some() {
            // A busy server finishes its jobs first.
            return server.undrainable.map_or(Ok(()), |why| Err(Block::Undrainable(why.into())));
        }
        match server.busy {
            Some(jobs) if jobs > 0 => Err(Block::Busy { jobs }),
            Some(_) | None if self.asked => Ok(()),
            Some(_) | None => Err(Block::Unasked),
        }
    }
}

/// Why the tag of a drain does not reach a server.
const NO_METADATA_TAGS: &str = "its metadata service does not show its tags";
