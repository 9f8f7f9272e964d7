//! Fleets that are rather old ones under a new name: launching for the new name would put as many
//! servers beside those that run.

use std::collections::BTreeMap;

use crate::model::capacity::{Capacity, count};
use crate::model::fleet::FleetName;
use crate::model::ledger::{Ledger, OverrideKey};
use crate::model::roster::FleetView;
use crate::model::time::Timestamp;
use crate::policy::FleetPolicy;

/// The fleet that left the policy and that this one looks like, and how many servers it has. Only a
/// fleet that has none, and for which nothing was ever decided, is new; an approval says that it is
/// another one.
pub(super) fn renamed_from(
    fleet: &FleetPolicy,
    view: &FleetView,
    unmanaged: &BTreeMap<FleetName, Box<FleetView>>,
    ledger: &Ledger,
    now: Timestamp,
) -> Option<(FleetName, Capacity)> {
    let approve = OverrideKey::Approve(fleet.name.clone());
    let approved = ledger.overrides.get(&approve).is_some_and(|entry| entry.until > now);
    if view.memory.target.is_some() || !view.servers.is_empty() || approved {
        return None;
    }
    let old = unmanaged.values().find(|old| looks_like(fleet, old))?;
    Some((old.name.clone(), count(&old.servers)))
}

/// Behind the same load balancer; or launched from the same image, into the same security groups and
/// with the same rights, as of its latest launch. What its role or its user data say may have changed
/// with the name.
fn looks_like(fleet: &FleetPolicy, old: &FleetView) -> bool {
    let behind = fleet.balancer.as_ref().map(|entry| &entry.balancer);
    let was_behind = old.memory.balancer.as_ref().map(|(balancer, _)| balancer);
    if behind.is_some() && behind == was_behind {
        return true;
    }
    let launch = &fleet.launch;
    let requests = old.servers.iter().rev().filter_map(|server| server.record.request.as_ref());
    requests.take(1).any(|request| {
        request.image == launch.image
            && request.security_groups == launch.security_groups
            && request.instance_profile == launch.instance_profile
    })
}
