//! How much may change at once, over all fleets together. Read off the roster, so that a restart
//! hands out nothing twice.

use std::collections::VecDeque;

use crate::model::capacity::{Capacity, count};
use crate::model::plan::Limit;
use crate::model::roster::Roster;
use crate::model::time::{self, Clocks, Timestamp};
use crate::policy::{Policy, Rate};

/// New launches in one tick. EC2 lets RunInstances through in bursts of five, two a second after.
const LAUNCHES_PER_TICK: Capacity = 5;

#[derive(Clone)]
pub(super) struct Budget {
    instances: Option<Capacity>,
    alive: Capacity,
    launches_left: Capacity,
    launches: Brake,
    retirements: Brake,
    clocks: Clocks,
}

/// So many in any window so long.
#[derive(Clone)]
struct Brake {
    rate: Option<Rate>,
    /// When each of those within the window was by EC2's clock, oldest first.
    spent: VecDeque<Timestamp>,
}

impl Brake {
    fn new(rate: Option<Rate>, spent: &[Timestamp]) -> Self {
        Self { rate, spent: spent.iter().copied().collect() }
    }

    /// How many there were and from when on there may be another, by the host's clock, if there may be
    /// none now.
    fn is_on(&self, clocks: Clocks) -> Option<(Capacity, Timestamp)> {
        let spent = count(&self.spent);
        let rate = self.rate.filter(|rate| spent >= rate.count)?;
        let oldest = self.spent.front().copied().unwrap_or(clocks.ec2);
        let wait = time::since(time::after(oldest, rate.per), clocks.ec2);
        Some((spent, time::after(clocks.host, wait)))
    }
}

impl Budget {
    pub(super) fn new(policy: &Policy, roster: &Roster) -> Self {
        let views = roster.fleets.values().chain(roster.unmanaged.values());
        Self {
            instances: policy.limits.instances,
            alive: views.map(|view| view.alive()).fold(0, Capacity::saturating_add),
            launches_left: LAUNCHES_PER_TICK,
            launches: Brake::new(policy.limits.launch, &roster.recent_launches),
            retirements: Brake::new(policy.limits.terminate, &roster.recent_retirements),
            clocks: roster.clocks(),
        }
    }

    /// Takes the room for one launch, or says what forbids it.
    pub(super) fn launch(&mut self) -> Result<(), Limit> {
        if let Some(limit) = self.instances
            && self.alive >= limit
        {
            return Err(Limit::Instances { limit, alive: self.alive });
        }
        if let Some((count, until)) = self.launches.is_on(self.clocks) {
            return Err(Limit::Launch { count, until });
        }
        if self.launches_left == 0 {
            return Err(Limit::Pace);
        }
        self.alive = self.alive.saturating_add(1);
        self.launches_left = self.launches_left.saturating_sub(1);
        self.launches.spent.push_back(self.clocks.ec2);
        Ok(())
    }

    /// Takes the room for one retirement, or says what forbids it.
    pub(super) fn retire(&mut self) -> Result<(), Limit> {
        if let Some((count, until)) = self.retirements.is_on(self.clocks) {
            return Err(Limit::Terminate { count, until });
        }
        self.retirements.spent.push_back(self.clocks.ec2);
        Ok(())
    }
}
