//! Before acting, a plan becomes an [`Intent`] by being written down; after acting, the outcomes
//! are. Only [`intend`] makes an `Intent`, and `act` takes nothing else: acting unrecorded does not
//! compile.

mod conclude;
mod journal;
mod problems;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::model::balancer::Balancer;
use crate::model::decision::Decision;
use crate::model::fleet::FleetName;
use crate::model::instance::InstanceId;
use crate::model::launch::{LaunchRequest, Token};
use crate::model::ledger::{Change, Event, EventKind, FleetMemory, LastDecision, OverrideKey};
use crate::model::plan::{Act, OutOfService, Plan, Step};
use crate::model::roster::Roster;
use crate::model::server::{LaunchState, RetireReason, Retirement, ServerRecord};
use crate::model::time::Timestamp;
use crate::policy::{Mode, Policy};
use crate::ports::StoreFault;

pub use self::conclude::conclude;
pub use self::journal::Journal;
pub use self::problems::{Concern, concerns};

/// A plan that has been written down. There is no other way to get one than [`intend`].
#[derive(Debug)]
pub struct Intent {
    calls: Vec<Call>,
    /// What was written, for whoever tells the story.
    pub events: Vec<Event>,
}

impl Intent {
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }
}

/// One call to the world, with everything it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub fleet: FleetName,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `in_doubt`: an earlier attempt may have launched it.
    Launch {
        request: Box<LaunchRequest>,
        in_doubt: bool,
    },
    Register {
        instance: InstanceId,
        balancer: Balancer,
    },
    Deregister {
        instance: InstanceId,
        balancer: Balancer,
        token: Token,
    },
    Terminate {
        instance: InstanceId,
        token: Token,
        proof: OutOfService,
    },
}

/// Everything one tick is about to do or has found, on its way into the journal.
#[derive(Debug)]
pub struct Findings<'a> {
    pub policy: &'a Policy,
    /// What `roster::note` found.
    pub noted: Vec<Change>,
    pub roster: &'a Roster,
    pub decisions: &'a BTreeMap<FleetName, Decision>,
    pub plan: &'a Plan,
    /// What needs a person.
    pub concerns: Vec<Concern>,
}

/// Writes down what was found, decided and planned, in one transaction. Nothing is written when
/// nothing is new.
pub fn intend(journal: &mut Journal, findings: Findings<'_>) -> Result<Intent, StoreFault> {
    let now = findings.roster.now;
    let mut changes = findings.noted;
    for (name, decision) in findings.decisions {
        changes.extend(remember(journal, findings.policy, name, decision, findings.plan, now));
    }
    let zone = &findings.policy.zone;
    let mut calls = Vec::new();
    let mut servers: BTreeMap<Token, ServerRecord> = BTreeMap::new();
    for step in &findings.plan.steps {
        let why = findings
            .decisions
            .get(&step.fleet)
            .map(|decision| decision.text(zone))
            .unwrap_or_default();
        take(journal, &mut servers, &mut calls, &mut changes, &Told { step, now, why, zone });
    }
    changes.extend(servers.into_values().map(|record| Change::Server(Box::new(record))));
    changes.extend(lapsed(journal, now));
    changes.extend(problems::diff(&journal.ledger().problems, findings.concerns, now));
    let events = events_of(&changes);
    journal.commit(&changes)?;
    Ok(Intent { calls, events })
}

pub(crate) fn events_of(changes: &[Change]) -> Vec<Event> {
    let events = changes.iter().filter_map(|change| match change {
        Change::Event(event) => Some(event.clone()),
        Change::Server(_)
        | Change::Fleet(..)
        | Change::Reading(..)
        | Change::Override(_)
        | Change::OverrideEnded(_)
        | Change::Problem(_)
        | Change::ProblemEnded(_) => None,
    });
    events.collect()
}

/// The decision, if it says something new.
fn remember(
    journal: &Journal,
    policy: &Policy,
    name: &FleetName,
    decision: &Decision,
    plan: &Plan,
    now: Timestamp,
) -> Vec<Change> {
    let known = journal.ledger().fleets.get(name).cloned().unwrap_or_default();
    let would = withheld(plan, name);
    let mut marks = decision.marks();
    if !would.is_empty() {
        marks.insert(would.clone());
    }
    let text = decision.text(&policy.zone);
    let told = known
        .last_decision
        .as_ref()
        .is_some_and(|last| last.to == decision.desired && marks.is_subset(&last.marks));
    let frozen = decision.because.iter().any(|reason| matches!(reason.rule(), "frozen" | "paused"));
    let mut memory: FleetMemory = known.clone();
    if !frozen {
        memory.target = Some(decision.desired);
        memory.stepped_at_reading = decision.steps_on.or(known.stepped_at_reading);
    }
    let mut changes = Vec::new();
    match &mut memory.last_decision {
        // What stopped to be true is not told, but it is news when it comes back.
        Some(last) if told => last.marks = marks,
        last => {
            *last = Some(LastDecision {
                at: now,
                from: decision.capacity,
                to: decision.desired,
                marks,
                text: text.clone(),
            });
            let mode = match policy.fleets.get(name).map(|fleet| fleet.mode) {
                Some(Mode::Observe) if !would.is_empty() => {
                    format!(" (observe mode, would{would})")
                }
                Some(Mode::Observe | Mode::Act) | None => String::new(),
            };
            let text = format!("{} -> {}{mode}: {text}", decision.capacity, decision.desired);
            changes.push(Change::Event(Event {
                at: now,
                kind: EventKind::Decision,
                fleet: Some(name.clone()),
                instance: None,
                text,
            }));
        }
    }
    if memory != known {
        changes.push(Change::Fleet(name.clone(), Box::new(memory)));
    }
    changes
}

