//! Spans of the calendar: `mon-fri 08:00-21:00`, again and again, and `2026-12-24..2027-01-02`, once.
//! What the clock on the wall says is meant; a time that daylight saving skips is the next valid
//! minute, one that comes twice is the first.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cron::CronError;
use crate::model::time::Timestamp;

const DAY_MINUTES: i64 = 24 * 60;
pub(super) const WEEK_MINUTES: i64 = 7 * DAY_MINUTES;

/// For how many days a window is looked for: every weekday, and some to either side of midnights.
const DAYS: usize = 11;

/// A span on some days of the week. One that ends at or before the time it starts at ends on the next
/// day, and belongs to the day it starts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// From Monday on.
    days: [bool; 7],
    from: Time,
    to: Time,
}

/// Whole days, the last included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dates {
    pub first: Date,
    pub last: Date,
}

impl Window {
    /// Reads `mon-fri 08:00-21:00`, `sat,sun 10:00-18:00` or `daily 22:00-06:00`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let wrong = |message: &str| {
            CronError::new(
                message,
                "write days and times: `mon-fri 08:00-21:00`, `daily 22:00-06:00`",
            )
        };
        let (days, times) =
            text.trim().split_once(' ').ok_or_else(|| wrong("not days and times"))?;
        let (from, to) = times.trim().split_once('-').ok_or_else(|| wrong("no span of time"))?;
        if from.trim() == "24:00" {
            let remedy = "24:00 is the end of a day: write `00:00` of the day that follows";
            return Err(CronError::new("a span that starts at 24:00", remedy));
        }
        let clock = |text: &str| match text.trim() {
            "24:00" => Some(Time::midnight()),
            text => Time::strptime("%H:%M", text).ok(),
        };
        let (Some(from), Some(to)) = (clock(from), clock(to)) else {
            return Err(wrong("no time of day"));
        };
        let days = weekdays(&days.to_lowercase()).ok_or_else(|| wrong("no day of the week"))?;
        if from == to && from != Time::midnight() {
            return Err(wrong("a span without length"));
        }
        Ok(Self { days, from, to })
    }

    /// Returns its spans of a week in minutes from Monday's midnight on, the end excluded, by the clock
    /// on the wall. One over the end of the week is two.
    pub(super) fn week(&self) -> impl Iterator<Item = (i64, i64)> {
        let minute = |time: Time| {
            i64::from(time.hour()).saturating_mul(60).saturating_add(i64::from(time.minute()))
        };
        let (from, to) = (minute(self.from), minute(self.to));
        let to = if to <= from { to.saturating_add(DAY_MINUTES) } else { to };
        let days = (0..7).zip(self.days).filter(|(_, holds)| *holds);
        days.flat_map(move |(day, _)| {
            let midnight = DAY_MINUTES.saturating_mul(day);
            let (from, to) = (midnight.saturating_add(from), midnight.saturating_add(to));
            let over = (0, to.saturating_sub(WEEK_MINUTES));
            [(from, to.min(WEEK_MINUTES)), over].into_iter().filter(|(from, to)| from < to)
        })
    }

    /// The spans that may hold at `now` or come next, in order.
    fn spans(
        &self,
        zone: &TimeZone,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = now.to_zoned(zone.clone()).date();
        let first = today.checked_sub(jiff::Span::new().days(2)).unwrap_or(today);
        let days = first.series(jiff::Span::new().days(1)).take(DAYS);
        days.filter(|day| holds_on(self.days, day.weekday())).filter_map(|day| {
            let ends = if self.to <= self.from { day.tomorrow().ok()? } else { day };
            let span = (
                instant(zone, day.to_datetime(self.from))?,
                instant(zone, ends.to_datetime(self.to))?,
            );
            (span.0 < span.1).then_some(span)
        })
    }
}

impl Dates {
    /// Reads `2026-12-24..2027-01-02` or a single `2026-12-25`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let wrong = |message: &str| {
            CronError::new(message, "write a date, or two: `2026-12-25`, `2026-12-24..2027-01-02`")
        };
        let (first, last) = text.trim().split_once("..").unwrap_or((text.trim(), text.trim()));
        let date =
            |text: &str| text.trim().parse::<Date>().ok().filter(|_| text.trim().len() == 10);
        let (Some(first), Some(last)) = (date(first), date(last)) else {
            return Err(wrong("not a date"));
        };
        if last < first {
            return Err(wrong("dates that run backwards"));
        }
        Ok(Self { first, last })
    }

    /// Returns its days, the end excluded, numbered in order.
    pub(super) fn days(&self) -> (i64, i64) {
        let number = |date: Date| date.duration_since(Date::ZERO).as_hours().div_euclid(24);
        (number(self.first), number(self.last).saturating_add(1))
    }

    fn span(&self, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let begins = instant(zone, self.first.to_datetime(Time::midnight()))?;
        let ends = instant(zone, self.last.tomorrow().ok()?.to_datetime(Time::midnight()))?;
        Some((begins, ends))
    }
}

/// A span that comes by the calendar.
pub(super) trait Span {
    /// Since when it has held at `now`; `None`: it does not.
    fn since(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp>;
    /// When it begins next, after `now`.
    fn next_start(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp>;
    /// When it ends next, after `now`, whether or not it has begun.
    fn next_end(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp>;
}

impl Span for Window {
    fn since(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let mut spans = self.spans(zone, now);
        spans.find(|(from, to)| *from <= now && now < *to).map(|(from, _)| from)
    }

    fn next_start(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.spans(zone, now).map(|(from, _)| from).find(|from| *from > now)
    }

    fn next_end(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.spans(zone, now).map(|(_, to)| to).find(|to| *to > now)
    }
}

impl Span for Dates {
    fn since(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let (from, to) = self.span(zone)?;
        (from <= now && now < to).then_some(from)
    }

    fn next_start(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.span(zone).map(|(from, _)| from).filter(|from| *from > now)
    }

    fn next_end(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.span(zone).map(|(_, to)| to).filter(|to| *to > now)
    }
}

fn nth(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

fn holds_on(days: [bool; 7], day: Weekday) -> bool {
    days.get(nth(day)).copied().unwrap_or(false)
}

/// `mon-fri`, `sat,sun`, `fri-mon` (over the weekend), `daily`.
fn weekdays(text: &str) -> Option<[bool; 7]> {
    const NAMES: [(&str, Weekday); 7] = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    if text == "daily" {
        return Some([true; 7]);
    }
    let day = |text: &str| NAMES.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let run = first.cycle_forward();
        for day in run {
            if let Some(held) = days.get_mut(nth(day)) {
                *held = true;
            }
            if day == last {
                break;
            }
        }
    }
    Some(days)
}

/// When the clock on the wall says so.
pub(super) fn instant(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_zoned(wall);
    let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let at = ambiguous.compatible().ok()?.timestamp();
    if !skipped {
        return Some(at);
    }
    // `at` is as far behind the jump as the time was into it; the jump itself is the next valid
    // minute.
    let after = crate::model::time::after(at, std::time::Duration::from_secs(1));
    zone.preceding(after).next().map(|jump| jump.timestamp())
}
