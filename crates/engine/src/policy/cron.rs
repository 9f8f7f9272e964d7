//! Cron expressions as crontab knows them: five fields, with names. [`super::firing`] finds when one
//! fires.

use crate::model::fault::printable;

/// A cron expression that fires again and again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cron {
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) days: Values,
    pub(super) months: Values,
    /// Sunday is 0.
    pub(super) weekdays: Values,
    /// Whether a day must match both of its fields; else one of them is enough.
    pub(super) narrows: bool,
    /// Whether the minute or the hour begins with `*`. As in Vixie cron, such a line follows the wall
    /// clock through a change of the clocks, and any other fires once for each stated time.
    pub(super) follows_wall: bool,
}

/// The values of a field, each of them under 64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Values(u64);

impl Values {
    fn add(&mut self, value: u32) {
        self.0 |= 1_u64.checked_shl(value).unwrap_or(0);
    }

    fn up_to(most: u32) -> Self {
        let mut values = Self::default();
        (0..=most).for_each(|value| values.add(value));
        values
    }

    fn has_all(self, least: i8, most: i8) -> bool {
        (least..=most).all(|value| self.has(value))
    }

    pub(super) fn has(self, value: i8) -> bool {
        self.from(value) == Some(value)
    }

    /// Returns the least value that is `least` or more.
    pub(super) fn from(self, least: i8) -> Option<i8> {
        let shift = u32::try_from(least.max(0)).ok()?;
        let rest = self.0.checked_shr(shift)?.checked_shl(shift)?;
        i8::try_from(rest.trailing_zeros()).ok().filter(|value| *value < 64)
    }

    /// Returns the greatest value that is `most` or less.
    pub(super) fn until(self, most: i8) -> Option<i8> {
        let unused = 63_u32.checked_sub(u32::try_from(most).ok()?)?;
        let rest = self.0.checked_shl(unused)?.checked_shr(unused)?;
        i8::try_from(63_u32.checked_sub(rest.leading_zeros())?).ok()
    }
}

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

impl Cron {
    /// Whether it fires at every minute of an hour.
    pub(super) fn fires_each_minute(&self) -> bool {
        self.minutes == Values::up_to(59)
    }

    /// Whether it fires every day, at every minute that follows one of `times`.
    pub(super) fn fires_right_after(&self, times: Times) -> bool {
        let days = self.days.has_all(1, 31);
        let weekdays = self.weekdays.has_all(0, 6);
        let every_day = if self.narrows { days && weekdays } else { days || weekdays };
        let hours = Values(times.within.0 | times.following.0);
        every_day
            && self.months.has_all(1, 12)
            && self.fires_each_minute()
            && hours.0 & !self.hours.0 == 0
    }
}

/// The hours of the minutes that follow the firings of some lines.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Of those that fire before the last minute of an hour.
    within: Values,
    /// Of those that fire at the last minute.
    following: Values,
}

impl Times {
    pub(super) fn add(&mut self, cron: &Cron) {
        if cron.minutes.from(0).is_some_and(|minute| minute < 59) {
            self.within.0 |= cron.hours.0;
        }
        if cron.minutes.has(59) {
            let after_midnight = u64::from(cron.hours.has(23));
            self.following.0 |= (cron.hours.0 << 1) & Values::up_to(23).0 | after_midnight;
        }
    }
}

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
    let [minute, hour, day, _, weekday] = fields[..] else { return Err(wrong_count(&fields)) };
    let values = fields
        .iter()
        .zip(&FIELDS)
        .map(|(text, field)| field.values(text))
        .collect::<Result<Vec<_>, _>>()?;
    let [minutes, hours, days, months, weekdays] = values[..] else {
        return Err(wrong_count(&fields));
    };
    let narrows = goes_by_both(day, weekday);
    let follows_wall = minute.starts_with('*') || hour.starts_with('*');
    let cron = Cron { minutes, hours, days, months, weekdays, narrows, follows_wall };
    if narrows && !some_month_has_its_days(&cron) {
        return Err(CronError::new(
            "no month of it has such a day",
            "check the day of the month against the month",
        ));
    }
    Ok(cron)
}

