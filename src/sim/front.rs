//! The imagined world's front in process: the ports of a tick, answered from [`World`] in virtual
//! time. Nothing here waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use super::faults::Trouble;
use super::load::Queue;
use super::members::missing;
use super::telling::Telling;
use super::world::World;
use crate::ports::{Balancers, Clock, Cloud, HealthQuery, Probe, QueueQuery};
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, InstanceId};
use tidegate_engine::model::launch::{LaunchRequest, tag};
use tidegate_engine::model::reading::{Depth, Health, Recent, Work};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::model::volume::Volume;
use tidegate_engine::model::warning::Warning;

/// The world and its work, shared by all ports of one simulation.
#[derive(Debug, Clone)]
pub struct Front(Arc<Mutex<State>>);

#[derive(Debug)]
pub struct State {
    pub world: World,
    pub queues: BTreeMap<FleetName, Queue>,
    /// Set by hand; they stand above what the queue itself would say.
    pinned: BTreeMap<FleetName, Pinned>,
    /// What a queue tells whatever the policy reads, where an option says so.
    assumed: BTreeMap<FleetName, Telling>,
    checks: BTreeMap<InstanceId, Recent>,
    /// What a queue said when it began to say the same.
    frozen: BTreeMap<FleetName, Depth>,
    /// Our terminations that interrupted jobs.
    pub cuts: Vec<Cut>,
}

/// A termination of ours that interrupted jobs.
#[derive(Debug, Clone)]
pub struct Cut {
    pub instance: InstanceId,
    pub at: Timestamp,
    pub jobs: u64,
    /// The deadline by which it was told to finish them, if it was.
    pub deadline: Option<Timestamp>,
}

/// What a queue endpoint answers whatever its queue holds.
#[derive(Debug, Clone)]
enum Pinned {
    Unreadable,
    /// So many jobs, the oldest since then.
    Waiting(u64, Timestamp),
    Exactly(Depth),
}

/// How a queue endpoint lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The same as at the first time.
    Frozen,
    /// Nobody waits.
    None,
    /// A thousand times as many.
    Thousandfold,
    /// Totals that began anew.
    FromZero,
}

impl State {
    /// Lets time pass for servers and jobs alike, from event to event: until the next one, those
    /// work that serve now. What befalls servers without a queue changes nothing for the jobs.
    pub fn advance(&mut self, to: Timestamp) {
        loop {
            let fleets = |fleet: &FleetName| self.queues.contains_key(fleet);
            let event = self.world.next_event(fleets);
            let until = event.map_or(to, |event| event.min(to));
            self.work(until);
            self.world.advance(until);
            if until >= to {
                break;
            }
        }
        // Who serves from this very instant on takes a job at once; who has ended drops its own.
        self.work(to);
    }

    fn work(&mut self, until: Timestamp) {
        for (fleet, queue) in &mut self.queues {
            let world = &self.world;
            let closed = |id: &InstanceId| {
                world.machine(id).is_some_and(|machine| machine.receiver.is_closed(world.now()))
            };
            queue.advance(until, world.serving(fleet), closed);
        }
        let queues = &self.queues;
        let fleets = self.world.shown().filter(|machine| machine.receiver.closed_at.is_some());
        let fleets: BTreeMap<InstanceId, Option<FleetName>> =
            fleets.map(|machine| (machine.id.clone(), machine.fleet().cloned())).collect();
        if !fleets.is_empty() {
            self.world.power_off(until, |id| {
                let queue = fleets.get(id)?.as_ref().and_then(|fleet| queues.get(fleet));
                queue.map_or(Some(Timestamp::MIN), |queue| queue.free_since(id))
            });
        }
    }

    /// An HTTP receiver is told to drain an instance, or to go on with it. Returns how many jobs the
    /// instance runs.
    pub fn receive(&mut self, id: &InstanceId, drain: bool) -> Result<u64, String> {
        if self.world.has(Trouble::DeadQueue) && self.is_dead() {
            return Err("HTTP 503".to_owned());
        }
        self.world.receive(id, drain)?;
        Ok(self.jobs_on(id))
    }

