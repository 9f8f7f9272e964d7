//! Files with thousands of everything: the work grows with the file, and not with its square.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]
#![expect(clippy::integer_division, reason = "tests of small numbers")]

use std::fmt::Write as _;

use nix::time::{ClockId, clock_gettime};

use super::*;
use crate::model::time::Timestamp;

const HEAD: &str = "version: 1\ntimezone: UTC\n";
const LAUNCH: &str =
    "{ launch: { image: ami-0123456789abcdef0, types: [t3.small] }, min: 0, max: 9000";

/// So many of what may be repeated, each of them different.
fn file(what: &str, count: usize) -> String {
    let each = |write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    let schedule =
        |lines: String| format!("{HEAD}fleets:\n  a: {LAUNCH}, schedule: [{lines}] }}\n");
    let fleets = |one: &dyn Fn(usize) -> String| {
        format!("{HEAD}limits: {{ instances: 3 }}\ndefaults: {LAUNCH} }}\nfleets:\n{}", each(one))
    };
    let list = |key: &str, values: String| {
        format!(
            "{HEAD}fleets:\n  a: {{ launch: {{ image: ami-0123456789abcdef0, types: [t3.small], {key}: [{values}] }}, max: 9 }}\n"
        )
    };
    let times = |n: usize| format!("{:02}:{:02}", n / 60 % 24, n % 60);
    match what {
        "during" => schedule(each(&|n| {
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily"][n / 1440 % 8];
            let end = if n < 11_520 { "00:00" } else { "23:59" };
            format!("{{ during: {days} {}-{end}, capacity: 1 }}, ", times(n))
        })),
        "ready" => schedule(each(&|n| {
            let times = times(n);
            format!("{{ during: mon {times}-00:00, capacity: 1, ready: true }}, ")
        })),
        "the same hours" => {
            schedule(each(&|n| format!("{{ during: mon 08:00-09:00, capacity: {} }}, ", n % 9000)))
        }
        "cron" => schedule(each(&|n| {
            format!("{{ cron: {} {} {} * *, capacity: 1 }}, ", n % 60, n / 60 % 24, n / 1440 + 1)
        })),
        "dates" => schedule(each(&|n| {
            format!(
                "{{ dates: {}-{:02}-{:02}, capacity: 1 }}, ",
                2027 + n / 336,
                n / 28 % 12 + 1,
                n % 28 + 1
            )
        })),
        "fleets" => fleets(&|n| format!("  f{n}: {{ min: 1 }}\n")),
        "load balancers" => {
            fleets(&|n| format!("  f{n}: {{ load_balancer: {{ classic: b{n} }} }}\n"))
        }
        "one load balancer" => {
            fleets(&|n| format!("  f{n}: {{ load_balancer: {{ classic: b }} }}\n"))
        }
        "fleets of one name" => fleets(&|_| "  a: {}\n".to_owned()),
        "subnets" => list("subnets", each(&|n| format!("subnet-{n}, "))),
        "security groups" => list("security_groups", each(&|n| format!("sg-{n}, "))),
        "tags" => format!(
            "{HEAD}defaults: {{ launch: {{ tags: {{ {tags} }} }} }}\nfleets:\n  a: {{ launch: {{ image: ami-0123456789abcdef0, types: [t3.small], tags: {{ {tags} }} }}, max: 9 }}\n",
            tags = each(&|n| format!("k{n}: v, "))
        ),
        "routes" => format!(
            "{HEAD}notify:\n{}fleets: {{}}\n",
            each(&|n| format!("  r{n}: {{ slack: secret:s }}\n"))
        ),
        "unknown keys" => format!("{HEAD}{}", each(&|n| format!("k{n}: 1\n"))),
        "bad values" => schedule(each(&|n| format!("{{ cron: 0 8 * * *, capacity: x{n} }}, "))),
        other => panic!("{other}"),
    }
}

/// The processor time of this thread so far, in nanoseconds: other programs do not count.
fn worked() -> u64 {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    u64::try_from(Duration::from(spent).as_nanos()).unwrap()
}

/// What it takes to read and to show a file.
fn work(text: &str) -> u64 {
    let begun = worked();
    show(text, &read(text));
    worked() - begun
}

#[test]
fn work_grows_with_the_file_and_not_with_its_square() {
    const TIMES: u64 = 12;
    let mut slow = String::new();
    for what in [
        "during",
        "the same hours",
        "cron",
        "dates",
        "fleets",
        "load balancers",
        "one load balancer",
        "fleets of one name",
        "subnets",
        "security groups",
        "tags",
        "routes",
        "unknown keys",
        "bad values",
    ] {
        let (few, many) = (file(what, 1_000), file(what, 12_000));
        assert!(many.len() < 1 << 20, "{what}: {} bytes", many.len());
        // A square would be 144 times as much. Caches are cold at first, so it may be tried again.
        let tries = (0..3).map(|_| (work(&few), work(&many)));
        let mut squares = tries.map(|(few, many)| (many > few * TIMES * 3, few, many));
        let first = squares.next().unwrap();
        eprintln!("{what}: {} ms, {} ms", first.1 / 1_000_000, first.2 / 1_000_000);
        if first.0 && squares.all(|(square, ..)| square) {
            writeln!(slow, "{what}: {} ns for 1,000, {} ns for 12,000", first.1, first.2).unwrap();
        }
    }
    assert!(slow.is_empty(), "{slow}");
}

#[test]
fn edges_cost_the_same_however_many_lines_there_are() {
    let work = |lines: usize| {
        let text = file("during", lines);
        let policy = read(&text).policy.unwrap();
        let schedule = policy.fleets.values().next().unwrap().schedule.as_ref().unwrap();
        let start: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let once = || {
            let begun = worked();
            schedule.next_change(start, Duration::ZERO);
            let edges = schedule.edges(start).take(2 * lines).count();
            (worked() - begun) / u64::try_from(edges).unwrap()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    let (few, many) = (work(300), work(6_000));
    // A search of all lines at each edge would be twenty times as much.
    assert!(many < few * 8, "{few} ns an edge of 300 lines, {many} ns of 6,000");
}

#[test]
fn large_defaults_for_many_fleets_are_refused() {
    let line = |n| format!("{{ cron: {} 8 * * *, capacity: 1 }}, ", n % 60);
    let lines: String = (0..400).map(line).collect();
    let fleet = |n| format!("  f{n}: {{}}\n");
    let fleets: String = (0..20_000).map(fleet).collect();
    let text = format!("{HEAD}defaults: {LAUNCH}, schedule: [{lines}] }}\nfleets:\n{fleets}");
    let problems = list(&text);
    assert!(
        problems.iter().any(|problem| problem.contains("too large for 20000 fleets")),
        "{problems:?}"
    );
}

#[test]
fn long_schedules_and_lists_are_refused() {
    for (what, expected) in
        [("ready", "a schedule with 600 lines of `ready: true`"), ("subnets", "holds 600 values")]
    {
        let problems = list(&file(what, 600));
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{what}: {problems:?}");
    }
}
