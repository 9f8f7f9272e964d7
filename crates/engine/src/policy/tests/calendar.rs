//! The schedule against a scanner that shares nothing with it: every real minute around real
//! changes of clock, looked at one by one.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::policy::calendar::{Line, Schedule, When};
use crate::policy::cron;
use crate::policy::span::{Dates, Window};
use proptest::prelude::*;

/// Zone, a day with a change of clock, and what changes.
const CHANGES: &[(&str, &str, &str)] = &[
    ("America/Winnipeg", "2026-03-08", "forward"),
    ("America/Winnipeg", "2026-11-01", "back"),
    ("America/Toronto", "2026-03-08", "forward"),
    ("America/Toronto", "2026-11-01", "back"),
    ("Europe/Berlin", "2026-03-29", "forward"),
    ("Europe/Berlin", "2026-10-25", "back"),
    ("Australia/Lord_Howe", "2026-10-04", "forward by half an hour"),
    ("Australia/Lord_Howe", "2026-04-05", "back by half an hour"),
    ("Asia/Kathmandu", "1986-01-01", "forward by a quarter of an hour"),
    ("Pacific/Apia", "2011-12-30", "a day that never was"),
    ("America/St_Johns", "2026-03-08", "forward"),
    ("America/St_Johns", "2026-11-01", "back"),
    ("America/St_Johns", "2011-03-13", "forward at 00:01"),
    ("America/St_Johns", "2010-11-07", "back at 00:01"),
    ("Africa/Casablanca", "2026-02-15", "back"),
    ("Africa/Casablanca", "2026-03-22", "forward"),
    ("America/Havana", "2026-03-08", "forward at midnight"),
    ("America/Havana", "2026-11-01", "back to midnight"),
];

/// Minutes, hours, days of month, months, days of week (Sunday is 0); empty: any. `many`: whether
/// the line is for many times of day.
struct Pattern {
    text: &'static str,
    minutes: &'static [i8],
    hours: &'static [i8],
    weekdays: &'static [i8],
    many: bool,
}

const ANY: &[i8] = &[];
const PATTERNS: &[Pattern] = &[
    at("0 8 * * *", &[0], &[8]),
    at("30 2 * * *", &[30], &[2]),
    at("0 2 * * *", &[0], &[2]),
    at("59 1 * * *", &[59], &[1]),
    at("30 1 * * *", &[30], &[1]),
    at("0 1 * * *", &[0], &[1]),
    at("0 0 * * *", &[0], &[0]),
    at("5 0 * * *", &[5], &[0]),
    at("0 3 * * *", &[0], &[3]),
    at("45 1 * * *", &[45], &[1]),
    at("30 23 * * *", &[30], &[23]),
    Pattern { text: "0 21 * * mon-fri", weekdays: &[1, 2, 3, 4, 5], ..at("", &[0], &[21]) },
    Pattern { text: "30 2 * * sat-sun", weekdays: &[6, 0], ..at("", &[30], &[2]) },
    Pattern { text: "*/30 * * * *", many: true, ..at("", &[0, 30], ANY) },
    Pattern { text: "15 * * * *", many: true, ..at("", &[15], ANY) },
    Pattern { text: "*/15 1-3 * * *", many: true, ..at("", &[0, 15, 30, 45], &[1, 2, 3]) },
];

const fn at(text: &'static str, minutes: &'static [i8], hours: &'static [i8]) -> Pattern {
    Pattern { text, minutes, hours, weekdays: ANY, many: false }
}

impl Pattern {
    fn matches(&self, wall: DateTime) -> bool {
        let among = |set: &[i8], value| set.is_empty() || set.contains(&value);
        among(self.minutes, wall.minute())
            && among(self.hours, wall.hour())
            && among(self.weekdays, wall.weekday().to_sunday_zero_offset())
    }

    /// Every firing in the given minutes, by looking at each.
    fn scan(&self, minutes: &[Zoned]) -> BTreeSet<Timestamp> {
        let mut firings = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for pair in minutes.windows(2) {
            let [last, now] = pair else { continue };
            let (last, wall) = (last.datetime(), now.datetime());
            let fresh = seen.insert(wall);
            if self.matches(wall) && (fresh || self.many) {
                firings.insert(now.timestamp());
            }
            // The wall clock jumped: what it jumped over fires now.
            let mut skipped = last.saturating_add(1.minute());
            while !self.many && skipped < wall {
                if self.matches(skipped) {
                    firings.insert(now.timestamp());
                }
                skipped = skipped.saturating_add(1.minute());
            }
        }
        firings
    }
}

