//! Random worlds: a policy, what a journal has of its fleets, and the state of their servers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tidegate::sim::rng::Rng;
use tidegate_engine::model::drain::{Delivery, Drain, DrainEnd};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::{FleetMemory, Override, OverrideKey, SettingsRecord};
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage};
use tidegate_engine::model::server::{Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::{self, Clocks, Timestamp};
use tidegate_engine::plan::frozen_request;
use tidegate_engine::policy::{FleetPolicy, Policy, load};

use super::ports::List;

pub(super) const SUBNETS: [&str; 2] = ["subnet-0a1", "subnet-0b2"];

/// A server and its state.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub fleet: FleetName,
    pub id: InstanceId,
    pub launched_at: Timestamp,
    pub state: State,
    pub pool: Pool,
    /// The instance has the tag `tidegate:keep`.
    pub kept: bool,
    /// EC2 shows it.
    pub listed: bool,
}

#[derive(Debug, Clone)]
pub(super) enum State {
    Booting,
    InService,
    Unhealthy(Timestamp),
    Draining(Retirement),
}

#[derive(Debug)]
pub(super) struct World {
    pub policy: Policy,
    pub now: Timestamp,
    pub list: List,
    pub servers: Vec<Server>,
    /// Launches without a server, as the journal has them.
    pub launches: Vec<ServerRecord>,
    pub memories: BTreeMap<FleetName, FleetMemory>,
    pub overrides: Vec<Override>,
    pub queues: BTreeMap<FleetName, Result<Depth, String>>,
}

