//! What a problem says to write is right, and is said once.

use super::*;

#[test]
fn unquoted_commas_and_braces_are_to_be_quoted() {
    // What is written, where the value is, and how to quote it.
    let cases = [
        (
            "schedule: [{ cron: 0 8,12,16 * * *, capacity: 2 }, { cron: 0 20 * * *, capacity: 1 }]",
            "8:24",
            "`cron: \"0 8,12,16 * * *\"`",
        ),
        (
            "schedule: [{ capacity: 2, during: sat,sun 10:00-18:00 }]",
            "8:39",
            "`during: \"sat,sun 10:00-18:00\"`",
        ),
        (
            "health: { http: 'http://h/', expect: Hello, world , every: 5s }",
            "8:42",
            "`expect: \"Hello, world\"`",
        ),
        ("health: { http: http://{private_ip}/, every: 5s }", "8:28", "quote the value"),
        ("health: { http: {private_ip} }", "8:21", "quote a value that begins with `{`"),
    ];
    for (added, place, remedy) in cases {
        let text = format!("{BASE}    {added}\n");
        let problems = read(&text).problems;
        let first = problems.first().unwrap();
        let said = first.remedy.clone().unwrap_or_default();
        assert_eq!(
            format!("{}:{}", first.at.line, first.at.column),
            place,
            "{added}: {problems:#?}"
        );
        assert!(said.contains(remedy), "{added}: {said}");
        assert!(problems.len() == 1, "{added}: {problems:#?}");
    }
}

#[test]
fn keys_of_other_tools_are_translated_once() {
    let named = |launch: &str, more: &str| {
        let text = format!("version: 1\nfleets:\n  a:\n    launch: {launch}\n    {more}\n");
        read(&text)
            .problems
            .into_iter()
            .map(|p| format!("{} | {}", p.message, p.label))
            .collect::<Vec<_>>()
    };
    let launch = "{ image: ami-0123456789abcdef0, types: [t3.small] }";
    let cases = [
        (
            "{ ami: ami-0123456789abcdef0, instance_type: t3.small }",
            "max: 1",
            vec![
                "`ami` in `launch` | did you mean `image`?",
                "`instance_type` in `launch` | did you mean `types`?",
            ],
        ),
        (launch, "max-size: 3", vec!["`max-size` in a fleet | did you mean `max`?"]),
        (launch, "max: 3\n    desired: 2", vec!["`desired` in a fleet | did you mean `min`?"]),
        (
            launch,
            "max: 3\n    health_check: { url: x }",
            vec!["`health_check` in a fleet | did you mean `health`?"],
        ),
        (
            launch,
            "max: 3\n    targetGroup: web",
            vec!["`targetGroup` in a fleet | belongs in `load_balancer`"],
        ),
        (
            launch,
            "max: 3\n    health: { url: 'http://h/' }",
            vec!["`url` in `health` | did you mean `http`?"],
        ),
    ];
    for (launch, more, expected) in cases {
        let found = named(launch, more);
        let expected: Vec<String> =
            expected.iter().map(|text| format!("unknown key {text}")).collect();
        assert_eq!(found, expected, "{launch} {more}");
    }
    let text = "version: 1\nfleets:\n  a: { min: 1, max: 2, subnet_ids: [x] }\n";
    let problem = &read(text).problems[0];
    assert_eq!(problem.remedy.as_deref(), Some("write `launch: { subnets: … }`"), "{problem:?}");
}

/// What a message of the parser puts in backticks after `write`, `without` or `quote` is itself read.
#[test]
fn suggested_expressions_are_valid_cron() {
    let fields =
        ["5/10", "*/0", "50-10/7", "7/2", "fri/3", "6-0", "7-2", "sat-tue/2", "22-6", "9-61", "x"];
    let mut tried = 0;
    for (place, field) in (0..5).flat_map(|place| fields.map(|field| (place, field))) {
        let mut text = ["0", "8", "*", "*", "*"];
        text[place] = field;
        for text in
            [text.join(" "), format!("0 {}", text.join(" ")), format!("{} 2027", text.join(" "))]
        {
            let Err(error) = cron::parse(&text) else { continue };
            for quoted in error.remedy.split('`').skip(1).step_by(2) {
                let whole = quoted.split_whitespace().count() == 5;
                let mut parts: Vec<&str> = vec!["0", "8", "*", "*", "*"];
                if !whole {
                    parts[place] = quoted;
                }
                let suggested = if whole { quoted.to_owned() } else { parts.join(" ") };
                assert!(cron::parse(&suggested).is_ok(), "`{text}`: {}", error.remedy);
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    assert!(cron::parse("0 8 * * mon 2027").unwrap_err().remedy.ends_with("`0 8 * * mon`"));
}
