//! A backtest over time, for whoever would rather look: in bins, of which there are never many,
//! however long the trace. Maxima stay maxima when bins are joined.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::prices::PriceList;
use crate::sim::front::State;
use crate::sim::load::{Queue, Started};
use crate::sim::machine::Machine;
use crate::sim::report::paid;
use crate::sim::trace::{Length, Trace};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Billing;

/// More cannot be told apart on a screen.
pub const BINS_AT_MOST: usize = 600;

/// A trace begins with no more bins than this; what is worked off after its end has room.
const BINS_AT_FIRST: f64 = 400.0;

/// Widths that people count in, in minutes; each begins anew at midnight.
const WIDTHS: [u64; 11] = [1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440];

#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// When the run began, somewhere in the first bin.
    pub from: Timestamp,
    /// When it ended, somewhere in the last.
    pub to: Timestamp,
    /// When the first bin begins.
    pub origin: Timestamp,
    pub width: Duration,
    pub bins: Vec<Bin>,
}

/// What happened within one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// The most jobs that waited at once.
    pub waiting: u64,
    /// Jobs that arrived and have started, or are late without a start.
    pub came: u64,
    /// Those of them that waited longer than the goal or never started.
    pub late: u64,
    /// Their longest wait; `None`: nobody came.
    pub longest: Option<Duration>,
    /// The wait that 95 of 100 of them did not exceed.
    pub most_of_them: Option<Duration>,
    /// The time of all servers that were paid for; `booting`, `idle` and `draining` are parts of it.
    pub servers: Duration,
    pub booting: Duration,
    /// Serving without a job.
    pub idle: Duration,
    pub draining: Duration,
    /// The most servers at once.
    pub most: u64,
    /// Dollars that fell due, if hours are billed, and if seconds are; of servers with a known price.
    pub by_hour: f64,
    pub by_second: f64,
}

impl Bin {
    /// Both as one; the wait of 95 of 100 cannot be joined, and is not known of the two.
    pub fn joined(&self, other: &Self) -> Self {
        Self {
            waiting: self.waiting.max(other.waiting),
            came: self.came + other.came,
            late: self.late + other.late,
            longest: self.longest.max(other.longest),
            most_of_them: None,
            servers: self.servers + other.servers,
            booting: self.booting + other.booting,
            idle: self.idle + other.idle,
            draining: self.draining + other.draining,
            most: self.most.max(other.most),
            by_hour: self.by_hour + other.by_hour,
            by_second: self.by_second + other.by_second,
        }
    }
}

impl Series {
    /// How long a bin is within the run: the first and the last are cut.
    pub fn span(&self, nth: usize) -> Duration {
        time::since(self.begins(nth + 1).min(self.to), self.begins(nth).max(self.from))
    }

    pub fn begins(&self, nth: usize) -> Timestamp {
        time::after(self.origin, self.width * u32::try_from(nth).unwrap_or(u32::MAX))
    }

    /// From when on nothing changes any more; the end, unless that is a good part of the run.
    pub fn still_from(&self) -> Timestamp {
        let Some(last) = self.bins.last() else { return self.to };
        let moves = |bin: &Bin| {
            let still = (bin.waiting, bin.most) == (last.waiting, last.most);
            !still || bin.came > 0 || !bin.booting.is_zero() || !bin.draining.is_zero()
        };
        let moved = self.bins.iter().rposition(moves).map_or(0, |nth| nth + 1);
        let still = self.begins(moved + 1).min(self.to);
        let whole = time::since(self.to, self.from);
        if time::since(self.to, still) > whole.mul_f64(0.1) { still } else { self.to }
    }

    fn nth(&self, at: Timestamp) -> usize {
        nth(self.origin, self.width, at).min(self.bins.len().saturating_sub(1))
    }

    /// Gives each bin its part of a span, between 0 and 1.
    fn spread(&mut self, span: (Timestamp, Timestamp), give: impl Fn(&mut Bin, f64)) {
        for (nth, share) in parts(self.origin, self.width, span) {
            if let Some(bin) = self.bins.get_mut(nth) {
                give(bin, share);
            }
        }
    }

