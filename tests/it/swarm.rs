//! Many seeds over the imagined cloud: while troubles last, nothing wrong may happen in the world;
//! once they end, everything must come right within a stated time and then rest.
//!
//! Checked against the world's truth after every tick, not against what the daemon believes. A
//! failure names its seed and troubles; `TIDEGATE_SEEDS=A..B` runs just those, and
//! `tests/run swarm SECONDS` fresh ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate::model::fleet::{FleetName, Pool};
use tidegate::model::instance::{InstanceId, Lifecycle};
use tidegate::model::launch::{Image, LaunchRequest, Token, tag};
use tidegate::model::ledger::{Change, Override, OverrideKey};
use tidegate::model::plan::Act;
use tidegate::model::server::RetireReason;
use tidegate::model::time::{self, Timestamp};
use tidegate::policy::{Policy, load};
use tidegate::record::What;
use tidegate::sim::Simulation;
use tidegate::sim::faults::{Trouble, Troubles};
use tidegate::sim::load::Load;
use tidegate::sim::rng::Rng;
use tidegate::sim::world::Settings;
use tidegate::store::memory::MemoryStore;
use tidegate::tick::TickRecord;

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
mode: act
limits: { instances: 10, terminate: 5 per 10m }
defaults:
  launch: { image: ami-0123456789abcdef0, subnets: [subnet-0a1, subnet-0b2] }
fleets:
  app:
    launch: { types: [t3.small, t3a.small] }
    load_balancer: { classic: web, drain: 30s }
    health: { http: "http://{private_ip}/", expect: welcome, grace: 10m }
    min: 2
    max: 3
    schedule:
      - { cron: "0 8 * * mon-fri", capacity: 3 }
      - { cron: "0 21 * * mon-fri", capacity: 2 }
  job:
    launch: { types: [t3.small, t3a.small] }
    health: { http: "http://{private_ip}/", expect: welcome, grace: 10m }
    min: 1
    max: 4
    minimum_uptime: 45m
    queue: { read: { http: "http://q.example/" }, scale_out: { above: 20, add: 2 }, scale_in: { below: 5, remove: 1 } }
  work:
    launch: { types: [t3.small, t3a.small] }
    health: { http: "http://{private_ip}/", expect: welcome, grace: 10m }
    min: 0
    max: 5
    minimum_uptime: 10m
    billing: BILLING
    queue: { read: { http: "http://q.example/" }, every: 1m, start_within: 15m, jobs_at_once: 2 }
"#;

/// All that the account may hold of ours: less than the fleets' sum.
const INSTANCES_AT_MOST: u32 = 10;

/// Thursday noon in Winnipeg: the schedule's edge at 21:00 falls into a run.
fn start() -> Timestamp {
    "2026-03-05T18:00:00Z".parse().unwrap()
}

fn policy(billing: &str) -> Policy {
    let text = POLICY.replace("BILLING", billing);
    load("swarm.yaml", &text, start()).policy.expect("the policy is valid")
}

fn name(text: &str) -> FleetName {
    FleetName::new(text).unwrap()
}

struct Run {
    seed: u64,
    troubles: Troubles,
    simulation: Simulation,
    whims: Rng,
    /// Somebody else's instance, with our tags on it.
    foreign: InstanceId,
    /// Retirements so far, for the brake on them.
    retired: Vec<Timestamp>,
}

