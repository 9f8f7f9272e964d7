//! A world that stands still, as a tick asks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate::ports::{Balancers, Clock, Cloud, HealthQuery, Ports, Probe, QueueQuery, Store};
use tidegate_engine::model::account::Account;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::drain::DrainPost;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, InstanceId, Lifecycle, OurTags};
use tidegate_engine::model::launch::LaunchRequest;
use tidegate_engine::model::reading::{Depth, Health};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::model::volume::Volume;
use tidegate_engine::model::warning::Warning;

/// How much of the list EC2 gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Whole,
    /// Each instance by its id alone.
    ById,
    None,
}

/// What EC2, the load balancers, the checks and the queues say.
#[derive(Debug, Clone)]
pub(super) struct Still {
    pub now: Timestamp,
    pub list: List,
    /// The instances that EC2 shows.
    pub instances: BTreeMap<InstanceId, Instance>,
    pub members: BTreeMap<InstanceId, Membership>,
    pub health: BTreeMap<InstanceId, Health>,
    pub queues: BTreeMap<FleetName, Result<Depth, String>>,
}

/// Why the list of all instances fails, where it does.
pub(super) fn no_list() -> Fault {
    Fault::new(FaultKind::Ambiguous, "InternalError", "a zone is disturbed")
}

impl Still {
    /// Returns a world without anything in it.
    pub(super) fn empty(now: Timestamp) -> Self {
        Self {
            now,
            list: List::Whole,
            instances: BTreeMap::new(),
            members: BTreeMap::new(),
            health: BTreeMap::new(),
            queues: BTreeMap::new(),
        }
    }

    pub(super) fn ports(self, store: Arc<dyn Store>) -> Ports {
        let world = Arc::new(self);
        let (cloud, balancers, probe, clock) =
            (Arc::clone(&world), Arc::clone(&world), Arc::clone(&world), world);
        Ports { cloud, balancers, probe, store, clock }
    }

    fn shown(&self, ids: &[InstanceId]) -> Vec<Instance> {
        ids.iter().filter_map(|id| self.instances.get(id)).cloned().collect()
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.now
    }
}

#[async_trait]
impl Cloud for Still {
    async fn instances(&self, _install: &str) -> Result<Vec<Instance>, Fault> {
        match self.list {
            List::Whole => Ok(self.instances.values().cloned().collect()),
            List::ById | List::None => Err(no_list()),
        }
    }

    async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        Ok(self.shown(ids))
    }

    async fn instances_named(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Fault> {
        let shown = self.shown(ids);
        match &self.list {
            // Asked subnet by subnet: of a silent one no instance is shown.
            List::ById if shown.is_empty() => Err(no_list()),
            List::Whole | List::ById => Ok(shown),
            List::None => Err(no_list()),
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, Fault> {
        let id = InstanceId::new(&format!("i-of-{}", request.token));
        let tags = OurTags::default();
        Ok(instance(id, Lifecycle::Pending, self.now, (Some(request.token.text()), tags)))
    }

    async fn account(&self) -> Option<Account> {
        None
    }

    async fn free_volumes(&self, _install: &str) -> Result<Vec<Volume>, Fault> {
        Ok(Vec::new())
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Fault> {
        Ok(Vec::new())
    }

    async fn tag_drain(&self, _id: &InstanceId, _value: &str) -> Result<(), Fault> {
        Ok(())
    }

    async fn untag_drain(&self, _id: &InstanceId) -> Result<(), Fault> {
        Ok(())
    }

    async fn terminate(&self, _id: &InstanceId) -> Result<(), Fault> {
        Ok(())
    }
}

#[async_trait]
impl Balancers for Still {
    async fn members(
        &self,
        _balancer: &Balancer,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        Ok(self.members.clone())
    }

    async fn drain(&self, _balancer: &Balancer) -> Result<Option<std::time::Duration>, Fault> {
        Ok(None)
    }

    async fn register(&self, _balancer: &Balancer, _id: &InstanceId) -> Result<(), Fault> {
        Ok(())
    }

    async fn deregister(&self, _balancer: &Balancer, _id: &InstanceId) -> Result<(), Fault> {
        Ok(())
    }
}

#[async_trait]
impl Probe for Still {
    async fn queue(&self, query: &QueueQuery) -> Result<Depth, String> {
        self.queues.get(&query.fleet).cloned().unwrap_or_else(|| Err("no queue".to_owned()))
    }

    async fn health(
        &self,
        queries: &[HealthQuery],
        _now: Timestamp,
    ) -> BTreeMap<InstanceId, Health> {
        let found = queries.iter().filter_map(|query| {
            let health = self.health.get(&query.instance)?.clone();
            Some((query.instance.clone(), health))
        });
        found.collect()
    }

    async fn drain(&self, _post: &DrainPost) -> Result<Option<u64>, String> {
        Ok(None)
    }
}

/// An instance as EC2 describes it, with its client token and our tags.
pub(super) fn instance(
    id: InstanceId,
    lifecycle: Lifecycle,
    launched_at: Timestamp,
    (token, tags): (Option<Arc<str>>, OurTags),
) -> Instance {
    Instance {
        id,
        lifecycle,
        launched_at: Some(launched_at),
        instance_type: Some("t3.small".into()),
        subnet: None,
        zone: None,
        private_ip: None,
        public_ip: None,
        private_dns: None,
        token,
        tags,
        state_reason: None,
        attached: None,
        metadata_tags: None,
    }
}
