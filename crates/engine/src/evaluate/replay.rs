//! The rules over a recorded past: at each recorded reading, with the servers as they were then and
//! with what was decided last then, would the same be decided?

use std::sync::Arc;
use std::time::Duration;

use super::{Evaluator, FleetSnapshot, ServerSnapshot, ServerState, Snapshot};
use crate::model::boots::Boots;
use crate::model::capacity::Capacity;
use crate::model::decision::{Decision, Reason, TERMINATIONS_LIMITED};
use crate::model::drain::{Delivery, Drain, DrainTerms};
use crate::model::history::{Decided, FleetHistory};
use crate::model::reading::Reading;
use crate::model::retirement::{Retirement, Stage};
use crate::model::server::{Asked, LaunchState, ServerRecord};
use crate::model::time::{self, Timestamp};
use crate::policy::Policy;

/// Rules by which a daemon decides from EC2's list, of which the journal keeps only what it proves.
const SEEN_BY_THE_DAEMON_ALONE: [&str; 2] = ["frozen", "in_doubt"];

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

/// Replays `past`, a fleet's record, with `policy`.
///
/// The journal drops an order once it has ended, and names busy servers for some weeks only: decisions
/// that came from them differ. `limits.terminate` is replayed where no other fleet shares it.
pub fn replay(policy: &Policy, past: &FleetHistory) -> Replayed {
    let mut replayed = Replayed::default();
    let shared = policy.fleets.len() > 1;
    let unseen = |rule: &String| {
        let rule = rule.as_str();
        SEEN_BY_THE_DAEMON_ALONE.contains(&rule) || (shared && rule == TERMINATIONS_LIMITED)
    };
    for (nth, (reading, decision)) in answers(policy, past).enumerate() {
        let Some(then) = last(&past.decisions, |at| at <= reading.at) else { continue };
        if then.rules.iter().any(unseen) {
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

/// Evaluates the reading of one decision again; `None`: there is none, or the rules say otherwise now.
pub fn reckoned_again(policy: &Policy, past: &FleetHistory, then: &Decided) -> Option<Decision> {
    let (_, decision) = answers(policy, past).find(|(reading, _)| reading.at == then.at)?;
    let rules = decision.because.iter().map(Reason::rule);
    let same = decision.desired == then.desired && rules.eq(then.rules.iter().map(String::as_str));
    same.then_some(decision)
}

/// The decision at each reading, from what was known and decided before it.
fn answers<'a>(
    policy: &Policy,
    past: &'a FleetHistory,
) -> impl Iterator<Item = (&'a Reading, Decision)> + use<'a> {
    let name = &past.fleet;
    let grace = policy.fleets.get(name).map(|fleet| fleet.grace).unwrap_or_default();
    let mut evaluator = Evaluator::new(policy.of_fleet(name));
    let mut before = None;
    past.readings.iter().filter_map(move |reading| {
        let now = reading.at;
        let memory = evaluator.memory(name);
        memory.boots = boots(grace, past, now);
        if let Some(decided) = last(&past.decisions, |at| at < now) {
            memory.target = Some(decided.target);
        }
        let snapshot = snapshot(past, reading, before.replace(now).unwrap_or(now));
        let answer = evaluator.evaluate(snapshot).remove(name)?;
        Some((reading, answer.decision))
    })
}

fn last(decisions: &[Decided], by: impl Fn(Timestamp) -> bool) -> Option<&Decided> {
    let known = decisions.partition_point(|decided| by(decided.at));
    decisions.get(known.checked_sub(1)?)
}

/// The boot times that were known, measured as the daemon measures them.
fn boots(grace: Duration, past: &FleetHistory, now: Timestamp) -> Boots {
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
        .filter(|(_, took)| *took <= grace)
        .collect();
    measured.sort_unstable();
    measured.into_iter().map(|(_, boot)| boot).collect()
}

/// The facts just before the reading was answered. `before`: when the reading before was.
fn snapshot(past: &FleetHistory, reading: &Reading, before: Timestamp) -> Snapshot {
    let now = reading.at;
    let mut fleet = FleetSnapshot { reading: Some(reading.clone()), ..FleetSnapshot::default() };
    for record in past.servers.iter().filter(|record| record.planned_at < now) {
        let over = record.gone.as_ref().map(|gone| gone.at).filter(|at| *at <= now);
        match record.instance() {
            None => fleet.launches.push(Arc::new(asked_then(record, now))),
            Some(_) if over.is_some_and(|at| at <= before) => {}
            Some(id) => {
                let then = record_then(record, now);
                let launched_at = then.launched_at.unwrap_or(then.planned_at);
                let state = if over.is_some() { ServerState::Ended } else { state(&then) };
                let mut server = ServerSnapshot::new(id.clone(), launched_at, state);
                server.record = Some(Arc::new(then));
                fleet.servers.push(server);
            }
        }
    }
    let in_force = past.overrides.iter().filter(|order| order.since < now && order.until > now);
    let overrides = in_force.cloned().collect();
    Snapshot { overrides, ..Snapshot::of_fleet(now, past.fleet.clone(), fleet) }
}

fn state(record: &ServerRecord) -> ServerState {
    if record.retirement.is_some() {
        ServerState::Draining(None)
    } else if record.sick_since.is_some() {
        ServerState::Unhealthy { since: None }
    } else if record.in_service_at.is_some() {
        ServerState::InService
    } else {
        ServerState::Booting
    }
}

/// A server's record as it was at `now`, before its end.
fn record_then(record: &ServerRecord, now: Timestamp) -> ServerRecord {
    let known = |at: Option<Timestamp>| at.filter(|at| *at <= now);
    ServerRecord {
        healthy_at: known(record.healthy_at),
        in_service_at: known(record.in_service_at),
        sick_since: known(record.sick_since),
        absent_since: None,
        retirement: record.retirement.as_ref().and_then(|one| retirement_then(one, now)),
        cleared_at: known(record.cleared_at),
        gone: None,
        ..record.clone()
    }
}

/// A launch without a server as it was at `now`.
fn asked_then(record: &ServerRecord, now: Timestamp) -> ServerRecord {
    let mut then = record.clone();
    if then.gone.as_ref().is_some_and(|gone| gone.at > now) {
        then.gone = None;
        if matches!(then.launch, LaunchState::Refused(_)) {
            let (last_attempt_at, last_fault) = (then.planned_at, None);
            let asked = Asked { attempts: 1, last_attempt_at, in_doubt: true, last_fault };
            then.launch = LaunchState::Asked(asked);
        }
    }
    then
}

/// A retirement as it was at `now`. The journal keeps its last stage alone: before that, a server that
/// was drained had received its signal.
fn retirement_then(retirement: &Retirement, now: Timestamp) -> Option<Retirement> {
    let begun_at = retirement.begun_at;
    let mut then = retirement.clone();
    let later = match &retirement.stage {
        Stage::Terminating(calls) => calls.last_asked_at >= now,
        Stage::Resuming(resume) => resume.cancelled_at >= now,
        Stage::Draining(_) | Stage::Deregistered { .. } | Stage::Begun => false,
    };
    if later {
        let terms = retirement.drain.as_ref();
        then.stage = terms.map_or(Stage::Begun, |terms| Stage::Draining(received(terms, begun_at)));
    }
    if let Stage::Draining(drain) = &mut then.stage {
        drain.end = None;
    }
    (begun_at < now).then_some(then)
}

fn received(terms: &DrainTerms, at: Timestamp) -> Drain {
    let delivery = Delivery::Received { at, nothing_runs: false };
    Drain { delivery, ..Drain::begin(None, terms, at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Fault, FaultKind};
    use crate::model::fleet::{FleetName, Pool};
    use crate::model::instance::InstanceId;
    use crate::model::launch::Token;
    use crate::model::ledger::{Override, OverrideKey};
    use crate::model::retirement::RetireReason;
    use crate::model::server::{Gone, GoneHow};
    use crate::model::time::Clocks;
    use crate::plan::frozen_request;
    use crate::policy::load;

    const POLICY: &str = "version: 1\nmode: act\nfleets:\n  job:\n    launch: { image: ami-0123456789abcdef0, types: [t3.small] }\n    max: 5\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://q.example/' }, every: 5m, scale_out: { above: 10 }, scale_in: { below: 5, remove: 2, after: 0s } }\n";

    fn at(minute: u64) -> Timestamp {
        let start = "2026-03-02T08:00:00Z".parse().unwrap();
        time::after(start, Duration::from_mins(minute))
    }

    fn policy(text: &str) -> Policy {
        let loaded = load("test.yaml", text, at(0));
        loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn job() -> FleetName {
        FleetName::new("job").unwrap()
    }

    /// A record launched in the first minute and in service from the fifth on.
    fn server(n: u32) -> ServerRecord {
        let policy = policy(POLICY);
        let fleet = &policy.fleets[&job()];
        let pool = Pool { instance_type: Some("t3.small".into()), subnet: None };
        let token = Token::from_stored(&format!("token-{n}"));
        let request = Arc::new(frozen_request(&policy, fleet, pool, token));
        let mut record = ServerRecord::planned(request, job(), Clocks::new(at(0), None));
        record.launch = LaunchState::Launched(InstanceId::new(&format!("i-{n}")));
        record.launched_at = Some(at(0));
        (record.healthy_at, record.in_service_at) = (Some(at(5)), Some(at(5)));
        record
    }

    /// One reading in minute 60, and the decision on it.
    fn history(
        waiting: u64,
        desired: Capacity,
        rule: &str,
        servers: Vec<ServerRecord>,
    ) -> FleetHistory {
        let decided = |at, desired, rule: &str| Decided {
            at,
            fleet: job(),
            capacity: 2,
            desired,
            target: desired,
            rules: vec![rule.to_owned()],
            because: Vec::new(),
        };
        FleetHistory {
            fleet: job(),
            from: at(0),
            to: at(60),
            readings: vec![Reading::known(at(60), waiting)],
            decisions: vec![decided(at(5), 2, "queue_between"), decided(at(60), desired, rule)],
            servers,
            overrides: Vec::new(),
            policies: Vec::new(),
        }
    }

    #[track_caller]
    fn check(policy: &Policy, past: &FleetHistory, looks: usize, same: usize) {
        let replayed = replay(policy, past);
        assert_eq!((replayed.looks, replayed.same), (looks, same), "{replayed:?}");
    }

    #[test]
    fn replay_knows_the_hold_in_force() {
        let policy = policy(POLICY);
        let mut past = history(0, 3, "hold", vec![server(1), server(2)]);
        check(&policy, &past, 1, 0);
        past.overrides.push(Override {
            key: OverrideKey::Hold(job()),
            capacity: 3,
            owner: "ann".to_owned(),
            reason: "a sale".to_owned(),
            since: at(30),
            until: at(90),
            at_once: false,
        });
        check(&policy, &past, 1, 1);
        past.overrides[0].since = at(61);
        check(&policy, &past, 1, 0);
    }

    #[test]
    fn replay_knows_drains_and_their_end() {
        let policy = policy(POLICY);
        let terms = policy.fleets[&job()].drain_terms().cloned();
        let mut drained = server(2);
        let begun = Clocks::new(at(50), None);
        let mut retirement = Retirement::begin(RetireReason::ScaleIn, terms, begun);
        retirement.ask_to_terminate(at(70));
        drained.retirement = Some(retirement);
        drained.gone = Some(Gone { at: at(71), how: GoneHow::Retired });
        // The drain is cancelled for the jobs that wait, where a launch would be needed.
        let past = history(30, 3, "queue_above", vec![server(1), drained.clone()]);
        let (_, decision) = answers(&policy, &past).next().unwrap();
        assert_eq!(decision.capacity, 1);
        assert_eq!(decision.cancel_drains, [Token::from_stored("token-2")]);
        // Once EC2 was asked to terminate it, a drain cannot be cancelled.
        drained.retirement.as_mut().unwrap().ask_to_terminate(at(55));
        let past = history(30, 3, "queue_above", vec![server(1), drained]);
        let (_, decision) = answers(&policy, &past).next().unwrap();
        assert_eq!((decision.cancel_drains.len(), decision.launch), (0, 2));
    }

    #[test]
    fn replay_knows_failed_launches() {
        let policy = policy(POLICY);
        let mut refused = server(3);
        (refused.healthy_at, refused.in_service_at) = (None, None);
        refused.planned_at = at(58);
        refused.launch = LaunchState::Refused(Fault::new(FaultKind::Config, "Refused", "a test"));
        refused.gone = Some(Gone { at: at(58), how: GoneHow::NeverWas });
        let past = history(0, 2, "launches_fail", vec![server(1), server(2), refused]);
        let (_, decision) = answers(&policy, &past).next().unwrap();
        let rules: Vec<&str> = decision.because.iter().map(Reason::rule).collect();
        assert!(rules.contains(&"launches_fail"), "{rules:?}");
        check(&policy, &past, 1, 1);
    }

    #[test]
    fn limited_terminations_replay_with_one_fleet() {
        let limits = "version: 1\nlimits: { terminate: 1 per 10m }\n";
        let one = POLICY.replace("version: 1\n", limits);
        let drains = "    drain: { via: tag, deadline: 30m }";
        let one = one.replace(drains, "    drain: none");
        let readings = |past: &mut FleetHistory| {
            past.readings.insert(0, Reading::known(at(20), 0));
            past.readings.insert(1, Reading::known(at(25), 0));
        };
        let mut past = history(0, 1, TERMINATIONS_LIMITED, vec![server(1), server(2)]);
        readings(&mut past);
        let replayed = replay(&policy(&one), &past);
        assert_eq!(replayed.looks, 3, "{replayed:?}");
        let two = format!(
            "{one}  app:\n    launch: {{ image: ami-0123456789abcdef0, types: [t3.small] }}\n    max: 1\n"
        );
        assert_eq!(replay(&policy(&two), &past).looks, 2, "the other fleet shares the limit");
    }
}
