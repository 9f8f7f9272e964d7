//! The engine for one fleet without a world: sightings in, answers out, what was learned kept in
//! between. For `tidegate decide`, and for measuring.

mod replay;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::decide;
use crate::model::boots::Boots;
use crate::model::busy::{Busy, Names};
use crate::model::capacity::Capacity;
use crate::model::decision::Decision;
use crate::model::drain::{Drain, DrainEnd, DrainRecord};
use crate::model::instance::{Instance, InstanceId, Lifecycle, OurTags};
use crate::model::launch::Token;
use crate::model::ledger::{Change, FleetMemory, Ledger};
use crate::model::reading::{Reading, Recent};
use crate::model::retirement::{RetireReason, Retirement, Stage};
use crate::model::roster::{BalancerView, Block, Breaker, FleetView, Phase, Server};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::time::{self, Timestamp};
use crate::policy::{Billing, FleetPolicy};
use crate::state::{Drains, Lesson, Looks, by_time, has_hour_to_spare, learn, paid_until};

pub use self::replay::{Difference, Replayed, reckoned_again, replay};

/// What somebody sees of the fleet.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub now: Timestamp,
    /// `None`: the queue was not read.
    pub reading: Option<Reading>,
    pub servers: Vec<SightedServer>,
}

#[derive(Debug, Clone)]
pub struct SightedServer {
    pub id: InstanceId,
    pub launched_at: Timestamp,
    pub state: SightedState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightedState {
    Booting,
    InService,
    /// Out of service, with work to finish before it ends.
    Draining,
}

/// What to do about it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub decision: Decision,
    pub launch: u32,
    /// To be drained, and terminated when their work is done.
    pub terminate: Vec<InstanceId>,
    /// Draining servers to be put back into service.
    pub reclaim: Vec<InstanceId>,
    /// When to look again at the latest.
    pub next_look: Timestamp,
}

/// One fleet, and what it remembers along the stream.
#[derive(Debug)]
pub struct Filter {
    fleet: FleetPolicy,
    looks: Looks,
    ledger: Ledger,
    /// Servers seen on their way, for the boot time; `None`: boot times are told.
    coming: Option<BTreeMap<InstanceId, Timestamp>>,
    /// Servers that drained when they were last seen, and when they were first seen to.
    draining: BTreeMap<Token, Timestamp>,
}

impl Filter {
    pub fn new(fleet: FleetPolicy) -> Self {
        let reading = fleet.queue.as_ref().map_or(Duration::ZERO, |queue| queue.every);
        let looks = Looks { tick: Duration::ZERO, reading };
        let mut ledger = Ledger::default();
        // Whoever asks carries the drains out, and sees to it that they are heeded.
        let terms = fleet.drain_terms().cloned();
        let drains = Arc::new(DrainRecord { terms, heeded: true, ..DrainRecord::default() });
        let memory = FleetMemory { drains, ..FleetMemory::default() };
        ledger.fleets.insert(fleet.name.clone(), memory);
        let (coming, draining) = (Some(BTreeMap::new()), BTreeMap::new());
        Self { fleet, looks, ledger, coming, draining }
    }

    /// One that releases servers when a daemon with this `tick` would, and is told boot times.
    fn of_daemon(fleet: FleetPolicy, tick: Duration) -> Self {
        let looks = Looks::of(Some(&fleet), tick);
        let mut filter = Self { looks, ..Self::told_boots(fleet) };
        // A daemon drains one server at a time until one has ended.
        Arc::make_mut(&mut filter.memory().drains).heeded = false;
        filter
    }

    /// One that is told how long boots take, instead of measuring them.
    pub fn told_boots(fleet: FleetPolicy) -> Self {
        Self { coming: None, ..Self::new(fleet) }
    }

    fn memory(&mut self) -> &mut FleetMemory {
        self.ledger.fleets.entry(self.fleet.name.clone()).or_default()
    }

    /// What is to be taken as decided last, whatever was.
    pub fn recall(&mut self, target: Capacity) {
        self.memory().target = Some(target);
    }

    /// The boot times to go by.
    pub fn recall_boots(&mut self, boots: Boots) {
        self.memory().boots = boots;
    }

