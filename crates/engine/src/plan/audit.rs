//! What every plan obeys, one function per rule, checked over the finished plan by other means than
//! those that made it. A violation is a defect of ours: in production the fleet's steps are dropped
//! and a problem is raised, in tests it fails.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::balancer::Membership;
use crate::model::capacity::{Capacity, count};
use crate::model::decision::Decision;
use crate::model::fleet::FleetName;
use crate::model::launch::Token;
use crate::model::plan::{Act, LeftOut, Limit, OutOfService, Plan, Step};
use crate::model::retirement::RetireReason;
use crate::model::roster::{BalancerView, FleetView, Phase, Roster, Server};
use crate::policy::Policy;

/// A rule that a fleet's steps break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub fleet: FleetName,
    pub rule: String,
}

/// Every violation of every rule.
pub(crate) fn audit(
    policy: &Policy,
    roster: &Roster,
    decisions: &BTreeMap<FleetName, Decision>,
    plan: &Plan,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut by_fleet: BTreeMap<&FleetName, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        by_fleet.entry(&step.fleet).or_default().push(step);
    }
    for (name, steps) in by_fleet {
        let view = roster.fleets.get(name).or_else(|| roster.unmanaged.get(name));
        let rules = match view {
            None => vec!["steps for a fleet nobody knows".to_owned()],
            Some(view) => [
                blind(roster),
                in_doubt(roster, &steps),
                paused(view, &steps),
                frozen(view, &steps, decisions.get(name)),
                known_servers(view, &steps),
                one_voice(&steps),
                no_kept_server(view, &steps),
                as_decided(view, &steps, decisions.get(name)),
                capacity_kept(view, &steps, decisions.get(name)),
                serving_kept(view, &steps, decisions.get(name)),
                sick_by_more_than_one_word(view, &steps, decisions.get(name)),
                room(policy, view, &steps, decisions.get(name)),
                out_for_a_reason(view, &steps),
                drained_first(view, &steps),
                fresh_tokens(view, &steps),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        found.extend(rules.into_iter().map(|rule| Violation { fleet: name.clone(), rule }));
    }
    found
}

/// Takes the steps of fleets that break a rule out of the plan and says so in it.
pub(crate) fn enforce(plan: &mut Plan, violations: &[Violation]) {
    let bad: BTreeSet<&FleetName> = violations.iter().map(|v| &v.fleet).collect();
    plan.steps.retain(|step| !bad.contains(&step.fleet));
    for violation in violations {
        plan.left_out.push(LeftOut {
            fleet: violation.fleet.clone(),
            count: 0,
            why: Limit::Audit(violation.rule.clone()),
        });
    }
}

fn blind(roster: &Roster) -> Option<String> {
    roster.blind.as_ref().map(|why| format!("nothing may be done: {why}"))
}

/// By a picture that may be old, or has gaps, nobody is taken out or ended.
fn in_doubt(roster: &Roster, steps: &[&Step]) -> Option<String> {
    let ends = |step: &&Step| match step.act {
        Act::Retire { .. } | Act::Drain { .. } | Act::Deregister { .. } | Act::Terminate { .. } => {
            true
        }
        Act::Launch(_)
        | Act::Replay { .. }
        | Act::Register { .. }
        | Act::Reclaim { .. }
        | Act::EndSignal { .. } => false,
    };
    let doubt = roster.doubt.as_ref().filter(|_| steps.iter().any(ends))?;
    Some(format!("nobody may be ended: {doubt}"))
}

/// Where nothing could be decided, nothing is begun but what a person asked for.
fn frozen(view: &FleetView, steps: &[&Step], decision: Option<&Decision>) -> Option<String> {
    let frozen = decision.is_some_and(Decision::is_frozen);
    let by_hand = |why: &RetireReason| matches!(why, RetireReason::Operator { .. });
    let retires = retired(view, steps).into_iter().any(|(_, why)| !by_hand(why));
    let launches = |step: &&Step| matches!(step.act, Act::Launch(_) | Act::Replay { .. });
    (frozen && (retires || steps.iter().any(launches)))
        .then(|| "a step that nobody decided".to_owned())
}

/// In a pause nothing is launched, a launch that was written down earlier included.
fn paused(view: &FleetView, steps: &[&Step]) -> Option<String> {
    let launches = |step: &&Step| matches!(step.act, Act::Launch(_) | Act::Replay { .. });
    (view.pause.is_some() && steps.iter().any(launches))
        .then(|| "a launch in a paused fleet".to_owned())
}

/// Every termination is of a server whose record we hold, by its own instance.
fn known_servers(view: &FleetView, steps: &[&Step]) -> Option<String> {
    steps.iter().find_map(|step| match &step.act {
        Act::Terminate { instance, token, .. } => {
            let server = view.servers.iter().find(|server| server.record.token == *token);
            let right = server.is_some_and(|server| server.id() == Some(instance));
            (!right).then(|| format!("{instance} is not a server of this fleet"))
        }
        Act::Drain { instance, token, .. } => {
            let right = view.server(token).is_some_and(|server| server.id() == Some(instance));
            (!right).then(|| format!("{instance} is not a server of this fleet"))
        }
        Act::Launch(_)
        | Act::Replay { .. }
        | Act::Register { .. }
        | Act::Retire { .. }
        | Act::Reclaim { .. }
        | Act::EndSignal { .. }
        | Act::Deregister { .. } => None,
    })
}

/// No server is both taken out and put in, nor handled twice.
fn one_voice(steps: &[&Step]) -> Option<String> {
    let mut calls = BTreeSet::new();
    steps.iter().find_map(|step| match &step.act {
        Act::Register { instance, .. }
        | Act::Drain { instance, .. }
        | Act::EndSignal { instance, .. }
        | Act::Deregister { instance, .. }
        | Act::Terminate { instance, .. } => {
            let first = calls.insert(instance);
            (!first).then(|| format!("two calls for {instance} in one tick"))
        }
        Act::Launch(_) | Act::Replay { .. } | Act::Retire { .. } | Act::Reclaim { .. } => None,
    })
}

fn retired<'a>(view: &'a FleetView, steps: &[&'a Step]) -> Vec<(&'a Server, &'a RetireReason)> {
    let found = steps.iter().filter_map(|step| match &step.act {
        Act::Retire { token, why, .. } => {
            let server = view.servers.iter().find(|server| server.record.token == *token)?;
            Some((server, why))
        }
        Act::Launch(_)
        | Act::Replay { .. }
        | Act::Register { .. }
        | Act::Reclaim { .. }
        | Act::Drain { .. }
        | Act::EndSignal { .. }
        | Act::Deregister { .. }
        | Act::Terminate { .. } => None,
    });
    found.collect()
}

/// A server that a person or a tag protects is not retired, whatever the reason.
fn no_kept_server(view: &FleetView, steps: &[&Step]) -> Option<String> {
    retired(view, steps)
        .into_iter()
        .find_map(|(server, _)| server.kept.is_some().then(|| format!("{} is kept", server.name())))
}

/// Scale-in takes the servers that the decision names, and no other drain is cancelled than it names.
fn as_decided(view: &FleetView, steps: &[&Step], decision: Option<&Decision>) -> Option<String> {
    let named = |token: &Token, of: fn(&Decision) -> &[Token]| {
        decision.is_some_and(|decision| of(decision).contains(token))
    };
    let other = retired(view, steps).into_iter().find(|(server, why)| {
        **why == RetireReason::ScaleIn && !named(&server.record.token, |of| &of.retire)
    });
    if let Some((server, _)) = other {
        return Some(format!("{} goes, and the decision does not name it", server.name()));
    }
    steps.iter().find_map(|step| match &step.act {
        Act::Reclaim { instance, token, undelivered: None }
            if !named(token, |of| &of.cancel_drains)
                && view.server(token).is_none_or(|server| server.kept.is_none()) =>
        {
            Some(format!("the drain of {instance} is cancelled, and the decision does not name it"))
        }
        Act::Launch(_)
        | Act::Replay { .. }
        | Act::Register { .. }
        | Act::Retire { .. }
        | Act::Reclaim { .. }
        | Act::Drain { .. }
        | Act::EndSignal { .. }
        | Act::Deregister { .. }
        | Act::Terminate { .. } => None,
    })
}

/// Scale-in leaves at least the desired capacity, and the wanted one without what EC2 does not
/// show; and it takes only eligible servers.
fn capacity_kept(view: &FleetView, steps: &[&Step], decision: Option<&Decision>) -> Option<String> {
    let retired = retired(view, steps);
    let scaled_in: Vec<&Server> = retired
        .iter()
        .filter(|(_, why)| **why == RetireReason::ScaleIn)
        .map(|(server, _)| *server)
        .collect();
    if let Some(server) = scaled_in.iter().find(|server| server.release.is_err()) {
        return Some(format!("{} may not go yet", server.name()));
    }
    if scaled_in.is_empty() {
        return None;
    }
    let (desired, wanted) =
        decision.map_or((Capacity::MAX, Capacity::MAX), |d| (d.desired, d.wanted));
    let taken_back = steps.iter().filter(|step| matches!(step.act, Act::Reclaim { .. }));
    let capacity = view.capacity().saturating_add(count(taken_back));
    let left = capacity.saturating_sub(count(&scaled_in));
    let unseen = view.servers.iter().filter(|s| s.is_capacity() && s.instance.is_none());
    let certain = left.saturating_sub(count(unseen));
    if certain < wanted {
        return Some(format!("scale-in would leave {certain} certain servers of {wanted} wanted"));
    }
    (left < desired).then(|| format!("scale-in would leave {left} of the {desired} desired"))
}

/// Scale-in leaves those in service that were promised.
fn serving_kept(view: &FleetView, steps: &[&Step], decision: Option<&Decision>) -> Option<String> {
    let retired = retired(view, steps);
    let serves = |server: &Server| server.phase == Phase::InService;
    let taken =
        retired.iter().filter(|(server, why)| **why == RetireReason::ScaleIn && serves(server));
    let taken = count(taken);
    let left = count(view.servers.iter().filter(|server| serves(server))).saturating_sub(taken);
    let promised = decision.map_or(0, |decision| decision.serving);
    (taken > 0 && left < promised)
        .then(|| format!("scale-in would leave {left} in service of the {promised} promised"))
}

/// Where no other server of the fleet passes its check, one that is wanted is not replaced as sick
/// while its balancer finds it well.
fn sick_by_more_than_one_word(
    view: &FleetView,
    steps: &[&Step],
    decision: Option<&Decision>,
) -> Option<String> {
    let wanted = decision.is_none_or(|decision| view.well_in_service() < decision.desired);
    retired(view, steps).into_iter().find_map(|(server, why)| {
        let sick = matches!(why, RetireReason::Sick { .. });
        let served = server.membership == Some(Membership::InService);
        let alone = !view.servers.iter().any(|other| other.well);
        (wanted && sick && served && alone)
            .then(|| format!("{} serves by its balancer", server.name()))
    })
}

/// Launches bring the fleet to what is desired, never beyond it or beyond what may be alive.
fn room(
    policy: &Policy,
    view: &FleetView,
    steps: &[&Step],
    decision: Option<&Decision>,
) -> Option<String> {
    let launches = count(steps.iter().filter(|step| matches!(step.act, Act::Launch(_))));
    if launches == 0 {
        return None;
    }
    let (Some(decision), Some(fleet)) = (decision, policy.fleets.get(&view.name)) else {
        return Some("a launch for a fleet that is not in the policy".to_owned());
    };
    let capacity = view.capacity().saturating_add(launches);
    if capacity > decision.desired {
        return Some(format!("{capacity} would be more than the {} desired", decision.desired));
    }
    let alive = view.alive().saturating_add(launches);
    let most = fleet.bounds.max().max(decision.desired);
    (alive > most).then(|| format!("{alive} alive would be more than {most}"))
}

/// Nobody is taken out of the balancer who stays and may serve there.
fn out_for_a_reason(view: &FleetView, steps: &[&Step]) -> Option<String> {
    let retired = retired(view, steps);
    steps.iter().find_map(|step| {
        let Act::Deregister { instance, token, .. } = &step.act else { return None };
        let server = view.servers.iter().find(|server| server.record.token == *token)?;
        let leaves = server.record.retirement.is_some()
            || retired.iter().any(|(retired, _)| retired.record.token == *token);
        let dead = matches!(server.membership, Some(Membership::OutOfService(_)));
        (!leaves && !dead).then(|| format!("{instance} stays, and may serve in its load balancer"))
    })
}

/// No termination of a member, unless its drain time is over or its balancer is gone.
fn drained_first(view: &FleetView, steps: &[&Step]) -> Option<String> {
    steps.iter().find_map(|step| {
        let Act::Terminate { instance, token, proof } = &step.act else { return None };
        let server = view.servers.iter().find(|server| server.record.token == *token)?;
        let first = server.record.retirement.as_ref().is_none_or(|r| r.termination().is_none());
        let proven = match proof {
            OutOfService::NoBalancer => view.balancer == BalancerView::None,
            OutOfService::NotMember => server.membership.is_none() || !first,
            OutOfService::DrainTimeOver => {
                server.record.retirement.as_ref().is_some_and(|r| r.deregistered_at().is_some())
            }
            OutOfService::BalancerGone => matches!(view.balancer, BalancerView::Missing(..)),
            OutOfService::Drained(end) => {
                let drain = server.record.retirement.as_ref().and_then(|r| r.draining());
                drain.is_some_and(|drain| drain.end == Some(*end))
            }
        };
        if first && leaves_jobs(server, steps, *proof) {
            return Some(format!("{instance} has not been told to finish its jobs"));
        }
        (!proven).then(|| format!("{instance} is not proven out of its load balancer"))
    })
}

/// Whether a server that is to finish its jobs first would be terminated without having been told.
fn leaves_jobs(server: &Server, steps: &[&Step], proof: OutOfService) -> bool {
    let retired_now = steps.iter().any(|step| {
        matches!(&step.act, Act::Retire { token, drain: Some(_), .. } if *token == server.record.token)
    });
    let drains = server.record.retirement.as_ref().is_some_and(|r| r.drain.is_some());
    (retired_now || drains) && !matches!(proof, OutOfService::Drained(_))
}

/// A launch never uses a token that exists.
fn fresh_tokens(view: &FleetView, steps: &[&Step]) -> Option<String> {
    let mut tokens: BTreeSet<_> = view.servers.iter().map(|server| &server.record.token).collect();
    steps.iter().find_map(|step| match &step.act {
        Act::Launch(request) => {
            let fresh = tokens.insert(&request.token);
            (!fresh).then(|| format!("token {} is used already", request.token))
        }
        Act::Replay { .. }
        | Act::Register { .. }
        | Act::Retire { .. }
        | Act::Reclaim { .. }
        | Act::Drain { .. }
        | Act::EndSignal { .. }
        | Act::Deregister { .. }
        | Act::Terminate { .. } => None,
    })
}
