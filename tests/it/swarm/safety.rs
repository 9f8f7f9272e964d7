//! What never happens, checked against the world's truth after every tick and not against what the
//! daemon believes. The letters are those of docs/reliability.md.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate::record::What;
use tidegate::sim::faults::Trouble;
use tidegate::sim::front::State;
use tidegate::sim::machine::Machine;
use tidegate::sim::telling::Telling;
use tidegate::tick::TickRecord;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::{Token, tag};
use tidegate_engine::model::ledger::OverrideKey;
use tidegate_engine::model::plan::{Act, Limit};
use tidegate_engine::model::retirement::RetireReason;
use tidegate_engine::model::server::{GoneHow, ServerRecord};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Billing;

use super::options::{INSTANCES_AT_MOST, LAUNCHES, RETIREMENTS};
use super::run::{Run, demand, name};

/// Calls to AWS in one tick, over all fleets: what there is to do for ten servers, and to spare.
const CALLS_AT_MOST: usize = 40;

/// How long EC2's list must lack a server, or a launch without an answer, before it may be given up.
const VANISHED_AFTER: Duration = Duration::from_mins(15);
const BELIEVED_AFTER: Duration = Duration::from_hours(1);
const GIVEN_UP_AFTER: Duration = Duration::from_mins(25);

/// What the world shows: told apart from the looking, since whoever fails asks the world for the time.
struct Look {
    new: Vec<(Token, InstanceId)>,
    /// How many of each fleet.
    alive: BTreeMap<String, u32>,
    /// Whose tag somebody has taken off before any answer or list told of it, or that EC2 did not list
    /// for long: it cannot be found, and is one too many should it show up again (B09, B04).
    lost: Vec<InstanceId>,
    broken: Option<String>,
}

impl Run {
    /// `carrying`: who could be reached when the tick began.
    pub(super) fn check(&mut self, record: &TickRecord, carrying: &BTreeSet<InstanceId>) {
        self.note_hidden(record);
        self.note_planned(record);
        self.check_world();
        self.check_calls(record, carrying);
        self.check_steps(record);
        self.check_decided(record);
        self.check_cuts();
        self.check_drains(record);
        let blind = record.survey.roster.blind.is_some();
        let held = self.order(&OverrideKey::Hold(name("app"))) && !blind;
        let desired = record.survey.decisions[&name("app")].desired;
        demand!(self, !held || desired >= 3, "held at 3, and {desired} desired");
    }

    /// Notes since when EC2's list, as far as it could be had, has lacked each instance that EC2 shows at
    /// other times.
    fn note_hidden(&mut self, record: &TickRecord) {
        let Ok(listed) = &record.survey.seen.instances else { return };
        let whole = record.survey.seen.gap.is_none();
        let state = self.simulation.front.state();
        let now = state.world.now();
        for machine in state.world.shown() {
            if listed.contains_key(&machine.id) {
                self.hidden_since.remove(&machine.id);
            } else if whole {
                self.hidden_since.entry(machine.id.clone()).or_insert(now);
            }
        }
    }

    fn note_planned(&mut self, record: &TickRecord) {
        let now = self.simulation.now();
        for step in &record.survey.plan.steps {
            if let Act::Launch(request) = &step.act {
                self.planned.insert(request.token.clone(), now);
            }
        }
    }

    /// S1, S11, S25, S28.
    fn check_calls(&self, record: &TickRecord, carrying: &BTreeSet<InstanceId>) {
        demand!(self, record.calls.len() <= CALLS_AT_MOST, "{} calls", record.calls.len());
        for call in &record.calls {
            let instance = match &call.what {
                What::Launch { .. } => continue,
                What::Register { instance, .. }
                | What::Deregister { instance, .. }
                | What::Drain { instance, .. }
                | What::EndSignal { instance, .. }
                | What::Terminate { instance, .. } => instance,
            };
            demand!(self, *instance != self.foreign, "somebody else's instance: {call:?}");
            if let What::Terminate { instance, proof, .. } = &call.what {
                let ordered = self.order(&OverrideKey::Keep(instance.clone()));
                let tagged = record.survey.seen.instances.as_ref().is_ok_and(|listed| {
                    listed.get(instance).is_some_and(|instance| instance.tags.keep)
                });
                demand!(self, !ordered && !tagged, "{instance} is terminated and was to be kept");
                let carries = carrying.contains(instance);
                demand!(self, !carries, "{instance} is terminated and carries traffic ({proof})");
            }
        }
    }

