//! Rate limits over a sliding window.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::capacity::{Capacity, count};
use super::time::{self, Clocks, Timestamp};

/// So many in any window so long: `5 per 10m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: Capacity,
    pub per: Duration,
}

/// What a rate limit has let through within its window, and what it still lets through. Times in the
/// window are by EC2's clock, since the host's clock may be set meanwhile.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// `None`: nothing is limited.
    rate: Option<Rate>,
    /// Within the window, oldest first.
    spent: VecDeque<Timestamp>,
    clocks: Clocks,
}

/// A rate limit that lets no more through for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    pub rate: Rate,
    /// When the next may go through, by the host's clock.
    pub until: Timestamp,
}

impl Exhausted {
    /// The state in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        let until = time::local(self.until, zone);
        format!("{} is used up, the next from {until}", self.rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.count, time::text(self.per))
    }
}

impl RateLimit {
    /// Starts from the times, by EC2's clock, of what went through within the window.
    pub fn new(rate: Option<Rate>, spent: &[Timestamp], clocks: Clocks) -> Self {
        Self { rate, spent: spent.iter().copied().collect(), clocks }
    }

    /// Returns how many more go through now; `None`: any number.
    pub fn left(&self) -> Option<Capacity> {
        self.rate.map(|rate| rate.count.saturating_sub(count(&self.spent)))
    }

    /// Lets one more through, or returns until when none goes through.
    pub fn take(&mut self) -> Result<(), Exhausted> {
        if let Some(rate) = self.rate.filter(|_| self.left() == Some(0)) {
            return Err(self.exhausted(rate));
        }
        self.spent.push_back(self.clocks.ec2);
        Ok(())
    }

    /// Lets up to `wanted` more through, and returns how many.
    pub(crate) fn take_up_to(&mut self, wanted: Capacity) -> Capacity {
        (0..wanted).map_while(|_| self.take().ok()).fold(0, |taken, ()| taken.saturating_add(1))
    }

    /// Returns how many of `wanted` go through now, and until when no more do; `None`: all go through.
    pub fn after(&self, wanted: Capacity) -> Option<(Capacity, Exhausted)> {
        let mut rest = self.clone();
        let taken = rest.take_up_to(wanted);
        let rate = rest.rate.filter(|_| taken < wanted)?;
        Some((taken, rest.exhausted(rate)))
    }

    fn exhausted(&self, rate: Rate) -> Exhausted {
        let oldest = self.spent.front().copied().unwrap_or(self.clocks.ec2);
        let wait = time::since(time::after(oldest, rate.per), self.clocks.ec2);
        Exhausted { rate, until: time::after(self.clocks.host, wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> Timestamp {
        time::after(Timestamp::UNIX_EPOCH, Duration::from_mins(minute))
    }

    /// Two in any ten minutes, as of minute 20, with the host's clock three minutes ahead.
    fn limit(spent: &[u64]) -> RateLimit {
        let rate = Rate { count: 2, per: Duration::from_mins(10) };
        let spent: Vec<Timestamp> = spent.iter().map(|minute| at(*minute)).collect();
        RateLimit::new(Some(rate), &spent, Clocks { host: at(23), ec2: at(20) })
    }

    #[test]
    fn lets_through_what_is_left() {
        assert_eq!(limit(&[]).left(), Some(2));
        assert_eq!(limit(&[12]).take_up_to(5), 1);
        let mut limit = limit(&[12]);
        assert_eq!(limit.take(), Ok(()));
        // The one at minute 12 leaves the window at minute 22: in two minutes.
        assert_eq!(limit.take().unwrap_err().until, at(25));
    }

    #[test]
    fn after_names_the_part_that_goes_now_and_the_end() {
        assert_eq!(limit(&[12]).after(1), None);
        let (now, exhausted) = limit(&[12]).after(3).unwrap();
        assert_eq!((now, exhausted.until), (1, at(25)));
        let (now, exhausted) = limit(&[]).after(3).unwrap();
        assert_eq!((now, exhausted.until), (2, at(33)), "those of now leave the window last");
        assert_eq!(limit(&[13, 14]).after(1).map(|(now, _)| now), Some(0));
    }

    #[test]
    fn without_a_rate_lets_everything_through() {
        let mut limit = RateLimit::new(None, &[at(19); 9], Clocks { host: at(20), ec2: at(20) });
        assert_eq!((limit.left(), limit.take_up_to(7), limit.after(9)), (None, 7, None));
    }
}