impl Run {
    /// `among`: how many of the troubles there were when the seed was drawn first.
    fn new(seed: u64, among: usize) -> Self {
        let mut whims = Rng::new(seed, "whims");
        // Some seeds are gentle, some hell: each trouble is on or off for a whole run.
        let share = whims.unit();
        let drawn = Trouble::ALL.into_iter().take(among).filter(|_| whims.chance(share));
        let troubles: Troubles = drawn.collect();
        // Busy hours, then none, so that at the end no job server is wanted.
        let mut per_hour = vec![10.0, 200.0, 400.0, 30.0, 0.0, 100.0];
        per_hour.resize(24, 0.0);
        let load =
            Load { per_hour, start: start(), job_takes: Duration::from_mins(2), jobs_at_once: 2 };
        // From half a minute to a quarter of an hour, beyond the uptime that lets a server go.
        let job_takes = whims.between(Duration::from_secs(30), Duration::from_mins(15));
        let fewer = load.job_takes.as_secs_f64() / job_takes.as_secs_f64();
        let per_hour = load.per_hour.iter().map(|jobs| jobs * fewer).collect();
        let work = Load { job_takes, per_hour, ..load.clone() };
        let settings = Settings { seed, troubles: troubles.clone(), ..Settings::default() };
        let store = Arc::new(MemoryStore::default());
        let loads = [(name("job"), load), (name("work"), work)].into();
        let policy = policy(if whims.chance(0.5) { "hour" } else { "second" });
        let simulation = Simulation::new(policy, settings, loads, store, start()).unwrap();
        let foreign = somebody_elses(&simulation);
        // First of all, so that it is told even if the process dies of it.
        let names: Vec<&str> = troubles.iter().map(|trouble| trouble.as_str()).collect();
        println!("seed {seed}: {}", names.join(", "));
        Self { seed, troubles, simulation, whims, foreign, retired: Vec::new() }
    }

    #[track_caller]
    fn demand(&self, holds: bool, what: &str) {
        let names: Vec<&str> = self.troubles.iter().map(|trouble| trouble.as_str()).collect();
        assert!(
            holds,
            "seed {} ({}) at {}: {what}",
            self.seed,
            names.join(", "),
            self.simulation.now()
        );
    }

    /// What a person orders now and then, while troubles last.
    fn meddle(&mut self) {
        if !self.whims.chance(0.005) {
            return;
        }
        let now = self.simulation.now();
        let key = if self.whims.chance(0.5) {
            OverrideKey::Hold(name("app"))
        } else {
            let view = self.simulation.journal.ledger().servers.open();
            let serving = view.filter(|record| record.in_service_at.is_some());
            let ids: Vec<InstanceId> =
                serving.filter_map(|record| record.instance().cloned()).collect();
            if ids.is_empty() {
                return;
            }
            OverrideKey::Keep(ids[self.whims.up_to(ids.len() - 1)].clone())
        };
        let order = Override {
            key,
            capacity: 3,
            owner: "ann".to_owned(),
            reason: "a whim".to_owned(),
            since: now,
            until: time::after(now, Duration::from_mins(90)),
        };
        self.simulation.journal.commit(&[Change::Override(order)]).unwrap();
    }

    fn order(&self, key: &OverrideKey) -> bool {
        let orders = &self.simulation.journal.ledger().overrides;
        orders.get(key).is_some_and(|order| order.until > self.simulation.now())
    }

    async fn step(&mut self) -> TickRecord {
        let before = self.carrying();
        let record = self.simulation.tick().await.unwrap();
        self.check(&record, &before);
        // A crash forgets everything that is not on disk.
        if self.whims.chance(0.02) {
            self.simulation.restart().unwrap();
        }
        self.simulation.wait(record.next);
        record
    }

    /// The instances that traffic may reach at this instant.
    fn carrying(&self) -> BTreeSet<InstanceId> {
        let state = self.simulation.front.state();
        let machines = state.world.machines().map(|machine| machine.id.clone());
        machines.filter(|id| state.world.members.carries_traffic(id)).collect()
    }

    fn check(&mut self, record: &TickRecord, carrying: &BTreeSet<InstanceId>) {
        self.check_world();
        for call in &record.calls {
            if let What::Terminate { instance, proof, .. } = &call.what {
                let kept = self.order(&OverrideKey::Keep(instance.clone()));
                self.demand(!kept, &format!("{instance} is terminated and was to be kept"));
                let told = format!("{instance} is terminated while it carries traffic ({proof})");
                self.demand(!carrying.contains(instance), &told);
                self.demand(*instance != self.foreign, "somebody else's instance is touched");
            }
        }
        for step in &record.survey.plan.steps {
            if let Act::Retire { label, why, .. } = &step.act {
                self.retired.push(record.survey.seen.now);
                match why {
                    RetireReason::ScaleIn => self.check_scale_in(record, &step.fleet, label),
                    RetireReason::Sick { .. } => self.check_sick(record, &step.fleet, label),
                    RetireReason::NeverHealthy { .. }
                    | RetireReason::StuckPending { .. }
                    | RetireReason::Operator { .. } => {}
                }
            }
        }
        // By the daemon's clock as it was at each: one that is set back makes no rate of the past.
        let now = record.survey.seen.now;
        let from = time::before(now, Duration::from_mins(10));
        let of_late = self.retired.iter().filter(|at| **at > from).count();
        let quiet = self.retired.last() != Some(&now);
        self.demand(quiet || of_late <= 5, &format!("{of_late} retirements within ten minutes"));
        let held =
            self.order(&OverrideKey::Hold(name("app"))) && record.survey.roster.blind.is_none();
        let desired = record.survey.decisions[&name("app")].desired;
        self.demand(!held || desired >= 3, &format!("held at 3, and {desired} desired"));
    }

