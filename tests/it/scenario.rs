//! Scenarios: a policy, an imagined world and a script in a file, and the story that must come of
//! them beside it. A new one takes no Rust. `TIDEGATE_BLESS=1` writes the stories anew; the diff is
//! the review.
//!
//! Every story ends with a check that the daemon rests: a second tick at the same instant does
//! nothing.
#![expect(clippy::panic, reason = "a scenario that cannot be read fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tidegate::sim::Simulation;
use tidegate::sim::load::{Interruption, Load};
use tidegate::sim::world::{Settings, World};
use tidegate::store::memory::MemoryStore;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Policy, load, units};
use tidegate_engine::state::{Handover, adopt};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows, for whoever reads the file.
    #[serde(rename = "about")]
    _about: String,
    start: String,
    run: String,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    troubles: Vec<String>,
    policy: String,
    #[serde(default)]
    script: Vec<Cue>,
}

fn one() -> u64 {
    1
}

/// Something that happens in the world at a moment after the start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cue {
    at: String,
    /// The queue's length from now on, by fleet.
    queue: Option<BTreeMap<String, u64>>,
    /// A person at the console terminates the oldest server of this fleet.
    terminate: Option<String>,
    /// A person at the console attaches a volume to the newest server of this fleet.
    attach: Option<String>,
    /// A person at the console takes what was attached off the newest server of this fleet.
    detach: Option<String>,
    /// A person at the console stops the oldest server of this fleet.
    stop: Option<String>,
    /// A person at the console starts the stopped server of this fleet.
    start: Option<String>,
    /// A person at the console takes the install's tag off the oldest server of this fleet.
    untag: Option<String>,
    /// A person at the console tags the oldest server of the first fleet as one of the second.
    retag: Option<(String, String)>,
    /// The pages of this many servers of a fleet break, the oldest first.
    sicken: Option<(String, usize)>,
    /// The pages of all servers of a fleet work again.
    cure: Option<String>,
    /// A person deletes a classic balancer.
    delete_balancer: Option<String>,
    /// A person takes a target group off its listener.
    unlist_group: Option<String>,
    /// A person puts a target group behind its listener again.
    list_group: Option<String>,
    /// EC2 leaves the newest servers of a fleet out of its answers for so long, also those that are
    /// ending.
    hide: Option<Hide>,
    /// Launches of a type, or in a subnet, fail in this way from now on; `null`: they succeed again.
    spoil: Option<BTreeMap<String, Option<String>>>,
    /// The answers of so many launches to come are lost after each took effect.
    lose_answers: Option<u32>,
    /// The daemon is killed, and started again after so long.
    down: Option<String>,
    /// The daemon is killed and started again.
    #[serde(default)]
    restart: bool,
    /// The policy file is edited: `from` becomes `to`.
    edit: Option<Edit>,
    /// Somebody holds a fleet.
    hold: Option<Hold>,
    /// Somebody launches servers on top of the rules.
    launch: Option<Hold>,
    /// Somebody approves of an edited policy, by fleet.
    approve: Option<String>,
    /// Somebody tags the servers of the first fleet as the second's, and hands them over.
    hand_over: Option<(String, String)>,
    /// Somebody keeps the oldest server of a fleet.
    keep: Option<Keep>,
    /// Somebody orders the end of the oldest server of a fleet.
    order_end: Option<String>,
    /// Every trouble ends.
    #[serde(default)]
    calm: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hide {
    fleet: String,
    servers: usize,
    lasts: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    fleet: String,
    lasts: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    fleet: String,
    capacity: u32,
    lasts: String,
}

fn name(text: &str) -> FleetName {
    FleetName::new(text).unwrap()
}

