//! One fleet of a policy over a load trace, in virtual time: the daemon's own spine over the imagined
//! cloud, with what it cost and who waited.

#[cfg(test)]
mod goals;
pub mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::series::{Series, Watch};
use super::Simulation;
use super::load::{Interruption, Load, Queue};
use super::report::{paid, share};
use super::telling::Telling;
use super::trace::{Length, Trace};
use super::world::Settings;
use crate::ports::{Store, StoreFault};
use crate::prices::{Cost, PriceList};
use crate::tick::{Survey, TickRecord};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Change, EventKind, Ledger};
use tidegate_engine::model::plan;
use tidegate_engine::model::reading::Depth;
use tidegate_engine::model::roster::{Phase, Server};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Billing, FleetPolicy, Policy};

/// What is imagined.
#[derive(Debug, Clone)]
pub struct Setting {
    pub seed: u64,
    /// From launch to in service.
    pub boot: Duration,
    pub jobs_at_once: usize,
    /// What the queue tells besides its length.
    pub tells: Telling,
    pub interruption: Interruption,
    /// The wait that jobs are held against.
    pub goal: Duration,
}

/// A fleet of a policy, to be run over a trace.
#[derive(Debug)]
pub struct Backtest<'a> {
    pub policy: &'a Policy,
    pub fleet: &'a FleetName,
    pub trace: &'a Trace,
    pub setting: &'a Setting,
    pub prices: &'a PriceList,
}

/// What it came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub from: Timestamp,
    pub to: Timestamp,
    /// If hours are billed, and if seconds are.
    pub cost_by_hour: Cost,
    pub cost_by_second: Cost,
    /// What the policy itself says.
    pub billing: Billing,
    pub server_time: Duration,
    /// In service without a job.
    pub idle: Duration,
    pub launches: u64,
    /// Launches within half an hour of an end, and ends within half an hour of a launch.
    pub reversals: u64,
    pub at_max: Duration,
    pub span: Span,
    /// `None`: the trace has lengths, not jobs.
    pub jobs: Option<Jobs>,
    /// The latest decision before the job that waited longest began to wait.
    pub worst: Option<Worst>,
    /// The same over time.
    pub series: Series,
}

/// What can be told of a real past too, from its first reading to its last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Span {
    pub server_time: Duration,
    pub launches: u64,
    /// Jobs waiting, over the readings.
    pub waiting: Waiting,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Waiting {
    readings: u64,
    sum: u64,
    pub most: u64,
}

impl Waiting {
    pub fn add(&mut self, waiting: u64) {
        self.readings += 1;
        self.sum += waiting;
        self.most = self.most.max(waiting);
    }

    pub fn mean(&self) -> f64 {
        let float = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        float(self.sum) / float(self.readings.max(1))
    }
}

/// Jobs, each counted once, and their waits from the first arrival to the start of the last run.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub started: u64,
    /// Neither done nor lost at the end.
    pub unfinished: u64,
    /// Runs that the end of a server interrupted.
    pub interrupted: u64,
    /// Jobs that were interrupted and never run again; not among `started`.
    pub lost: u64,
    pub mean: Duration,
    /// Lost, or still waiting at the end for longer than the goal; not among `started`.
    pub missed: u64,
    /// Of the started jobs, sorted.
    pub waits: Vec<Duration>,
    /// Started jobs that waited longer than the goal, and `missed`.
    pub over_goal: u64,
}

#[derive(Debug, Clone)]
pub struct Worst {
    pub arrived: Timestamp,
    pub waited: Duration,
    pub decided: Option<(Timestamp, String)>,
}

/// After the last arrival, work may take so much longer before it is left unfinished.
const AFTERWARDS: Duration = Duration::from_hours(48);

/// More readings of the queue take minutes. A year of one a minute has 525,600.
const READINGS_AT_MOST: u64 = 600_000;

/// Undone within this time, a change had better not been made.
const REVERSED_WITHIN: Duration = Duration::from_mins(30);

/// Ticks of a simulation that looks at months need not be closer.
const TICK: Duration = Duration::from_mins(1);

impl Jobs {
    /// Returns the share of the jobs that waited longer than the goal or are lost.
    pub fn share_over(&self) -> f64 {
        share(self.over_goal, self.started + self.missed)
    }

