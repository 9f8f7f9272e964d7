//! Bad files: every problem, where it is and how it looks.

use super::*;
use crate::model::reading::{FieldMap, JsonFields};

/// `BASE` with `added` at the end of its fleet has exactly this problem.
#[track_caller]
fn check(added: &str, expected: &str) {
    // Jobs at risk would be a second problem of these queues.
    let drain = if added.contains("queue:") { "\n    drain: none" } else { "" };
    let text = format!("{BASE}    {added}{drain}\n");
    assert_eq!(list(&text).join("\n"), expected, "\n{}", show(&text, &read(&text)));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn one_problem_in_a_fleet() {
    let cases = [
        ("mim: 1", "8:5 error unknown key `mim` in a fleet | did you mean `min`?"),
        ("min: 2", "8:5 error `min` is there twice | again here"),
        ("keep_attached: maybe", "8:20 error `keep_attached` cannot be `maybe` | no such choice"),
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
            "schedule: [{ cron: \"0 8 1 * mon\", capacity: 2 }, { cron: 0 9 * * *, capacity: 1 }]",
            "8:24 warning `0 8 1 * mon` fires on either kind of day | the days of the month, and also the days of the week",
        ),
        (
            "schedule: [{ cron: 0 8 * * 1, capacity: 2 }, { cron: 0 8 * * mon, capacity: 3 }]",
            "8:58 warning two lines that always fire together | this wins: 3",
        ),
        (
            "schedule: [{ during: mon-fri 8-21, capacity: 2 }]",
            "8:26 error `mon-fri 8-21` is not what `during` takes | no time of day",
        ),
        (
            "schedule: [{ dates: christmas, capacity: 2 }]",
            "8:25 error `christmas` is not what `dates` takes | not a date",
        ),
        (
            "schedule: [{ dates: 2020-12-24..2020-12-26, capacity: 2 }]",
            "8:25 warning `2020-12-24..2020-12-26` is over | this changes nothing any more",
        ),
        (
            "schedule: [{ cron: 0 8 * * *, during: mon 08:00-09:00, capacity: 2 }]",
            "8:35 error both `cron` and `during` | this",
        ),
        ("schedule: [{ capacity: 2 }]", "8:16 error a schedule line has no `cron` | needs `cron`"),
        (
            "queue: { read: { http: \"http://h/{x}\" }, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:28 error `http`: an unknown placeholder | no such placeholder",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 } }",
            "8:5 error `queue` has no `scale_in` | needs `scale_in`",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, scale_out: { above: 5 }, scale_in: { below: 7 } }",
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
            "9:14 error the deregistration delay does not fit into the paid hour | a server leaves before the hour is up",
        ),
    ];
    for (added, expected) in cases {
        check(added, expected);
    }
}

#[test]
fn problems_of_a_field_map() {
    let cases = [
        ("{ running: /r }", "8:41 error `json` has no `waiting` | needs `waiting`"),
        (
            "{ waiting: /n, runing: /r }",
            "8:62 error unknown key `runing` in `json` | did you mean `running`?",
        ),
        ("{ waiting: /n, worst: /r }", "8:62 error unknown key `worst` in `json` | no such key"),
        (
            "{ waiting: n }",
            "8:58 error `waiting` cannot be `n` | not a JSON pointer like `/queues/0/length`",
        ),
        ("{ waiting: /n, busy: }", "8:62 error `busy` has no value | says nothing"),
        ("[/n]", "8:47 error `json` is a list | should be a JSON pointer, or a map of them"),
        ("n", "8:47 error `json` cannot be `n` | not a JSON pointer like `/queues/0/length`"),
    ];
    for (json, expected) in cases {
        let read = format!("read: {{ http: \"http://h/\", json: {json} }}");
        let rules = "scale_out: { above: 5 }, scale_in: { below: 1 }";
        check(&format!("queue: {{ {read}, {rules} }}"), expected);
    }
}

