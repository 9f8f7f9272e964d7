//! What is due: values in, values out.

use super::super::book::Book;
use super::super::outbox::Outbox;
use super::super::words;
use super::*;
use tidegate_engine::model::problem::{ProblemKind, Severity};

/// What a route is told over a while: `SECONDS KIND KEY` of each notice, given the seconds and the
/// problems of each glance.
fn told(line: &str, glances: &[(u64, &[&str])]) -> Vec<String> {
    let notify = routes(&format!("  r: {line}\n"));
    let mut book = Book::default();
    let mut told = Vec::new();
    for (seconds, problems) in glances {
        let (next, due) = book.due(&notify.routes["r"], &glance(&notify, *seconds, problems));
        let text = |n: &Notice| {
            format!("{seconds} {} {}", n.kind.as_str(), n.key.as_deref().unwrap_or_default())
        };
        told.extend(due.iter().map(text));
        // As after a restart: nothing but what is written down counts.
        let written = serde_json::to_string(&next).unwrap();
        book = serde_json::from_str(&written).unwrap();
        assert_eq!(book, next);
    }
    told
}

const CHAT: &str = "{ slack: secret:s, send: [problem, recovered] }";

#[test]
fn one_notice_when_a_problem_begins_and_one_when_it_is_over() {
    let glances: &[(u64, &[&str])] = &[
        (0, &[]),
        (15, &["queue:job"]),
        (30, &["queue:job"]),
        (45, &["queue:job", "sick:i-1"]),
        (60, &["sick:i-1"]),
        (179, &["sick:i-1"]),
        (180, &["sick:i-1"]),
        (195, &["sick:i-1"]),
    ];
    let expected = ["15 problem queue:job", "45 problem sick:i-1", "180 recovered queue:job"];
    assert_eq!(told(CHAT, glances), expected);
}

#[test]
fn a_problem_that_stands_is_told_every_four_hours() {
    let hours = |n: u64| n * 3600;
    let stands: &[&str] = &["queue:job"];
    let glances: Vec<(u64, &[&str])> = (0..=9).map(|n| (hours(n), stands)).collect();
    let expected = ["0 problem queue:job", "14400 still queue:job", "28800 still queue:job"];
    assert_eq!(told(CHAT, &glances), expected);
}

#[test]
fn a_problem_that_comes_and_goes_is_one_problem() {
    let on: &[&str] = &["queue:job"];
    let flaps: Vec<(u64, &[&str])> =
        (0..400).map(|n| (n * 15, if n % 5 < 3 { on } else { &[] })).collect();
    assert_eq!(told(CHAT, &flaps), ["0 problem queue:job"]);
    let ends = [flaps, vec![(6000, &[]), (6120, &[])]].concat();
    assert_eq!(told(CHAT, &ends), ["0 problem queue:job", "6120 recovered queue:job"]);
}

#[test]
fn a_clock_that_is_set_back_repeats_nothing() {
    let on: &[&str] = &["queue:job"];
    let back: &[(u64, &[&str])] = &[(9000, on), (0, on), (3600, on), (9015, &[]), (30, &[])];
    assert_eq!(told(CHAT, back), ["9000 problem queue:job"]);
    let then = [back, &[(45, &[]), (160, &[])]].concat();
    assert_eq!(told(CHAT, &then), ["9000 problem queue:job", "160 recovered queue:job"]);
}

#[test]
fn each_route_is_told_what_it_carries() {
    let both: &[&str] = &["launches-stopped:app", "queue:job"];
    let glances: &[(u64, &[&str])] = &[(0, both), (15, &[]), (200, &[])];
    let emergency = "0 problem launches-stopped:app";
    let over = "200 recovered launches-stopped:app";
    assert_eq!(told("{ pagerduty: secret:k }", glances), [emergency, over], "resolved, always");
    assert_eq!(told("{ slack: secret:s, send: emergency }", glances), [emergency]);
    assert_eq!(
        told("{ slack: secret:s, send: [emergency, recovered] }", glances),
        [emergency, over]
    );
    assert_eq!(told("{ slack: secret:s, send: [scaled, recovered] }", glances).len(), 0);
    assert_eq!(told("{ slack: secret:s, send: all }", glances).len(), 4);
    assert_eq!(told("{ ping: \"http://h/\" }", glances).len(), 0);
}

#[test]
fn every_emergency_is_documented() {
    let runbook = include_str!("../../../docs/operations.md");
    let reference = include_str!("../../../docs/policies.md");
    let line = reference.lines().find(|line| line.starts_with("| `emergency` |")).unwrap();
    for kind in ProblemKind::ALL.iter().copied() {
        let named = line.contains(&format!("`{}`", kind.as_str()));
        assert_eq!(named, kind.severity() == Severity::Emergency, "{kind:?} in docs/policies.md");
        let row = format!("`{}` |", kind.as_str());
        assert!(runbook.contains(&row), "{kind:?} has no row");
    }
}

