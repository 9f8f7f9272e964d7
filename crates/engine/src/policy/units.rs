//! Spans of time and rates as people write them: `5m`, `1h30m`, `5 per 10m`.

use std::time::Duration;

use crate::model::rate::Rate;

/// The units, longest first, with their seconds and the words people try instead.
const UNITS: [(&str, u64, &[&str]); 4] = [
    ("d", 86_400, &["day", "days"]),
    ("h", 3_600, &["hr", "hrs", "hour", "hours"]),
    ("m", 60, &["min", "mins", "minute", "minutes"]),
    ("s", 1, &["sec", "secs", "second", "seconds"]),
];

/// Why a text is not a span of time or a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("a number without a unit")]
    NoUnit(String),
    #[error("an unknown unit")]
    UnknownUnit { number: String, unit: String, meant: Option<&'static str> },
    #[error("units out of order")]
    Order,
    #[error("a fraction")]
    Fraction,
    #[error("too long a time")]
    TooLong,
    #[error("not a span of time")]
    NotASpan,
    #[error("not a rate")]
    NotARate,
}

impl UnitError {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoUnit(n) => format!("add a unit: `{n}s`, `{n}m`, `{n}h` or `{n}d`"),
            Self::UnknownUnit { number, meant: Some(unit), .. } => {
                format!("write `{number}{unit}`")
            }
            Self::UnknownUnit { meant: None, .. } => {
                "the units are `s`, `m`, `h` and `d`".to_owned()
            }
            Self::Order => "write each unit once, the largest first: `1h30m`".to_owned(),
            Self::Fraction => "write whole numbers: `1h30m`, not `1.5h`".to_owned(),
            Self::TooLong => "the longest is a year".to_owned(),
            Self::NotASpan => "write a number and a unit: `45m`, `1h30m`".to_owned(),
            Self::NotARate => "write a number and a span of time: `5 per 10m`".to_owned(),
        }
    }
}

/// Reads `45m`, `1h30m`, `2d`, `0s`: whole numbers, each with its unit, the largest unit first.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    let mut larger = u64::MAX;
    if rest.is_empty() {
        return Err(UnitError::NotASpan);
    }
    while !rest.is_empty() {
        let (digits, after) = cut(rest, |c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(UnitError::NotASpan);
        }
        if after.starts_with(['.', ',']) {
            return Err(UnitError::Fraction);
        }
        let (word, after) = cut(after.trim_start(), |c| !c.is_ascii_digit() && c != ' ');
        if word.is_empty() {
            return Err(UnitError::NoUnit(digits.to_owned()));
        }
        let size = size_of(digits, word)?;
        if size >= larger {
            return Err(UnitError::Order);
        }
        larger = size;
        seconds = digits
            .parse()
            .ok()
            .and_then(|n: u64| n.checked_mul(size))
            .and_then(|n| n.checked_add(seconds))
            .filter(|n| *n <= 366 * 86_400)
            .ok_or(UnitError::TooLong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads `5 per 10m`.
pub fn rate(text: &str) -> Result<Rate, UnitError> {
    let (count, per) = text.split_once("per").ok_or(UnitError::NotARate)?;
    let count = count.trim().parse().map_err(|_| UnitError::NotARate)?;
    let per = duration(per)?;
    if per.is_zero() { Err(UnitError::NotARate) } else { Ok(Rate { count, per }) }
}

fn size_of(digits: &str, word: &str) -> Result<u64, UnitError> {
    let known = UNITS.iter().find(|(unit, ..)| *unit == word);
    known.map(|(_, size, _)| *size).ok_or_else(|| {
        let lower = word.to_lowercase();
        let meant =
            UNITS.iter().find(|(unit, _, words)| *unit == lower || words.contains(&lower.as_str()));
        UnitError::UnknownUnit {
            number: digits.to_owned(),
            unit: word.to_owned(),
            meant: meant.map(|(unit, ..)| *unit),
        }
    })
}

/// The longest beginning whose characters all satisfy `part`, and the rest.
fn cut(text: &str, part: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !part(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        let good =
            [("0s", 0), ("45m", 2_700), ("1h30m", 5_400), ("2d", 172_800), ("1d 2h 3m 4s", 93_784)];
        for (text, seconds) in good {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let bad = [
            ("5", UnitError::NoUnit("5".into())),
            ("1h30", UnitError::NoUnit("30".into())),
            (
                "5 min",
                UnitError::UnknownUnit { number: "5".into(), unit: "min".into(), meant: Some("m") },
            ),
            (
                "5M",
                UnitError::UnknownUnit { number: "5".into(), unit: "M".into(), meant: Some("m") },
            ),
            ("5w", UnitError::UnknownUnit { number: "5".into(), unit: "w".into(), meant: None }),
            ("30m1h", UnitError::Order),
            ("1m1m", UnitError::Order),
            ("1.5h", UnitError::Fraction),
            ("400d", UnitError::TooLong),
            ("99999999999999999999d", UnitError::TooLong),
            ("soon", UnitError::NotASpan),
            ("-5m", UnitError::NotASpan),
            ("", UnitError::NotASpan),
        ];
        for (text, error) in bad {
            assert_eq!(duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn rates() {
        let ten_minutes = Duration::from_mins(10);
        assert_eq!(rate("5 per 10m"), Ok(Rate { count: 5, per: ten_minutes }));
        for text in ["5", "5 per", "per 10m", "x per 10m", "5 per 0s", "5 / 10m", "-1 per 1h"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
