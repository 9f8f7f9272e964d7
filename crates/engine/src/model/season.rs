//! What a queue's hours of the week are like: how many jobs come at each, as weeks before have
//! shown. Hours are UTC's: after a change of clocks they are an hour off until they are learned anew.

use std::time::Duration;

use super::time::{self, Timestamp};

const HOURS: usize = 168;
const HOUR: f64 = 3600.0;

/// An hour of a week counts as seen if it was watched for as much of it.
const WATCHED: f64 = HOUR / 2.0;

/// Weeks that must have shown an hour before anything is expected of it.
const WEEKS_NEEDED: u32 = 2;

/// Weeks that an hour's mean reaches back.
const WEEKS_REMEMBERED: u32 = 4;

/// How long what came is held against what was expected, in seconds.
const TRUST_FADES: f64 = 2.0 * HOUR;

/// Expected jobs below which being wrong means nothing.
const TRUST_NEEDS: f64 = 5.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Season {
    pub hours: Vec<Hour>,
    /// Jobs that came of late, and those that had been expected, fading alike.
    pub came: f64,
    pub expected: f64,
}

/// One hour of the week.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hour {
    /// Jobs a second, over the weeks that are done with it.
    pub rate: f64,
    pub weeks: u32,
    /// The week that is being watched, how long it was watched in this hour, and what came.
    pub week: i64,
    pub watched: f64,
    pub jobs: f64,
}

impl Default for Season {
    fn default() -> Self {
        Self { hours: vec![Hour::default(); HOURS], came: 0.0, expected: 0.0 }
    }
}

/// The week and the hour in it.
fn hour_of(at: Timestamp) -> (i64, usize) {
    let hours = at.as_second().div_euclid(3600);
    let (week, hour) = (hours.div_euclid(168), hours.rem_euclid(168));
    (week, usize::try_from(hour).unwrap_or(0))
}

impl Hour {
    /// This hour as it is known in `week`: the week that was watched last is done with, or is it.
    fn in_week(mut self, week: i64) -> Self {
        if self.week == week {
            return self;
        }
        if self.watched >= WATCHED {
            self.weeks = self.weeks.saturating_add(1);
            let weight = f64::from(self.weeks.min(WEEKS_REMEMBERED));
            self.rate += (self.jobs / self.watched - self.rate) / weight;
        }
        (self.week, self.watched, self.jobs) = (week, 0.0, 0.0);
        self
    }
}

impl Season {
    /// Takes in that so many jobs came between two readings.
    pub fn learn(&mut self, from: Timestamp, to: Timestamp, jobs: f64) {
        let span = time::since(to, from).as_secs_f64();
        if span <= 0.0 || span > HOUR {
            // Nobody watched: at which hour they came is not known.
            return;
        }
        let kept = (-span / TRUST_FADES).exp();
        self.expected = self.expected * kept + self.raw(from, to).unwrap_or(jobs);
        self.came = self.came * kept + jobs;
        // A span is short beside an hour: the hour of its middle has it all.
        let middle = time::after(from, Duration::from_secs_f64(span / 2.0));
        let (week, hour) = hour_of(middle);
        if let Some(hour) = self.hours.get_mut(hour) {
            *hour = hour.in_week(week);
            hour.watched += span;
            hour.jobs += jobs;
        }
    }

    /// What weeks before had in the span, if enough of them did.
    fn raw(&self, from: Timestamp, to: Timestamp) -> Option<f64> {
        let span = time::since(to, from).as_secs_f64();
        let middle = time::after(from, Duration::from_secs_f64(span / 2.0));
        let (week, hour) = hour_of(middle);
        let hour = self.hours.get(hour)?.in_week(week);
        (hour.weeks >= WEEKS_NEEDED).then_some(hour.rate * span)
    }

    /// How far the expectation has held of late: 1 if as many came, less if fewer did. That more
    /// came is for the queue to say.
    pub fn trust(&self) -> f64 {
        if self.expected < TRUST_NEEDS { 1.0 } else { (self.came / self.expected).min(1.0) }
    }

    /// How many jobs to expect in the span; none without enough weeks.
    pub fn expect(&self, from: Timestamp, to: Timestamp) -> f64 {
        self.raw(from, to).unwrap_or(0.0) * self.trust()
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::float_cmp, reason = "plain numbers of a test")]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-03-02T00:00:00Z".parse().unwrap()
    }

    fn minutes(n: u64) -> Timestamp {
        time::after(start(), Duration::from_mins(n))
    }

    /// A week of five-minute readings: nothing but ten jobs at each from nine to ten on Mondays.
    fn week(season: &mut Season, nth: u64, busy: f64) {
        for reading in 0..2016 {
            let at = nth * 10_080 + reading * 5;
            let jobs = if (540..600).contains(&(reading * 5)) { busy } else { 0.0 };
            season.learn(minutes(at), minutes(at + 5), jobs);
        }
    }

    fn expected(season: &Season, at: u64) -> f64 {
        season.expect(minutes(at), minutes(at + 5))
    }

    #[test]
    fn an_hour_is_expected_after_two_weeks_of_it() {
        let mut season = Season::default();
        let nine = |nth: u64| nth * 10_080 + 540;
        week(&mut season, 0, 10.0);
        assert_eq!(expected(&season, nine(1)), 0.0, "once is no habit");
        week(&mut season, 1, 20.0);
        for at in [nine(2), nine(2) + 5, nine(2) + 55] {
            assert!((expected(&season, at) - 15.0).abs() < 1e-9);
        }
        assert_eq!(expected(&season, nine(2) - 5), 0.0);
        assert_eq!(expected(&season, nine(2) + 60), 0.0);
    }

    #[test]
    fn an_expectation_that_fails_is_given_up_within_the_hour() {
        let mut season = Season::default();
        for nth in 0..3 {
            week(&mut season, nth, 10.0);
        }
        let nine = 3 * 10_080 + 540;
        // A holiday: nobody comes.
        let mut trusted = Vec::new();
        for reading in 0..12 {
            let at = nine + reading * 5;
            trusted.push(season.trust());
            season.learn(minutes(at), minutes(at + 5), 0.0);
        }
        assert_eq!(trusted[0], 1.0);
        assert!(trusted[1] < 0.01, "{trusted:?}");
        // The next day is trusted again.
        for reading in 0..288 {
            let at = nine + 60 + reading * 5;
            season.learn(minutes(at), minutes(at + 5), 0.0);
        }
        assert_eq!(season.trust(), 1.0);
    }

    #[test]
    fn that_more_came_is_not_extrapolated() {
        let mut season = Season::default();
        for nth in 0..3 {
            week(&mut season, nth, 10.0);
        }
        let nine = 3 * 10_080 + 540;
        season.learn(minutes(nine), minutes(nine + 5), 50.0);
        assert_eq!(season.trust(), 1.0);
    }
}
