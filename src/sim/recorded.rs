//! The load that a daemon recorded, as a trace.

use super::trace::{Length, Reading as How, Spread, Trace, seconds, sorted};
use tidegate_engine::model::reading::{Depth, Reading};
use tidegate_engine::model::time::{self, Timestamp};

/// One interval between two readings that tell running totals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    pub begins: Timestamp,
    pub ends: Timestamp,
    pub arrivals: u64,
    /// `None`: no job ended, or nobody counted those that ran.
    pub runtime: Option<f64>,
}

/// How many arrived between each two readings that tell running totals, if any do; else `None`, and
/// only the lengths are known. What could not be read is passed over: totals count on meanwhile. An
/// interval over which a total was begun anew is left out.
pub fn bins_of(readings: &[Reading]) -> Option<Vec<Bin>> {
    let telling: Vec<(Timestamp, &Depth)> = readings
        .iter()
        .filter_map(|reading| Some((reading.at, reading.depth.as_ref().ok()?)))
        .filter(|(_, depth)| depth.work.arrived.is_some())
        .collect();
    let mut bins = Vec::new();
    for pair in telling.windows(2) {
        let [(begins, from), (ends, to)] = *pair else { continue };
        let grown = |from: Option<u64>, to: Option<u64>| to?.checked_sub(from?);
        let Some(arrivals) = grown(from.work.arrived, to.work.arrived) else { continue };
        let span = time::since(ends, begins).as_secs_f64();
        let float = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let runtime = from.work.running.zip(to.work.running).and_then(|(first, last)| {
            let ended = grown(from.work.completed, to.work.completed).filter(|n| *n > 0)?;
            Some(f64::midpoint(float(first), float(last)) * span / float(ended))
        });
        bins.push(Bin { begins, ends, arrivals, runtime });
    }
    (!bins.is_empty()).then_some(bins)
}

/// The recorded load: jobs where the queue told running totals, else its lengths. An interval in
/// which no job ended takes the run time of the one before. `None`: nobody came.
pub fn recorded(readings: &[Reading], how: How) -> Option<Trace> {
    let Some(bins) = bins_of(readings) else {
        let known = |reading: &Reading| {
            let Depth { waiting, oldest, .. } = *reading.depth.as_ref().ok()?;
            Some(Length { at: reading.at, waiting, oldest })
        };
        let lengths: Vec<Length> = readings.iter().filter_map(known).collect();
        return (!lengths.is_empty()).then_some(Trace::Lengths(lengths));
    };
    let mut takes = bins.iter().find_map(|bin| bin.runtime).map_or(how.job_takes, seconds);
    let mut spread = Spread::new(how.seed);
    for bin in &bins {
        takes = bin.runtime.map_or(takes, seconds);
        spread.bin(bin.begins, time::since(bin.ends, bin.begins), bin.arrivals, takes);
    }
    sorted(spread.jobs).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tidegate_engine::model::reading::Work;

    fn at(n: u64) -> Timestamp {
        time::after("2026-03-02T08:00:00Z".parse().unwrap(), Duration::from_secs(n * 300))
    }

    fn told(n: u64, arrived: Option<u64>, completed: Option<u64>) -> Reading {
        let work = Work { running: Some(2), arrived, completed, busy: None };
        Reading { at: at(n), depth: Ok(Depth { work, ..Depth::of(1) }) }
    }

    #[test]
    fn recorded_totals_become_bins() {
        let readings = [
            told(0, Some(10), Some(5)),
            told(1, Some(16), Some(10)),
            // Begun anew, and then a gap.
            told(2, Some(3), Some(1)),
            Reading::unreadable(at(3), "HTTP 503"),
            told(4, Some(9), Some(6)),
            told(5, Some(9), Some(6)),
        ];
        let bin = |begins, ends, arrivals, runtime| Bin {
            begins: at(begins),
            ends: at(ends),
            arrivals,
            runtime,
        };
        let bins = bins_of(&readings).unwrap();
        let known = [bin(0, 1, 6, Some(120.0)), bin(2, 4, 6, Some(240.0)), bin(4, 5, 0, None)];
        assert_eq!(bins, known);
        assert_eq!(bins_of(&[Reading::known(at(0), 1), Reading::known(at(1), 2)]), None);
    }

    #[test]
    fn what_was_recorded_is_a_load() {
        let how = How { start: at(0), job_takes: Duration::from_mins(1), seed: 1 };
        let totals =
            [told(0, Some(0), Some(0)), told(1, Some(3), Some(0)), told(2, Some(5), Some(5))];
        let Some(Trace::Jobs(jobs)) = recorded(&totals, how) else { panic!("no jobs") };
        let span = |n: u64| (at(n), at(n + 1));
        let within = |(from, to): (Timestamp, Timestamp)| {
            jobs.iter().filter(|job| job.arrives >= from && job.arrives <= to).count()
        };
        assert_eq!((jobs.len(), within(span(0)), within(span(1))), (5, 3, 2));
        assert!(jobs.iter().all(|job| job.takes == Duration::from_mins(2)));
        let lengths = [Reading::known(at(0), 4), Reading::unreadable(at(1), "HTTP 503")];
        let Some(Trace::Lengths(lengths)) = recorded(&lengths, how) else { panic!("no lengths") };
        assert_eq!(lengths, [Length { at: at(0), waiting: 4, oldest: None }]);
        assert!(recorded(&[], how).is_none());
    }
}
