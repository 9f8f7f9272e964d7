//! Telling people. After each tick the daemon hands over a [`Glance`] and goes on; which notices are
//! due is a pure function of the glance and of what each route was told before (`book`), and a task
//! of its own (`clerk`) carries them, however long that takes. A notice is one of three things: a
//! problem, once when it begins and again every four hours; its end, once; or news, which is told and
//! forgotten.
//!
//! What was told, and what still waits, is kept in a file beside the journal (`memory`), so that a
//! restart neither repeats nor loses. It is not in the journal: losing it costs a repeated message,
//! and the journal's writer is the loop, which waits for nobody here.

mod book;
mod clerk;
mod memory;
mod outbox;
#[cfg(feature = "net")]
mod post;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::custody;
use tidegate_engine::model::ledger::{Event, EventKind, OpenProblem};
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Policy;
use tidegate_engine::policy::notify::{Notify, Target, Topic};

pub use self::clerk::{Clerk, Now, Pace};
pub use self::memory::FILE;
pub use self::outbox::Letter;
#[cfg(feature = "net")]
pub use self::post::Post;

/// Glances that wait for the task. A glance is a whole picture, so one that is left out costs news
/// and no problem.
const GLANCES_AT_MOST: usize = 64;

/// A route that has failed for so long is a problem of its own.
const UNREACHED_FOR: Duration = Duration::from_mins(10);

/// What there is to tell of, as one tick left it.
#[derive(Debug, Clone)]
pub struct Glance {
    pub at: Timestamp,
    pub sender: Sender,
    pub notify: Arc<Notify>,
    /// Every problem that stands.
    pub problems: BTreeMap<ProblemKey, OpenProblem>,
    /// What has happened since the last glance.
    pub news: Vec<News>,
    /// Whether the tick could be finished; a heart that beats without ticks says nothing.
    pub alive: bool,
}

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub install: String,
    pub region: Option<String>,
    /// For times that people read.
    pub zone: TimeZone,
}

impl Sender {
    pub fn of(policy: &Policy) -> Self {
        let (install, region) = (policy.install.clone(), policy.region.clone());
        Self { install, region, zone: policy.zone.clone() }
    }

    fn name(&self) -> String {
        let region = self.region.as_ref().map(|region| format!(" in {region}"));
        format!("tidegate {}{}", self.install, region.unwrap_or_default())
    }
}

/// Something that happened, of a kind that a route may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub topic: Topic,
    pub event: Event,
}

impl News {
    /// `None` for what no route carries. `scaled`: the fleets whose decision was for another capacity
    /// than they have.
    pub fn of(event: &Event, scaled: &BTreeSet<String>) -> Option<Self> {
        let topic = match event.kind {
            EventKind::Decision => {
                let fleet = event.fleet.as_ref()?;
                scaled.contains(fleet.as_str()).then_some(Topic::Scaled)?
            }
            EventKind::Override => Topic::Override,
            EventKind::Policy => Topic::Policy,
            // Problems are told as they stand, and of calls and sightings there are too many.
            EventKind::Problem
            | EventKind::Recovered
            | EventKind::Action
            | EventKind::Failure
            | EventKind::Seen => return None,
        };
        Some(Self { topic, event: event.clone() })
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub kind: Kind,
    /// The problem's; news has none.
    pub key: Option<String>,
    pub fleet: Option<String>,
    pub instance: Option<String>,
    pub emergency: bool,
    /// When what it tells of began.
    pub since: Timestamp,
    pub at: Timestamp,
    pub text: String,
}

impl Notice {
    /// What `tidegate notify` sends: it asks nobody to do anything.
    pub fn test(now: Timestamp) -> Self {
        Self {
            kind: Kind::Test,
            key: Some("test".to_owned()),
            fleet: None,
            instance: None,
            emergency: false,
            since: now,
            at: now,
            text: "a test, sent by hand: nothing is wrong, and nothing is to be done".to_owned(),
        }
    }
}

/// What a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Problem,
    Still,
    Recovered,
    Scaled,
    Override,
    Policy,
    Test,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Still => "still",
            Self::Recovered => "recovered",
            Self::Scaled => "scaled",
            Self::Override => "override",
            Self::Policy => "policy",
            Self::Test => "test",
        }
    }
}

