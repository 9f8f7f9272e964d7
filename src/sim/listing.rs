//! What EC2 shows of the imagined world: to whom, how late, and with which gaps.

use std::sync::Arc;
use std::time::Duration;

use super::faults::Trouble;
use super::machine::Machine;
use super::world::World;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::{Instance, InstanceId, Lifecycle};
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::model::volume::Volume;

/// [`Trouble::LateListing`]'s delays: of the list, of a question by id, and of the load balancers.
const LISTED_AFTER: Duration = Duration::from_mins(1);
const FOUND_BY_ID_AFTER: Duration = Duration::from_secs(40);
const KNOWN_TO_BALANCERS_AFTER: Duration = Duration::from_secs(80);

/// How old [`Trouble::OldList`] makes the list.
const OLD_BY: Duration = Duration::from_mins(10);

/// What [`Trouble::KeptVolumes`] leaves behind.
const VOLUME_GIB: u32 = 20;

impl World {
    /// DescribeInstances, filtered by the install tag.
    pub fn instances(&mut self, install: &str) -> Result<Vec<Instance>, Fault> {
        let shown_at = self.listed_at();
        let ours = |machine: &&Machine| machine.install() == Some(install);
        Ok(self.listing()?.filter(ours).map(|machine| machine.describe(shown_at)).collect())
    }

    /// DescribeInstances of these ids, whatever their tags: those that there are.
    pub fn instances_by_id(&mut self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        let now = self.now();
        let asked = |machine: &&Machine| ids.contains(&machine.id);
        self.all_zones_answer()?;
        let found = self.seen_after(FOUND_BY_ID_AFTER)?.filter(asked);
        Ok(found.map(|machine| machine.describe(now)).collect())
    }

    /// DescribeInstances by ids alone: refused only for a zone that it concerns.
    pub fn instances_named(&mut self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        let now = self.now();
        Ok(self.named(ids)?.map(|machine| machine.describe(now)).collect())
    }

    pub(super) fn named(
        &mut self,
        ids: &[InstanceId],
    ) -> Result<impl Iterator<Item = &Machine>, Fault> {
        let of = |id| self.machine(id).and_then(|machine| machine.request.pool.subnet.as_ref());
        if self.silent().is_some_and(|subnet| ids.iter().any(|id| of(id) == Some(subnet))) {
            return Err(unavailable());
        }
        Ok(self.seen_after(FOUND_BY_ID_AFTER)?.filter(|machine| ids.contains(&machine.id)))
    }

    /// The subnet of which EC2 shows nothing now.
    fn silent(&self) -> Option<&Arc<str>> {
        let (every, lasts) = (Duration::from_hours(3), Duration::from_mins(20));
        let spell = self.spell(Trouble::ZoneUnlisted, "", every, lasts);
        self.silent_subnet.as_ref().or(self.weakest_subnet.as_ref().filter(|_| spell))
    }

    fn all_zones_answer(&self) -> Result<(), Fault> {
        if self.silent().is_some() { Err(unavailable()) } else { Ok(()) }
    }

    /// The instant that the list is of: [`Trouble::OldList`] makes it an old one.
    pub(super) fn listed_at(&self) -> Timestamp {
        let (every, lasts) = (Duration::from_hours(2), Duration::from_mins(15));
        let old = self.spell(Trouble::OldList, "", every, lasts);
        if old { time::before(self.now(), OLD_BY) } else { self.now() }
    }

    /// Whether the load balancers know of an instance yet.
    pub(super) fn is_known_to_balancers(&self, id: &InstanceId) -> bool {
        let late = self.has(Trouble::LateListing);
        self.machines.get(id).is_some_and(|machine| {
            !late || time::since(self.now(), machine.launched_at) >= KNOWN_TO_BALANCERS_AFTER
        })
    }

    /// DescribeInstances: whatever EC2 would list at this moment, in order of the ids.
    pub fn listing(&mut self) -> Result<impl Iterator<Item = &Machine>, Fault> {
        self.all_zones_answer()?;
        let shown_at = self.listed_at();
        let listed = self.seen_after(LISTED_AFTER)?;
        Ok(listed.filter(move |machine| machine.launched_at <= shown_at))
    }

    /// The same for a reader who sees a launch so much later. No two readers of EC2 need agree.
    fn seen_after(&mut self, lag: Duration) -> Result<impl Iterator<Item = &Machine>, Fault> {
        self.admit("DescribeInstances")?;
        if self.strikes(Trouble::BlindSpots, 0.2) {
            return Err(Fault::new(
                FaultKind::Ambiguous,
                "InternalError",
                "An internal error has occurred.",
            ));
        }
        let now = self.now();
        let late = self.has(Trouble::LateListing);
        let partial = self.is_partial();
        let hidden = &self.hidden;
        Ok(self.machines.values().filter(move |machine| {
            let visible = !late || time::since(now, machine.launched_at) >= lag;
            let hidden = hidden.get(&machine.id).is_some_and(|until| now < *until);
            visible && !hidden && machine.is_shown(now) && !(partial && machine.is_easily_missed())
        }))
    }

    /// EC2 leaves an instance out of its answers until then, whether it runs or ends.
    pub fn hide(&mut self, id: &InstanceId, until: Timestamp) {
        self.hidden.insert(id.clone(), until);
    }

    /// The volumes of an install that no instance uses.
    pub fn free_volumes(&self, install: &str) -> Vec<Volume> {
        let now = self.now();
        let gone = self.machines.values().chain(self.forgotten.values()).filter(|machine| {
            machine.keeps_volume
                && machine.lifecycle(now) == Lifecycle::Terminated
                && machine.install() == Some(install)
        });
        let volume = |machine: &Machine| Volume {
            id: machine.volume("vol-"),
            gib: VOLUME_GIB,
            fleet: machine.fleet().cloned(),
        };
        gone.map(volume).collect()
    }

    /// Whether the list lacks instances now. Of a few it lacks none: that one or two are gone is easy
    /// to believe, and nobody could tell.
    fn is_partial(&self) -> bool {
        let span = self.now().as_second().div_euclid(1200) % 5 == 2;
        let alive =
            self.machines.values().filter(|machine| machine.lifecycle(self.now()).is_alive());
        self.has(Trouble::PartialList) && span && alive.filter(|m| m.is_easily_missed()).count() > 2
    }
}

fn unavailable() -> Fault {
    Fault::new(FaultKind::Ambiguous, "Unavailable", "The service is unavailable. Please try again.")
}
