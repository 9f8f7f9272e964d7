//! The task that carries notices. It is the only one that knows what each route was told, so nothing
//! here is locked; a route that hangs or fails delays no other route, and no tick.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::memory::{self, Kept};
use super::outbox::Letter;
use super::{Courier, Glance, Outcome, Sender, Then, Tray, Undelivered};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::notify::{Route, Target};

/// How fast a clerk is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After a letter the next waits so long, and takes along what comes meanwhile.
    pub grouped_for: Duration,
    /// The pause after a failure, doubled each time up to the cap.
    pub pause_first: Duration,
    pub pause_at_most: Duration,
    /// For one delivery, all told.
    pub delivered_within: Duration,
    /// A heart beats for so long after a tick: as long as systemd lets a daemon live without one.
    pub alive_for: Duration,
    /// What still waits when the daemon ends is tried once more for so long, and kept otherwise.
    pub parting: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            grouped_for: Duration::from_secs(30),
            pause_first: Duration::from_secs(2),
            pause_at_most: Duration::from_mins(5),
            delivered_within: Duration::from_secs(30),
            alive_for: Duration::from_mins(3),
            parting: Duration::from_secs(5),
        }
    }
}

/// Whatever the other side asks for.
const PATIENCE_AT_MOST: Duration = Duration::from_hours(1);

/// The instant that the clock of the daemon shows.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Carries what comes into its tray.
pub struct Clerk {
    pub courier: Arc<dyn Courier>,
    /// Where it is kept what was told.
    pub path: PathBuf,
    pub now: Now,
    pub pace: Pace,
}

/// A route at work.
#[derive(Default)]
struct Line {
    kept: Kept,
    route: Option<Route>,
    /// On its way: not in the outbox, and not yet delivered.
    under_way: Option<Letter>,
    failures: u32,
    /// Nothing goes before this.
    not_before: Option<Instant>,
    outcome: Outcome,
}

/// What became of a delivery: the route, and how it went.
type Done = (String, Result<(), Undelivered>);

struct Failure {
    why: Undelivered,
    at: Timestamp,
}

struct Work {
    clerk: Clerk,
    lines: BTreeMap<String, Line>,
    sender: Option<Sender>,
    /// When the last tick was finished.
    alive_at: Option<Instant>,
    parting: bool,
    /// What is kept has changed since it was written.
    dirty: bool,
    /// Writing failed, and it was told.
    unwritten: bool,
}

impl Clerk {
    /// Until the desk closes, and a little longer.
    pub async fn run(self, tray: Tray) {
        let Tray { mut glances, outcomes } = tray;
        let mut work = Work::begin(self).await;
        let mut under_way: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut parting = None;
        loop {
            for delivery in work.deliveries() {
                under_way.push(delivery);
            }
            work.save().await;
            *outcomes.lock().unwrap_or_else(PoisonError::into_inner) = work.outcomes();
            if parting.is_some() && under_way.is_empty() {
                break;
            }
            let next = parting.or_else(|| work.next());
            tokio::select! {
                glance = glances.recv(), if parting.is_none() => {
                    if let Some(glance) = glance {
                        work.take(glance);
                    } else {
                        parting = Some(Instant::now() + work.clerk.pace.parting);
                        work.parting = true;
                    }
                }
                Some(done) = under_way.next() => work.settle(done),
                () = sleep_until(next) => if parting.is_some() { break },
            }
        }
        work.give_up();
        work.save().await;
    }
}

impl std::fmt::Debug for Clerk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clerk").field("path", &self.path).finish_non_exhaustive()
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

impl Work {
    async fn begin(clerk: Clerk) -> Self {
        let kept = memory::load(&clerk.path).await.unwrap_or_else(|why| {
            let path = clerk.path.display();
            warn!("{path} cannot be used: {why}; open problems are told once more");
            BTreeMap::new()
        });
        let line = |(name, kept)| (name, Line { kept, ..Line::default() });
        Self {
            lines: kept.into_iter().map(line).collect(),
            clerk,
            sender: None,
            alive_at: None,
            parting: false,
            dirty: false,
            unwritten: false,
        }
    }

