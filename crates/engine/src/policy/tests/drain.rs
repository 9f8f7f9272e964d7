//! `drain`, the deregistration delay, and jobs at risk.

use super::*;
use crate::model::drain::Receiver;
use crate::model::reading::SecretHeader;

const QUEUE: &str =
    "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 }, scale_in: { below: 1 } }";
const JSON: &str = "queue: { read: { http: \"http://h/\", json: /n }, scale_out: { above: 5 }, scale_in: { below: 1 } }";

fn with(added: &str) -> String {
    format!("{BASE}    {added}\n")
}

#[track_caller]
fn drain(added: &str) -> DrainPolicy {
    fleet(&good(&with(added)), "app").drain.clone()
}

fn terms(carrier: Carrier, minutes: u64, cancel: bool) -> DrainPolicy {
    let deadline = Duration::from_mins(minutes);
    DrainPolicy::Terms(Arc::new(DrainTerms { carrier, deadline, cancel }))
}

#[test]
fn drain_is_unsaid_off_or_terms() {
    assert_eq!(fleet(&good(BASE), "app").drain, DrainPolicy::Unsaid);
    assert_eq!(drain("drain:"), DrainPolicy::Unsaid);
    assert_eq!(drain("drain: none"), DrainPolicy::Off);
    assert_eq!(drain("drain: { via: tag, deadline: 30m }"), terms(Carrier::Tag, 30, true));
    assert_eq!(
        drain("drain: { via: tag, deadline: 48h, cancel: false }"),
        terms(Carrier::Tag, 48 * 60, false)
    );
    let url = "https://app.example.com/queue/drain/{instance_id}?ip={private_ip}&d={private_dns}";
    let header = SecretHeader { name: "Authorization".into(), secret: "token".into() };
    let receiver = Receiver { url: url.into(), header: Some(header) };
    let added = format!(
        "drain: {{ deadline: 1m, via: {{ http: \"{url}\", header: {{ name: Authorization, secret: token }} }} }}"
    );
    assert_eq!(drain(&added), terms(Carrier::Http(receiver), 1, true));
    let receiver = Receiver { url: "https://{private_ip}:8080/drain".into(), header: None };
    assert_eq!(
        drain("drain: { via: { http: \"https://{private_ip}:8080/drain\" }, deadline: 1h30m }"),
        terms(Carrier::Http(receiver), 90, true)
    );
}

#[test]
fn problems_of_a_drain() {
    let cases = [
        ("drain: tag", "8:12 error `drain` cannot be `tag` | should be `none` or a map"),
        ("drain: nome", "8:12 error `drain` cannot be `nome` | did you mean `none`?"),
        ("drain: [tag]", "8:12 error `drain` is a list | should be `none` or a map"),
        ("drain: { deadline: 30m }", "8:5 error `drain` has no `via` | needs `via`"),
        ("drain: { via: tag }", "8:5 error `drain` has no `deadline` | needs `deadline`"),
        (
            "drain: { via: tags, deadline: 30m }",
            "8:19 error `via` cannot be `tags` | did you mean `tag`?",
        ),
        (
            "drain: { via: [tag], deadline: 30m }",
            "8:19 error `via` is a list | should be `tag` or a map",
        ),
        ("drain: { via: , deadline: 30m }", "8:14 error `via` has no value | says nothing"),
        ("drain: { via: {}, deadline: 30m }", "8:14 error `via` has no `http` | needs `http`"),
        (
            "drain: { via: tag, deadline: 30s }",
            "8:34 error `deadline` is too short | should be 1m to 2d",
        ),
        (
            "drain: { via: tag, deadline: 49h }",
            "8:34 error `deadline` is too long | should be 1m to 2d",
        ),
        (
            "drain: { via: tag, deadline: 30 }",
            "8:34 error `deadline` cannot be `30` | a number without a unit",
        ),
        (
            "drain: { via: tag, deadline: 30m, cancel: never }",
            "8:47 error `cancel` cannot be `never` | no such choice",
        ),
        (
            "drain: { via: tag, deadlin: 30m, deadline: 30m }",
            "8:24 error unknown key `deadlin` in `drain` | did you mean `deadline`?",
        ),
        (
            "drain: { via: { http: \"https://h/{public_ip}\" }, deadline: 30m }",
            "8:27 error `http`: an unknown placeholder | no such placeholder",
        ),
        (
            "drain: { via: { http: \"http://169.254.169.254/\" }, deadline: 30m }",
            "8:27 error `http`: an address that is never asked | link-local addresses lead to EC2's metadata service",
        ),
        (
            "drain: { via: { http: \"https://h/\", header: { name: A } }, deadline: 30m }",
            "8:41 error `header` has no `secret` | needs `secret`",
        ),
    ];
    for (added, expected) in cases {
        let text = with(added);
        assert_eq!(list(&text), [expected], "\n{}", show(&text, &read(&text)));
    }
}