    /// Puts down the highest sum of the events at or before each instant, bin by bin.
    fn heights(&mut self, mut events: Vec<(Timestamp, bool)>, put: impl Fn(&mut Bin, u64)) {
        // At the same instant one goes before the next comes.
        events.sort_unstable();
        let mut height = 0_u64;
        let mut next = events.into_iter().peekable();
        for nth in 0..self.bins.len() {
            let ends = self.begins(nth + 1);
            let mut most = height;
            while let Some((_, comes)) = next.next_if(|(at, _)| *at < ends) {
                height = if comes { height + 1 } else { height.saturating_sub(1) };
                most = most.max(height);
            }
            if let Some(bin) = self.bins.get_mut(nth) {
                put(bin, most);
            }
        }
    }

    fn lengths(&mut self, lengths: &[Length]) {
        let mut next = lengths.iter().peekable();
        let mut stands = 0;
        for nth in 0..self.bins.len() {
            let ends = self.begins(nth + 1);
            let mut most = stands;
            while let Some(length) = next.next_if(|length| length.at < ends) {
                stands = length.waiting;
                most = most.max(stands);
            }
            if let Some(bin) = self.bins.get_mut(nth) {
                bin.waiting = most;
            }
        }
    }

    fn waits(&mut self, queue: &Queue, goal: Duration) {
        let mut waits: Vec<Vec<Duration>> = vec![Vec::new(); self.bins.len()];
        for Started { arrived, waited } in queue.started() {
            if let Some(of_bin) = waits.get_mut(self.nth(arrived)) {
                of_bin.push(waited);
            }
        }
        for (bin, mut waits) in self.bins.iter_mut().zip(waits) {
            waits.sort_unstable();
            let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            bin.came = count(waits.len());
            bin.late = count(waits.iter().filter(|wait| **wait > goal).count());
            bin.longest = waits.last().copied();
            let nth = (waits.len() * 95).div_ceil(100).saturating_sub(1);
            bin.most_of_them = waits.get(nth).copied();
        }
        for arrived in queue.missed(goal) {
            let nth = self.nth(arrived);
            if let Some(bin) = self.bins.get_mut(nth) {
                bin.came += 1;
                bin.late += 1;
            }
        }
    }

    fn machine(&mut self, machine: &Machine, prices: &PriceList) {
        let (launched, billed) = (machine.launched_at, machine.billed(self.to));
        let ends = time::after(launched, billed);
        let serves = machine.serves_at.map_or(ends, |at| at.min(ends));
        let booting = time::since(serves, launched);
        self.spread((launched, ends), |bin, share| bin.servers += billed.mul_f64(share));
        self.spread((launched, serves), |bin, share| bin.booting += booting.mul_f64(share));
        let of_type = machine.request.pool.instance_type.as_deref();
        let Some(dollars) = of_type.and_then(|name| prices.per_hour(name)) else { return };
        let due = |billing| paid(billed, billing).as_secs_f64() / 3600.0 * dollars;
        let all = due(Billing::Second);
        self.spread((launched, ends), |bin, share| bin.by_second += all * share);
        // An hour falls due when it begins.
        let mut begins = launched;
        for _ in 0..paid(billed, Billing::Hour).as_secs().div_euclid(3600) {
            let nth = self.nth(begins);
            if let Some(bin) = self.bins.get_mut(nth) {
                bin.by_hour += dollars;
            }
            begins = time::after(begins, Duration::from_hours(1));
        }
    }
}

