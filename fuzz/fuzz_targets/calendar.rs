//! Any text as the lines of a schedule. The first line picks a zone, an instant and a boot time; each
//! line after it is a capacity, `!` if it is to be ready by then, and five fields of cron.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use tidegate_engine::policy::calendar::{Line, Schedule};
use tidegate_fuzz::is_harmless;

/// With changes of clock by an hour, by half an hour, at midnight, at a minute past it, and of a day.
const ZONES: [&str; 8] = [
    "UTC",
    "America/Winnipeg",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
];

/// 2007 to 2037: some rules of today, and some of before.
const FIRST: i64 = 1_167_609_600;
const SPAN: u64 = 946_684_800;

const LINES_AT_MOST: usize = 6;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let mut head = lines.next().unwrap_or_default().split(' ').map(number);
    let mut number = || head.next().unwrap_or_default();
    let zone = ZONES[usize::try_from(number() % 8).expect("small")];
    let seconds = i64::try_from(number() % SPAN).expect("small");
    let now = Timestamp::from_second(FIRST + seconds).expect("within time");
    let boot = Duration::from_secs(number() % 3600);
    let zone = TimeZone::get(zone).expect("a zone");
    let lines: Vec<Line> = lines.take(LINES_AT_MOST).enumerate().filter_map(line).collect();
    let schedule = Schedule::new(zone, lines);

    stands(&schedule, now);
    changes(&schedule, now, boot);
});

/// Any text is some number, so that no edit is lost.
fn number(text: &str) -> u64 {
    text.bytes().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0')))
    })
}

fn line((index, text): (usize, &str)) -> Option<Line> {
    let (capacity, cron) = text.split_once(' ')?;
    let ready = capacity.ends_with('!');
    let capacity = capacity.trim_end_matches('!').parse::<u8>().ok()?;
    match Line::new(cron, capacity.into(), index) {
        Ok(line) => Some(Line { ready, ..line }),
        Err(error) => {
            assert!(is_harmless(&error.message) && is_harmless(&error.remedy), "{error:?}");
            None
        }
    }
}

/// What stands has stood since it fired, and fired at its own minute.
fn stands(schedule: &Schedule, now: Timestamp) {
    let Some(standing) = schedule.standing(now) else { return };
    assert!(standing.since <= now, "{standing:?} at {now}");
    assert_eq!(standing.since.as_second() % 60, 0, "{standing:?}");
    assert_eq!(schedule.lines[standing.line].capacity, standing.capacity);
    assert_eq!(schedule.standing(standing.since).as_ref(), Some(&standing), "at its firing");
}

/// The next change lies ahead, is one, and is the next.
fn changes(schedule: &Schedule, now: Timestamp, boot: Duration) {
    let level = |at| schedule.standing_with_lead(at, boot).map(|standing| standing.capacity);
    let stands = level(now);
    let known = schedule.level(now, boot);
    assert_eq!(known.standing.as_ref().map(|standing| standing.capacity), stands);
    assert_eq!(known.next_change, schedule.next_change(now, boot));
    let Some((at, standing)) = schedule.next_change(now, boot) else { return };
    let capacity = standing.map(|standing| standing.capacity);
    assert!(at > now, "{at} after {now}");
    assert_eq!(level(at), capacity, "at {at}");
    assert_ne!(stands, capacity, "at {at}");
    let ahead = at.duration_since(now);
    for part in [1_000_000, 2, 3, 7, 24] {
        let between = now.checked_add(ahead / part).expect("within time");
        if between < at {
            assert_eq!(level(between), stands, "{between}, between {now} and {at}");
        }
    }
    let just_before = at.checked_sub(Duration::from_secs(1)).expect("within time").max(now);
    assert_eq!(level(just_before), stands, "{just_before}, just before {at}");
}
