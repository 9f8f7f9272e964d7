//! Schedules as levels: at any instant the capacity is that of the line that fired last. Nothing
//! here remembers anything, so a daemon that slept through 8:00 is right at 8:07.
//!
//! Clock times and daylight saving: a line for one time of day (`0 8 * * *`) whose time is skipped
//! fires at the next valid minute; one whose time happens twice fires once, at the first. A line
//! for many times of day (`*/30 * * * *`) follows the clock on the wall. When two lines fire at the
//! same instant, the later one in the file wins.

use std::time::Duration;

use croner::Cron;
use jiff::Zoned;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cron::{self, CronError};
use crate::model::capacity::Capacity;
use crate::model::time::{Timestamp, after, before};

/// How many firings [`Schedule::next_change`] looks at before it gives up: enough for a line that
/// fires every five minutes all day long.
const FIRINGS_MAX: u32 = 300;

/// The schedule of a fleet.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The zone of every clock time in `lines`.
    pub zone: TimeZone,
    pub lines: Vec<Line>,
}

/// From each firing on, this capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "a line of the schedule, in a line of the file")]
pub struct Line {
    pub cron: Cron,
    /// The expression as written.
    pub text: String,
    pub capacity: Capacity,
    /// The capacity is in service when the line fires: its launches begin a boot time early.
    pub ready: bool,
    /// The line of the file.
    pub at_line: usize,
}

/// The schedule line in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub capacity: Capacity,
    /// When it took effect; with a lead, before it fired.
    pub since: Timestamp,
    /// Its index in [`Schedule::lines`].
    pub line: usize,
    /// The line of the file.
    pub at_line: usize,
    /// The expression as written.
    pub text: String,
}

impl Line {
    /// A line of `text`, five fields of cron, as it stands in line `at_line` of the file.
    pub fn new(text: &str, capacity: Capacity, at_line: usize) -> Result<Self, CronError> {
        let cron = cron::parse(text)?;
        Ok(Self { cron, text: text.to_owned(), capacity, ready: false, at_line })
    }
}

impl Schedule {
    /// The line that fired last at or before `now`; `None` when none has fired yet.
    pub fn standing(&self, now: Timestamp) -> Option<Standing> {
        self.standing_where(now, true)
    }

    /// As [`Self::standing`], but `ready` lines that raise the capacity take effect `boot` early,
    /// so that it is in service when they fire. Where several do, the largest counts.
    pub fn standing_with_lead(&self, now: Timestamp, boot: Duration) -> Option<Standing> {
        let horizon = after(now, boot);
        let mut best = self.standing(now);
        for (index, line) in self.lines.iter().enumerate().filter(|(_, line)| line.ready) {
            let mut at = now;
            while let Some(fires) = self.next(line, at, false).filter(|fires| *fires <= horizon) {
                let best_capacity = best.as_ref().map(|standing| standing.capacity);
                if best_capacity.is_some_and(|capacity| capacity >= line.capacity) {
                    break;
                }
                let stood = self.standing_where(fires, false).map(|standing| standing.capacity);
                if stood.is_none_or(|capacity| capacity < line.capacity) {
                    best = Some(line.standing(index, before(fires, boot)));
                    break;
                }
                at = fires;
            }
        }
        best
    }

    /// The next instant after `now` at which the capacity of [`Self::standing_with_lead`] changes,
    /// and what stands from then on. `None` when it never does, or not within the next 300
    /// firings.
    pub fn next_change(&self, now: Timestamp, boot: Duration) -> Option<(Timestamp, Standing)> {
        let stands = self.standing_with_lead(now, boot).map(|standing| standing.capacity);
        if self.lines.iter().all(|line| Some(line.capacity) == stands) {
            return None;
        }
        let mut at = now;
        for _ in 0..FIRINGS_MAX {
            at = self.lines.iter().filter_map(|line| self.next_edge(line, at, boot)).min()?;
            let standing = self.standing_with_lead(at, boot)?;
            if Some(standing.capacity) != stands {
                return Some((at, standing));
            }
        }
        None
    }

    /// The line that fired last before `now`, or also at it.
    fn standing_where(&self, now: Timestamp, inclusive: bool) -> Option<Standing> {
        let zoned = now.to_zoned(self.zone.clone());
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| {
                last_firing(&line.cron, &zoned, inclusive).map(|fired| (fired, index, line))
            })
            .max_by_key(|(fired, index, _)| (*fired, *index))
            .map(|(fired, index, line)| line.standing(index, fired))
    }

    /// When `line` fires or begins its lead, after `now`.
    fn next_edge(&self, line: &Line, now: Timestamp, boot: Duration) -> Option<Timestamp> {
        let fires = self.next(line, now, false);
        let leads = line.ready.then(|| self.next(line, after(now, boot), false)).flatten();
        let leads = leads.map(|fires| before(fires, boot));
        fires.into_iter().chain(leads).min()
    }

    fn next(&self, line: &Line, now: Timestamp, inclusive: bool) -> Option<Timestamp> {
        next_firing(&line.cron, &now.to_zoned(self.zone.clone()), inclusive)
    }
}

impl Line {
    fn standing(&self, index: usize, since: Timestamp) -> Standing {
        Standing {
            capacity: self.capacity,
            since,
            line: index,
            at_line: self.at_line,
            text: self.text.clone(),
        }
    }
}

/// When `cron` fires next; `None`: never.
pub(super) fn next_firing(cron: &Cron, now: &Zoned, inclusive: bool) -> Option<Timestamp> {
    match cron.find_next_occurrence(now, inclusive) {
        Ok(fires) => Some(fires.timestamp()),
        Err(_) => on_the_wall(now, |wall| cron.find_next_occurrence(wall, inclusive)),
    }
}

/// When `cron` fired last; `None`: never.
fn last_firing(cron: &Cron, now: &Zoned, inclusive: bool) -> Option<Timestamp> {
    match cron.find_previous_occurrence(now, inclusive) {
        Ok(fired) => Some(fired.timestamp()),
        Err(_) => on_the_wall(now, |wall| cron.find_previous_occurrence(wall, inclusive)),
    }
}

/// croner gives up where a whole day was skipped, as in Samoa in 2011. So search as if the wall
/// clock never jumped, and ask the zone when what was found came, or would have come, to pass.
fn on_the_wall(
    now: &Zoned,
    search: impl Fn(&Zoned) -> Result<Zoned, croner::errors::CronError>,
) -> Option<Timestamp> {
    let wall = now.datetime().to_zoned(TimeZone::UTC).ok()?;
    let found = search(&wall).ok()?.datetime();
    let ambiguous = now.time_zone().to_ambiguous_zoned(found);
    let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let at = ambiguous.compatible().ok()?.timestamp();
    if !skipped {
        return Some(at);
    }
    // `at` is as far behind the jump as the time was into it; the jump itself is the next valid
    // minute.
    let jump = now.time_zone().preceding(after(at, Duration::from_secs(1))).next();
    jump.map(|jump| jump.timestamp())
}
