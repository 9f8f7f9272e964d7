//! The simulated arrivals: jobs drawn by the hours of a day, or known beforehand.

use std::collections::VecDeque;
use std::time::Duration;

use super::interruption::Interruption;
use super::rng::Rng;
use tidegate_engine::model::time::{self, Timestamp};

/// A day's load: jobs an hour at each hour of the day, and how long one takes.
#[derive(Debug, Clone)]
pub struct Load {
    /// Jobs an hour, by hour of the day counted from `start`.
    pub per_hour: Vec<f64>,
    pub start: Timestamp,
    pub job_takes: Duration,
    /// Jobs that one server runs at once.
    pub jobs_at_once: usize,
    pub interruption: Interruption,
}

/// One job.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub arrives: Timestamp,
    pub takes: Duration,
}

/// Where jobs come from.
#[derive(Debug)]
pub(super) enum Arrivals {
    /// Drawn: candidates at the day's highest rate, thinned to each hour's own.
    Drawn { load: Load, whims: Rng, next: Timestamp },
    /// Known beforehand, in order.
    Given(VecDeque<Job>),
}

impl Arrivals {
    /// The arrivals of `load`, drawn from the seed and the queue's name.
    pub(super) fn drawn(load: Load, seed: u64, name: &str) -> Self {
        let (next, whims) = (load.start, Rng::new(seed, &format!("arrivals of {name}")));
        let mut arrivals = Self::Drawn { load, whims, next };
        arrivals.draw();
        arrivals
    }

    /// Returns when the next job arrives; `MAX` where none does.
    pub(super) fn next_at(&self) -> Timestamp {
        match self {
            Self::Drawn { next, .. } => *next,
            Self::Given(jobs) => jobs.front().map_or(Timestamp::MAX, |job| job.arrives),
        }
    }

    pub(super) fn take(&mut self) -> Option<Job> {
        match self {
            Self::Drawn { load, next, .. } => {
                let job = Job { arrives: *next, takes: load.job_takes };
                self.draw();
                Some(job)
            }
            Self::Given(jobs) => jobs.pop_front(),
        }
    }

    fn draw(&mut self) {
        let Self::Drawn { load, whims, next } = self else { return };
        let peak = load.per_hour.iter().copied().fold(0.0, f64::max);
        if peak <= 0.0 {
            *next = Timestamp::MAX;
            return;
        }
        let mean = Duration::from_secs_f64(3600.0 / peak);
        loop {
            *next = time::after(*next, whims.exponential(mean));
            if whims.chance(load.rate_at(*next) / peak) {
                return;
            }
        }
    }
}

impl Load {
    fn rate_at(&self, at: Timestamp) -> f64 {
        let hours = time::since(at, self.start).as_secs().div_euclid(3600);
        let len = u64::try_from(self.per_hour.len()).unwrap_or(1).max(1);
        let index = usize::try_from(hours % len).unwrap_or(0);
        self.per_hour.get(index).copied().unwrap_or(0.0)
    }
}
