//! Cron lines of several times, across changes of the clocks, against a scanner that looks at every
//! real minute. It shares no code with `policy::cron`: a pattern is made here, and written out.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::policy::calendar::{Line, Schedule};
use proptest::prelude::*;

/// Zones, and days around which their clocks change, by when on the wall they do.
const CHANGES: &[(&str, &str)] = &[
    ("America/New_York", "2026-03-08"),     // forward at 2:00
    ("America/New_York", "2026-11-01"),     // back at 2:00
    ("Europe/London", "2026-03-29"),        // forward at 1:00
    ("Europe/London", "2026-10-25"),        // back at 2:00
    ("Europe/Berlin", "2026-03-29"),        // forward at 2:00
    ("Europe/Berlin", "2026-10-25"),        // back at 3:00
    ("Asia/Beirut", "2026-03-29"),          // forward at 0:00
    ("Asia/Beirut", "2026-10-25"),          // back at 0:00
    ("America/Sao_Paulo", "2018-11-04"),    // forward at 0:00
    ("America/Sao_Paulo", "2018-02-18"),    // back at 0:00
    ("America/Havana", "2026-03-08"),       // forward at 0:00
    ("America/Havana", "2026-11-01"),       // back at 1:00
    ("America/Scoresbysund", "2023-03-26"), // forward at 0:00
    ("Europe/Helsinki", "2026-03-29"),      // forward at 3:00
    ("Europe/Helsinki", "2026-10-25"),      // back at 4:00
    ("Australia/Lord_Howe", "2026-10-04"),  // forward at 2:00 by half an hour
    ("Australia/Lord_Howe", "2026-04-05"),  // back at 2:00 by half an hour
    ("Asia/Kathmandu", "1986-01-01"),       // forward at 0:00 by a quarter of an hour
    ("Pacific/Apia", "2011-12-30"),         // a day that never was
    ("UTC", "2026-03-08"),                  // never
];

/// A field of a pattern. Values are of the field's range.
#[derive(Debug, Clone)]
enum Field {
    Any,
    Every(i8),
    List(Vec<i8>),
    Range(i8, i8),
    Stepped(i8, i8, i8),
}

impl Field {
    fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Every(step) => format!("*/{step}"),
            Self::List(values) => {
                values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            Self::Range(first, last) => format!("{first}-{last}"),
            Self::Stepped(first, last, step) => format!("{first}-{last}/{step}"),
        }
    }

    fn matches(&self, value: i8) -> bool {
        match self {
            Self::Any => true,
            Self::Every(step) => value % step == 0,
            Self::List(values) => values.contains(&value),
            Self::Range(first, last) => (*first..=*last).contains(&value),
            Self::Stepped(first, last, step) => {
                (*first..=*last).contains(&value) && (value - first) % step == 0
            }
        }
    }

    fn begins_with_star(&self) -> bool {
        matches!(self, Self::Any | Self::Every(_))
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    minute: Field,
    hour: Field,
    weekday: Field,
}

impl Pattern {
    fn text(&self) -> String {
        format!("{} {} * * {}", self.minute.text(), self.hour.text(), self.weekday.text())
    }

    fn matches(&self, wall: DateTime) -> bool {
        self.minute.matches(wall.minute())
            && self.hour.matches(wall.hour())
            && self.weekday.matches(wall.weekday().to_sunday_zero_offset())
    }

    /// Every firing in the given minutes.
    fn scan(&self, minutes: &[Zoned]) -> BTreeSet<Timestamp> {
        let follows_wall = self.minute.begins_with_star() || self.hour.begins_with_star();
        let mut firings = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for pair in minutes.windows(2) {
            let [last, now] = pair else { continue };
            let (last, wall) = (last.datetime(), now.datetime());
            let fresh = seen.insert(wall);
            let mut fires = self.matches(wall) && (fresh || follows_wall);
            // What the clock jumped over.
            let mut skipped = last.saturating_add(1.minute());
            while skipped < wall && !follows_wall {
                fires |= self.matches(skipped);
                skipped = skipped.saturating_add(1.minute());
            }
            if fires {
                firings.insert(now.timestamp());
            }
        }
        firings
    }