    /// Takes a glance in: which routes there are, and what each is to be told.
    fn take(&mut self, glance: Glance) {
        if glance.alive {
            self.alive_at = Some(Instant::now());
        }
        let routes = &glance.notify.routes;
        let before = self.lines.len();
        self.lines.retain(|name, _| routes.contains_key(name));
        self.dirty |= self.lines.len() != before;
        for (name, route) in routes {
            let line = self.lines.entry(name.clone()).or_default();
            if line.route.as_ref().is_some_and(|known| known.target != route.target) {
                // Mended, perhaps: what could not be delivered is tried at once.
                line.not_before = None;
                line.failures = 0;
            }
            line.route = Some(route.clone());
            let (book, due) = line.kept.book.clone().due(route, &glance);
            self.dirty |= book != line.kept.book || !due.is_empty();
            line.kept.book = book;
            for notice in due {
                line.outcome.dropped += line.kept.outbox.put(notice);
            }
            let old = line.kept.outbox.expire(glance.at);
            if old > 0 {
                line.outcome.dropped += old;
                error!(
                    kind = "notice",
                    "{old} notices for the route {name} are a day old: dropped"
                );
            }
        }
        self.sender = Some(glance.sender);
    }

    /// What is to be delivered now.
    fn deliveries(&mut self) -> Vec<BoxFuture<'static, Done>> {
        let (now, pace) = (Instant::now(), self.clerk.pace);
        let alive = self.is_alive(now);
        let Some(sender) = &self.sender else { return Vec::new() };
        let mut begun = Vec::new();
        for (name, line) in &mut self.lines {
            let Some(route) = &line.route else { continue };
            let early = line.not_before.is_some_and(|at| at > now);
            // At the end nobody waits to group, but nobody hammers at what fails either.
            if line.under_way.is_some() || (early && !(self.parting && line.failures == 0)) {
                continue;
            }
            let letter = if let Target::Ping { every, .. } = route.target {
                if self.parting || !alive {
                    continue;
                }
                line.not_before = Some(now + every);
                let (sender, route) = (sender.clone(), name.clone());
                Letter { sender, route, notices: Vec::new(), left_out: 0 }
            } else {
                let Some(letter) = line.kept.outbox.take(sender, name, &route.target) else {
                    continue;
                };
                letter
            };
            line.under_way = Some(letter.clone());
            let (courier, target) = (self.clerk.courier.clone(), route.target.clone());
            begun.push(deliver(courier, target, letter, pace.delivered_within));
        }
        begun
    }

    /// When something is due that was not when it was looked at; that may be past by now.
    fn next(&self) -> Option<Instant> {
        let alive = self.is_alive(Instant::now());
        let waits = |line: &&Line| {
            // A heart that must not beat is looked at again with the next glance.
            let beats = line
                .route
                .as_ref()
                .is_some_and(|route| matches!(route.target, Target::Ping { .. }));
            line.under_way.is_none() && if beats { alive } else { line.kept.outbox.len() > 0 }
        };
        self.lines.values().filter(waits).filter_map(|line| line.not_before).min()
    }

    fn is_alive(&self, now: Instant) -> bool {
        self.alive_at.is_some_and(|at| now.duration_since(at) < self.clerk.pace.alive_for)
    }

    fn settle(&mut self, (name, result): Done) {
        // The route may have left the policy meanwhile.
        let Some(line) = self.lines.get_mut(&name) else { return };
        let Some(letter) = line.under_way.take() else { return };
        let (beats, pace) = (letter.notices.is_empty(), self.clerk.pace);
        self.dirty |= !beats;
        match result {
            Ok(()) => line.delivered(&name, beats, pace),
            Err(undelivered) => {
                let failure = Failure { why: undelivered, at: (self.clerk.now)() };
                line.undelivered(&name, letter, failure, pace);
            }
        }
    }

    async fn save(&mut self) {
        if !self.dirty {
            return;
        }
        let kept = self.lines.iter().map(|(name, line)| {
            let mut kept = line.kept.clone();
            if let Some(letter) = line.under_way.clone() {
                kept.outbox.put_back(letter);
            }
            (name.clone(), kept)
        });
        match memory::save(&self.clerk.path, kept.collect()).await {
            Ok(()) => {
                self.dirty = false;
                self.unwritten = false;
            }
            // It stays dirty, and is tried again when something happens.
            Err(error) if !self.unwritten => {
                self.unwritten = true;
                let path = self.clerk.path.display();
                warn!("{path} cannot be written: {error}; a restart would tell things twice");
            }
            Err(_) => {}
        }
    }

    /// How every route does.
    fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let outcomes = self.lines.iter().map(|(name, line)| {
            let waiting = line.under_way.as_ref().map_or(0, |letter| letter.notices.len());
            let waiting = waiting + line.kept.outbox.len();
            (name.clone(), Outcome { waiting, ..line.outcome.clone() })
        });
        outcomes.collect()
    }

    /// What is under way counts as not delivered: told twice is better than not at all.
    fn give_up(&mut self) {
        for line in self.lines.values_mut() {
            if let Some(letter) = line.under_way.take() {
                line.kept.outbox.put_back(letter);
                self.dirty = true;
            }
        }
    }
}

