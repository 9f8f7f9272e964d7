//! Windows and dates against a scanner of minutes, and across changes of clock.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::model::time;
use crate::policy::calendar::{Line, Schedule, When};
use crate::policy::span::{Dates, Window};

const MINUTE: Duration = Duration::from_mins(1);

/// Whether a window holds at an hour of a day.
type Holds = fn(Weekday, i8) -> bool;

fn line(when: When, capacity: u32) -> Line {
    Line { when, text: String::new(), capacity, ready: false, at_line: 1 }
}

fn during(text: &str, capacity: u32) -> Line {
    line(When::During(Window::parse(text).unwrap()), capacity)
}

fn dates(text: &str, capacity: u32) -> Line {
    line(When::Dates(Dates::parse(text).unwrap()), capacity)
}

fn schedule(zone: &str, lines: Vec<Line>) -> Schedule {
    Schedule::new(TimeZone::get(zone).unwrap(), lines)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Schedule {
    fn capacity(&self, now: Timestamp) -> Option<u32> {
        self.standing(now).map(|standing| standing.capacity)
    }

    /// Every change from `from` on, minute by minute.
    fn scanned(&self, from: Timestamp, days: u32) -> Vec<(Timestamp, Option<u32>)> {
        let minutes = (1..=days * 24 * 60).map(|n| time::after(from, MINUTE * n));
        let mut last = self.capacity(from);
        let changed = minutes.filter_map(|now| {
            let stands = self.capacity(now);
            (std::mem::replace(&mut last, stands) != stands).then_some((now, stands))
        });
        changed.collect()
    }

    fn changes(&self, from: Timestamp, days: u32) -> Vec<(Timestamp, Option<u32>)> {
        let end = time::after(from, Duration::from_hours(24) * days);
        let mut now = from;
        let mut found = Vec::new();
        while let Some((at, standing)) = self.next_change(now, Duration::ZERO)
            && at <= end
        {
            found.push((at, standing.map(|standing| standing.capacity)));
            now = at;
        }
        found
    }
}

#[test]
fn a_window_holds_by_the_clock_on_the_wall() {
    let windows: [(&str, Holds); 3] = [
        ("mon-fri 08:00-21:00", |day, hour| {
            day.to_monday_one_offset() <= 5 && (8..21).contains(&hour)
        }),
        ("daily 22:00-06:00", |_, hour| !(6..22).contains(&hour)),
        ("sat,sun 10:00-24:00", |day, hour| day.to_monday_one_offset() > 5 && hour >= 10),
    ];
    for zone in ["America/Winnipeg", "Europe/Dublin", "Australia/Lord_Howe", "Asia/Kolkata"] {
        for start in ["2026-03-05T00:00:00Z", "2026-10-01T00:00:00Z", "2026-10-29T00:00:00Z"] {
            for (text, holds) in windows {
                let schedule = schedule(zone, vec![during(text, 3)]);
                for minute in 0..5 * 24 * 60 {
                    let now = time::after(at(start), MINUTE * minute);
                    let local = now.to_zoned(schedule.zone.clone());
                    let expected = holds(local.weekday(), local.hour()).then_some(3);
                    assert_eq!(schedule.capacity(now), expected, "{text} at {local}");
                }
            }
        }
    }
}

#[test]
fn the_changes_are_those_that_a_scan_of_every_minute_finds() {
    let lines = || {
        vec![
            Line::new("0 8 * * mon-fri", 4, 1).unwrap(),
            Line::new("0 20 * * *", 2, 2).unwrap(),
            during("sat 09:00-17:00", 6),
            during("fri-mon 22:30-04:00", 1),
            during("daily 01:15-02:45", 5),
            dates("2026-03-10..2026-03-11", 7),
            dates("2026-03-11", 3),
        ]
    };
    for zone in ["America/Winnipeg", "Europe/Berlin", "Australia/Lord_Howe"] {
        for start in ["2026-03-04T07:13:00Z", "2026-10-22T07:13:00Z"] {
            let schedule = schedule(zone, lines());
            let scanned = schedule.scanned(at(start), 12);
            assert!(scanned.len() > 30, "{}", scanned.len());
            assert_eq!(schedule.changes(at(start), 12), scanned, "{zone} from {start}");
        }
    }
}

#[test]
fn dates_beat_hours_of_the_week_and_those_beat_cron() {
    let schedule = schedule(
        "Europe/Dublin",
        vec![
            Line::new("0 0 * * *", 9, 1).unwrap(),
            during("mon-fri 08:00-18:00", 5),
            during("mon-fri 12:00-14:00", 6),
            dates("2026-12-24..2026-12-26", 1),
            dates("2026-12-25", 2),
        ],
    );
    let cases = [
        ("2026-12-23T07:59:00Z", 9),
        ("2026-12-23T08:00:00Z", 5),
        ("2026-12-23T12:00:00Z", 6),
        ("2026-12-23T18:00:00Z", 9),
        ("2026-12-24T00:00:00Z", 1),
        ("2026-12-25T12:00:00Z", 2),
        ("2026-12-26T23:59:00Z", 1),
        ("2026-12-27T00:00:00Z", 9),
    ];
    for (now, capacity) in cases {
        assert_eq!(schedule.capacity(at(now)), Some(capacity), "{now}");
    }
}

/// The hour before summer time comes twice in autumn and never in spring.
#[test]
fn a_span_begins_once_and_ends_once_when_clocks_change() {
    let schedule = schedule("America/Winnipeg", vec![during("daily 01:30-02:30", 3)]);
    // Forward at 02:00 on 8 March: 02:30 never comes, and the window ends at the jump.
    let spring = schedule.changes(at("2026-03-08T06:00:00Z"), 1);
    let expected = [("2026-03-08T07:30:00Z", Some(3)), ("2026-03-08T08:00:00Z", None)];
    assert_eq!(spring, expected.map(|(when, stands)| (at(when), stands)));
    // Back at 02:00 on 1 November: it begins at the first 01:30.
    let autumn = schedule.changes(at("2026-11-01T05:00:00Z"), 1);
    let expected = [("2026-11-01T06:30:00Z", Some(3)), ("2026-11-01T08:30:00Z", None)];
    assert_eq!(autumn, expected.map(|(when, stands)| (at(when), stands)));
}

/// What is ready when a window opens begins early, unless a date will hold by then.
#[test]
fn a_window_that_is_to_be_ready_leads() {
    let boot = Duration::from_mins(5);
    let ready = || Line { ready: true, ..during("mon-fri 08:00-18:00", 5) };
    let low = || during("daily 00:00-24:00", 1);
    let plain = schedule("UTC", vec![low(), ready()]);
    let capacity = |schedule: &Schedule, now: &str| {
        schedule.standing_with_lead(at(now), boot).map(|standing| standing.capacity)
    };
    assert_eq!(capacity(&plain, "2026-03-02T07:54:00Z"), Some(1));
    assert_eq!(capacity(&plain, "2026-03-02T07:55:00Z"), Some(5));
    let holiday = schedule("UTC", vec![low(), ready(), dates("2026-03-02", 2)]);
    assert_eq!(capacity(&holiday, "2026-03-02T07:55:00Z"), Some(2));
    assert_eq!(capacity(&holiday, "2026-03-03T07:55:00Z"), Some(5));
}

#[test]
fn what_is_no_span_is_refused() {
    for wrong in [
        "",
        "mon-fri",
        "08:00-21:00",
        "mon-fry 08:00-21:00",
        "mon 8-21",
        "mon 08:00",
        "mon 25:00-26:00",
        "mon 08:00-08:00",
        "mon-fri 08:00-21:00-22:00",
    ] {
        assert!(Window::parse(wrong).is_err(), "{wrong}");
    }
    for wrong in [
        "",
        "christmas",
        "2026-12-32",
        "12-25",
        "2026-12-26..2026-12-24",
        "2026-12-24..",
        "20261224",
    ] {
        assert!(Dates::parse(wrong).is_err(), "{wrong}");
    }
}
