//! A second policy beside the live one: decided at every tick with what the live daemon saw, carried
//! out on imagined servers only. It never acts, and nothing of it is asked of AWS.
//!
//! The queue is the real one, which the live servers work off: what a policy would do to the queue
//! itself is for `backtest` to say.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::tick::Survey;
use tidegate_engine::evaluate::{Evaluator, FleetSnapshot, ServerSnapshot, ServerState};
use tidegate_engine::model::capacity::{Capacity, count};
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::roster::FleetView;
use tidegate_engine::model::shadow::{Differs, Imagined, ShadowChange};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Limits, Policy};

/// The second policy at work.
#[derive(Debug)]
pub struct Shadow {
    policy: Policy,
    fleets: BTreeMap<FleetName, Beside>,
    /// Numbers for imagined servers.
    next: u64,
}

/// One fleet under the second policy.
#[derive(Debug)]
struct Beside {
    name: FleetName,
    evaluator: Evaluator,
    servers: Vec<Imagined>,
    /// What was noted last.
    noted: Option<(Capacity, Capacity)>,
}

impl Shadow {
    /// Goes on with the servers it had imagined when it was stopped, if it was this policy.
    pub fn new(policy: Policy, open: Vec<Imagined>) -> Self {
        let next = open.iter().map(|server| server.number).max().map_or(1, |last| last + 1);
        let mut shadow = Self { policy, fleets: BTreeMap::new(), next };
        for server in open {
            if shadow.policy.fleets.contains_key(&server.fleet) {
                let new = || Beside::new(&shadow.policy, &server.fleet);
                let beside = shadow.fleets.entry(server.fleet.clone()).or_insert_with(new);
                beside.servers.push(server);
            }
        }
        shadow
    }

    /// Fleets that cannot be compared, and why; in words.
    pub fn incomparable(&self, live: &Policy) -> Vec<String> {
        let mut told = Vec::new();
        for (name, fleet) in &self.policy.fleets {
            let Some(beside) = live.fleets.get(name) else {
                told.push(format!("fleet {name} is not in the live policy and is left out"));
                continue;
            };
            match (&fleet.queue, &beside.queue) {
                (Some(_), None) => told.push(format!(
                    "fleet {name} has no queue in the live policy, which nobody reads then: it is left out"
                )),
                (Some(own), Some(other)) if own.source != other.source => told.push(format!(
                    "fleet {name} reads another queue than in the live policy: the live one's readings are used"
                )),
                (Some(_), Some(_)) | (None, _) => {}
            }
        }
        told
    }

    /// Decides beside the live tick; gives back what is to be noted.
    pub fn beside(&mut self, live: &Policy, survey: &Survey) -> Vec<ShadowChange> {
        if survey.roster.blind.is_some() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let Self { policy, fleets, next } = self;
        let names: Vec<&FleetName> = policy.fleets.keys().collect();
        for name in names {
            let (Some(fleet), Some(beside)) = (policy.fleets.get(name), live.fleets.get(name))
            else {
                continue;
            };
            let (Some(view), Some(decision)) =
                (survey.roster.fleets.get(name), survey.decisions.get(name))
            else {
                continue;
            };
            if fleet.queue.is_some() && beside.queue.is_none() {
                continue;
            }
            let room = policy.limits.instances.map(|limit| {
                limit.saturating_sub(count(fleets.values().flat_map(|other| &other.servers)))
            });
            let seen = Seen {
                now: survey.seen.now,
                reading: survey.seen.readings.get(name),
                view,
                decision,
                room: room.unwrap_or(Capacity::MAX),
            };
            let beside = fleets.entry(name.clone()).or_insert_with(|| {
                let mut beside = Beside::new(policy, name);
                changes.extend(beside.begin(view, next));
                beside
            });
            changes.extend(beside.step(&seen, policy, next));
        }
        changes
    }
}

/// What the live tick saw and decided of one fleet.
struct Seen<'a> {
    now: Timestamp,
    reading: Option<&'a Reading>,
    view: &'a FleetView,
    decision: &'a Decision,
    /// Servers that the second policy's limit still lets be launched.
    room: Capacity,
}

impl Beside {
    fn new(policy: &Policy, name: &FleetName) -> Self {
        // What the limits leave is reckoned over all fleets of the shadow, and handed over.
        let policy = Policy { limits: Limits::default(), ..policy.of_fleet(name) };
        let mut evaluator = Evaluator::new(policy);
        // An imagined server heeds its drain, and has no jobs.
        Arc::make_mut(&mut evaluator.memory(name).drains).heeded = true;
        Self { name: name.clone(), evaluator, servers: Vec::new(), noted: None }
    }

    /// Begins with as many servers as there are, as old as they are.
    fn begin(&mut self, view: &FleetView, next: &mut u64) -> Vec<ShadowChange> {
        let there = view.servers.iter().filter(|server| server.is_capacity());
        let begun: Vec<Imagined> = there
            .map(|server| {
                let launched_at = server.record.launched_at.unwrap_or(server.record.planned_at);
                Imagined::new(&self.name, next, launched_at)
            })
            .collect();
        self.servers.clone_from(&begun);
        if let Some(target) = view.memory.target {
            self.evaluator.memory(&self.name).target = Some(target);
        }
        begun.into_iter().map(ShadowChange::Server).collect()
    }

    fn step(&mut self, seen: &Seen<'_>, policy: &Policy, next: &mut u64) -> Vec<ShadowChange> {
        let now = seen.now;
        let boot = seen.view.memory.boots.usual();
        self.evaluator.memory(&self.name).boots = seen.view.memory.boots.clone();
        let snapshot = FleetSnapshot {
            reading: seen.reading.cloned().map(unnamed),
            servers: self.servers.iter().map(|server| snapshot(server, boot, now)).collect(),
            launches: Vec::new(),
        };
        let Some(answer) = self.evaluator.evaluate_fleet(now, &self.name, snapshot) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        self.servers.retain(|server| {
            let goes = answer.terminate.contains(&id(server));
            if goes {
                let ended = Imagined { ended_at: Some(now), ..server.clone() };
                changes.push(ShadowChange::Server(ended));
            }
            !goes
        });
        for _ in 0..answer.launch.min(seen.room) {
            let server = Imagined::new(&self.name, next, now);
            self.servers.push(server.clone());
            changes.push(ShadowChange::Server(server));
        }
        let both = (seen.decision.desired, answer.decision.desired);
        if self.noted != Some(both) {
            self.noted = Some(both);
            changes.push(ShadowChange::Differs(Differs {
                at: now,
                fleet: self.name.clone(),
                live: both.0,
                shadow: both.1,
                why_live: seen.decision.text(&policy.zone),
                why_shadow: answer.decision.text(&policy.zone),
            }));
        }
        changes
    }
}

fn id(server: &Imagined) -> InstanceId {
    InstanceId::new(&format!("shadow-{}", server.number))
}

fn snapshot(server: &Imagined, boot: Duration, now: Timestamp) -> ServerSnapshot {
    let ready = time::after(server.launched_at, boot) <= now;
    let state = if ready { ServerState::InService } else { ServerState::Booting };
    ServerSnapshot::new(id(server), server.launched_at, state)
}

/// Who is busy tells of real servers; here there are none.
fn unnamed(mut reading: Reading) -> Reading {
    if let Ok(depth) = &mut reading.depth {
        depth.work.busy = None;
    }
    reading
}