#[test]
fn field_map_is_read_and_half_a_one_in_defaults() {
    let text = |defaults: &str, own: &str| {
        let rules = "scale_out: { above: 5 }, scale_in: { below: 1 }";
        format!(
            "version: 1\ndefaults: {{ queue: {{ read: {{ {defaults} }} }} }}\nfleets:\n  app:\n    launch: {{ template: web }}\n    max: 3\n    drain: none\n    queue: {{ read: {{ http: \"http://h/\", {own} }}, {rules} }}\n"
        )
    };
    let json = |text: &str| {
        let policy = good(text);
        fleet(&policy, "app").queue.as_ref().unwrap().source.json.clone().unwrap()
    };
    let map = FieldMap {
        waiting: "/n".to_owned(),
        running: Some("/r".to_owned()),
        ..FieldMap::default()
    };
    assert_eq!(json(&text("", "json: /n")), JsonFields::Named("/n".to_owned()));
    let whole = "json: { waiting: /n, running: /r }";
    assert_eq!(json(&text("", whole)), JsonFields::Mapped(map.clone()));
    assert_eq!(
        json(&text("json: { running: /r }", "json: { waiting: /n }")),
        JsonFields::Mapped(map)
    );
    let plain = json(&text("json: { running: /r }", "json: /n"));
    assert_eq!(plain, JsonFields::Named("/n".to_owned()));
}

#[test]
fn one_problem_in_a_goal() {
    let cases = [
        (
            "queue: { read: { http: \"http://h/\" }, start_within: 15m, jobs_at_once: 2, scale_out: { above: 5 } }",
            "8:79 error both `start_within` and `scale_out` | a threshold",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, start_within: 15m }",
            "8:5 error `queue` has no `jobs_at_once` | needs `jobs_at_once`",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, start_within: 15m, jobs_at_once: 2, job_takes: 40 }",
            "8:90 error `job_takes` cannot be `40` | a number without a unit",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, start_within: 5m, jobs_at_once: 2, boot_takes: 10m }",
            "8:57 warning a job that finds no server waits longer than the goal | 5m is too short",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, start_within: 15m, jobs_at_once: 2, every: 10m }",
            "8:57 warning a job that finds no server waits longer than the goal | 15m is too short",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, jobs_at_once: 2, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:43 error `jobs_at_once` without a goal | belongs to `start_within`",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, boot_takes: 2m, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:43 error `boot_takes` without a goal | belongs to `start_within`",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, job_takes: auto, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:54 error `job_takes: auto` without a goal | learned by none",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, job_takes: 0s, scale_out: { above: 5 }, scale_in: { below: 1 } }",
            "8:54 error `job_takes` cannot be zero | no time at all",
        ),
        (
            "queue: { read: { http: \"http://h/\" }, every: 1m, scale_out: { above: 5 }, scale_in: { below: 1, after: 6h } }",
            "8:108 error `after` looks back further than readings are kept at hand | 6h of readings every 1m",
        ),
    ];
    for (added, expected) in cases {
        check(added, expected);
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
        (
            "a: [{ cron: */5 * * * *, b: 1 }]\n",
            "1:13 error the value begins with `*`, which YAML takes for an alias | no such anchor",
        ),
        ("a: &x [*x]\n", "1:8 error an alias inside its own anchor | this would never end"),
        (
            "version: 1\nfleets:\n  a: { launch: { template: web }, max: 1, schedule: [{ during: mon 08:00-09:00, capacity: 1 }] }\n",
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
        ("GMT", "`GMT` is not the name of a time zone | did you mean `UTC`?"),
        ("Zulu", "`Zulu` is not the name of a time zone | did you mean `UTC`?"),
        ("WET", "`WET` is not the name of a time zone | did you mean `Europe/Lisbon`?"),
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
        ("5/10 * * * *", "minute: a step without a range", "write `5-59/10`"),
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
        let set = |text| cron::parse(text).unwrap().weekdays;
        assert_eq!(set(one), set(other), "{one}");
    }
    for never in ["0 8 30 2 *", "0 8 31 4,6 *", "0 8 30-31 2 */2"] {
        let text = format!("{BASE}    schedule: [{{ cron: \"{never}\", capacity: 2 }}]\n");
        let expected = "is not a cron expression | no month of it has such a day";
        assert_eq!(list(&text), [format!("8:24 error `{never}` {expected}")]);
    }
    for some_day in ["0 8 29 2 *", "0 8 31 4,5 *", "0 8 30 2 mon", "0 8 29 2 */7"] {
        cron::parse(some_day).unwrap();
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
fn secrets_in_user_data_are_pointed_out() {
    for secret in ["AKIAIOSFODNN7EXAMPLE", "-----BEGIN RSA PRIVATE KEY-----", "DB_PASSWORD=x"] {
        let added = format!("user_data: \"k {secret}\"");
        let text = BASE.replace("[t3.small]", &format!("[t3.small], {added}"));
        let problems = list(&text);
        assert!(problems.len() == 1 && problems[0].contains("warning user data"), "{problems:?}");
    }
}
