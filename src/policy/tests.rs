//! Whole files, in and out.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

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

#[test]
fn defaults_stand_where_the_file_is_silent() {
    let policy = good(BASE);
    assert_eq!((policy.install.as_str(), policy.region.as_deref()), ("main", None));
    assert_eq!(policy.tick, Duration::from_secs(15));
    assert_eq!(policy.limits.instances, None);
    assert_eq!(policy.limits.terminate, Some(Rate { count: 5, per: Duration::from_mins(10) }));
    let app = fleet(&policy, "app");
    assert_eq!((app.mode, app.billing), (Mode::Observe, Billing::Second));
    assert_eq!((app.grace, app.minimum_uptime), (Duration::from_mins(10), Duration::ZERO));
    assert_eq!((app.launch.role.as_str(), app.launch.user_data.as_str()), ("app", "ROLE=app"));
    assert!(app.balancer.is_none() && app.health.is_none());
    assert!(app.schedule.is_none() && app.queue.is_none());
}

#[test]
fn what_a_fleet_may_say() {
    let launch = |text: &str| {
        let policy =
            good(&BASE.replace("{ image: ami-0123456789abcdef0, types: [t3.small] }", text));
        fleet(&policy, "app").launch.clone()
    };
    let template = |name: &str, version: &str| Image::Template {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    assert_eq!(launch("{ template: web }").image, template("web", "$Default"));
    assert_eq!(launch("{ template: web:7 }").image, template("web", "7"));
    let ssm = launch("{ image: \"resolve:ssm:/images/web\", types: [t3.small] }");
    assert_eq!(ssm.image, Image::Id("resolve:ssm:/images/web".into()));
    let data = |text: &str| launch(&format!("{{ template: web, {text} }}")).user_data;
    assert_eq!(data("role: web"), "ROLE=web");
    assert_eq!(data("user_data: { B: 1.10, A: yes }"), "B=1.10;A=yes;ROLE=app");
    assert_eq!(data("user_data: { ROLE: x, A: }"), "ROLE=x;A=");
    assert_eq!(data("user_data: \"#!/bin/sh\""), "#!/bin/sh");
}

#[test]
fn defaults_merge_by_key_and_pairs_replace_each_other() {
    let policy = good(
        "\
version: 1
defaults:
  mode: act
  launch: { image: ami-0123456789abcdef0, types: [t3.small], user_data: { A: 1, B: 2 } }
  load_balancer: { classic: front, drain: 1m }
  min: 1
  max: 2
fleets:
  app:
  job:
    max: 5
    launch: { template: jobs, types: [], user_data: { C: 3, A: 9 } }
    load_balancer: { target_group: back }
  odd:
    mode: observe
    load_balancer:
",
    );
    assert_eq!(fleet(&policy, "app").mode, Mode::Act);
    assert_eq!(fleet(&policy, "app").launch.user_data, "A=1;B=2;ROLE=app");
    let job = fleet(&policy, "job");
    assert_eq!((job.bounds.min(), job.bounds.max()), (1, 5));
    assert_eq!(job.launch.user_data, "A=9;B=2;C=3;ROLE=job");
    assert!(job.launch.types.is_empty());
    assert!(matches!(&job.launch.image, Image::Template { name, .. } if name == "jobs"));
    let balancer = job.balancer.as_ref().unwrap();
    assert_eq!(balancer.balancer, Balancer::TargetGroup("back".into()));
    assert_eq!(balancer.drain, Duration::from_mins(1));
    assert!(fleet(&policy, "odd").balancer.is_none(), "an empty section undoes the default");
}

#[test]
fn anchors_and_merge_keys() {
    let policy = good(
        "\
version: 1
fleets:
  app: &app
    launch: &small { image: ami-0123456789abcdef0, types: [t3.small] }
    min: 1
    max: 3
  job:
    <<: *app
    max: 2
  cron: { launch: *small, max: 1 }
",
    );
    let job = fleet(&policy, "job");
    assert_eq!((job.bounds.min(), job.bounds.max()), (1, 2));
    assert_eq!(fleet(&policy, "cron").launch.types, ["t3.small"]);
}

#[test]
fn one_problem_in_a_fleet() {
    let cases = [
        ("mim: 1", "8:5 error unknown key `mim` in a fleet | did you mean `min`?"),
        ("min: 2", "8:5 error `min` is there twice | again here"),
        ("billing: weekly", "8:14 error `billing` cannot be `weekly` | no such choice"),
        (
            "minimum_uptime: 45",
            "8:21 error `minimum_uptime` cannot be `45` | a number without a unit",
        ),
        (
            "minimum_uptime: 45 min",
            "8:21 error `minimum_uptime` cannot be `45 min` | an unknown unit",
        ),
        ("minimum_uptime: 90d", "8:21 error `minimum_uptime` is too long | should be 0s to 30d"),
        (
            "minimum_uptime: [1m]",
            "8:21 error `minimum_uptime` is a list | should be a single value",
        ),
        ("load_balancer: { drain: 1m }", "8:5 error a load balancer without a name | which?"),
        (
            "load_balancer: web",
            "8:5 error a load balancer without a name | which?\n8:20 error `load_balancer` is a single value | should be a map of keys and values",
        ),
        ("schedule: { cron: x }", "8:15 error `schedule` is a map | should be a list"),
        (
            "schedule: [{ cron: \"0 8 * * *\", capacity: 4 }]",
            "8:47 error the schedule asks for more than `max` | but this line asks for 4",
        ),
        (
            "schedule: [{ cron: \"0 8 * * *\", capacity: 0 }]",
            "8:47 error the schedule asks for less than `min` | but this line asks for 0",
        ),
        (
            "schedule: [{ cron: \"0 8 1 * mon\", capacity: 2 }]",
            "8:24 warning `0 8 1 * mon` fires on either kind of day | the days of the month, and also the days of the week",
        ),
        (
            "schedule: [{ cron: 0 8 * * 1, capacity: 2 }, { cron: 0 8 * * mon, capacity: 3 }]",
            "8:58 warning two lines that always fire together | this wins: 3",
        ),
        (
            "queue: { read: { http: \"http://h/{x}\" }, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:28 error `http`: an unknown placeholder | no such placeholder",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 } }",
            "8:5 error `queue` has no `scale_in` | needs `scale_in`",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 }, scale_in: { below: 5 } }",
            "8:87 error the fleet would grow and shrink at once | shrinks below this",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 }, scale_in: { below: 1 }, if_unreadable: 4 }",
            "8:107 error `if_unreadable` is above `max` | asks for 4",
        ),
        ("health: { expect: ours }", "8:5 error `health` has no `http` | needs `http`"),
        (
            "health: { http: \"http://{privat_ip}/\" }",
            "8:21 error `http`: an unknown placeholder | did you mean `{private_ip}`?",
        ),
        (
            "load_balancer: { classic: a, drain: 50m }\n    billing: hour",
            "9:14 error the drain does not fit into the paid hour | a server leaves before the hour is up",
        ),
    ];
    for (added, expected) in cases {
        check(added, expected);
    }
}

