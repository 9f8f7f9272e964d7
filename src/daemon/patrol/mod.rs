//! Looks beside the ticks, which wait for none of them: at what changes seldom, costs little if it is
//! seen late, and is otherwise noticed by its harm. They tell, and nothing is done upon them. A look
//! that fails leaves what was known.

mod drains;
mod volumes;
mod warnings;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::model::fault::Fault;
use crate::model::ledger::Ledger;
use crate::model::warning::Warning;
use crate::policy::Policy;
use crate::ports::Ports;
use crate::record::Concern;

/// How often EC2 is asked for its warnings: it checks each minute, and announces days ahead.
const WARNINGS_EVERY: Duration = Duration::from_mins(5);

/// What the last looks found.
#[derive(Debug, Default)]
pub struct Patrol {
    volumes: Found<Option<Concern>>,
    drains: Found<Vec<Concern>>,
    warnings: Found<Vec<Warning>>,
    warned_at: Option<Instant>,
}

/// What one kind of look found last, and why the last one failed.
#[derive(Debug, Clone, Default)]
struct Found<T>(Arc<Mutex<(T, Option<String>)>>);

impl<T: Clone + Send + 'static> Found<T> {
    fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Looks in the background.
    fn by(
        &self,
        what: &'static str,
        look: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) {
        let found = self.0.clone();
        tokio::spawn(async move {
            let looked = look.await;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match looked {
                Ok(seen) => *found = (seen, None),
                Err(fault) => {
                    let why = fault.to_string();
                    if found.1.as_ref() != Some(&why) {
                        warn!("failed to look for {what}: {why}");
                    }
                    found.1 = Some(why);
                }
            }
        });
    }
}

impl Patrol {
    /// At the start and once a day.
    pub(super) fn daily(&self, ports: &Ports, policy: &Policy) {
        self.volumes.by(
            "volumes that servers left behind",
            volumes::look(ports.cloud.clone(), policy.install.clone()),
        );
        self.drains(ports, policy);
    }

    /// Also when there is a new policy.
    pub(super) fn drains(&self, ports: &Ports, policy: &Policy) {
        let said = drains::of(policy);
        self.drains.by(
            "what load balancers do to connections",
            drains::look(ports.balancers.clone(), said),
        );
    }

    /// At each tick.
    pub(super) fn go_on(&mut self, ports: &Ports) {
        if self.warned_at.is_none_or(|at| at.elapsed() >= WARNINGS_EVERY) {
            self.warned_at = Some(Instant::now());
            let cloud = ports.cloud.clone();
            self.warnings.by("warnings of EC2", async move { cloud.warnings().await });
        }
    }

    pub(super) fn concerns(&self, ledger: &Ledger) -> Vec<Concern> {
        let mut concerns: Vec<Concern> = self.volumes.get().into_iter().collect();
        concerns.extend(self.drains.get());
        concerns.extend(warnings::told(&self.warnings.get(), ledger));
        concerns
    }
}