    /// The servers that decisions name are retired in the same tick: what `limits.terminate` holds back is
    /// not decided. Only an unhealthy server, of which the decision knows nothing, may take the room of one.
    fn check_decided(&self, record: &TickRecord) {
        let survey = &record.survey;
        let steps = survey.plan.steps.iter().chain(&survey.plan.withheld);
        let (mut begun, mut unhealthy) = (BTreeSet::new(), 0_usize);
        for step in steps {
            if let Act::Retire { token, why, .. } = &step.act {
                begun.insert(token);
                unhealthy += usize::from(matches!(why, RetireReason::Sick { .. }));
            }
        }
        let decided = survey.decisions.values().flat_map(|decision| &decision.retire);
        let missing: Vec<_> = decided.filter(|token| !begun.contains(token)).collect();
        demand!(self, missing.len() <= unhealthy, "decided and not planned: {missing:?}");
    }

    /// S4, S7, S8, S9, S13, S16.
    fn check_steps(&mut self, record: &TickRecord) {
        let now = self.simulation.now();
        for step in &record.survey.plan.steps {
            let paused = self.order(&OverrideKey::Pause(step.fleet.clone()));
            match &step.act {
                Act::Launch(_) | Act::Replay { .. } => {
                    demand!(self, !paused, "a launch for {}, which is paused", step.fleet);
                }
                Act::Retire { instance, why, .. } => {
                    self.retired.push((instance.clone(), now));
                    match why {
                        RetireReason::ScaleIn => {
                            demand!(self, !paused, "{instance} goes from a paused fleet");
                            self.check_scale_in(record, &step.fleet, instance);
                        }
                        RetireReason::Sick { .. } => self.check_sick(record, &step.fleet, instance),
                        RetireReason::NeverHealthy { .. }
                        | RetireReason::StuckPending { .. }
                        | RetireReason::Operator { .. } => {}
                    }
                }
                // What is taken back is no end of a server.
                Act::Reclaim { instance, .. } => {
                    self.retired.retain(|(other, _)| other != instance);
                }
                Act::Register { .. }
                | Act::Drain { .. }
                | Act::EndSignal { .. }
                | Act::Deregister { .. }
                | Act::Terminate { .. } => {}
            }
        }
        for left in &record.survey.plan.left_out {
            demand!(self, !matches!(left.why, Limit::Audit(_)), "a defect: {:?}", left.why);
        }
        let blind = record.survey.roster.blind.is_some();
        for decision in record.survey.decisions.values().filter(|decision| decision.is_frozen()) {
            demand!(self, blind, "{} is not decided: {:?}", decision.fleet, decision.because);
        }
        let times: Vec<Timestamp> = self.retired.iter().map(|(_, at)| *at).collect();
        if times.last() == Some(&now) {
            self.check_rate("retirements", &times, RETIREMENTS);
        }
    }

    /// No job is interrupted by scale-in before the deadline that its server was told, unless the queue
    /// lies about who is busy.
    fn check_cuts(&mut self) {
        let cuts = std::mem::take(&mut self.simulation.front.state().cuts);
        for cut in cuts {
            let books = &self.simulation.journal.ledger().servers;
            let Some(record) = books.of_instance(&cut.instance) else { continue };
            let policy = &self.simulation.policy.fleets[&record.fleet];
            let by_scale_in =
                record.retirement.as_ref().is_some_and(|r| r.why == RetireReason::ScaleIn);
            let drains = policy.drain_terms().is_some();
            let lies = self.options.troubles.contains(&Trouble::LyingQueue);
            if !by_scale_in || !drains || (lies && record.fleet == name("work")) {
                continue;
            }
            let over = cut.deadline.is_some_and(|deadline| cut.at >= deadline);
            demand!(self, over, "{} jobs on {} are interrupted", cut.jobs, cut.instance);
        }
    }

    /// No window of time has more than there may be, whatever the host's clock said meanwhile.
    fn check_rate(&self, what: &str, times: &[Timestamp], (most, per): (usize, Duration)) {
        for end in times {
            let from = time::before(*end, per);
            let within = times.iter().filter(|at| **at > from && *at <= end).count();
            demand!(self, within <= most, "{within} {what} within {}", time::text(per));
        }
    }

    /// Where every server looks sick, only those go that are; and where none is wanted, none is
    /// missed.
    fn check_sick(&self, record: &TickRecord, fleet: &FleetName, id: &InstanceId) {
        let view = &record.survey.roster.fleets[fleet];
        let serving = view.servers.iter().filter(|server| server.record.in_service_at.is_some());
        let alone = serving.count() < 2;
        let (all, serves) = {
            let world = &self.simulation.front.state().world;
            let machine = world.machine(id);
            (world.looks_sick(), machine.is_some_and(|machine| machine.serves(world.now())))
        };
        let wanted = record.survey.decisions[fleet].desired > 0;
        let wrong = all && serves && wanted && !alone;
        demand!(self, !wrong, "{id} goes although every page fails");
    }

