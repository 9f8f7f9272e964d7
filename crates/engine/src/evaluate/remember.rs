//! What a decision leaves in the journal: the fleet's memory for the next evaluation, and an event if
//! the decision is news.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::decision::{Decision, Reason};
use crate::model::fleet::FleetName;
use crate::model::history::Decided;
use crate::model::ledger::{
    Change, Event, EventKind, FleetMemory, LastDecision, Ledger, OverrideKey,
};
use crate::model::plan::{Act, Plan};
use crate::model::time::Timestamp;
use crate::policy::{Mode, Policy};

/// Returns what the journal keeps of the decisions of one evaluation.
pub fn remember(
    policy: &Policy,
    ledger: &Ledger,
    (decisions, plan): (&BTreeMap<FleetName, Decision>, &Plan),
    now: Timestamp,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for decision in decisions.values() {
        let known = ledger.fleets.get(&decision.fleet);
        let approve = || OverrideKey::Approve(decision.fleet.clone());
        let approved = !ledger.overrides.is_empty() && ledger.overrides.contains_key(&approve());
        News { policy, plan, known, approved, now }.remember(decision, &mut changes);
    }
    changes
}

/// What tells whether a decision is news.
struct News<'a> {
    policy: &'a Policy,
    plan: &'a Plan,
    /// The fleet's memory before this decision; `None`: there is none yet.
    known: Option<&'a FleetMemory>,
    /// An operator approved of what the edited policy does to the fleet.
    approved: bool,
    now: Timestamp,
}

impl News<'_> {
    fn remember(&self, decision: &Decision, changes: &mut Vec<Change>) {
        let would = withheld(self.plan, &decision.fleet);
        let mut marks = decision.marks();
        if !would.is_empty() {
            marks.insert(would.clone());
        }
        if decision.capacity < decision.desired {
            // A server was lost: that it is replaced, and why, is news each time.
            marks.insert("short".to_owned());
        }
        let mut memory = self.known.cloned().unwrap_or_default();
        if let Some(last) = memory.last_decision.as_ref()
            && decision.is_between_readings()
            && last.to == decision.desired
        {
            marks.extend(last.marks.iter().filter(|mark| lasts(mark)).cloned());
        }
        let held_still = |rule| matches!(rule, "frozen" | "paused");
        let rules = || decision.because.iter().map(Reason::rule);
        if !rules().any(held_still) {
            memory.stepped_at_reading = decision.steps_on.or(memory.stepped_at_reading);
            // What was decided before an edit stands until somebody approves of less.
            if !decision.because.iter().any(Reason::awaits_approval) {
                memory.target = Some(decision.target);
                memory.asked = decision.asked;
                changes.extend(self.decided_by(&mut memory, decision));
            }
        }
        let told =
            |last: &LastDecision| last.to == decision.desired && marks.is_subset(&last.marks);
        match &mut memory.last_decision {
            // What stopped to be true is not told, but it is news when it comes back.
            Some(last) if told(last) => {
                if last.marks != marks {
                    changes.push(Change::Decided(self.decided(decision)));
                }
                if last.marks != marks {
                    Arc::make_mut(last).marks = marks;
                }
            }
            last => {
                let text = decision.text(&self.policy.zone);
                changes.push(Change::Event(self.event(decision, &would, &text)));
                changes.push(Change::Decided(self.decided(decision)));
                *last = Some(Arc::new(LastDecision {
                    at: self.now,
                    from: decision.capacity,
                    to: decision.desired,
                    marks,
                    text,
                }));
            }
        }
        if self.known != Some(&memory) {
            changes.push(Change::Fleet(decision.fleet.clone(), Box::new(memory)));
        }
    }

    /// From now on this policy's decisions stand; an approval of it has done its part.
    fn decided_by(&self, memory: &mut FleetMemory, decision: &Decision) -> Option<Change> {
        if memory.decided_by.as_deref() == Some(self.policy.digest.as_str()) {
            return None;
        }
        memory.decided_by = Some(self.policy.digest.as_str().into());
        let key = OverrideKey::Approve(decision.fleet.clone());
        self.approved.then_some(Change::OverrideEnded(key))
    }

    fn decided(&self, decision: &Decision) -> Decided {
        Decided {
            at: self.now,
            fleet: decision.fleet.clone(),
            capacity: decision.capacity,
            desired: decision.desired,
            target: decision.target,
            rules: decision.because.iter().map(|reason| reason.rule().to_owned()).collect(),
            because: decision.because.clone(),
        }
    }

    fn event(&self, decision: &Decision, would: &str, why: &str) -> Event {
        let observed = self.policy.fleets.get(&decision.fleet).map(|fleet| fleet.mode);
        let mode = match observed {
            Some(Mode::Observe) if !would.is_empty() => format!(" (observe mode, would{would})"),
            Some(Mode::Observe | Mode::Act) | None => String::new(),
        };
        Event {
            at: self.now,
            kind: EventKind::Decision,
            fleet: Some(decision.fleet.clone()),
            instance: None,
            text: format!("{} -> {}{mode}: {why}", decision.capacity, decision.desired),
        }
    }
}

/// Returns whether a mark lasts until the next reading of the queue.
fn lasts(mark: &str) -> bool {
    !matches!(mark, "frozen" | "paused" | "queue_unreadable" | "short")
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
            // Part of a retirement or of its end, which is named already.
            Act::Drain { .. }
            | Act::EndSignal { .. }
            | Act::Deregister { .. }
            | Act::Terminate { .. } => continue,
        };
        let n = counts.entry(what).or_default();
        *n = n.saturating_add(1);
    }
    let mut text = String::new();
    for (what, n) in counts {
        text.push_str(&format!(" {what} {n}"));
    }
    text
}