/// Carries what the clerk gives it. Knows no time and tries once.
#[async_trait]
pub trait Courier: Send + Sync {
    async fn deliver(&self, target: &Target, letter: &Letter) -> Result<(), Undelivered>;
}

/// Why something did not arrive. The text has no secret in it, and nothing that the other side said
/// beyond a status: it may have repeated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub why: String,
    pub then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// With growing pauses.
    Again,
    /// Not before this.
    After(Duration),
    /// The same will never be taken: it is dropped, so that what comes after it arrives.
    Never,
}

impl Undelivered {
    pub fn again(why: impl Into<String>) -> Self {
        Self { why: why.into(), then: Then::Again }
    }
}

/// Whether a route could be used now: its secret is there, for nobody else to read, and is a URL where
/// one is wanted. Asks nobody.
pub fn inspect(target: &Target, secret_dirs: &[PathBuf]) -> Result<(), String> {
    let Some(name) = target.secret() else { return Ok(()) };
    let secret = custody::secret(secret_dirs, name.as_str())?;
    let url = match target {
        Target::Slack { .. } | Target::Webhook { .. } | Target::Ping { .. } => secret.reveal(),
        Target::PagerDuty { .. } | Target::Email(_) | Target::Sns { .. } => return Ok(()),
    };
    let is_url = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    // What stands there instead is not repeated.
    let refused = || format!("secret {}: it is no URL that may be asked", name.as_str());
    #[cfg(feature = "net")]
    let is_url = is_url && crate::probe::http::allowed(url).is_ok();
    if is_url { Ok(()) } else { Err(refused()) }
}

/// What has become of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Letters, or beats of a heart.
    pub delivered: u64,
    pub failed: u64,
    /// Notices that were dropped: too many, too old, or refused for good.
    pub dropped: u64,
    /// Notices that wait.
    pub waiting: usize,
    /// Since when nothing has arrived, and why not.
    pub failing: Option<(Timestamp, String)>,
}

type Outcomes = Arc<Mutex<BTreeMap<String, Outcome>>>;

/// Where the daemon hands things over. Handing over never waits.
#[derive(Debug, Clone)]
pub struct Desk {
    glances: mpsc::Sender<Glance>,
    left_out: Arc<AtomicU64>,
    outcomes: Outcomes,
}

/// The clerk's side of the desk. It ends with the last desk.
#[derive(Debug)]
pub struct Tray {
    glances: mpsc::Receiver<Glance>,
    outcomes: Outcomes,
}

impl Desk {
    /// Both sides.
    pub fn open() -> (Self, Tray) {
        let (glances, arrivals) = mpsc::channel(GLANCES_AT_MOST);
        let outcomes = Outcomes::default();
        let tray = Tray { glances: arrivals, outcomes: outcomes.clone() };
        (Self { glances, left_out: Arc::default(), outcomes }, tray)
    }

    pub fn hand_over(&self, glance: Glance) {
        if self.glances.try_send(glance).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Glances that the clerk was too busy, or not there, to take.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// By route.
    pub fn outcomes(&self) -> BTreeMap<String, Outcome> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Routes over which nobody has been reached for long, each with a text that stays the same.
    pub fn unreached(&self, now: Timestamp) -> Vec<(String, String)> {
        let long = |(name, outcome): (String, Outcome)| {
            let (since, why) = outcome.failing?;
            (time::since(now, since) >= UNREACHED_FOR).then(|| {
                let text = format!("nobody is reached over the route {name} of `notify`: {why}");
                (name, text)
            })
        };
        let mut unreached: Vec<_> = self.outcomes().into_iter().filter_map(long).collect();
        if self.glances.is_closed() {
            let text = "the task that sends notices has ended: restart the daemon";
            unreached.push(("clerk".to_owned(), text.to_owned()));
        }
        unreached
    }
}
