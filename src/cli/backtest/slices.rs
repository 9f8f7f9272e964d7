//! Stretches of a run with their figures: the rows behind the charts, and what the pointer tells.

use std::time::Duration;

use super::Column;
use super::page::stretch;
use crate::chart::Slice;
use crate::sim::backtest::series::{Bin, Series};
use tidegate_engine::model::time::{self, Timestamp};

/// A stretch of time with its figures.
pub(super) struct Row {
    pub slice: Slice,
    pub bin: Bin,
}

/// More rows nobody reads.
const ROWS_AT_MOST: usize = 49;

/// Bins that make a row: as few as leave few enough rows, and whole hours or days of people.
fn bins_in_a_row(series: &Series, drawn: usize) -> usize {
    let fits = |bins: usize| drawn.div_ceil(bins) <= ROWS_AT_MOST;
    let round = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 7200, 10_080];
    let width = series.width.as_secs();
    let counts = round.into_iter().map(|minutes| minutes * 60).filter(|row| row % width == 0);
    let mut counts = counts.filter_map(|row: u64| usize::try_from(row.div_euclid(width)).ok());
    counts.find(|bins| fits(*bins)).unwrap_or_else(|| drawn.div_ceil(ROWS_AT_MOST))
}

/// How many bins of the first row came before the run: rows begin anew at midnight.
fn lacking(series: &Series, bins: usize, midnight: Timestamp) -> usize {
    let since = time::since(series.origin, midnight).as_secs();
    let before = since.checked_div(series.width.as_secs()).unwrap_or(0);
    usize::try_from(before).unwrap_or(0).checked_rem(bins).unwrap_or(0)
}

/// What comes after `until`, the end of the charts, is one row.
pub(super) fn slices(column: &Column, until: Timestamp) -> Vec<Row> {
    let series = &column.outcome.series;
    let drawn = (0..series.bins.len()).take_while(|nth| series.begins(*nth) < until).count();
    let bins = bins_in_a_row(series, drawn.max(1));
    let midnight = series.origin.to_zoned(column.zone.clone()).start_of_day();
    let midnight = midnight.map_or(series.origin, |midnight| midnight.timestamp());
    let mut slices = Vec::new();
    let mut paid = 0.0;
    let mut nth = 0;
    let mut take = bins - lacking(series, bins, midnight);
    while let Some(rest) = series.bins.get(nth..).filter(|rest| !rest.is_empty()) {
        let row = match drawn.checked_sub(nth) {
            None | Some(0) => rest,
            Some(left) => rest.get(..take.min(left)).unwrap_or(rest),
        };
        let bin = row.iter().fold(Bin::default(), |joined, bin| joined.joined(bin));
        let from = series.begins(nth).max(series.from);
        let to = series.begins(nth + row.len()).min(series.to);
        paid += column.due(&bin);
        let slice = Slice { from, to, text: told(column, (from, to), &bin, paid) };
        slices.push(Row { slice, bin });
        nth += row.len();
        take = bins;
    }
    slices
}

fn told(column: &Column, (from, to): (Timestamp, Timestamp), bin: &Bin, paid: f64) -> String {
    let span = time::since(to, from).max(Duration::from_secs(1));
    let mut lines = vec![format!("{}, {}", stretch(from, span, column), time::text(span))];
    lines.push(format!("waiting: {} at most", bin.waiting));
    if let Some(longest) = bin.longest {
        lines.push(format!("jobs: {}, longest wait {}", bin.came, time::text(longest)));
    }
    let mean = bin.servers.as_secs_f64() / span.as_secs_f64();
    lines.push(format!("servers: {mean:.1} on average, {} at most", bin.most));
    let cost = column.cost();
    if cost.known_part().is_some() {
        let part = if cost.whole().is_some() { "" } else { ", where the price is known" };
        lines.push(format!("cost so far: ${paid:.2}{part}"));
    }
    lines.join("\n")
}
