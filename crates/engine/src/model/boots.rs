//! How long launches took.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How many boot times the median is taken over.
const KEPT: usize = 20;

/// So many measured boots outvote what the policy declares: a single slow one does not.
const KNOWN_FROM: usize = 3;

/// A boot time to go by before one has been measured: what a plain AMI with its deployment takes,
/// rather too long than too short, since `ready: true` promises capacity at the minute.
const UNMEASURED: Duration = Duration::from_mins(5);

/// From launch to in service, of the latest launches. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boots {
    /// Newest last.
    times: Arc<VecDeque<Duration>>,
    median: Option<Duration>,
}

impl Boots {
    pub fn learn(&mut self, took: Duration) {
        let times = Arc::make_mut(&mut self.times);
        times.push_back(took);
        while times.len() > KEPT {
            times.pop_front();
        }
        self.median = median(self.times());
    }

    /// Newest last.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.times.iter().copied()
    }

    /// The middle one of those measured; the lower of two middle ones.
    pub fn median(&self) -> Option<Duration> {
        self.median
    }

    /// Returns the median where enough boots have been measured to outvote a declaration.
    pub fn known(&self) -> Option<Duration> {
        self.median.filter(|_| self.times.len() >= KNOWN_FROM)
    }

    /// How long one takes: measured, or what is usual.
    pub fn usual(&self) -> Duration {
        self.median.unwrap_or(UNMEASURED)
    }
}

/// The middle one of boot times; the lower of two middle ones.
pub fn median(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) >> 1).copied()
}

impl FromIterator<Duration> for Boots {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut boots = Self::default();
        for took in times {
            boots.learn(took);
        }
        boots
    }
}