    /// Where every server looks sick, none is.
    fn check_sick(&self, record: &TickRecord, fleet: &FleetName, label: &str) {
        let view = &record.survey.roster.fleets[fleet];
        let serving = view.servers.iter().filter(|server| server.record.in_service_at.is_some());
        let alone = serving.count() < 2;
        let all = self.simulation.front.state().world.looks_sick();
        self.demand(alone || !all, &format!("{label} goes although every page fails"));
    }

    fn check_world(&self) {
        let state = self.simulation.front.state();
        let now = state.world.now();
        let mut alive: BTreeMap<FleetName, u32> = BTreeMap::new();
        let mut tokens = BTreeSet::new();
        for machine in state.world.machines().filter(|machine| machine.id != self.foreign) {
            let fresh = tokens.insert(machine.request.token.clone());
            assert!(fresh, "seed {}: two instances for {}", self.seed, machine.request.token);
            if machine.lifecycle(now).is_alive() {
                *alive.entry(machine.fleet().unwrap()).or_default() += 1;
            }
        }
        let all: u32 = alive.values().sum();
        assert!(all <= INSTANCES_AT_MOST, "seed {}: {all} alive at {now}", self.seed);
        for (fleet, alive) in alive {
            let max = self.simulation.policy.fleets[&fleet].bounds.max();
            assert!(
                alive <= max,
                "seed {}: {alive} of {fleet} alive at {now}, max is {max}",
                self.seed
            );
        }
        let untouched = state.world.machine(&self.foreign).unwrap().lifecycle(now);
        // It may die of its own accord, or at a person's hand.
        let mortal = [Trouble::ConsoleKill, Trouble::DieYoung];
        let mortal = mortal.iter().any(|trouble| self.troubles.contains(trouble));
        let alive = matches!(untouched, Lifecycle::Running | Lifecycle::Pending);
        assert!(mortal || alive, "seed {}: somebody else's instance is {untouched:?}", self.seed);
    }

    /// Scale-in follows from a reading or from the schedule, and takes nobody before its time.
    fn check_scale_in(&self, record: &TickRecord, fleet: &FleetName, label: &str) {
        let now = record.survey.seen.now;
        let (launched_at, jobs) = {
            let state = self.simulation.front.state();
            let machine = state.world.machine(&InstanceId::new(label)).unwrap();
            let busy = state.queues.get(fleet).and_then(|queue| queue.depth().work.busy);
            (machine.launched_at, busy.and_then(|busy| busy.get(&machine.id).copied()))
        };
        let up = time::since(now, launched_at);
        let minimum = self.simulation.policy.fleets[fleet].minimum_uptime;
        self.demand(up >= minimum, &format!("{label} goes after {}", time::text(up)));
        let reading = record.survey.roster.fleets[fleet].memory.last_reading();
        // Where the queue tells who is busy. The reading that decides is of this very instant.
        let jobs = jobs.unwrap_or(0);
        self.demand(jobs == 0, &format!("{label} goes with {jobs} jobs on it"));
        if *fleet != name("app") {
            let known = reading.is_some_and(|reading| reading.depth.is_ok());
            self.demand(known, &format!("{label} goes although the queue cannot be read"));
        }
    }
}

