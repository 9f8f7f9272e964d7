//! Whom to take out, in what order, and the next call of each retirement under way.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::{Draft, drain};
use crate::model::balancer::Membership;
use crate::model::capacity::Capacity;
use crate::model::decision::Decision;
use crate::model::plan::{Act, LeftOut, Limit, OutOfService};
use crate::model::retirement::{RetireReason, Retirement};
use crate::model::roster::{BalancerView, FleetView, Phase, Server};
use crate::model::time::{self, Clocks, Timestamp};
use crate::state::mostly_sick;

/// How long a server must have looked sick before it is replaced: checks flap.
const REPLACE_AFTER: Duration = Duration::from_mins(3);

/// Past the drain time, for clocks and for the balancer's own delay.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// How long a termination is waited for before it is asked for again; doubled each time, up to an
/// hour, since a protected instance will refuse for as long as it is protected.
const ASK_AGAIN: Duration = Duration::from_mins(1);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_hours(1);

/// After so many requests to terminate a sick server, the next sick one is not kept waiting for it.
const PATIENT_ASKS: u32 = 3;

/// Returns the next call of a retirement, if one is due.
pub(super) fn advance(view: &FleetView, server: &Server, clocks: Clocks) -> Option<Act> {
    let retirement = server.record.retirement.as_ref()?;
    let ending = server.instance.as_ref().is_some_and(|i| i.lifecycle.is_ending());
    if ending {
        return None;
    }
    if retirement.resuming().is_some() {
        return drain::go_on(server, retirement);
    }
    if server.kept.is_some() || !ask_due(retirement, clocks.host) {
        return None;
    }
    if let Some(drain) = retirement.draining() {
        return drain::advance(server, retirement, drain, clocks);
    }
    match (leave(view, server, retirement, clocks)?, &retirement.drain) {
        // Out of its load balancer, it finishes its jobs.
        (Act::Terminate { .. }, Some(terms)) if retirement.termination().is_none() => {
            drain::begin(server, &retirement.why, terms, clocks)
        }
        (act, _) => Some(act),
    }
}

/// Returns the call that takes the server out of its load balancer, or terminates it once it is out.
fn leave(
    view: &FleetView,
    server: &Server,
    retirement: &Retirement,
    clocks: Clocks,
) -> Option<Act> {
    let instance = server.id()?.clone();
    let token = server.record.token.clone();
    let terminate =
        |proof| Some(Act::Terminate { instance: instance.clone(), token: token.clone(), proof });
    if retirement.termination().is_some() {
        // It was proven out once; a balancer that cannot be asked now does not change that.
        return terminate(OutOfService::NotMember);
    }
    match &view.balancer {
        BalancerView::None => terminate(OutOfService::NoBalancer),
        BalancerView::Missing(..) => terminate(OutOfService::BalancerGone),
        BalancerView::Unreadable(..) if drained(view, retirement, clocks.ec2) => {
            terminate(OutOfService::DrainTimeOver)
        }
        BalancerView::Unreadable(..) => None,
        BalancerView::Readable(balancer) => match &server.membership {
            None => terminate(OutOfService::NotMember),
            Some(_) if drained(view, retirement, clocks.ec2) => {
                terminate(OutOfService::DrainTimeOver)
            }
            Some(Membership::Draining) => None,
            Some(
                Membership::InService
                | Membership::Registering
                | Membership::OutOfService(_)
                | Membership::Unused(_)
                | Membership::Unknown(_),
            ) => Some(Act::Deregister { instance, balancer: balancer.clone(), token }),
        },
    }
}

fn ask_due(retirement: &Retirement, now: Timestamp) -> bool {
    let Some(past) = retirement.termination() else { return true };
    let pause = time::backoff(ASK_AGAIN, past.asks, ASK_AGAIN_AT_MOST);
    time::since(now, past.last_asked_at) >= pause
}

/// Whether the drain time has passed since the balancer accepted the deregistration.
fn drained(view: &FleetView, retirement: &Retirement, ec2_now: Timestamp) -> bool {
    let drain = view.memory.balancer.as_ref().map_or(Duration::ZERO, |(_, drain)| *drain);
    let over = drain.saturating_add(DRAIN_MARGIN);
    retirement.deregistered_at().is_some_and(|at| time::since(ec2_now, at) >= over)
}

/// What a person asked for: single instances, and fleets that left the policy.
pub(super) fn by_hand(draft: &mut Draft<'_>, budget: &mut Budget) {
    for server in &draft.view.servers {
        let Some(order) = &server.ordered else { continue };
        if !server.is_ordered_out() {
            continue;
        }
        let why = RetireReason::Operator { who: order.owner.clone(), why: order.reason.clone() };
        let later = draft.view.memory.drains.tried_again_at();
        if drain::terms(draft.view, server, &why).is_some()
            && later.is_some_and(|at| at > draft.clocks.ec2)
        {
            continue;
        }
        if !retire(draft, budget, server, why) {
            return;
        }
    }
}