#[test]
fn urls_never_lead_to_the_metadata_service() {
    let bad = [
        "http://169.254.169.254/latest",
        "http://169.254.1.1:80/",
        "http://[fd00:ec2::254]/",
        "http://[FD00:EC2:0::254]:80/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.254.169.254./",
        "http://user:word@h/",
        "http://h/#x",
        "http://",
        "http://h:0/",
        "http://h:port/",
        "http://[::1/",
        "ftp://h/",
        "http://h/a b",
    ];
    for url in bad {
        let problems = list(&format!("{BASE}    health: {{ http: \"{url}\" }}\n"));
        assert!(problems.len() == 1 && problems[0].contains("error `http`"), "{url} {problems:?}");
    }
    for url in
        ["http://{private_ip}:8080/up?x=1", "https://h", "http://[::1]:80/", "http://10.0.0.1/"]
    {
        good(&format!("{BASE}    health: {{ http: \"{url}\" }}\n"));
    }
}

#[test]
fn a_file_as_a_whole() {
    let cases: &[(&str, &str)] = &[
        ("", "1:1 error the file is empty | nothing here"),
        ("# only a comment\n", "1:1 error the file is empty | nothing here"),
        ("- 1\n", "1:1 error the file is a list | should be a map of keys and values"),
        ("version: 1\n", "1:1 warning no fleets | nothing to keep running"),
        ("version: 1\nfleets:\n", "2:1 warning no fleets | nothing to keep running"),
        (
            "a: */5 * * * *\n",
            "1:4 error the value begins with `*`, which YAML takes for an alias | no such anchor",
        ),
        ("a:\n\tb: 1\n", "2:2 error a tab in the indentation | here"),
        ("a: 1\n---\nb: 1\n", "3:1 error a second YAML document | begins here"),
        ("a: &x [*x]\n", "1:8 error an alias inside its own anchor | this would never end"),
        (
            "version: 1\nfleets:\n  a: { launch: { template: web }, max: 1, schedule: [{ cron: 0 8 * * *, capacity: 1 }] }\n",
            "3:43 error a schedule without a time zone | in which time zone?",
        ),
        (
            "version: 1\nlimits: { instances: 2 }\nfleets:\n  a: { launch: { template: web }, min: 2, max: 2 }\n  b: { launch: { template: web }, min: 1, max: 1 }\n",
            "2:22 error the limit is smaller than what must run | but the fleets' `min` come to 3",
        ),
        (
            "version: 1\nlimits: { instances: 2 }\nfleets:\n  a: { launch: { template: web }, max: 3 }\n",
            "4:40 warning fleet `a` can never reach its `max` | 3 here",
        ),
        (
            "version: 1\nfleets:\n  a: { launch: { template: web }, max: 3, load_balancer: { classic: x } }\n  b: { launch: { template: web }, max: 3, load_balancer: { classic: x } }\n",
            "4:43 warning fleets `a` and `b` share a load balancer | the load balancer x again",
        ),
        // What `defaults` get wrong is one problem, and found even where every fleet overrides it.
        (
            "version: 1\ndefaults: { mx: 1, min: two }\nfleets:\n  a: { launch: { template: web }, max: 3, min: 1 }\n  b: { launch: { template: web }, max: 3, min: 1 }\n",
            "2:13 error unknown key `mx` in a fleet | did you mean `max`?\n2:25 error `min` cannot be `two` | not a whole number from 0 to 10000",
        ),
        (
            "version: 1\nfleets: { a: { max: 1 } }\n",
            "2:11 error fleet `a` does not say what to launch | needs `launch`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(list(text).join("\n"), *expected, "\n{text}");
    }
}

#[test]
fn time_zones() {
    let cases = [
        ("EST", "`EST` is not the name of a time zone | did you mean `America/New_York`?"),
        (
            "Winnipeg",
            "`Winnipeg` is not the name of a time zone | did you mean `America/Winnipeg`?",
        ),
        ("XYZ", "`XYZ` is not the name of a time zone | an abbreviation, or no zone at all"),
        (
            "America/Winipeg",
            "unknown time zone `America/Winipeg` | did you mean `America/Winnipeg`?",
        ),
        ("America/Nowhere_At_All", "unknown time zone `America/Nowhere_At_All` | no such zone"),
    ];
    for (zone, expected) in cases {
        let text = BASE.replace("timezone: UTC", &format!("timezone: {zone}"));
        assert_eq!(list(&text), [format!("2:11 error {expected}")]);
    }
    for zone in ["UTC", "America/Winnipeg", "Etc/UTC"] {
        good(&BASE.replace("timezone: UTC", &format!("timezone: {zone}")));
    }
}

#[test]
fn cron_expressions() {
    let cases = [
        ("0 0 8 * * *", "6 fields where cron has five", "without seconds: `0 8 * * *`"),
        (
            "0 8 * *",
            "4 fields where cron has five",
            "minute, hour, day of month, month, day of week, in quotes: \"0 8 * * mon-fri\"",
        ),
        ("@daily", "a nickname", "write `0 0 * * *`"),
        ("60 8 * * *", "minute: no `60`", "the minute is 0 to 59"),
        ("0 24 * * *", "hour: no `24`", "the hour is 0 to 23"),
        ("0 8 0 * *", "day of month: no `0`", "the day of month is 1 to 31"),
        ("0 8 * mar-xyz *", "month: no `xyz`", "the month is 1 to 12, or jan to dec"),
        ("0 8 * * 8", "day of week: no `8`", "the day of week is 0 to 7, or sun to sat"),
        ("0 22-6 * * *", "hour: `22-6` runs backwards", "write it in two: `22-23,0-6`"),
        (
            "0 8 * * fri-mon",
            "day of week: `fri-mon` runs backwards",
            "write it in two: `fri-sat,sun-mon`",
        ),
        ("5/10 * * * *", "minute: a step without a range", "write `5-59/STEP`"),
        ("*/0 * * * *", "minute: no step `0`", "a step of the minute is 1 to 59"),
        ("0 8 L * *", "day of month: no `l`", "the day of month is 1 to 31"),
        ("0 8 * * 5#2", "day of week: no `5#2`", "the day of week is 0 to 7, or sun to sat"),
    ];
    for (text, message, remedy) in cases {
        let error = cron::parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.remedy.as_str()), (message, remedy), "{text}");
    }
    let same = [
        ("0 8 * * sun", "0 8 * * 0"),
        ("0 8 * * 7", "0 8 * * 0"),
        ("0 8 * * SAT-SUN", "0 8 * * 6,0"),
    ];
    for (one, other) in same {
        let set = |text| cron::parse(text).unwrap().pattern.days_of_week.values();
        assert_eq!(set(one), set(other), "{one}");
    }
    for never in ["0 8 30 2 *", "0 8 31 4,6 *"] {
        let text = format!("{BASE}    schedule: [{{ cron: \"{never}\", capacity: 2 }}]\n");
        assert_eq!(list(&text), [format!("8:24 error `{never}` never fires | no such day")]);
    }
}

