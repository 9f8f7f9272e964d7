//! The simulated work: jobs wait in the queue of a fleet and are run by its servers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::arrivals::Arrivals;
pub use super::arrivals::{Job, Load};
pub use super::interruption::Interruption;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, Work};
use tidegate_engine::model::time::{self, Timestamp};

/// A job that started: when it arrived, and how long it waited from then to the start of its last
/// run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    pub arrived: Timestamp,
    pub waited: Duration,
}

/// A job's only entry in the statistics, however often it runs.
#[derive(Debug, Clone, Copy)]
struct Record {
    arrived: Timestamp,
    /// When it last began to wait.
    visible: Timestamp,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unstarted,
    /// The start of the last run.
    Started(Timestamp),
    Lost,
}

/// A job and the index of its [`Record`]; indexes follow the order of arrival.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    index: usize,
    job: Job,
}

/// One run of a job.
#[derive(Debug, Clone, Copy)]
struct Run {
    ticket: Ticket,
    started: Timestamp,
    ends: Timestamp,
}

/// A server at work.
#[derive(Debug, Default)]
struct Worker {
    runs: Vec<Run>,
    /// Whether it finishes its jobs and takes no more.
    closed: bool,
    /// When its last job ended.
    free_since: Option<Timestamp>,
}

/// A queue and what became of its jobs.
#[derive(Debug)]
pub struct Queue {
    arrivals: Arrivals,
    jobs_at_once: usize,
    interruption: Interruption,
    records: Vec<Record>,
    /// Waits that ended with a run that was interrupted later.
    earlier: Vec<(Timestamp, Timestamp)>,
    /// By arrival.
    waiting: VecDeque<Ticket>,
    /// Interrupted jobs, by the end of their locks.
    locked: BTreeMap<(Timestamp, usize), Job>,
    running: BTreeMap<InstanceId, Worker>,
    now: Timestamp,
    pub arrived: u64,
    pub done: u64,
    /// Runs that the end of a server interrupted.
    pub interrupted: u64,
    /// Jobs that were interrupted and never run again.
    pub lost: u64,
    /// Time that servers were in service without a job, all together.
    pub idle: Duration,
}

impl Queue {
    pub fn new(load: Load, seed: u64, name: &str) -> Self {
        let (start, jobs_at_once, interruption) =
            (load.start, load.jobs_at_once, load.interruption);
        Self::of(Arrivals::drawn(load, seed, name), jobs_at_once, interruption, start)
    }

    /// A queue whose jobs are known beforehand, in order of arrival.
    pub fn given(
        jobs: impl IntoIterator<Item = Job>,
        jobs_at_once: usize,
        interruption: Interruption,
        start: Timestamp,
    ) -> Self {
        Self::of(Arrivals::Given(jobs.into_iter().collect()), jobs_at_once, interruption, start)
    }

    fn of(
        arrivals: Arrivals,
        jobs_at_once: usize,
        interruption: Interruption,
        now: Timestamp,
    ) -> Self {
        Self {
            arrivals,
            jobs_at_once,
            interruption,
            now,
            records: Vec::new(),
            earlier: Vec::new(),
            waiting: VecDeque::new(),
            locked: BTreeMap::new(),
            running: BTreeMap::new(),
            arrived: 0,
            done: 0,
            interrupted: 0,
            lost: 0,
            idle: Duration::ZERO,
        }
    }

