//! The simulated receiver of a drain on a server: it hears the signal late, stops taking jobs, and
//! powers off once the last one has ended.

use std::time::Duration;

use super::faults::Trouble;
use super::rng::Rng;
use super::world::{World, unknown};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::tag;
use tidegate_engine::model::time::{self, Timestamp};

/// EC2's reason for an instance that powers off by itself.
const BY_ITSELF: &str = "Client.InstanceInitiatedShutdown: Instance initiated shutdown";

/// How often the receiver reads the tag.
const READS_EVERY: Duration = Duration::from_secs(10);

/// How much later [`Trouble::LateTags`] shows a changed tag at most.
const SHOWN_AFTER: Duration = Duration::from_secs(40);

/// How long an odd receiver goes on taking jobs.
const CLOSES_AFTER: Duration = Duration::from_secs(25);

/// From the last job to the power-off.
const POWERS_OFF_AFTER: Duration = Duration::from_secs(5);

/// What a receiver does with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Heeds,
    /// Goes on taking jobs for a while.
    ClosesLate,
    /// Finishes its jobs and runs on.
    StaysOn,
    /// Powers off with its jobs.
    PowersOffAtOnce,
    /// Restarts with its jobs, and starts no work then.
    Reboots,
    Ignores,
}

const ODD: [Manner; 5] = [
    Manner::ClosesLate,
    Manner::StaysOn,
    Manner::PowersOffAtOnce,
    Manner::Reboots,
    Manner::Ignores,
];

/// The receiver of one machine.
#[derive(Debug, Clone)]
pub struct Receiver {
    manner: Manner,
    /// How long after a change of the tag it hears of it.
    lag: Duration,
    /// What it is about to hear: to drain, or to go on.
    hears: Option<(Timestamp, bool)>,
    /// Since when it takes no jobs.
    pub closed_at: Option<Timestamp>,
    /// Whether the signal came by HTTP, whose receiver powers nothing off.
    posted: bool,
}

impl Receiver {
    /// `odd`: whether it does not do what the shipped one does.
    pub(super) fn new(whims: &mut Rng, odd: bool, late: bool) -> Self {
        let nth = whims.up_to(ODD.len() - 1);
        let manner = if odd { ODD.get(nth).copied() } else { None };
        let lag = whims.between(Duration::from_secs(1), READS_EVERY);
        let shown = if late { whims.between(Duration::ZERO, SHOWN_AFTER) } else { Duration::ZERO };
        Self {
            manner: manner.unwrap_or(Manner::Heeds),
            lag: lag + shown,
            hears: None,
            closed_at: None,
            posted: false,
        }
    }

    /// When it hears of a changed tag.
    pub(super) fn hears_at(&self) -> Option<Timestamp> {
        self.hears.map(|(at, _)| at)
    }

    /// Whether the server takes no jobs any more.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        self.closed_at.is_some_and(|at| at <= now)
    }

    fn close(&mut self, now: Timestamp) {
        let late = if self.manner == Manner::ClosesLate { CLOSES_AFTER } else { Duration::ZERO };
        self.closed_at.get_or_insert(time::after(now, late));
    }
}

impl World {
    /// Changes what the receiver of an instance does with signals.
    pub fn set_receiver(&mut self, id: &InstanceId, manner: Manner) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.receiver.manner = manner;
        }
    }

    /// CreateTags of `tidegate:drain` on one instance.
    pub fn tag_drain(&mut self, id: &InstanceId, value: &str) -> Result<(), Fault> {
        self.admit_tag("CreateTags")?;
        let now = self.now();
        let machine = self.machines.get_mut(id).ok_or_else(|| unknown(id))?;
        let known = machine.tags().contains_key(tag::DRAIN);
        machine.tag(tag::DRAIN, value);
        if !known && machine.request.drains {
            machine.receiver.hears = Some((time::after(now, machine.receiver.lag), true));
        }
        Ok(())
    }

    /// DeleteTags of `tidegate:drain` on one instance.
    pub fn untag_drain(&mut self, id: &InstanceId) -> Result<(), Fault> {
        self.admit_tag("DeleteTags")?;
        let now = self.now();
        let machine = self.machines.get_mut(id).ok_or_else(|| unknown(id))?;
        let known = machine.tags().contains_key(tag::DRAIN);
        machine.untag(tag::DRAIN);
        if known {
            machine.receiver.hears = Some((time::after(now, machine.receiver.lag), false));
        }
        Ok(())
    }

    fn admit_tag(&mut self, call: &'static str) -> Result<(), Fault> {
        let (every, lasts) = (Duration::from_hours(2), Duration::from_mins(20));
        self.admit(call)?;
        if self.refuses_tags || self.spell(Trouble::RefusedTags, "", every, lasts) {
            let message = "You are not authorized to perform this operation.";
            return Err(Fault::new(FaultKind::Permission, "UnauthorizedOperation", message));
        }
        Ok(())
    }

    /// An HTTP receiver is told to drain an instance, or to go on with it.
    pub(super) fn receive(&mut self, id: &InstanceId, drain: bool) -> Result<(), String> {
        let now = self.now();
        let machine = self.machines.get_mut(id).ok_or("HTTP 404")?;
        machine.receiver.hears = None;
        machine.receiver.posted = true;
        if drain {
            machine.receiver.close(now);
        } else if machine.ends.is_none() {
            machine.receiver.closed_at = None;
        }
        Ok(())
    }

    /// Whatever receivers hear until `now`.
    pub(super) fn hear(&mut self, now: Timestamp) {
        for machine in self.machines.values_mut() {
            let Some((at, drain)) = machine.receiver.hears.filter(|(at, _)| *at <= now) else {
                continue;
            };
            machine.receiver.hears = None;
            if machine.lifecycle(at) != Lifecycle::Running {
                continue;
            }
            match (drain, machine.receiver.manner) {
                (_, Manner::Ignores) => {}
                // A server that powers off starts no work again.
                (false, _) if machine.ends.is_some() => {}
                (false, _) => machine.receiver.closed_at = None,
                (true, Manner::PowersOffAtOnce) => {
                    machine.ends.get_or_insert((at, BY_ITSELF.to_owned()));
                }
                (true, Manner::Reboots) => {
                    machine.serves_at = None;
                    machine.receiver.close(at);
                }
                (true, Manner::Heeds | Manner::ClosesLate | Manner::StaysOn) => {
                    machine.receiver.close(at);
                }
            }
        }
    }

    /// Powers off the servers that drain and run no job; `free_since`: since when a server runs none.
    pub(super) fn power_off(
        &mut self,
        now: Timestamp,
        free_since: impl Fn(&InstanceId) -> Option<Timestamp>,
    ) {
        for machine in self.machines.values_mut() {
            let receiver = &machine.receiver;
            let stays = receiver.posted || receiver.manner == Manner::StaysOn;
            let Some(closed_at) = receiver.closed_at.filter(|at| *at <= now && !stays) else {
                continue;
            };
            if machine.lifecycle(now) == Lifecycle::Running
                && let Some(since) = free_since(&machine.id)
            {
                let at = time::after(since.max(closed_at), POWERS_OFF_AFTER);
                machine.ends.get_or_insert((at, BY_ITSELF.to_owned()));
            }
        }
    }
}