    /// Takes in a sighting, and answers it.
    pub fn look(&mut self, seen: &Sighting) -> Answer {
        self.take_in(seen);
        let mut view = self.view(seen);
        let decision = decide(&self.fleet, &view, None, seen.now);
        let name = &self.fleet.name;
        let memory = self.ledger.fleets.entry(name.clone()).or_default();
        *memory = std::mem::take(&mut view.memory);
        memory.target = Some(decision.target);
        memory.asked = decision.asked;
        memory.stepped_at_reading = decision.steps_on.or(memory.stepped_at_reading);
        let every = self.fleet.queue.as_ref().map(|queue| time::after(seen.now, queue.every));
        let regular = every.unwrap_or_else(|| time::after(seen.now, Duration::from_mins(5)));
        let soonest = decision.next_look.filter(|at| *at > seen.now);
        answer(&view, decision, soonest.map_or(regular, |at| at.min(regular)))
    }

    fn take_in(&mut self, seen: &Sighting) {
        let name = self.fleet.name.clone();
        let serving = |server: &&SightedServer| server.state == SightedState::InService;
        let at_work = seen.servers.iter().filter(serving).count();
        let drains = |server: &&SightedServer| server.state == SightedState::Draining;
        let known = std::mem::take(&mut self.draining);
        self.draining.extend(seen.servers.iter().filter(drains).map(|server| {
            let token = token(&server.id);
            let since = known.get(&token).copied().unwrap_or(seen.now);
            (token, since)
        }));
        let there = |known: &Token| seen.servers.iter().any(|server| token(&server.id) == *known);
        let memory = self.ledger.fleets.entry(name.clone()).or_default();
        for (_, since) in known.iter().filter(|(token, _)| !there(token)) {
            let took = time::since(seen.now, *since);
            Arc::make_mut(&mut memory.drains).learn(took, DrainEnd::PoweredOff);
        }
        if let Some(coming) = &mut self.coming {
            for took in measured(coming, seen) {
                memory.boots.learn(took);
            }
        }
        let Some(reading) = &seen.reading else { return };
        if let Some((queue, goal)) = self.fleet.goal() {
            let places = u32::try_from(at_work).unwrap_or(u32::MAX);
            let places = f64::from(places.saturating_mul(goal.jobs_at_once));
            let known = memory.work.take().unwrap_or_default();
            let (open, ended) = (self.draining.clone(), |token: &Token| !there(token));
            let drains = Drains::since(&known, open, ended, &mut memory.drains, seen.now);
            let blind = !goal.blind_for(queue.every, &memory.boots).is_zero();
            let billing = self.fleet.billing;
            let lesson = Lesson { goal, reading, serving: places, blind, billing, drains: &drains };
            memory.work = Some(Arc::new(learn(&known, lesson)));
        }
        self.ledger.apply(&Change::Reading(name, reading.clone()));
    }

    /// Lends the view the memory, which is long, instead of a copy.
    fn view(&mut self, seen: &Sighting) -> FleetView {
        let memory = self.ledger.fleets.remove(&self.fleet.name).unwrap_or_default();
        let last = memory.last_reading().and_then(|reading| reading.depth.as_ref().ok());
        let name = |id| Names { id, private_ip: None, private_dns: None };
        let names: Vec<Names<'_>> = seen.servers.iter().map(|server| name(&server.id)).collect();
        let busy = last.and_then(|depth| Busy::place(&depth.work, &names, |_| false));
        let mut servers: Vec<Server> = seen
            .servers
            .iter()
            .map(|server| self.server(server, busy.as_ref(), seen.now))
            .collect();
        servers.sort_by_key(|server| server.record.launched_at);
        FleetView {
            name: self.fleet.name.clone(),
            servers,
            memory,
            balancer: BalancerView::None,
            hold: None,
            pause: None,
            edited_from: None,
            renamed_from: None,
            elsewhere: busy.as_ref().and_then(|busy| busy.elsewhere.clone()),
            doubt: None,
            extra: None,
            retire: None,
            breaker: Breaker::Closed { failures: 0 },
            offerings: Vec::new(),
            backoffs: Vec::new(),
            failing: None,
            others: Vec::new(),
        }
    }