/// Servers that never became healthy, and servers that fell sick and have been replaced.
pub(super) fn broken(
    draft: &mut Draft<'_>,
    budget: &mut Budget,
    decision: &Decision,
    everywhere: Option<(Capacity, Capacity)>,
) {
    let view = draft.view;
    let now = draft.clocks.host;
    // Where nobody can be drained, or nothing may be changed, none is retired.
    let drainable = match view.balancer {
        BalancerView::None | BalancerView::Readable(_) => true,
        BalancerView::Missing(..) | BalancerView::Unreadable(..) => false,
    };
    if view.pause.is_some() || !drainable {
        return;
    }
    for server in &view.servers {
        if server.phase == Phase::Overdue && server.kept.is_none() && !draft.takes(server) {
            let waited = time::since(now, server.record.planned_at);
            let pending = server
                .instance
                .as_ref()
                .is_some_and(|i| i.lifecycle == crate::model::instance::Lifecycle::Pending);
            let why = if pending {
                RetireReason::StuckPending { waited }
            } else {
                RetireReason::NeverHealthy { waited, last: server.ailing.clone() }
            };
            if !retire(draft, budget, server, why) {
                return;
            }
        }
    }
    sick(draft, budget, decision, everywhere);
}

/// One sick server at a time, once others serve in its place or there is no room for a replacement
/// beside it, and never when most of the fleet, or of all fleets, looks sick; unless as many others
/// serve as should, and it runs no job: then nobody wants it, whether it is sick or not.
fn sick(
    draft: &mut Draft<'_>,
    budget: &mut Budget,
    decision: &Decision,
    everywhere: Option<(Capacity, Capacity)>,
) {
    let view = draft.view;
    let now = draft.clocks.host;
    let sick: Vec<&Server> =
        view.servers.iter().filter(|server| matches!(server.phase, Phase::Sick { .. })).collect();
    let (looking_sick, of) = view.sick_of();
    if sick.is_empty() {
        return;
    }
    let no_room = draft.fleet.is_some_and(|fleet| view.alive() >= fleet.bounds.max());
    // The one server of a fleet that may have one: there is nobody to compare it with, and nobody
    // to put beside it. Its balancer sees it from elsewhere.
    let serves = |server: &&Server| server.membership == Some(Membership::InService);
    let single = draft.fleet.is_some_and(|fleet| fleet.bounds.max() == 1);
    let alone = single && of == 1 && no_room && !sick.iter().any(serves);
    let replaced = view.well_in_service() >= decision.desired;
    let idle = sick.iter().all(|server| server.busy.unwrap_or(0) == 0);
    if !(replaced && idle) && (everywhere.is_some() || (mostly_sick(looking_sick, of) && !alone)) {
        let (sick, of) = everywhere.unwrap_or((looking_sick, of));
        let why = Limit::MostlySick { sick, of };
        draft.left_out.push(LeftOut { fleet: view.name.clone(), count: sick, why });
        return;
    }
    // One that EC2 does not let go is told of; the others do not wait for it.
    let leaving = view.servers.iter().any(|server| {
        let retirement = server.record.retirement.as_ref();
        retirement.is_some_and(|r| {
            matches!(r.why, RetireReason::Sick { .. })
                && r.termination().is_none_or(|calls| calls.asks <= PATIENT_ASKS)
        })
    });
    if leaving || !(replaced || no_room) {
        return;
    }
    if let Some(failing) = view.failing.as_ref().filter(|_| !replaced) {
        let why = Limit::Unlaunchable { why: failing.why.clone() };
        draft.left_out.push(LeftOut { fleet: view.name.clone(), count: looking_sick, why });
        return;
    }
    let next = sick.into_iter().find_map(|server| match server.phase {
        Phase::Sick { since }
            if server.kept.is_none()
                && !draft.takes(server)
                && time::since(now, since) >= REPLACE_AFTER =>
        {
            Some((server, since))
        }
        Phase::Launching
        | Phase::Booting
        | Phase::Registering
        | Phase::InService
        | Phase::Disputed
        | Phase::Unclear
        | Phase::Overdue
        | Phase::Sick { .. }
        | Phase::Draining
        | Phase::Resuming
        | Phase::Terminating
        | Phase::Stopped => None,
    });
    if let Some((server, since)) = next {
        retire(draft, budget, server, RetireReason::Sick { since });
    }
}

/// Retires the servers that the decision names.
pub(super) fn surplus(draft: &mut Draft<'_>, budget: &mut Budget, decision: &Decision) {
    let view = draft.view;
    for server in decision.retire.iter().filter_map(|token| view.server(token)) {
        if !retire(draft, budget, server, RetireReason::ScaleIn) {
            return;
        }
    }
}

/// Begins a retirement and makes its first call in the same tick; `false` when the budget is spent.
fn retire(draft: &mut Draft<'_>, budget: &mut Budget, server: &Server, why: RetireReason) -> bool {
    // Whatever may go has an instance; a launch without one is settled first.
    let Some(instance) = server.id() else { return true };
    if let Err(limit) = budget.retire() {
        draft.left_out.push(LeftOut { fleet: draft.view.name.clone(), count: 1, why: limit });
        return false;
    }
    let mut begun = server.clone();
    let drain = drain::terms(draft.view, server, &why);
    Arc::make_mut(&mut begun.record).retirement =
        Some(Retirement::begin(why.clone(), drain.clone(), draft.clocks));
    draft.acts.push(Act::Retire {
        instance: instance.clone(),
        token: server.record.token.clone(),
        why,
        drain,
    });
    draft.acts.extend(advance(draft.view, &begun, draft.clocks));
    true
}
