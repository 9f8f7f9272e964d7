//! What a year of two fleets leaves on disk and in memory: `cargo bench --no-default-features
//! --bench record [-- --days N]`. The daemon's own spine and store over the imagined cloud, pruned
//! once a day as the daemon does.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of figures")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate::ports::Store as _;
use tidegate::sim::Simulation;
use tidegate::sim::load::{Interruption, Load, Queue};
use tidegate::sim::world::Settings;
use tidegate::store::{self, StateDir};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy;

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
mode: act
defaults: { launch: { image: ami-0123456789abcdef0, types: [t3.small], subnets: [subnet-0a1] } }
fleets:
  thresholds:
    min: 0
    max: 4
    drain: { via: tag, deadline: 30m }
    queue: { read: { http: "http://q.example/" }, scale_out: { above: 20, add: 1 }, scale_in: { below: 5, remove: 1 } }
    minimum_uptime: 45m
    billing: hour
  goal:
    min: 0
    max: 6
    queue: { read: { http: "http://q.example/", json: /waiting }, start_within: 15m, jobs_at_once: 2 }
"#;

/// In memory where there is such a place: a disk's syncing is not what is measured.
fn folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let base = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    base.join(format!("tidegate-record-{}", std::process::id()))
}

/// Resident memory, in kibibytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn on_disk(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let days = args.iter().position(|arg| arg == "--days");
    let days = days.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(365_u64);
    let dir = folder();
    let start: Timestamp = "2026-01-05T06:00:00Z".parse().unwrap();
    let lock = StateDir::lock(&dir).unwrap();
    let store = Arc::new(store::open(&lock, start).unwrap().store);
    let policy = policy::load("record.yaml", POLICY, start).policy.unwrap();
    // A working day: quiet nights, two peaks.
    let per_hour = vec![
        2.0, 2.0, 2.0, 2.0, 2.0, 5.0, 20.0, 60.0, 90.0, 60.0, 40.0, 30.0, 40.0, 80.0, 90.0, 60.0,
        30.0, 20.0, 10.0, 10.0, 5.0, 5.0, 2.0, 2.0,
    ];
    let load = Load {
        per_hour,
        start,
        job_takes: Duration::from_mins(4),
        jobs_at_once: 2,
        interruption: Interruption::default(),
    };
    let loads = ["thresholds", "goal"].map(|name| (FleetName::new(name).unwrap(), load.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let simulation =
        Simulation::new(policy.clone(), Settings::default(), loads.into(), store.clone(), start);
    let mut world = runtime.block_on(simulation).unwrap();
    runtime.block_on(world.journal.in_force(&policy, start)).unwrap();
    println!(
        "   day   on disk, MiB   resident, MiB   of it jobs and machines of the imagined world"
    );
    for day in 1..=days {
        let end = time::after(start, Duration::from_hours(24 * day));
        while world.now() < end {
            let record = runtime.block_on(world.tick()).unwrap();
            world.advance(record.next);
        }
        runtime.block_on(store.prune(world.now())).unwrap();
        if day == days || day % 30 == 0 {
            let mebi = |bytes: u64| f64::from(u32::try_from(bytes >> 10).unwrap()) / 1024.0;
            println!(
                "{day:6}  {:13.1}  {:14.1}  {:15.1}",
                mebi(on_disk(&dir)),
                mebi(resident() * 1024),
                mebi(imagined(&world))
            );
        }
    }
    drop(lock);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// What the world itself remembers for its reports, in bytes: that is no daemon's.
fn imagined(world: &Simulation) -> u64 {
    let state = world.front.state();
    let jobs: usize = state.queues.values().map(Queue::memory).sum();
    let machines = state.world.machines().count();
    // A machine has a request of half a dozen strings and tags.
    u64::try_from(jobs + machines * 1500).unwrap()
}
