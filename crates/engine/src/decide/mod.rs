//! How many servers, which of them, and why. Pure: the same policy, view and instant give the same decision, in the daemon,
//! the simulator and on the command line.
//!
//! Three stages, each of which leaves its reasons: [`demand`] asks what the rules want, [`bound`]
//! holds it within min and max, [`settle`] lowers it only as far as servers may go now. Precedence:
//! hold, schedule, queue, min and max; `limits` beat all of them. `limits.terminate` is shared by the
//! decisions of a tick, in the order of the fleets; the others are held in `plan`.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

mod demand;
mod goal;
mod jobs;
mod queue;
mod settle;

use std::collections::BTreeMap;

use crate::defect::contained;
use crate::model::capacity::{Capacity, count, is_large_cut};
use crate::model::decision::{Decision, Reason};
use crate::model::fleet::FleetName;
use crate::model::launch::Token;
use crate::model::rate::RateLimit;
use crate::model::roster::{FleetView, Phase, Roster, Server};
use crate::model::sight::Blind;
use crate::model::time::Timestamp;
use crate::policy::{FleetPolicy, Mode, Policy};

/// A number on its way to a decision, with the reasons so far.
struct Proposal {
    capacity: Capacity,
    /// Whether `min` and `max` apply; a hold is above them.
    bounded: bool,
    /// Whether servers may be taken at all.
    may_release: bool,
    /// How many were promised to be in service: by schedule, hold or `min`, not by a queue's length.
    promised: Capacity,
    /// The number before a person's extra servers came on top, and how many those are.
    extra: Option<(Capacity, Capacity)>,
    /// How many the queue's own steps ask for, whatever the floor; `None`: as many as come out.
    asked: Option<Capacity>,
    /// Whether a step lowers `asked` alone, so that no server goes for it.
    steps_below_floor: bool,
    /// Draining servers that the rule itself puts back into service.
    cancel: Vec<Token>,
    because: Vec<Reason>,
    steps_on: Option<Timestamp>,
    next_look: Option<Timestamp>,
}

impl Proposal {
    fn new(capacity: Capacity, reason: Reason) -> Self {
        // Hardly any decision has more reasons.
        let mut because = Vec::with_capacity(3);
        because.push(reason);
        Self {
            capacity,
            bounded: true,
            may_release: true,
            promised: capacity,
            extra: None,
            asked: None,
            steps_below_floor: false,
            cancel: Vec::new(),
            because,
            steps_on: None,
            next_look: None,
        }
    }

    fn target(&self) -> Capacity {
        match self.extra {
            Some((before, extra)) if self.capacity > before => {
                self.capacity.saturating_sub(extra).max(before)
            }
            Some(_) | None => self.capacity,
        }
    }

    fn look_at(&mut self, at: Timestamp) {
        self.next_look = Some(self.next_look.map_or(at, |known| known.min(at)));
    }
}

/// One decision for each fleet of the policy.
pub fn all(policy: &Policy, roster: &Roster) -> BTreeMap<FleetName, Decision> {
    let (blind, now) = (roster.blind.as_ref(), roster.now);
    let mut terminations = roster.terminations(policy.limits.terminate);
    each(policy, roster, |fleet, view| {
        // A fleet in observe mode takes nothing from those that act.
        let mut apart = (fleet.mode == Mode::Observe).then(|| terminations.clone());
        let limit = apart.as_mut().unwrap_or(&mut terminations);
        limit.take_up_to(count(view.servers.iter().filter(|server| goes_anyhow(server))));
        let decision =
            contained(|| decide_within(fleet, view, Around { blind, limit: Some(limit), now }))?;
        let ordered = |server: &&Server| server.is_capacity() && server.is_ordered_out();
        let ordered = count(view.servers.iter().filter(ordered));
        limit.take_up_to(ordered.saturating_add(count(&decision.retire)));
        Ok(decision)
    })
}

/// Returns whether the plan terminates a server that is no capacity before any that the decision names:
/// as ordered, or since it never became healthy.
fn goes_anyhow(server: &Server) -> bool {
    let overdue = server.phase == Phase::Overdue && server.kept.is_none();
    !server.is_capacity() && (server.is_ordered_out() || overdue)
}

/// A fleet that cannot be decided stays as it is, and tells why.
fn each(
    policy: &Policy,
    roster: &Roster,
    mut decide: impl FnMut(&FleetPolicy, &FleetView) -> Result<Decision, String>,
) -> BTreeMap<FleetName, Decision> {
    let decided = roster.fleets.iter().filter_map(|(name, view)| {
        let fleet = policy.fleets.get(name)?;
        let decided = decide(fleet, view);
        Some((name.clone(), decided.unwrap_or_else(|why| frozen(fleet, view, why))))
    });
    // Not collected: that sorts first, and they are in order.
    let mut decisions = BTreeMap::new();
    decisions.extend(decided);
    decisions
}

/// The fleet stays as it is.
fn frozen(fleet: &FleetPolicy, view: &FleetView, why: String) -> Decision {
    let capacity = view.capacity();
    conclude(fleet, view, Proposal::new(capacity, Reason::Frozen { why }), capacity)
}

/// What a decision depends on besides the fleet's policy and its view.
#[derive(Clone, Copy)]
struct Around<'a> {
    blind: Option<&'a Blind>,
    /// `limits.terminate`, as far as other fleets have left it; `None`: not limited.
    limit: Option<&'a RateLimit>,
    now: Timestamp,
}