    /// The wait that so many of 100 jobs did not exceed.
    pub fn wait(&self, percent: usize) -> Duration {
        let nth = (self.waits.len() * percent).div_ceil(100).saturating_sub(1);
        self.waits.get(nth).copied().unwrap_or_default()
    }
}

impl Backtest<'_> {
    /// Returns why the run would take too long, with what to do. How long it takes goes by how often
    /// the queue is read, whatever the number of lines in the trace.
    pub fn too_long(&self) -> Option<String> {
        let every = self.policy.fleets.get(self.fleet)?.queue.as_ref()?.every;
        let (first, last) = self.trace.span();
        let span = time::since(last, first);
        let readings = span.as_secs().checked_div(every.as_secs().max(1))?;
        (readings > READINGS_AT_MOST).then(|| {
            format!(
                "{} of load with a reading every {} are {readings} readings, and {READINGS_AT_MOST} at most are run: cut the trace, or write a longer `every` into a copy of the policy",
                time::text(span),
                time::text(every)
            )
        })
    }

    /// Runs it to its end; `progress` hears how far it is, between 0 and 1.
    pub async fn run(&self, progress: &mut (dyn FnMut(f64) + Send)) -> Result<Outcome, StoreFault> {
        self.run_by(next_look, progress).await
    }

    /// `look` says when the next tick is.
    async fn run_by(
        &self,
        look: fn(&Simulation, &FleetName, &TickRecord) -> Timestamp,
        progress: &mut (dyn FnMut(f64) + Send),
    ) -> Result<Outcome, StoreFault> {
        let Self { policy, fleet, trace, setting, prices } = *self;
        let (first, last) = trace.span();
        let from = time::before(first, Duration::from_mins(1));
        let store = Arc::new(Decisions::default());
        let mut simulation = self.imagine(from, store.clone()).await?;
        let mut at_max = Duration::ZERO;
        let mut waiting = Waiting::default();
        let max = policy.fleets.get(fleet).map_or(0, |fleet| fleet.bounds.max());
        let whole = time::since(last, from).as_secs_f64().max(1.0);
        let end = time::after(last, AFTERWARDS);
        let mut lengths = lengths(trace);
        let mut watch = Watch::new(from, last, &policy.zone);
        loop {
            let now = simulation.now();
            while let Some(length) = lengths.next_if(|length| length.at <= now) {
                let Length { waiting, oldest, .. } = length;
                let depth = Depth { oldest, ..Depth::of(waiting) };
                simulation.front.state().pin_depth(fleet.clone(), depth);
            }
            let record = simulation.tick().await?;
            let view = record.survey.roster.fleets.get(fleet).map(Box::as_ref);
            let reading = view.and_then(|view| view.memory.last_reading());
            if let Some(depth) = reading.filter(|at| at.at == now && now <= last)
                && let Ok(depth) = &depth.depth
            {
                waiting.add(depth.waiting);
            }
            let over = now >= end || (now >= last && is_over(&simulation, fleet));
            if over && view.is_none_or(|view| view.servers.is_empty() || now >= end) {
                break;
            }
            let full = view.is_some_and(|view| view.capacity() >= max);
            let next = look(&simulation, fleet, &record);
            let next = lengths.peek().map_or(next, |length| length.at.min(next));
            if full {
                at_max += time::since(next, now);
            }
            // A fleet that keeps a minimum never empties: an hour after the last job is enough.
            if over && now >= time::after(last, Duration::from_hours(1)) && !draining(view) {
                break;
            }
            simulation.advance(next);
            let idle =
                simulation.front.state().queues.get(fleet).map_or(Duration::ZERO, |q| q.idle);
            watch.turn((now, next), idle, drained(view));
            progress((time::since(now, from).as_secs_f64() / whole).min(1.0));
        }
        let series = watch.series(&simulation.front.state(), (fleet, trace), setting.goal, prices);
        let mut outcome = self.sum_up(&simulation, &store, (at_max, series));
        let state = simulation.front.state();
        for machine in state.world.machines().filter(|machine| machine.launched_at <= last) {
            let ends = machine.ends.as_ref().map_or(last, |(at, _)| (*at).min(last));
            outcome.span.server_time += time::since(ends, machine.launched_at);
            outcome.span.launches += 1;
        }
        outcome.span.waiting = waiting;
        drop(state);
        Ok(outcome)
    }

    /// The one fleet, set to act, alone in its world.
    async fn imagine(
        &self,
        from: Timestamp,
        store: Arc<Decisions>,
    ) -> Result<Simulation, StoreFault> {
        let Self { policy, fleet, trace, setting, .. } = *self;
        let mut policy = policy.acting();
        policy.tick = policy.tick.max(TICK);
        policy.fleets.retain(|name, _| name == fleet);
        let world = Settings {
            seed: setting.seed,
            start: (setting.boot, setting.boot),
            deploy: (Duration::ZERO, Duration::ZERO),
            ..Settings::default()
        };
        let none = Load {
            per_hour: vec![0.0],
            start: from,
            job_takes: Duration::from_mins(1),
            jobs_at_once: setting.jobs_at_once,
            interruption: setting.interruption,
        };
        let loads = BTreeMap::from([(fleet.clone(), none)]);
        let simulation = Simulation::new(policy, world, loads, store, from).await?;
        simulation.front.state().assume(fleet.clone(), setting.tells);
        if let Trace::Jobs(jobs) = trace {
            let Setting { jobs_at_once, interruption, .. } = *setting;
            let queue = Queue::given(jobs.iter().copied(), jobs_at_once, interruption, from);
            simulation.front.state().queues.insert(fleet.clone(), queue);
        }
        Ok(simulation)
    }

    fn sum_up(
        &self,
        simulation: &Simulation,
        store: &Decisions,
        (at_max, series): (Duration, Series),
    ) -> Outcome {
        let Self { fleet, setting, prices, .. } = *self;
        let state = simulation.front.state();
        let now = state.world.now();
        let billing = simulation.policy.fleets.get(fleet).map_or(Billing::Second, |f| f.billing);
        let mut outcome = Outcome {
            from: series.from,
            to: now,
            cost_by_hour: Cost::default(),
            cost_by_second: Cost::default(),
            billing,
            server_time: Duration::ZERO,
            idle: Duration::ZERO,
            launches: 0,
            reversals: 0,
            at_max,
            span: Span::default(),
            jobs: None,
            worst: None,
            series,
        };
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for machine in state.world.machines() {
            let billed = machine.billed(now);
            let of_type = machine.request.pool.instance_type.as_deref();
            let hours = |billing| paid(billed, billing).as_secs_f64() / 3600.0;
            outcome.cost_by_hour.add(of_type, hours(Billing::Hour), prices);
            outcome.cost_by_second.add(of_type, hours(Billing::Second), prices);
            outcome.server_time += billed;
            outcome.launches += 1;
            begun.push(machine.launched_at);
            ended.extend(machine.ends.as_ref().map(|(at, _)| *at).filter(|at| *at <= now));
        }
        outcome.reversals = reversals(&mut begun, &mut ended);
        if let Some(queue) = state.queues.get(fleet).filter(|queue| queue.arrived > 0) {
            outcome.idle = queue.idle;
            let longest = queue.started().max_by_key(|job| job.waited);
            outcome.worst = longest.map(|job| Worst {
                arrived: job.arrived,
                waited: job.waited,
                decided: store.before(time::after(job.arrived, job.waited)),
            });
            outcome.jobs = Some(jobs(queue, setting.goal));
        }
        outcome
    }
}

