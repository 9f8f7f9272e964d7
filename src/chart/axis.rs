//! Axes: round figures from zero up, and times of the day and the calendar that people count in.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};

use tidegate_engine::model::time::{self, Timestamp};

/// From zero to a round figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    pub top: f64,
    pub ticks: Vec<(f64, String)>,
}

/// An axis has so many intervals at most.
const INTERVALS: f64 = 4.0;

impl Scale {
    fn by(most: f64, step: f64, label: impl Fn(f64) -> String) -> Self {
        let intervals = (most / step - 1e-9).ceil().max(1.0);
        let mut ticks = Vec::new();
        let mut n = 0.0;
        while n <= intervals {
            ticks.push((n * step, label(n * step)));
            n += 1.0;
        }
        Self { top: intervals * step, ticks }
    }

    /// Things that are counted: no halves.
    pub fn counts(most: f64) -> Self {
        Self::by(most, decimal(most).max(1.0), |count| grouped(&format!("{count:.0}")))
    }

    pub fn dollars(most: f64) -> Self {
        let step = decimal(most).max(0.01);
        let digits = if step < 1.0 { 2 } else { 0 };
        Self::by(most, step, |dollars| format!("${}", grouped(&format!("{dollars:.digits$}"))))
    }

    pub fn spans(most: Duration) -> Self {
        let minutes = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720];
        let minutes = minutes.into_iter().map(|n| f64::from(n) * 60.0);
        let seconds = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
        let most = most.as_secs_f64();
        let fits = |step: &f64| most <= step * INTERVALS;
        let days = || (decimal(most / 86_400.0).max(1.0)) * 86_400.0;
        let step = seconds.into_iter().chain(minutes).find(fits).unwrap_or_else(days);
        Self::by(most, step, |span| {
            if span == 0.0 { "0".to_owned() } else { time::text(Duration::from_secs_f64(span)) }
        })
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that leaves few enough intervals.
fn decimal(most: f64) -> f64 {
    let least = (most / INTERVALS).max(1e-6);
    let power = 10_f64.powf((least.log10() + 1e-9).floor());
    let fits = |step: &f64| *step * (1.0 + 1e-9) >= least;
    [power, 2.0 * power, 5.0 * power].into_iter().find(fits).unwrap_or(10.0 * power)
}

/// `12 345`, with a narrow space that does not break.
pub fn grouped(figure: &str) -> String {
    let (whole, rest) = figure.split_once('.').map_or((figure, ""), |parts| parts);
    let mut out = String::new();
    for (nth, digit) in whole.chars().enumerate() {
        let left = whole.len().saturating_sub(nth);
        if nth > 0 && whole.len() > 4 && left.is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if rest.is_empty() { out } else { format!("{out}.{rest}") }
}

/// A time on the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub at: Timestamp,
    pub label: String,
    /// Left out where there is little room.
    pub spare: bool,
}

/// A time axis has so many ticks at most.
const TICKS: f64 = 9.0;

/// The round times of `zone` within a span.
pub fn times(from: Timestamp, to: Timestamp, zone: &TimeZone) -> Vec<Tick> {
    let minutes = time::since(to, from).as_secs_f64() / 60.0;
    let fits = |step: &i64| minutes <= f64::from(i32::try_from(*step).unwrap_or(i32::MAX)) * TICKS;
    let within_days = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720];
    let days = [1, 2, 7, 14];
    let first = from.to_zoned(zone.clone()).datetime();
    let midnight = first.date().at(0, 0, 0, 0);
    let mut ticks = if let Some(step) = within_days.into_iter().find(fits) {
        stepped(midnight, step.minutes(), (from, to), zone, "%H:%M")
    } else if let Some(step) = days.into_iter().find(|days| fits(&(days * 1440))) {
        let back = if step < 7 { 0 } else { first.date().weekday().to_monday_zero_offset() };
        let monday = midnight.checked_sub(i64::from(back).days()).unwrap_or(midnight);
        stepped(monday, step.days(), (from, to), zone, "%-d %b")
    } else {
        let months = [1, 2, 3, 6].into_iter().find(|months| fits(&(months * 43_200)));
        let year = Date::new(first.year(), 1, 1).map_or(midnight, |date| date.at(0, 0, 0, 0));
        stepped(year, months.unwrap_or(12).months(), (from, to), zone, "%b %Y")
    };
    // Every other is spare, but not midnight.
    let days = |tick: &Tick| tick.label.contains(' ');
    let kept = ticks.iter().position(days).unwrap_or(0) % 2;
    for (nth, tick) in ticks.iter_mut().enumerate() {
        tick.spare = nth % 2 != kept;
    }
    ticks
}

