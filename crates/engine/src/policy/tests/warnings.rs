//! Files that load, and probably do not do what was meant.

use super::*;

/// The problems of an app fleet (`min: 1`, `max: 9`) with this schedule.
fn scheduled(lines: &str) -> Vec<String> {
    let text = BASE.replace("max: 3", "max: 9");
    list(&format!("{text}    schedule:\n{lines}"))
}

/// The problems of a job fleet with these bounds and thresholds.
fn queued(bounds: &str, every: &str, thresholds: &str) -> Vec<String> {
    let text = BASE.replace("    min: 1\n    max: 3\n", &format!("    {bounds}\n"));
    list(&format!(
        "{text}    drain: none\n    queue: {{ read: {{ http: 'http://h/' }}, every: {every}, {thresholds} }}\n"
    ))
}

/// Some lines, and the line of the file and a part of the one warning; none: it is quiet.
type Case<'a> = (&'a [&'a str], Option<(usize, &'a str)>);

#[track_caller]
fn judge(cases: &[Case<'_>]) {
    for (lines, expected) in cases {
        let line = |line: &&str| format!("      - {{ {line} }}\n");
        let text: String = lines.iter().map(line).collect();
        let found = scheduled(&text);
        match expected {
            None => assert!(found.is_empty(), "{lines:?}: {found:#?}"),
            Some((nth, part)) => {
                let line = format!("{}:", nth.saturating_add(8));
                let is_it = found.len() == 1 && found[0].starts_with(&line);
                assert!(is_it && found[0].contains(part), "{lines:?}: {found:#?}");
            }
        }
    }
}

#[test]
fn lines_inside_others_never_count() {
    judge(&[
        (
            &["during: mon-fri 08:00-18:00, capacity: 5", "during: tue 09:00-12:00, capacity: 3"],
            Some((2, "a line that never counts | 3, and more holds")),
        ),
        // Inside two others together, over the end of the week.
        (
            &[
                "during: sun 20:00-02:00, capacity: 4",
                "during: mon 01:00-09:00, capacity: 6",
                "during: sun 22:00-05:00, capacity: 2",
            ],
            Some((3, "a line that never counts | 2")),
        ),
        (
            &[
                "dates: 2027-05-03..2027-05-04, capacity: 2",
                "dates: 2027-05-01..2027-05-09, capacity: 7",
            ],
            Some((1, "a line that never counts | 2")),
        ),
        (
            &["during: mon-fri 08:00-18:00, capacity: 5", "during: tue 09:00-18:30, capacity: 3"],
            None,
        ),
        (
            &["during: mon-fri 08:00-18:00, capacity: 3", "during: tue 09:00-12:00, capacity: 5"],
            None,
        ),
        (
            &["during: mon-fri 08:00-18:00, capacity: 5", "during: tue 09:00-12:00, capacity: 5"],
            None,
        ),
        (
            &[
                "dates: 2027-05-01..2027-05-09, capacity: 7",
                "dates: 2027-05-09..2027-05-10, capacity: 2",
            ],
            None,
        ),
        // A line is reported once, also where it asks for `min`.
        (
            &["dates: 2027-05-03, capacity: 1", "dates: 2027-05-01..2027-05-09, capacity: 7"],
            Some((1, "a line that never counts | 1")),
        ),
        // A date beats hours of the week.
        (&["during: daily 08:00-18:00, capacity: 5", "dates: 2027-05-03, capacity: 2"], None),
    ]);
}

#[test]
fn cron_under_a_covered_week_never_counts() {
    let part = "a cron line that never counts | 7 never holds";
    judge(&[
        (
            &["cron: 0 8 * * *, capacity: 7", "during: daily 00:00-24:00, capacity: 2"],
            Some((1, part)),
        ),
        (
            &[
                "during: mon-fri 06:00-22:00, capacity: 4",
                "cron: 30 9 1 * *, capacity: 7",
                "during: daily 22:00-06:00, capacity: 2",
                "during: sat-sun 06:00-22:00, capacity: 3",
            ],
            Some((2, part)),
        ),
        (
            &[
                "cron: 0 8 * * *, capacity: 7",
                "cron: 0 20 * * *, capacity: 2",
                "during: mon-sat 00:00-24:00, capacity: 3",
            ],
            None,
        ),
    ]);
}

#[test]
fn lines_that_nothing_lowers_are_named() {
    judge(&[
        (&["cron: 0 8 * * mon-fri, capacity: 4"], Some((1, "never ends | 4 from then on"))),
        (
            &["cron: 0 8 * * mon-fri, capacity: 4", "cron: 0 9 * * sun, capacity: 4"],
            Some((1, "never ends")),
        ),
        (
            &["cron: 0 8 * * *, capacity: 4", "during: sat 08:00-12:00, capacity: 6"],
            Some((1, "never ends")),
        ),
        // The line of less holds for one minute.
        (
            &["cron: '* 8-21 * * *', capacity: 4", "cron: 0 21 * * *, capacity: 2"],
            Some((1, "never ends")),
        ),
        (
            &["cron: 0 21 * * *, capacity: 1", "cron: '* * * * *', capacity: 4"],
            Some((2, "never ends")),
        ),
        (&["cron: '* 8-20 * * *', capacity: 4", "cron: 59 20 * * *, capacity: 2"], None),
        (&["cron: '* 8-20 * * *', capacity: 4", "cron: 0 21 * * *, capacity: 2"], None),
        (&["cron: 0 8 * * *, capacity: 4", "cron: 0 21 * * *, capacity: 1"], None),
        (&["cron: 0 8 * * *, capacity: 4", "cron: 0 21 * * *, capacity: 3"], None),
        (&["cron: 0 8 * * *, capacity: 4", "during: daily 20:00-08:00, capacity: 2"], None),
        (&["cron: 0 0 * * *, capacity: 4", "dates: 2027-05-03, capacity: 2"], None),
    ]);
    // The remedy for `*` is another.
    let remedy = |line: &str| {
        let text = BASE.replace("max: 3", "max: 9");
        let text = format!("{text}    schedule: [{{ cron: '{line}', capacity: 4 }}]\n");
        read(&text).problems[0].remedy.clone().unwrap()
    };
    assert!(remedy("* 7 * * *").contains("`*` fires at every minute"));
    assert!(remedy("0 7 * * *").contains("capacity: 1 }"), "{}", remedy("0 7 * * *"));
}

#[test]
fn lines_at_min_without_more_change_nothing() {
    let part = "a schedule line at `min` that changes nothing | 1, as without the line";
    judge(&[
        (&["cron: 0 8 * * *, capacity: 1"], Some((1, part))),
        (&["during: sat 08:00-12:00, capacity: 1"], Some((1, part))),
        (&["dates: 2027-05-03, capacity: 1"], Some((1, part))),
        (&["dates: 2027-05-03, capacity: 1", "dates: 2027-05-05, capacity: 3"], Some((1, part))),
        (&["during: sat 08:00-12:00, capacity: 3", "dates: 2027-05-03, capacity: 1"], None),
        (&["cron: 0 8 * * *, capacity: 3", "during: daily 21:00-06:00, capacity: 1"], None),
    ]);
    let both = BASE.replace("min: 1", "min: 2")
        + "    drain: none\n    queue: { read: { http: 'http://h/' }, scale_out: { above: 9 }, scale_in: { below: 2 } }\n    schedule: [{ cron: 0 8 * * *, capacity: 2 }]\n";
    let found = list(&both);
    assert!(found.len() == 1 && found[0].contains("at `min` that changes nothing"), "{found:#?}");
}

#[test]
fn a_minute_between_two_spans_is_found() {
    let part = "a minute is left out after";
    judge(&[
        (
            &["during: daily 08:00-23:59, capacity: 5", "during: daily 00:00-06:00, capacity: 3"],
            Some((1, part)),
        ),
        (&["during: daily 00:00-23:59, capacity: 5"], Some((1, part))),
        (
            &["during: sun 20:00-23:59, capacity: 4", "during: mon 00:00-05:00, capacity: 4"],
            Some((1, part)),
        ),
        (
            &[
                "during: mon-fri 08:00-11:59, capacity: 4",
                "during: mon-fri 12:00-18:00, capacity: 6",
            ],
            Some((1, part)),
        ),
        (
            &["during: daily 08:00-23:59, capacity: 5", "during: daily 00:01-06:00, capacity: 3"],
            None,
        ),
        (&["during: mon 08:00-23:59, capacity: 5", "during: wed 00:00-06:00, capacity: 3"], None),
        (
            &["during: daily 08:00-24:00, capacity: 5", "during: daily 00:00-06:00, capacity: 3"],
            None,
        ),
        // A line for that minute.
        (
            &[
                "during: daily 08:00-12:00, capacity: 5",
                "during: daily 12:00-12:01, capacity: 2",
                "during: daily 12:01-18:00, capacity: 5",
            ],
            None,
        ),
        // As many hold in that minute.
        (
            &[
                "during: daily 08:00-23:59, capacity: 5",
                "during: daily 00:00-06:00, capacity: 3",
                "during: daily 23:00-00:30, capacity: 3",
            ],
            None,
        ),
    ]);
    let text = BASE.replace("max: 3", "max: 9");
    let night = format!("{text}    schedule: [{{ during: 'mon-sun 00:00-23:59', capacity: 4 }}]\n");
    let remedy = read(&night).problems[0].remedy.clone().unwrap();
    assert!(remedy.contains("`24:00`") && remedy.contains("over midnight"), "{remedy}");
}

#[test]
fn a_day_that_starts_at_its_end_is_refused() {
    for text in ["mon 24:00-08:00", "daily 24:00-24:00", "sat,sun 24:00-02:30"] {
        let error = Window::parse(text).unwrap_err();
        assert_eq!(error.message, "a span that starts at 24:00", "{text}");
        assert!(error.remedy.contains("`00:00` of the day that follows"), "{}", error.remedy);
    }
    assert!(Window::parse("mon 08:00-24:00").is_ok());
}

#[test]
fn thresholds_may_touch_and_not_overlap() {
    let of = |above: u64, below: u64| {
        let rule = format!("scale_out: {{ above: {above} }}, scale_in: {{ below: {below} }}");
        queued("min: 1\n    max: 4", "5m", &rule)
    };
    for (above, below) in [(0, 1), (1, 0), (7, 6), (20, 5)] {
        let errors: Vec<_> = of(above, below).into_iter().filter(|p| p.contains("error")).collect();
        assert!(errors.is_empty(), "{above} {below}: {errors:#?}");
    }
    for (above, below) in [(0, 1), (7, 6), (20, 5)] {
        assert_eq!(of(above, below), Vec::<String>::new(), "{above} {below}");
    }
    for (above, below) in [(7, 8), (7, 7), (1, 2)] {
        let found = of(above, below);
        assert!(
            found.len() == 1 && found[0].contains("warning the fleet hardly ever rests"),
            "{found:#?}"
        );
    }
    for (above, below) in [(0, 2), (7, 9), (3, 100)] {
        let found = of(above, below);
        assert!(
            found.len() == 1 && found[0].contains("error the fleet would grow and shrink"),
            "{found:#?}"
        );
    }
    assert!(of(4, 0)[0].contains("warning the fleet never shrinks"));
}

#[test]
fn few_jobs_of_an_empty_fleet_may_wait_for_ever() {
    let rule = "scale_out: { above: 9 }, scale_in: { below: 2 }";
    let found = queued("min: 0\n    max: 4", "5m", rule);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("warning jobs may wait for ever | without servers, up to 9 jobs"));
    let at_once = "scale_out: { above: 0 }, scale_in: { below: 1 }";
    for (bounds, rule) in [
        ("min: 1\n    max: 4", rule),
        ("max: 0", rule),
        ("max: 4", at_once),
        ("max: 4", "start_within: 15m, jobs_at_once: 1"),
        ("max: 4\n    schedule: [{ during: mon-fri 08:00-18:00, capacity: 1 }]", rule),
    ] {
        assert_eq!(queued(bounds, "1m", rule), Vec::<String>::new(), "{bounds}: {rule}");
    }
}

