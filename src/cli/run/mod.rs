//! `tidegate run`: settings checked, lock taken, ports joined, ready after the first tick, a signal,
//! an end in good order.

mod herald;
#[cfg(not(feature = "otlp"))]
mod unexported;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{Instrument as _, info, info_span, warn};

use self::herald::Systemd;
#[cfg(not(feature = "otlp"))]
use self::unexported::Exports;
use super::listen::{self, Listen};
use super::world::World;
use super::{FAILED, Failure, check, runtime, world};
use crate::admin::{self, AdminSocket, Handle};
use crate::custody::{self, Accept, Look};
use crate::daemon::patrol::Patrol;
use crate::daemon::{Daemon, Loader, Reception, Telling, Wake};
use crate::metrics::Meter;
use crate::notices::{self, Clerk, Desk, Post};
#[cfg(feature = "otlp")]
use crate::otlp::Exports;
use crate::ports::{History as _, Ports, ShadowBook, Topics};
use crate::record::Journal;
use crate::settings::Settings;
use crate::shadow::Shadow;
use crate::store::{self, SqliteHistory, SqliteStore, StateDir};
use crate::telemetry::{self, LogFormat};
use crate::tick::tick;
use crate::web::Shown;
use tidegate_engine::model::history::InForce;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::time;
use tidegate_engine::policy::Policy;

