//! The imagined work: jobs that arrive through the day, wait, and are run by the servers of a fleet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::rng::Rng;
use crate::model::instance::InstanceId;
use crate::model::reading::Depth;
use crate::model::time::{self, Timestamp};

/// A day's load: jobs an hour at each hour of the day, and how long one takes.
#[derive(Debug, Clone)]
pub struct Load {
    /// Jobs an hour, by hour of the day counted from `start`.
    pub per_hour: Vec<f64>,
    pub start: Timestamp,
    pub job_takes: Duration,
    /// Jobs that one server runs at once.
    pub jobs_at_once: usize,
}

/// A queue and what became of its jobs.
#[derive(Debug)]
pub struct Queue {
    load: Load,
    arrivals: Rng,
    next_arrival: Timestamp,
    waiting: VecDeque<Timestamp>,
    /// When each running job ends, by server.
    running: BTreeMap<InstanceId, Vec<Timestamp>>,
    now: Timestamp,
    pub waits: Vec<Duration>,
    pub done: u64,
    /// Jobs that a server's end interrupted; they wait again.
    pub interrupted: u64,
}

/// The rate at which candidates for arrivals are drawn is the day's highest; thinning them gives
/// each hour its own rate.
impl Queue {
    pub fn new(load: Load, seed: u64, name: &str) -> Self {
        let mut queue = Self {
            arrivals: Rng::new(seed, &format!("arrivals of {name}")),
            next_arrival: load.start,
            now: load.start,
            load,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            waits: Vec::new(),
            done: 0,
            interrupted: 0,
        };
        queue.draw_arrival();
        queue
    }

    fn peak(&self) -> f64 {
        self.load.per_hour.iter().copied().fold(0.0, f64::max)
    }

    fn rate_at(&self, at: Timestamp) -> f64 {
        let hours = time::since(at, self.load.start).as_secs().div_euclid(3600);
        let len = u64::try_from(self.load.per_hour.len()).unwrap_or(1).max(1);
        let index = usize::try_from(hours % len).unwrap_or(0);
        self.load.per_hour.get(index).copied().unwrap_or(0.0)
    }

    fn draw_arrival(&mut self) {
        let peak = self.peak();
        if peak <= 0.0 {
            self.next_arrival = Timestamp::MAX;
            return;
        }
        let mean = Duration::from_secs_f64(3600.0 / peak);
        loop {
            self.next_arrival = time::after(self.next_arrival, self.arrivals.exponential(mean));
            if self.arrivals.chance(self.rate_at(self.next_arrival) / peak) {
                return;
            }
        }
    }

    /// Lets time pass with these servers at work. A server that is not named any more has ended,
    /// and its jobs wait again.
    pub fn advance(&mut self, to: Timestamp, servers: &[InstanceId]) {
        let named: BTreeSet<&InstanceId> = servers.iter().collect();
        let gone: Vec<InstanceId> =
            self.running.keys().filter(|id| !named.contains(id)).cloned().collect();
        for id in gone {
            let lost = self.running.remove(&id).unwrap_or_default();
            let unfinished = lost.into_iter().filter(|ends| *ends > self.now).count();
            self.interrupted += u64::try_from(unfinished).unwrap_or(0);
            for _ in 0..unfinished {
                self.waiting.push_front(self.now);
            }
        }
        for id in servers {
            self.running.entry(id.clone()).or_default();
        }
        loop {
            self.assign();
            let ends = self.running.values().flatten().min().copied();
            let next = ends.map_or(self.next_arrival, |ends| ends.min(self.next_arrival));
            if next > to {
                break;
            }
            self.now = next;
            if next == self.next_arrival {
                self.waiting.push_back(next);
                self.draw_arrival();
            }
            for jobs in self.running.values_mut() {
                let before = jobs.len();
                jobs.retain(|ends| *ends > next);
                self.done += u64::try_from(before - jobs.len()).unwrap_or(0);
            }
        }
        self.now = self.now.max(to);
    }

    fn assign(&mut self) {
        for jobs in self.running.values_mut() {
            while jobs.len() < self.load.jobs_at_once {
                let Some(arrived) = self.waiting.pop_front() else { return };
                self.waits.push(time::since(self.now, arrived));
                jobs.push(time::after(self.now, self.load.job_takes));
            }
        }
    }

    pub fn depth(&self) -> Depth {
        Depth {
            oldest: self.waiting.front().map(|arrived| time::since(self.now, *arrived)),
            ..Depth::of(u64::try_from(self.waiting.len()).unwrap_or(u64::MAX))
        }
    }
}
