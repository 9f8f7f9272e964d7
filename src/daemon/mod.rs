//! The driver over the real world: ticks, wake-ups, reloads, orders, and an end in good order. It
//! is handed its ports and knows nothing of AWS or SQL.

mod obstacles;
mod orders;
pub mod patrol;
mod reception;
mod stake;
mod telling;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, error, info, info_span, warn};

use self::patrol::Patrol;
use self::reception::{Gate, Interrupt, Loaded, Stage, Visitor};
use crate::admin::Handle;
use crate::admin::view::StatusView;
use crate::custody;
use crate::metrics::{Done, Meter};
use crate::ports::{Ports, ShadowBook, StoreFault};
use crate::record::Journal;
use crate::shadow::Shadow;
use crate::telemetry;
use crate::tick::{Attendant as _, Survey, TickRecord, attended};
use tidegate_engine::model::ledger::{Change, Event, EventKind};
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Policy;

pub use self::reception::{Loader, Reception};
pub use self::telling::Telling;

/// How long the calls in hand may take to finish once the daemon is told to stop. Every call is
/// written down before it is made, so one that is cut off is found again at the next start.
const FINISH_WITHIN: Duration = Duration::from_secs(15);

/// Between two ticks at the least, whatever the clock says and however often somebody asks: a storm
/// of signals is no reason to storm AWS.
const SHORTEST: Duration = Duration::from_millis(200);

/// A tick that takes longer is told: whoever waits for servers waits for it.
const SLOW: Duration = Duration::from_secs(30);

/// What tells the daemon to look sooner. A wake-up carries nothing: the tick reads everything anew.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    pub tick: Arc<Notify>,
    pub reload: Arc<Notify>,
    pub housekeeping: Arc<Notify>,
}

/// What the daemon tells whoever started it.
pub trait Herald: Send + Sync {
    /// The first tick is done.
    fn ready(&self);
    fn reloading(&self);
    fn reloaded(&self);
    fn stopping(&self);
    /// A tick is done: the only sign of life that counts.
    fn alive(&self, status: &str);
    /// The next moment the schedule changes.
    fn next_edge(&self, at: Option<Timestamp>);
}

pub struct Daemon {
    pub ports: Ports,
    pub journal: Journal,
    pub policy: Arc<Policy>,
    pub handle: Handle,
    pub reception: Reception,
    pub wake: Wake,
    pub herald: Arc<dyn Herald>,
    pub meter: Arc<Meter>,
    /// Problems that no tick can see: a rebuilt state, a refused policy file.
    pub standing: Vec<Problem>,
    pub patrol: Patrol,
    /// A second policy, and where it is noted what it would have done.
    pub shadow: Option<(Shadow, Arc<dyn ShadowBook>)>,
    /// Who is told of what happens.
    pub telling: Telling,
    /// Seconds of the clock per real second: 1, but in a drill.
    pub speed: u32,
}

