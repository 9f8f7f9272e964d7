//! How fast the engine is: `cargo bench --no-default-features --bench speed`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a program of figures")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use tidegate::prices::PriceList;
use tidegate::sim::Simulation;
use tidegate::sim::backtest::{Backtest, Setting};
use tidegate::sim::load::{Interruption, Job, Load};
use tidegate::sim::telling::Telling;
use tidegate::sim::trace::Trace;
use tidegate::sim::world::Settings;
use tidegate::store::memory::MemoryStore;
use tidegate_engine::decide;
use tidegate_engine::evaluate::{Evaluator, FleetSnapshot, ServerSnapshot, ServerState};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::roster::Roster;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::plan::plan;
use tidegate_engine::policy::{self, Policy};

fn main() {
    divan::main();
}

const GOAL: &str = "start_within: 15m, job_takes: 4m, jobs_at_once: 2, boot_takes: 5m";
const THRESHOLDS: &str = "scale_out: { above: 20 }, scale_in: { below: 5 }";

fn evaluator(rule: &str) -> Evaluator {
    let text = format!(
        "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: 100\n    drain: {{ via: tag, deadline: 30m }}\n    queue: {{ read: {{ http: 'http://q.example/' }}, {rule} }}\n"
    );
    Evaluator::of_readings(loaded(&text))
}

/// So many servers, each with a job, and a queue that breathes.
struct Shop {
    evaluator: Evaluator,
    name: FleetName,
    servers: Vec<ServerSnapshot>,
    busy: BTreeMap<InstanceId, u32>,
    polls: u64,
}

impl Shop {
    fn new(rule: &str, servers: usize) -> Self {
        let ids: Vec<InstanceId> =
            (0..servers).map(|n| InstanceId::new(&format!("i-{n:017x}"))).collect();
        let server = |id: &InstanceId| {
            ServerSnapshot::new(id.clone(), Timestamp::UNIX_EPOCH, ServerState::InService)
        };
        Self {
            evaluator: evaluator(rule),
            name: FleetName::new("job").unwrap(),
            servers: ids.iter().map(server).collect(),
            busy: ids.into_iter().map(|id| (id, 2)).collect(),
            polls: 0,
        }
    }

    fn poll(&mut self) -> u32 {
        self.polls += 1;
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(self.polls * 300);
        let arrived = self.polls * 40 + self.polls % 7;
        let waiting = 6 + self.polls % 7;
        let running = u64::try_from(self.servers.len()).unwrap() * 2;
        let work = Work {
            running: Some(running),
            arrived: Some(arrived + waiting + running),
            completed: Some(arrived),
            busy: Some(self.busy.clone()),
        };
        let depth = Ok(Depth { waiting, oldest: Some(Duration::from_mins(3)), work });
        let reading = Some(Reading { at: now, depth });
        let servers = self.servers.clone();
        let snapshot = FleetSnapshot { reading, servers, launches: Vec::new() };
        self.evaluator.evaluate_fleet(now, &self.name, snapshot).unwrap().decision.desired
    }
}

/// A poll of one fleet, from the snapshot to the answer.
#[divan::bench(args = [0, 20, 200], consts = [true, false])]
fn a_poll<const TO_A_GOAL: bool>(bencher: Bencher<'_, '_>, servers: usize) {
    let mut shop = Shop::new(if TO_A_GOAL { GOAL } else { THRESHOLDS }, servers);
    bencher.bench_local(|| shop.poll());
}

/// A year of polls of one fleet of three servers, every five minutes.
#[divan::bench(sample_count = 5)]
fn a_year_of_polls(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let mut shop = Shop::new(GOAL, 3);
        (0..105_120).map(|_| u64::from(shop.poll())).sum::<u64>()
    });
}

