//! Which notices are due, in `due`; that they are carried, in `carried`.

mod carried;
mod due;

use super::*;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::policy::load;

/// The routes of a policy whose `notify` has these lines.
fn routes(lines: &str) -> Arc<Notify> {
    let text = format!("version: 1\nnotify:\n{lines}");
    let loaded = load("policies.yaml", &text, start());
    assert!(loaded.policy.is_some(), "{:?}", loaded.problems);
    loaded.policy.unwrap().notify
}

fn start() -> Timestamp {
    "2026-03-02T14:00:00Z".parse().unwrap()
}

fn later(seconds: u64) -> Timestamp {
    time::after(start(), Duration::from_secs(seconds))
}

fn sender() -> Sender {
    Sender { install: "main".to_owned(), region: None, zone: TimeZone::UTC }
}

/// A glance so many seconds after the start, with these problems.
fn glance(notify: &Arc<Notify>, seconds: u64, problems: &[&str]) -> Glance {
    let problem = |key: &&str| OpenProblem {
        key: ProblemKey::parse(key),
        fleet: key.split_once(':').and_then(|(_, fleet)| FleetName::new(fleet)),
        since: start(),
        text: format!("{key} is wrong"),
    };
    let problems = problems.iter().map(|key| (ProblemKey::parse(key), problem(key)));
    Glance {
        at: later(seconds),
        sender: sender(),
        notify: notify.clone(),
        problems: problems.collect(),
        news: Vec::new(),
        alive: true,
    }
}

fn news(kind: EventKind, text: &str) -> Event {
    let fleet = FleetName::new("app");
    Event { at: start(), kind, fleet, instance: None, text: text.to_owned() }
}
