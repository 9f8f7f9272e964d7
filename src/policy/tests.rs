//! Whole files, in and out.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::model::time::Timestamp;

const SHIPPED: &str = include_str!("../../policies.yaml");

/// A small valid file; cases replace or add lines.
const BASE: &str = "\
version: 1
timezone: UTC
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small] }
    min: 1
    max: 3
";

fn read(text: &str) -> Loaded {
    load("policies.yaml", text, "2026-03-09T12:00:00Z".parse().unwrap())
}

#[track_caller]
fn good(text: &str) -> Policy {
    let loaded = read(text);
    assert!(loaded.policy.is_some(), "{}", show(text, &loaded));
    loaded.policy.unwrap()
}

fn show(text: &str, loaded: &Loaded) -> String {
    render(&loaded.problems, "policies.yaml", text, false)
}

/// `LINE:COLUMN severity message | label` of each problem.
fn list(text: &str) -> Vec<String> {
    let line = |p: &Problem| {
        let (line, column) = (p.at.line, p.at.column);
        format!("{line}:{column} {} {} | {}", p.severity.as_str(), p.message, p.label)
    };
    read(text).problems.iter().map(line).collect()
}

/// `BASE` with `added` at the end of its fleet has exactly this problem.
#[track_caller]
fn check(added: &str, expected: &str) {
    let text = format!("{BASE}    {added}\n");
    assert_eq!(list(&text).join("\n"), expected, "\n{}", show(&text, &read(&text)));
}

fn fleet<'p>(policy: &'p Policy, name: &str) -> &'p FleetPolicy {
    &policy.fleets[&FleetName::new(name).unwrap()]
}

#[test]
fn the_shipped_file_is_the_article_s_system() {
    let policy = good(SHIPPED);
    let problems = list(SHIPPED);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("warning `welcome` does not tell your page"), "{problems:?}");
    let app = fleet(&policy, "app");
    assert_eq!((app.bounds.min(), app.bounds.max(), app.mode), (2, 3, Mode::Observe));
    assert_eq!(app.launch.user_data, "DB=10.126.17.1;ROLE=app");
    assert_eq!(app.launch.types, ["t3.small", "t3a.small"]);
    let balancer = app.balancer.as_ref().unwrap();
    assert_eq!(balancer.balancer, Balancer::Classic("smallpayroll-http".into()));
    let at_noon = "2026-03-09T17:00:00Z".parse().unwrap();
    assert_eq!(app.schedule.as_ref().unwrap().standing(at_noon).unwrap().capacity, 3);
    let job = fleet(&policy, "job");
    let queue = job.queue.as_ref().unwrap();
    assert_eq!((queue.scale_out.above, queue.scale_in.below), (20, 5));
    assert_eq!(queue.if_unreadable, IfUnreadable::Hold);
    assert_eq!((job.minimum_uptime, job.billing), (Duration::from_mins(45), Billing::Hour));
    assert_eq!(policy.limits.terminate, Some(Rate { count: 5, per: Duration::from_mins(10) }));
    assert_eq!(policy.digest.len(), 12);
}
