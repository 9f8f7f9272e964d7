//! What a route was told, and from that and a glance, what is due. Nothing here asks the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Glance, Kind, News, Notice};
use tidegate_engine::model::ledger::OpenProblem;
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::notify::{Route, Target, Topic};

/// A problem that stands is told again so rarely that it is still read.
const AGAIN_AFTER: Duration = Duration::from_hours(4);

/// A problem is over when it has been gone for so long: one that comes and goes is one problem, and
/// not a message every quarter of a minute.
const SETTLED_AFTER: Duration = Duration::from_mins(2);

/// The problems that a route knows of, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book(BTreeMap<String, Entry>);

/// A problem as it was told first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    fleet: Option<String>,
    emergency: bool,
    text: String,
    since: Timestamp,
    /// When it was told last.
    told_at: Timestamp,
    /// Since when it is no longer there.
    #[serde(default)]
    gone_since: Option<Timestamp>,
}

impl Book {
    /// What this route is to be told now, and the book as it is once that is done.
    pub(super) fn due(mut self, route: &Route, glance: &Glance) -> (Self, Vec<Notice>) {
        let mut due = Vec::new();
        for problem in glance.problems.values() {
            due.extend(self.standing(route, problem, glance.at));
        }
        due.extend(self.over(route, glance));
        due.extend(glance.news.iter().filter_map(|news| told(route, news)));
        (self, due)
    }

    /// A problem that stands: told if it is new to the route, or for the last time long ago.
    fn standing(&mut self, route: &Route, problem: &OpenProblem, now: Timestamp) -> Option<Notice> {
        let emergency = problem.key.is_emergency();
        let carried = route.send.contains(&Topic::Problem)
            || (emergency && route.send.contains(&Topic::Emergency));
        let kind = match self.0.get_mut(problem.key.as_str()) {
            Some(entry) => {
                entry.gone_since = None;
                // A clock that was set back makes the pause longer, not shorter.
                if !carried || time::since(now, entry.told_at) < AGAIN_AFTER {
                    return None;
                }
                entry.told_at = now;
                Kind::Still
            }
            None if !carried => return None,
            None => Kind::Problem,
        };
        let fleet = problem.fleet.as_ref().map(ToString::to_string);
        let entry = self.0.entry(problem.key.to_string()).or_insert_with(|| Entry {
            fleet: fleet.clone(),
            emergency,
            text: problem.text.clone(),
            since: problem.since,
            told_at: now,
            gone_since: None,
        });
        Some(Notice {
            kind,
            key: Some(problem.key.to_string()),
            fleet,
            instance: None,
            emergency,
            since: entry.since,
            at: now,
            text: problem.text.clone(),
        })
    }

    /// Problems that were told and have been gone for long enough.
    fn over(&mut self, route: &Route, glance: &Glance) -> Vec<Notice> {
        // An incident that is never resolved wakes somebody for nothing.
        let carried = route.send.contains(&Topic::Recovered)
            || matches!(route.target, Target::PagerDuty { .. });
        let mut over = Vec::new();
        self.0.retain(|key, entry| {
            if glance.problems.contains_key(&ProblemKey::parse(key)) {
                return true;
            }
            let gone_since = *entry.gone_since.get_or_insert(glance.at);
            // Set back beyond its beginning, the clock is begun anew.
            if glance.at < gone_since {
                entry.gone_since = Some(glance.at);
            }
            if time::since(glance.at, gone_since) < SETTLED_AFTER {
                return true;
            }
            if carried {
                over.push(Notice {
                    kind: Kind::Recovered,
                    key: Some(key.clone()),
                    fleet: entry.fleet.clone(),
                    instance: None,
                    emergency: entry.emergency,
                    since: entry.since,
                    at: gone_since,
                    text: entry.text.clone(),
                });
            }
            false
        });
        over
    }
}

fn told(route: &Route, news: &News) -> Option<Notice> {
    let kind = match news.topic {
        Topic::Scaled => Kind::Scaled,
        Topic::Override => Kind::Override,
        Topic::Policy => Kind::Policy,
        Topic::Problem | Topic::Recovered | Topic::Emergency => return None,
    };
    route.send.contains(&news.topic).then(|| Notice {
        kind,
        key: None,
        fleet: news.event.fleet.as_ref().map(ToString::to_string),
        instance: news.event.instance.as_ref().map(ToString::to_string),
        emergency: false,
        since: news.event.at,
        at: news.event.at,
        text: news.event.text.clone(),
    })
}
