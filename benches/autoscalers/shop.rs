//! An imagined shop: jobs that arrive, servers that boot, run two jobs at once, drain and end. Times
//! are seconds since the trace began.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use tidegate::sim::rng::Rng;

/// A job of a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub submit: f64,
    pub runtime: f64,
}

/// How the shop works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub by_the_hour: bool,
    pub boot: f64,
    pub poll: f64,
    pub jobs_at_once: u32,
    pub goal: f64,
    /// How long a job runs, as one would write it into a policy.
    pub job_takes: f64,
    pub max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Booting,
    InService,
    Draining,
}

/// A server as an autoscaler sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub number: usize,
    pub launched: f64,
    pub state: State,
    pub busy: u32,
}

/// The shop as an autoscaler sees it at a poll.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub now: f64,
    pub waiting: usize,
    pub oldest: Option<f64>,
    pub running: usize,
    pub arrived: usize,
    pub completed: usize,
    /// In the order of their launch.
    pub servers: &'a [Seen],
}

/// What an autoscaler wants done: servers by their number.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub launch: usize,
    pub drain: Vec<usize>,
    pub reclaim: Vec<usize>,
}

pub(crate) trait Autoscaler {
    fn look(&mut self, look: &Look<'_>) -> Orders;
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Result {
    /// Seconds paid, in multiples of the least there is: all run times over the jobs at once.
    pub cost: f64,
    /// Share of the jobs that waited longer than the goal.
    pub late: f64,
    pub longest: f64,
    pub p95: f64,
    pub launches: usize,
}

impl Result {
    /// At most 5 of 100 jobs late, nobody over an hour.
    pub(crate) fn keeps_the_goal(&self) -> bool {
        self.late <= 0.05 && self.longest <= 3600.0
    }
}

struct Server {
    launched: f64,
    ready: f64,
    busy: u32,
    draining: bool,
    ended: Option<f64>,
}

/// The end of a job, on a server.
struct End(f64, usize);

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for End {}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for End {
    // The soonest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

struct Shop<'a> {
    terms: Terms,
    jobs: &'a [Job],
    now: f64,
    arrived: usize,
    completed: usize,
    waiting: VecDeque<usize>,
    servers: Vec<Server>,
    alive: Vec<usize>,
    ends: BinaryHeap<End>,
    waits: Vec<f64>,
    whims: Rng,
}

/// Runs a trace to its end and until the last server is gone.
pub(crate) fn run(jobs: &[Job], terms: Terms, scaler: &mut dyn Autoscaler) -> Result {
    let mut shop = Shop {
        terms,
        jobs,
        now: 0.0,
        arrived: 0,
        completed: 0,
        waiting: VecDeque::new(),
        servers: Vec::new(),
        alive: Vec::new(),
        ends: BinaryHeap::new(),
        waits: Vec::with_capacity(jobs.len()),
        whims: Rng::new(1, "dispatch"),
    };
    // An autoscaler that keeps servers or leaves jobs for ever is not waited for longer than a day.
    let over = jobs.last().map_or(0.0, |job| job.submit) + 86_400.0;
    loop {
        shop.poll(scaler);
        let idle = shop.completed == jobs.len() && shop.alive.is_empty();
        if idle || shop.now > over {
            return shop.result();
        }
        shop.until(shop.now + terms.poll);
    }
}

impl Shop<'_> {
    fn poll(&mut self, scaler: &mut dyn Autoscaler) {
        let seen: Vec<Seen> = self.alive.iter().map(|n| self.seen(*n)).collect();
        let look = Look {
            now: self.now,
            waiting: self.waiting.len(),
            oldest: self.waiting.front().map(|job| self.now - self.jobs[*job].submit),
            running: self.arrived - self.waiting.len() - self.completed,
            arrived: self.arrived,
            completed: self.completed,
            servers: &seen,
        };
        let orders = scaler.look(&look);
        for number in orders.reclaim {
            self.servers[number].draining = false;
        }
        for number in orders.drain {
            self.servers[number].draining = true;
            self.end_if_drained(number);
        }
        for _ in 0..orders.launch.min(self.terms.max.saturating_sub(self.alive.len())) {
            self.alive.push(self.servers.len());
            self.servers.push(Server {
                launched: self.now,
                ready: self.now + self.terms.boot,
                busy: 0,
                draining: false,
                ended: None,
            });
        }
        self.dispatch();
    }

    fn seen(&self, number: usize) -> Seen {
        let server = &self.servers[number];
        let state = match server {
            Server { draining: true, .. } => State::Draining,
            Server { ready, .. } if *ready > self.now => State::Booting,
            Server { .. } => State::InService,
        };
        Seen { number, launched: server.launched, state, busy: server.busy }
    }

    fn end_if_drained(&mut self, number: usize) {
        let server = &mut self.servers[number];
        if server.draining && server.busy == 0 && server.ended.is_none() {
            server.ended = Some(self.now);
            self.alive.retain(|alive| *alive != number);
        }
    }

    fn until(&mut self, to: f64) {
        loop {
            let arrival = self.jobs.get(self.arrived).map_or(f64::INFINITY, |job| job.submit);
            let end = self.ends.peek().map_or(f64::INFINITY, |end| end.0);
            let boots = self.alive.iter().map(|n| self.servers[*n].ready);
            let boot = boots.filter(|ready| *ready > self.now).fold(f64::INFINITY, f64::min);
            let next = arrival.min(end).min(boot);
            if next > to {
                break;
            }
            self.now = next;
            if end <= next {
                if let Some(End(_, number)) = self.ends.pop() {
                    self.servers[number].busy -= 1;
                    self.completed += 1;
                    self.end_if_drained(number);
                }
            } else if arrival <= next {
                self.waiting.push_back(self.arrived);
                self.arrived += 1;
            }
            self.dispatch();
        }
        self.now = to;
    }

    /// Jobs start in the order they came, on any server that has a place.
    fn dispatch(&mut self) {
        while !self.waiting.is_empty() {
            let free = self.alive.iter().filter(|n| self.has_place(**n)).count();
            let Some(last) = free.checked_sub(1) else { return };
            let nth = self.whims.up_to(last);
            let mut free = self.alive.iter().copied().filter(|n| self.has_place(*n));
            let Some(number) = free.nth(nth) else { return };
            let Some(job) = self.waiting.pop_front() else { return };
            let Job { submit, runtime } = self.jobs[job];
            self.waits.push(self.now - submit);
            self.servers[number].busy += 1;
            self.ends.push(End(self.now + runtime, number));
        }
    }

    fn has_place(&self, number: usize) -> bool {
        let server = &self.servers[number];
        !server.draining && server.ready <= self.now && server.busy < self.terms.jobs_at_once
    }

    fn result(mut self) -> Result {
        // Who has not started yet has waited so far.
        let waiting = self.waiting.iter().map(|job| self.now - self.jobs[*job].submit);
        self.waits.extend(waiting);
        let paid = self.servers.iter().map(|server| {
            let span = server.ended.unwrap_or(self.now) - server.launched;
            // An hour begins with its first second; a part of a microsecond is rounding.
            let hours = (span / 3600.0 - 1e-9).ceil().max(1.0);
            if self.terms.by_the_hour { hours * 3600.0 } else { span.max(60.0) }
        });
        let paid: f64 = paid.sum();
        let work: f64 = self.jobs.iter().map(|job| job.runtime).sum();
        self.waits.sort_by(f64::total_cmp);
        let late = self.waits.iter().filter(|wait| **wait > self.terms.goal).count();
        let jobs = self.waits.len();
        Result {
            cost: paid * f64::from(self.terms.jobs_at_once) / work,
            late: share(late, jobs),
            longest: self.waits.last().copied().unwrap_or(0.0),
            p95: self
                .waits
                .get((jobs * 95).div_ceil(100).saturating_sub(1))
                .copied()
                .unwrap_or(0.0),
            launches: self.servers.len(),
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    count(part) / count(whole.max(1))
}

/// A count to reckon with.
pub(crate) fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
