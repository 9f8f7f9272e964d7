//! `tidegate drill`: the real daemon and the real SDK, with one's own policy, against an imagined
//! EC2 and ELB on loopback that has the troubles one asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::folder;
use super::listen::{self, Listen};
use super::money;
use super::out::say;
use super::rehearsal::{self, Rehearsal};
use super::run::loader;
use super::{FAILED, Failure, check, runtime};
use crate::admin::{self, AdminSocket, Handle};
use crate::aws::Aws;
use crate::custody::{self, Accept};
use crate::daemon::patrol::Patrol;
use crate::daemon::{Daemon, Herald, Loader, Reception, Telling, Wake};
use crate::metrics::Meter;
use crate::ports::{Clock, Ports};
use crate::prices::PriceList;
use crate::probe::HttpProbe;
use crate::record::Journal;
use crate::settings::Settings;
use crate::sim::faults::{Trouble, Troubles};
use crate::sim::front::Front;
use crate::sim::load::{Load, Queue};
use crate::sim::report::report;
use crate::sim::wire::{self, WireWorld};
use crate::sim::world::{Settings as WorldSettings, World};
use crate::store::{self, SqliteHistory, StateDir};
use crate::telemetry::{self, LogFormat};
use crate::web::Shown;
use tidegate_engine::model::drain::{Carrier, DrainTerms, Receiver};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{DrainPolicy, Mode, Policy};

