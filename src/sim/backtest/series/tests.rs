//! What is drawn is what was counted, in few bins, with its maxima.

use super::*;
use crate::sim::rng::Rng;

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

fn at(minutes: u64) -> Timestamp {
    time::after(start(), Duration::from_mins(minutes))
}

fn empty(minutes: u64, width: u64) -> Series {
    let bins = vec![Bin::default(); usize::try_from(minutes.div_ceil(width)).unwrap()];
    let width = Duration::from_mins(width);
    Series { from: start(), to: at(minutes), origin: start(), width, bins }
}

/// Long runs after short traces, long traces, and traces that begin in the middle of a bin.
#[test]
fn there_are_never_many_bins_and_nothing_is_lost_in_them() {
    let zone = jiff::tz::TimeZone::get("America/Winnipeg").unwrap();
    for (trace, run) in [(0, 3000), (1440, 4320), (17, 17), (525_600, 528_480), (576_000, 579_000)]
    {
        let mut watch = Watch::new(at(7), at(7 + trace), &zone);
        let mut idle = Duration::ZERO;
        let mut now = 0;
        while now < run {
            idle += Duration::from_secs(now % 3);
            watch.turn((at(7 + now), at(14 + now)), idle, 1);
            now += 7;
        }
        let (rested, drained) = watch.seen.iter().fold((0.0, 0.0), |(rested, drained), seen| {
            (rested + seen.0.as_secs_f64(), drained + seen.1.as_secs_f64())
        });
        assert!(watch.seen.len() <= BINS_AT_MOST, "{trace}: {}", watch.seen.len());
        assert!((rested - idle.as_secs_f64()).abs() < 0.01, "{trace}: {rested} of {idle:?}");
        let whole = Duration::from_mins(now).as_secs_f64();
        assert!((drained - whole).abs() < 0.01, "{trace}: {drained} of {whole}");
    }
}

#[test]
fn bins_begin_with_the_hours_of_the_zone() {
    let zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
    let watch = Watch::new(at(7), at(7 + 20 * 1440), &zone);
    let begins = watch.origin.to_zoned(zone);
    assert_eq!((begins.minute(), begins.second()), (0, 0));
    assert!(watch.origin <= at(7) && at(7) < time::after(watch.origin, watch.width));
}

#[test]
fn the_highest_sum_of_each_bin_is_kept() {
    let mut whims = Rng::new(5, "waits");
    let mut spans = Vec::new();
    for _ in 0..400 {
        let from = whims.between(Duration::ZERO, Duration::from_mins(1400));
        let long = whims.exponential(Duration::from_mins(9)) + Duration::from_secs(1);
        spans.push((time::after(start(), from), time::after(start(), from + long)));
    }
    let mut series = empty(1500, 10);
    let events = spans.iter().flat_map(|(from, to)| [(*from, true), (*to, false)]).collect();
    series.heights(events, |bin, most| bin.waiting = most);
    let mut moments: Vec<Timestamp> = spans.iter().map(|(from, _)| *from).collect();
    moments.extend((0..150).map(|nth| at(nth * 10)));
    for (nth, bin) in series.bins.iter().enumerate() {
        let here = moments.iter().filter(|at| series.nth(**at) == nth);
        let sums = here.map(|at| spans.iter().filter(|(from, to)| from <= at && at < to).count());
        assert_eq!(usize::try_from(bin.waiting).unwrap(), sums.max().unwrap(), "bin {nth}");
    }
    let lengths = [(5, 3), (12, 9), (14, 1), (45, 0)];
    let lengths = lengths.map(|(n, waiting)| Length { at: at(n), waiting, oldest: None });
    series.lengths(&lengths);
    let most: Vec<u64> = series.bins.iter().take(6).map(|bin| bin.waiting).collect();
    assert_eq!(most, [3, 9, 1, 1, 1, 0]);
}

#[test]
fn a_span_falls_into_its_bins() {
    let parts = |from, to| -> Vec<(usize, f64)> {
        parts(start(), Duration::from_mins(10), (at(from), at(to))).collect()
    };
    assert_eq!(parts(5, 25), [(0, 0.25), (1, 0.5), (2, 0.25)]);
    assert_eq!(parts(10, 20), [(1, 1.0)]);
    assert_eq!(parts(20, 20), [(2, 1.0)]);
}

#[test]
fn what_nothing_changes_in_any_more_is_known() {
    let mut series = empty(600, 10);
    assert_eq!(series.still_from(), at(10));
    for bin in series.bins.iter_mut().take(20) {
        bin.came = 1;
    }
    assert_eq!(series.still_from(), at(210));
    series.bins.last_mut().unwrap().came = 1;
    assert_eq!(series.still_from(), at(600));
}
