//! The imagined work: jobs that arrive through the day, wait, and are run by the servers of a fleet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::rng::Rng;
use crate::model::instance::InstanceId;
use crate::model::reading::{Depth, Work};
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

/// One job.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub arrives: Timestamp,
    pub takes: Duration,
}

/// Where jobs come from.
#[derive(Debug)]
enum Arrivals {
    /// Drawn: candidates at the day's highest rate, thinned to each hour's own.
    Drawn { load: Load, whims: Rng, next: Timestamp },
    /// Known beforehand, in order.
    Given(VecDeque<Job>),
}

impl Arrivals {
    fn next_at(&self) -> Timestamp {
        match self {
            Self::Drawn { next, .. } => *next,
            Self::Given(jobs) => jobs.front().map_or(Timestamp::MAX, |job| job.arrives),
        }
    }

    fn take(&mut self) -> Option<Job> {
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

/// A job that has started: when it came and how long it waited.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    pub arrived: Timestamp,
    pub waited: Duration,
}

/// A queue and what became of its jobs.
#[derive(Debug)]
pub struct Queue {
    arrivals: Arrivals,
    jobs_at_once: usize,
    /// Whether the queue tells more than its length and the oldest wait.
    tells: bool,
    waiting: VecDeque<Job>,
    /// When each running job ends, by server.
    running: BTreeMap<InstanceId, Vec<(Timestamp, Job)>>,
    now: Timestamp,
    pub started: Vec<Started>,
    pub arrived: u64,
    pub done: u64,
    /// Jobs that a server's end interrupted; they wait again.
    pub interrupted: u64,
    /// Time that servers were in service without a job, all together.
    pub idle: Duration,
}

impl Queue {
    pub fn new(load: Load, seed: u64, name: &str) -> Self {
        let (start, jobs_at_once) = (load.start, load.jobs_at_once);
        let whims = Rng::new(seed, &format!("arrivals of {name}"));
        let mut arrivals = Arrivals::Drawn { load, whims, next: start };
        arrivals.draw();
        Self::of(arrivals, jobs_at_once, false, start)
    }

    /// Tells all there is to tell: who is busy, and running totals.
    pub fn telling(mut self) -> Self {
        self.tells = true;
        self
    }

    /// A queue whose jobs are known beforehand; `tells`: more than its length and the oldest wait.
    pub fn given(
        jobs: impl IntoIterator<Item = Job>,
        jobs_at_once: usize,
        tells: bool,
        start: Timestamp,
    ) -> Self {
        Self::of(Arrivals::Given(jobs.into_iter().collect()), jobs_at_once, tells, start)
    }

    fn of(arrivals: Arrivals, jobs_at_once: usize, tells: bool, now: Timestamp) -> Self {
        Self {
            arrivals,
            jobs_at_once,
            tells,
            now,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            started: Vec::new(),
            arrived: 0,
            done: 0,
            interrupted: 0,
            idle: Duration::ZERO,
        }
    }

    /// Lets time pass with these servers at work. A server that is not named any more has ended,
    /// and its jobs wait again.
    pub fn advance<'a>(
        &mut self,
        to: Timestamp,
        servers: impl Iterator<Item = &'a InstanceId> + Clone + 'a,
    ) {
        // Seldom does one come or go.
        if !self.running.keys().eq(servers.clone()) {
            self.change(servers.collect());
        }
        loop {
            self.assign();
            let ends = self.running.values().flatten().map(|(ends, _)| *ends).min();
            let next = ends.unwrap_or(Timestamp::MAX).min(self.arrivals.next_at());
            self.rest(next.min(to));
            if next > to {
                break;
            }
            self.now = next;
            if next == self.arrivals.next_at()
                && let Some(job) = self.arrivals.take()
            {
                self.arrived += 1;
                self.waiting.push_back(job);
            }
            for jobs in self.running.values_mut() {
                let before = jobs.len();
                jobs.retain(|(ends, _)| *ends > next);
                self.done += u64::try_from(before - jobs.len()).unwrap_or(0);
            }
        }
        self.now = self.now.max(to);
    }

    /// From now on these servers are at work.
    fn change(&mut self, servers: BTreeSet<&InstanceId>) {
        let gone: Vec<InstanceId> =
            self.running.keys().filter(|id| !servers.contains(id)).cloned().collect();
        for id in gone {
            for (ends, job) in self.running.remove(&id).unwrap_or_default() {
                if ends > self.now {
                    self.interrupted += 1;
                    self.waiting.push_front(Job { arrives: self.now, ..job });
                }
            }
        }
        for id in servers {
            self.running.entry(id.clone()).or_default();
        }
    }

    /// Counts the time until `to` for servers without a job.
    fn rest(&mut self, to: Timestamp) {
        let span = time::since(to, self.now);
        let idle = self.running.values().filter(|jobs| jobs.is_empty()).count();
        self.idle += span * u32::try_from(idle).unwrap_or(u32::MAX);
    }

    fn assign(&mut self) {
        for jobs in self.running.values_mut() {
            while jobs.len() < self.jobs_at_once {
                let Some(job) = self.waiting.pop_front() else { return };
                let waited = time::since(self.now, job.arrives);
                self.started.push(Started { arrived: job.arrives, waited });
                jobs.push((time::after(self.now, job.takes), job));
            }
        }
    }

    /// Whether every job that will ever come has been done.
    pub fn is_over(&self) -> bool {
        let running = self.running.values().any(|jobs| !jobs.is_empty());
        self.arrivals.next_at() == Timestamp::MAX && self.waiting.is_empty() && !running
    }

    /// When those came that still wait.
    pub fn unstarted(&self) -> impl Iterator<Item = Timestamp> {
        self.waiting.iter().map(|job| job.arrives)
    }

    pub fn depth(&self) -> Depth {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let jobs = |jobs: &Vec<(Timestamp, Job)>| u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let work = || Work {
            running: Some(count(self.running.values().map(Vec::len).sum())),
            arrived: Some(self.arrived),
            completed: Some(self.done),
            busy: Some(self.running.iter().map(|(id, on)| (id.clone(), jobs(on))).collect()),
        };
        Depth {
            waiting: count(self.waiting.len()),
            oldest: self.waiting.front().map(|job| time::since(self.now, job.arrives)),
            work: if self.tells { work() } else { Work::default() },
        }
    }
}
