//! Launches, terminations and boots: counted as the journal's records of servers change, each once,
//! however often a call was repeated before its outcome was certain.

use std::collections::BTreeMap;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Labels, word};
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::retirement::RetireReason;
use tidegate_engine::model::server::{GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time;
use tidegate_engine::policy::Policy;

/// From a lean image to one that installs everything when it starts.
const BOOT_BUCKETS: [f64; 10] =
    [15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 2400.0];

#[derive(Debug, Clone, Copy)]
struct BootBuckets;

impl MetricConstructor<Histogram> for BootBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BOOT_BUCKETS)
    }
}

#[derive(Debug)]
pub(super) struct Lives {
    known: BTreeMap<Token, Standing>,
    launches: Family<Labels, Counter>,
    terminations: Family<Labels, Counter>,
    boots: Family<Labels, Histogram, BootBuckets>,
}

/// What has been counted of a server.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    settled: bool,
    served: bool,
    gone: bool,
}

impl Standing {
    fn of(record: &ServerRecord) -> Self {
        Self {
            settled: result(record).is_some(),
            served: record.in_service_at.is_some(),
            gone: record.gone.is_some(),
        }
    }
}

impl Lives {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let launches = Family::<Labels, Counter>::default();
        registry.register(
            "launches",
            "Launches whose outcome is certain, by that outcome",
            launches.clone(),
        );
        let terminations = Family::<Labels, Counter>::default();
        registry.register(
            "terminations",
            "Servers that are gone, by what they went for",
            terminations.clone(),
        );
        let boots = Family::<Labels, Histogram, BootBuckets>::new_with_constructor(BootBuckets);
        registry.register(
            "boot_duration_seconds",
            "From a server's start to its being in service",
            boots.clone(),
        );
        Self { known: BTreeMap::new(), launches, terminations, boots }
    }

    pub(super) fn begin(&mut self, policy: &Policy, ledger: &Ledger) {
        self.know(ledger);
        self.zero(policy);
    }

    /// A counter that is there from the start shows its first increase.
    fn zero(&self, policy: &Policy) {
        for fleet in policy.fleets.keys() {
            drop(self.launches.get_or_create(&labels(fleet.as_str(), "result", "launched")));
            drop(self.terminations.get_or_create(&labels(fleet.as_str(), "reason", "scale_in")));
        }
    }

    pub(super) fn follow(&mut self, policy: &Policy, ledger: &Ledger) {
        self.zero(policy);
        for record in ledger.servers.all() {
            let (before, now) =
                (self.known.get(&record.token).copied().unwrap_or_default(), Standing::of(record));
            // A server that was found in EC2 was launched by whoever lost the journal.
            let ours = record.request.is_some();
            let fleet = record.fleet.as_str();
            if let (true, false, Some(result)) = (ours, before.settled, result(record)) {
                self.launches.get_or_create(&labels(fleet, "result", &result)).inc();
            }
            if let (false, Some(reason)) = (before.gone, reason(record)) {
                self.terminations.get_or_create(&labels(fleet, "reason", reason)).inc();
            }
            if let (true, true, false, Some(at)) =
                (ours, now.served, before.served, record.in_service_at)
            {
                let took = time::since(at, record.launched_at.unwrap_or(record.planned_at));
                let fleet = vec![("fleet", fleet.to_owned())];
                self.boots.get_or_create(&fleet).observe(took.as_secs_f64());
            }
        }
        self.know(ledger);
    }

    fn know(&mut self, ledger: &Ledger) {
        let records = ledger.servers.all();
        self.known = records.map(|record| (record.token.clone(), Standing::of(record))).collect();
    }
}

fn labels(fleet: &str, name: &'static str, value: &str) -> Labels {
    vec![("fleet", fleet.to_owned()), (name, value.to_owned())]
}

/// What came of a launch, once that is certain.
fn result(record: &ServerRecord) -> Option<String> {
    match (&record.launch, &record.gone) {
        (LaunchState::Launched(_), _) => Some("launched".to_owned()),
        (LaunchState::Refused(fault), _) => Some(word(fault.kind.as_str())),
        (LaunchState::Asked(_), Some(_)) => Some("unanswered".to_owned()),
        (LaunchState::Asked(_), None) => None,
    }
}

/// What a server went for, if there was one and it is gone.
fn reason(record: &ServerRecord) -> Option<&'static str> {
    Some(match &record.gone.as_ref()?.how {
        GoneHow::NeverWas => return None,
        GoneHow::BehindOurBack(_) => "behind_our_back",
        GoneHow::Vanished => "vanished",
        GoneHow::Retired => match record.retirement.as_ref().map(|r| &r.why) {
            Some(RetireReason::NeverHealthy { .. }) => "never_healthy",
            Some(RetireReason::Sick { .. }) => "sick",
            Some(RetireReason::StuckPending { .. }) => "stuck_pending",
            Some(RetireReason::Operator { .. }) => "operator",
            Some(RetireReason::ScaleIn) | None => "scale_in",
        },
    })
}
