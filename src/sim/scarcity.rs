//! What there is to be had, where and when: capacity by pool and by zone, and the account's quota.

use std::time::Duration;

use super::faults::Trouble;
use super::world::World;
use tidegate_engine::model::capacity::count;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::Pool;

/// What [`Trouble::Quota`] allows.
const QUOTA: u32 = 6;

impl World {
    /// Why a launch into this pool is refused now, if it is.
    pub(super) fn refusal(&mut self, pool: &Pool) -> Option<Fault> {
        let scarce = self.has(Trouble::NoCapacity)
            && pool.instance_type.as_deref().is_some_and(|kind| self.is_scarce(kind));
        if let Some(fault) = self.refuses(pool) {
            return Some(fault);
        }
        if scarce || self.is_dry(pool) || self.is_cut_off(pool) {
            return Some(Fault::new(
                FaultKind::NoCapacity,
                "InsufficientInstanceCapacity",
                "There is no capacity of that type in this zone at the moment.",
            ));
        }
        let alive = self.shown().filter(|machine| machine.lifecycle(self.now()).is_alive());
        (self.has(Trouble::Quota) && count(alive) >= QUOTA).then(|| {
            Fault::new(
                FaultKind::Quota,
                "VcpuLimitExceeded",
                "You have requested more vCPU capacity than your current vCPU limit allows.",
            )
        })
    }

    /// The first type that was ever asked for is the scarce one.
    fn is_scarce(&mut self, kind: &str) -> bool {
        self.scarce_type.get_or_insert_with(|| kind.to_owned()) == kind
    }

    /// [`Trouble::ScarcePools`] has this one now.
    fn is_dry(&self, pool: &Pool) -> bool {
        let (every, lasts) = (Duration::from_hours(3), Duration::from_hours(1));
        pool.instance_type.is_some()
            && self.spell(Trouble::ScarcePools, &pool.to_string(), every, lasts)
    }

    /// [`Trouble::ZoneOutage`] has this pool's zone now; it never has two at once.
    pub(super) fn is_cut_off(&self, pool: &Pool) -> bool {
        let Some(subnet) = &pool.subnet else { return false };
        let (every, lasts) = (Duration::from_hours(4), Duration::from_mins(30));
        self.spell(Trouble::ZoneOutage, "", every, lasts)
            && self.weakest_subnet.as_ref() == Some(subnet)
    }

    /// Whether the load balancers' API fails this call.
    pub(super) fn balancers_fail(&mut self) -> bool {
        let (every, lasts) = (Duration::from_hours(2), Duration::from_mins(10));
        self.spell(Trouble::DeadBalancer, "api", every, lasts)
            || self.strikes(Trouble::DeadBalancer, 0.2)
    }
}
