//! Cron expressions as crontab knows them: five fields, with names. croner reads more dialects
//! than one, and does not say which field is wrong, so the fields are checked here first.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::model::fault::printable;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl CronError {
    /// Both texts may quote the file, so both are made safe to print.
    pub(super) fn new(message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self { message: printable(message.as_ref(), 200), remedy: printable(remedy.as_ref(), 200) }
    }
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names of the values from `low` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    // Both 0 and 7 are Sunday.
    Field {
        name: "day of week",
        low: 0,
        high: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * sun"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Reads five fields: minute, hour, day of month, month, day of week. What is read fires again and
/// again: a day that no month has is refused, since a search for it would go on for thousands of years.
pub fn parse(text: &str) -> Result<Cron, CronError> {
    let text = text.trim().to_lowercase();
    let fields: Vec<&str> = text.split_whitespace().collect();
    if let Some((_, long)) = NICKNAMES.iter().find(|(short, _)| *short == text) {
        return Err(CronError::new("a nickname", format!("write `{long}`")));
    }
    if fields.len() != FIELDS.len() {
        return Err(wrong_count(&fields));
    }
    let mut numbers = fields
        .iter()
        .zip(&FIELDS)
        .map(|(text, field)| field.in_numbers(text))
        .collect::<Result<Vec<_>, _>>()?;
    let by_both = matches!(fields[..], [_, _, days, _, weekdays] if goes_by_both(days, weekdays));
    if by_both && let Some(weekdays) = numbers.last_mut() {
        // croner's word for it.
        weekdays.insert(0, '+');
    }
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(&numbers.join(" "))
        .map_err(|error| CronError::new("not a cron expression", error.to_string()))?;
    if by_both && !some_month_has_its_days(&cron) {
        return Err(CronError::new(
            "no month of it has such a day",
            "check the day of the month against the month",
        ));
    }
    Ok(cron)
}

/// Whether the expression names days of the month and days of the week: cron fires on either.
pub fn names_two_kinds_of_day(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    matches!(fields[..], [_, _, days, _, weekdays] if !goes_by_both(days, weekdays))
}

/// Whether a day must match both fields. As crontab has it, a field that begins with `*`, be it
/// `*/2`, only narrows the other one down.
fn goes_by_both(days: &str, weekdays: &str) -> bool {
    days.starts_with('*') || weekdays.starts_with('*')
}

/// Whether one of its months is as long as the first of its days.
fn some_month_has_its_days(cron: &Cron) -> bool {
    let first = cron.pattern.days.values().into_iter().min().unwrap_or(1);
    cron.pattern.months.values().into_iter().any(|month| match month {
        2 => first <= 29,
        4 | 6 | 9 | 11 => first <= 30,
        _ => true,
    })
}

fn wrong_count(fields: &[&str]) -> CronError {
    let message = format!("{} fields where cron has five", fields.len());
    match fields {
        [_, rest @ ..] if rest.len() == FIELDS.len() => {
            CronError::new(message, format!("without seconds: `{}`", rest.join(" ")))
        }
        _ => CronError::new(
            message,
            "minute, hour, day of month, month, day of week, in quotes: \"0 8 * * mon-fri\"",
        ),
    }
}

impl Field {
    /// The field with numbers for names: `mon-fri` is `1-5`, `sat-sun` is `6-7`.
    fn in_numbers(&self, text: &str) -> Result<String, CronError> {
        let parts: Result<Vec<_>, _> = text.split(',').map(|part| self.part(part)).collect();
        parts.map(|parts| parts.join(","))
    }

    /// `*`, `5`, `1-5`, and the first and last with `/step`.
    fn part(&self, text: &str) -> Result<String, CronError> {
        let (range, step) = text.split_once('/').map_or((text, None), |(r, s)| (r, Some(s)));
        let step = match step.map(|step| (step, step.parse::<u32>())) {
            None => String::new(),
            Some(_) if range != "*" && !range.contains('-') => {
                let remedy = format!("write `{range}-{}/STEP`", self.high);
                return Err(CronError::new(
                    format!("{}: a step without a range", self.name),
                    remedy,
                ));
            }
            Some((_, Ok(step))) if (1..=self.high).contains(&step) => format!("/{step}"),
            Some((step, _)) => {
                let remedy = format!("a step of the {} is 1 to {}", self.name, self.high);
                return Err(CronError::new(format!("{}: no step `{step}`", self.name), remedy));
            }
        };
        if range == "*" {
            return Ok(format!("*{step}"));
        }
        let Some((first, last)) = range.split_once('-') else {
            return self.value(range).map(|value| value.to_string());
        };
        let (low, mut high) = (self.value(first)?, self.value(last)?);
        if last == "sun" {
            high = 7;
        }
        if low > high {
            let message = format!("{}: `{range}` runs backwards", self.name);
            let remedy = format!(
                "write it in two: `{first}-{},{}-{last}`",
                self.label(if self.high == 7 { 6 } else { self.high }),
                self.label(self.low)
            );
            return Err(CronError::new(message, remedy));
        }
        Ok(format!("{low}-{high}{step}"))
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        let by_name = self.names.iter().position(|name| *name == text);
        by_name
            .and_then(|index| u32::try_from(index).ok())
            .and_then(|index| index.checked_add(self.low))
            .or_else(|| text.parse().ok().filter(|n| (self.low..=self.high).contains(n)))
            .ok_or_else(|| {
                let names = match self.names {
                    [first, .., last] => format!(", or {first} to {last}"),
                    _ => String::new(),
                };
                CronError::new(
                    format!("{}: no `{text}`", self.name),
                    format!("the {} is {} to {}{names}", self.name, self.low, self.high),
                )
            })
    }

    fn label(&self, value: u32) -> String {
        let index = value.checked_sub(self.low).and_then(|n| usize::try_from(n).ok());
        let name = index.and_then(|index| self.names.get(index));
        name.map_or_else(|| value.to_string(), |name| (*name).to_owned())
    }
}
