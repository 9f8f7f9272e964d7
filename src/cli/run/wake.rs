//! What wakes the loop: the moments at which the schedule changes, a daily hour for housekeeping,
//! and an edited policy file. A wake-up says nothing but "look".

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use notify::event::{ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::warn;

use crate::custody::{CHECK_EVERY, LOOK_EVERY, Look, Rest, Watched};
use crate::daemon::Wake;
use tidegate_engine::model::time::{self, Timestamp};

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
    tick: Arc<Notify>,
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

/// Watches the policy file's folder, since editors and package managers replace the file, and looks
/// at the file itself from time to time. `read` is how the file looked before the policy in force was
/// read. The watch lives as long as the returned value; the looks go on without it.
pub(super) fn watch(
    path: &Path,
    read: Option<Look>,
    wake: &Wake,
    restless: Arc<AtomicBool>,
) -> Option<RecommendedWatcher> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?.to_owned();
    let file = Arc::new(Edited {
        path: path.clone(),
        somehow: Notify::new(),
        in_one_step: AtomicBool::new(false),
        restless,
    });
    tokio::spawn(read_at_rest(file.clone(), read, wake.reload.clone()));
    let watched = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let written = event.kind.is_create() || event.kind.is_modify() || event.kind.is_remove();
        if written && event.paths.contains(&path) {
            if is_moved_in(&event, &path) {
                file.in_one_step.store(true, Ordering::Relaxed);
            }
            file.somehow.notify_one();
        }
    });
    let watched = watched.and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched.inspect_err(super::unwatched).ok()
}

/// The policy file, as its watcher sees it.
struct Edited {
    path: PathBuf,
    somehow: Notify,
    /// A file that was finished elsewhere took its place.
    in_one_step: AtomicBool,
    restless: Arc<AtomicBool>,
}

fn is_moved_in(event: &notify::Event, path: &Path) -> bool {
    let EventKind::Modify(ModifyKind::Name(how)) = event.kind else { return false };
    // Of the two paths of a move, the second is where it went.
    matches!(how, RenameMode::To | RenameMode::Both)
        && event.paths.last().is_some_and(|to| to == path)
}

/// Requests a reload once the file is at rest, and reports a file that does not come to rest.
async fn read_at_rest(file: Arc<Edited>, mut read: Option<Look>, reload: Arc<Notify>) {
    loop {
        tokio::select! {
            () = file.somehow.notified() => {}
            () = differs(&file.path, read) => {}
        }
        let mut rest = Rest::begin(Look::at(&file.path));
        while !file.in_one_step.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(LOOK_EVERY).await;
            match rest.look(Look::at(&file.path), LOOK_EVERY) {
                Watched::AtRest => break,
                Watched::Moving => {}
                Watched::Restless => {
                    if !file.restless.swap(true, Ordering::Relaxed) {
                        reload.notify_one();
                    }
                }
            }
        }
        file.restless.store(false, Ordering::Relaxed);
        // Taken before the file is read, so that a change in between is seen by the next look.
        read = Look::at(&file.path);
        reload.notify_one();
    }
}

/// Waits until the file does not look as it did when it was read.
async fn differs(path: &Path, read: Option<Look>) {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        if Look::at(path) != read {
            return;
        }
    }
}
