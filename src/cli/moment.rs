//! Moments as people write them on the command line: `14:02` today, `2026-06-09 14:02`, or in full.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use tidegate_engine::model::time::Timestamp;

/// A moment without an offset is one of `zone`. A time of day that has not come yet is yesterday's.
pub(super) fn parse(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, String> {
    let in_zone = |at: DateTime| at.to_zoned(zone.clone()).map(|at| at.timestamp()).ok();
    let today = now.to_zoned(zone.clone()).date();
    let of_day = |time: Time| {
        let at = in_zone(today.to_datetime(time))?;
        if at <= now { Some(at) } else { in_zone(today.yesterday().ok()?.to_datetime(time)) }
    };
    let text = text.trim();
    let date = |text: &str| text.parse::<Date>().ok().filter(|_| text.len() == "2026-06-09".len());
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let found = match (text, date(day), clock(time)) {
        ("now", _, _) => Some(now),
        ("yesterday", _, _) => {
            today.yesterday().ok().and_then(|day| in_zone(day.to_datetime(Time::midnight())))
        }
        (_, Some(day), None) if time.is_empty() => in_zone(day.to_datetime(Time::midnight())),
        (_, Some(day), Some(time)) => in_zone(day.to_datetime(time)),
        _ => clock(text).and_then(of_day).or_else(|| text.parse().ok()),
    };
    found.ok_or_else(|| {
        "write a moment as `14:02`, `2026-06-09 14:02` or 2026-06-09T14:02:10Z".to_owned()
    })
}

/// `14:02` or `14:02:10`.
fn clock(text: &str) -> Option<Time> {
    let format = if text.matches(':').count() > 1 { "%H:%M:%S" } else { "%H:%M" };
    Time::strptime(format, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_meant() {
        let zone = TimeZone::get("Europe/Dublin").unwrap();
        let now: Timestamp = "2026-06-09T12:00:00Z".parse().unwrap();
        let cases = [
            ("12:59", "2026-06-09T11:59:00Z"),
            ("13:01", "2026-06-08T12:01:00Z"),
            ("09:10:11", "2026-06-09T08:10:11Z"),
            ("2026-06-01", "2026-05-31T23:00:00Z"),
            ("2026-02-01 08:00", "2026-02-01T08:00:00Z"),
            ("2026-06-01T08:00", "2026-06-01T07:00:00Z"),
            ("2026-06-01T08:00:05Z", "2026-06-01T08:00:05Z"),
            ("2026-06-01T08:00:05-05:00", "2026-06-01T13:00:05Z"),
            ("yesterday", "2026-06-07T23:00:00Z"),
            ("now", "2026-06-09T12:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, &zone, now), Ok(expected.parse().unwrap()), "{text}");
        }
        for wrong in ["", "25:00", "14", "2026-13-01", "2026-06-01 8", "soon"] {
            assert!(parse(wrong, &zone, now).is_err(), "{wrong}");
        }
    }
}
