//! What wakes the loop: the moments at which the schedule changes, a daily hour for housekeeping,
//! and an edited policy file. A wake-up says nothing but "look".

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::warn;

use crate::daemon::Wake;
use crate::model::time::{self, Timestamp};

/// 03:17 UTC: once a day at a quiet minute. The scheduler keeps a fixed offset and would be an hour
/// off after a change to daylight saving; for housekeeping that does not matter, and nothing else
/// is given to its cron.
const HOUSEKEEPING: &str = "0 17 3 * * *";

/// The scheduler, holding at most one wake-up for the next change of any schedule.
pub(super) struct Scheduler {
    edges: mpsc::UnboundedSender<Timestamp>,
    known: Mutex<Option<Timestamp>>,
}

impl Scheduler {
    pub(super) async fn start(wake: &Wake) -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await.context("failed to make the scheduler")?;
        let housekeeping = wake.housekeeping.clone();
        let job = Job::new(HOUSEKEEPING, move |_, _| housekeeping.notify_one());
        scheduler
            .add(job.context("failed to plan housekeeping")?)
            .await
            .context("failed to plan housekeeping")?;
        scheduler.start().await.context("failed to start the scheduler")?;
        let (edges, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(plan_edges(scheduler, arrivals, wake.tick.clone()));
        Ok(Self { edges, known: Mutex::new(None) })
    }

    /// Wakes the loop at `at`, instead of what was planned before.
    pub(super) fn wake_at(&self, at: Option<Timestamp>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != at {
            *known = at;
            if let Some(at) = at {
                // The task ends with the process; nothing is lost but a wake-up.
                self.edges.send(at).ok();
            }
        }
    }
}

/// Keeps one one-shot job, for the latest edge that was named.
async fn plan_edges(
    scheduler: JobScheduler,
    mut edges: mpsc::UnboundedReceiver<Timestamp>,
    tick: Arc<tokio::sync::Notify>,
) {
    let mut planned = None;
    while let Some(at) = edges.recv().await {
        if let Some(job) = planned.take() {
            scheduler.remove(&job).await.ok();
        }
        let tick = tick.clone();
        let wait = time::since(at, super::check::now());
        let job = Job::new_one_shot(wait, move |_, _| tick.notify_one());
        match job {
            Ok(job) => planned = scheduler.add(job).await.ok(),
            Err(error) => warn!("no wake-up for {at:.0}: {error}; the next tick sees it"),
        }
    }
}

/// Watches the policy file's folder, since editors and package managers replace the file. Lives as
/// long as what it gives back.
pub(super) fn watch(path: &Path, wake: &Wake) -> Option<RecommendedWatcher> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?.to_owned();
    let reload = wake.reload.clone();
    let watched = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let changes = event.is_ok_and(|event| {
            let written =
                event.kind.is_create() || event.kind.is_modify() || event.kind.is_remove();
            written && event.paths.contains(&path)
        });
        if changes {
            reload.notify_one();
        }
    });
    let watched = watched.and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched.inspect_err(super::unwatched).ok()
}
