//! What waits for a route. However long nobody is reached, it stays small: of each problem only the
//! last word is kept, and of news the latest.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Kind, Notice, Sender};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::notify::Target;

/// Notices that wait at most; beyond that the oldest news is left out first.
const WAITING_AT_MOST: usize = 500;

/// Notices in one message: more is not read.
const IN_ONE_LETTER: usize = 50;

/// What is older is no news.
const TOO_OLD: Duration = Duration::from_hours(24);

/// What goes to a route at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub sender: Sender,
    pub route: String,
    pub notices: Vec<Notice>,
    /// Notices that were dropped before these.
    pub left_out: u64,
}

impl Letter {
    /// The same for the same letter, so that whoever gets it twice can tell.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n", self.sender.install, self.route));
        for notice in &self.notices {
            let key = notice.key.as_deref().unwrap_or_default();
            hash.update(format!("{} {key} {} {}\n", notice.kind.as_str(), notice.at, notice.text));
        }
        hash.finalize().iter().take(8).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

/// The notices of one route, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outbox {
    waiting: VecDeque<Notice>,
    /// Dropped since the last letter.
    left_out: u64,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds what is due; gives back how many others were dropped for it.
    pub(super) fn put(&mut self, notice: Notice) -> u64 {
        if notice.key.is_some() {
            // What begins and ends before anybody is reached is told by its end, which says since when.
            self.waiting.retain(|waiting| waiting.key != notice.key);
        }
        self.waiting.push_back(notice);
        let mut dropped = 0;
        while self.waiting.len() > WAITING_AT_MOST {
            let oldest_news = self.waiting.iter().position(|waiting| waiting.key.is_none());
            self.waiting.remove(oldest_news.unwrap_or(0));
            dropped += 1;
        }
        self.left_out += dropped;
        dropped
    }

    /// Takes the next letter out. PagerDuty takes one event at a time.
    pub(super) fn take(&mut self, sender: &Sender, route: &str, target: &Target) -> Option<Letter> {
        let most = if matches!(target, Target::PagerDuty { .. }) { 1 } else { IN_ONE_LETTER };
        let most = most.min(self.waiting.len());
        if most == 0 {
            return None;
        }
        let notices: Vec<Notice> = self.waiting.drain(..most).collect();
        let left_out = std::mem::take(&mut self.left_out);
        Some(Letter { sender: sender.clone(), route: route.to_owned(), notices, left_out })
    }

    /// Puts back what did not arrive, before what has come since; less what that has overtaken.
    pub(super) fn put_back(&mut self, letter: Letter) {
        self.left_out += letter.left_out;
        let later = |key: &Option<String>| {
            key.is_some() && self.waiting.iter().any(|waiting| waiting.key == *key)
        };
        let kept: Vec<Notice> =
            letter.notices.into_iter().filter(|notice| !later(&notice.key)).collect();
        for notice in kept.into_iter().rev() {
            self.waiting.push_front(notice);
        }
    }

    /// Drops what is too old to be told; gives back how many. The end of a problem is never too old:
    /// somebody may still wait for it.
    pub(super) fn expire(&mut self, now: Timestamp) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|notice| {
            notice.kind == Kind::Recovered || time::since(now, notice.at) < TOO_OLD
        });
        let dropped = u64::try_from(before - self.waiting.len()).unwrap_or(u64::MAX);
        self.left_out += dropped;
        dropped
    }
}