#[test]
fn a_window_of_one_reading_is_pointed_out() {
    let of = |every: &str, after: &str| {
        let rule = format!("scale_out: {{ above: 9 }}, scale_in: {{ below: 2, after: {after} }}");
        queued("min: 1\n    max: 4", every, &rule)
    };
    for (every, after) in [("5m", "4m"), ("1h", "10m"), ("30s", "1s")] {
        let found = of(every, after);
        assert!(
            found.len() == 1 && found[0].contains("`after` is shorter than `every`"),
            "{found:#?}"
        );
    }
    for (every, after) in [("5m", "5m"), ("5m", "0s"), ("30s", "10m")] {
        assert_eq!(of(every, after), Vec::<String>::new(), "{every} {after}");
    }
}

/// The examples in the documents, each as a whole file.
fn examples() -> Vec<String> {
    let documents = [
        include_str!("../../../../../README.md"),
        include_str!("../../../../../docs/getting-started.md"),
        include_str!("../../../../../docs/policies.md"),
    ];
    let head = "version: 1\ntimezone: UTC\ndefaults: { launch: { image: ami-0123456789abcdef0, types: [t3.small] } }\nfleets:\n";
    let blocks = documents.iter().flat_map(|text| text.split("```yaml\n").skip(1));
    let whole = blocks.filter_map(|block| {
        let block = block.split("```").next()?;
        let indented = |by: &str| {
            block
                .lines()
                .flat_map(|line| {
                    [
                        by, line, "
",
                    ]
                })
                .collect::<String>()
        };
        let fleet = |lines: String| format!("{head}  job:\n{lines}");
        match block.trim_start().split(':').next()? {
            "job" if block.contains("launch:") => Some(format!("{head}{block}")),
            "min" => Some(fleet(block.to_owned())),
            "schedule" => Some(fleet(format!("    min: 1\n    max: 3\n{}", indented("    ")))),
            "queue" => Some(fleet(format!(
                "    min: 1\n    max: 3\n    drain: none\n{}",
                indented("    ")
            ))),
            _ => None,
        }
    });
    whole.collect()
}

#[test]
fn examples_give_no_warning() {
    let examples = examples();
    assert!(examples.len() >= 5, "{}", examples.len());
    for text in examples {
        assert_eq!(list(&text), Vec::<String>::new(), "{text}");
    }
    // `welcome` is on nginx's page too.
    assert_eq!(list(SHIPPED).len(), 1, "{:#?}", list(SHIPPED));
}