/// When to look next. A daemon looks every few seconds in case something has changed that nobody
/// foresaw. Here it is foreseen: while every server serves, the next thing to happen is a reading or
/// the time that the decision names; while one boots or ends, the tick after the world's next event.
fn next_look(simulation: &Simulation, fleet: &FleetName, record: &TickRecord) -> Timestamp {
    let Survey { roster, decisions, seen, .. } = &*record.survey;
    let (Some(view), Some(decision), Some(fleet)) =
        (roster.fleets.get(fleet), decisions.get(fleet), simulation.policy.fleets.get(fleet))
    else {
        return record.next;
    };
    let serves = view.servers.iter().all(|server| server.phase == Phase::InService);
    let event = if serves && record.calls.is_empty() && decision.desired == decision.capacity {
        None
    } else if is_foreseen(fleet, record) {
        let Some(event) = simulation.front.state().world.next_event(|_| true) else {
            return record.next;
        };
        Some(tick_after(seen.now, event, simulation.policy.tick))
    } else {
        return record.next;
    };
    let last = view.memory.last_reading().map(|reading| reading.at);
    let poll = fleet.poll_due(last, seen.now);
    let times = [event, poll, decision.next_look].into_iter().flatten();
    times.filter(|at| *at > seen.now).min().unwrap_or(record.next)
}

