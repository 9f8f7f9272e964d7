//! What people, and AWS itself, do to instances unasked: at the console, each kind at moments of its
//! own, and what is put right a while later.

use std::time::Duration;

use super::faults::Trouble;
use super::machine::Machine;
use super::rng::Rng;
use super::world::World;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::tag;
use tidegate_engine::model::time::{self, Timestamp};

/// EC2's reason for what a person ended.
const BY_A_PERSON: &str = "Client.UserInitiatedShutdown: User initiated shutdown";
/// EC2's reason for what AWS took back.
const TAKEN_BACK: &str = "Server.SpotInstanceTermination: Spot instance termination";

/// What is done at a visit.
#[derive(Debug, Clone, Copy)]
enum Deed {
    TakeBack,
    Stop,
    Mislabel,
    Deregister,
}

/// What each trouble does, and what its visits are apart, on average.
const VISITS: [(Trouble, Deed, Duration); 4] = [
    (Trouble::SpotReclaim, Deed::TakeBack, Duration::from_hours(1)),
    (Trouble::ConsoleStop, Deed::Stop, Duration::from_hours(2)),
    (Trouble::ConsoleTag, Deed::Mislabel, Duration::from_hours(1)),
    (Trouble::ConsoleDeregister, Deed::Deregister, Duration::from_hours(1)),
];

/// When a person comes back to what was done.
const BACK_AFTER: Duration = Duration::from_mins(30);

/// Who comes when.
#[derive(Debug)]
pub(super) struct People {
    whims: Rng,
    /// The next visit of each kind.
    next: Vec<Visit>,
    /// What is put right, and when.
    later: Vec<(Timestamp, Amends)>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    trouble: Trouble,
    deed: Deed,
    every: Duration,
    at: Timestamp,
}

#[derive(Debug, Clone)]
enum Amends {
    Terminate(InstanceId),
    Start(InstanceId),
    Tag(InstanceId, &'static str, String),
    Untag(InstanceId, &'static str),
}

impl People {
    /// `often`: how often each trouble comes, in multiples of its usual.
    pub(super) fn new(seed: u64, now: Timestamp, often: impl Fn(Trouble) -> f64) -> Self {
        let mut whims = Rng::new(seed, "people");
        let next = VISITS.map(|(trouble, deed, usual)| {
            let every = usual.div_f64(often(trouble).max(0.1));
            Visit { trouble, deed, every, at: time::after(now, whims.exponential(every)) }
        });
        Self { whims, next: next.into(), later: Vec::new() }
    }

    /// The first kind of which a visit is due.
    fn due(&self, now: Timestamp) -> Option<usize> {
        self.next.iter().position(|visit| visit.at <= now)
    }
}

impl World {
    /// Whatever people do until `now`.
    pub(super) fn visit(&mut self, now: Timestamp) {
        while let Some((at, amends)) = self.people.later.iter().min_by_key(|(at, _)| *at).cloned()
            && at <= now
        {
            self.people.later.retain(|(when, _)| *when != at);
            self.make(amends, at);
        }
        while let Some(nth) = self.people.due(now)
            && let Some(Visit { trouble, deed, every, at }) = self.people.next.get(nth).copied()
        {
            if self.has(trouble) {
                self.call(deed, at);
            }
            let gap = self.people.whims.exponential(every);
            if let Some(visit) = self.people.next.get_mut(nth) {
                visit.at = time::after(at, gap);
            }
        }
    }

    fn call(&mut self, deed: Deed, at: Timestamp) {
        let running = self.running(at);
        let Some(last) = running.len().checked_sub(1) else { return };
        let chosen = self.people.whims.up_to(last);
        let Some(id) = running.get(chosen) else { return };
        let back = time::after(at, BACK_AFTER);
        match deed {
            // What it is done to is in the world's own list, so none of this can fail.
            Deed::TakeBack => drop(self.end(id, at, TAKEN_BACK)),
            Deed::Stop => {
                self.console_stop(id, at);
                // Some are wanted back.
                let wanted = id.as_str().ends_with(['1', '5', '9', 'd']);
                let amends = if wanted { Amends::Start } else { Amends::Terminate };
                self.people.later.push((back, amends(id.clone())));
            }
            Deed::Mislabel => self.mislabel(id, back),
            Deed::Deregister => self.members.console_deregister(id),
        }
    }

    /// Takes the install's tag off, or puts the one on that keeps it.
    fn mislabel(&mut self, id: &InstanceId, back: Timestamp) {
        let install =
            self.machine(id).and_then(|machine| machine.tags().get(tag::INSTALL).cloned());
        let amends = match install {
            Some(install) if self.people.whims.chance(0.5) => {
                self.console_untag(id, tag::INSTALL);
                Amends::Tag(id.clone(), tag::INSTALL, install)
            }
            Some(_) | None => {
                self.console_tag(id, tag::KEEP, "yes");
                Amends::Untag(id.clone(), tag::KEEP)
            }
        };
        self.people.later.push((back, amends));
    }

    fn make(&mut self, amends: Amends, at: Timestamp) {
        match amends {
            Amends::Terminate(id) => drop(self.end(&id, at, BY_A_PERSON)),
            Amends::Start(id) => self.console_start(&id, at),
            Amends::Tag(id, key, value) => self.console_tag(&id, key, &value),
            Amends::Untag(id, key) => self.console_untag(&id, key),
        }
    }

    /// A person at the console puts a tag on.
    pub fn console_tag(&mut self, id: &InstanceId, key: &str, value: &str) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.tag(key, value);
        }
    }

    /// A person at the console takes a tag off.
    pub fn console_untag(&mut self, id: &InstanceId, key: &str) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.untag(key);
        }
    }

    /// A person at the console attaches a volume to an instance, or takes it off again.
    pub fn console_attach(&mut self, id: &InstanceId, at: Option<Timestamp>) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.attached_at = at;
        }
    }

    /// A person at the console starts an instance that was stopped.
    pub fn console_start(&mut self, id: &InstanceId, at: Timestamp) {
        let stopped = |machine: &&mut Machine| machine.lifecycle(at) == Lifecycle::Stopped;
        if let Some(machine) = self.machines.get_mut(id).filter(stopped) {
            machine.start_again(at);
        }
    }

    /// A person at the console stops an instance.
    pub fn console_stop(&mut self, id: &InstanceId, at: Timestamp) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.stopped_at.get_or_insert(at);
        }
    }

    /// A person at the console terminates an instance.
    pub fn console_terminate(&mut self, id: &InstanceId) -> Result<(), Fault> {
        self.end(id, self.now(), BY_A_PERSON)
    }

    /// A person terminates some instance that runs.
    pub(super) fn console_kill(&mut self, at: Timestamp) {
        let running = self.running(at);
        let Some(count) = u64::try_from(running.len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let chosen = usize::try_from(self.faults.draw() % count).unwrap_or(0);
        if let Some(id) = running.get(chosen) {
            drop(self.end(id, at, BY_A_PERSON));
        }
    }

    fn running(&self, at: Timestamp) -> Vec<InstanceId> {
        let running = self.shown().filter(|machine| machine.lifecycle(at) == Lifecycle::Running);
        running.map(|machine| machine.id.clone()).collect()
    }
}
