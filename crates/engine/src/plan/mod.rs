//! Exactly which calls. Pure: decisions and roster in, [`Plan`] out. The decision has named the servers;
//! the plan orders the calls, chooses where to launch, and holds the limits, so that carrying it out needs
//! no choice. What does not fit is left out with a reason.
//!
//! Order matters: what was begun is finished first, broken servers are replaced next, and only then
//! do fleets shrink and grow, under one budget for all of them.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

pub(crate) mod audit;
mod budget;
mod drain;
mod launch;
mod offering;
mod retire;

use std::collections::BTreeMap;

use self::budget::Budget;
pub use self::launch::frozen_request;
use crate::defect::contained;
use crate::model::balancer::Membership;
use crate::model::decision::Decision;
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::launch::Token;
use crate::model::plan::{Act, LeftOut, Limit, Plan, Step};
use crate::model::roster::{BalancerView, FleetView, Phase, Roster, Server};
use crate::model::time::Clocks;
use crate::policy::{FleetPolicy, Mode, Policy};

/// The plan of one tick.
pub fn plan(policy: &Policy, roster: &Roster, decisions: &BTreeMap<FleetName, Decision>) -> Plan {
    let mut plan = Plan::default();
    if roster.blind.is_some() {
        return plan;
    }
    // By a picture in doubt fleets grow, and nobody is taken out or ended.
    let sure = roster.doubt.is_none();
    let mut budget = Budget::new(policy, roster);
    for (name, view) in &roster.fleets {
        let (Some(fleet), Some(decision)) = (policy.fleets.get(name), decisions.get(name)) else {
            continue;
        };
        // What is only told takes nothing from those that act.
        let mut told = (fleet.mode == Mode::Observe).then(|| budget.clone());
        let budget = told.as_mut().unwrap_or(&mut budget);
        // A draft that fell over is gone, and what it took from the budget stays taken.
        let drafted = contained(|| {
            let mut draft = Draft::new(view, Some(fleet), roster.clocks());
            if sure {
                draft.finish(&decision.cancel_drains);
                draft.clear_leftovers(roster);
                retire::by_hand(&mut draft, budget);
            }
            if decision.is_frozen() {
                draft.register();
                return draft;
            }
            if sure {
                retire::broken(&mut draft, budget, decision, roster.mostly_sick);
                retire::surplus(&mut draft, budget, decision);
                draft.unregister_stopped();
            }
            draft.register();
            launch::reclaim(&mut draft, decision);
            launch::replay(&mut draft, decision);
            launch::launch(&mut draft, budget, policy, decision);
            draft.clear_stray_drains();
            draft
        });
        match drafted {
            Ok(draft) => draft.conclude(fleet.mode, &mut plan),
            Err(why) => {
                let why = Limit::Audit(why);
                plan.left_out.push(LeftOut { fleet: name.clone(), count: 0, why });
            }
        }
    }
    for view in roster.unmanaged.values().filter(|_| sure) {
        // In the mode it had in the file, so that a retirement under way comes to its end.
        let acting = view.memory.acting.unwrap_or(policy.mode == Mode::Act);
        let mode = if acting { Mode::Act } else { Mode::Observe };
        let mut told = budget.clone();
        let budget = if acting { &mut budget } else { &mut told };
        let mut draft = Draft::new(view, None, roster.clocks());
        draft.finish(&[]);
        retire::by_hand(&mut draft, budget);
        draft.conclude(mode, &mut plan);
    }
    plan
}

/// The steps of one fleet while they are being found.
struct Draft<'a> {
    view: &'a FleetView,
    /// `None`: the fleet is not in the policy.
    fleet: Option<&'a FleetPolicy>,
    clocks: Clocks,
    acts: Vec<Act>,
    left_out: Vec<LeftOut>,
}

impl<'a> Draft<'a> {
    fn new(view: &'a FleetView, fleet: Option<&'a FleetPolicy>, clocks: Clocks) -> Self {
        Self { view, fleet, clocks, acts: Vec::new(), left_out: Vec::new() }
    }

    /// Goes on with every retirement that has begun, except those that are cancelled now.
    fn finish(&mut self, cancelled: &[Token]) {
        for server in &self.view.servers {
            let Some(retirement) = &server.record.retirement else { continue };
            if cancelled.contains(&server.record.token) {
                continue;
            }
            let draining = retirement.draining();
            let kept = server.kept.is_some() && draining.is_some() && retirement.can_be_cancelled();
            let undelivered = draining.and_then(drain::undelivered);
            if kept || undelivered.is_some() {
                drain::cancel(self, server, undelivered);
            } else {
                self.acts.extend(retire::advance(self.view, server, self.clocks));
            }
        }
    }

