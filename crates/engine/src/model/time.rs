//! Instants and spans of time, and how they are told to people.

use std::time::Duration;

use jiff::SignedDuration;
pub use jiff::Timestamp;
use jiff::tz::TimeZone;

// A tick reckons with time some fifty times. Instants are taken for spans since 1970 here, since jiff's
// own sums also take calendar spans, and cost three times as much for it.

/// `at + span`, held at the end of time rather than overflowing.
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span)
        .ok()
        .and_then(|span| at.as_duration().checked_add(span))
        .and_then(|sum| Timestamp::from_duration(sum).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `at - span`, held at the beginning of time.
pub fn before(at: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span)
        .ok()
        .and_then(|span| at.as_duration().checked_sub(span))
        .and_then(|rest| Timestamp::from_duration(rest).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Returns the pause after the `n`th failure in a row: `base` after the first, doubled with each
/// further one, and never above `cap`.
pub fn backoff(base: Duration, n: u32, cap: Duration) -> Duration {
    let factor = 1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

/// The time by two clocks. The host's may be set by a person or by NTP at any moment; EC2's is not, so
/// that what must last so and so long in the world is measured by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    pub host: Timestamp,
    pub ec2: Timestamp,
}

impl Clocks {
    /// `ahead`: by how much the host's is ahead of EC2's; `None`: EC2 has not said what time it is,
    /// and the host's is as good as any.
    pub fn new(host: Timestamp, ahead: Option<SignedDuration>) -> Self {
        let ec2 = ahead.and_then(|ahead| host.checked_sub(ahead).ok());
        Self { host, ec2: ec2.unwrap_or(host) }
    }
}

/// How long ago `then` was at `now`; zero for an instant that has not come yet, since a clock that
/// stepped back must never make an age negative.
pub fn since(now: Timestamp, then: Timestamp) -> Duration {
    let age = now.as_duration().saturating_sub(then.as_duration());
    if age.is_negative() { Duration::ZERO } else { age.unsigned_abs() }
}

/// An instant as people read it: in the policy's zone, with its offset, to the second only where it
/// is not on the minute.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let format = if zoned.second() == 0 { "%Y-%m-%d %H:%M%:z" } else { "%Y-%m-%d %H:%M:%S%:z" };
    zoned.strftime(format).to_string()
}

/// Rewrites every instant in `text` that [`local`] wrote, into another zone. `None` where there is no
/// instant in it.
pub fn rezoned(text: &str, zone: &TimeZone) -> Option<String> {
    let (mut out, mut rest, mut at) = (String::new(), text, 0_usize);
    while at < rest.len() {
        if let Some((instant, length)) = rest.get(at..).and_then(leading_instant) {
            out.push_str(rest.get(..at)?);
            out.push_str(&local(instant, zone));
            rest = rest.get(at.saturating_add(length)..)?;
            at = 0;
        } else {
            at = at.saturating_add(1);
        }
    }
    (rest.len() < text.len()).then(|| out + rest)
}

/// Parses the instant that `text` begins with, in the form of [`local`], with its length in bytes.
fn leading_instant(text: &str) -> Option<(Timestamp, usize)> {
    let bytes = text.as_bytes();
    let is_date = [(4, b'-'), (7, b'-'), (10, b' ')];
    if !is_date.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
        return None;
    }
    // With seconds, and on the minute.
    ["2026-03-02 08:00:30-06:00", "2026-03-02 08:00-06:00"].iter().find_map(|form| {
        let instant = text.get(..form.len())?.parse().ok()?;
        Some((instant, form.len()))
    })
}

/// A span as the policy file writes it: `45m`, `1h30m`, `2d`, `0s`. Parts of a second are dropped,
/// except below one second.
pub fn text(span: Duration) -> String {
    let total = span.as_secs();
    if total == 0 && !span.is_zero() {
        return format!("{}ms", span.as_millis());
    }
    let units = [("d", 86_400_u64), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = total;
    let mut out = String::with_capacity("23h59m59s".len());
    for (unit, size) in units {
        let count = rest.checked_div(size).unwrap_or(0);
        if count > 0 {
            out.push_str(&count.to_string());
            out.push_str(unit);
        }
        rest = rest.checked_rem(size).unwrap_or(0);
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let (base, cap) = (Duration::from_secs(5), Duration::from_mins(1));
        let pauses: Vec<u64> = (0..8).map(|n| backoff(base, n, cap).as_secs()).collect();
        assert_eq!(pauses, [5, 5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(backoff(cap, 1, base), base, "the cap wins");
    }

    proptest! {
        #[test]
        fn backoff_never_shrinks_or_overflows(
            base in 0..u64::MAX,
            cap in 0..u64::MAX,
            n in prop_oneof![0..70_u32, any::<u32>()],
        ) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let (pause, next) = (backoff(base, n, cap), backoff(base, n.saturating_add(1), cap));
            prop_assert!(base.min(cap) <= pause && pause <= next && next <= cap);
            let doubled = pause.saturating_mul(if n == 0 { 1 } else { 2 });
            let far = n >= 32;
            prop_assert!(far || next == doubled.min(cap), "{pause:?} {next:?}");
        }
    }

    #[test]
    fn instants_in_a_text_are_moved_into_another_zone() {
        let (winnipeg, utc) = (TimeZone::get("America/Winnipeg").unwrap(), TimeZone::UTC);
        for (before, after) in [
            ("held until 2026-11-29 19:08:38-06:00: ü", "held until 2026-11-30 01:08:38+00:00: ü"),
            (
                "2026-07-01 00:00-05:00, 2026-07-01 01:00-05:00",
                "2026-07-01 05:00+00:00, 2026-07-01 06:00+00:00",
            ),
        ] {
            assert_eq!(rezoned(before, &utc).as_deref(), Some(after));
            assert_eq!(rezoned(after, &winnipeg).as_deref(), Some(before));
        }
        for other in
            ["", "2 -> 3: 22 jobs", "2026-11-29 is a day", "2026-99-29 19:08:38-06:00", "ü"]
        {
            assert_eq!(rezoned(other, &utc), None, "{other}");
        }
    }

    #[test]
    fn spans_read_as_they_are_written() {
        let cases = [(0, "0s"), (45 * 60, "45m"), (90 * 60, "1h30m"), (2 * 86_400 + 5, "2d5s")];
        for (secs, expected) in cases {
            assert_eq!(text(Duration::from_secs(secs)), expected);
        }
        assert_eq!(text(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn an_age_is_never_negative_and_time_has_ends() {
        let t = Timestamp::UNIX_EPOCH;
        assert_eq!(since(t, after(t, Duration::from_secs(5))), Duration::ZERO);
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(before(Timestamp::MIN, Duration::from_secs(1)), Timestamp::MIN);
    }
}
