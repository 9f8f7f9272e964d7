//! What the optional keys of a line change in its answer.

use serde_json::{Value, json};

use super::line::Line;
use super::snapshot::snapshot;
use super::told;
use tidegate_engine::evaluate::Evaluator;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::policy::{Policy, load};

const POLICY: &str = "version: 1\nfleets:\n  job:\n    launch: { image: ami-0123456789abcdef0, types: [t3.small, m5.large] }\n    max: 4\n    billing: second\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://q.example/' }, every: 5m, scale_out: { above: 10 }, scale_in: { below: 5, remove: 2, after: 0s } }\n";

fn policy() -> Policy {
    let loaded = load("test.yaml", POLICY, "2026-03-02T08:00:00Z".parse().unwrap());
    loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

/// The answers to a line, one after the other.
fn answers(lines: &[Value]) -> Vec<Value> {
    let policy = policy();
    let name = FleetName::new("job").unwrap();
    let mut evaluator = Evaluator::of_readings(policy.clone());
    let mut answer = |line: &Value| {
        let line = Line::read(line.to_string().as_bytes())?;
        let told_of = snapshot(line, &policy, &policy.fleets[&name])?;
        let answer = evaluator.evaluate(told_of).remove(&name).unwrap();
        Ok(told(&answer, &policy))
    };
    lines.iter().map(|line| answer(line).unwrap_or_else(|why: String| why.into())).collect()
}

/// Two servers in service since seven, at eight, with `more` at the top and `first` in the first.
fn line(queue: u64, more: &Value, first: &Value) -> Value {
    let server = |id: &str, minute: u32| {
        let launched_at = format!("2026-03-02T07:{minute:02}:00Z");
        json!({ "id": id, "launched_at": launched_at, "state": "in_service" })
    };
    let mut line = json!({
        "now": "2026-03-02T08:00:00Z",
        "queue": queue,
        "instances": [server("i-1", 1), server("i-2", 2)],
    });
    let merge = |into: &mut Value, more: &Value| {
        let (into, more) = (into.as_object_mut().unwrap(), more.as_object().unwrap());
        into.extend(more.clone());
    };
    merge(&mut line, more);
    merge(&mut line["instances"][0], first);
    line
}

/// The rules, and what is to be done.
fn said(answer: &Value) -> (Vec<&str>, &Value, &Value, &Value) {
    let because = answer["because"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let rules = because.iter().map(|reason| reason["rule"].as_str().unwrap()).collect();
    (rules, &answer["launch"], &answer["terminate"], &answer["reclaim"])
}

#[track_caller]
fn check(queue: u64, more: &Value, first: &Value, rule: &str, done: &Value) {
    let answer = answers(&[line(queue, more, first)]).remove(0);
    let (rules, launch, terminate, reclaim) = said(&answer);
    assert!(rules.contains(&rule), "{more} {first}: {answer}");
    assert_eq!(&json!([launch, terminate, reclaim]), done, "{more} {first}: {answer}");
}

#[test]
fn optional_keys_change_the_answer() {
    let none = &json!({});
    check(20, none, none, "queue_above", &json!([1, [], []]));
    check(0, none, none, "queue_below", &json!([0, ["i-2", "i-1"], []]));
    let until = "2026-03-02T09:00:00Z";
    let hold = json!({ "hold": { "capacity": 4, "until": until } });
    check(0, &hold, none, "hold", &json!([2, [], []]));
    let pause = json!({ "pause": { "until": until, "owner": "ann" } });
    check(0, &pause, none, "paused", &json!([0, [], []]));
    check(0, &json!({ "inventory": "unusable" }), none, "frozen", &json!([0, [], []]));
    check(0, &json!({ "inventory": "degraded" }), none, "in_doubt", &json!([0, [], []]));
    check(0, none, &json!({ "kept": true }), "queue_below", &json!([0, ["i-2"], []]));
    let unseen = json!({ "listed": false });
    check(0, &json!({ "inventory": "degraded" }), &unseen, "in_doubt", &json!([0, [], []]));
    // A server that fails its check counts no more: one more for it, and one for the queue.
    let sick = json!({ "state": "unhealthy", "unhealthy_since": "2026-03-02T07:50:00Z" });
    let answer = answers(&[line(20, none, &sick)]).remove(0);
    assert_eq!(answer["launch"], 1, "{answer}");
}

#[test]
fn failed_launches_open_the_breaker() {
    let failed = |kind: &str, failure: &str| json!({ "at": "2026-03-02T07:58:00Z", "failure": failure, "type": kind });
    let launched = |failures: &[Value]| {
        let more = json!({ "failed_launches": failures });
        answers(&[line(20, &more, &json!({}))]).remove(0)["launch"].clone()
    };
    assert_eq!(launched(&[]), 1);
    assert_eq!(launched(&[failed("t3.small", "refused")]), 1, "m5.large is left");
    assert_eq!(launched(&[failed("t3.small", "refused"), failed("m5.large", "refused")]), 0);
    assert_eq!(
        launched(&[failed("t3.small", "no_capacity"), failed("m5.large", "no_capacity")]),
        0
    );
    assert_eq!(launched(&[failed("t3.small", "never_healthy")]), 1);
}

#[test]
fn drain_that_is_finished_is_not_cancelled() {
    let drain = |progress: &str| {
        let since = "2026-03-02T07:55:00Z";
        json!({ "state": "draining", "drain": { "since": since, "progress": progress } })
    };
    check(20, &json!({}), &drain("signalled"), "queue_above", &json!([0, [], ["i-1"]]));
    check(20, &json!({}), &drain("received"), "queue_above", &json!([0, [], ["i-1"]]));
    check(20, &json!({}), &drain("finished"), "queue_above", &json!([1, [], []]));
}

#[test]
fn drain_that_began_last_is_cancelled_first() {
    let drain = |since: &str| json!({ "state": "draining", "drain": { "since": since } });
    let mut both = line(20, &json!({}), &drain("2026-03-02T07:50:00Z"));
    let second = both["instances"][1].as_object_mut().unwrap();
    second.extend(drain("2026-03-02T07:40:00Z").as_object().unwrap().clone());
    let answer = answers(&[both]).remove(0);
    assert_eq!(answer["reclaim"], json!(["i-1"]), "{answer}");
}

#[test]
fn contradictions_are_refused() {
    for (first, why) in [
        (
            json!({ "drain": { "since": "2026-03-02T07:55:00Z" } }),
            "instance 1: `drain` does not go with this `state`",
        ),
        (
            json!({ "state": "draining", "drain": {} }),
            "instance 1: drain: `since` is missing: give an instant like \"2026-03-02T08:00:00Z\"",
        ),
        (json!({ "kept": "yes" }), "instance 1: `kept` cannot be \"yes\": write true or false"),
    ] {
        assert_eq!(answers(&[line(0, &json!({}), &first)]), [Value::from(why)]);
    }
    let hold = json!({ "hold": { "until": "2026-03-02T09:00:00Z" } });
    let answer = answers(&[line(0, &hold, &json!({}))]);
    let why = "hold: `capacity` is missing: give a whole number, 0 or more";
    assert_eq!(answer, [Value::from(why)]);
}
