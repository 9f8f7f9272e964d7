//! How much may change at once, over all fleets together. Read off the roster, so that a restart
//! hands out nothing twice.

use crate::model::capacity::Capacity;
use crate::model::plan::Limit;
use crate::model::rate::RateLimit;
use crate::model::roster::Roster;
use crate::policy::Policy;

/// New launches in one tick. EC2 lets RunInstances through in bursts of five, two a second after.
const LAUNCHES_PER_TICK: Capacity = 5;

#[derive(Clone)]
pub(super) struct Budget {
    instances: Option<Capacity>,
    alive: Capacity,
    launches_left: Capacity,
    launches: RateLimit,
    retirements: RateLimit,
}

impl Budget {
    pub(super) fn new(policy: &Policy, roster: &Roster) -> Self {
        let views = roster.fleets.values().chain(roster.unmanaged.values());
        Self {
            instances: policy.limits.instances,
            alive: views.map(|view| view.alive()).fold(0, Capacity::saturating_add),
            launches_left: if policy.has_ticks() { LAUNCHES_PER_TICK } else { Capacity::MAX },
            launches: RateLimit::new(
                policy.limits.launch,
                &roster.recent_launches,
                roster.clocks(),
            ),
            retirements: roster.terminations(policy.limits.terminate),
        }
    }

    /// Takes the room for one launch, or says what forbids it.
    pub(super) fn launch(&mut self) -> Result<(), Limit> {
        if let Some(limit) = self.instances
            && self.alive >= limit
        {
            return Err(Limit::Instances { limit, alive: self.alive });
        }
        if self.launches_left == 0 && self.launches.left() != Some(0) {
            return Err(Limit::Pace);
        }
        self.launches.take().map_err(Limit::Launch)?;
        self.alive = self.alive.saturating_add(1);
        self.launches_left = self.launches_left.saturating_sub(1);
        Ok(())
    }

    /// Takes the room for one retirement, or says what forbids it.
    pub(super) fn retire(&mut self) -> Result<(), Limit> {
        self.retirements.take().map_err(Limit::Terminate)
    }
}