/// Whether the expression names days of the month and days of the week: cron fires on either.
pub(crate) fn names_two_kinds_of_day(text: &str) -> bool {
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
    let first = cron.days.from(1).unwrap_or(1);
    (1..=12).filter(|month| cron.months.has(*month)).any(|month| match month {
        2 => first <= 29,
        4 | 6 | 9 | 11 => first <= 30,
        _ => true,
    })
}

/// Whether some of an expression's fields are an expression. Of another number of them it is not asked:
/// each question would ask two of its own.
fn is_whole(fields: &[&str]) -> bool {
    fields.len() == FIELDS.len() && parse(&fields.join(" ")).is_ok()
}

fn wrong_count(fields: &[&str]) -> CronError {
    let message = format!("{} fields where cron has five", fields.len());
    match fields {
        [_, rest @ ..] if is_whole(rest) => {
            CronError::new(message, format!("without seconds: `{}`", rest.join(" ")))
        }
        [rest @ .., _] if is_whole(rest) => {
            CronError::new(message, format!("without a year: `{}`", rest.join(" ")))
        }
        _ => CronError::new(
            message,
            "minute, hour, day of month, month, day of week, in quotes: \"0 8 * * mon-fri\"",
        ),
    }
}

impl Field {
    /// Returns the values that a field names.
    fn values(&self, text: &str) -> Result<Values, CronError> {
        let mut values = Values::default();
        for part in text.split(',') {
            let (low, high, step) = self.part(part)?;
            // Both 0 and 7 are Sunday.
            let of_day = |value| if self.high == 7 && value == 7 { 0 } else { value };
            let mut value = low;
            while value <= high {
                values.add(of_day(value));
                value = value.saturating_add(step.max(1));
            }
        }
        Ok(values)
    }

    /// Returns the first and last value and the step of `*`, `5` or `1-5`, the first and last of which
    /// may have a `/step`.
    fn part(&self, text: &str) -> Result<(u32, u32, u32), CronError> {
        let (range, step) = text.split_once('/').map_or((text, None), |(r, s)| (r, Some(s)));
        let ending = step.map_or_else(String::new, |step| format!("/{step}"));
        let each = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(each)) if (1..=self.high).contains(&each) => each,
            Some(_) => {
                let message = format!("{}: no step `{}`", self.name, step.unwrap_or_default());
                let remedy = format!("a step of the {} is 1 to {}", self.name, self.high);
                return Err(CronError::new(message, remedy));
            }
        };
        if range == "*" {
            return Ok((self.low, self.high, each));
        }
        let Some((first, last)) = range.split_once('-') else {
            let value = self.value(range)?;
            if step.is_some() {
                let message = format!("{}: a step without a range", self.name);
                let remedy = format!("write `{range}-{}{ending}`", self.high);
                return Err(CronError::new(message, remedy));
            }
            return Ok((value, value, each));
        };
        let (low, mut high) = (self.value(first)?, self.value(last)?);
        if last == "sun" {
            high = 7;
        }
        if low > high {
            return Err(self.backwards((first, last), low, &ending));
        }
        Ok((low, high, each))
    }

    /// `first-last` is a range whose end comes before its beginning, `low`.
    fn backwards(&self, (first, last): (&str, &str), low: u32, ending: &str) -> CronError {
        let message = format!("{}: `{first}-{last}` runs backwards", self.name);
        let least = self.label(self.low);
        let remedy = if self.high == 7 && low == 7 {
            format!("Sunday is also 0: `{}-{last}{ending}`", self.low)
        } else {
            let most = self.label(if self.high == 7 { 6 } else { self.high });
            format!("write it in two: `{first}-{most}{ending},{least}-{last}{ending}`")
        };
        CronError::new(message, remedy)
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
