//! Fleets that are rather old ones under a new name: launching for the new name would put as many
//! servers beside those that run.

use std::collections::BTreeMap;

use crate::model::capacity::Capacity;
use crate::model::fleet::FleetName;
use crate::model::ledger::{Ledger, OverrideKey};
use crate::model::roster::FleetView;
use crate::model::time::Timestamp;
use crate::policy::FleetPolicy;

/// The fleet that left the policy and that this one looks like, and how many servers it has to serve with.
/// Only a fleet for which nothing was ever decided is new; an approval says that it is another one, and
/// so does an order to retire the old one.
pub(super) fn renamed_from(
    fleet: &FleetPolicy,
    view: &FleetView,
    unmanaged: &BTreeMap<FleetName, Box<FleetView>>,
    ledger: &Ledger,
    now: Timestamp,
) -> Option<(FleetName, Capacity)> {
    let approve = OverrideKey::Approve(fleet.name.clone());
    let approved = ledger.overrides.get(&approve).is_some_and(|entry| entry.until > now);
    if view.memory.target.is_some() || approved {
        return None;
    }
    let serves = |old: &&FleetView| old.retire.is_none() && old.capacity() > 0;
    let old = || unmanaged.values().map(Box::as_ref).filter(serves);
    let behind = old().find(|old| is_behind_the_same(fleet, old));
    let old = behind.or_else(|| old().find(|old| is_alike(fleet, old)));
    old.map(|old| (old.name.clone(), old.capacity()))
}

fn is_behind_the_same(fleet: &FleetPolicy, old: &FleetView) -> bool {
    let behind = fleet.balancer.as_ref().map(|entry| &entry.balancer);
    let was_behind = old.memory.balancer.as_ref().map(|(balancer, _)| balancer);
    behind.is_some() && behind == was_behind
}

/// Launched from the same image, into the same security groups and with the same rights, as of its
/// latest launch. What its role or its user data say may have changed with the name.
fn is_alike(fleet: &FleetPolicy, old: &FleetView) -> bool {
    let launch = &fleet.launch;
    let mut requests = old.servers.iter().rev().filter_map(|server| server.record.request.as_ref());
    requests.next().is_some_and(|request| {
        request.image == launch.image
            && request.security_groups == launch.security_groups
            && request.instance_profile == launch.instance_profile
    })
}
