//! The daemon's tick and the evaluator over the same random worlds. One world is put into a journal
//! and behind ports, and ticked; the same facts are given to an evaluator as a snapshot. Both must name
//! the same servers to retire, the same drains to cancel, and as many launches.
//!
//! The tick and the evaluator share one evaluation, so that what can differ is what they feed it. Each
//! must rank servers by the same facts: worlds count in which only some of several drains are
//! cancelled, or only some servers in service go, and too few of them fail the test. Reversing the order of
//! cancellation on one side alone, such as by negating when drains began in `evaluate::facts`, fails it.

mod ports;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate::record::Journal;
use tidegate::store::memory::MemoryStore;
use tidegate::tick::tick;
use tidegate_engine::evaluate::{
    Answer, Evaluator, FleetSnapshot, Inventory, ServerSnapshot, ServerState, Snapshot,
};
use tidegate_engine::model::balancer::Membership;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{InstanceId, Lifecycle, OurTags};
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::{Change, OverrideKey};
use tidegate_engine::model::observation::Gap;
use tidegate_engine::model::reading::{Health, Reading, Recent};
use tidegate_engine::model::roster::{Breaker, Roster};
use tidegate_engine::model::server::{LaunchState, ServerRecord};
use tidegate_engine::plan::frozen_request;
use tidegate_engine::policy::{Policy, load};

use self::ports::{List, Still, instance, no_list};
use self::world::{Server, State, World};

const WORLDS: u64 = 2000;

/// What becomes of one fleet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    retired: BTreeSet<InstanceId>,
    cancelled: BTreeSet<InstanceId>,
    launched: usize,
}

/// A server's record as a daemon's journal has it.
fn record(policy: &Policy, server: &Server) -> ServerRecord {
    let fleet = &policy.fleets[&server.fleet];
    let at = server.launched_at;
    let token = Token::derive(&policy.install, &server.fleet, at, 0, &server.pool);
    let request = frozen_request(policy, fleet, server.pool.clone(), token.clone());
    let served = (!matches!(server.state, State::Booting)).then_some(at);
    let (sick_since, retirement) = match &server.state {
        State::Booting | State::InService => (None, None),
        State::Unhealthy(since) => (Some(*since), None),
        State::Draining(retirement) => (None, Some(retirement.clone())),
    };
    ServerRecord {
        token,
        fleet: server.fleet.clone(),
        planned_at: at,
        planned_at_ec2: None,
        request: Some(Arc::new(request)),
        launch: LaunchState::Launched(server.id.clone()),
        launched_at: Some(at),
        private_ip: None,
        healthy_at: served,
        in_service_at: served,
        restarted_at: None,
        sick_since,
        absent_since: None,
        retirement,
        cleared_at: None,
        gone: None,
    }
}

/// The world as the ports show it.
fn still(world: &World) -> Still {
    let mut still =
        Still { list: world.list, queues: world.queues.clone(), ..Still::empty(world.now) };
    for server in &world.servers {
        let id = || server.id.clone();
        let checked = world.policy.fleets[&server.fleet].health.is_some();
        let passed = match &server.state {
            State::InService => Some(Ok(())),
            State::Unhealthy(_) => Some(Err("HTTP 500".to_owned())),
            State::Booting | State::Draining(_) => None,
        };
        if let Some(passed) = passed {
            let recent = [passed.is_ok(); 3].into_iter().fold(Recent::default(), Recent::then);
            still.members.insert(id(), Membership::InService);
            still.health.insert(id(), Health { at: world.now, passed, recent });
        }
        let boots = matches!(server.state, State::Booting) && !checked;
        let lifecycle = if boots { Lifecycle::Pending } else { Lifecycle::Running };
        let tags = OurTags {
            install: Some(world.policy.install.as_str().into()),
            fleet: Some(server.fleet.clone()),
            keep: server.kept,
            ..OurTags::default()
        };
        let token = record(&world.policy, server).token.text();
        let mut shown = instance(id(), lifecycle, server.launched_at, (Some(token), tags));
        shown.subnet.clone_from(&server.pool.subnet);
        if server.listed {
            still.instances.insert(id(), shown);
        }
    }
    still
}

