//! Schedules as levels: at any instant the capacity is that of the line that fired last. Nothing
//! here remembers anything, so a daemon that slept through 8:00 is right at 8:07.
//!
//! [`super::firing`] has when a cron line fires as the clocks change. When two lines fire at the same
//! instant, the later one in the file wins.
//!
//! A line for dates beats one for hours of the week (`during`) for as long as it holds, and that one
//! beats whatever cron line fired last. Where several of a kind hold, the largest capacity counts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::cron::{self, Cron, CronError};
use super::span::{Dates, Span as _, Window};
use super::walk::Walk;
use crate::model::capacity::Capacity;
use crate::model::time::{Timestamp, after, before};

/// How many edges [`Schedule::next_change`] looks at with a lead before it gives up: enough for a
/// line that fires every five minutes all day long.
const EDGES_MAX: usize = 300;

/// The same of spans alone, which begin and end without a change where others hold as much.
const SPAN_EDGES_MAX: usize = 10_000;

/// The schedule of a fleet.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The zone of every clock time in `lines`.
    pub zone: TimeZone,
    pub lines: Vec<Line>,
    recent: Recent,
}

/// What stands at an instant, and what will stand after the next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// See [`Schedule::standing_with_lead`].
    pub standing: Option<Standing>,
    /// See [`Schedule::next_change`].
    pub next_change: Option<(Timestamp, Option<Standing>)>,
}

/// The level that was asked for last, and for how long it is the same: a search through the calendar
/// takes longer than all the rest of a decision, and between two edges there is nothing to find.
#[derive(Debug, Default)]
struct Recent(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    boot: Duration,
    from: Timestamp,
    /// The next edge; at it the level may be another.
    until: Timestamp,
    level: Arc<Level>,
}

/// What is known can be found anew.
impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// From each firing on, this capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "a line of the schedule, in a line of the file")]
pub struct Line {
    pub when: When,
    /// The expression as written.
    pub text: String,
    pub capacity: Capacity,
    /// The capacity is in service when the line fires: its launches begin a boot time early.
    pub ready: bool,
    /// The line of the file.
    pub at_line: usize,
}

/// What a line goes by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// From each firing on.
    Cron(Box<Cron>),
    /// On some days of the week, for some hours.
    During(Window),
    /// On these dates.
    Dates(Dates),
}

/// Which of the lines that hold is in force: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    kind: Kind,
    /// Of cron lines the last to have fired counts.
    fired: Option<Timestamp>,
    /// Of the others the largest.
    capacity: Option<Capacity>,
    /// The line's index in [`Schedule::lines`].
    index: usize,
}

impl Rank {
    /// The line's index in [`Schedule::lines`].
    pub(super) fn line(self) -> usize {
        self.index
    }
}

/// Each kind of line beats all lines of the kinds before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cron,
    During,
    Dates,
}

/// The schedule line in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub capacity: Capacity,
    /// When it took effect; with a lead, before it fired.
    pub since: Timestamp,
    /// When it fires, where it took effect before.
    pub fires: Option<Timestamp>,
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
        let when = When::Cron(Box::new(cron::parse(text)?));
        Ok(Self { when, text: text.to_owned(), capacity, ready: false, at_line })
    }
}

impl Schedule {
    pub fn new(zone: TimeZone, lines: Vec<Line>) -> Self {
        Self { zone, lines, recent: Recent::default() }
    }