impl World {
    pub(super) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed, "world");
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let text = policy(rng);
        let loaded = load("world.yaml", &text, now);
        assert!(loaded.policy.is_some(), "{:?}\n{text}", loaded.problems);
        let policy = loaded.policy.unwrap();
        let list = match rng.up_to(9) {
            0 => List::ById,
            1 => List::None,
            _ => List::Whole,
        };
        let mut world = Self {
            now,
            list,
            servers: Vec::new(),
            launches: Vec::new(),
            memories: BTreeMap::new(),
            overrides: Vec::new(),
            queues: BTreeMap::new(),
            policy: policy.clone(),
        };
        for fleet in policy.fleets.values() {
            world.fleet(fleet, rng);
        }
        world
    }

    fn fleet(&mut self, fleet: &FleetPolicy, rng: &mut Rng) {
        let first = self.servers.len();
        for _ in 0..rng.up_to(5) {
            self.server(fleet, rng);
        }
        if rng.chance(0.15) {
            self.failed(fleet, rng);
        }
        let memory = self.memory(fleet, rng);
        self.memories.insert(fleet.name.clone(), memory);
        let depth = self.depth(first, rng);
        self.queues.insert(fleet.name.clone(), depth);
        let name = || fleet.name.clone();
        let mut order = |key, capacity| {
            let (owner, reason) = ("ann".to_owned(), "a test".to_owned());
            let (since, until) =
                (ago(self.now, 600), time::after(self.now, Duration::from_hours(1)));
            let order = Override { key, capacity, owner, reason, since, until, at_once: false };
            self.overrides.push(order);
        };
        if rng.chance(0.08) {
            order(OverrideKey::Hold(name()), u32::try_from(rng.up_to(4)).unwrap());
        }
        if rng.chance(0.08) {
            order(OverrideKey::Pause(name()), 0);
        }
        for server in &self.servers[first..] {
            if rng.chance(0.05) {
                order(OverrideKey::Keep(server.id.clone()), 0);
            }
        }
    }

    fn server(&mut self, fleet: &FleetPolicy, rng: &mut Rng) {
        let number = self.servers.len();
        // Distinct times, since ties are broken by tokens, which the two sides have each of its own.
        let tie = u64::try_from(number).unwrap();
        let seconds = u64::try_from(rng.up_to(10_000)).unwrap() * 20 + tie;
        let drained = u64::try_from(rng.up_to(120)).unwrap() * 20 + tie;
        let (state, up) = match rng.up_to(9) {
            0 => (State::Booting, seconds % 800 + tie),
            1 | 2 if fleet.health.is_some() => {
                (State::Unhealthy(ago(self.now, drained)), seconds + 3600)
            }
            3..=6 => (State::Draining(self.retirement(fleet, drained, rng)), seconds + 3600),
            _ => (State::InService, seconds + 60),
        };
        let types = &fleet.launch.types;
        let subnet = &fleet.launch.subnets[rng.up_to(fleet.launch.subnets.len() - 1)];
        let pool = Pool {
            instance_type: Some(types[0].as_str().into()),
            subnet: Some(subnet.as_str().into()),
        };
        let listed = !rng.chance(if self.list == List::Whole { 0.02 } else { 0.3 });
        self.servers.push(Server {
            fleet: fleet.name.clone(),
            id: InstanceId::new(&format!("i-{number:017x}")),
            launched_at: ago(self.now, up),
            state,
            pool,
            kept: rng.chance(0.06),
            listed,
        });
    }

    /// A retirement that began so many seconds ago, in one of its stages.
    fn retirement(&self, fleet: &FleetPolicy, seconds: u64, rng: &mut Rng) -> Retirement {
        let at = ago(self.now, seconds);
        let terms = fleet.drain_terms();
        let why = match rng.up_to(9) {
            0 => RetireReason::Operator { who: "ann".to_owned(), why: "a test".to_owned() },
            _ => RetireReason::ScaleIn,
        };
        let mut retirement = Retirement::begin(why, terms.cloned(), Clocks::new(at, None));
        let Some(terms) = terms else { return retirement };
        let mut drain = Drain::begin(None, terms, at);
        match rng.up_to(9) {
            0 => {}
            1 => drain.delivery = Delivery::Refused { why: "no".to_owned() },
            2 => {
                drain.delivery = Delivery::Received { at, nothing_runs: true };
                drain.end = rng.chance(0.5).then_some(DrainEnd::NothingRuns);
            }
            _ => drain.delivery = Delivery::Received { at, nothing_runs: false },
        }
        retirement.stage = Stage::Draining(drain);
        if rng.chance(0.05) {
            retirement.ask_to_terminate(at);
        }
        retirement
    }

    /// A launch that failed in each offering, or one that has no answer.
    fn failed(&mut self, fleet: &FleetPolicy, rng: &mut Rng) {
        let at = ago(self.now, 60 * u64::try_from(rng.up_to(30)).unwrap());
        let kind = [FaultKind::Config, FaultKind::Config, FaultKind::NoCapacity][rng.up_to(2)];
        let open = rng.chance(0.2);
        for subnet in &fleet.launch.subnets {
            let pool = Pool {
                instance_type: Some(fleet.launch.types[0].as_str().into()),
                subnet: Some(subnet.as_str().into()),
            };
            let token = Token::derive(&self.policy.install, &fleet.name, at, 0, &pool);
            let request = Arc::new(frozen_request(&self.policy, fleet, pool, token));
            let clocks = Clocks::new(at, None);
            let mut record = ServerRecord::planned(request, fleet.name.clone(), clocks);
            if !open {
                record.launch = LaunchState::Refused(Fault::new(kind, "Refused", "a test"));
                record.gone = Some(Gone { at, how: GoneHow::NeverWas });
            }
            self.launches.push(record);
        }
    }

    fn memory(&self, fleet: &FleetPolicy, rng: &mut Rng) -> FleetMemory {
        let mut readings = VecDeque::new();
        for nth in (1..=rng.up_to(4)).rev() {
            let at = ago(self.now, 300 * u64::try_from(nth).unwrap());
            let waiting = u64::try_from(rng.up_to(40)).unwrap();
            let unread = rng.chance(0.1);
            let reading = Reading::known(at, waiting);
            readings.push_back(if unread { Reading::unreadable(at, "a test") } else { reading });
        }
        let settings =
            SettingsRecord { digest: Arc::clone(&fleet.settings), since: ago(self.now, 900_000) };
        let mut memory = FleetMemory {
            target: rng.chance(0.8).then(|| u32::try_from(rng.up_to(5)).unwrap()),
            readings: Arc::new(readings),
            settings: Some(settings),
            acting: Some(true),
            ..FleetMemory::default()
        };
        let drains = Arc::make_mut(&mut memory.drains);
        drains.adopt(fleet.drain_terms());
        drains.heeded = rng.chance(0.7);
        for _ in 0..rng.up_to(3) {
            drains
                .learn(rng.between(Duration::ZERO, Duration::from_mins(20)), DrainEnd::PoweredOff);
        }
        for _ in 0..rng.up_to(4) {
            memory.boots.learn(rng.between(Duration::from_mins(1), Duration::from_mins(6)));
        }
        memory
    }

    /// What the fleet's queue says; `first`: the fleet's first server.
    fn depth(&self, first: usize, rng: &mut Rng) -> Result<Depth, String> {
        if rng.chance(0.1) {
            return Err("HTTP 503".to_owned());
        }
        let waiting = u64::try_from([0, rng.up_to(10), rng.up_to(80)][rng.up_to(2)]).unwrap();
        let servers = &self.servers[first..];
        let busy: BTreeMap<InstanceId, u32> = servers
            .iter()
            .filter(|server| !matches!(server.state, State::Booting))
            .map(|server| (server.id.clone(), u32::try_from(rng.up_to(2)).unwrap()))
            .collect();
        let running = busy.values().copied().map(u64::from).sum();
        let work = Work { running: Some(running), busy: Some(busy), ..Work::default() };
        let work = if rng.chance(0.5) { work } else { Work::default() };
        Ok(Depth { waiting, oldest: None, work })
    }
}

