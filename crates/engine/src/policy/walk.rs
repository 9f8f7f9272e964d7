//! Visits the edges of a schedule in order of time. An edge costs one search of the line that it
//! belongs to, however many other lines there are.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use super::calendar::{Line, Rank, Schedule, Standing, When};
use crate::model::time::Timestamp;

/// Yields each edge after an instant, with what stands from then on. Lines that are put forward by a
/// boot time count from when they fire.
pub(super) struct Walk<'a> {
    schedule: &'a Schedule,
    /// The next edge of each line that has one.
    edges: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// What each line holds at the last edge, and since when.
    holds: Vec<Option<(Rank, Timestamp)>>,
    ranks: BTreeSet<Rank>,
}

impl<'a> Walk<'a> {
    pub(super) fn after(schedule: &'a Schedule, now: Timestamp) -> Self {
        Self::of(schedule, now, |_| true)
    }

    /// Walks along the lines that hold for a span, as if there were no cron lines.
    pub(super) fn of_spans(schedule: &'a Schedule, now: Timestamp) -> Self {
        Self::of(schedule, now, |line| !matches!(line.when, When::Cron(_)))
    }

    fn of(schedule: &'a Schedule, now: Timestamp, includes: impl Fn(&Line) -> bool) -> Self {
        let mut walk = Self {
            schedule,
            edges: BinaryHeap::with_capacity(schedule.lines.len()),
            holds: vec![None; schedule.lines.len()],
            ranks: BTreeSet::new(),
        };
        for (index, _) in schedule.lines.iter().enumerate().filter(|(_, line)| includes(line)) {
            walk.update(index, now);
        }
        walk
    }

    /// Searches the calendar for what a line holds at an instant, and for its next edge.
    fn update(&mut self, index: usize, at: Timestamp) {
        let (Some(line), Some(hold)) = (self.schedule.lines.get(index), self.holds.get_mut(index))
        else {
            return;
        };
        if let Some((rank, _)) = hold.take() {
            self.ranks.remove(&rank);
        }
        *hold = self.schedule.hold(index, line, at, true);
        self.ranks.extend(hold.map(|(rank, _)| rank));
        let edge = self.schedule.next_edge(line, at, Duration::ZERO);
        self.edges.extend(edge.map(|edge| Reverse((edge, index))));
    }

    /// Returns when its next edge is.
    pub(super) fn next_edge(&self) -> Option<Timestamp> {
        self.edges.peek().map(|Reverse((at, _))| *at)
    }

    /// Returns what stands from its last edge on.
    pub(super) fn standing(&self) -> Option<Standing> {
        let index = self.ranks.last()?.line();
        let (_, since) = (*self.holds.get(index)?)?;
        Some(self.schedule.lines.get(index)?.standing(index, since))
    }
}

impl Iterator for Walk<'_> {
    type Item = (Timestamp, Option<Standing>);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((at, _)) = *self.edges.peek()?;
        while let Some(Reverse((edge, index))) = self.edges.peek().copied()
            && edge == at
        {
            self.edges.pop();
            self.update(index, at);
        }
        Some((at, self.standing()))
    }
}