    /// What stands at `now`, with a lead of `boot`, and what comes next. As quick as can be where it
    /// is asked again and again.
    pub fn level(&self, now: Timestamp, boot: Duration) -> Arc<Level> {
        let mut recent = self.recent.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*recent
            && known.boot == boot
            && (known.from..known.until).contains(&now)
        {
            return known.level.clone();
        }
        let level = Arc::new(Level {
            standing: self.standing_with_lead(now, boot),
            next_change: self.next_change(now, boot),
        });
        let edge = self.lines.iter().filter_map(|line| self.next_edge(line, now, boot)).min();
        let until = edge.unwrap_or(Timestamp::MAX);
        *recent = Some(Known { boot, from: now, until, level: level.clone() });
        level
    }

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
            while let Some(fires) = self.next(line, at).filter(|fires| *fires <= horizon) {
                let best_capacity = best.as_ref().map(|standing| standing.capacity);
                if best_capacity.is_some_and(|capacity| capacity >= line.capacity) {
                    break;
                }
                let stood = self.standing_where(fires, false).map(|standing| standing.capacity);
                let holds = self.standing(fires).is_some_and(|standing| standing.line == index);
                if holds && stood.is_none_or(|capacity| capacity < line.capacity) {
                    let standing = line.standing(index, before(fires, boot));
                    best = Some(Standing { fires: Some(fires), ..standing });
                    break;
                }
                at = fires;
            }
        }
        best
    }

    /// The next instant after `now` at which the capacity of [`Self::standing_with_lead`] changes,
    /// and what stands from then on: no line at all, where a span ends and nothing stood before it.
    /// `None` when it never does. With a lead: or not within the next 300 edges.
    pub fn next_change(
        &self,
        now: Timestamp,
        boot: Duration,
    ) -> Option<(Timestamp, Option<Standing>)> {
        let stands = self.standing_with_lead(now, boot).map(|standing| standing.capacity);
        let always = |line: &Line| matches!(line.when, When::Cron(_));
        if self.lines.iter().all(|line| always(line) && Some(line.capacity) == stands) {
            return None;
        }
        if boot.is_zero() || !self.lines.iter().any(|line| line.ready) {
            return self.next_change_without_lead(now, stands);
        }
        let mut at = now;
        for _ in 0..EDGES_MAX {
            at = self.lines.iter().filter_map(|line| self.next_edge(line, at, boot)).min()?;
            let standing = self.standing_with_lead(at, boot);
            if standing.as_ref().map(|standing| standing.capacity) != stands {
                return Some((at, standing));
            }
        }
        None
    }

    /// Looks at no firing that cannot change the capacity: of a cron line under a span, or for the
    /// capacity that stands.
    fn next_change_without_lead(
        &self,
        now: Timestamp,
        stands: Option<Capacity>,
    ) -> Option<(Timestamp, Option<Standing>)> {
        let mut spans = Walk::of_spans(self, now);
        let mut at = now;
        for _ in 0..SPAN_EDGES_MAX {
            let edge = spans.next_edge();
            let others = self
                .lines
                .iter()
                .filter(|line| matches!(line.when, When::Cron(_)) && Some(line.capacity) != stands);
            let fires = match spans.standing() {
                Some(_) => None,
                None => others.filter_map(|line| self.next(line, at)).min(),
            };
            at = fires.into_iter().chain(edge).min()?;
            if edge == Some(at) {
                spans.next();
            }
            let standing = spans.standing().or_else(|| self.standing(at));
            if standing.as_ref().map(|standing| standing.capacity) != stands {
                return Some((at, standing));
            }
        }
        None
    }

    /// What stands before `now`, or also at it.
    fn standing_where(&self, now: Timestamp, inclusive: bool) -> Option<Standing> {
        let lines = self.lines.iter().enumerate();
        let holds = lines.filter_map(|(index, line)| {
            let (rank, since) = self.hold(index, line, now, inclusive)?;
            Some((rank, since, line))
        });
        holds
            .max_by_key(|(rank, _, _)| *rank)
            .map(|(rank, since, line)| line.standing(rank.index, since))
    }

    /// What `line` holds before `now`, or also at it, and since when.
    pub(super) fn hold(
        &self,
        index: usize,
        line: &Line,
        now: Timestamp,
        inclusive: bool,
    ) -> Option<(Rank, Timestamp)> {
        #[cfg(test)]
        searches::count();
        let at = if inclusive { now } else { before(now, Duration::from_nanos(1)) };
        let (kind, since) = match &line.when {
            When::Dates(dates) => (Kind::Dates, dates.since(&self.zone, at)?),
            When::During(window) => (Kind::During, window.since(&self.zone, at)?),
            When::Cron(cron) => (Kind::Cron, cron.last(&self.zone, at)?),
        };
        let fired = (kind == Kind::Cron).then_some(since);
        let capacity = (kind != Kind::Cron).then_some(line.capacity);
        Some((Rank { kind, fired, capacity, index }, since))
    }

    /// Every edge after `now`, in order, with what stands from then on.
    pub fn edges(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Option<Standing>)> {
        Walk::after(self, now)
    }

    /// When `line` begins, ends or begins its lead, after `now`.
    pub(super) fn next_edge(
        &self,
        line: &Line,
        now: Timestamp,
        boot: Duration,
    ) -> Option<Timestamp> {
        #[cfg(test)]
        searches::count();
        let begins = self.next(line, now);
        let leads = line.ready.then(|| self.next(line, after(now, boot))).flatten();
        let leads = leads.map(|begins| before(begins, boot));
        let ends = match &line.when {
            When::Cron(_) => None,
            When::During(window) => window.next_end(&self.zone, now),
            When::Dates(dates) => dates.next_end(&self.zone, now),
        };
        begins.into_iter().chain(leads).chain(ends).min()
    }

    fn next(&self, line: &Line, now: Timestamp) -> Option<Timestamp> {
        match &line.when {
            When::Cron(cron) => cron.next(&self.zone, now),
            When::During(window) => window.next_start(&self.zone, now),
            When::Dates(dates) => dates.next_start(&self.zone, now),
        }
    }
}

impl Line {
    pub(super) fn standing(&self, index: usize, since: Timestamp) -> Standing {
        Standing {
            capacity: self.capacity,
            since,
            fires: None,
            line: index,
            at_line: self.at_line,
            text: self.text.clone(),
        }
    }
}

/// Counts the searches of a line in the calendar, for tests of how their number grows.
#[cfg(test)]
pub(super) mod searches {
    use std::cell::Cell;

    thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count() {
        COUNT.set(COUNT.get().saturating_add(1));
    }

    /// Returns the searches of this thread so far.
    pub(in crate::policy) fn so_far() -> usize {
        COUNT.get()
    }
}
