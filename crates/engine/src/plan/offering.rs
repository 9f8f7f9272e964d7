//! Which offering the next server of a fleet is launched from.

use std::collections::BTreeMap;

use crate::model::capacity::Capacity;
use crate::model::fleet::Pool;
use crate::model::offering::{Breaker, OfferingView, TrackRecord};
use crate::model::plan::Limit;
use crate::model::roster::FleetView;
use crate::model::time::Timestamp;
use crate::policy::Policy;

/// How many launches may be under way in an offering from which no server has ever passed its health
/// check, where the fleet has others.
const UNPROVEN_AT_MOST: Capacity = 4;

/// Chooses offerings for the launches of one plan.
///
/// Working offerings are preferred to failed ones. Among working offerings the first type in the
/// policy's order is preferred, and of its subnets the one with the fewest servers of the fleet. A
/// failed offering is tried again after its backoff, one launch at a time.
pub(super) struct Chooser<'a> {
    view: &'a FleetView,
    offerings: Vec<Candidate<'a>>,
    /// Whether the first launches may wait for a later tick.
    spread: bool,
    now: Timestamp,
}

struct Candidate<'a> {
    offering: &'a OfferingView,
    /// Launches under way, those of this plan included.
    under_way: Capacity,
    /// The place of its type in the policy's order.
    preference: usize,
}

/// Whether an offering may be launched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// It failed, and others are preferred for now.
    LastResort,
    /// It failed lately, is broken, or is asked already.
    BacksOff,
    /// Enough launches are under way to see whether it works.
    Unproven,
    /// It refused for want of capacity, addresses or quota.
    Refused,
}

