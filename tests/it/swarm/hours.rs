//! What the schedule asks for, by a calendar that shares nothing with the policy's: every minute is
//! looked at on the wall.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use tidegate_engine::model::time::{self, Timestamp};

use super::options::Options;

#[derive(Debug)]
pub(super) struct Hours {
    zone: TimeZone,
    night: bool,
    /// The last minute that was looked at.
    minute: Timestamp,
    /// From when on, how many, the latest last.
    levels: VecDeque<(Timestamp, u32)>,
}

impl Hours {
    /// At noon: on workdays all three serve, at weekends two.
    pub(super) fn new(options: &Options) -> Self {
        let zone = TimeZone::get("America/Winnipeg").unwrap();
        let day = options.start.to_zoned(zone.clone()).weekday();
        let level = if matches!(day, Weekday::Saturday | Weekday::Sunday) { 2 } else { 3 };
        let levels = [(options.start, level)].into();
        Self { zone, night: options.has_edges_at_night(), minute: options.start, levels }
    }

    /// How many there should be now.
    pub(super) fn at(&mut self, now: Timestamp) -> u32 {
        while time::after(self.minute, Duration::from_mins(1)) <= now {
            self.minute = time::after(self.minute, Duration::from_mins(1));
            self.levels.extend(self.edge().map(|level| (self.minute, level)));
        }
        self.levels.back().map_or(0, |(_, level)| *level)
    }

    /// The fewest there should have been within the last while.
    pub(super) fn fewest(&mut self, now: Timestamp, within: Duration) -> u32 {
        let last = self.at(now);
        let from = time::before(now, within);
        let older = self.levels.iter().rev().find(|(since, _)| *since <= from);
        let since = self.levels.iter().filter(|(since, _)| *since > from);
        since.chain(older).map(|(_, level)| *level).min().unwrap_or(last)
    }

    fn edge(&self) -> Option<u32> {
        let wall = self.minute.to_zoned(self.zone.clone());
        // A time of day that comes twice counts at the first.
        let an_hour_ago = wall.checked_sub(1.hour()).unwrap();
        if an_hour_ago.datetime() == wall.datetime() {
            return None;
        }
        let workday = !matches!(wall.weekday(), Weekday::Saturday | Weekday::Sunday);
        match (wall.hour(), wall.minute()) {
            (8, 0) if workday => Some(3),
            (21, 0) if workday => Some(2),
            (1, 30) if self.night => Some(3),
            (3, 30) if self.night => Some(2),
            _ => None,
        }
    }
}
