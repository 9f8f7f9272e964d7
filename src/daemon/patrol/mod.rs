//! Looks beside the ticks, which wait for none of them: at what changes seldom, costs little if it is
//! seen late, and is otherwise noticed by its harm. They tell, and nothing is done upon them. A look
//! that fails leaves what was known, and is made again with the next round.

mod drains;
mod volumes;
mod warnings;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::warn;

use crate::ports::Ports;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::ledger::{Ledger, OpenProblem};
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::warning::Warning;
use tidegate_engine::policy::Policy;

/// How often EC2 is asked for its warnings: it checks each minute, and announces days ahead.
const ROUND: Duration = Duration::from_mins(5);

/// How often all the rest is looked at.
const DAILY: Duration = Duration::from_hours(24);

/// What the last looks found.
#[derive(Debug, Default)]
pub struct Patrol {
    volumes: Look<Vec<Problem>>,
    drains: Look<Vec<Problem>>,
    warnings: Look<Vec<Warning>>,
}

/// One kind of look.
#[derive(Debug, Default)]
struct Look<T> {
    begun: Option<Instant>,
    found: Arc<Mutex<Found<T>>>,
}

/// What one look came to: it may have seen a part, and failed for the rest.
struct Looked<T> {
    seen: Option<T>,
    fault: Option<Fault>,
}

impl<T> From<Result<T, Fault>> for Looked<T> {
    fn from(result: Result<T, Fault>) -> Self {
        match result {
            Ok(seen) => Self { seen: Some(seen), fault: None },
            Err(fault) => Self { seen: None, fault: Some(fault) },
        }
    }
}

#[derive(Debug, Default)]
struct Found<T> {
    /// How many looks were begun: only what the latest of them finds counts.
    looks: u64,
    /// `None`: nobody has looked yet.
    last: Option<T>,
    /// Why the last look failed, if it did.
    failed: Option<String>,
}

impl<T: Send + 'static> Look<T> {
    /// Looks in the background, if the last look was so long ago, or failed a round ago.
    fn go_on(
        &mut self,
        what: &'static str,
        every: Duration,
        look: impl Future<Output = Looked<T>> + Send + 'static,
    ) {
        let mut found = lock(&self.found);
        let every = if found.failed.is_some() { ROUND.min(every) } else { every };
        if self.begun.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.begun = Some(Instant::now());
        found.looks = found.looks.wrapping_add(1);
        let this = found.looks;
        drop(found);
        let found = self.found.clone();
        tokio::spawn(async move {
            let looked = look.await;
            let mut found = lock(&found);
            if found.looks != this {
                return;
            }
            found.last = looked.seen.or_else(|| found.last.take());
            let why = looked.fault.map(|fault| fault.to_string());
            if let Some(why) = why.as_ref().filter(|_| found.failed != why) {
                warn!("failed to look for {what}: {why}");
            }
            found.failed = why;
        });
    }

    /// What is told: of what the last look found, or what stood before anybody looked.
    fn told(
        &self,
        kinds: &[ProblemKind],
        ledger: &Ledger,
        tell: impl FnOnce(&T) -> Vec<Problem>,
    ) -> Vec<Problem> {
        let found = lock(&self.found);
        let Some(last) = &found.last else {
            let known = |problem: &&OpenProblem| {
                problem.key.kind().is_some_and(|kind| kinds.contains(&kind))
            };
            return ledger.problems.values().filter(known).map(OpenProblem::problem).collect();
        };
        tell(last)
    }
}

fn lock<T>(found: &Mutex<Found<T>>) -> std::sync::MutexGuard<'_, Found<T>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Patrol {
    /// At each tick.
    pub(super) fn go_on(&mut self, ports: &Ports, policy: &Policy, ledger: &Ledger) {
        let (cloud, install) = (ports.cloud.clone(), policy.install.clone());
        self.volumes.go_on(
            "volumes that servers left behind",
            DAILY,
            volumes::look(cloud.clone(), install).map(Looked::from),
        );
        let said = drains::said(policy, ledger);
        self.drains.go_on(
            "what load balancers do to connections",
            DAILY,
            drains::look(ports.balancers.clone(), said),
        );
        let warnings = async move { cloud.warnings().await.into() };
        self.warnings.go_on("warnings of EC2", ROUND, warnings);
    }

    /// There is another policy, and perhaps another drain in it.
    pub(super) fn look_anew(&mut self) {
        self.drains.begun = None;
    }

    pub(super) fn problems(&self, ledger: &Ledger, policy: &Policy) -> Vec<Problem> {
        let mut problems = self.volumes.told(&[ProblemKind::Volumes], ledger, Clone::clone);
        problems.extend(self.drains.told(
            &[ProblemKind::DeregistrationDelay],
            ledger,
            Clone::clone,
        ));
        let of_ec2 = |last: &Vec<Warning>| warnings::told(last, ledger, policy);
        problems.extend(self.warnings.told(
            &[ProblemKind::Impaired, ProblemKind::ScheduledEvent],
            ledger,
            of_ec2,
        ));
        problems
    }
}