fn stepped(
    start: DateTime,
    step: Span,
    (from, to): (Timestamp, Timestamp),
    zone: &TimeZone,
    format: &str,
) -> Vec<Tick> {
    let mut ticks: Vec<Tick> = Vec::new();
    let mut n = 0;
    while let Ok(civil) = step.checked_mul(n).and_then(|span| start.checked_add(span)) {
        n += 1;
        let Ok(zoned) = civil.to_zoned(zone.clone()) else { break };
        let at = zoned.timestamp();
        if at > to {
            break;
        }
        // An hour that the clock skips is told once.
        if at >= from && ticks.last().is_none_or(|last| last.at < at) {
            let midnight = format == "%H:%M" && zoned.hour() == 0 && zoned.minute() == 0;
            let label = zoned.strftime(if midnight { "%a %-d %b" } else { format }).to_string();
            ticks.push(Tick { at, label, spare: false });
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn axes_are_round_and_reach_over_what_they_show() {
        assert_eq!(labels(&Scale::counts(0.0)), ["0", "1"]);
        assert_eq!(labels(&Scale::counts(3.0)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Scale::counts(37.0)), ["0", "10", "20", "30", "40"]);
        assert_eq!(labels(&Scale::counts(40_000.0)).last(), Some(&"40\u{202f}000"));
        assert_eq!(labels(&Scale::dollars(0.0)), ["$0.00", "$0.01"]);
        assert_eq!(labels(&Scale::dollars(1.7)), ["$0.00", "$0.50", "$1.00", "$1.50", "$2.00"]);
        assert_eq!(labels(&Scale::dollars(300.0)), ["$0", "$100", "$200", "$300"]);
        let spans = |secs| Scale::spans(Duration::from_secs(secs));
        assert_eq!(labels(&spans(0)), ["0", "1s"]);
        assert_eq!(labels(&spans(1080)), ["0", "5m", "10m", "15m", "20m"]);
        assert_eq!(labels(&spans(3 * 3600)), ["0", "1h", "2h", "3h"]);
        assert_eq!(labels(&spans(9 * 86_400)), ["0", "5d", "10d"]);
        for most in [0.3, 1.0, 7.0, 99.0, 101.0, 12_345.6, 9.9e9] {
            for scale in [
                Scale::counts(most),
                Scale::dollars(most),
                Scale::spans(Duration::from_secs_f64(most)),
            ] {
                assert!(scale.top >= most, "{most}: {scale:?}");
                assert!((2..=6).contains(&scale.ticks.len()), "{most}: {scale:?}");
            }
        }
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let zone = TimeZone::get("America/Winnipeg").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let labels = |from, to| -> Vec<String> {
            times(at(from), at(to), &zone).into_iter().map(|tick| tick.label).collect()
        };
        // The clock goes forward at 02:00.
        assert_eq!(
            labels("2026-03-08T05:30:00Z", "2026-03-08T10:30:00Z"),
            ["Sun 8 Mar", "01:00", "03:00", "04:00", "05:00"]
        );
        let day = labels("2026-03-02T05:59:00Z", "2026-03-03T06:30:00Z");
        assert_eq!(day.first().map(String::as_str), Some("Mon 2 Mar"));
        assert_eq!(day.get(1).map(String::as_str), Some("03:00"));
        assert_eq!(
            labels("2026-03-02T06:00:00Z", "2026-03-30T06:00:00Z"),
            ["2 Mar", "9 Mar", "16 Mar", "23 Mar", "30 Mar"]
        );
        assert_eq!(
            labels("2026-01-01T06:00:00Z", "2026-12-31T06:00:00Z"),
            ["Jan 2026", "Mar 2026", "May 2026", "Jul 2026", "Sep 2026", "Nov 2026"]
        );
        let ticks = times(at("2026-03-02T10:00:00Z"), at("2026-03-03T20:00:00Z"), &zone);
        let midnight = ticks.iter().find(|tick| tick.label == "Tue 3 Mar").unwrap();
        assert!(!midnight.spare && ticks.iter().any(|tick| tick.spare), "{ticks:?}");
        assert!(times(at("2026-03-02T10:00:00Z"), at("2026-03-02T10:00:00Z"), &zone).len() <= 1);
    }
}
