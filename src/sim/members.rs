//! The imagined load balancers: registration takes a moment, deregistration drains.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::time::{self, Timestamp};

#[derive(Debug)]
pub struct Members {
    /// How long a balancer takes to put a healthy member into service.
    registering: Duration,
    balancers: BTreeMap<Balancer, Lb>,
}

#[derive(Debug)]
struct Lb {
    drain: Duration,
    /// Whether a listener forwards to it, where it is a target group.
    used: bool,
    members: BTreeMap<InstanceId, Member>,
}

#[derive(Debug, Clone)]
struct Member {
    registered_at: Timestamp,
    draining_since: Option<Timestamp>,
    healthy: bool,
}

impl Members {
    pub(super) fn new(registering: Duration) -> Self {
        Self { registering, balancers: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, balancer: Balancer, drain: Duration) {
        self.balancers.entry(balancer).or_insert(Lb {
            drain,
            used: true,
            members: BTreeMap::new(),
        });
    }

    /// A person deletes a balancer.
    pub fn remove(&mut self, balancer: &Balancer) {
        self.balancers.remove(balancer);
    }

    /// A person changes how long it drains; not at all, with zero.
    pub fn set_drain(&mut self, balancer: &Balancer, drain: Duration) {
        if let Some(lb) = self.balancers.get_mut(balancer) {
            lb.drain = drain;
        }
    }

    /// A person takes a target group off its listener, or puts it back.
    pub fn set_used(&mut self, balancer: &Balancer, used: bool) {
        if let Some(lb) = self.balancers.get_mut(balancer) {
            lb.used = used;
        }
    }

    /// `serves`: since when an instance that serves runs. One that was stopped after it was registered
    /// is asked for in vain until it is registered anew.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        serves: impl Fn(&InstanceId) -> Option<Timestamp>,
    ) {
        for lb in self.balancers.values_mut() {
            let drain = lb.drain;
            lb.members.retain(|id, member| {
                member.healthy = serves(id).is_some_and(|since| since <= member.registered_at);
                let drained = |since| time::since(now, since) >= drain;
                !member.draining_since.is_some_and(drained)
            });
        }
    }

    pub fn describe(
        &self,
        balancer: &Balancer,
        now: Timestamp,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        let lb = self.balancers.get(balancer).ok_or_else(|| missing(balancer))?;
        let rows = lb.members.iter();
        Ok(rows.map(|(id, member)| (id.clone(), self.state(lb, member, now))).collect())
    }

    fn state(&self, lb: &Lb, member: &Member, now: Timestamp) -> Membership {
        if member.draining_since.is_some() {
            Membership::Draining
        } else if !lb.used {
            Membership::Unused(
                "Target group is not configured to receive traffic from the load balancer"
                    .to_owned(),
            )
        } else if time::since(now, member.registered_at) < self.registering {
            Membership::Registering
        } else if member.healthy {
            Membership::InService
        } else {
            Membership::OutOfService("Instance has failed at least the UnhealthyThreshold number of health checks consecutively.".to_owned())
        }
    }

    pub fn register(
        &mut self,
        balancer: &Balancer,
        id: &InstanceId,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let lb = self.balancers.get_mut(balancer).ok_or_else(|| missing(balancer))?;
        let known = lb.members.get(id).is_some_and(|member| member.draining_since.is_none());
        if !known {
            let member = Member { registered_at: now, draining_since: None, healthy: false };
            lb.members.insert(id.clone(), member);
        }
        Ok(())
    }

    pub fn deregister(
        &mut self,
        balancer: &Balancer,
        id: &InstanceId,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let lb = self.balancers.get_mut(balancer).ok_or_else(|| missing(balancer))?;
        // An unhealthy member has no connections to wait for.
        let drains = lb.members.get(id).is_some_and(|m| m.healthy) && !lb.drain.is_zero();
        if drains {
            if let Some(member) = lb.members.get_mut(id) {
                member.draining_since.get_or_insert(now);
            }
        } else {
            lb.members.remove(id);
        }
        Ok(())
    }

    /// A person takes an instance out of whatever balancer has it, without a drain.
    pub(super) fn console_deregister(&mut self, id: &InstanceId) {
        for lb in self.balancers.values_mut() {
            lb.members.remove(id);
        }
    }

    /// Whether traffic may still reach the instance through any balancer.
    pub fn carries_traffic(&self, id: &InstanceId) -> bool {
        let lbs = || self.balancers.values().filter(|lb| lb.used);
        lbs().any(|lb| lb.members.get(id).is_some_and(|member| member.healthy))
    }

    /// How long the balancer drains.
    pub fn drain(&self, balancer: &Balancer) -> Option<Duration> {
        self.balancers.get(balancer).map(|lb| lb.drain)
    }

    /// All balancers, by name.
    pub fn balancers(&self) -> impl Iterator<Item = &Balancer> {
        self.balancers.keys()
    }
}

pub(super) fn missing(balancer: &Balancer) -> Fault {
    let (code, what, name) = match balancer {
        Balancer::Classic(name) => {
            ("LoadBalancerNotFound", "There is no ACTIVE Load Balancer named", name)
        }
        Balancer::TargetGroup(name) => {
            ("TargetGroupNotFound", "There is no target group named", name)
        }
    };
    Fault::new(FaultKind::BalancerNotFound, code, &format!("{what} '{name}'"))
}
