//! What systemd is told: ready after the first tick, alive after each one, reloading, stopping.

use sd_notify::NotifyState;
use tracing::debug;

use super::wake::Scheduler;
use crate::daemon::Herald;
use tidegate_engine::model::time::Timestamp;

/// Speaks to systemd where there is one; elsewhere every word is lost, as it should be.
pub(super) struct Systemd {
    scheduler: Scheduler,
}

impl Systemd {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self { scheduler }
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("systemd was not told: {error}");
    }
}

impl Herald for Systemd {
    fn ready(&self) {
        say(&[NotifyState::Ready]);
    }

    fn reloading(&self) {
        // systemd 253 and later match the two by the clock; earlier ones ignore it.
        match NotifyState::monotonic_usec_now() {
            Ok(clock) => say(&[NotifyState::Reloading, clock]),
            Err(_) => say(&[NotifyState::Reloading]),
        }
    }

    fn reloaded(&self) {
        say(&[NotifyState::Ready]);
    }

    fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }

    fn alive(&self, status: &str) {
        say(&[NotifyState::Watchdog, NotifyState::Status(status)]);
    }

    fn next_edge(&self, at: Option<Timestamp>) {
        self.scheduler.wake_at(at);
    }
}