impl<'a> Chooser<'a> {
    pub(super) fn of(view: &'a FleetView, policy: &Policy, now: Timestamp) -> Self {
        let mut types: Vec<_> = Vec::new();
        let mut place = |pool: &'a Pool| {
            let known = types.iter().position(|known| *known == &pool.instance_type);
            known.unwrap_or_else(|| {
                types.push(&pool.instance_type);
                types.len().saturating_sub(1)
            })
        };
        let offerings = view.offerings.iter().map(|offering| Candidate {
            under_way: offering.under_way,
            preference: place(&offering.pool),
            offering,
        });
        Self { offerings: offerings.collect(), spread: policy.has_ticks(), view, now }
    }

    /// Returns the offering of the next launch, or what keeps the fleet from launching.
    pub(super) fn next(&mut self, servers: &mut BySubnet) -> Result<Pool, Limit> {
        let probe = !matches!(self.view.breaker, Breaker::Closed { .. });
        let readiness: Vec<Readiness> =
            self.offerings.iter().map(|candidate| self.readiness(candidate, probe)).collect();
        let of = |wanted: Readiness| {
            let indices = readiness.iter().enumerate().filter(move |(_, is)| **is == wanted);
            indices.map(|(index, _)| index)
        };
        let ready = of(Readiness::Ready).min_by_key(|index| self.rank(*index, servers));
        // The one that has not been tried for longest.
        let least_recent = |index: &usize| {
            let candidate = self.offerings.get(*index)?;
            Some((candidate.offering.failures()?.planned_at, candidate.preference))
        };
        let chosen = ready.or_else(|| of(Readiness::LastResort).min_by_key(least_recent));
        let Some(candidate) = chosen.and_then(|index| self.offerings.get_mut(index)) else {
            return Err(self.limit(&readiness));
        };
        candidate.under_way = candidate.under_way.saturating_add(1);
        let pool = candidate.offering.pool.clone();
        servers.add(&pool);
        Ok(pool)
    }

    fn readiness(&self, candidate: &Candidate<'_>, probe: bool) -> Readiness {
        let offering = candidate.offering;
        let alone = self.offerings.len() == 1;
        if self.view.backoffs.iter().any(|backoff| backoff.scope.covers(&offering.pool)) {
            return Readiness::Refused;
        }
        let Some(failures) = offering.failures() else {
            let many = candidate.under_way >= UNPROVEN_AT_MOST;
            let unproven = offering.proven_at.is_none() && many && !alone && self.spread;
            return if unproven { Readiness::Unproven } else { Readiness::Ready };
        };
        // The breaker says when its probe is due, and that there is but one.
        if probe {
            return Readiness::LastResort;
        }
        // One launch tells whether EC2 finds it by now.
        let asked = failures.may_show_yet && self.offerings.iter().any(|o| o.under_way > 0);
        if asked || (candidate.under_way > 0 && !alone) || failures.retry_at > self.now {
            Readiness::BacksOff
        } else if failures.backs_off_until <= self.now {
            Readiness::Ready
        } else if failures.broken {
            Readiness::BacksOff
        } else {
            Readiness::LastResort
        }
    }

    /// The order of preference of offerings that are ready: lowest first.
    fn rank(&self, index: usize, servers: &BySubnet) -> Option<impl Ord + use<>> {
        let candidate = self.offerings.get(index)?;
        let pool = &candidate.offering.pool;
        Some((self.suspicion(candidate.offering), candidate.preference, servers.count(pool)))
    }

    /// Returns how much speaks against an offering. Of one that is untried, how many failing offerings
    /// share its type or its subnet: a missing subnet or an unknown type is left behind at the second
    /// launch.
    fn suspicion(&self, offering: &OfferingView) -> usize {
        let works = |candidate: &Candidate<'_>| candidate.offering.track == TrackRecord::Proven;
        match &offering.track {
            TrackRecord::Proven => return 0,
            // A probe, where another offering works; else what is untried comes first.
            TrackRecord::Failing(_) if self.offerings.iter().any(works) => return 0,
            TrackRecord::Failing(_) => return usize::MAX,
            TrackRecord::Unproven => {}
        }
        let pool = &offering.pool;
        let failing = self.offerings.iter().map(|other| other.offering);
        let failing = failing.filter(|other| other.failures().is_some());
        let shares = |other: &&OfferingView| {
            other.pool.subnet == pool.subnet || other.pool.instance_type == pool.instance_type
        };
        failing.filter(shares).count()
    }

    /// Returns why there is no offering to launch from.
    fn limit(&self, readiness: &[Readiness]) -> Limit {
        if readiness.contains(&Readiness::Unproven) {
            let under_way = self.offerings.iter().map(|candidate| candidate.under_way);
            return Limit::FirstServers { under_way: under_way.fold(0, Capacity::saturating_add) };
        }
        let refused = self.view.backoffs.iter().map(|b| (b.until, b.fault.to_string()));
        let failing = self.offerings.iter().filter_map(|candidate| {
            let failures = candidate.offering.failures()?;
            let until = if failures.broken { failures.backs_off_until } else { failures.retry_at };
            Some((until.max(self.now), format!("{}: {}", candidate.offering.pool, failures.last)))
        });
        let soonest = refused.chain(failing).min_by_key(|(until, _)| *until);
        soonest.map_or(Limit::Pace, |(until, last)| Limit::NoOffering { last, until })
    }
}

/// The servers of a fleet in each subnet.
pub(super) struct BySubnet(BTreeMap<String, Capacity>);

impl BySubnet {
    pub(super) fn of(view: &FleetView) -> Self {
        let mut servers = Self(BTreeMap::new());
        for server in view.servers.iter().filter(|server| server.is_alive()) {
            let asked = server.record.request.as_ref().and_then(|r| r.pool.subnet.as_deref());
            let actual = server.instance.as_ref().and_then(|i| i.subnet.as_deref());
            if let Some(subnet) = actual.or(asked) {
                servers.add_to(subnet);
            }
        }
        servers
    }

    fn add(&mut self, pool: &Pool) {
        if let Some(subnet) = pool.subnet.as_deref() {
            self.add_to(subnet);
        }
    }

    fn add_to(&mut self, subnet: &str) {
        let servers = self.0.entry(subnet.to_owned()).or_default();
        *servers = servers.saturating_add(1);
    }

    fn count(&self, pool: &Pool) -> Capacity {
        pool.subnet.as_ref().and_then(|subnet| self.0.get(&**subnet)).copied().unwrap_or(0)
    }
}