#[test]
fn every_problem_at_once() {
    let text = "\
version: 2
install: Main
timezone: EST
mode: dry
tick: 15
limits: { instances: none, terminate: 5/10m }
colour: red
fleets:
  App: { launch: { template: web }, max: 1 }
  app:
    launch: { image: ami-1, template: web, role: a b }
    min: 4
    max: 3
    health: { http: \"ftp://x\", timeout: 5 min }
    schedule:
      - { cron: \"0 8 * * mon-fry\", capacity: 3 }
      - { capacity: two }
  job:
    max: 3
    max: 4
    queue: { read: {}, scale_out: { above: x }, scale_in: { below: 20 } }
";
    let places: Vec<String> = read(text)
        .problems
        .iter()
        .map(|problem| format!("{}:{}", problem.at.line, problem.at.column))
        .collect();
    let expected = [
        "1:10", "2:10", "3:11", "4:7", "5:7", "6:22", "6:39", "7:1", "9:3", "11:22", "11:29",
        "11:50", "12:10", "14:21", "14:41", "16:17", "17:9", "17:21", "18:3", "20:5", "21:14",
        "21:44",
    ];
    assert_eq!(places, expected, "\n{}", show(text, &read(text)));
    for problem in read(text).problems {
        assert!(problem.file == "policies.yaml" && !problem.label.is_empty(), "{problem:?}");
    }
}

#[test]
fn rustc_s_look() {
    let text = format!("{BASE}    schedule: [{{ cron: 0 8 * * *, capacity: 4 }}]\n");
    let expected = "\
error: the schedule asks for more than `max`
 --> policies.yaml:8:45
  |
7 |     max: 3
  |          - never more than 3
8 |     schedule: [{ cron: 0 8 * * *, capacity: 4 }]
  |                                             ^ but this line asks for 4
  |
  = help: raise `max` to 4, or lower this line

";
    assert_eq!(show(&text, &read(&text)), expected);
}

#[test]
fn nothing_from_the_file_steers_the_terminal() {
    let dangerous =
        |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    for added in [
        "\"x\\e[31m\\u202E\": 1 # \u{202e}",
        "billing: \"\\e]0;x\\a\"",
        "a: \"\u{9b}\"",
        "b: \u{7f}",
        "c: \u{1b}[2J",
    ] {
        let text = format!("{BASE}    {added}\n");
        let shown = render(&read(&text).problems, "a\u{1b}b.yaml", &text, false);
        assert!(!shown.is_empty() && !shown.contains(dangerous), "{shown:?}");
    }
}

#[test]
fn secrets_in_user_data_are_pointed_out() {
    for secret in ["AKIAIOSFODNN7EXAMPLE", "-----BEGIN RSA PRIVATE KEY-----", "DB_PASSWORD=x"] {
        let added = format!("user_data: \"k {secret}\"");
        let text = BASE.replace("[t3.small]", &format!("[t3.small], {added}"));
        let problems = list(&text);
        assert!(problems.len() == 1 && problems[0].contains("warning user data"), "{problems:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let item = format!("*a{}, ", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", item.repeat(9)));
    }
    let deep = "[".repeat(100_000);
    let long = format!("# {}\n", "x".repeat(1 << 20));
    let begun = start();
    for (bomb, expected) in [(text, "too large or too deep"), (deep, "not valid"), (long, "1 MiB")]
    {
        let problems = list(&bomb);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[expect(clippy::disallowed_methods, reason = "a test may look at the clock on the wall")]
fn start() -> Instant {
    Instant::now()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        let loaded = read(&text);
        prop_assert!(loaded.policy.is_some() || !loaded.problems.is_empty());
        show(&text, &loaded);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        show(&text, &read(&text));
    }

    /// The shipped file with a piece cut out or doubled, which gets further than noise.
    #[test]
    fn no_edit_breaks_the_reader(at in 0..SHIPPED.len(), length in 0..40_usize, with in "[-a-z0-9:{}\\[\\]&*\"', \\n\\t]{0,6}") {
        let mut bytes = SHIPPED.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        let text = String::from_utf8_lossy(&bytes);
        let loaded = read(&text);
        let errors = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
        prop_assert_eq!(loaded.policy.is_none(), errors);
        show(&text, &loaded);
    }
}

#[test]
fn every_key_is_in_the_reference() {
    let reference = include_str!("../../docs/policies.md");
    for (section, keys) in file::SECTIONS {
        let title = if *section == "file" { "The file" } else { section };
        let body = reference
            .split("\n#")
            .find(|part| part.trim_start_matches('#').lines().next() == Some(&format!(" {title}")))
            .unwrap_or_else(|| panic!("no heading for {section}"));
        let listed: Vec<&str> =
            body.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(listed, *keys, "{section}");
    }
}