#[test]
fn old_spelling_of_the_deregistration_delay_is_read() {
    let delay = |added: &str| {
        let policy = good(&with(&format!("load_balancer: {{ classic: a{added} }}")));
        fleet(&policy, "app").balancer.clone().unwrap().deregistration_delay
    };
    assert_eq!(delay(""), Duration::from_secs(30));
    assert_eq!(delay(", drain: 1m"), Duration::from_mins(1));
    assert_eq!(delay(", deregistration_delay: 2m"), Duration::from_mins(2));
    let both = with("load_balancer: { classic: a, drain: 1m, deregistration_delay: 2m }");
    let loaded = read(&both);
    let [problem] = loaded.problems.as_slice() else { panic!("{:?}", loaded.problems) };
    assert_eq!(problem.message, "both `deregistration_delay` and `drain`");
    let also = problem.also.first().map(|(place, _)| place.column);
    assert_eq!((problem.at.column, also), (34, Some(45)), "both places are named");
    assert_eq!(
        list(&with("load_balancer: { classic: a, deregistration_delay: 2h }")),
        ["8:56 error `deregistration_delay` is too long | should be 0s to 1h"]
    );
}

#[test]
fn fleets_override_the_drain_of_the_defaults() {
    let policy = good(
        "\
version: 1
defaults:
  launch: { template: web }
  max: 2
  load_balancer: { classic: a, drain: 1m }
  drain: { via: { http: \"https://h/\", header: { name: A, secret: s } }, deadline: 1h }
fleets:
  same:
  off: { drain: none }
  tag: { drain: { via: tag } }
  longer: { drain: { deadline: 2h }, load_balancer: { classic: b, deregistration_delay: 2m } }
  unsaid: { drain: , load_balancer: { classic: c } }
",
    );
    let header = SecretHeader { name: "A".into(), secret: "s".into() };
    let http = Carrier::Http(Receiver { url: "https://h/".into(), header: Some(header) });
    assert_eq!(fleet(&policy, "same").drain, terms(http.clone(), 60, true));
    assert_eq!(fleet(&policy, "off").drain, DrainPolicy::Off);
    assert_eq!(fleet(&policy, "tag").drain, terms(Carrier::Tag, 60, true));
    assert_eq!(fleet(&policy, "longer").drain, terms(http, 120, true));
    assert_eq!(fleet(&policy, "unsaid").drain, DrainPolicy::Unsaid);
    let delay = |name: &str| fleet(&policy, name).balancer.as_ref().unwrap().deregistration_delay;
    assert_eq!(
        (delay("unsaid"), delay("longer")),
        (Duration::from_mins(1), Duration::from_mins(2))
    );
}

#[test]
fn default_of_none_is_overridden_by_terms() {
    let policy = good(
        "\
version: 1
defaults: { launch: { template: web }, max: 2, drain: none }
fleets:
  off:
  tag: { drain: { via: tag, deadline: 5m } }
",
    );
    assert_eq!(fleet(&policy, "off").drain, DrainPolicy::Off);
    assert_eq!(fleet(&policy, "tag").drain, terms(Carrier::Tag, 5, true));
}

#[test]
fn drain_may_be_half_said_in_the_defaults() {
    let text = "\
version: 1
defaults: { launch: { template: web }, max: 2, drain: { deadline: 5m } }
fleets:
  half:
  tag: { drain: { via: tag } }
";
    assert_eq!(list(text), ["2:48 error `drain` has no `via` | needs `via`"]);
}

#[test]
fn drain_warns_of_tags_and_types_that_do_not_work_with_it() {
    let text = |drain: &str| {
        let launch = "[t3.small, t2.small, i3.metal, i3.large], tags: { cost center: x, team: y, _index: z }";
        format!("{}    drain: {drain}\n", BASE.replace("[t3.small]", launch))
    };
    let tags = [
        "5:102 warning EC2 refuses launches with the tag `cost center` | has a character that instance metadata cannot show",
        "5:127 warning EC2 refuses launches with the tag `_index` | a name that instance metadata reserves",
    ];
    let types = [
        "5:63 warning a drain does not reach instances of type `t2.small` | not Nitro: its metadata has no tag that was set while it runs",
        "5:83 warning a drain does not reach instances of type `i3.large` | not Nitro: its metadata has no tag that was set while it runs",
    ];
    let all: Vec<&str> = types.iter().chain(&tags).copied().collect();
    assert_eq!(list(&text("{ via: tag, deadline: 5m }")), all);
    assert_eq!(list(&text("{ via: { http: \"https://h/\" }, deadline: 5m }")), tags);
    assert_eq!(list(&text("none")), Vec::<String>::new());
}

#[test]
fn jobs_are_at_risk_without_drain_or_busy() {
    let at_risk = "8:5 error jobs are at risk when fleet `app` scales in | tells its length, and not which servers have a job";
    let note = "8:5 note fleet `app` scales in only once its queue tells who is busy | scale-in waits until a reading has told `busy` or `running`";
    let no_job = "8:5 note fleet `app` scales in only while no job runs | tells how many jobs run, and not on which servers";
    let mapped = |more: &str| JSON.replace("/n", &format!("{{ {more}waiting: /n }}"));
    let cases = [
        (with(QUEUE), Some(JobsAtRisk::LengthOnly), Some(at_risk)),
        (with(JSON), Some(JobsAtRisk::NotToldYet), Some(note)),
        (with(&mapped("")), Some(JobsAtRisk::LengthOnly), Some(at_risk)),
        (with(&mapped("arrived: /a, ")), Some(JobsAtRisk::LengthOnly), Some(at_risk)),
        (with(&mapped("running: /r, ")), Some(JobsAtRisk::RunningUnread), Some(no_job)),
        (with(&mapped("busy: /b, ")), Some(JobsAtRisk::BusyUnread), None),
        (with(&mapped("running: /r, busy: /b, ")), Some(JobsAtRisk::BusyUnread), None),
        (with(QUEUE).replace("min: 1", "min: 3"), None, None),
        (with(&format!("{QUEUE}\n    drain: none")), None, None),
        (with(&format!("{QUEUE}\n    drain: {{ via: tag, deadline: 5m }}")), None, None),
        (with("drain: { via: tag, deadline: 5m }"), None, None),
        (BASE.to_owned(), None, None),
    ];
    for (text, risk, problem) in cases {
        let policy = good(&text);
        assert_eq!(fleet(&policy, "app").jobs_at_risk(), risk, "{text}");
        let problems = list(&text);
        assert_eq!(problems.first().map(String::as_str), problem, "{text}");
        assert!(problems.len() <= 1, "{problems:?}");
    }
    let loaded = read(&with(QUEUE));
    assert!(loaded.policy.is_some(), "the daemon runs it");
    assert_eq!(loaded.problems[0].severity, Severity::Risk);
    for remedy in ["drain: {", "busy", "drain: none"] {
        assert!(loaded.problems[0].remedy.as_ref().unwrap().contains(remedy), "{loaded:?}");
    }
}

#[test]
fn risk_in_defaults_is_reported_for_each_fleet() {
    let text = format!(
        "version: 1\ndefaults:\n  launch: {{ template: web }}\n  min: 1\n  max: 2\n  {QUEUE}\nfleets:\n  a:\n  b: {{ drain: none }}\n  c:\n"
    );
    let label = "tells its length, and not which servers have a job";
    let expected = ["a", "c"]
        .map(|name| format!("6:3 error jobs are at risk when fleet `{name}` scales in | {label}"));
    assert_eq!(list(&text), expected);
}

#[test]
fn jobs_take_what_the_policy_says_or_15_minutes() {
    let takes = |added: &str| fleet(&good(&with(added)), "app").jobs_may_take();
    let queue = |more: &str| QUEUE.replace("queue: {", &format!("queue: {{ {more}"));
    assert_eq!(takes(QUEUE), Duration::from_mins(15));
    assert_eq!(takes(&queue("job_takes: 40m,")), Duration::from_mins(40));
    let goal = |more: &str| {
        format!(
            "queue: {{ read: {{ http: \"http://h/\" }}, start_within: 15m, jobs_at_once: 1{more} }}"
        )
    };
    assert_eq!(takes(&goal(", job_takes: 2m")), Duration::from_mins(2));
    assert_eq!(takes(&goal(", job_takes: auto")), Duration::from_mins(15));
}