impl Line {
    fn delivered(&mut self, name: &str, beats: bool, pace: Pace) {
        self.outcome.delivered += 1;
        self.failures = 0;
        if !beats {
            let one_by_one = self
                .route
                .as_ref()
                .is_some_and(|route| matches!(route.target, Target::PagerDuty { .. }));
            let pause = if one_by_one { Duration::ZERO } else { pace.grouped_for };
            self.not_before = Some(Instant::now() + pause);
        }
        if self.outcome.failing.take().is_some() {
            info!(kind = "notice", "somebody is reached over the route {name} again");
        }
    }

    fn undelivered(&mut self, name: &str, letter: Letter, failure: Failure, pace: Pace) {
        let Failure { why: Undelivered { why, then }, at } = failure;
        self.outcome.failed += 1;
        let usual = pace.pause(name, self.failures);
        self.failures = self.failures.saturating_add(1);
        let n = letter.notices.len();
        let pause = match then {
            Then::Again => usual,
            Then::After(span) => usual.max(span.min(PATIENCE_AT_MOST)),
            Then::Never => Duration::ZERO,
        };
        if n == 0 {
            // A heart: its next beat comes when it comes, or sooner.
            let planned = self.not_before.unwrap_or_else(Instant::now);
            self.not_before = Some(planned.min(Instant::now() + pause.max(pace.pause_first)));
        } else {
            self.not_before = Some(Instant::now() + pause);
        }
        if then == Then::Never && n > 0 {
            self.outcome.dropped += u64::try_from(n).unwrap_or(u64::MAX);
            error!(kind = "notice", "{n} notices for the route {name} are refused for good: {why}");
        } else {
            self.kept.outbox.put_back(letter);
        }
        if self.outcome.failing.is_none() {
            let again = time::text(pause);
            warn!(
                kind = "notice",
                "nobody is reached over the route {name}: {why}; again in {again}"
            );
            self.outcome.failing = Some((at, why));
        }
    }
}

impl Pace {
    /// Returns the pause after a failure that follows `failures` others; up to a quarter more or less by
    /// the route, so that routes that failed together do not retry together.
    fn pause(self, name: &str, failures: u32) -> Duration {
        let nth = failures.saturating_add(1);
        let pause = time::backoff(self.pause_first, nth, self.pause_at_most);
        let digest = Sha256::digest(format!("{name}\n{failures}"));
        let share = 75 + u32::from(digest.first().copied().unwrap_or_default()) % 51;
        pause * share / 100
    }
}

/// By itself, so that the task goes on meanwhile.
fn deliver(
    courier: Arc<dyn Courier>,
    target: Target,
    letter: Letter,
    within: Duration,
) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let name = letter.route.clone();
        let result = tokio::time::timeout(within, courier.deliver(&target, &letter)).await;
        let late = || format!("no answer within {}", time::text(within));
        (name, result.unwrap_or_else(|_| Err(Undelivered::again(late()))))
    })
}
