//! How much may change at once, over all fleets together. Read off the roster, so that a restart
//! hands out nothing twice.

use std::collections::VecDeque;

use crate::model::capacity::{Capacity, count};
use crate::model::plan::Limit;
use crate::model::roster::{FleetView, Roster};
use crate::model::time::{self, Timestamp};
use crate::policy::{Policy, Rate};

/// New launches in one tick. EC2 lets RunInstances through in bursts of five, two a second after.
const LAUNCHES_PER_TICK: Capacity = 5;

#[derive(Clone)]
pub(super) struct Budget {
    instances: Option<Capacity>,
    alive: Capacity,
    launches_left: Capacity,
    terminate: Option<Rate>,
    retired: VecDeque<Timestamp>,
    now: Timestamp,
}

impl Budget {
    pub(super) fn new(policy: &Policy, roster: &Roster) -> Self {
        let views = roster.fleets.values().chain(roster.unmanaged.values());
        Self {
            instances: policy.limits.instances,
            alive: views.map(FleetView::alive).fold(0, Capacity::saturating_add),
            launches_left: LAUNCHES_PER_TICK,
            terminate: policy.limits.terminate,
            retired: roster.recent_retirements.iter().copied().collect(),
            now: roster.now,
        }
    }

    /// Takes the room for one launch, or says what forbids it.
    pub(super) fn launch(&mut self) -> Result<(), Limit> {
        if let Some(limit) = self.instances
            && self.alive >= limit
        {
            return Err(Limit::Instances { limit, alive: self.alive });
        }
        if self.launches_left == 0 {
            return Err(Limit::Pace);
        }
        self.alive = self.alive.saturating_add(1);
        self.launches_left = self.launches_left.saturating_sub(1);
        Ok(())
    }

    /// Takes the room for one retirement, or says what forbids it.
    pub(super) fn retire(&mut self) -> Result<(), Limit> {
        if let Some(rate) = self.terminate
            && count(&self.retired) >= rate.count
        {
            let oldest = self.retired.front().copied().unwrap_or(self.now);
            return Err(Limit::Terminate {
                count: count(&self.retired),
                until: time::after(oldest, rate.per),
            });
        }
        self.retired.push_back(self.now);
        Ok(())
    }
}