/// Ticks the world. Returns what the journal then says of each fleet, and what the tick knew.
async fn ticked(world: &World) -> (BTreeMap<FleetName, Named>, Roster) {
    let store = Arc::new(MemoryStore::default());
    let mut journal = Journal::open(store.clone(), world.now).await.unwrap();
    // A journal that has seen a whole list takes a later one in parts.
    let nothing = load("none.yaml", "version: 1\nfleets: {}\n", world.now).policy.unwrap();
    let empty = Still::empty(world.now).ports(store.clone());
    tick(&empty, &nothing, &mut journal, &[]).await.unwrap();
    let records = world.servers.iter().map(|server| record(&world.policy, server));
    let records = records.chain(world.launches.iter().cloned());
    let mut changes: Vec<Change> = records.map(|record| Change::Server(Arc::new(record))).collect();
    changes.extend(world.overrides.iter().cloned().map(Change::Override));
    for (name, memory) in &world.memories {
        changes.push(Change::Fleet(name.clone(), Box::new(memory.clone())));
        let readings = memory.readings.iter().cloned();
        changes.extend(readings.map(|reading| Change::Reading(name.clone(), reading)));
    }
    journal.commit(&changes).await.unwrap();
    let before = journal.ledger().servers.clone();
    let tick = tick(&still(world).ports(store), &world.policy, &mut journal, &[]).await.unwrap();
    let mut named: BTreeMap<FleetName, Named> = BTreeMap::new();
    for after in journal.ledger().servers.all() {
        let fleet = named.entry(after.fleet.clone()).or_default();
        let Some(before) = before.get(&after.token) else {
            fleet.launched += 1;
            continue;
        };
        let Some(id) = after.instance() else { continue };
        let drained = before.retirement.as_ref();
        let drains = after.retirement.as_ref().is_some_and(|r| r.resuming().is_none());
        if drained.is_none() && drains {
            fleet.retired.insert(id.clone());
        } else if drained.is_some() && !drains {
            fleet.cancelled.insert(id.clone());
        }
    }
    (named, tick.survey.roster)
}

/// The world as a snapshot tells it.
fn snapshot(world: &World) -> Snapshot {
    let mut fleets: BTreeMap<FleetName, FleetSnapshot> = BTreeMap::new();
    for (name, depth) in &world.queues {
        let reading = Some(Reading { at: world.now, depth: depth.clone() });
        fleets.insert(name.clone(), FleetSnapshot { reading, ..FleetSnapshot::default() });
    }
    for record in &world.launches {
        fleets.get_mut(&record.fleet).unwrap().launches.push(Arc::new(record.clone()));
    }
    for server in &world.servers {
        let state = match &server.state {
            State::Booting => ServerState::Booting,
            State::InService => ServerState::InService,
            State::Unhealthy(since) => ServerState::Unhealthy { since: Some(*since) },
            State::Draining(retirement) => ServerState::Draining(Some(retirement.clone())),
        };
        let told = ServerSnapshot::new(server.id.clone(), server.launched_at, state);
        let told = ServerSnapshot {
            pool: Some(server.pool.clone()),
            kept: server.kept,
            listed: server.listed,
            ..told
        };
        fleets.get_mut(&server.fleet).unwrap().servers.push(told);
    }
    let (now, inventory) = (world.now, inventory(world));
    Snapshot { now, fleets, inventory, overrides: world.overrides.clone() }
}

