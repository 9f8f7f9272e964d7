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
use crate::model::account::Account;
use crate::model::balancer::{Balancer, Membership};
use crate::model::fault::Fault;
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId};
use crate::model::launch::LaunchRequest;
use crate::model::reading::{Depth, Health, Recent, Work};
use crate::model::time::{self, Timestamp};
use crate::model::volume::Volume;
use crate::model::warning::Warning;
use crate::ports::{Balancers, Clock, Cloud, HealthQuery, Probe, QueueQuery};

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
            queue.advance(until, self.world.serving(fleet));
        }
    }

    /// Returns what the queue endpoint of a fleet answers where its source can tell `source`.
    /// [`Trouble::DeadQueue`] takes it away for ten minutes at a time.
    pub fn queue(&mut self, fleet: &FleetName, source: Telling) -> Result<Depth, String> {
        let telling = self.assumed.get(fleet).copied().unwrap_or(source);
        self.depth(fleet).map(|depth| telling.limit(depth))
    }

    fn depth(&mut self, fleet: &FleetName) -> Result<Depth, String> {
        let span = self.world.now().as_second().div_euclid(600);
        if self.world.has(Trouble::DeadQueue) && span % 2 == 1 {
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

    async fn terminate(&self, id: &InstanceId) -> Result<(), Fault> {
        self.state().world.terminate(id)
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
}
