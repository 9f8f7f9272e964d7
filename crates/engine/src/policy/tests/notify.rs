//! The routes of `notify`: what they mean, and what is refused.

use std::collections::BTreeSet;

use super::*;
use crate::policy::notify::{Address, Route, Target, Tls, Topic};

const FEW: &str = "\
version: 1
notify:
  chat: { slack: secret:slack-webhook, send: [scaled, problem, recovered] }
  hook: { webhook: \"https://ops.example/hook\", send: all }
  quiet: { webhook: secret:hook }
  pager: { pagerduty: secret:/etc/pd/key }
  europe: { pagerduty: secret:key, send: problem, url: \"https://events.eu.pagerduty.com/v2/enqueue\" }
  mail: { email: ops@example.com, from: tidegate@example.com, via: \"smtp.example.com:587\", user: me, password: secret:smtp }
  relay: { email: [a@example.com, b@example.com], from: t@example.com, via: \"[::1]:25\", tls: none }
  topic: { sns: \"arn:aws:sns:eu-west-1:123456789012:ops\" }
  heartbeat: { ping: secret:heartbeat-url, every: 30s }
";

fn route<'p>(policy: &'p Policy, name: &str) -> &'p Route {
    &policy.notify.routes[name]
}

#[test]
fn every_kind_of_route() {
    let policy = good(FEW);
    assert_eq!(list(FEW), ["1:1 warning no fleets | nothing to keep running"]);
    let chat = route(&policy, "chat");
    assert_eq!((chat.target.as_str(), chat.at_line), ("slack", 3));
    assert_eq!(chat.target.secret().unwrap().as_str(), "slack-webhook");
    let usual = BTreeSet::from([Topic::Problem, Topic::Recovered]);
    assert_eq!(route(&policy, "quiet").send, usual);
    assert_eq!(route(&policy, "hook").send, BTreeSet::from(Topic::ALL));
    let open = Address::Open("https://ops.example/hook".to_owned());
    assert_eq!(route(&policy, "hook").target, Target::Webhook { url: open });
    assert_eq!(route(&policy, "pager").send, BTreeSet::from([Topic::Emergency]));
    let Target::PagerDuty { url, key } = &route(&policy, "pager").target else { panic!() };
    assert_eq!(
        (url.as_str(), key.as_str()),
        ("https://events.pagerduty.com/v2/enqueue", "/etc/pd/key")
    );
    assert_eq!(route(&policy, "europe").send, BTreeSet::from([Topic::Problem]));
    let Target::Email(mail) = &route(&policy, "mail").target else { panic!() };
    assert_eq!((mail.host.as_str(), mail.port, mail.tls), ("smtp.example.com", 587, Tls::Upgraded));
    assert_eq!(mail.login.as_ref().unwrap().0, "me");
    let Target::Email(relay) = &route(&policy, "relay").target else { panic!() };
    assert_eq!((relay.to.len(), relay.host.as_str(), relay.tls), (2, "::1", Tls::Off));
    let topic = "arn:aws:sns:eu-west-1:123456789012:ops".to_owned();
    assert_eq!(route(&policy, "topic").target, Target::Sns { topic });
    assert_eq!(route(&policy, "topic").send, usual);
    let Target::Ping { every, .. } = &route(&policy, "heartbeat").target else { panic!() };
    assert_eq!(*every, Duration::from_secs(30));
    assert!(route(&policy, "heartbeat").send.is_empty());
    assert!(good(BASE).notify.routes.is_empty());
}

/// A file whose only route is this has exactly this problem.
#[track_caller]
fn check(route: &str, expected: &str) {
    let text = format!("{BASE}notify:\n  {route}\n");
    assert_eq!(list(&text).join("\n"), expected, "\n{}", show(&text, &read(&text)));
}

#[test]
fn one_problem_in_a_route() {
    let cases = [
        ("Chat: { slack: secret:s }", "9:3 error `Chat` is not a name for a route | not a name"),
        ("chat: { send: all }", "9:3 error the route `chat` leads nowhere | to whom?"),
        (
            "chat: slack",
            "9:9 error `notify` is a single value | should be a map of keys and values",
        ),
        (
            "chat: { slack: secret:s, webhook: secret:w }",
            "9:28 error both `slack` and `webhook` | this",
        ),
        (
            "chat: { slack: secret:s, every: 1m }",
            "9:28 error `every` does not go with `slack` | means nothing here",
        ),
        (
            "beat: { ping: \"http://h/\", send: all }",
            "9:30 error `send` does not go with `ping` | means nothing here",
        ),
        (
            "chat: { slack: secret:s, send: [problems] }",
            "9:35 error `problems` cannot be sent | did you mean `problem`?",
        ),
        (
            "chat: { slack: secret:s, send: [] }",
            "9:28 error the route carries nothing | says nothing",
        ),
        (
            "pager: { pagerduty: secret:k, send: [emergency, scaled] }",
            "9:51 error PagerDuty is not told of `scaled` | nobody can resolve it",
        ),
        (
            "hook: { webhook: \"http://169.254.169.254/latest\" }",
            "9:20 error `webhook`: an address that is never asked | link-local addresses lead to EC2's metadata service",
        ),
        (
            "beat: { ping: \"http://h/\", every: 1s }",
            "9:37 error `every` is too short | should be 10s to 1h",
        ),
        (
            "mail: { email: ops, from: t@x.example, via: \"h:25\" }",
            "9:18 error `email` cannot be `ops` | not an address like ops@example.com",
        ),
        (
            "mail: { email: o@x.example, from: t@x.example, via: smtp.x.example }",
            "9:55 error `via` cannot be `smtp.x.example` | not a host and a port like smtp.example.com:587",
        ),
        (
            "mail: { email: o@x.example, from: t@x.example }",
            "9:3 error `notify` has no `via` | needs `via`",
        ),
        (
            "mail: { email: o@x.example, from: t@x.example, via: \"h:25\", user: me }",
            "9:63 error `user` by itself | `user` and `password` go together",
        ),
        (
            "mail: { email: o@x.example, from: t@x.example, via: \"localhost:25\", tls: none, user: me, password: secret:p }",
            "9:92 error the password would go out in clear | with `tls: none`",
        ),
        (
            "mail: { email: o@x.example, from: t@x.example, via: \"smtp.x.example:25\", tls: none }",
            "9:81 warning mail leaves this host in clear | whoever is on the way reads it",
        ),
    ];
    for (route, expected) in cases {
        check(route, expected);
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let inline = "https://hooks.slack.example/services/T0/B0/geheim";
    for written in [inline, "secret:", "secret:../../etc/shadow", "secret:a b", "secret:x/y"] {
        let text = format!("{BASE}notify:\n  chat: {{ slack: \"{written}\" }}\n");
        let problems = read(&text).problems;
        assert_eq!(problems.len(), 1, "{}", show(&text, &read(&text)));
        assert_eq!(problems[0].message, "`slack` is not `secret:NAME`");
        assert!(problems[0].remedy.as_ref().unwrap().contains("slack: secret:NAME"));
        assert!(!format!("{problems:?}").contains("geheim"));
    }
}

#[test]
fn a_topic_is_an_arn_and_not_one_with_an_order() {
    let form = "not the ARN of a standard topic, like arn:aws:sns:eu-west-1:123456789012:ops";
    for wrong in [
        "ops",
        "arn:aws:sns:eu-west-1:123456789012:ops.fifo",
        "arn:aws:sqs:eu-west-1:123456789012:ops",
        "arn:aws:sns:eu-west-1:12345:ops",
    ] {
        let expected = format!("9:17 error `sns` cannot be `{wrong}` | {form}");
        check(&format!("topic: {{ sns: \"{wrong}\" }}"), &expected);
    }
}