impl Daemon {
    /// Runs until `stop`; leaves every server as it is.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut ready = false;
        telemetry::stamp_in(&self.policy.zone);
        self.meter.begin(&self.policy, self.journal.ledger(), self.ports.clock.now());
        loop {
            let last = self.reception.stop();
            let done = {
                let span = info_span!("tick", otel.status_code = Empty);
                let turn = self.turn().instrument(span);
                let mut turn = pin!(turn);
                tokio::select! {
                    next = &mut turn => Some(next),
                    () = &mut stop => {
                        last.notify_one();
                        if tokio::time::timeout(FINISH_WITHIN, turn).await.is_err() {
                            warn!("stopped before the last calls were answered; the next start finds them again");
                        }
                        None
                    }
                }
            };
            let Some(next) = done else { break };
            if !ready && self.reception.is_open() {
                self.herald.ready();
                ready = true;
            }
            if !self.wait(next, stop.as_mut()).await {
                break;
            }
        }
        self.herald.stopping();
        info!("stopped; servers are left as they are");
    }

    /// One tick, and when the next is due.
    async fn turn(&mut self) -> Timestamp {
        let began = self.ports.clock.now();
        let stopwatch = Instant::now();
        self.look_who_may_write();
        self.look_who_is_reached(began);
        self.patrol.go_on(&self.ports, &self.policy, self.journal.ledger());
        let mut standing = self.standing.clone();
        standing.extend(self.patrol.problems(self.journal.ledger(), &self.policy));
        let mut gate = Gate {
            stage: Stage::Looking,
            policy: &self.policy,
            ports: &self.ports,
            herald: &*self.herald,
            telling: &mut self.telling,
            reception: &mut self.reception,
        };
        let (policy, journal) = (&self.policy, &mut self.journal);
        let done = attended(&self.ports, policy, journal, &standing, &mut gate).await;
        let next = match done {
            Ok(ControlFlow::Continue(record)) => {
                self.done(&record, stopwatch.elapsed()).await;
                let Survey { roster, .. } = *record.survey;
                self.reception.saw(roster);
                record.next
            }
            Ok(ControlFlow::Break(Interrupt::NewPolicy)) => {
                self.herald.alive("looks anew, for a new policy");
                began
            }
            Ok(ControlFlow::Break(Interrupt::Stop)) => began,
            Err(fault) => {
                self.stuck(&fault, began);
                time::after(began, self.policy.tick)
            }
        };
        self.look_how_long(stopwatch.elapsed());
        self.settle().await;
        if self.catch_up().await { began } else { next }
    }

    /// Ends the problems of one kind.
    fn end(&mut self, kind: ProblemKind) {
        self.standing.retain(|problem| !problem.key.is(kind));
    }

    fn look_how_long(&mut self, took: Duration) {
        self.end(ProblemKind::SlowTick);
        if took > SLOW {
            let text = format!(
                "the last tick took {}, and they are due every {}: AWS, a load balancer or the disk is slow",
                time::text(Duration::from_secs(took.as_secs())),
                time::text(self.policy.tick)
            );
            self.standing.push(Problem::new(ProblemKind::SlowTick, None, text));
        }
    }

    async fn done(&mut self, record: &TickRecord, took: Duration) {
        self.reception.fresh_start();
        self.tell(record);
        self.meter.ticked(&Done {
            policy: &self.policy,
            ledger: self.journal.ledger(),
            record,
            at: self.ports.clock.now(),
            took,
        });
        if let Some((shadow, book)) = &mut self.shadow {
            let changes = shadow.beside(&self.policy, &record.survey);
            if !changes.is_empty()
                && let Err(fault) = book.note(&changes).await
            {
                warn!("what the second policy would have done is not recorded: {fault}");
            }
        }
    }

    /// Without the journal nothing is begun. Told each time: it is rare, and urgent.
    fn stuck(&mut self, fault: &StoreFault, began: Timestamp) {
        self.reception.fresh_start();
        let text = format!("state database: {fault}; nothing is launched or terminated meanwhile");
        error!(kind = "problem", "{text}");
        Span::current().record("otel.status_code", "ERROR");
        self.handle.trouble(&text, began);
        self.telling.stuck(&self.policy, self.journal.ledger(), &text, began);
        self.meter.stuck();
    }

    /// At every turn: rights change without a word to whoever watches the file.
    fn look_who_may_write(&mut self) {
        self.end(ProblemKind::PolicyWritable);
        let writers = custody::writers(self.reception.policy_path());
        if !writers.is_empty() {
            let text = format!(
                "{}: whoever writes the policy launches and ends servers",
                writers.join("; ")
            );
            self.standing.push(Problem::new(ProblemKind::PolicyWritable, None, text));
        }
    }

    fn look_who_is_reached(&mut self, now: Timestamp) {
        self.end(ProblemKind::Undelivered);
        self.standing.extend(self.telling.unreached(now));
    }

    fn tell(&mut self, record: &TickRecord) {
        self.telling.ticked(&self.policy, self.journal.ledger(), record);
        let status = StatusView::of(&self.policy, self.journal.ledger(), &record.survey);
        let line: Vec<String> = status
            .fleets
            .iter()
            .map(|fleet| {
                format!(
                    "{} {}/{}",
                    fleet.name,
                    fleet.in_service,
                    fleet.desired.unwrap_or(fleet.capacity)
                )
            })
            .collect();
        self.handle.show(status, &self.policy);
        self.herald.alive(&line.join(", "));
        let edges = self.policy.fleets.values().filter_map(|fleet| {
            let schedule = fleet.schedule.as_ref()?;
            let boot = record.survey.roster.fleets.get(&fleet.name)?.memory.boots.median();
            schedule.level(record.survey.seen.now, boot.unwrap_or_default()).next_change.clone()
        });
        self.herald.next_edge(edges.map(|(at, _)| at).min());
    }

    /// Waits for the next tick or for something to do; `false`: to stop.
    async fn wait(
        &mut self,
        next: Timestamp,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        let span = time::since(next, self.ports.clock.now());
        let sleep = tokio::time::sleep((span / self.speed.max(1)).max(SHORTEST));
        let mut sleep = pin!(sleep);
        let mut rest = pin!(tokio::time::sleep(SHORTEST));
        loop {
            tokio::select! {
                () = &mut stop => return false,
                () = &mut sleep => return true,
                () = self.wake.tick.notified() => break,
                () = self.wake.housekeeping.notified() => {
                    if let Err(fault) = self.ports.store.prune(self.ports.clock.now()).await {
                        warn!("failed to prune the record: {fault}");
                    }
                }
                visitor = self.reception.visitor() => {
                    // The file is read beside the loop: there is nothing new to tick for yet.
                    let begins = matches!(visitor, Visitor::Reload(_));
                    self.serve(visitor).await;
                    if !begins {
                        break;
                    }
                }
            }
        }
        tokio::select! {
            () = &mut stop => false,
            () = &mut rest => true,
        }
    }

    /// Serves those who had to wait for the end of the tick; whether there were any.
    async fn catch_up(&mut self) -> bool {
        let (waiting, hurry) = self.reception.waiting();
        let any = hurry || !waiting.is_empty();
        for visitor in waiting {
            self.serve(visitor).await;
        }
        any
    }

    /// Between two ticks.
    async fn serve(&mut self, visitor: Visitor) {
        let mut gate = Gate {
            stage: Stage::Idle,
            policy: &self.policy,
            ports: &self.ports,
            herald: &*self.herald,
            telling: &mut self.telling,
            reception: &mut self.reception,
        };
        gate.serve(visitor, &mut self.journal).await;
        self.settle().await;
    }

    /// What was read of the policy file takes effect, all or nothing: a file that cannot be used
    /// leaves the old policy in force.
    async fn settle(&mut self) {
        for loaded in self.reception.loaded() {
            self.end(ProblemKind::PolicyRefused);
            self.meter.reloaded(loaded.is_usable(), self.ports.clock.now());
            match loaded {
                Loaded::Unchanged => {}
                Loaded::Refused(why) => self.refused(&why),
                Loaded::New(policy) => {
                    let text = Loaded::text(&self.policy, &policy);
                    self.policy = Arc::from(policy);
                    telemetry::stamp_in(&self.policy.zone);
                    let noted = self.journal.in_force(&self.policy, self.ports.clock.now());
                    if let Err(fault) = noted.await {
                        warn!("the new policy is in force and not in the record: {fault}");
                    }
                    self.note(EventKind::Policy, text).await;
                    self.patrol.look_anew();
                }
            }
            if self.reception.is_open() {
                self.herald.reloaded();
            }
        }
    }

    fn refused(&mut self, why: &str) {
        let first = why.lines().next().unwrap_or_default();
        let text = format!(
            "{} is refused and policy {} stays in force: {first}; `tidegate check` tells all",
            self.reception.policy_path().display(),
            self.policy.digest
        );
        self.standing.push(Problem::new(ProblemKind::PolicyRefused, None, text));
    }

    async fn note(&mut self, kind: EventKind, text: String) {
        let event = Event { at: self.ports.clock.now(), kind, fleet: None, instance: None, text };
        telemetry::log(&event);
        self.telling.note(&event);
        if let Err(fault) = self.journal.commit(&[Change::Event(event)]).await {
            warn!("{fault}");
        }
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("policy", &self.policy.digest).finish_non_exhaustive()
    }
}
