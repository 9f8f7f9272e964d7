//! Classic load balancers.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_elasticloadbalancing::config::Config;
use aws_sdk_elasticloadbalancing::types::{self, ConnectionDraining};

use super::fault::fault;
use super::listing::named;
use super::{Aws, once};
use tidegate_engine::model::balancer::Membership;
use tidegate_engine::model::fault::{Fault, FaultKind, printable};
use tidegate_engine::model::instance::InstanceId;

impl Aws {
    pub(super) async fn classic_members(
        &self,
        name: &str,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        let answer = self
            .elb
            .describe_instance_health()
            .load_balancer_name(name)
            .send()
            .await
            .map_err(|error| fault(&error))?;
        let states = answer.instance_states().iter();
        states
            .filter_map(|state| {
                let id = named(state.instance_id()?).map(InstanceId::new);
                let membership = membership(state)?;
                Some(id.map(|id| (id, membership)))
            })
            .collect()
    }

    pub(super) async fn classic_drain(&self, name: &str) -> Result<Option<Duration>, Fault> {
        let call = self.elb.describe_load_balancer_attributes().load_balancer_name(name);
        let answer = call.send().await.map_err(|error| fault(&error))?;
        let draining = answer.load_balancer_attributes().and_then(|all| all.connection_draining());
        let seconds =
            draining.filter(|draining| draining.enabled()).and_then(ConnectionDraining::timeout);
        Ok(seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs))
    }

    pub(super) async fn classic_register(&self, name: &str, id: &InstanceId) -> Result<(), Fault> {
        self.elb
            .register_instances_with_load_balancer()
            .load_balancer_name(name)
            .instances(types::Instance::builder().instance_id(id.as_str()).build())
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }

    pub(super) async fn classic_deregister(
        &self,
        name: &str,
        id: &InstanceId,
    ) -> Result<(), Fault> {
        let result = self
            .elb
            .deregister_instances_from_load_balancer()
            .load_balancer_name(name)
            .instances(types::Instance::builder().instance_id(id.as_str()).build())
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await;
        match result.map_err(|error| fault(&error)) {
            Ok(_) => Ok(()),
            // It is not there: what was asked for.
            Err(gone) if gone.kind == FaultKind::InstanceNotFound => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// What one row says. While connections drain, the state is still `InService` and only the
/// description tells; an instance that is out is still described when it was asked for by name.
fn membership(row: &types::InstanceState) -> Option<Membership> {
    let said = &*printable(row.description().unwrap_or_default(), 300);
    let says = |text: &str| said.to_ascii_lowercase().contains(text);
    if says("deregistration currently in progress") {
        return Some(Membership::Draining);
    }
    if says("not currently registered") {
        return None;
    }
    Some(match row.state() {
        Some("InService") => Membership::InService,
        Some("OutOfService") if says("registration is still in progress") => {
            Membership::Registering
        }
        Some("OutOfService") => Membership::OutOfService(said.to_owned()),
        Some(other) => Membership::Unknown(format!("{}: {said}", printable(other, 40))),
        None => Membership::Unknown(said.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: &str, description: &str, expected: Option<&Membership>) {
        let row = types::InstanceState::builder().state(state).description(description).build();
        assert_eq!(membership(&row).as_ref(), expected);
    }

    #[test]
    fn the_description_outweighs_the_state() {
        check("InService", "N/A", Some(&Membership::InService));
        check(
            "InService",
            "Instance deregistration currently in progress.",
            Some(&Membership::Draining),
        );
        check(
            "OutOfService",
            "Instance registration is still in progress.",
            Some(&Membership::Registering),
        );
        check("OutOfService", "Instance is not currently registered with the LoadBalancer.", None);
        let ill = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
        check("OutOfService", ill, Some(&Membership::OutOfService(ill.to_owned())));
        let odd = "A transient error occurred. Please try again later.";
        check("Unknown", odd, Some(&Membership::Unknown(format!("Unknown: {odd}"))));
    }
}
