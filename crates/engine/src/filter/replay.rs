//! The rules over a recorded past: at each recorded reading, with the servers as they were then and
//! with what was decided last then, would the same be decided?

use std::time::Duration;

use super::{Filter, SightedServer, SightedState, Sighting};
use crate::model::boots::Boots;
use crate::model::capacity::Capacity;
use crate::model::decision::{Decision, Reason, TERMINATIONS_LIMITED};
use crate::model::history::{Decided, History};
use crate::model::reading::Reading;
use crate::model::server::ServerRecord;
use crate::model::time::{self, Timestamp};
use crate::policy::FleetPolicy;

/// Rules by which a daemon decides from what a replay does not see: EC2's list, and other fleets.
const SEEN_BY_THE_DAEMON_ALONE: [&str; 3] = ["frozen", "in_doubt", TERMINATIONS_LIMITED];

/// How a replay compares with what was decided then.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// Readings that were answered then: it is known how, and EC2 could be asked.
    pub looks: usize,
    /// Those at which the replay decides the same.
    pub same: usize,
    /// The first at which it does not.
    pub first: Option<Difference>,
}

#[derive(Debug, Clone)]
pub struct Difference {
    pub at: Timestamp,
    /// The desired capacity then.
    pub desired: Capacity,
    pub replayed: Decision,
}

/// Replays `past` with `fleet`'s rules, as a daemon with this `tick` would go by them.
///
/// Orders by hand and load balancers that could not be asked are not recorded in numbers, and who was
/// busy for some weeks only: decisions that came from them differ.
pub fn replay(fleet: &FleetPolicy, tick: Duration, past: &History) -> Replayed {
    let mut replayed = Replayed::default();
    for (nth, (reading, decision)) in answers(fleet, tick, past).enumerate() {
        let Some(then) = last(&past.decisions, |at| at <= reading.at) else { continue };
        if then.rules.iter().any(|rule| SEEN_BY_THE_DAEMON_ALONE.contains(&rule.as_str())) {
            continue;
        }
        replayed.looks = replayed.looks.saturating_add(1);
        // EC2 could not be asked, and the reading was answered by a tick thereafter.
        let next = past.readings.get(nth.saturating_add(1)).map_or(past.to, |next| next.at);
        let later = last(&past.decisions, |at| at < next);
        let desired = decision.desired;
        if desired == then.desired || later.is_some_and(|later| later.desired == desired) {
            replayed.same = replayed.same.saturating_add(1);
        } else if replayed.first.is_none() {
            let (at, desired) = (reading.at, then.desired);
            replayed.first = Some(Difference { at, desired, replayed: decision });
        }
    }
    replayed
}

/// What the rules say to the reading of one instant; `None`: there is none, or they say otherwise than
/// was decided then.
pub fn reckoned_again(
    fleet: &FleetPolicy,
    tick: Duration,
    past: &History,
    then: &Decided,
) -> Option<Decision> {
    let (_, decision) = answers(fleet, tick, past).find(|(reading, _)| reading.at == then.at)?;
    let rules = decision.because.iter().map(Reason::rule);
    let same = decision.desired == then.desired && rules.eq(then.rules.iter().map(String::as_str));
    same.then_some(decision)
}

/// The decision at each reading, from what was known and decided before it.
fn answers<'a>(
    fleet: &'a FleetPolicy,
    tick: Duration,
    past: &'a History,
) -> impl Iterator<Item = (&'a Reading, Decision)> {
    let mut filter = Filter::of_daemon(fleet.clone(), tick);
    past.readings.iter().map(move |reading| {
        if let Some(before) = last(&past.decisions, |at| at < reading.at) {
            filter.recall(before.target);
        }
        filter.recall_boots(boots(fleet, past, reading.at));
        (reading, filter.look(&sighting(past, reading)).decision)
    })
}

fn last(decisions: &[Decided], by: impl Fn(Timestamp) -> bool) -> Option<&Decided> {
    let known = decisions.partition_point(|decided| by(decided.at));
    decisions.get(known.checked_sub(1)?)
}

/// The boot times that were known, measured as the daemon measures them.
fn boots(fleet: &FleetPolicy, past: &History, now: Timestamp) -> Boots {
    let mut measured: Vec<(Timestamp, Duration)> = past
        .servers
        .iter()
        .filter(|server| server.request.is_some())
        .filter_map(|server| {
            let launched = server.launched_at.unwrap_or(server.planned_at);
            Some((server.in_service_at?, launched))
        })
        .filter(|(ready, _)| *ready <= now)
        .map(|(ready, launched)| (ready, time::since(ready, launched)))
        .filter(|(_, took)| *took <= fleet.grace)
        .collect();
    measured.sort_unstable();
    measured.into_iter().map(|(_, boot)| boot).collect()
}

/// What there was just before the reading was answered.
fn sighting(past: &History, reading: &Reading) -> Sighting {
    let now = reading.at;
    let servers = past.servers.iter().filter_map(|server| sighted(server, now)).collect();
    Sighting { now, reading: Some(reading.clone()), servers }
}

fn sighted(server: &ServerRecord, now: Timestamp) -> Option<SightedServer> {
    let id = server.instance()?.clone();
    let over = server.gone.as_ref().is_some_and(|gone| gone.at <= now);
    if server.planned_at >= now || over {
        return None;
    }
    let retired = server.retirement.as_ref().is_some_and(|going| going.begun_at < now);
    let serves = server.in_service_at.is_some_and(|at| at <= now);
    let state = match (retired, serves) {
        (true, _) => SightedState::Draining,
        (false, true) => SightedState::InService,
        (false, false) => SightedState::Booting,
    };
    Some(SightedServer { id, launched_at: server.launched_at.unwrap_or(server.planned_at), state })
}
