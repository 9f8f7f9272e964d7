//! What holds of graceful drains after every tick. A server that was told to finish its jobs is gone by
//! its deadline, and scale-in terminates no server that was not told.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::record::What;
use tidegate::tick::TickRecord;
use tidegate_engine::model::drain::DrainEnd;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::{Token, tag};
use tidegate_engine::model::ledger::OverrideKey;
use tidegate_engine::model::plan::{Act, OutOfService, Outcome};
use tidegate_engine::model::retirement::RetireReason;
use tidegate_engine::model::roster::Phase;
use tidegate_engine::model::time::{self, Timestamp};

use super::run::{Run, demand};

/// How long a server may run on after its deadline while nothing excuses it: two ticks.
const RUNS_ON_AT_MOST: Duration = Duration::from_mins(2);

/// The longest wait before a termination that failed is asked for again.
const ASKED_AGAIN_WITHIN: Duration = Duration::from_hours(1);

/// How far the host's clock goes back unnoticed: from four minutes ahead to four behind. Waits between
/// terminations and the end of a keep are measured by it.
const CLOCK_BACK: Duration = Duration::from_mins(8);

/// A server that has received the signal of a drain.
#[derive(Debug)]
struct Told {
    deadline: Timestamp,
    /// When the deadline was told first.
    at: Timestamp,
    /// Whether the drain was cancelled, and the server is to be told so.
    cancelled: bool,
    /// The number of terminations that failed.
    failed: u32,
    failed_at: Timestamp,
    /// How long it has run on after its deadline while nothing excused it.
    late: Duration,
    /// The last tick, where it was late in that one.
    late_at: Option<Timestamp>,
}

impl Told {
    fn new(deadline: Timestamp, now: Timestamp) -> Self {
        Self {
            deadline,
            at: now,
            cancelled: false,
            failed: 0,
            failed_at: now,
            late: Duration::ZERO,
            late_at: None,
        }
    }

    /// Whether the next termination is not due yet: a minute after the first that failed, twice as long
    /// after each further one, up to an hour.
    fn waits(&self, now: Timestamp) -> bool {
        let Some(doublings) = self.failed.checked_sub(1) else { return false };
        let wait = Duration::from_mins(1).saturating_mul(1 << doublings.min(16));
        time::since(now, self.failed_at) < wait.min(ASKED_AGAIN_WITHIN) + CLOCK_BACK
    }
}

/// The servers that have received a signal and were not told to go on since, by what the calls of each
/// tick came to.
#[derive(Debug, Default)]
pub(super) struct Drains(BTreeMap<InstanceId, Told>);

impl Drains {
    /// No tick was made: until the next one, no server is late.
    pub(super) fn interrupted(&mut self) {
        self.0.values_mut().for_each(|told| told.late_at = None);
    }
}

impl Run {
    pub(super) fn check_drains(&mut self, record: &TickRecord) {
        self.check_retirements(record);
        for (call, outcome) in record.calls.iter().zip(&record.outcomes) {
            match &call.what {
                What::Drain { instance, deadline, received, .. } => {
                    let received = *received || matches!(outcome, Outcome::Received { .. });
                    self.note_signal(instance, *deadline, received);
                }
                What::EndSignal { instance, .. } => self.note_cancelled(instance, outcome),
                What::Terminate { instance, token, proof, .. } => {
                    self.check_told(instance, token, *proof);
                    if let Some(told) = self.drains.0.get_mut(instance)
                        && matches!(outcome, Outcome::Failed(_))
                    {
                        (told.failed, told.failed_at) = (told.failed + 1, self.simulation.now());
                    }
                }
                What::Launch { .. } | What::Register { .. } | What::Deregister { .. } => {}
            }
        }
        self.check_deadlines(record);
    }

    /// In a fleet with a drain, scale-in takes no working server without one. Cancelled drains are noted.
    fn check_retirements(&mut self, record: &TickRecord) {
        for step in &record.survey.plan.steps {
            match &step.act {
                Act::Retire {
                    instance, token, why: RetireReason::ScaleIn, drain: None, ..
                } => {
                    let drains = self.simulation.policy.fleets[&step.fleet].drain_terms().is_some();
                    let view = &record.survey.roster.fleets[&step.fleet];
                    let works = view.server(token).is_some_and(|server| {
                        let instance = server.instance.as_ref();
                        instance.is_some_and(|one| one.lifecycle == Lifecycle::Running)
                            && !matches!(server.phase, Phase::Sick { .. } | Phase::Overdue)
                    });
                    demand!(self, !drains || !works, "{instance} goes and is not to be told");
                }
                Act::Reclaim { instance, .. } => {
                    if let Some(told) = self.drains.0.get_mut(instance) {
                        told.cancelled = true;
                    }
                }
                Act::Launch(_)
                | Act::Replay { .. }
                | Act::Register { .. }
                | Act::Retire { .. }
                | Act::Drain { .. }
                | Act::EndSignal { .. }
                | Act::Deregister { .. }
                | Act::Terminate { .. } => {}
            }
        }
    }