    /// Scale-in follows from a reading or from the schedule, and takes nobody before its time, nor
    /// one that is needed.
    fn check_scale_in(&self, record: &TickRecord, fleet: &FleetName, id: &InstanceId) {
        // By the world's clock, whatever the host's says.
        let now = self.simulation.now();
        let policy = &self.simulation.policy.fleets[fleet];
        let (launched_at, jobs, lie) = {
            let state = self.simulation.front.state();
            let machine = state.world.machine(id).unwrap();
            let told = policy.queue.as_ref().is_some_and(|queue| Telling::of(&queue.source).busy);
            let queue = state.queues.get(fleet).filter(|_| told);
            let busy = queue.and_then(|queue| queue.depth().work.busy);
            let jobs = busy.and_then(|busy| busy.get(&machine.id).copied());
            (machine.launch_time(), jobs, state.lie(fleet))
        };
        let up = time::since(now, launched_at);
        let minimum = policy.minimum_uptime;
        demand!(self, up >= minimum, "{id} goes after {}", time::text(up));
        let drains = policy.drain_terms().is_some();
        // One that drains is told as early as its jobs usually take.
        if policy.billing == Billing::Hour && !drains {
            // Early in an hour that is paid is too early, unless the drain would not end within it.
            let into = Duration::from_secs(up.as_secs() % 3600);
            let early = into < Duration::from_mins(40);
            demand!(self, !early, "{id} goes {} into a paid hour", time::text(into));
        }
        let view = &record.survey.roster.fleets[fleet];
        let decision = &record.survey.decisions[fleet];
        let desired = decision.desired;
        let cancelled = u32::try_from(decision.cancel_drains.len()).unwrap();
        let capacity = view.capacity() + cancelled;
        demand!(self, capacity > desired, "{id} goes, with {capacity} of {desired}");
        // Where the queue tells who is busy, and tells the truth. The reading that decides is of this
        // very instant.
        let jobs = jobs.unwrap_or(0);
        let told = policy.queue.as_ref().is_some_and(|queue| queue.source.json.is_some());
        let idle = jobs == 0 || lie.is_some() || drains || !told;
        demand!(self, idle, "{id} goes with {jobs} jobs on it");
        if *fleet != name("app") {
            let reading = view.memory.last_reading();
            let known = reading.is_some_and(|reading| reading.depth.is_ok());
            demand!(self, known, "{id} goes although the queue cannot be read");
        }
    }

    /// S2, S3, S5, S6, S29, and that nobody else's instance is touched.
    pub(super) fn check_world(&mut self) {
        let Look { new, alive, lost, broken } = self.look_around();
        if let Some(law) = broken {
            self.fail(&law);
        }
        self.check_sizes(&alive);
        self.alive_before = alive;
        self.lost.extend(lost);
        for (token, id) in new {
            self.tokens.insert(token.clone(), id);
            self.check_launch(&token);
        }
    }

    /// S3. A journal that lost what was asked for a minute ago may ask again. What is too much by
    /// that goes when its hour is paid, or stays where only `limits.instances` is passed and each fleet
    /// wants what it has. It never grows.
    fn check_sizes(&self, alive: &BTreeMap<String, u32>) {
        if self.recovers() {
            return;
        }
        let (all, before): (u32, u32) = (alive.values().sum(), self.alive_before.values().sum());
        let most = before.max(INSTANCES_AT_MOST);
        demand!(self, all <= most, "{all} alive, {most} at most");
        for (fleet, alive) in alive {
            let max = self.simulation.policy.fleets[&name(fleet)].bounds.max();
            let most = self.alive_before.get(fleet).map_or(max, |before| max.max(*before));
            demand!(
                self,
                *alive <= most,
                "{alive} of {fleet} alive, {most} at most, and max is {max}"
            );
        }
    }

    fn look_around(&self) -> Look {
        let exact = !self.recovers();
        let books = &self.simulation.journal.ledger().servers;
        let state = self.simulation.front.state();
        let now = state.world.now();
        let mut alive: BTreeMap<String, u32> = BTreeMap::new();
        let (mut new, mut lost, mut broken) = (Vec::new(), Vec::new(), None);
        for machine in state.world.shown() {
            let (id, token) = (&machine.id, &machine.request.token);
            let lifecycle = machine.lifecycle(now);
            if *id == self.foreign {
                if !self.may_be_of_the_foreign(lifecycle) {
                    broken = Some(format!("somebody else's instance is {lifecycle:?}"));
                }
                continue;
            }
            match self.tokens.get(token) {
                Some(known) if known == id => {}
                Some(_) => broken = Some(format!("two instances for {token}")),
                None => {
                    let tags = &machine.request.tags;
                    if ![tag::INSTALL, tag::FLEET, tag::ROLE]
                        .iter()
                        .all(|key| tags.contains_key(*key))
                    {
                        broken = Some(format!("{id} has {tags:?}"));
                    }
                    new.push((token.clone(), id.clone()));
                }
            }
            if !lifecycle.is_alive() {
                continue;
            }
            let record = books.get(token);
            let findable = machine.tags().contains_key(tag::INSTALL)
                || record.is_some_and(ServerRecord::is_open);
            if !findable || record.is_some_and(|record| self.is_given_up_unseen(record, id, &state))
            {
                lost.push(id.clone());
            }
            // What a person starts again beside its replacement is nobody's launch.
            let counted = findable && !lost.contains(id) && !self.lost.contains(id);
            if counted && machine.started_at.is_none() {
                let fleet = machine.request.tags.get(tag::FLEET).map_or("none", String::as_str);
                *alive.entry(fleet.to_owned()).or_default() += 1;
            }
            if findable && exact && record.is_none() {
                broken = Some(format!("{id} is in no book"));
            }
        }
        Look { new, alive, lost, broken }
    }