    /// Returns the number of jobs on an instance.
    fn jobs_on(&self, id: &InstanceId) -> u64 {
        let jobs: usize = self.queues.values().map(|queue| queue.jobs_on(id)).sum();
        u64::try_from(jobs).unwrap_or(u64::MAX)
    }

    /// Whether [`Trouble::DeadQueue`] has one of its spells.
    fn is_dead(&self) -> bool {
        self.world.now().as_second().div_euclid(600) % 2 == 1
    }

    /// Returns what the queue endpoint of a fleet answers where its source can tell `source`.
    /// [`Trouble::DeadQueue`] takes it away for ten minutes at a time.
    pub fn queue(&mut self, fleet: &FleetName, source: Telling) -> Result<Depth, String> {
        let telling = self.assumed.get(fleet).copied().unwrap_or(source);
        self.depth(fleet).map(|depth| telling.limit(depth))
    }

    fn depth(&mut self, fleet: &FleetName) -> Result<Depth, String> {
        if self.world.has(Trouble::DeadQueue) && self.is_dead() {
            return Err("HTTP 503".to_owned());
        }
        match self.pinned.get(fleet) {
            Some(Pinned::Unreadable) => return Err("HTTP 503".to_owned()),
            Some(Pinned::Waiting(waiting, since)) => {
                let age = time::since(self.world.now(), *since);
                let oldest = (*waiting > 0).then_some(age);
                return Ok(Depth { oldest, ..Depth::of(*waiting) });
            }
            Some(Pinned::Exactly(depth)) => return Ok(depth.clone()),
            None => {}
        }
        let truth =
            self.queues.get(fleet).map(Queue::depth).ok_or_else(|| "HTTP 404".to_owned())?;
        Ok(self.told(fleet, truth))
    }

    fn terminate(&mut self, id: &InstanceId) -> Result<(), Fault> {
        let jobs = self.jobs_on(id);
        self.world.terminate(id)?;
        if jobs > 0 {
            let machine = self.world.machine(id);
            let told = machine.and_then(|machine| machine.tags().get(tag::DRAIN)?.parse().ok());
            self.cuts.push(Cut {
                instance: id.clone(),
                at: self.world.now(),
                jobs,
                deadline: told,
            });
        }
        Ok(())
    }

    /// The lie that a queue endpoint tells now, if it does.
    pub fn lie(&self, fleet: &FleetName) -> Option<Lie> {
        let (every, lasts) = (Duration::from_hours(1), Duration::from_mins(15));
        if !self.world.spell(Trouble::LyingQueue, fleet.as_str(), every, lasts) {
            return None;
        }
        let hour = self.world.now().as_second().div_euclid(3600);
        Some(match hour.rem_euclid(4) {
            0 => Lie::Frozen,
            1 => Lie::None,
            2 => Lie::Thousandfold,
            _ => Lie::FromZero,
        })
    }

    fn told(&mut self, fleet: &FleetName, truth: Depth) -> Depth {
        let Some(lie) = self.lie(fleet) else {
            self.frozen.remove(fleet);
            return truth;
        };
        match lie {
            Lie::Frozen => self.frozen.entry(fleet.clone()).or_insert(truth).clone(),
            Lie::None => Depth { waiting: 0, oldest: None, ..truth },
            Lie::Thousandfold => {
                Depth { waiting: truth.waiting.saturating_add(1).saturating_mul(1000), ..truth }
            }
            Lie::FromZero => {
                let from_zero = |count: Option<u64>| count.map(|count| count % 10);
                let (arrived, completed) =
                    (from_zero(truth.work.arrived), from_zero(truth.work.completed));
                Depth { work: Work { arrived, completed, ..truth.work }, ..truth }
            }
        }
    }

    /// From now on the queue endpoint of `fleet` says `waiting`, whatever its queue holds.
    pub fn pin(&mut self, fleet: FleetName, waiting: u64) {
        self.pinned.insert(fleet, Pinned::Waiting(waiting, self.world.now()));
    }

    /// From now on the queue endpoint of `fleet` answers `depth`, and nothing that is not in it.
    pub fn pin_depth(&mut self, fleet: FleetName, depth: Depth) {
        self.pinned.insert(fleet, Pinned::Exactly(depth));
    }