    /// What the schedule finds otherwise, of the firings before and after each `step`th minute.
    fn disagreements(&self, zone: &str, day: &str, step: usize) -> (usize, Vec<String>) {
        let zone = TimeZone::get(zone).unwrap();
        let minutes = minutes(&zone, day);
        let firings = self.scan(&minutes);
        let line = Line::new(&self.text(), 3, 1).unwrap();
        let schedule = Schedule::new(zone, vec![line]);
        let (mut asked, mut wrong) = (0, Vec::new());
        for (nth, minute) in minutes.iter().enumerate().step_by(step) {
            let now =
                minute.timestamp() + SignedDuration::from_secs(if nth % 2 == 0 { 0 } else { 30 });
            let last = firings.range(..=now).next_back().copied();
            let next = firings.range(now..).find(|at| **at > now).copied();
            let found = [
                schedule.standing(now).map(|standing| standing.since),
                schedule.edges(now).next().map(|(at, _)| at),
            ];
            for (expected, found) in [last, next].into_iter().zip(found) {
                let Some(expected) = expected else { continue };
                asked += 1;
                if found != Some(expected) {
                    let text = self.text();
                    wrong.push(format!("`{text}` at {minute}: {found:?}, not {expected}"));
                }
            }
        }
        (asked, wrong)
    }
}

/// Four days of real minutes around noon of `day`, or where that day would have been.
fn minutes(zone: &TimeZone, day: &str) -> Vec<Zoned> {
    let noon = day.parse::<jiff::civil::Date>().unwrap().at(12, 0, 0, 0);
    let noon = zone.to_ambiguous_zoned(noon).compatible().unwrap().timestamp();
    let start = noon.as_second() - 48 * 3_600;
    let start = start - start.rem_euclid(60);
    let minute = |n: i64| Timestamp::from_second(start + n * 60).unwrap().to_zoned(zone.clone());
    (0..96 * 60).map(minute).collect()
}

fn patterns() -> Vec<Pattern> {
    let any = || Field::Any;
    let list = |values: &[i8]| Field::List(values.to_vec());
    let times = [
        (list(&[0]), list(&[2, 14])),
        (Field::Range(5, 20), list(&[2])),
        (Field::Range(0, 59), list(&[1])),
        (list(&[0, 30]), Field::Range(0, 3)),
        (list(&[15, 45]), list(&[0, 1, 2, 3, 23])),
        (Field::Stepped(0, 50, 10), list(&[0, 1])),
        (Field::Stepped(7, 59, 13), Field::Stepped(0, 23, 3)),
        (list(&[1]), Field::Range(0, 23)),
        (list(&[59, 0]), list(&[0, 3, 4])),
        (Field::Every(20), Field::Range(0, 4)),
        (Field::Every(7), list(&[2])),
        (list(&[10, 50]), Field::Every(2)),
        (list(&[25]), any()),
        (any(), list(&[1, 2])),
    ];
    let weekdays = [any(), list(&[0, 3]), Field::Range(1, 6)];
    let patterns = times.into_iter().flat_map(|(minute, hour)| {
        weekdays.clone().map(|weekday| Pattern {
            minute: minute.clone(),
            hour: hour.clone(),
            weekday,
        })
    });
    patterns.collect()
}

#[test]
fn lines_of_several_times_agree_with_a_scanner() {
    let (mut asked, mut wrong) = (0, Vec::new());
    for (zone, day) in CHANGES {
        for pattern in patterns() {
            let (more, found) = pattern.disagreements(zone, day, 13);
            asked += more;
            wrong.extend(found.into_iter().map(|text| format!("{zone}: {text}")));
        }
    }
    let shown: Vec<&String> = wrong.iter().take(10).collect();
    assert!(asked > 500_000, "{asked}");
    assert!(wrong.is_empty(), "{} of {asked} disagree, such as {shown:#?}", wrong.len());
}

/// A field of the values up to `high`.
fn field(high: i8) -> impl Strategy<Value = Field> {
    let value = 0..=high;
    prop_oneof![
        1 => Just(Field::Any),
        1 => (1..=high).prop_map(Field::Every),
        4 => prop::collection::vec(value.clone(), 1..5).prop_map(Field::List),
        2 => (value.clone(), value.clone()).prop_map(|(a, b)| Field::Range(a.min(b), a.max(b))),
        2 => (value.clone(), value, 1..=high)
            .prop_map(|(a, b, step)| Field::Stepped(a.min(b), a.max(b), step)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_line_agrees_with_a_scanner(
        minute in field(59),
        hour in prop_oneof![3 => field(4), 1 => field(23)],
        weekday in field(6),
        (zone, day) in prop::sample::select(CHANGES),
    ) {
        let pattern = Pattern { minute, hour, weekday };
        let (_, wrong) = pattern.disagreements(zone, day, 11);
        prop_assert!(wrong.is_empty(), "{zone}: {}", wrong[0]);
    }
}
