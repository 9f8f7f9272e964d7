//! How the launches of a fleet went in each of its offerings, by the journal's records.
//!
//! A failure is charged to the offering that it happened in, so that a bad zone or type does not stop
//! a fleet that has good ones. Failures under other launch settings do not count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Verdict, Why, verdict};
use crate::model::capacity::{Capacity, count};
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::Pool;
use crate::model::instance::Lifecycle;
use crate::model::launch::Token;
use crate::model::ledger::{Ledger, SettingsRecord};
use crate::model::offering::{Failures, OfferingView, TrackRecord};
use crate::model::roster::{Phase, Server};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::servers::{self, OfFleet};
use crate::model::time::{self, Timestamp};
use crate::policy::{FleetPolicy, LaunchPolicy};

/// How many launches in a row must fail before an offering counts as broken that once worked, or a
/// fleet that never did.
const FAILURES_AT_MOST: Capacity = 3;

/// Failures that are older than this say nothing of the offering's state now.
const COUNTED: Duration = Duration::from_hours(6);

/// How long other offerings are preferred after a failure, doubled with each further one up to the
/// cap: at most four launches in an hour are risked in an offering that fails.
const BACKOFF_FIRST: Duration = Duration::from_mins(15);
const BACKOFF_AT_MOST: Duration = Duration::from_hours(1);

/// EC2 may not show a new image, profile, group or key pair for a short time. While the settings are
/// this young, ...
const SETTINGS_ARE_NEW: Duration = Duration::from_mins(10);
/// ... a refusal for one that is not found is retried for this long, ...
const RETRY_NOT_FOUND_FOR: Duration = Duration::from_mins(2);
/// ... at this pace.
const RETRY_NOT_FOUND_EVERY: Duration = Duration::from_secs(30);

/// A launch that failed.
struct Failure<'a> {
    planned_at: Timestamp,
    failed_at: Timestamp,
    why: Why<'a>,
    at_once: bool,
    fault: Option<&'a Fault>,
}

/// What the history of a fleet's launches is read from.
pub(super) struct Launches<'a> {
    pub(super) settings: Option<&'a SettingsRecord>,
    pub(super) records: &'a OfFleet,
    /// The fleet's servers, with their phases: the plan that retires an overdue server replaces it too,
    /// and so before its retirement is recorded.
    pub(super) servers: &'a [Server],
    pub(super) now: Timestamp,
}

/// Returns how many launches of a fleet failed in a row, over all its offerings.
pub fn failures(fleet: &FleetPolicy, ledger: &Ledger, now: Timestamp) -> Capacity {
    let records = ledger.servers.of_fleet(&fleet.name).unwrap_or(&servers::NONE);
    let settings = ledger.fleets.get(&fleet.name).and_then(|memory| memory.settings.as_ref());
    let launches = Launches { settings, records, servers: &[], now };
    history(&fleet.launch, &launches).failures
}

/// How a fleet's launches went.
pub(super) struct History {
    /// In the policy's order.
    pub(super) offerings: Vec<OfferingView>,
    /// Launches that failed since the last success in their offering.
    pub(super) failures: Capacity,
}

/// Returns the history of a fleet's launches.
pub(super) fn history(launch: &LaunchPolicy, launches: &Launches<'_>) -> History {
    let from = launches.settings.map_or(Timestamp::MIN, |settings| settings.since);
    let counted = from.max(time::before(launches.now, COUNTED));
    let overdue = launches.overdue();
    let unproven = launches.records.unproven_since(counted).filter_map(|record| {
        let request = record.request.as_ref().filter(|_| !record.is_proven())?;
        let verdict = overdue.get(&record.token).copied().unwrap_or_else(|| verdict(record));
        Some(Launch { record, pool: &request.pool, verdict })
    });
    let unproven: Vec<Launch<'_>> = unproven.collect();
    let mut offerings: Vec<OfferingView> =
        pools(launch).map(|pool| launches.offering(pool, &unproven, counted)).collect();
    let failed = unproven.iter().filter(|launch| {
        let proven_at = offerings.iter().find(|o| o.pool == *launch.pool).and_then(|o| o.proven_at);
        let planned_at = launch.record.planned_at;
        let bad = matches!(launch.verdict, Verdict::Bad { .. });
        bad && planned_at >= counted && Some(planned_at) > proven_at
    });
    let failures = count(failed);
    // Where nothing has worked yet, the settings are to blame rather than each offering.
    for offering in &mut offerings {
        let proven = offering.proven_at.is_some_and(|at| at >= from);
        if let TrackRecord::Failing(failing) = &mut offering.track
            && !failing.may_show_yet
        {
            failing.broken |= !proven && failures >= FAILURES_AT_MOST;
        }
    }
    History { offerings, failures }
}

/// Returns the offerings that the policy names: each type in each subnet.
fn pools(launch: &LaunchPolicy) -> impl Iterator<Item = Pool> {
    let or_template = |names: &[String]| -> Vec<Option<Arc<str>>> {
        let named = names.iter().map(|name| Some(name.as_str().into()));
        if names.is_empty() { vec![None] } else { named.collect() }
    };
    let (types, subnets) = (or_template(&launch.types), or_template(&launch.subnets));
    types.into_iter().flat_map(move |instance_type| {
        let pool = move |subnet| Pool { instance_type: instance_type.clone(), subnet };
        subnets.clone().into_iter().map(pool)
    })
}

