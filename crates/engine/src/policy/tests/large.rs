//! Files with thousands of lines and fleets. Work is counted, and never timed: for times there is
//! `a_large_file` in `benches/speed.rs`.
#![expect(
    clippy::integer_division,
    clippy::arithmetic_side_effects,
    reason = "tests of small numbers"
)]

use super::*;
use crate::model::time::Timestamp;
use crate::policy::calendar::searches;
use crate::policy::coming::{What, coming};

const DAY: Duration = Duration::from_hours(24);
const HEAD: &str = "version: 1\ntimezone: UTC\n";
const LAUNCH: &str =
    "{ launch: { image: ami-0123456789abcdef0, types: [t3.small] }, min: 0, max: 9000";

/// A file with a schedule of so many different lines, all of them spans that end at midnight.
fn scheduled(count: usize, more: &str) -> String {
    let line = |n: usize| {
        let (hour, minute) = (n / 60 % 24, n % 60);
        format!("{{ during: mon {hour:02}:{minute:02}-00:00, capacity: 1{more} }}, ")
    };
    let lines: String = (0..count).map(line).collect();
    format!("{HEAD}fleets:\n  a: {LAUNCH}, schedule: [{lines}] }}\n")
}

#[test]
fn schedule_edge_costs_few_calendar_searches() {
    for lines in [100, 1_000] {
        let policy = good(&scheduled(lines, ""));
        let schedule = fleet(&policy, "a").schedule.as_ref().unwrap();
        let start: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let before = searches::so_far();
        schedule.next_change(start, Duration::ZERO);
        let edges = schedule.edges(start).take(2 * lines).count();
        let searched = searches::so_far() - before;
        // Two searches for each start and each end, and a few of every line to begin with. A search of
        // all lines at each edge would come to 100 searches an edge, and to 1,000.
        assert!(searched <= 8 * edges, "{searched} searches for {edges} edges of {lines} lines");
    }
}

/// What `tidegate next` lists of fleet `a` for so many days from a Monday on, as `from -> to`.
fn listed(lines: &str, days: u32) -> Vec<(Timestamp, u32, u32)> {
    let policy = good(&format!("{HEAD}fleets:\n  a: {LAUNCH}, schedule: [{lines}] }}\n"));
    let start: Timestamp = "2026-03-02T00:00:30Z".parse().unwrap();
    let span = (start, time::after(start, DAY * days));
    let coming = coming(&policy, policy.fleets.values(), span);
    coming
        .into_iter()
        .filter_map(|coming| match coming.what {
            What::Capacity { from, to, .. } => Some((coming.at, from, to)),
            What::Clocks { .. } => None,
        })
        .collect()
}

#[test]
fn next_lists_all_changes_at_few_searches() {
    for lines in [50, 401, 1_200] {
        let line = |n: usize| {
            let (hour, minute) = (n / 60 % 24, n % 60);
            format!("{{ cron: {minute} {hour} * * *, capacity: {} }}, ", n % 3 + 1)
        };
        let text: String = (0..lines).map(line).collect();
        let before = searches::so_far();
        let found = listed(&text, 9);
        let searched = searches::so_far() - before;
        // The first line fires at the end of the last day, and was before the first change.
        assert_eq!(found.len(), 9 * lines, "{lines} lines");
        assert!(found.iter().all(|(_, from, to)| from != to));
        assert!(searched <= 2 * found.len() + 4 * lines, "{searched} searches for {lines} lines");
    }
}

#[test]
fn next_looks_past_firings_without_a_change() {
    let lines = "{ cron: '*/2 * * * *', capacity: 2 }, { dates: 2026-03-20, capacity: 5 }";
    let found = listed(lines, 30);
    let days: Vec<String> =
        found.iter().map(|(at, from, to)| format!("{at} {from} {to}")).collect();
    assert_eq!(days, ["2026-03-20T00:00:00Z 2 5", "2026-03-21T00:00:00Z 5 2"]);
}

/// A few searches, however often a line fires in between.
#[test]
fn next_change_skips_firings_that_change_nothing() {
    let lines = "{ cron: '* * * * *', capacity: 2 }, { dates: 2026-05-20..2026-06-20, capacity: 5 }, { dates: 2026-06-21, capacity: 5 }, { cron: 30 9 1 7 *, capacity: 3 }";
    let policy = good(&format!("{HEAD}fleets:\n  a: {LAUNCH}, schedule: [{lines}] }}\n"));
    let schedule = fleet(&policy, "a").schedule.as_ref().unwrap();
    let mut at: Timestamp = "2026-03-02T00:00:30Z".parse().unwrap();
    let mut found = Vec::new();
    let before = searches::so_far();
    for _ in 0..4 {
        let (change, standing) = schedule.next_change(at, Duration::ZERO).unwrap();
        found.push(format!("{change} {}", standing.unwrap().capacity));
        at = change;
    }
    let expected = [
        "2026-05-20T00:00:00Z 5",
        "2026-06-22T00:00:00Z 2",
        "2026-07-01T09:30:00Z 3",
        "2026-07-01T09:31:00Z 2",
    ];
    assert_eq!(found, expected);
    assert!(searches::so_far() - before < 200, "{}", searches::so_far() - before);
}

#[test]
fn next_lists_no_change_to_the_same_capacity() {
    // `min` is 0.
    let lines = "{ during: tue 10:00-12:00, capacity: 0 }, { during: tue 11:00-13:00, capacity: 4 }, { during: tue 13:00-14:00, capacity: 0 }, { during: tue 12:00-13:00, capacity: 4 }";
    let found = listed(lines, 7);
    let changes: Vec<(u32, u32)> = found.iter().map(|(_, from, to)| (*from, *to)).collect();
    assert_eq!(changes, [(0, 4), (4, 0)]);
}

/// The renderer reads the whole file for each problem that it draws.
#[test]
fn fewer_problems_are_drawn_of_a_larger_file() {
    for (count, drawn) in [(1_000, 100), (12_000, 10)] {
        let key = |n: usize| format!("k{n}: {}\n", "x".repeat(70));
        let lines: String = (0..count).map(key).collect();
        let text = format!("{HEAD}{lines}");
        let shown = show(&text, &read(&text));
        assert_eq!(shown.matches("-->").count(), drawn, "of {} bytes", text.len());
        assert!(shown.contains("more of the kind"), "the rest is counted");
    }
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
    let subnet = |n: usize| format!("subnet-{n}, ");
    let subnets: String = (0..600).map(subnet).collect();
    let launch = "{ image: ami-0123456789abcdef0, types: [t3.small], subnets";
    let listed = format!("{HEAD}fleets:\n  a: {{ launch: {launch}: [{subnets}] }}, max: 9 }}\n");
    for (text, expected) in [
        (scheduled(600, ", ready: true"), "a schedule with 600 lines of `ready: true`"),
        (listed, "holds 600 values"),
    ] {
        let problems = list(&text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    }
}