    /// From now on the queue endpoint of `fleet` tells these fields, whatever the policy reads.
    pub fn assume(&mut self, fleet: FleetName, telling: Telling) {
        self.assumed.insert(fleet, telling);
    }

    /// From now on the queue endpoint of `fleet` fails.
    pub fn pin_unreadable(&mut self, fleet: FleetName) {
        self.pinned.insert(fleet, Pinned::Unreadable);
    }
}

impl Front {
    pub fn new(world: World, queues: BTreeMap<FleetName, Queue>) -> Self {
        Self(Arc::new(Mutex::new(State {
            world,
            queues,
            pinned: BTreeMap::new(),
            assumed: BTreeMap::new(),
            checks: BTreeMap::new(),
            frozen: BTreeMap::new(),
            cuts: Vec::new(),
        })))
    }

    /// The world itself, for whoever drives it or looks at it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Front {
    fn now(&self) -> Timestamp {
        let state = self.state();
        let (now, ahead) = (state.world.now(), state.world.clock_ahead());
        if ahead.is_zero() { now } else { now.checked_add(ahead).unwrap_or(now) }
    }
}

#[async_trait]
impl Cloud for Front {
    async fn instances(&self, install: &str) -> Result<Vec<Instance>, Fault> {
        self.state().world.instances(install)
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        Some(self.state().world.clock_ahead())
    }

    async fn account(&self) -> Option<Account> {
        Some(self.state().world.account().clone())
    }

    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        self.state().world.instances_by_id(ids)
    }

    async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        self.state().world.instances_named(ids)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, Fault> {
        self.state().world.launch(request)
    }

    async fn free_volumes(&self, install: &str) -> Result<Vec<Volume>, Fault> {
        let mut state = self.state();
        state.world.admit("DescribeVolumes")?;
        Ok(state.world.free_volumes(install))
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Fault> {
        let mut state = self.state();
        state.world.admit("DescribeInstanceStatus")?;
        Ok(state.world.warnings.clone())
    }

    async fn tag_drain(&self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        self.state().world.tag_drain(id, value)
    }

    async fn untag_drain(&self, id: &InstanceId) -> Result<(), Fault> {
        self.state().world.untag_drain(id)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), Fault> {
        self.state().terminate(id)
    }
}

#[async_trait]
impl Balancers for Front {
    async fn members(
        &self,
        balancer: &Balancer,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        let mut state = self.state();
        state.world.admit("DescribeInstanceHealth")?;
        let now = state.world.now();
        state.world.members.describe(balancer, now)
    }

    async fn drain(&self, balancer: &Balancer) -> Result<Option<Duration>, Fault> {
        let mut state = self.state();
        state.world.admit("DescribeLoadBalancerAttributes")?;
        let drain = state.world.members.drain(balancer).ok_or_else(|| missing(balancer))?;
        Ok(Some(drain).filter(|drain| !drain.is_zero()))
    }

    async fn register(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        let mut state = self.state();
        state.world.admit("RegisterInstancesWithLoadBalancer")?;
        state.world.register(balancer, id)
    }

    async fn deregister(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        let mut state = self.state();
        state.world.admit("DeregisterInstancesFromLoadBalancer")?;
        let now = state.world.now();
        state.world.members.deregister(balancer, id, now)
    }
}

#[async_trait]
impl Probe for Front {
    async fn queue(&self, query: &QueueQuery) -> Result<Depth, String> {
        self.state().queue(&query.fleet, Telling::of(&query.source))
    }

    async fn health(
        &self,
        queries: &[HealthQuery],
        now: Timestamp,
    ) -> BTreeMap<InstanceId, Health> {
        let mut state = self.state();
        let mut found = BTreeMap::new();
        for query in queries {
            let passed = if state.world.page(&query.instance) {
                Ok(())
            } else {
                Err("connection refused".to_owned())
            };
            let recent = state.checks.entry(query.instance.clone()).or_default();
            *recent = recent.then(passed.is_ok());
            let recent = *recent;
            found.insert(query.instance.clone(), Health { at: now, passed, recent });
        }
        state.checks.retain(|id, _| found.contains_key(id));
        found
    }

    async fn drain(&self, post: &DrainPost) -> Result<Option<u64>, String> {
        self.state().receive(&post.instance, post.drain).map(Some)
    }
}