/// What EC2's list lacks. Asked subnet by subnet, one is silent of which no server is shown.
fn inventory(world: &World) -> Inventory {
    let fault = no_list();
    let shown = world.servers.iter().filter(|server| server.listed);
    let subnets = |server: &Server| server.pool.subnet.clone().unwrap();
    let answered: BTreeSet<Arc<str>> = shown.map(subnets).collect();
    match world.list {
        List::Whole => Inventory::Complete,
        List::ById if !answered.is_empty() => {
            let asked = world.servers.iter().map(subnets);
            let silent = asked.filter(|subnet| !answered.contains(subnet)).collect();
            let unlisted = world.servers.iter().filter(|server| !server.listed).count();
            let open = world.launches.iter().filter(|record| record.is_open()).count();
            let unseen = u32::try_from(unlisted + open).unwrap();
            Inventory::Degraded(Gap { fault, silent, unseen })
        }
        List::ById | List::None => Inventory::Unusable(fault),
    }
}

fn evaluated(world: &World) -> BTreeMap<FleetName, Answer> {
    let mut evaluator = Evaluator::new(world.policy.clone());
    for (name, memory) in &world.memories {
        *evaluator.memory(name) = memory.clone();
    }
    evaluator.evaluate(snapshot(world))
}

/// How many of the worlds have something in them.
#[derive(Debug, Default)]
struct Counted(BTreeMap<&'static str, u64>);

impl Counted {
    fn count(&mut self, world: &World, roster: &Roster, named: &BTreeMap<FleetName, Named>) {
        let order = |is: fn(&OverrideKey) -> bool| world.overrides.iter().any(|o| is(&o.key));
        let fleets = || roster.fleets.values();
        let unhealthy = |server: &Server| matches!(server.state, State::Unhealthy(_));
        let some_of_several = fleets().any(|view| {
            let cancelled = named.get(&view.name).map_or(0, |named| named.cancelled.len());
            cancelled > 0 && cancelled < view.cancellable().len()
        });
        let draining = |name: &FleetName| {
            let drains = |server: &&Server| matches!(server.state, State::Draining(_));
            world.servers.iter().filter(|server| server.fleet == *name).filter(drains).count()
        };
        for (what, is_there) in [
            ("breaker", fleets().any(|view| !matches!(view.breaker, Breaker::Closed { .. }))),
            ("unhealthy", world.servers.iter().any(unhealthy)),
            ("hold", order(|key| matches!(key, OverrideKey::Hold(_)))),
            ("pause", order(|key| matches!(key, OverrideKey::Pause(_)))),
            (
                "keep",
                world.servers.iter().any(|server| server.kept)
                    || order(|key| matches!(key, OverrideKey::Keep(_))),
            ),
            ("degraded inventory", roster.doubt.is_some()),
            ("unusable inventory", roster.blind.is_some()),
            ("two drains", fleets().any(|view| draining(&view.name) >= 2)),
            ("some of several drains cancelled", some_of_several),
            ("retired", named.values().any(|named| !named.retired.is_empty())),
            ("launched", named.values().any(|named| named.launched > 0)),
        ] {
            *self.0.entry(what).or_default() += u64::from(is_there);
        }
    }
}

#[tokio::test]
async fn evaluator_answers_as_the_daemon_ticks() {
    let mut counted = Counted::default();
    for seed in 0..WORLDS {
        let world = World::draw(seed);
        let (mut ticked, roster) = ticked(&world).await;
        counted.count(&world, &roster, &ticked);
        for (name, answer) in evaluated(&world) {
            let named = Named {
                retired: answer.terminate.into_iter().collect(),
                cancelled: answer.cancel_drains.into_iter().collect(),
                launched: usize::try_from(answer.launch).unwrap(),
            };
            let ticked = ticked.remove(&name).unwrap_or_default();
            let because = answer.decision.because;
            assert_eq!(named, ticked, "seed {seed}, fleet {name}: {because:?}\n{world:#?}");
        }
    }
    for (what, worlds) in counted.0 {
        assert!(worlds * 20 >= WORLDS, "only {worlds} of {WORLDS} worlds have: {what}");
    }
}