/// An instance that a person launched, with our tags copied onto it.
fn somebody_elses(simulation: &Simulation) -> InstanceId {
    let tags = [(tag::INSTALL, "main"), (tag::FLEET, "app")];
    let request = LaunchRequest {
        token: Token::from_stored("made-by-hand"),
        image: Image::Id("ami-0123456789abcdef0".to_owned()),
        pool: Pool { instance_type: None, subnet: None },
        key_pair: None,
        security_groups: Vec::new(),
        instance_profile: None,
        user_data: String::new(),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    simulation.front.state().world.add_foreign(&request).unwrap()
}

/// One seed: safety for twelve hours of troubles, then liveness.
async fn run(seed: u64, among: usize) {
    let mut run = Run::new(seed, among);
    let end = time::after(start(), Duration::from_hours(12));
    while run.simulation.now() < end {
        run.meddle();
        run.step().await;
    }
    run.simulation.front.state().world.calm();
    // Boot, grace, a breaker's probe and the watch over an unanswered launch take less than an hour;
    // the jobs that piled up meanwhile take the rest.
    let settled = time::after(end, Duration::from_hours(6));
    while run.simulation.now() < settled {
        run.step().await;
    }
    for _ in 0..100 {
        let record = run.step().await;
        let app = &record.survey.roster.fleets[&name("app")];
        run.demand(app.in_service() == 2, &format!("{} of 2 in service", app.in_service()));
        for (fleet, least) in [(name("job"), 1), (name("work"), 0)] {
            let why = record.survey.decisions[&fleet].text(&run.simulation.policy.zone);
            let servers = record.survey.roster.fleets[&fleet].servers.len();
            run.demand(servers == least, &format!("{servers} of {fleet} without jobs: {why}"));
        }
        run.demand(record.calls.is_empty(), &format!("it does not rest: {:?}", record.calls));
    }
    let strays = {
        let state = run.simulation.front.state();
        let now = state.world.now();
        let machines = state.world.machines();
        machines.filter(|m| m.id != run.foreign && m.lifecycle(now).is_alive()).count()
    };
    run.demand(strays == 3, &format!("{strays} instances run, 3 are wanted"));
}

/// The seeds that were asked for.
pub(crate) fn asked() -> Option<std::ops::Range<u64>> {
    let asked = std::env::var("TIDEGATE_SEEDS").ok()?;
    let (from, to) = asked.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Seeds that have found something, and what.
const KEPT: &str = include_str!("../seeds.txt");

fn kept() -> impl Iterator<Item = (u64, usize)> {
    KEPT.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (seed, among) = (number().expect("a seed"), number().expect("how many troubles"));
        (seed, usize::try_from(among).unwrap())
    })
}

/// `tests/run swarm SECONDS`: fresh seeds for so long.
fn fresh_for() -> Option<Duration> {
    let seconds = std::env::var("TIDEGATE_SWARM_FOR").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("TIDEGATE_SWARM_FOR is a number of seconds")))
}

/// What one seed goes through: twelve hours of troubles, six of calm, and a while of rest.
const DAYS_A_SEED: f64 = 18.0 / 24.0;

#[tokio::test]
async fn nothing_is_lost_leaked_or_wrongly_killed_and_all_comes_right() {
    let begun = std::time::Instant::now();
    let all = Trouble::ALL.len();
    let with_all = |seeds: std::ops::Range<u64>| seeds.map(move |seed| (seed, all));
    let seeds: Vec<_> = match asked() {
        Some(seeds) => with_all(seeds).collect(),
        None => kept().chain(with_all(0..60)).collect(),
    };
    let mut done = 0_u32;
    for (seed, among) in seeds {
        run(seed, among).await;
        done += 1;
    }
    if let Some(span) = fresh_for() {
        let mut seed = u64::try_from(Timestamp::now().as_microsecond()).unwrap();
        while begun.elapsed() < span {
            run(seed, all).await;
            seed += 1;
            done += 1;
        }
    }
    let days = f64::from(done) * DAYS_A_SEED;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{done} seeds, {days:.0} simulated days, {:.0} a minute", days / minutes);
}

#[tokio::test]
async fn the_same_seed_is_the_same_story() {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let mut run = Run::new(7, Trouble::ALL.len());
        let mut story = Vec::new();
        for _ in 0..500 {
            let record = run.step().await;
            story.extend(
                record.events.into_iter().map(|event| format!("{} {}", event.at, event.text)),
            );
        }
        stories.push(story);
    }
    assert!(!stories[0].is_empty());
    assert_eq!(stories[0], stories[1]);
}