fn nth(origin: Timestamp, width: Duration, at: Timestamp) -> usize {
    let n = time::since(at, origin).as_nanos().div_euclid(width.as_nanos().max(1));
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The bins that a span touches, with the part of it that falls into each. All of a span without
/// length falls into one.
fn parts(
    origin: Timestamp,
    width: Duration,
    (from, to): (Timestamp, Timestamp),
) -> impl Iterator<Item = (usize, f64)> {
    let (from, to) =
        (time::since(from, origin).as_secs_f64(), time::since(to, origin).as_secs_f64());
    let (whole, width) = (to - from, width.as_secs_f64());
    let mut at = from;
    let mut bin = nth(origin, Duration::from_secs_f64(width), time::after(origin, seconds(from)));
    std::iter::from_fn(move || {
        if at > to || (at >= to && whole > 0.0) {
            return None;
        }
        let ends = f64::from(u32::try_from(bin + 1).unwrap_or(u32::MAX)) * width;
        let until = if whole > 0.0 { ends.min(to) } else { f64::INFINITY };
        let share = if whole > 0.0 { ((until - at) / whole).max(0.0) } else { 1.0 };
        let told = (bin, share);
        at = until;
        bin += 1;
        Some(told)
    })
}

fn seconds(span: f64) -> Duration {
    Duration::try_from_secs_f64(span).unwrap_or_default()
}

/// What can only be seen while it happens: who has nothing to do, and who is drained.
#[derive(Debug)]
pub(super) struct Watch {
    from: Timestamp,
    origin: Timestamp,
    width: Duration,
    /// Idle and draining, bin by bin.
    seen: Vec<(Duration, Duration)>,
    /// The queue's own count so far.
    idle: Duration,
}

impl Watch {
    /// Bins begin at midnight in `zone`, so that they are hours and days of people.
    pub(super) fn new(from: Timestamp, last: Timestamp, zone: &jiff::tz::TimeZone) -> Self {
        let span = time::since(last, from).as_secs_f64();
        let fits = |minutes: &u64| span <= seconds_of(*minutes) * BINS_AT_FIRST;
        let minutes = WIDTHS.into_iter().find(fits).unwrap_or(1440);
        let width = Duration::from_mins(minutes);
        let midnight = from.to_zoned(zone.clone()).start_of_day();
        let midnight = midnight.map_or(from, |midnight| midnight.timestamp());
        let before = u32::try_from(nth(midnight, width, from)).unwrap_or(0);
        let origin = time::after(midnight, width * before);
        Self { from, origin, width, seen: Vec::new(), idle: Duration::ZERO }
    }

    /// One turn: `idle` is what the queue has counted at its end, `draining` the servers meanwhile.
    pub(super) fn turn(&mut self, span: (Timestamp, Timestamp), idle: Duration, draining: usize) {
        let drained = time::since(span.1, span.0) * u32::try_from(draining).unwrap_or(u32::MAX);
        let rested = idle.saturating_sub(self.idle);
        self.idle = idle;
        while nth(self.origin, self.width, span.1) >= BINS_AT_MOST {
            self.join();
        }
        if rested.is_zero() && drained.is_zero() {
            return;
        }
        for (nth, share) in parts(self.origin, self.width, span) {
            if self.seen.len() <= nth {
                self.seen.resize(nth + 1, (Duration::ZERO, Duration::ZERO));
            }
            if let Some((idle, draining)) = self.seen.get_mut(nth) {
                *idle += rested.mul_f64(share);
                *draining += drained.mul_f64(share);
            }
        }
    }

    /// Every two bins become one.
    fn join(&mut self) {
        self.width *= 2;
        let pair = |pair: &[(Duration, Duration)]| {
            (pair.iter().map(|seen| seen.0).sum(), pair.iter().map(|seen| seen.1).sum())
        };
        self.seen = self.seen.chunks(2).map(pair).collect();
    }

    /// Adds what is known when all is over.
    pub(super) fn series(
        self,
        state: &State,
        (fleet, trace): (&FleetName, &Trace),
        goal: Duration,
        prices: &PriceList,
    ) -> Series {
        let to = state.world.now();
        let count = nth(self.origin, self.width, to) + 1;
        let Self { from, origin, width, seen, .. } = self;
        let mut series = Series { from, to, origin, width, bins: vec![Bin::default(); count] };
        // Where only lengths are known, nobody knows who is idle.
        let counts = matches!(trace, Trace::Jobs(_));
        for (bin, (idle, draining)) in series.bins.iter_mut().zip(seen) {
            bin.idle = if counts { idle } else { Duration::ZERO };
            bin.draining = draining;
        }
        let mut lives = Vec::new();
        for machine in state.world.machines() {
            series.machine(machine, prices);
            let billed = machine.billed(to);
            if !billed.is_zero() {
                let ends = time::after(machine.launched_at, billed);
                lives.extend([(machine.launched_at, true), (ends, false)]);
            }
        }
        series.heights(lives, |bin, most| bin.most = most);
        if let Trace::Lengths(lengths) = trace {
            series.lengths(lengths);
        } else if let Some(queue) = state.queues.get(fleet) {
            series.waits(queue, goal);
            let waits = queue.waits().filter(|(from, to)| *to != Some(*from));
            let waiting = waits
                .flat_map(|(from, to)| [Some((from, true)), to.map(|to| (to, false))])
                .flatten()
                .collect();
            series.heights(waiting, |bin, most| bin.waiting = most);
        }
        series
    }
}

fn seconds_of(minutes: u64) -> f64 {
    Duration::from_mins(minutes).as_secs_f64()
}
