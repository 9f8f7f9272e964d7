//! A driver: the daemon's own spine over an imagined EC2 and ELB in virtual time. The demo runs on
//! it, and whatever asks "what would happen".

mod arrivals;
pub mod bad_offering;
pub mod backtest;
mod buckets;
pub mod disk;
pub mod faults;
pub mod front;
mod interruption;
mod listing;
pub mod load;
pub mod machine;
mod members;
mod people;
pub mod receiver;
pub mod recorded;
pub mod report;
pub mod rng;
mod scarcity;
pub mod telling;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod wire;
pub mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::front::Front;
use self::load::{Load, Queue};
use self::world::{Settings, World};
use crate::ports::{Ports, Store, StoreFault};
use crate::record::Journal;
use crate::tick::{TickRecord, tick};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Policy;

/// Between two ticks at the least.
const SHORTEST: Duration = Duration::from_secs(1);

/// A policy at work in an imagined world.
#[derive(Debug)]
pub struct Simulation {
    pub policy: Policy,
    pub front: Front,
    pub journal: Journal,
    ports: Ports,
}

impl Simulation {
    /// A world that begins empty at `start`, with the balancers that the policy names and a queue
    /// for every fleet in `loads`. Each queue tells what the policy's own `read` can.
    pub async fn new(
        policy: Policy,
        settings: Settings,
        loads: BTreeMap<FleetName, Load>,
        store: Arc<dyn Store>,
        start: Timestamp,
    ) -> Result<Self, StoreFault> {
        let seed = settings.seed;
        let mut world = World::new(settings, start);
        for entry in policy.fleets.values().filter_map(|fleet| fleet.balancer.as_ref()) {
            world.add_balancer(entry.balancer.clone(), entry.deregistration_delay);
        }
        let queues = loads
            .into_iter()
            .map(|(name, load)| {
                let queue = Queue::new(load, seed, name.as_str());
                (name, queue)
            })
            .collect();
        Self::resume(policy, Front::new(world, queues), store).await
    }

    /// Goes on with a world that is there already, from what `store` knows of it.
    pub async fn resume(
        policy: Policy,
        front: Front,
        store: Arc<dyn Store>,
    ) -> Result<Self, StoreFault> {
        let start = front.state().world.now();
        let journal = Journal::open(store.clone(), start).await?;
        let ports = Ports {
            cloud: Arc::new(front.clone()),
            balancers: Arc::new(front.clone()),
            probe: Arc::new(front.clone()),
            store,
            clock: Arc::new(front.clone()),
        };
        Ok(Self { policy, front, journal, ports })
    }

    /// One tick at the present instant; time does not pass.
    pub async fn tick(&mut self) -> Result<TickRecord, StoreFault> {
        tick(&self.ports, &self.policy, &mut self.journal, &[]).await
    }

    /// Forgets everything that is not on disk, as a restart does.
    pub async fn restart(&mut self) -> Result<(), StoreFault> {
        self.journal = Journal::open(self.ports.store.clone(), self.now()).await?;
        Ok(())
    }

    /// Restarts the daemon with another store in place of the one that it had.
    pub async fn restart_with(&mut self, store: Arc<dyn Store>) -> Result<(), StoreFault> {
        self.ports.store = store;
        self.restart().await
    }

    pub fn now(&self) -> Timestamp {
        self.front.state().world.now()
    }

    /// Lets time pass until the daemon's clock says `next`.
    pub fn wait(&self, next: Timestamp) {
        let span = time::since(next, self.ports.clock.now()).max(SHORTEST);
        self.advance(time::after(self.now(), span));
    }

    /// Lets time pass until `to`.
    pub fn advance(&self, to: Timestamp) {
        self.front.state().advance(to);
    }
}