#[test]
fn news_is_told_once_and_only_what_scales_is_scaling() {
    let scaled = BTreeSet::from(["app".to_owned()]);
    let of = |kind, scaled: &BTreeSet<String>| News::of(&news(kind, "2 -> 3: x"), scaled);
    assert_eq!(of(EventKind::Decision, &scaled).unwrap().topic, Topic::Scaled);
    assert_eq!(of(EventKind::Decision, &BTreeSet::new()), None);
    for kind in [EventKind::Action, EventKind::Seen, EventKind::Problem, EventKind::Recovered] {
        assert_eq!(of(kind, &scaled), None, "{kind:?}");
    }
    let notify = routes("  r: { slack: secret:s, send: [scaled, override] }\n");
    let mut glance = glance(&notify, 0, &[]);
    for kind in [EventKind::Decision, EventKind::Override, EventKind::Policy] {
        glance.news.extend(of(kind, &scaled));
    }
    let (_, due) = Book::default().due(&notify.routes["r"], &glance);
    let kinds: Vec<Kind> = due.iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds, [Kind::Scaled, Kind::Override]);
}

fn notice(kind: Kind, key: Option<&str>, seconds: u64) -> Notice {
    Notice {
        kind,
        key: key.map(ToOwned::to_owned),
        fleet: Some("job".to_owned()),
        instance: None,
        emergency: false,
        since: start(),
        at: later(seconds),
        text: format!("text {seconds}"),
    }
}

#[test]
fn what_waits_stays_small_and_the_last_word_counts() {
    let target =
        Target::Webhook { url: tidegate_engine::policy::notify::Address::Open("x".to_owned()) };
    let mut outbox = Outbox::default();
    outbox.put(notice(Kind::Problem, Some("queue:job"), 0));
    let mut dropped = 0;
    for n in 0..1000 {
        dropped += outbox.put(notice(Kind::Scaled, None, n));
    }
    assert_eq!((outbox.len(), dropped), (500, 501));
    let first = outbox.take(&sender(), "r", &target).unwrap();
    assert_eq!((first.notices.len(), first.left_out), (50, 501));
    assert_eq!(first.notices[0].kind, Kind::Problem, "a problem is not dropped for news");
    // While it is on its way the problem ends; the way fails.
    outbox.put(notice(Kind::Recovered, Some("queue:job"), 60));
    outbox.put_back(first.clone());
    let again = outbox.take(&sender(), "r", &target).unwrap();
    assert_eq!(again.left_out, 501);
    assert_eq!(again.notices[0], first.notices[1], "the problem is overtaken by its end");
    assert_ne!(again.id(), first.id());
    assert_eq!(first.id(), first.clone().id());
    // A day later nothing is news any more; the end of a problem is.
    outbox.expire(later(25 * 3600));
    assert_eq!(outbox.len(), 1);
    let pager = &routes("  p: { pagerduty: secret:k }\n").routes["p"].target;
    outbox.put(notice(Kind::Problem, Some("x"), 0));
    assert_eq!(outbox.take(&sender(), "p", pager).unwrap().notices.len(), 1);
}

#[test]
fn texts_say_what_is_wrong_whose_and_since_when_and_nothing_from_outside_is_markup() {
    let mut problem = notice(Kind::Problem, Some("queue:job"), 0);
    problem.text = "HTTP 500 from <https://evil.example|here> & \u{1b}[31m\nmore".to_owned();
    let notices = vec![problem.clone(), notice(Kind::Recovered, Some("x"), 720)];
    let letter = Letter { sender: sender(), route: "r".to_owned(), notices, left_out: 3 };
    let text = words::slack(&letter)["text"].as_str().unwrap().to_owned();
    let expected = "*tidegate main*\n*Problem*, job: HTTP 500 from &lt;https://evil.example|here&gt; &amp; \\u{1b}[31m\\nmore\n*Over*, job, after 12m: text 720\n3 older notices were left out; `tidegate history` has everything";
    assert_eq!(text, expected);
    let (subject, body) = words::mail(&letter);
    assert_eq!(subject, "[tidegate main] 2 notices");
    assert!(body.contains("since 2026-03-02 14:00"), "{body}");
    assert!(!body.contains('\u{1b}'), "{body}");
    let one = Letter { notices: vec![problem.clone()], ..letter.clone() };
    assert!(words::mail(&one).0.starts_with("[tidegate main] Problem, job: HTTP 500"));
    // SNS takes ASCII alone, and so much of it.
    let mut long = one.clone();
    long.notices[0].text = "für ".repeat(80);
    let (subject, text) = words::sns(&long);
    assert!(subject.is_ascii() && subject.len() == 100 && subject.contains("f?r"), "{subject}");
    assert!(text.contains("für") && !text.contains('\r'), "{text}");
    let event = words::pagerduty(&letter, &problem).unwrap();
    assert_eq!(
        (&event["event_action"], &event["dedup_key"]),
        (&"trigger".into(), &"tidegate/main/-/queue:job".into())
    );
    assert_eq!(
        (&event["payload"]["severity"], &event["payload"]["class"]),
        (&"warning".into(), &"queue".into())
    );
    let over = words::pagerduty(&letter, &letter.notices[1]).unwrap();
    assert_eq!((&over["event_action"], over.get("payload")), (&"resolve".into(), None));
    let json = words::webhook(&letter, later(5));
    assert_eq!((&json["id"], &json["left_out"]), (&letter.id().into(), &3.into()));
    assert_eq!(json["notices"][1]["kind"], "recovered");
}