/// A launch that has not passed its health check.
struct Launch<'a> {
    record: &'a ServerRecord,
    pool: &'a Pool,
    verdict: Verdict<'a>,
}

impl<'a> Launches<'a> {
    /// Returns the failures of servers that are overdue and not retired yet.
    fn overdue(&self) -> BTreeMap<&'a Token, Verdict<'a>> {
        let overdue = self
            .servers
            .iter()
            .filter(|server| server.phase == Phase::Overdue && server.record.retirement.is_none());
        let failed = overdue.map(|server| {
            let waited = time::since(self.now, server.record.planned_at);
            let instance = server.instance.as_ref();
            let pending = instance.is_some_and(|i| i.lifecycle == Lifecycle::Pending);
            let last = server.ailing.as_deref();
            let why = if pending { Why::Pending(waited) } else { Why::NotHealthy { waited, last } };
            (&server.record.token, Verdict::Bad { why, at_once: false })
        });
        failed.collect()
    }

    fn offering(&self, pool: Pool, unproven: &[Launch<'a>], counted: Timestamp) -> OfferingView {
        let here = |record: &&ServerRecord| record.request.as_ref().is_some_and(|r| r.pool == pool);
        let proven = self.records.open().filter(here).filter(|record| record.is_proven());
        let proven_at = proven.map(|record| record.planned_at).max();
        let proven_at = proven_at.max(self.records.last_proven_in(&pool));
        let later = unproven.iter().filter(|launch| {
            let planned_at = launch.record.planned_at;
            planned_at >= counted && Some(planned_at) > proven_at
        });
        let failures = later.filter_map(|launch| failure(launch, &pool));
        let mut failures: Vec<Failure<'_>> = failures.collect();
        failures.sort_by_key(|failure| failure.planned_at);
        let since = self.settings.map(|settings| settings.since);
        let track = match failing(&failures, self.settings) {
            Some(failing) => TrackRecord::Failing(failing),
            None if proven_at.is_some() && proven_at >= since => TrackRecord::Proven,
            None => TrackRecord::Unproven,
        };
        let under_way = unproven.iter().filter(|launch| {
            let is_open = launch.record.is_open() && matches!(launch.verdict, Verdict::Unsaid);
            is_open && *launch.pool == pool
        });
        let planned: Vec<Timestamp> = under_way.map(|launch| launch.record.planned_at).collect();
        OfferingView {
            under_way: count(&planned),
            last_under_way: planned.into_iter().max(),
            proven_at,
            track,
            pool,
        }
    }
}

/// Returns the failure that a launch is for an offering: in that offering, or refused for something
/// that the offering shares.
fn failure<'a>(launch: &Launch<'a>, pool: &Pool) -> Option<Failure<'a>> {
    let Launch { record, pool: launched, verdict } = *launch;
    let Verdict::Bad { why, at_once } = verdict else { return None };
    let fault = match &record.launch {
        LaunchState::Refused(fault) => Some(fault),
        LaunchState::Asked(_) | LaunchState::Launched(_) => None,
    };
    let shared = match fault.map(|fault| fault.kind) {
        Some(FaultKind::NotFound) => true,
        Some(FaultKind::SubnetNotFound) => launched.subnet == pool.subnet,
        _ => launched == pool,
    };
    let retired = record.retirement.as_ref().map(|retirement| retirement.begun_at);
    let failed_at = retired.or(record.gone.as_ref().map(|gone| gone.at));
    shared.then(|| Failure {
        planned_at: record.planned_at,
        failed_at: failed_at.unwrap_or(record.planned_at),
        why,
        at_once,
        fault,
    })
}

/// Returns what failures in a row come to, oldest first.
fn failing(failures: &[Failure<'_>], settings: Option<&SettingsRecord>) -> Option<Failures> {
    let last = failures.last()?;
    let count = Capacity::try_from(failures.len()).unwrap_or(Capacity::MAX);
    let wait = time::backoff(BACKOFF_FIRST, count, BACKOFF_AT_MOST);
    let may_show = may_show_yet(failures, settings);
    let pause = if may_show { RETRY_NOT_FOUND_EVERY } else { Duration::ZERO };
    Some(Failures {
        count,
        last: last.why.to_string(),
        planned_at: last.planned_at,
        backs_off_until: time::after(last.failed_at, wait),
        may_show_yet: may_show,
        broken: !may_show && (last.at_once || count >= FAILURES_AT_MOST),
        retry_at: time::after(last.planned_at, pause),
    })
}

/// Returns whether what EC2 does not find may only be too new to be shown.
fn may_show_yet(failures: &[Failure<'_>], settings: Option<&SettingsRecord>) -> bool {
    let not_found = |failure: &&Failure<'_>| {
        failure.fault.is_some_and(|fault| fault.kind == FaultKind::NotFound)
    };
    let Some(settings) = settings else { return false };
    let (Some(first), Some(last)) =
        (failures.iter().find(not_found), failures.last().filter(not_found))
    else {
        return false;
    };
    let new = time::since(first.planned_at, settings.since) < SETTINGS_ARE_NEW;
    new && time::since(last.planned_at, first.planned_at) < RETRY_NOT_FOUND_FOR
}