/// A policy of one fleet or two.
fn policy(rng: &mut Rng) -> String {
    let mut text = "version: 1\nmode: act\ntick: 1m\n".to_owned();
    if rng.chance(0.2) {
        text += "limits: { instances: 6, terminate: 1 per 10m }\n";
    }
    text += "fleets:\n";
    for name in ["app", "job"].iter().take(1 + rng.up_to(1)) {
        let subnets = SUBNETS[..=rng.up_to(1)].join(", ");
        write!(
            text,
            "  {name}:\n    launch: {{ image: ami-0123456789abcdef0, types: [t3.small], subnets: [{subnets}] }}\n"
        )
        .unwrap();
        text += ["    min: 0\n", "    min: 0\n", "    min: 2\n"][rng.up_to(2)];
        text += ["    max: 4\n", "    max: 5\n"][rng.up_to(1)];
        text += ["    billing: second\n", "    billing: hour\n"][rng.up_to(1)];
        if rng.chance(0.7) {
            text += "    health: { http: 'http://{instance_id}/' }\n";
        }
        if rng.chance(0.2) {
            writeln!(text, "    load_balancer: {{ classic: {name} }}").unwrap();
        }
        text += [
            "    drain: { via: tag, deadline: 30m }\n",
            "    drain: { via: tag, deadline: 10m }\n",
            "    drain: { via: { http: 'http://{private_ip}/' }, deadline: 30m }\n",
            "    drain: none\n",
        ][rng.up_to(3)];
        let read = ["http: 'http://q.example/'", "http: 'http://q.example/', json: /waiting"];
        let rule = [
            "scale_out: { above: 10, add: 1 }, scale_in: { below: 5, remove: 1 }",
            "scale_out: { above: 10, add: 2 }, scale_in: { below: 5, remove: 2 }",
            "start_within: 15m, job_takes: 4m, jobs_at_once: 2",
        ];
        let (read, rule) = (read[rng.up_to(1)], rule[rng.up_to(2)]);
        writeln!(text, "    queue: {{ read: {{ {read} }}, every: 5m, {rule} }}").unwrap();
    }
    text
}

fn ago(now: Timestamp, seconds: u64) -> Timestamp {
    time::before(now, Duration::from_secs(seconds))
}
