//! The facts of a snapshot as a tick would have them: server records in the ledger, and instances,
//! health findings and memberships in the observation.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::snapshot::{ServerSnapshot, ServerState};
use crate::model::balancer::Membership;
use crate::model::drain::Drain;
use crate::model::fleet::Pool;
use crate::model::instance::{Instance, InstanceId, Lifecycle, OurTags};
use crate::model::launch::Token;
use crate::model::ledger::{Change, Ledger};
use crate::model::observation::Observation;
use crate::model::reading::{Health, Recent};
use crate::model::retirement::{RetireReason, Retirement, Stage};
use crate::model::server::{LaunchState, ServerRecord};
use crate::model::servers::OfFleet;
use crate::model::time::{Clocks, Timestamp};
use crate::plan::frozen_request;
use crate::policy::{FleetPolicy, Policy};

/// One fleet's part of a snapshot on its way into ledger and observation.
pub(super) struct Facts<'a> {
    pub(super) policy: &'a Policy,
    pub(super) fleet: &'a FleetPolicy,
    pub(super) install: &'a Arc<str>,
    pub(super) measures_boots: bool,
    pub(super) ledger: &'a mut Ledger,
    pub(super) seen: &'a mut Observation,
}

impl Facts<'_> {
    /// Takes in launches without a server. An open launch that the snapshot leaves out has been settled.
    pub(super) fn launches(&mut self, told: Vec<Arc<ServerRecord>>) {
        let records = self.ledger.servers.of_fleet(&self.fleet.name);
        let open = records.into_iter().flat_map(OfFleet::open);
        let asked = open.filter(|record| record.instance().is_none());
        let settled = asked.filter(|record| told.iter().all(|one| one.token != record.token));
        let settled: Vec<Token> = settled.map(|record| record.token.clone()).collect();
        for token in settled {
            self.ledger.apply(&Change::Unasked(token));
        }
        for record in told {
            if self.ledger.servers.get(&record.token) != Some(&*record) {
                self.ledger.apply(&Change::Server(record));
            }
        }
    }

    /// Returns the open servers that a complete snapshot leaves out.
    pub(super) fn ended(&self, told: &[ServerSnapshot]) -> Vec<ServerSnapshot> {
        let records = self.ledger.servers.of_fleet(&self.fleet.name);
        let told: BTreeSet<&InstanceId> = told.iter().map(|server| &server.id).collect();
        let open = records.into_iter().flat_map(OfFleet::open);
        let left_out = open.filter_map(|record| {
            let id = record.instance().filter(|id| !told.contains(id))?;
            let launched_at = record.launched_at.unwrap_or(record.planned_at);
            Some(ServerSnapshot::new(id.clone(), launched_at, ServerState::Ended))
        });
        left_out.collect()
    }

    /// Takes in a server.
    pub(super) fn server(&mut self, told: ServerSnapshot) {
        let known = self.ledger.servers.of_instance(&told.id);
        let is_open = known.is_some_and(ServerRecord::is_open) || told.record.is_some();
        if told.state == ServerState::Ended && !is_open {
            return;
        }
        let record = told.record.clone().unwrap_or_else(|| Arc::new(self.record(known, &told)));
        if known != Some(&*record) {
            self.ledger.apply(&Change::Server(Arc::clone(&record)));
        }
        self.show(&record, told);
    }

    /// The server's record as a tick would find it in the journal.
    fn record(&self, known: Option<&ServerRecord>, told: &ServerSnapshot) -> ServerRecord {
        let (now, launched_at) = (self.seen.now, told.launched_at);
        let mut record = known.cloned().unwrap_or_else(|| self.new_record(told));
        record.launched_at = Some(launched_at);
        record.gone = None;
        let drains = matches!(told.state, ServerState::Draining(_) | ServerState::Ended);
        let retirement = record.retirement.take().filter(|_| drains);
        match &told.state {
            ServerState::Booting => {
                (record.healthy_at, record.in_service_at, record.sick_since) = (None, None, None);
            }
            // A check of the tick says that it is in service, where EC2 shows it.
            ServerState::InService if told.listed && self.seen.instances.is_ok() => {}
            ServerState::InService => {
                serves(&mut record, now);
                record.sick_since = None;
            }
            ServerState::Unhealthy { since } => {
                serves(&mut record, now);
                record.sick_since = since.or(record.sick_since).or(Some(now));
            }
            ServerState::Draining(told) => {
                let retirement = told.as_ref().map_or_else(
                    || retirement.clone().unwrap_or_else(|| self.retirement(launched_at)),
                    |told| advanced(told.clone(), retirement.as_ref()),
                );
                if !retirement.why.is_failed_launch() {
                    serves(&mut record, now);
                }
                record.retirement = Some(retirement);
            }
            // Not by itself: the caller ended it, and it is out of its load balancer.
            ServerState::Ended => {
                let mut retirement = retirement.unwrap_or_else(|| {
                    Retirement::begin(RetireReason::ScaleIn, None, self.seen.clocks())
                });
                retirement.deregistered(now);
                record.retirement = Some(retirement);
            }
        }
        record
    }

    fn new_record(&self, told: &ServerSnapshot) -> ServerRecord {
        let token = Token::adopted(&self.policy.install, &told.id);
        let measured = self.measures_boots && told.state == ServerState::Booting;
        let pool = told.pool.clone().or_else(|| measured.then(|| first_pool(self.fleet)));
        let request =
            pool.map(|pool| Arc::new(frozen_request(self.policy, self.fleet, pool, token.clone())));
        ServerRecord {
            token,
            fleet: self.fleet.name.clone(),
            planned_at: told.launched_at,
            planned_at_ec2: None,
            request,
            launch: LaunchState::Launched(told.id.clone()),
            launched_at: Some(told.launched_at),
            private_ip: None,
            healthy_at: None,
            in_service_at: None,
            restarted_at: None,
            sick_since: None,
            absent_since: None,
            retirement: None,
            cleared_at: None,
            gone: None,
        }
    }

    /// A drain that the caller has begun. It is not told when: the order of cancelling is that of the
    /// launches, and the drain counts from now on.
    fn retirement(&self, launched_at: Timestamp) -> Retirement {
        let (terms, now) = (self.fleet.drain_terms(), self.seen.now);
        let clocks = Clocks::new(launched_at, None);
        let mut retirement = Retirement::begin(RetireReason::ScaleIn, terms.cloned(), clocks);
        if let Some(terms) = terms {
            retirement.stage = Stage::Draining(Drain::begin(None, terms, now));
        }
        if self.fleet.balancer.is_some() {
            retirement.deregistered(now);
        }
        retirement
    }

    /// Adds the server to the observation: to EC2's list, the health checks and its load balancer.
    fn show(&mut self, record: &ServerRecord, told: ServerSnapshot) {
        let (passed, member) = match &told.state {
            ServerState::InService => (Some(Ok(())), true),
            ServerState::Unhealthy { .. } => {
                (Some(Err("unhealthy in the snapshot".to_owned())), true)
            }
            // A tick checks no server that is on its way out.
            ServerState::Booting | ServerState::Draining(_) | ServerState::Ended => (None, false),
        };
        let balancer = self.fleet.balancer.as_ref().filter(|_| member);
        if let Some(entry) = balancer
            && let Some(Ok(members)) = self.seen.balancers.get_mut(&entry.balancer)
        {
            members.insert(told.id.clone(), Membership::InService);
        }
        let Ok(listed) = &mut self.seen.instances else { return };
        if !told.listed {
            return;
        }
        if let Some(passed) = passed {
            let recent = if passed.is_ok() { Recent::default().then(true) } else { failing() };
            let health = Health { at: self.seen.now, passed, recent };
            self.seen.health.insert(told.id.clone(), health);
        }
        let ended = told.state == ServerState::Ended;
        let lifecycle = if ended { Lifecycle::Terminated } else { Lifecycle::Running };
        let pool = told.pool.as_ref().or(record.request.as_ref().map(|request| &request.pool));
        let instance = Instance {
            id: told.id.clone(),
            lifecycle,
            launched_at: Some(told.launched_at),
            instance_type: pool.and_then(|pool| pool.instance_type.clone()),
            subnet: pool.and_then(|pool| pool.subnet.clone()),
            zone: told.zone,
            private_ip: None,
            public_ip: None,
            private_dns: None,
            token: Some(record.token.text()),
            tags: OurTags {
                install: Some(Arc::clone(self.install)),
                fleet: Some(self.fleet.name.clone()),
                keep: told.kept,
                ..OurTags::default()
            },
            state_reason: None,
            attached: None,
            metadata_tags: None,
        };
        listed.insert(told.id, instance);
    }
}

/// Records that a server has served.
fn serves(record: &mut ServerRecord, now: Timestamp) {
    record.healthy_at.get_or_insert(now);
    record.in_service_at.get_or_insert(now);
}

/// The retirement as told. The end of its drain is kept that an earlier evaluation has found.
fn advanced(mut told: Retirement, known: Option<&Retirement>) -> Retirement {
    let end = known.and_then(Retirement::draining).and_then(|drain| drain.end);
    if let Stage::Draining(drain) = &mut told.stage {
        drain.end = drain.end.or(end);
    }
    told
}

/// The policy's first choice, for a server of which it is not told.
fn first_pool(fleet: &FleetPolicy) -> Pool {
    let first = |names: &[String]| names.first().map(|name| name.as_str().into());
    Pool { instance_type: first(&fleet.launch.types), subnet: first(&fleet.launch.subnets) }
}

/// Enough failed checks for a finding.
fn failing() -> Recent {
    (0..4).fold(Recent::default(), |recent, _| recent.then(false))
}