#[derive(Debug, Args)]
pub(crate) struct Drill {
    /// What goes wrong, with commas: slow-boot, no-capacity, dead-queue, lost-replies, throttling,
    /// never-healthy, die-young, console-kill, blind-spots,
    /// partial-list, all-sick, late-listing, slow-end, wrong-clock,
    /// stale-credentials, kept-volumes, scarce-pools, quota, zone-outage, spot-reclaim,
    /// console-stop, console-tag, console-deregister, dead-balancer, lying-queue, zone-unlisted, old-list,
    /// odd-receivers, late-tags, refused-tags, bad-offerings
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    faults: Vec<Trouble>,
    /// How long, in imagined time
    #[arg(long = "for", value_name = "SPAN", default_value = "2h", value_parser = super::span)]
    lasts: Duration,
    /// Imagined seconds per real second
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: u32,
    /// When it begins, as an instant: 2026-03-02T13:50:00Z [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = super::instant)]
    start: Option<Timestamp>,
    /// Jobs an hour that arrive in each queue
    #[arg(long, default_value_t = 60, value_name = "N")]
    jobs: u32,
    /// The same seed gives the same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the page and /metrics are: an address and a port, or `off`
    #[arg(long, value_name = "ADDRESS", default_value = "off")]
    listen: Listen,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

pub(crate) fn run(drill: &Drill, settings: &Settings, json: bool) -> Result<(), Failure> {
    custody::close_new_files();
    let policy = check::usable_from(&settings.config, Accept::RegularFiles, settings)?;
    let folder = folder::private("drill")?;
    runtime()?.block_on(drilled(drill, settings, policy, &folder, json))
}

/// A clock that runs faster than the real one, from where the drill begins.
struct Fast {
    began: Timestamp,
    imagined: Timestamp,
    speed: u32,
}

impl Clock for Fast {
    fn now(&self) -> Timestamp {
        let real = time::since(check::now(), self.began);
        time::after(self.imagined, real * self.speed)
    }
}

/// Nobody is told.
struct Silence;

impl Herald for Silence {
    fn ready(&self) {}
    fn reloading(&self) {}
    fn reloaded(&self) {}
    fn stopping(&self) {}
    fn alive(&self, _: &str) {}
    fn next_edge(&self, _: Option<Timestamp>) {}
}

async fn drilled(
    drill: &Drill,
    settings: &Settings,
    policy: Policy,
    folder: &TempDir,
    json: bool,
) -> Result<(), Failure> {
    let now = check::now();
    let clock =
        Arc::new(Fast { began: now, imagined: drill.start.unwrap_or(now), speed: drill.speed });
    let format = if json { LogFormat::Json } else { LogFormat::Text };
    let stamps = clock.clone();
    let stamps: telemetry::Now = Arc::new(move || stamps.now());
    telemetry::init(format, false, false, &stamps, Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to open a port")?;
    let address = listener.local_addr().context("failed to open a port")?;
    let front = imagine(drill, &policy, clock.now());
    let mut acting = policy.clone();
    for line in stage(&mut acting, address.port(), drill.rehearsal) {
        eprintln!("{line}");
    }
    let wire_clock = clock.clone();
    let wire = WireWorld::new(front.clone(), move || wire_clock.now());
    let server = tokio::spawn(wire::serve(listener, wire));

    let dir = StateDir::lock(folder.path()).map_err(anyhow::Error::new)?;
    let database = Arc::new(store::open(&dir, clock.now()).map_err(anyhow::Error::new)?.store);
    let aws = Arc::new(Aws::imagined(&format!("http://{address}")).await);
    let probe = HttpProbe::new(settings.secret_dirs.clone()).context("failed to prepare HTTP")?;
    let ports = Ports {
        cloud: aws.clone(),
        balancers: aws,
        probe: Arc::new(probe),
        store: database.clone(),
        clock: clock.clone(),
    };
    let mut journal = Journal::open(database, clock.now()).await.map_err(anyhow::Error::new)?;
    journal.in_force(&acting, clock.now()).await.map_err(anyhow::Error::new)?;
    let (handle, orders) = Handle::new();
    let meter = open(drill, &dir, &clock, &handle).await?;
    let socket = settings.socket_named.clone();
    let socket = socket.unwrap_or_else(|| folder.path().join("tidegate.sock"));
    let sockets = AdminSocket::bind(&socket).await?;
    eprintln!("look at it with: tidegate status --socket {}", socket.display());
    let wake = Wake::default();
    let loader = staged(settings.config.clone(), address.port(), drill.rehearsal);
    let reception = Reception::new(orders, wake.reload.clone(), settings.config.clone(), loader)
        .in_force(clock.now());
    let daemon = Daemon {
        ports,
        journal,
        policy: Arc::new(acting),
        handle: handle.clone(),
        reception,
        wake,
        herald: Arc::new(Silence),
        meter,
        standing: Vec::new(),
        patrol: Patrol::default(),
        shadow: None,
        // An imagined trouble wakes nobody.
        telling: Telling::default(),
        speed: drill.speed,
    };
    let lasts = drill.lasts / drill.speed;
    let ended = tokio::select! {
        () = daemon.run(over(lasts)) => Ok(()),
        ended = admin::serve(sockets, handle) => Err(anyhow!("the socket's server ended: {ended:?}")),
        ended = server => Err(anyhow!("the imagined cloud ended: {ended:?}")),
    };
    ended.map_err(|error| Failure::Error(FAILED, error))?;
    let prices = money::prices(&policy, settings);
    sum_up(drill, (&policy, &prices), &front, json)
}

/// Waits for the drill's end, or for somebody who has seen enough.
async fn over(lasts: Duration) {
    let mut told = signal(SignalKind::terminate()).ok();
    let told = async {
        match &mut told {
            Some(told) => told.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = tokio::time::sleep(lasts) => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = told => {}
    }
}

/// The page, if one is wanted, and what fills it.
async fn open(
    drill: &Drill,
    dir: &StateDir,
    clock: &Arc<Fast>,
    handle: &Handle,
) -> Result<Arc<Meter>, Failure> {
    let meter = Arc::new(Meter::new());
    let clock = clock.clone();
    let shown = Shown {
        meter: meter.clone(),
        picture: handle.watch(),
        history: Arc::new(SqliteHistory::of(dir)),
        now: Arc::new(move || clock.now()),
    };
    listen::open(drill.listen, shown).await.map_err(|why| Failure::Error(FAILED, anyhow!(why)))?;
    Ok(meter)
}

/// The world: a balancer for each that the policy names, and a queue for each fleet that has one.
fn imagine(drill: &Drill, policy: &Policy, now: Timestamp) -> Front {
    let troubles: Troubles = drill.faults.iter().copied().collect();
    let settings = WorldSettings { seed: drill.seed, troubles, ..WorldSettings::default() };
    let mut world = World::new(settings, now);
    for entry in policy.fleets.values().filter_map(|fleet| fleet.balancer.as_ref()) {
        world.add_balancer(entry.balancer.clone(), entry.deregistration_delay);
    }
    let load = Load {
        per_hour: vec![f64::from(drill.jobs)],
        start: now,
        job_takes: Duration::from_mins(2),
        jobs_at_once: 2,
        interruption: drill.rehearsal.interrupted,
    };
    let with_queue = policy.fleets.values().filter(|fleet| fleet.queue.is_some());
    let queues: BTreeMap<FleetName, Queue> = with_queue
        .map(|fleet| {
            let queue = Queue::new(load.clone(), drill.seed, fleet.name.as_str());
            (fleet.name.clone(), queue)
        })
        .collect();
    let names: Vec<FleetName> = queues.keys().cloned().collect();
    let front = Front::new(world, queues);
    if let Some(telling) = drill.rehearsal.assume {
        let mut state = front.state();
        for name in names {
            state.assume(name, telling);
        }
    }
    front
}

/// A reload during the drill: the file as it is now, turned to the imagined world like the first.
fn staged(path: PathBuf, port: u16, rehearsal: Rehearsal) -> Loader {
    let load = loader(path);
    Arc::new(move || {
        let mut policy = load()?;
        stage(&mut policy, port, rehearsal);
        Ok(policy)
    })
}

/// Turns the policy's addresses to the imagined world and sets it to act. Returns what it assumes,
/// then what it changed.
fn stage(policy: &mut Policy, port: u16, rehearsal: Rehearsal) -> Vec<String> {
    let mut said = rehearsal.lines(&rehearsal::queues(policy), true);
    said.push("drill: an imagined EC2 on loopback; no AWS account is touched".to_owned());
    policy.mode = Mode::Act;
    for fleet in policy.fleets.values_mut() {
        if fleet.mode == Mode::Observe {
            said.push(format!("drill: {} acts here, although the file says observe", fleet.name));
        }
        fleet.mode = Mode::Act;
        if let Some(health) = &mut fleet.health {
            health.url = format!("http://127.0.0.1:{port}/{{instance_id}}");
            health.expect = health.expect.take().map(|_| "welcome".to_owned());
            said.push(format!("drill: pages of {} are asked at {}", fleet.name, health.url));
        }
        if let Some(queue) = &mut fleet.queue {
            let place = (&fleet.name, port);
            let source = rehearsal::simulated(&queue.source, place, rehearsal.assume);
            queue.source = Arc::new(source);
            said.push(format!(
                "drill: the queue of {} is read at {}",
                fleet.name, queue.source.url
            ));
        }
        if let Some(terms) = received_at(&fleet.drain, port) {
            said.push(format!("drill: drains of {} are posted to port {port}", fleet.name));
            fleet.drain = DrainPolicy::Terms(Arc::new(terms));
        }
    }
    said
}

/// Returns the terms of a drain with its HTTP receiver in the simulated world.
fn received_at(drain: &DrainPolicy, port: u16) -> Option<DrainTerms> {
    let DrainPolicy::Terms(terms) = drain else { return None };
    let Carrier::Http(_) = &terms.carrier else { return None };
    let url = format!("http://127.0.0.1:{port}/drain/{{instance_id}}");
    Some(DrainTerms { carrier: Carrier::Http(Receiver { url, header: None }), ..(**terms).clone() })
}

/// Prints what the drill came to; `policy` is the file's, before it was staged.
fn sum_up(
    drill: &Drill,
    (policy, prices): (&Policy, &PriceList),
    front: &Front,
    as_json: bool,
) -> Result<(), Failure> {
    let state = front.state();
    let now = state.world.now();
    let fleets = report(policy, &state, prices);
    let mut carrying = 0_usize;
    for machine in state.world.machines() {
        let ending = machine.lifecycle(now).is_ending();
        carrying += usize::from(ending && state.world.members.carries_traffic(&machine.id));
    }
    let calls = state.world.calls();
    if as_json {
        let document = json!({
            "format_version": 1,
            "faults": drill.faults.iter().map(|fault| fault.as_str()).collect::<Vec<_>>(),
            "prices": money::source(prices),
            "fleets": rehearsal::summary_json(&fleets, policy, &drill.rehearsal),
            "calls": calls,
            "terminated_in_traffic": carrying,
        });
        say!("{document}")?;
    } else {
        say!("\nThe drill in short, at {}", time::local(now, &policy.zone))?;
        let period = format!("all {}", time::text(drill.lasts));
        let hours = drill.lasts.as_secs_f64() / 3600.0;
        for line in rehearsal::summary(&fleets, (policy, prices), (&period, hours)) {
            say!("{line}")?;
        }
        let faults: Vec<&str> = drill.faults.iter().map(|fault| fault.as_str()).collect();
        say!(
            "  faults   {}",
            if faults.is_empty() { "none".to_owned() } else { faults.join(", ") }
        )?;
        let said: Vec<String> = calls.iter().map(|(call, n)| format!("{call} {n}")).collect();
        say!("  calls    {}", said.join(", "))?;
        say!("  {carrying} terminated instances still had traffic")?;
    }
    if carrying == 0 { Ok(()) } else { Err(Failure::Told(FAILED)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::telling::Telling;
    use tidegate_engine::model::reading::JsonFields;
    use tidegate_engine::policy::load;

    const POLICY: &str = r#"
version: 1
fleets:
  job:
    launch: { template: job }
    max: 5
    queue: { read: { http: "http://q.example/"JSON }, start_within: 15m, jobs_at_once: 2 }
"#;

    #[test]
    fn stage_keeps_how_the_policy_reads_its_queue() {
        let staged = |json: &str, assume| {
            let now = Timestamp::UNIX_EPOCH;
            let mut policy = load("test.yaml", &POLICY.replace("JSON", json), now).policy.unwrap();
            let said = stage(&mut policy, 80, Rehearsal { assume, ..Rehearsal::default() });
            let fleet = policy.fleets.into_values().next().unwrap();
            let source = fleet.queue.unwrap().source;
            let pointer = source.json.as_ref().and_then(|fields| match fields {
                JsonFields::Named(pointer) => Some(pointer.clone()),
                JsonFields::Mapped(_) => None,
            });
            (source.url.clone(), pointer, said.first().cloned().unwrap())
        };
        let (url, json, first) = staged("", None);
        assert_eq!((url.as_str(), json), ("http://127.0.0.1:80/queue/job", None));
        assert!(first.contains("a plain number"), "{first}");
        let (url, json, first) = staged(", json: /q/n", None);
        assert_eq!(url, "http://127.0.0.1:80/queue/job.json?at=%2Fq%2Fn");
        assert_eq!(json.as_deref(), Some("/q/n"));
        assert!(first.contains("it answers JSON"), "{first}");
        let (url, json, first) = staged("", Some(Telling::ALL));
        assert_eq!(url, "http://127.0.0.1:80/queue/job.json");
        assert_eq!(json.as_deref(), Some("/waiting"));
        assert!(first.starts_with("Assumed beyond the policy"), "{first}");
        let (url, _, first) = staged(", json: { waiting: /n, running: /r }", None);
        assert_eq!(url, "http://127.0.0.1:80/queue/job.json?waiting=%2Fn&running=%2Fr");
        assert!(first.ends_with("it answers JSON with running."), "{first}");
    }
}