#[derive(Debug, Args)]
#[command(after_help = "\
Log, metrics and traces go to a collector as well if OTEL_EXPORTER_OTLP_ENDPOINT names one, \
http://127.0.0.1:4318 say.")]
pub(crate) struct Run {
    /// A second policy: decided beside the live one and never acted upon; see `tidegate shadow`
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    shadow: Option<PathBuf>,
    /// One tick, then exit: for cron, and for trying
    #[arg(long)]
    once: bool,
    /// Where the page and /metrics are, to be read only: an address and a port, or `off`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8490")]
    listen: Listen,
    /// How the log is written
    #[arg(long, value_enum, default_value = "auto")]
    log_format: LogFormat,
    /// More of it
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(args: &Run, settings: &Settings, json: bool) -> Result<(), Failure> {
    custody::close_new_files();
    let format = if json { LogFormat::Json } else { args.log_format };
    let now: telemetry::Now = Arc::new(check::now);
    let mut exports = Exports::begin(&settings.otel, now.clone());
    let also = exports.layers(args.verbose);
    telemetry::init(format, settings.under_systemd, args.verbose, &now, also);
    exports.tell();
    let done = ready(args, settings, &mut exports);
    // Whatever it ended with: the last lines say why.
    exports.end();
    done
}

fn ready(args: &Run, settings: &Settings, exports: &mut Exports) -> Result<(), Failure> {
    let read = Look::at(&settings.config);
    let load = |path| check::usable_in_daemon(path, settings);
    let policy = load(&settings.config)?;
    let second = args.shadow.as_deref().map(load).transpose()?;
    telemetry::stamp_in(&policy.zone);
    let meter = Arc::new(Meter::new());
    if !args.once {
        exports.measure(meter.clone());
    }
    runtime()?.block_on(start(args, settings, (policy, second, read), meter))
}

async fn start(
    args: &Run,
    settings: &Settings,
    (policy, second, read): (Policy, Option<Policy>, Option<Look>),
    meter: Arc<Meter>,
) -> Result<(), Failure> {
    let now = check::now();
    let dir = StateDir::lock(&settings.state_dir).map_err(anyhow::Error::new)?;
    let opened = store::open(&dir, now).map_err(anyhow::Error::new)?;
    let mut standing = rebuilt(opened.rebuilt.as_deref());
    let database = Arc::new(opened.store);
    let World { ports, topics } =
        world::world(settings, &policy, database.clone(), Some(meter.clone()), args.once).await?;
    let mut journal = Journal::open(database.clone(), now).await.map_err(anyhow::Error::new)?;
    journal.in_force(&policy, now).await.map_err(anyhow::Error::new)?;
    let history = Arc::new(SqliteHistory::of(&dir));
    // For the answer to `reload` alone: a damaged record of policies keeps no daemon from starting.
    let known = history.policy_at(now).await.ok().flatten();
    let since = known.map_or(now, |known| known.since);
    info!(
        kind = "policy",
        "tidegate {} starts with policy {} ({} fleets)",
        env!("CARGO_PKG_VERSION"),
        policy.digest,
        policy.fleets.len()
    );
    if args.once {
        let once = once(&ports, &policy, &mut journal, &standing);
        return once.instrument(info_span!("tick")).await;
    }
    let shadow = match second {
        Some(second) => Some(shadow(args, &policy, second, &database).await?),
        None => None,
    };
    let (handle, orders) = Handle::new();
    let listener = AdminSocket::bind(&settings.socket).await?;
    let shown =
        Shown { meter: meter.clone(), picture: handle.watch(), history, now: Arc::new(check::now) };
    if let Err(why) = listen::open(args.listen, shown).await {
        warn!("{why}");
        standing.push(Problem::new(ProblemKind::Listen, None, why));
    }
    let (desk, clerk) = clerk(settings, &dir, topics)?;
    let wake = Wake::default();
    let scheduler = wake::Scheduler::start(&wake).await?;
    let herald = Arc::new(Systemd::new(scheduler));
    let restless = Arc::<AtomicBool>::default();
    let daemon = Daemon {
        ports,
        journal,
        policy: Arc::new(policy),
        handle: handle.clone(),
        reception: Reception::new(
            orders,
            wake.reload.clone(),
            settings.config.clone(),
            patient(loader(settings.config.clone()), restless.clone()),
        )
        .in_force(since),
        wake: wake.clone(),
        herald,
        meter,
        standing,
        patrol: Patrol::default(),
        shadow,
        telling: Telling::over(desk),
        speed: 1,
    };
    let _watch = wake::watch(&settings.config, read, &wake, restless);
    serve(daemon, listener, handle, wake).await?;
    // The desk has gone with the daemon, and the clerk takes its leave.
    clerk.await.context("the task that sends notices ended in disorder")?;
    database.settle().await;
    drop(dir);
    Ok(())
}

/// What is to be told of a database that could not be read any more.
fn rebuilt(why: Option<&str>) -> Vec<Problem> {
    let told = why.map(|why| {
        let text = format!(
            "the state database was begun anew: {why}; servers were found again by their tags and \
             tokens, overrides are lost"
        );
        Problem::new(ProblemKind::StateRebuilt, None, text)
    });
    told.into_iter().collect()
}

/// `--once`: one tick.
async fn once(
    ports: &Ports,
    policy: &Policy,
    journal: &mut Journal,
    standing: &[Problem],
) -> Result<(), Failure> {
    let record = tick(ports, policy, journal, standing).await.map_err(anyhow::Error::new)?;
    record.events.iter().for_each(telemetry::log);
    match &record.survey.roster.blind {
        Some(blind) => Err(Failure::Error(FAILED, anyhow!("nothing was done: {blind}"))),
        None => Ok(()),
    }
}

/// The task that tells people, and the desk at which it is told what.
fn clerk(
    settings: &Settings,
    dir: &StateDir,
    topics: Arc<dyn Topics>,
) -> Result<(Desk, JoinHandle<()>), Failure> {
    let (desk, tray) = Desk::open();
    let now: notices::Now = Arc::new(check::now);
    let post = Post::new(settings.secret_dirs.clone(), now.clone());
    let clerk = Clerk {
        courier: Arc::new(post.context("failed to prepare HTTP")?.over(topics)),
        path: dir.path().join(notices::FILE),
        now,
        pace: notices::Pace::default(),
    };
    Ok((desk, tokio::spawn(clerk.run(tray))))
}

/// The second policy, with the servers it had imagined before a restart.
async fn shadow(
    args: &Run,
    live: &Policy,
    second: Policy,
    database: &Arc<SqliteStore>,
) -> Result<(Shadow, Arc<dyn ShadowBook>), Failure> {
    let path = args.shadow.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let in_force = InForce {
        since: check::now(),
        digest: second.digest.clone(),
        text: second.text.to_string(),
    };
    let open = database.begin(&in_force, &path).await.map_err(anyhow::Error::new)?;
    info!(
        kind = "policy",
        "policy {} of {path} is decided beside, and never acted upon", second.digest
    );
    let shadow = Shadow::new(second, open);
    for why in shadow.incomparable(live) {
        warn!("{path}: {why}");
    }
    Ok((shadow, database.clone()))
}

/// Runs daemon, socket and signals together. Any of them that ends, ends the process.
async fn serve(
    daemon: Daemon,
    listener: AdminSocket,
    handle: Handle,
    wake: Wake,
) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
    };
    let reload = async {
        while hangup.recv().await.is_some() {
            wake.reload.notify_one();
        }
    };
    // A task of its own: it answers while the loop waits for its disk.
    let mut door = JoinSet::new();
    door.spawn(admin::serve(listener, handle));
    tokio::select! {
        () = daemon.run(stop) => Ok(()),
        _ = door.join_next() => {
            Err(Failure::Error(FAILED, anyhow!("the socket's server ended")))
        }
        () = reload => Err(Failure::Error(FAILED, anyhow!("the signal handler ended"))),
    }
}

/// Reads the file anew at each call; the first error stands for all.
pub(super) fn loader(path: PathBuf) -> Loader {
    Arc::new(move || {
        let read = check::read(&path, Accept::RegularFiles, check::now())
            .map_err(|error| format!("{error:#}"))?;
        let rendered = read.rendered(false);
        read.loaded.policy.ok_or_else(|| {
            let errors = read
                .loaded
                .problems
                .iter()
                .find(|p| p.severity == tidegate_engine::policy::Severity::Error);
            let first = errors.map(|p| format!("line {}: {}", p.at.line, p.message));
            format!("{}\n{rendered}", first.unwrap_or_default())
        })
    })
}

/// What is still being written may be half of a policy, and valid.
fn patient(load: Loader, restless: Arc<AtomicBool>) -> Loader {
    Arc::new(move || {
        if restless.load(Ordering::Relaxed) {
            return Err(format!(
                "it has been written to for {} and more without a pause, so it is not read",
                time::text(custody::AT_MOST)
            ));
        }
        load()
    })
}

/// Says what the watcher could not do; the daemon runs without it, by SIGHUP.
fn unwatched(error: &notify::Error) {
    warn!("the policy file is not watched ({error}); reload with `tidegate reload`");
}