/// Three days of real minutes around noon of `day`, or where that day would have been.
fn minutes(zone: &TimeZone, day: &str) -> Vec<Zoned> {
    let noon = day.parse::<jiff::civil::Date>().unwrap().at(12, 0, 0, 0);
    let noon = zone.to_ambiguous_zoned(noon).compatible().unwrap().timestamp();
    let start = noon.as_second() - 48 * 3_600;
    let start = start - start.rem_euclid(60);
    (0..96 * 60)
        .map(|n| Timestamp::from_second(start + n * 60).unwrap().to_zoned(zone.clone()))
        .collect()
}

fn schedule(zone: &TimeZone, lines: &[(&str, u32, bool)]) -> Schedule {
    let lines = lines
        .iter()
        .enumerate()
        .map(|(index, (text, capacity, ready))| Line {
            ready: *ready,
            ..Line::new(text, *capacity, index + 1).unwrap()
        })
        .collect();
    Schedule::new(zone.clone(), lines)
}

#[test]
fn standing_agrees_with_the_scanner_across_every_change_of_clock() {
    let mut wrong = Vec::new();
    for (zone_name, day, what) in CHANGES {
        let zone = TimeZone::get(zone_name).unwrap();
        let minutes = minutes(&zone, day);
        for pattern in PATTERNS {
            let firings = pattern.scan(&minutes);
            let schedule = schedule(&zone, &[(pattern.text, 3, false)]);
            for minute in minutes.iter().step_by(29) {
                // Thirty seconds past, since a tick is never on the minute.
                let now = minute.timestamp() + SignedDuration::from_secs(30);
                let Some(expected) = firings.range(..=now).next_back() else { continue };
                let found = schedule.standing(now).map(|standing| standing.since);
                if found != Some(*expected) {
                    wrong.push(format!(
                        "{zone_name} {day} ({what}) `{}` at {minute}: {} but {}",
                        pattern.text,
                        found.map_or("nothing".into(), |f| f.to_zoned(zone.clone()).to_string()),
                        expected.to_zoned(zone.clone()),
                    ));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn next_change_agrees_with_the_scanner_across_every_change_of_clock() {
    let mut wrong = Vec::new();
    for (zone_name, day, what) in CHANGES {
        let zone = TimeZone::get(zone_name).unwrap();
        let minutes = minutes(&zone, day);
        let lines = [("30 2 * * *", 5, false), ("0 21 * * *", 2, false)];
        let schedule = schedule(&zone, &lines);
        let firings: BTreeMap<Timestamp, u32> = lines
            .iter()
            .flat_map(|(text, capacity, _)| {
                let pattern = PATTERNS.iter().find(|p| p.text == *text);
                let made = at("", &[0], &[21]);
                let firings = pattern.unwrap_or(&made).scan(&minutes);
                firings.into_iter().map(|fires| (fires, *capacity))
            })
            .collect();
        for minute in minutes.iter().step_by(31) {
            let now = minute.timestamp() + SignedDuration::from_secs(1);
            let Some((_, stands)) = firings.range(..=now).next_back() else { continue };
            let Some((expected, _)) =
                firings.range(now..).find(|(_, capacity)| *capacity != stands)
            else {
                continue;
            };
            let found = schedule.next_change(now, Duration::ZERO).map(|(at, _)| at);
            if found != Some(*expected) {
                wrong.push(format!(
                    "{zone_name} {day} ({what}) at {minute}: {found:?} but {expected}"
                ));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[track_caller]
fn check_standing(schedule: &Schedule, now: &str, boot_minutes: u64, expected: &str) {
    let boot = Duration::from_secs(boot_minutes * 60);
    let show = |at: Timestamp| at.to_zoned(schedule.zone.clone()).strftime("%d %H:%M").to_string();
    let zoned = now.parse::<DateTime>().unwrap().to_zoned(schedule.zone.clone()).unwrap();
    let stands = schedule.standing_with_lead(zoned.timestamp(), boot);
    let next = schedule.next_change(zoned.timestamp(), boot);
    let stands = stands.map_or("nothing".into(), |s| {
        format!("{} since {} (line {})", s.capacity, show(s.since), s.at_line)
    });
    let next = next.map_or("never".into(), |(at, standing)| {
        format!("{} at {}", standing.unwrap().capacity, show(at))
    });
    assert_eq!(format!("{stands}, then {next}"), expected);
}

#[test]
fn the_article_s_week() {
    let zone = TimeZone::get("America/Winnipeg").unwrap();
    let week = schedule(&zone, &[("0 8 * * mon-fri", 3, false), ("0 21 * * mon-fri", 2, false)]);
    // 9 March 2026 is a Monday.
    let cases = [
        ("2026-03-09T07:59", "2 since 06 21:00 (line 2), then 3 at 09 08:00"),
        ("2026-03-09T08:00", "3 since 09 08:00 (line 1), then 2 at 09 21:00"),
        ("2026-03-09T08:07", "3 since 09 08:00 (line 1), then 2 at 09 21:00"),
        ("2026-03-13T22:00", "2 since 13 21:00 (line 2), then 3 at 16 08:00"),
        ("2026-03-15T12:00", "2 since 13 21:00 (line 2), then 3 at 16 08:00"),
    ];
    for (now, expected) in cases {
        check_standing(&week, now, 0, expected);
    }
}

#[test]
fn ready_lines_lead_by_a_boot_and_only_upwards() {
    let lines = [("0 8 * * *", 3, true), ("0 9 * * *", 3, true), ("0 21 * * *", 2, true)];
    let day = schedule(&TimeZone::UTC, &lines);
    let cases = [
        ("2026-03-09T07:49", "2 since 08 21:00 (line 3), then 3 at 09 07:50"),
        ("2026-03-09T07:50", "3 since 09 07:50 (line 1), then 2 at 09 21:00"),
        ("2026-03-09T08:55", "3 since 09 08:00 (line 1), then 2 at 09 21:00"),
        ("2026-03-09T20:55", "3 since 09 09:00 (line 2), then 2 at 09 21:00"),
    ];
    for (now, expected) in cases {
        check_standing(&day, now, 10, expected);
    }
}

#[test]
fn of_two_lines_at_one_instant_the_later_wins() {
    let day = schedule(&TimeZone::UTC, &[("0 8 * * *", 3, false), ("0 8 * * mon", 5, false)]);
    check_standing(&day, "2026-03-09T08:00", 0, "5 since 09 08:00 (line 2), then 3 at 10 08:00");
    check_standing(&day, "2026-03-10T08:00", 0, "3 since 10 08:00 (line 1), then 5 at 16 08:00");
}

#[test]
fn a_schedule_of_one_capacity_never_changes() {
    let day = schedule(&TimeZone::UTC, &[("* * * * *", 3, false)]);
    check_standing(&day, "2026-03-09T08:00", 5, "3 since 09 08:00 (line 1), then never");
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let day = schedule(&TimeZone::get("Europe/Berlin").unwrap(), &[("0 8 * * *", 3, true)]);
    let hour = Duration::from_hours(1);
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let stands = [day.standing(now), day.standing_with_lead(now, hour)];
        assert!(stands.iter().flatten().all(|standing| standing.capacity == 3));
        day.next_change(now, hour);
    }
    assert_eq!(day.standing(Timestamp::MIN), None);
}

#[test]
fn a_field_of_days_that_begins_with_a_star_narrows_the_other_down() {
    let zone = TimeZone::UTC;
    // From Sunday, 1 March 2026, on: the Mondays are the 2nd, 9th, 16th, 23rd and 30th.
    let mut at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let schedule = schedule(&zone, &[("0 8 */2 * mon", 3, false), ("0 9 * * *", 0, false)]);
    let mut days = Vec::new();
    while days.len() < 3 {
        let (next, standing) = schedule.next_change(at, Duration::ZERO).unwrap();
        if standing.is_some_and(|standing| standing.capacity == 3) {
            days.push(next.to_zoned(zone.clone()).date().to_string());
        }
        at = next;
    }
    assert_eq!(days, ["2026-03-09", "2026-03-23", "2026-04-13"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The next change is where a scanner minute by minute first sees another capacity, and there
    /// is none before it.
    #[test]
    fn the_next_change_is_the_next_change(
        lines in prop::collection::vec((0..60_u8, 0..6_u8, 0..4_u32, any::<bool>()), 1..4),
        boot_minutes in 0..40_u64,
        start in 0..360_i64,
    ) {
        let lines: Vec<(String, u32, bool)> = lines
            .into_iter()
            .map(|(minute, hour, capacity, ready)| (format!("{minute} {hour} * * *"), capacity, ready))
            .collect();
        let lines: Vec<_> = lines.iter().map(|(text, n, ready)| (text.as_str(), *n, *ready)).collect();
        let schedule = schedule(&TimeZone::get("America/Toronto").unwrap(), &lines);
        let boot = Duration::from_secs(boot_minutes * 60);
        // The night in which 2:00 to 3:00 is skipped.
        let start = "2026-03-08T05:00:00Z".parse::<Timestamp>().unwrap().as_second() + start * 60;
        let minute = |n: i64| Timestamp::from_second(start + n * 60).unwrap();
        let capacity = |at| schedule.standing_with_lead(at, boot).map(|standing| standing.capacity);
        let expected = (1..360).map(minute).find(|at| capacity(*at) != capacity(minute(0)));
        let found = schedule.next_change(minute(0), boot);
        let within = found.as_ref().map(|(at, _)| *at).filter(|at| *at < minute(360));
        prop_assert_eq!(within, expected);
        if let Some((at, standing)) = found {
            prop_assert_eq!(standing.map(|standing| standing.capacity), capacity(at));
        }
        // What is remembered is what is found, going on, going back, and with another boot time.
        let thirds = (0..360).step_by(3).chain((0..360).rev().step_by(41)).map(minute);
        for (nth, at) in thirds.enumerate() {
            let boot = if nth % 17 == 0 { Duration::ZERO } else { boot };
            let level = schedule.level(at, boot);
            prop_assert_eq!(&level.standing, &schedule.standing_with_lead(at, boot), "at {}", at);
            prop_assert_eq!(&level.next_change, &schedule.next_change(at, boot), "at {}", at);
        }
    }

    /// A walk yields the edges that a search of all lines finds, with the same line in force.
    #[test]
    fn walk_agrees_with_a_search_of_all_lines(
        lines in prop::collection::vec((0..3_u8, 0..60_u8, 0..24_u8, 0..4_u32), 1..8),
        zone in prop::sample::select(vec!["America/Toronto", "Australia/Lord_Howe", "Africa/Cairo"]),
        start in 0..400_i64,
    ) {
        let lines = lines.into_iter().enumerate().map(|(at_line, (kind, minute, hour, capacity))| {
            // A span has a length.
            let end = if (hour, minute) == (2, 30) { 45 } else { 30 };
            let text = match kind {
                0 => format!("{minute} {hour} * * *"),
                1 => format!("mon-sat {hour:02}:{minute:02}-02:{end}"),
                _ => format!("2026-03-{:02}..2026-04-{:02}", minute % 28 + 1, hour + 1),
            };
            let when = match kind {
                0 => When::Cron(Box::new(cron::parse(&text).unwrap())),
                1 => When::During(Window::parse(&text).unwrap()),
                _ => When::Dates(Dates::parse(&text).unwrap()),
            };
            Line { when, text, capacity, ready: false, at_line }
        });
        let schedule = Schedule::new(TimeZone::get(zone).unwrap(), lines.collect());
        // All three zones set their clocks within the weeks from here on.
        let begin: Timestamp = "2026-02-25T00:00:00Z".parse().unwrap();
        let mut at = Timestamp::from_second(begin.as_second() + start * 7200).unwrap();
        for (edge, standing) in schedule.edges(at).take(80) {
            let expected = schedule.lines.iter().filter_map(|line| schedule.next_edge(line, at, Duration::ZERO)).min();
            prop_assert_eq!(Some(edge), expected);
            prop_assert_eq!(standing, schedule.standing(edge), "at {}", edge);
            at = edge;
        }
    }
}