/// How many servers `fleet` should have at `now`, and why, where no other fleet shares its limits.
pub fn decide(
    fleet: &FleetPolicy,
    view: &FleetView,
    blind: Option<&Blind>,
    now: Timestamp,
) -> Decision {
    decide_within(fleet, view, Around { blind, limit: None, now })
}

fn decide_within(fleet: &FleetPolicy, view: &FleetView, around: Around<'_>) -> Decision {
    let Around { blind, limit, now } = around;
    if let Some(blind) = blind {
        return frozen(fleet, view, blind.to_string());
    }
    let capacity = view.capacity();
    if let Some(pause) = &view.pause {
        let mut proposal = Proposal::new(
            capacity,
            Reason::Paused {
                owner: pause.owner.clone(),
                reason: pause.reason.clone(),
                until: pause.until,
            },
        );
        proposal.look_at(pause.until);
        return conclude(fleet, view, proposal, capacity);
    }
    let mut proposal = demand::demand(fleet, view, now);
    bound(fleet, &mut proposal);
    await_approval(fleet, view, &mut proposal);
    await_rename(fleet, view, &mut proposal);
    let wanted = proposal.capacity;
    settle::settle(fleet, view, &mut proposal, limit, now);
    conclude(fleet, view, proposal, wanted)
}

/// Holds the proposal within `min` and `max`.
fn bound(fleet: &FleetPolicy, proposal: &mut Proposal) {
    let bounds = fleet.bounds;
    let held = bounds.clamp(proposal.capacity);
    if proposal.bounded && held != proposal.capacity {
        let asked = proposal.capacity;
        proposal.because.push(Reason::Bounded { asked, min: bounds.min(), max: bounds.max() });
        proposal.capacity = held;
    }
}

/// Keeps a fleet as it is where an edit of the policy, and not the load or the hour, would end more
/// than half of it: a digit too few in a file is the most likely way to lose a shop. What a person
/// holds is a person's word already.
fn await_approval(fleet: &FleetPolicy, view: &FleetView, proposal: &mut Proposal) {
    let Some(from) = view.edited_from.filter(|_| proposal.bounded) else { return };
    // Of a queue's fleet, what a floor had added goes with the floor alone.
    let by_floor = view.memory.asked.is_some();
    let by_edit = fleet.queue.is_none() || from > fleet.bounds.max() || by_floor;
    let to = proposal.capacity;
    if by_edit && is_large_cut(from, to) {
        // None is launched for it either: what is gone stays gone.
        proposal.capacity = to.max(from.min(view.capacity()));
        proposal.may_release = false;
        let fleet = fleet.name.clone();
        proposal.because.push(Reason::AwaitsApproval { fleet, from, to });
    }
}

/// For what is rather an old fleet under a new name nothing is launched beside the servers that run
/// already under the old one. Nothing else of an edit is held up for having more launched: it may fall on
/// the hour at which the day begins, and a shop without servers is worse than a bill.
fn await_rename(fleet: &FleetPolicy, view: &FleetView, proposal: &mut Proposal) {
    let Some((old, servers)) = view.renamed_from.clone() else { return };
    if !proposal.bounded {
        return;
    }
    // Told even where nothing is wanted now: once there was a decision, the fleet is not new any more.
    let beside = proposal.capacity.saturating_sub(servers);
    proposal.capacity = proposal.capacity.min(beside.max(view.capacity()));
    proposal.may_release = false;
    let fleet = fleet.name.clone();
    proposal.because.push(Reason::AwaitsRename { fleet, old, servers });
}

fn conclude(
    fleet: &FleetPolicy,
    view: &FleetView,
    proposal: Proposal,
    wanted: Capacity,
) -> Decision {
    let desired = proposal.capacity;
    let target = proposal.target();
    let cancel_drains = cancelled(view, desired, proposal.cancel);
    let capacity = view.capacity();
    let together = capacity.saturating_add(count(&cancel_drains));
    Decision {
        fleet: fleet.name.clone(),
        capacity,
        wanted,
        desired,
        target,
        asked: proposal.asked.filter(|asked| *asked < target),
        retire: retired(view, together.saturating_sub(desired)),
        cancel_drains,
        launch: desired.saturating_sub(together),
        serving: proposal.promised.min(proposal.capacity),
        because: proposal.because,
        steps_on: proposal.steps_on,
        next_look: proposal.next_look,
    }
}

/// Adds draining servers to those that the rule has chosen, until the desired capacity is reached.
fn cancelled(view: &FleetView, desired: Capacity, mut chosen: Vec<Token>) -> Vec<Token> {
    let mut missing = desired.saturating_sub(view.capacity().saturating_add(count(&chosen)));
    for server in view.cancellable() {
        if missing == 0 {
            break;
        }
        if !chosen.contains(&server.record.token) {
            chosen.push(server.record.token.clone());
            missing = missing.saturating_sub(1);
        }
    }
    chosen
}

/// Returns the servers that go for a surplus. A server that an operator has ordered to be terminated
/// is part of the surplus, and is retired for that order.
fn retired(view: &FleetView, surplus: Capacity) -> Vec<Token> {
    let ordered = |server: &&Server| server.is_capacity() && server.is_ordered_out();
    let surplus = surplus.saturating_sub(count(view.servers.iter().filter(ordered)));
    let free = view.eligible().into_iter().filter(|server| !server.is_ordered_out());
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    free.take(surplus).map(|server| server.record.token.clone()).collect()
}

#[cfg(test)]
mod tests;