    /// Lets time pass with these servers at work; `closed`: whether one takes no more jobs. A server
    /// that is no longer named has ended, which interrupts its jobs.
    pub fn advance<'a>(
        &mut self,
        to: Timestamp,
        servers: impl Iterator<Item = &'a InstanceId> + Clone + 'a,
        closed: impl Fn(&InstanceId) -> bool,
    ) {
        // The servers seldom change.
        if !self.running.keys().eq(servers.clone()) {
            self.change(servers.collect());
        }
        for (id, worker) in &mut self.running {
            worker.closed = closed(id);
        }
        loop {
            self.assign();
            let next = self.next_event();
            self.rest(next.min(to));
            if next > to {
                break;
            }
            self.now = next;
            self.arrive();
            self.unlock();
            self.finish();
        }
        self.now = self.now.max(to);
    }

    fn next_event(&self) -> Timestamp {
        let ends = self.running.values().flat_map(|worker| &worker.runs).map(|run| run.ends).min();
        let unlocks = self.locked.keys().next().map(|(at, _)| *at);
        [ends, unlocks].into_iter().flatten().fold(self.arrivals.next_at(), Timestamp::min)
    }

    fn arrive(&mut self) {
        if self.now == self.arrivals.next_at()
            && let Some(job) = self.arrivals.take()
        {
            self.arrived += 1;
            let (arrived, index) = (job.arrives, self.records.len());
            self.records.push(Record { arrived, visible: arrived, fate: Fate::Unstarted });
            self.enqueue(Ticket { index, job });
        }
    }

    /// Jobs whose locks have timed out wait again.
    fn unlock(&mut self) {
        while let Some(lock) = self.locked.first_entry()
            && lock.key().0 <= self.now
        {
            let ((_, index), job) = lock.remove_entry();
            self.enqueue(Ticket { index, job });
        }
    }

    fn finish(&mut self) {
        for worker in self.running.values_mut() {
            let before = worker.runs.len();
            worker.runs.retain(|run| run.ends > self.now);
            self.done += count(before - worker.runs.len());
            if worker.runs.len() < before {
                worker.free_since = Some(self.now);
            }
        }
    }

    /// Puts a job in its place by its first arrival, from now on visible.
    fn enqueue(&mut self, ticket: Ticket) {
        if let Some(record) = self.records.get_mut(ticket.index) {
            record.visible = self.now;
        }
        let place = self.waiting.partition_point(|other| other.index < ticket.index);
        self.waiting.insert(place, ticket);
    }

    /// From now on these servers are at work.
    fn change(&mut self, servers: BTreeSet<&InstanceId>) {
        let gone: Vec<InstanceId> =
            self.running.keys().filter(|id| !servers.contains(id)).cloned().collect();
        for worker in gone.iter().filter_map(|id| self.running.remove(id)).collect::<Vec<_>>() {
            worker.runs.into_iter().for_each(|run| self.interrupt(run));
        }
        for id in servers {
            self.running.entry(id.clone()).or_default();
        }
    }

    fn interrupt(&mut self, Run { ticket, started, .. }: Run) {
        self.interrupted += 1;
        let fate = match self.interruption {
            Interruption::Lost => Fate::Lost,
            Interruption::BackAfter(_) | Interruption::AtOnce => Fate::Unstarted,
        };
        if let Some(record) = self.records.get_mut(ticket.index) {
            self.earlier.push((record.visible, started));
            record.fate = fate;
        }
        match self.interruption {
            Interruption::Lost => self.lost += 1,
            Interruption::BackAfter(lock) => {
                let until = time::after(started, lock).max(self.now);
                self.locked.insert((until, ticket.index), ticket.job);
            }
            Interruption::AtOnce => self.enqueue(ticket),
        }
    }

    /// Counts the time until `to` for servers without a job.
    fn rest(&mut self, to: Timestamp) {
        let span = time::since(to, self.now);
        let idle = self.running.values().filter(|worker| worker.runs.is_empty()).count();
        self.idle += span * u32::try_from(idle).unwrap_or(u32::MAX);
    }

    fn assign(&mut self) {
        let started = self.now;
        for worker in self.running.values_mut().filter(|worker| !worker.closed) {
            while worker.runs.len() < self.jobs_at_once {
                let Some(ticket) = self.waiting.pop_front() else { return };
                if let Some(record) = self.records.get_mut(ticket.index) {
                    record.fate = Fate::Started(started);
                }
                let ends = time::after(started, ticket.job.takes);
                worker.runs.push(Run { ticket, started, ends });
            }
        }
    }

    /// Returns the number of jobs on a server.
    pub fn jobs_on(&self, id: &InstanceId) -> usize {
        self.running.get(id).map_or(0, |worker| worker.runs.len())
    }

    /// Returns since when a server runs no job; `None`: it runs some.
    pub fn free_since(&self, id: &InstanceId) -> Option<Timestamp> {
        let Some(worker) = self.running.get(id) else { return Some(Timestamp::MIN) };
        let free_since = worker.free_since.unwrap_or(Timestamp::MIN);
        worker.runs.is_empty().then_some(free_since)
    }

    /// Returns how many bytes the statistics of the jobs take.
    pub fn memory(&self) -> usize {
        let span = size_of::<(Timestamp, Timestamp)>();
        self.records.capacity() * size_of::<Record>() + self.earlier.capacity() * span
    }

    /// Whether every job that will ever arrive is done or lost.
    pub fn is_over(&self) -> bool {
        let running = self.running.values().any(|worker| !worker.runs.is_empty());
        let waiting = !self.waiting.is_empty() || !self.locked.is_empty();
        self.arrivals.next_at() == Timestamp::MAX && !waiting && !running
    }

    /// Returns the jobs that run or have run to their end, each once, in order of arrival.
    pub fn started(&self) -> impl Iterator<Item = Started> {
        self.records.iter().filter_map(|record| match record.fate {
            Fate::Started(at) => {
                let waited = time::since(at, record.arrived);
                Some(Started { arrived: record.arrived, waited })
            }
            Fate::Unstarted | Fate::Lost => None,
        })
    }

    /// Returns when the jobs arrived that are late without having started: those that are lost, and
    /// those that have waited longer than `goal` and do so still.
    pub fn missed(&self, goal: Duration) -> impl Iterator<Item = Timestamp> {
        let missed = self.records.iter().filter(move |record| match record.fate {
            Fate::Started(_) => false,
            Fate::Unstarted => time::since(self.now, record.arrived) > goal,
            Fate::Lost => true,
        });
        missed.map(|record| record.arrived)
    }

    /// Returns the spans in which a job was visible as waiting; one without an end still waits.
    pub fn waits(&self) -> impl Iterator<Item = (Timestamp, Option<Timestamp>)> {
        let last = self.records.iter().filter_map(|record| match record.fate {
            Fate::Started(at) => Some((record.visible, Some(at))),
            Fate::Unstarted | Fate::Lost => None,
        });
        let visible = |ticket: &Ticket| Some((self.records.get(ticket.index)?.visible, None));
        let earlier = self.earlier.iter().map(|(from, to)| (*from, Some(*to)));
        last.chain(earlier).chain(self.waiting.iter().filter_map(visible))
    }

    /// Returns all that a queue may tell. A locked job counts as running, on no server.
    pub fn depth(&self) -> Depth {
        let runs = self.running.values().map(|worker| worker.runs.len());
        let jobs = |worker: &Worker| u32::try_from(worker.runs.len()).unwrap_or(u32::MAX);
        Depth {
            waiting: count(self.waiting.len()),
            oldest: self.waiting.front().map(|ticket| time::since(self.now, ticket.job.arrives)),
            work: Work {
                running: Some(count(runs.sum::<usize>() + self.locked.len())),
                arrived: Some(self.arrived),
                completed: Some(self.done),
                busy: Some(self.running.iter().map(|(id, on)| (id.clone(), jobs(on))).collect()),
            },
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
