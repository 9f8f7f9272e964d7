//! Scaling in only as far as servers may go now, and when to look again.

use super::{Proposal, jobs};
use crate::model::capacity::count;
use crate::model::decision::Reason;
use crate::model::rate::RateLimit;
use crate::model::roster::{Block, Failing, FleetView, Phase};
use crate::model::time::Timestamp;
use crate::policy::FleetPolicy;

/// Lowers the proposal no further than by the servers that scale-in may take.
pub(super) fn settle(
    fleet: &FleetPolicy,
    view: &FleetView,
    proposal: &mut Proposal,
    limit: Option<&RateLimit>,
    now: Timestamp,
) {
    let capacity = view.capacity().saturating_add(count(&proposal.cancel));
    if proposal.capacity >= capacity {
        return;
    }
    let surplus = capacity.saturating_sub(proposal.capacity);
    // What EC2 does not show may turn out to be nothing: it is the surplus first, and no server that
    // is there goes in its place.
    let unseen = count(view.servers.iter().filter(|s| s.is_capacity() && s.instance.is_none()));
    let certain = surplus.saturating_sub(unseen);
    // A server that boots may never serve, and its like is no reason to take one that does.
    let stay = proposal.promised.min(proposal.capacity);
    let serving = view.in_service();
    let eligible = view.eligible();
    let at_work = count(eligible.iter().filter(|server| server.phase == Phase::InService));
    let others = count(&eligible).saturating_sub(at_work);
    let spare = at_work.min(serving.saturating_sub(stay));
    let may_go = count(&eligible).min(certain);
    if proposal.may_release
        && let Some(doubt) = &view.doubt
    {
        proposal.may_release = false;
        proposal.because.push(Reason::InDoubt { why: doubt.to_string() });
    }
    if proposal.may_release
        && may_go > 0
        && let Some(Failing { why, until }) = view.failing.clone()
    {
        proposal.may_release = false;
        proposal.look_at(until);
        proposal.because.push(Reason::LaunchesFail { why, until });
    }
    let mut free = if proposal.may_release { may_go.min(others.saturating_add(spare)) } else { 0 };
    if proposal.may_release && free < may_go {
        proposal.because.push(Reason::AwaitsService { serving, stay });
    }
    if let Some(held) = jobs::held(fleet, view, now).filter(|held| held.at_most < free) {
        free = held.at_most;
        proposal.because.push(Reason::Jobs(held.why));
        if let Some(until) = held.until {
            proposal.look_at(until);
        }
    }
    if let Some((left, exhausted)) = limit.and_then(|limit| limit.after(free)) {
        free = left;
        proposal.look_at(exhausted.until);
        proposal.because.push(Reason::TerminationsLimited(exhausted));
    }
    if free == 0 && fleet.goal().is_none() && !proposal.steps_below_floor {
        // Nothing comes of the step, so the reading asks for it still.
        proposal.steps_on = None;
    }
    let blocked: Vec<(String, &Block)> = view
        .servers
        .iter()
        .filter(|server| server.is_capacity())
        .filter_map(|server| Some((server.name().to_string(), server.release.as_ref().err()?)))
        .collect();
    if let Some(at) = blocked.iter().filter_map(|(_, block)| block.until()).min() {
        proposal.look_at(at);
    }
    if free < surplus {
        let soonest =
            blocked.into_iter().min_by_key(|(_, block)| block.until().unwrap_or(Timestamp::MAX));
        let first = soonest.map(|(server, block)| (server, block.clone()));
        proposal.because.push(Reason::Kept { surplus, free, first });
        proposal.capacity = capacity.saturating_sub(free);
    }
}