    /// A server is told one deadline, unless the journal lost it.
    fn note_signal(&mut self, instance: &InstanceId, deadline: Timestamp, received: bool) {
        let now = self.simulation.now();
        let Some(told) = self.drains.0.get_mut(instance) else {
            if received {
                self.drains.0.insert(instance.clone(), Told::new(deadline, now));
            }
            return;
        };
        let other = told.deadline != deadline;
        let lost = self.lost_at.is_some_and(|at| at >= told.at);
        if other && !told.cancelled && !lost {
            self.fail(&format!("{instance} is told another deadline: {deadline}"));
        }
        // From its first attempt on the new deadline counts.
        if other {
            (told.deadline, told.at) = (deadline, now);
        }
        told.cancelled &= !received;
    }

    /// A drain that was cancelled is over once its signal was taken back.
    fn note_cancelled(&mut self, instance: &InstanceId, outcome: &Outcome) {
        if matches!(outcome, Outcome::Done(_)) {
            self.drains.0.remove(instance);
        } else if let Some(told) = self.drains.0.get_mut(instance) {
            told.cancelled = true;
        }
    }

    /// Scale-in terminates only servers that were told to finish their jobs, those that were stopped or
    /// have ended already, and those that an operator does not want waited for.
    fn check_told(&self, instance: &InstanceId, token: &Token, proof: OutOfService) {
        let record = self.simulation.journal.ledger().servers.get(token);
        let Some(retirement) = record.and_then(|record| record.retirement.as_ref()) else { return };
        // What is asked for again was judged at first.
        let again = retirement.termination().is_some_and(|calls| calls.asks > 1);
        if retirement.why != RetireReason::ScaleIn || retirement.drain.is_none() || again {
            return;
        }
        let ordered = {
            let key = OverrideKey::Terminate(instance.clone());
            let order = self.simulation.journal.ledger().overrides.get(&key);
            order.is_some_and(|order| order.at_once)
        };
        let (stopped, ended, tagged) = {
            let state = self.simulation.front.state();
            let machine = state.world.machine(instance).unwrap();
            let stopped = machine.stopped_at.is_some() || machine.started_at.is_some();
            let ended = machine.ends.as_ref().is_some_and(|(at, _)| *at < state.world.now());
            (stopped, ended, machine.tags().contains_key(tag::DRAIN))
        };
        let stopped = stopped && proof == OutOfService::Drained(DrainEnd::PoweredOff);
        // After a loss the tag is the record of the drain.
        let told = self.drains.0.contains_key(instance) || (self.lost_at.is_some() && tagged);
        demand!(
            self,
            told || ordered || stopped || ended,
            "{instance} is terminated by scale-in, and has not been told ({proof})"
        );
    }

    /// Who was told to finish its jobs is terminated at its deadline.
    fn check_deadlines(&mut self, record: &TickRecord) {
        let now = self.simulation.now();
        let mut late = Vec::new();
        for (id, told) in &self.drains.0 {
            let lifecycle = {
                let state = self.simulation.front.state();
                state.world.machine(id).unwrap().lifecycle(now)
            };
            if now >= told.deadline
                && lifecycle == Lifecycle::Running
                && !told.cancelled
                && !told.waits(now)
                && !self.is_excused(record, id)
            {
                late.push(id.clone());
            }
        }
        let mut broken = None;
        for (id, told) in &mut self.drains.0 {
            let was_late = told.late_at.take();
            if late.contains(id) {
                told.late += was_late.map_or(Duration::ZERO, |at| time::since(now, at));
                told.late_at = Some(now);
                if told.late >= RUNS_ON_AT_MOST {
                    broken = Some(format!("{id} runs on after its deadline {}", told.deadline));
                }
            }
        }
        if let Some(what) = broken {
            self.fail(&what);
        }
    }

    /// Whether the daemon cannot know that a server runs, must not act, or must not end it.
    fn is_excused(&self, record: &TickRecord, id: &InstanceId) -> bool {
        let roster = &record.survey.roster;
        let listed = record.survey.seen.instances.as_ref().ok();
        let Some(instance) = listed.and_then(|listed| listed.get(id)) else { return true };
        let since = time::before(self.simulation.now(), CLOCK_BACK);
        let order = self.simulation.journal.ledger().overrides.get(&OverrideKey::Keep(id.clone()));
        let kept = instance.tags.keep || order.is_some_and(|order| order.until > since);
        roster.blind.is_some() || roster.doubt.is_some() || kept || instance.tags.install.is_none()
    }
}
