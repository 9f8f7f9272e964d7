//! Refusals for want of capacity, addresses or quota, and how long each is respected.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::capacity::count;
use crate::model::fault::{Fault, FaultKind};
use crate::model::launch::Image;
use crate::model::ledger::Ledger;
use crate::model::offering::{Backoff, BackoffScope, QuotaFamily};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::servers::OfFleet;
use crate::model::time::{self, Timestamp};

/// How long a pool that refused is passed over. Capacity comes back in minutes, and asking is cheap.
const POOL: Duration = Duration::from_mins(5);
/// Doubled at each refusal within the hour, up to this.
const POOL_AT_MOST: Duration = Duration::from_mins(30);
const REFUSALS_COUNTED: Duration = Duration::from_hours(1);

/// How long nothing is launched against a quota that was reached: another zone cannot help, and only a
/// termination or a person can.
const QUOTA: Duration = Duration::from_mins(10);

/// Returns the pools and subnets that refused this fleet lately, each for the longer the more often it
/// did.
pub(super) fn of_fleet(records: &OfFleet, now: Timestamp) -> Vec<Backoff> {
    let mut refusals: BTreeMap<BackoffScope, Vec<(Timestamp, &Fault)>> = BTreeMap::new();
    let long_ago = time::before(now, REFUSALS_COUNTED);
    let asked = records.unproven_since(long_ago).filter(|record| record.planned_at >= long_ago);
    for record in asked {
        let (LaunchState::Refused(fault), Some(request)) = (&record.launch, &record.request) else {
            continue;
        };
        let scope = match (fault.kind, &request.pool.subnet) {
            (FaultKind::NoCapacity, _) => BackoffScope::Pool(request.pool.clone()),
            (FaultKind::SubnetFull, Some(subnet)) => BackoffScope::Subnet(subnet.clone()),
            (_, _) => continue,
        };
        refusals.entry(scope).or_default().push((record.planned_at, fault));
    }
    let backoffs = refusals.into_iter().filter_map(|(scope, refusals)| {
        let (last, fault) = refusals.iter().max_by_key(|(at, _)| *at)?;
        let until = time::after(*last, time::backoff(POOL, count(&refusals), POOL_AT_MOST));
        (until > now).then(|| Backoff { scope, until, fault: (*fault).clone() })
    });
    backoffs.collect()
}

/// A quota that a launch of any fleet reached.
pub(super) struct Reached<'a> {
    backoff: Backoff,
    image: &'a Image,
}

/// Returns the quotas that were reached lately.
pub(super) fn quotas(ledger: &Ledger, now: Timestamp) -> Vec<Reached<'_>> {
    let long_ago = time::before(now, QUOTA);
    let fleets = ledger.servers.by_fleet();
    let records = fleets.flat_map(|(_, records)| records.unproven_since(long_ago));
    records.filter(|record| record.planned_at > long_ago).filter_map(reached).collect()
}

fn reached(record: &ServerRecord) -> Option<Reached<'_>> {
    let (LaunchState::Refused(fault), Some(request)) = (&record.launch, &record.request) else {
        return None;
    };
    let scope = if fault.kind == FaultKind::AccountQuota {
        BackoffScope::Account
    } else if fault.kind == FaultKind::Quota {
        BackoffScope::Quota(QuotaFamily::of(request.pool.instance_type.as_deref()))
    } else {
        return None;
    };
    let until = time::after(record.planned_at, QUOTA);
    Some(Reached { backoff: Backoff { scope, until, fault: fault.clone() }, image: &request.image })
}

/// Returns the reached quotas that launches from `image` count against too. Whether a launch asks for
/// Spot or On-Demand capacity, which have quotas of their own, is the template's business: a refusal
/// under one template says nothing of another, nor of launches without.
pub(super) fn that_bind(reached: &[Reached<'_>], image: &Image) -> Vec<Backoff> {
    let mut bind: BTreeMap<&BackoffScope, &Backoff> = BTreeMap::new();
    for Reached { backoff, image: refused } in reached {
        let same_market = match (refused, image) {
            (Image::Id(_), Image::Id(_)) => true,
            (Image::Template { name: a, .. }, Image::Template { name: b, .. }) => a == b,
            (Image::Id(_), Image::Template { .. }) | (Image::Template { .. }, Image::Id(_)) => {
                false
            }
        };
        if same_market || backoff.scope == BackoffScope::Account {
            let known = bind.entry(&backoff.scope).or_insert(backoff);
            if known.until < backoff.until {
                *known = backoff;
            }
        }
    }
    bind.into_values().cloned().collect()
}
