//! When a cron expression fires, across changes of the clocks.
//!
//! As in Vixie cron, a line whose minute or hour begins with `*` follows the clock on the wall: it does
//! not fire at times that are skipped, and fires in both hours of a repeated one. Any other line fires
//! once for each time that it states: at the next valid minute if that is skipped, at the first if it is
//! repeated. So several skipped times are one firing.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::cron::Cron;
use super::span::instant;
use crate::model::time::{Timestamp, after, before};

const NANOSECOND: std::time::Duration = std::time::Duration::from_nanos(1);

/// How many months a search covers. 29 February and a day of the week meet every 40 years at least.
const MONTHS: usize = 41 * 12;

impl Cron {
    /// Returns when it fires next after `now`; `None`: never again.
    pub(super) fn next(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let wall = now.to_zoned(zone.clone()).datetime();
        if self.follows_wall {
            return self.next_on_the_wall(zone, now, minute_after(wall)?);
        }
        let mut wall = self.wall_from(minute_after(wall)?)?;
        loop {
            // In the second pass of a repeated hour, its times have fired in the first.
            let at = instant(zone, wall)?;
            if at > now {
                return Some(at);
            }
            wall = self.wall_from(minute_after(wall)?)?;
        }
    }

    /// Returns when it fired last, at `now` or before; `None`: never.
    pub(super) fn last(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        if self.follows_wall {
            return self.last_on_the_wall(zone, now);
        }
        let wall = now.to_zoned(zone.clone()).datetime();
        // In the second pass of a repeated hour, all of its times have fired in the first.
        let repeated = now.duration_since(instant(zone, wall)?);
        let mut wall = self.wall_until(wall.checked_add(repeated).ok()?)?;
        loop {
            let at = instant(zone, wall)?;
            if at <= now {
                return Some(at);
            }
            wall = self.wall_until(wall.checked_sub(1.minute()).ok()?)?;
        }
    }

    /// Searches between one change of the clocks and the next: there the wall clock runs evenly.
    fn next_on_the_wall(
        &self,
        zone: &TimeZone,
        mut from: Timestamp,
        mut wall: DateTime,
    ) -> Option<Timestamp> {
        loop {
            let at = zone.to_offset(from).to_timestamp(self.wall_from(wall)?).ok()?;
            match zone.following(from).next().map(|change| change.timestamp()) {
                Some(change) if change <= at => {
                    from = change;
                    wall = minute_from(change.to_zoned(zone.clone()).datetime())?;
                }
                Some(_) | None => return Some(at),
            }
        }
    }

    fn last_on_the_wall(&self, zone: &TimeZone, mut until: Timestamp) -> Option<Timestamp> {
        loop {
            let wall = until.to_zoned(zone.clone()).datetime();
            let at = zone.to_offset(until).to_timestamp(self.wall_until(wall)?).ok()?;
            let later = after(until, NANOSECOND);
            match zone.preceding(later).next().map(|change| change.timestamp()) {
                Some(change) if at < change => until = before(change, NANOSECOND),
                Some(_) | None => return Some(at),
            }
        }
    }

    /// Returns the first time that it states, from `wall`, a whole minute, on.
    fn wall_from(&self, wall: DateTime) -> Option<DateTime> {
        let today = wall.date();
        if self.is_on(today)
            && let Some(time) = self.time_from(wall.hour(), wall.minute())
        {
            return Some(today.to_datetime(time));
        }
        let mut date = today.tomorrow().ok()?;
        for _ in 0..MONTHS {
            if self.months.has(date.month()) {
                let last = date.days_in_month();
                let mut days = (date.day()..=last).filter_map(|day| with_day(date, day));
                if let Some(day) = days.find(|day| self.is_on(*day)) {
                    return Some(day.to_datetime(self.time_from(0, 0)?));
                }
            }
            date = date.last_of_month().tomorrow().ok()?;
        }
        None
    }

    /// Returns the last time that it states, up to `wall`.
    fn wall_until(&self, wall: DateTime) -> Option<DateTime> {
        let today = wall.date();
        if self.is_on(today)
            && let Some(time) = self.time_until(wall.hour(), wall.minute())
        {
            return Some(today.to_datetime(time));
        }
        let mut date = today.yesterday().ok()?;
        for _ in 0..MONTHS {
            if self.months.has(date.month()) {
                let mut days = (1..=date.day()).rev().filter_map(|day| with_day(date, day));
                if let Some(day) = days.find(|day| self.is_on(*day)) {
                    return Some(day.to_datetime(self.time_until(23, 59)?));
                }
            }
            date = date.first_of_month().yesterday().ok()?;
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let either = if self.narrows { day && weekday } else { day || weekday };
        self.months.has(date.month()) && either
    }

    fn time_from(&self, hour: i8, minute: i8) -> Option<Time> {
        let same = self.hours.has(hour).then(|| self.minutes.from(minute)).flatten();
        let (hour, minute) = match same {
            Some(minute) => (hour, minute),
            None => (self.hours.from(hour.checked_add(1)?)?, self.minutes.from(0)?),
        };
        Time::new(hour, minute, 0, 0).ok()
    }

    fn time_until(&self, hour: i8, minute: i8) -> Option<Time> {
        let same = self.hours.has(hour).then(|| self.minutes.until(minute)).flatten();
        let (hour, minute) = match same {
            Some(minute) => (hour, minute),
            None => (self.hours.until(hour.checked_sub(1)?)?, self.minutes.until(59)?),
        };
        Time::new(hour, minute, 0, 0).ok()
    }
}

fn with_day(date: Date, day: i8) -> Option<Date> {
    Date::new(date.year(), date.month(), day).ok()
}

fn whole_minute(wall: DateTime) -> Option<DateTime> {
    let time = Time::new(wall.hour(), wall.minute(), 0, 0).ok()?;
    Some(wall.date().to_datetime(time))
}

/// Returns the first whole minute after `wall`.
fn minute_after(wall: DateTime) -> Option<DateTime> {
    whole_minute(wall)?.checked_add(1.minute()).ok()
}

/// Returns the first whole minute at `wall` or after it.
fn minute_from(wall: DateTime) -> Option<DateTime> {
    let whole = whole_minute(wall)?;
    if whole == wall { Some(whole) } else { minute_after(wall) }
}