    /// B04, A23: one that EC2 did not list for so long that its absence was believed is one too many
    /// once it is listed again.
    fn is_given_up_unseen(&self, record: &ServerRecord, id: &InstanceId, state: &State) -> bool {
        let now = state.world.now();
        let patience = match record.gone.as_ref().map(|gone| &gone.how) {
            Some(GoneHow::Vanished) if self.is_incomplete(id, state) => BELIEVED_AFTER,
            Some(GoneHow::Vanished) => VANISHED_AFTER,
            Some(GoneHow::NeverWas) => GIVEN_UP_AFTER,
            Some(GoneHow::Retired | GoneHow::BehindOurBack(_)) | None => return false,
        };
        self.hidden_since.get(id).is_some_and(|since| time::since(now, *since) >= patience)
    }

    /// Whether EC2's list lacks, beside this instance, others that the books expect in it: more than a
    /// fifth of them in all. One that has ended is expected for an hour, and a new one not yet.
    fn is_incomplete(&self, id: &InstanceId, state: &State) -> bool {
        let now = state.world.now();
        let books = &self.simulation.journal.ledger().servers;
        let of_late = |at| time::since(now, at) < Duration::from_mins(50);
        let expected = |machine: &&Machine| {
            let record = books.of_instance(&machine.id);
            let by_absence = |record: &ServerRecord| {
                let gone = record.gone.as_ref();
                gone.is_none_or(|gone| record.absent_since.is_some() && of_late(gone.at))
            };
            let new = time::since(now, machine.launched_at) < Duration::from_mins(25);
            let ended = machine.ends.as_ref().is_some_and(|(at, _)| *at <= now && !of_late(*at));
            record.is_some_and(by_absence) && !new && !ended
        };
        let hidden = |machine: &Machine| self.hidden_since.contains_key(&machine.id);
        let missing = state.world.shown().filter(expected);
        let missing = missing.filter(|machine| hidden(machine) && machine.id != *id).count() + 1;
        let all = books.open().count() + missing;
        missing > all.div_euclid(5).max(1)
    }

    /// It may die of its own accord, or at a person's hand, or be taken back.
    fn may_be_of_the_foreign(&self, lifecycle: Lifecycle) -> bool {
        let mortal =
            [Trouble::ConsoleKill, Trouble::DieYoung, Trouble::SpotReclaim, Trouble::ConsoleStop];
        mortal.iter().any(|trouble| self.options.troubles.contains(trouble))
            || matches!(lifecycle, Lifecycle::Running | Lifecycle::Pending)
    }

    /// The brake on launches, by when those were planned that there came to be a server of.
    fn check_launch(&mut self, token: &Token) {
        let Some(record) = self.simulation.journal.ledger().servers.get(token) else { return };
        // Found again after a loss, it was planned by nobody who knows.
        let known = record.request.is_some() && !self.options.is_early();
        let Some(at) = self.planned.get(token).filter(|_| known) else { return };
        self.launched.push((token.clone(), *at));
        let known = self.launched.iter().filter(|(token, _)| self.is_findable(token));
        let times: Vec<Timestamp> = known.map(|(_, at)| *at).collect();
        self.check_rate("launches", &times, LAUNCHES);
    }

    /// B09: one whose tag somebody took off before any answer or list told of it is given up, and counts
    /// for nothing until the tag is back.
    fn is_findable(&self, token: &Token) -> bool {
        let known = self.simulation.journal.ledger().servers.get(token);
        let state = self.simulation.front.state();
        let untagged = state.world.machines().find(|machine| machine.request.token == *token);
        let untagged = untagged.is_some_and(|machine| !machine.tags().contains_key(tag::INSTALL));
        known.is_some_and(|record| record.instance().is_some() || record.is_open()) || !untagged
    }
}