fn policy(text: &str, now: Timestamp) -> Policy {
    let loaded = load("scenario", text, now);
    loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

async fn play(scenario: Scenario) -> String {
    let start: Timestamp = scenario.start.parse().unwrap();
    let mut text = scenario.policy.clone();
    let policy_now = policy(&text, start);
    let zone = policy_now.zone.clone();
    let quiet = Load {
        per_hour: vec![0.0],
        start,
        job_takes: Duration::from_mins(1),
        jobs_at_once: 1,
        interruption: Interruption::default(),
    };
    let queues = policy_now.fleets.values().filter(|fleet| fleet.queue.is_some());
    let loads = queues.map(|fleet| (fleet.name.clone(), quiet.clone())).collect();
    let troubles = scenario.troubles.iter().map(|name| name.parse().unwrap()).collect();
    let settings = Settings { seed: scenario.seed, troubles, ..Settings::default() };
    let store = Arc::new(MemoryStore::default());
    let mut simulation =
        Simulation::new(policy_now, settings, loads, store.clone(), start).await.unwrap();
    let end = time::after(start, units::duration(&scenario.run).unwrap());
    let mut cues = scenario.script.into_iter().peekable();
    while simulation.now() < end {
        let due = |cue: &Cue| time::after(start, units::duration(&cue.at).unwrap());
        while let Some(cue) = cues.next_if(|cue| due(cue) <= simulation.now()) {
            follow(&cue, &mut simulation, &mut text).await;
        }
        let record = simulation.tick().await.unwrap();
        let next = cues.peek().map(due).filter(|at| *at > simulation.now());
        simulation.advance(next.map_or(record.next, |at| at.min(record.next)).min(end));
    }
    simulation.tick().await.unwrap();
    let again = simulation.tick().await.unwrap();
    assert!(again.calls.is_empty(), "it does not rest: {:?}", again.calls);
    let mut story = String::new();
    for event in store.events() {
        let at = event.at.to_zoned(zone.clone()).strftime("%a %H:%M:%S").to_string();
        let fleet = event.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
        story.push_str(&format!("{at} {:<9} {fleet:<4} {}\n", event.kind.as_str(), event.text));
    }
    story
}

fn list(cue: &Cue, world: &mut World) {
    for (group, used) in [(&cue.unlist_group, false), (&cue.list_group, true)] {
        if let Some(group) = group.clone().map(Balancer::TargetGroup) {
            world.members.set_used(&group, used);
        }
    }
}

/// What people and fate do to the world.
fn befall(cue: &Cue, simulation: &Simulation) {
    let now = simulation.now();
    let mut state = simulation.front.state();
    for (fleet, waiting) in cue.queue.iter().flatten() {
        state.pin(name(fleet), *waiting);
    }
    if let Some(fleet) = &cue.terminate {
        let oldest = alive(&state.world, fleet).remove(0);
        state.world.console_terminate(&oldest).unwrap();
    }
    for (fleet, at) in [(&cue.attach, Some(now)), (&cue.detach, None)] {
        if let Some(newest) = fleet.as_ref().and_then(|fleet| alive(&state.world, fleet).pop()) {
            state.world.console_attach(&newest, at);
        }
    }
    if let Some(fleet) = &cue.stop {
        let oldest = alive(&state.world, fleet).remove(0);
        state.world.console_stop(&oldest, now);
    }
    if let Some(fleet) = &cue.start {
        let of_fleet = state.world.machines().filter(|m| m.fleet() == Some(&name(fleet)));
        let stopped: Vec<_> = of_fleet.filter(|machine| machine.stopped_at.is_some()).collect();
        let id = stopped.first().unwrap().id.clone();
        state.world.console_start(&id, now);
    }
    if let Some(fleet) = &cue.untag {
        let oldest = alive(&state.world, fleet).remove(0);
        state.world.console_untag(&oldest, "tidegate:install");
    }
    if let Some((fleet, other)) = &cue.retag {
        let oldest = alive(&state.world, fleet).remove(0);
        state.world.console_tag(&oldest, "tidegate:fleet", other);
    }
    if let Some((fleet, count)) = &cue.sicken {
        for id in alive(&state.world, fleet).into_iter().take(*count) {
            state.world.set_page(&id, false);
        }
    }
    if let Some(fleet) = &cue.cure {
        for id in alive(&state.world, fleet) {
            state.world.set_page(&id, true);
        }
    }
    if let Some(balancer) = &cue.delete_balancer {
        state.world.members.remove(&Balancer::Classic(balancer.clone()));
    }
    list(cue, &mut state.world);
    if let Some(hide) = &cue.hide {
        let until = time::after(now, units::duration(&hide.lasts).unwrap());
        let shown = newest(&state.world, &hide.fleet);
        assert!(shown.len() >= hide.servers, "{} has {} servers", hide.fleet, shown.len());
        for id in shown.iter().take(hide.servers) {
            state.world.hide(id, until);
        }
    }
    if let Some(launches) = cue.lose_answers {
        state.world.lose_answers(launches);
    }
    for (what, how) in cue.spoil.iter().flatten() {
        state.world.spoil(what, how.as_ref().map(|how| how.parse().unwrap()));
    }
    if cue.calm {
        state.world.calm();
    }
}

async fn follow(cue: &Cue, simulation: &mut Simulation, text: &mut String) {
    let now = simulation.now();
    befall(cue, simulation);
    if let Some(Edit { from, to }) = &cue.edit {
        assert!(text.contains(from.as_str()), "`{from}` is not in the policy");
        *text = text.replace(from.as_str(), to);
        simulation.policy = policy(text, now);
    }
    let order = |key, capacity, lasts: &str| Override {
        key,
        capacity,
        owner: "ann".to_owned(),
        reason: "launch day".to_owned(),
        since: now,
        until: time::after(now, units::duration(lasts).unwrap()),
        at_once: false,
    };
    let hold = cue.hold.as_ref();
    let hold = hold.map(|h| order(OverrideKey::Hold(name(&h.fleet)), h.capacity, &h.lasts));
    let approve = cue.approve.as_ref();
    let approve = approve.map(|fleet| order(OverrideKey::Approve(name(fleet)), 0, "1h"));
    let launch = cue.launch.as_ref();
    let launch = launch.map(|h| order(OverrideKey::Launch(name(&h.fleet)), h.capacity, &h.lasts));
    let keep = cue.keep.as_ref().map(|keep| {
        let oldest = alive(&simulation.front.state().world, &keep.fleet).remove(0);
        order(OverrideKey::Keep(oldest), 0, &keep.lasts)
    });
    let end = cue.order_end.as_ref().map(|fleet| {
        let oldest = alive(&simulation.front.state().world, fleet).remove(0);
        order(OverrideKey::Terminate(oldest), 0, "24h")
    });
    let mut orders: Vec<Change> =
        [hold, launch, keep, approve, end].into_iter().flatten().map(Change::Override).collect();
    if let Some((old, new)) = &cue.hand_over {
        orders.extend(hand_over(simulation, old, new));
    }
    simulation.journal.commit(&orders).await.unwrap();
    if let Some(down) = &cue.down {
        simulation.advance(time::after(now, units::duration(down).unwrap()));
    }
    if cue.restart || cue.down.is_some() {
        simulation.restart().await.unwrap();
    }
}

fn hand_over(simulation: &Simulation, old: &str, new: &str) -> Vec<Change> {
    let now = simulation.now();
    let mut state = simulation.front.state();
    let asked = alive(&state.world, old);
    for id in &asked {
        state.world.console_tag(id, "tidegate:fleet", new);
    }
    let found = state.world.instances_by_id(&asked).unwrap();
    let (fleet, asked) = (name(new), asked.into_iter().collect());
    let handover = Handover { fleet: &fleet, asked: &asked, found: &found };
    let ledger = simulation.journal.ledger();
    let records = adopt(&simulation.policy, ledger, handover, now).unwrap();
    records.into_iter().map(|record| Change::Server(Arc::new(record))).collect()
}

/// The instances a fleet has alive, the oldest first.
fn alive(world: &World, fleet: &str) -> Vec<InstanceId> {
    let machines = world.machines().filter(|machine| {
        machine.fleet() == Some(&name(fleet)) && machine.lifecycle(world.now()).is_alive()
    });
    let mut found: Vec<_> = machines.map(|m| (m.launched_at, m.id.clone())).collect();
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}

/// The instances of a fleet that EC2 knows and has not terminated yet, the newest first.
fn newest(world: &World, fleet: &str) -> Vec<InstanceId> {
    let machines = world.machines().filter(|machine| {
        machine.fleet() == Some(&name(fleet))
            && machine.lifecycle(world.now()) != Lifecycle::Terminated
    });
    let mut found: Vec<_> = machines.map(|m| (m.launched_at, m.id.clone())).collect();
    found.sort();
    found.into_iter().rev().map(|(_, id)| id).collect()
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_scenario_has_its_story() {
    let files = scenarios();
    assert!(!files.is_empty());
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario: Scenario = serde_yaml::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let story = play(scenario).await;
        let expected = file.with_extension("out");
        if bless {
            std::fs::write(&expected, &story).unwrap();
        } else if std::fs::read_to_string(&expected).ok().as_deref() != Some(&story) {
            wrong.push(format!("--- {} now tells\n{story}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nTIDEGATE_BLESS=1 writes them anew", wrong.join("\n"));
}