/// What a fleet in observe mode would have done, in words, without passing details.
fn withheld(plan: &Plan, name: &FleetName) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in plan.withheld.iter().filter(|step| step.fleet == *name) {
        let what = match step.act {
            Act::Launch(_) | Act::Replay { .. } => "launch",
            Act::Register { .. } => "register",
            Act::Retire { .. } => "retire",
            Act::Reclaim { .. } => "take back",
            // Part of a retirement, which is named already.
            Act::Deregister { .. } | Act::Terminate { .. } => continue,
        };
        let n = counts.entry(what).or_default();
        *n = n.saturating_add(1);
    }
    counts.into_iter().map(|(what, n)| format!(" {what} {n}")).collect()
}

/// A step, when it is taken and why.
struct Told<'a> {
    step: &'a Step,
    now: Timestamp,
    why: String,
    zone: &'a TimeZone,
}

/// One step's share of the journal, and its call.
fn take(
    journal: &Journal,
    servers: &mut BTreeMap<Token, ServerRecord>,
    calls: &mut Vec<Call>,
    changes: &mut Vec<Change>,
    told: &Told<'_>,
) {
    let Told { step, now, why, zone } = told;
    let mut edit = |token: &Token, change: &dyn Fn(&mut ServerRecord)| {
        let stored = || journal.ledger().servers.get(token).cloned();
        if let Some(mut record) = servers.remove(token).or_else(stored) {
            change(&mut record);
            servers.insert(token.clone(), record);
        }
    };
    let what = match &step.act {
        Act::Launch(request) => {
            let record = ServerRecord::planned((**request).clone(), step.fleet.clone(), *now);
            servers.insert(record.token.clone(), record);
            Some(What::Launch { request: request.clone(), in_doubt: false })
        }
        Act::Replay { token, attempt, in_doubt } => {
            edit(token, &|record| {
                if let LaunchState::Asked(asked) = &mut record.launch {
                    asked.attempts = *attempt;
                    asked.last_attempt_at = *now;
                    asked.in_doubt = true;
                }
            });
            let request = journal.ledger().servers.get(token).and_then(|r| r.request.clone());
            request.map(|request| What::Launch { request: Box::new(request), in_doubt: *in_doubt })
        }
        Act::Retire { token, why: reason, .. } => {
            edit(token, &|record| {
                record.retirement = Some(Retirement {
                    why: reason.clone(),
                    begun_at: *now,
                    deregistered_at: None,
                    terminate_asked_at: None,
                    terminate_asks: 0,
                });
            });
            None
        }
        Act::Reclaim { token, .. } => {
            edit(token, &|record| record.retirement = None);
            None
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
            edit(token, &|record| {
                if let Some(retirement) = &mut record.retirement {
                    retirement.terminate_asked_at = Some(*now);
                    retirement.terminate_asks = retirement.terminate_asks.saturating_add(1);
                }
            });
            Some(What::Terminate {
                instance: instance.clone(),
                token: token.clone(),
                proof: *proof,
            })
        }
    };
    if let Act::Retire { label, .. } | Act::Reclaim { label, .. } = &step.act {
        changes.push(Change::Event(Event {
            at: *now,
            kind: EventKind::Action,
            fleet: Some(step.fleet.clone()),
            instance: Some(InstanceId::new(label)),
            text: match &step.act {
                // Other reasons stand in the step itself.
                Act::Retire { why: RetireReason::ScaleIn, .. } | Act::Reclaim { .. } => {
                    format!("{} ({why})", step.text(zone))
                }
                _ => step.text(zone),
            },
        }));
    }
    if let Act::Retire { label, .. } = &step.act {
        let order = OverrideKey::Terminate(InstanceId::new(label));
        if journal.ledger().overrides.contains_key(&order) {
            changes.push(Change::OverrideEnded(order));
        }
    }
    calls.extend(what.map(|what| Call { fleet: step.fleet.clone(), what }));
}

/// Overrides whose time is over.
fn lapsed(journal: &Journal, now: Timestamp) -> Vec<Change> {
    let over = journal.ledger().overrides.values().filter(|entry| entry.until <= now);
    over.map(|entry| Change::OverrideEnded(entry.key.clone())).collect()
}