    fn server(&self, seen: &SightedServer, busy: Option<&Busy>, now: Timestamp) -> Server {
        let phase = match seen.state {
            SightedState::Booting => Phase::Booting,
            SightedState::InService => Phase::InService,
            SightedState::Draining => Phase::Draining,
        };
        let busy = busy.map(|busy| busy.on(&seen.id));
        let paid_until = match self.fleet.billing {
            Billing::Hour => Some(paid_until(seen.launched_at, now)),
            Billing::Second => None,
        };
        Server {
            record: Arc::new(record(&self.fleet, seen)),
            instance: Some(instance(seen)),
            membership: None,
            ailing: None,
            well: false,
            checks: Recent::default(),
            uptime: Some(time::since(now, seen.launched_at)),
            paid_until,
            hour_to_spare: has_hour_to_spare(
                &self.fleet,
                self.looks,
                Duration::ZERO,
                seen.launched_at,
                now,
            ),
            busy,
            kept: None,
            undrainable: None,
            ordered: None,
            release: self.release(seen, busy, now),
            phase,
        }
    }

    /// A busy server may go where the fleet drains.
    fn release(
        &self,
        seen: &SightedServer,
        busy: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Block> {
        match seen.state {
            SightedState::Draining => Err(Block::NotCapacity),
            SightedState::Booting if self.fleet.goal().is_some() => Err(Block::Coming),
            SightedState::Booting | SightedState::InService => {
                by_time(&self.fleet, self.looks, Duration::ZERO, seen.launched_at, now)?;
                let drains = self.fleet.drain_terms().is_some();
                let busy = busy.filter(|jobs| *jobs > 0 && !drains);
                busy.map_or(Ok(()), |jobs| Err(Block::Busy { jobs }))
            }
        }
    }
}

/// The boots that this sighting ends.
fn measured(coming: &mut BTreeMap<InstanceId, Timestamp>, seen: &Sighting) -> Vec<Duration> {
    let mut boots = Vec::new();
    for server in &seen.servers {
        match server.state {
            SightedState::Booting => {
                coming.insert(server.id.clone(), server.launched_at);
            }
            SightedState::InService => {
                let launched_at = coming.remove(&server.id);
                boots.extend(launched_at.map(|at| time::since(seen.now, at)));
            }
            SightedState::Draining => {
                coming.remove(&server.id);
            }
        }
    }
    boots
}

/// The decision with the servers' instance ids.
fn answer(view: &FleetView, decision: Decision, next_look: Timestamp) -> Answer {
    let ids = |tokens: &[Token]| {
        let servers = tokens.iter().filter_map(|token| view.server(token)?.id().cloned());
        servers.collect()
    };
    Answer {
        launch: decision.launch,
        terminate: ids(&decision.retire),
        reclaim: ids(&decision.cancel_drains),
        next_look,
        decision,
    }
}

/// A server's token, for which its id serves here.
fn token(id: &InstanceId) -> Token {
    Token::from_stored(id.as_str())
}

fn record(fleet: &FleetPolicy, seen: &SightedServer) -> ServerRecord {
    let in_service = seen.state != SightedState::Booting;
    let draining = seen.state == SightedState::Draining;
    ServerRecord {
        token: token(&seen.id),
        fleet: fleet.name.clone(),
        planned_at: seen.launched_at,
        planned_at_ec2: None,
        request: None,
        launch: LaunchState::Launched(seen.id.clone()),
        launched_at: Some(seen.launched_at),
        private_ip: None,
        healthy_at: in_service.then_some(seen.launched_at),
        in_service_at: in_service.then_some(seen.launched_at),
        restarted_at: None,
        sick_since: None,
        absent_since: None,
        retirement: draining.then_some(Retirement {
            why: RetireReason::ScaleIn,
            begun_at: seen.launched_at,
            begun_at_ec2: None,
            drain: fleet.drain_terms().cloned(),
            stage: fleet.drain_terms().map_or(Stage::Begun, |terms| {
                Stage::Draining(Drain::begin(None, terms, seen.launched_at))
            }),
        }),
        cleared_at: None,
        gone: None,
    }
}

fn instance(seen: &SightedServer) -> Instance {
    Instance {
        id: seen.id.clone(),
        lifecycle: Lifecycle::Running,
        launched_at: Some(seen.launched_at),
        instance_type: None,
        subnet: None,
        zone: None,
        private_ip: None,
        public_ip: None,
        private_dns: None,
        token: None,
        tags: OurTags::default(),
        state_reason: None,
        attached: None,
        metadata_tags: None,
    }
}