fn loaded(text: &str) -> Policy {
    let loaded = policy::load("bench.yaml", text, Timestamp::UNIX_EPOCH);
    loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

/// What a large policy file is full of.
const LARGE: [&str; 14] = [
    "during",
    "the same hours",
    "cron",
    "dates",
    "fleets",
    "load balancers",
    "one load balancer",
    "fleets of one name",
    "subnets",
    "security groups",
    "tags",
    "routes",
    "unknown keys",
    "bad values",
];

/// A policy file with `count` entries of one of [`LARGE`].
fn large(what: &str, count: usize) -> String {
    const HEAD: &str = "version: 1\ntimezone: UTC\n";
    const LAUNCH: &str =
        "{ launch: { image: ami-0123456789abcdef0, types: [t3.small] }, min: 0, max: 9000";
    let each = |write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    let schedule =
        |lines: String| format!("{HEAD}fleets:\n  a: {LAUNCH}, schedule: [{lines}] }}\n");
    let fleets = |one: &dyn Fn(usize) -> String| {
        format!("{HEAD}limits: {{ instances: 3 }}\ndefaults: {LAUNCH} }}\nfleets:\n{}", each(one))
    };
    let list = |key: &str, values: String| {
        format!(
            "{HEAD}fleets:\n  a: {{ launch: {{ image: ami-0123456789abcdef0, types: [t3.small], {key}: [{values}] }}, max: 9 }}\n"
        )
    };
    let (hour, day) = (|n: usize| n.div_euclid(60) % 24, |n: usize| n.div_euclid(1440));
    match what {
        "during" => schedule(each(&|n| {
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily"][day(n) % 8];
            let end = if n < 11_520 { "00:00" } else { "23:59" };
            format!("{{ during: {days} {:02}:{:02}-{end}, capacity: 1 }}, ", hour(n), n % 60)
        })),
        "the same hours" => {
            schedule(each(&|n| format!("{{ during: mon 08:00-09:00, capacity: {} }}, ", n % 9000)))
        }
        "cron" => schedule(each(&|n| {
            format!("{{ cron: {} {} {} * *, capacity: 1 }}, ", n % 60, hour(n), day(n) + 1)
        })),
        "dates" => schedule(each(&|n| {
            let (year, month) = (2027 + n.div_euclid(336), n.div_euclid(28) % 12 + 1);
            format!("{{ dates: {year}-{month:02}-{:02}, capacity: 1 }}, ", n % 28 + 1)
        })),
        "fleets" => fleets(&|n| format!("  f{n}: {{ min: 1 }}\n")),
        "load balancers" => {
            fleets(&|n| format!("  f{n}: {{ load_balancer: {{ classic: b{n} }} }}\n"))
        }
        "one load balancer" => {
            fleets(&|n| format!("  f{n}: {{ load_balancer: {{ classic: b }} }}\n"))
        }
        "fleets of one name" => fleets(&|_| "  a: {}\n".to_owned()),
        "subnets" => list("subnets", each(&|n| format!("subnet-{n}, "))),
        "security groups" => list("security_groups", each(&|n| format!("sg-{n}, "))),
        "tags" => format!(
            "{HEAD}defaults: {{ launch: {{ tags: {{ {tags} }} }} }}\nfleets:\n  a: {{ launch: {{ image: ami-0123456789abcdef0, types: [t3.small], tags: {{ {tags} }} }}, max: 9 }}\n",
            tags = each(&|n| format!("k{n}: v, "))
        ),
        "routes" => format!(
            "{HEAD}notify:\n{}fleets: {{}}\n",
            each(&|n| format!("  r{n}: {{ slack: secret:s }}\n"))
        ),
        "unknown keys" => format!("{HEAD}{}", each(&|n| format!("k{n}: 1\n"))),
        "bad values" => schedule(each(&|n| format!("{{ cron: 0 8 * * *, capacity: x{n} }}, "))),
        other => panic!("{other}"),
    }
}

/// A large policy file, read and its problems drawn. Twelve times the entries may take twelve times as
/// long, and not the square of it.
#[divan::bench(sample_count = 3, sample_size = 1, args = LARGE, consts = [1_000, 12_000])]
fn a_large_file<const ENTRIES: usize>(bencher: Bencher<'_, '_>, what: &str) {
    let text = large(what, ENTRIES);
    bencher.bench_local(|| {
        let loaded = policy::load("bench.yaml", &text, Timestamp::UNIX_EPOCH);
        policy::render(&loaded.problems, "bench.yaml", &text, false)
    });
}

/// When the jobs of a year come, 52 thousand of them.
#[derive(Debug, Clone, Copy)]
enum Come {
    /// From eight to six on working days, most before noon and in the afternoon: a shop's queue.
    InOfficeHours,
    /// One every ten minutes, day and night: no server stays busy, and two are launched every hour.
    Evenly,
}

/// Jobs of each hour of a working day, from eight.
const OFFICE_HOURS: [u64; 10] = [10, 20, 35, 30, 10, 15, 35, 30, 10, 5];

impl Come {
    fn jobs(self) -> Vec<Job> {
        let job = |seconds: u64| Job {
            arrives: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
            takes: Duration::from_mins(4),
        };
        let mut jobs = Vec::new();
        match self {
            Self::Evenly => jobs.extend((0..52_560).map(|n| job(n * 600 + n % 7 * 60))),
            Self::InOfficeHours => {
                for day in (0..365).filter(|day| day % 7 < 5) {
                    for (hour, many) in (8..).zip(OFFICE_HOURS) {
                        let begins = day * 86_400 + hour * 3600;
                        // Two or three at a time.
                        let at = |n: u64| begins + (n - n % 3) * (3600_u64).div_euclid(many);
                        jobs.extend((0..many).map(|n| job(at(n))));
                    }
                }
            }
        }
        jobs
    }
}

/// A year of one fleet through the daemon's own spine over the imagined cloud: 105,120 readings, and
/// jobs that run for four minutes.
#[divan::bench(sample_count = 3, args = [Come::InOfficeHours, Come::Evenly])]
fn a_year_backtested(bencher: Bencher<'_, '_>, come: Come) {
    let policy = loaded(&format!(
        "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: 100\n    queue: {{ read: {{ http: 'http://q.example/', json: /waiting }}, {GOAL} }}\n"
    ));
    let jobs = come.jobs();
    let many = u64::try_from(jobs.len()).unwrap();
    let trace = Trace::Jobs(jobs);
    let setting = Setting {
        seed: 1,
        boot: Duration::from_mins(5),
        jobs_at_once: 2,
        tells: Telling::ALL,
        interruption: Interruption::default(),
        goal: Duration::from_mins(15),
    };
    let fleet = FleetName::new("job").unwrap();
    let prices = PriceList::new(None, &policy.prices);
    let backtest = Backtest {
        policy: &policy,
        fleet: &fleet,
        trace: &trace,
        setting: &setting,
        prices: &prices,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bencher.bench_local(|| {
        let outcome = runtime.block_on(backtest.run(&mut |_| ())).unwrap();
        assert_eq!(outcome.jobs.map(|jobs| jobs.started), Some(many));
    });
}

/// A thousand fleets of ten servers in service: one decided on and planned for all of them.
#[divan::bench(sample_count = 10)]
fn a_thousand_fleets_decided_and_planned(bencher: Bencher<'_, '_>) {
    let mut text = "version: 1\nmode: act\nfleets:\n".to_owned();
    for n in 0..1000 {
        text.push_str(&format!("  f{n}: {{ launch: {{ template: web }}, min: 10, max: 10 }}\n"));
    }
    let policy = loaded(&text);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (start, loads) = (Timestamp::UNIX_EPOCH, BTreeMap::new());
    let store = Arc::new(MemoryStore::default());
    let mut world = runtime
        .block_on(Simulation::new(policy.clone(), Settings::default(), loads, store, start))
        .unwrap();
    let serving =
        |roster: &Roster| roster.fleets.values().map(|view| view.in_service()).sum::<u32>();
    let roster = loop {
        let record = runtime.block_on(world.tick()).unwrap();
        if serving(&record.survey.roster) == 10_000 {
            break record.survey.roster;
        }
        world.advance(record.next);
    };
    bencher.bench_local(|| {
        let decisions = decide::all(&policy, &roster);
        plan(&policy, &roster, &decisions)
    });
}

/// The decision alone, with everything it needs at hand: one fleet of twenty servers that serve.
#[divan::bench(args = [GOAL, THRESHOLDS])]
fn a_decision(bencher: Bencher<'_, '_>, rule: &str) {
    let policy = loaded(&format!(
        "version: 1\nmode: act\nfleets:\n  job:\n    launch: {{ template: job }}\n    min: 20\n    max: 40\n    queue: {{ read: {{ http: 'http://q.example/', json: /waiting }}, {rule} }}\n"
    ));
    let name = FleetName::new("job").unwrap();
    let start = Timestamp::UNIX_EPOCH;
    let load = Load {
        per_hour: vec![400.0],
        start,
        job_takes: Duration::from_mins(4),
        jobs_at_once: 2,
        interruption: Interruption::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Arc::new(MemoryStore::default());
    let loads = [(name.clone(), load)].into();
    let mut world = runtime
        .block_on(Simulation::new(policy.clone(), Settings::default(), loads, store, start))
        .unwrap();
    let day = start + Duration::from_hours(24);
    let (now, mut view) = loop {
        let record = runtime.block_on(world.tick()).unwrap();
        if world.now() > day {
            break (world.now(), record.survey.roster.fleets[&name].clone());
        }
        world.advance(record.next);
    };
    assert!(view.in_service() >= 20);
    // As at the tick that reads the queue: the reading is yet to be answered.
    view.memory.stepped_at_reading = None;
    let fleet = &policy.fleets[&name];
    bencher.bench_local(|| decide::decide(fleet, &view, None, now));
}