/// Whether all that is begun ends by itself: nobody has to be asked again, or registered.
fn is_foreseen(fleet: &FleetPolicy, record: &TickRecord) -> bool {
    let done = record.outcomes.iter().all(|outcome| matches!(outcome, plan::Outcome::Done(_)));
    let whole = record.survey.plan.left_out.is_empty();
    let drains =
        record.survey.roster.fleets.get(&fleet.name).is_some_and(|view| {
            view.servers.iter().any(|server| server.record.retirement.is_some())
        });
    // The jobs of a server that drains end at no event of the world.
    let drains = drains && fleet.drain_terms().is_some();
    fleet.balancer.is_none() && fleet.health.is_none() && done && whole && !drains
}

fn tick_after(now: Timestamp, event: Timestamp, tick: Duration) -> Timestamp {
    let ticks = time::since(event, now).as_secs_f64() / tick.as_secs_f64();
    time::after(now, tick.mul_f64(ticks.ceil().max(1.0)))
}

fn draining(view: Option<&tidegate_engine::model::roster::FleetView>) -> bool {
    let going = |phase: &Phase| matches!(phase, Phase::Draining | Phase::Terminating);
    view.is_some_and(|view| view.servers.iter().any(|server| going(&server.phase)))
}

fn drained(view: Option<&tidegate_engine::model::roster::FleetView>) -> usize {
    let drains = |server: &&Server| server.phase == Phase::Draining;
    view.map_or(0, |view| view.servers.iter().filter(drains).count())
}

fn is_over(simulation: &Simulation, fleet: &FleetName) -> bool {
    simulation.front.state().queues.get(fleet).is_none_or(Queue::is_over)
}

fn lengths(trace: &Trace) -> std::iter::Peekable<std::vec::IntoIter<Length>> {
    let lengths = match trace {
        Trace::Lengths(lengths) => lengths.clone(),
        Trace::Jobs(_) => Vec::new(),
    };
    lengths.into_iter().peekable()
}

fn jobs(queue: &Queue, goal: Duration) -> Jobs {
    let mut waits: Vec<Duration> = queue.started().map(|job| job.waited).collect();
    waits.sort_unstable();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let missed = count(queue.missed(goal).count());
    let all: Duration = waits.iter().sum();
    let mean = all.checked_div(u32::try_from(waits.len()).unwrap_or(u32::MAX)).unwrap_or_default();
    Jobs {
        started: count(waits.len()),
        unfinished: queue.arrived.saturating_sub(queue.done + queue.lost),
        interrupted: queue.interrupted,
        lost: queue.lost,
        missed,
        mean,
        over_goal: count(waits.iter().filter(|wait| **wait > goal).count()) + missed,
        waits,
    }
}

/// Ends that follow a launch, and launches that follow an end, within half an hour; each end is
/// held against the launch of another server, the latest before it.
fn reversals(begun: &mut [Timestamp], ended: &mut [Timestamp]) -> u64 {
    let close = |earlier: &[Timestamp], later: &[Timestamp]| {
        let follows = later.iter().filter(|at| {
            let before = earlier.partition_point(|other| other < *at);
            let latest = before.checked_sub(1).and_then(|nth| earlier.get(nth));
            latest.is_some_and(|latest| time::since(**at, *latest) <= REVERSED_WITHIN)
        });
        u64::try_from(follows.count()).unwrap_or(u64::MAX)
    };
    begun.sort_unstable();
    ended.sort_unstable();
    close(begun, ended) + close(ended, begun)
}

/// A store that remembers what was decided, for the worst moment, and nothing else: nobody restarts.
#[derive(Debug, Default)]
struct Decisions(Mutex<Vec<(Timestamp, String)>>);

impl Decisions {
    fn before(&self, at: Timestamp) -> Option<(Timestamp, String)> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.partition_point(|(decided, _)| *decided <= at);
        told.get(before.checked_sub(1)?).cloned()
    }
}

#[async_trait]
impl Store for Decisions {
    async fn load(&self, _: Timestamp) -> Result<Ledger, StoreFault> {
        Ok(Ledger::default())
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StoreFault> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if let Change::Event(event) = change
                && event.kind == EventKind::Decision
            {
                told.push((event.at, event.text.clone()));
            }
        }
        Ok(())
    }
}