    /// Takes the tag of a drain off servers that do not drain: an old copy of the journal may have been
    /// put back.
    fn clear_stray_drains(&mut self) {
        let Some(terms) = self.view.memory.drains.terms.as_ref().filter(|terms| terms.cancel)
        else {
            return;
        };
        for server in self.view.servers.iter().filter(|server| server.record.retirement.is_none()) {
            let tags = server.instance.as_ref().map(|instance| &instance.tags);
            let tagged = tags.is_some_and(|tags| tags.drain.is_some());
            let Some(id) = server.id().filter(|id| tagged && !self.calls(id)) else { continue };
            let alive = server.instance.as_ref().is_some_and(|i| i.lifecycle.is_alive());
            if alive {
                let (instance, token) = (id.clone(), server.record.token.clone());
                let post = drain::post_end(server, terms, self.clocks);
                self.acts.push(Act::EndSignal { instance, token, post });
            }
        }
    }

    /// Whether this draft already has a call for the instance.
    fn calls(&self, id: &InstanceId) -> bool {
        self.acts.iter().any(|act| match act {
            Act::Register { instance, .. }
            | Act::Retire { instance, .. }
            | Act::Reclaim { instance, .. }
            | Act::Drain { instance, .. }
            | Act::EndSignal { instance, .. }
            | Act::Deregister { instance, .. }
            | Act::Terminate { instance, .. } => instance == id,
            Act::Launch(_) | Act::Replay { .. } => false,
        })
    }

    /// Registers a server again that stays after all.
    fn put_back(&mut self, server: &Server) {
        if let (Some(id), BalancerView::Readable(balancer)) = (server.id(), &self.view.balancer) {
            self.acts.push(Act::Register { instance: id.clone(), balancer: balancer.clone() });
        }
    }

    /// Takes gone instances out of their balancer.
    fn clear_leftovers(&mut self, roster: &Roster) {
        for left in roster.leftovers.iter().filter(|left| left.fleet == self.view.name) {
            self.acts.push(Act::Deregister {
                instance: left.instance.clone(),
                balancer: left.balancer.clone(),
                token: left.token.clone(),
            });
        }
    }

    /// Puts healthy servers that stay into the balancer that does not list them. One that served, that
    /// somebody keeps and that is not listed any more was taken out by whoever keeps it.
    fn register(&mut self) {
        let BalancerView::Readable(balancer) = &self.view.balancer else { return };
        for server in &self.view.servers {
            if let (Phase::Registering, None, Some(id)) =
                (&server.phase, &server.membership, server.id())
                && !self.retires(id)
                && !server.is_kept_out()
            {
                self.acts.push(Act::Register { instance: id.clone(), balancer: balancer.clone() });
            }
        }
    }

    /// Takes servers that were stopped out of the balancer, to be put in anew once they run and are
    /// healthy again: AWS asks for it, since a balancer may go on asking for what such a server was
    /// before. One that somebody keeps is left as it is.
    ///
    /// A found server may have been stopped before. It is taken out only while another member serves: a
    /// load balancer that finds all its members dead sends its traffic to all of them.
    fn unregister_stopped(&mut self) {
        let BalancerView::Readable(balancer) = &self.view.balancer else { return };
        let serves = |server: &Server| server.membership == Some(Membership::InService);
        let some_serve = self.view.servers.iter().any(serves);
        for server in &self.view.servers {
            if (server.is_out_since_its_stop() || (some_serve && server.may_be_out_since_a_stop()))
                && server.kept.is_none()
                && let Some(id) = server.id()
                && !self.retires(id)
            {
                self.acts.push(Act::Deregister {
                    instance: id.clone(),
                    balancer: balancer.clone(),
                    token: server.record.token.clone(),
                });
            }
        }
    }

    fn conclude(self, mode: Mode, plan: &mut Plan) {
        let fleet = &self.view.name;
        let steps = self.acts.into_iter().map(|act| Step { fleet: fleet.clone(), act });
        match mode {
            Mode::Act => plan.steps.extend(steps),
            Mode::Observe => plan.withheld.extend(steps),
        }
        plan.left_out.extend(self.left_out);
    }

    /// Whether this draft already retires the server: every rule takes it once.
    fn takes(&self, server: &Server) -> bool {
        server.id().is_some_and(|id| self.retires(id))
    }

    /// The instances this draft already retires.
    fn retires(&self, id: &InstanceId) -> bool {
        self.acts.iter().any(|act| match act {
            Act::Retire { instance, .. } => instance == id,
            Act::Launch(_)
            | Act::Replay { .. }
            | Act::Register { .. }
            | Act::Reclaim { .. }
            | Act::Drain { .. }
            | Act::EndSignal { .. }
            | Act::Deregister { .. }
            | Act::Terminate { .. } => false,
        })
    }
}
