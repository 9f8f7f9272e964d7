//! Each step's share of the journal, written before its call is made, and the call itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Call, What};
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::{Change, Event, EventKind, Ledger, OverrideKey};
use tidegate_engine::model::plan::{Act, Step};
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage};
use tidegate_engine::model::server::{LaunchState, ServerRecord};
use tidegate_engine::model::time::{Clocks, Timestamp};

/// The steps of one plan, on their way into the journal.
pub(super) struct Taking<'a> {
    ledger: &'a Ledger,
    zone: &'a TimeZone,
    clocks: Clocks,
    servers: BTreeMap<Token, ServerRecord>,
    changes: Vec<Change>,
    calls: Vec<Call>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(ledger: &'a Ledger, zone: &'a TimeZone, clocks: Clocks) -> Self {
        let (servers, changes, calls) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { ledger, zone, clocks, servers, changes, calls }
    }

    /// The calls, and what must be on disk before the first of them.
    pub(super) fn done(self) -> (Vec<Call>, Vec<Change>) {
        let mut changes = self.changes;
        changes.extend(self.servers.into_values().map(|record| Change::Server(Arc::new(record))));
        (self.calls, changes)
    }

    pub(super) fn take(&mut self, step: &Step, decision: Option<&Decision>) {
        let what = match &step.act {
            Act::Launch(request) => {
                let record =
                    ServerRecord::planned(request.clone(), step.fleet.clone(), self.clocks);
                self.servers.insert(record.token.clone(), record);
                Some(What::Launch { request: request.clone(), in_doubt: false })
            }
            Act::Replay { token, attempt, in_doubt } => self.replay(token, *attempt, *in_doubt),
            Act::Retire { instance, token, why, drain, .. } => {
                let begun = Retirement::begin(why.clone(), drain.clone(), self.clocks);
                self.retire(instance, token, begun);
                self.tell(step, instance, decision);
                None
            }
            Act::Reclaim { instance, token, undelivered } => {
                self.cancel(token, undelivered.clone());
                self.tell(step, instance, decision);
                None
            }
            Act::Drain { instance, token, deadline, post } => {
                Some(self.drain(instance, token, *deadline, post.clone()))
            }
            Act::EndSignal { instance, token, post } => {
                Some(self.end_signal(instance, token, post.clone()))
            }
            Act::Register { instance, balancer } => {
                Some(What::Register { instance: instance.clone(), balancer: balancer.clone() })
            }
            Act::Deregister { instance, balancer, token } => Some(What::Deregister {
                instance: instance.clone(),
                balancer: balancer.clone(),
                token: token.clone(),
            }),
            Act::Terminate { instance, token, proof } => {
                let now = self.clocks.host;
                let mut before = None;
                self.edit(token, |record| {
                    before.clone_from(&record.retirement);
                    if let Some(retirement) = &mut record.retirement {
                        retirement.ask_to_terminate(now);
                    }
                });
                let (instance, token) = (instance.clone(), token.clone());
                Some(What::Terminate { instance, token, proof: *proof, before })
            }
        };
        self.calls.extend(what.map(|what| Call { fleet: step.fleet.clone(), what }));
    }

    /// Changes a record, as an earlier step of this plan left it.
    fn edit(&mut self, token: &Token, change: impl FnOnce(&mut ServerRecord)) {
        let stored = || self.ledger.servers.get(token).cloned();
        if let Some(mut record) = self.servers.remove(token).or_else(stored) {
            change(&mut record);
            self.servers.insert(token.clone(), record);
        }
    }

    fn replay(&mut self, token: &Token, attempt: u32, in_doubt: bool) -> Option<What> {
        let now = self.clocks.host;
        self.edit(token, |record| {
            if let LaunchState::Asked(asked) = &mut record.launch {
                asked.attempts = attempt;
                asked.last_attempt_at = now;
                asked.in_doubt = true;
            }
            // EC2's list is watched anew from this attempt on.
            record.absent_since = None;
        });
        let request = self.ledger.servers.get(token)?.request.clone()?;
        Some(What::Launch { request, in_doubt })
    }

    fn retire(&mut self, instance: &InstanceId, token: &Token, begun: Retirement) {
        self.edit(token, |record| record.retirement = Some(begun));
        let order = OverrideKey::Terminate(instance.clone());
        if self.ledger.overrides.contains_key(&order) {
            self.changes.push(Change::OverrideEnded(order));
        }
    }

    /// Ends a retirement, or the drain that a server was told of.
    fn cancel(&mut self, token: &Token, undelivered: Option<String>) {
        let now = self.clocks.ec2;
        self.edit(token, |record| {
            let resume = record.retirement.as_ref().and_then(|r| r.cancel(undelivered, now));
            let deregistered = record.retirement.as_ref().and_then(Retirement::deregistered_at);
            if resume.is_some() && deregistered.is_some() {
                // Not an operator took it out of its load balancer.
                record.cleared_at = Some(now);
            }
            match (resume, &mut record.retirement) {
                (Some(resume), Some(retirement)) => retirement.stage = Stage::Resuming(resume),
                (_, retirement) => *retirement = None,
            }
        });
    }

    fn drain(
        &mut self,
        instance: &InstanceId,
        token: &Token,
        deadline: Timestamp,
        post: Option<Box<DrainPost>>,
    ) -> What {
        let now = self.clocks.ec2;
        let (mut received, mut tagged) = (false, false);
        self.edit(token, |record| {
            let Some(retirement) = &mut record.retirement else { return };
            if let Some(drain) = retirement.draining() {
                (received, tagged) = (drain.received_at().is_some(), drain.may_be_tagged);
            }
            retirement.signal(deadline, now);
        });
        let (instance, token) = (instance.clone(), token.clone());
        What::Drain { instance, token, deadline, post, received, tagged }
    }

    fn end_signal(
        &mut self,
        instance: &InstanceId,
        token: &Token,
        post: Option<Box<DrainPost>>,
    ) -> What {
        let now = self.clocks.ec2;
        let mut undelivered = false;
        self.edit(token, |record| {
            if let Some(Retirement { stage: Stage::Resuming(resume), .. }) = &mut record.retirement
            {
                resume.asked_at = now;
                undelivered = resume.undelivered.is_some();
            }
        });
        let (instance, token) = (instance.clone(), token.clone());
        What::EndSignal { instance, token, post, undelivered }
    }

    fn tell(&mut self, step: &Step, instance: &InstanceId, decision: Option<&Decision>) {
        let mut text = step.text(self.zone);
        // Other retirements say why themselves.
        let by_decision = match &step.act {
            Act::Retire { why, .. } => *why == RetireReason::ScaleIn,
            Act::Reclaim { undelivered, .. } => undelivered.is_none(),
            Act::Launch(_)
            | Act::Replay { .. }
            | Act::Register { .. }
            | Act::Drain { .. }
            | Act::EndSignal { .. }
            | Act::Deregister { .. }
            | Act::Terminate { .. } => false,
        };
        if let Some(decision) = decision.filter(|_| by_decision) {
            text.push_str(&format!(" ({})", decision.text(self.zone)));
        }
        self.changes.push(Change::Event(Event {
            at: self.clocks.host,
            kind: EventKind::Action,
            fleet: Some(step.fleet.clone()),
            instance: Some(instance.clone()),
            text,
        }));
    }
}
