//! Target groups of application and network load balancers.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::config::Config;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealth, TargetHealthDescription, TargetHealthReasonEnum as Reason,
    TargetHealthStateEnum as State,
};

use super::fault::fault;
use super::listing::named;
use super::{Aws, once};
use tidegate_engine::model::balancer::Membership;
use tidegate_engine::model::fault::{Fault, FaultKind, printable};
use tidegate_engine::model::instance::InstanceId;

/// The attribute that says how long connections are left to a target that is taken out.
const DRAIN: &str = "deregistration_delay.timeout_seconds";

impl Aws {
    /// The ARN of a group given by name or ARN.
    pub(super) async fn group_arn(&self, name: &str) -> Result<String, Fault> {
        if name.starts_with("arn:") {
            return Ok(name.to_owned());
        }
        if let Some(arn) = self.known_arn(name) {
            return Ok(arn);
        }
        let answer = self
            .elbv2
            .describe_target_groups()
            .names(name)
            .send()
            .await
            .map_err(|error| fault(&error))?;
        let arn = answer.target_groups().iter().find_map(|group| group.target_group_arn());
        let arn = arn.ok_or_else(|| {
            let text = format!("there is no target group named {name}");
            Fault::new(FaultKind::BalancerNotFound, "TargetGroupNotFound", &text)
        })?;
        self.learn_arn(name, named(arn)?);
        Ok(arn.to_owned())
    }

    pub(super) async fn group_members(
        &self,
        name: &str,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        let rows = self.health(name).await?;
        let mut members: BTreeMap<InstanceId, Membership> = BTreeMap::new();
        for row in &rows {
            let id = row.target().and_then(TargetDescription::id).map(named).transpose()?;
            let id = id.map(InstanceId::new);
            if let (Some(id), Some(found)) = (id, row.target_health().and_then(membership)) {
                // On several ports: as far from service as any of them, but still a member.
                let worse = members.get(&id).is_none_or(|known| rank(&found) > rank(known));
                if worse {
                    members.insert(id, found);
                }
            }
        }
        Ok(members)
    }

    pub(super) async fn group_drain(&self, name: &str) -> Result<Option<Duration>, Fault> {
        let arn = self.group_arn(name).await?;
        let answer = self.elbv2.describe_target_group_attributes().target_group_arn(arn).send();
        let answer = answer.await.map_err(|error| fault(&error))?;
        let delay = answer.attributes().iter().find(|one| one.key() == Some(DRAIN));
        let seconds: Option<u64> = delay.and_then(|delay| delay.value()?.parse().ok());
        Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    async fn health(&self, name: &str) -> Result<Vec<TargetHealthDescription>, Fault> {
        let arn = self.group_arn(name).await?;
        let answer = self.elbv2.describe_target_health().target_group_arn(arn).send().await;
        let answer = answer.map_err(|error| fault(&error)).inspect_err(|fault| {
            if fault.kind == FaultKind::BalancerNotFound {
                // It may have been made anew under another ARN.
                self.forget_arn(name);
            }
        })?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    pub(super) async fn group_register(&self, name: &str, id: &InstanceId) -> Result<(), Fault> {
        let arn = self.group_arn(name).await?;
        self.elbv2
            .register_targets()
            .target_group_arn(arn)
            .targets(target(id, None))
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        Ok(())
    }

    /// Every port of the instance: one that is forgotten would go on receiving traffic.
    pub(super) async fn group_deregister(&self, name: &str, id: &InstanceId) -> Result<(), Fault> {
        let rows = self.health(name).await?;
        let ours = rows.iter().filter_map(TargetHealthDescription::target);
        let ports = ours.filter(|t| t.id() == Some(id.as_str())).map(TargetDescription::port);
        let targets: Vec<_> = ports.map(|port| target(id, port)).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let arn = self.group_arn(name).await?;
        let result = self
            .elbv2
            .deregister_targets()
            .target_group_arn(arn)
            .set_targets(Some(targets))
            .customize()
            .config_override(Config::builder().retry_config(once()))
            .send()
            .await;
        result.map(|_| ()).map_err(|error| fault(&error))
    }
}

fn target(id: &InstanceId, port: Option<i32>) -> TargetDescription {
    let builder = TargetDescription::builder().id(id.as_str()).set_port(port);
    builder.build()
}

fn rank(membership: &Membership) -> u8 {
    match membership {
        Membership::InService => 0,
        Membership::Registering => 1,
        Membership::OutOfService(_) => 2,
        Membership::Unused(_) => 3,
        Membership::Unknown(_) => 4,
        Membership::Draining => 5,
    }
}

/// What one row says; `None`: not a member.
fn membership(health: &TargetHealth) -> Option<Membership> {
    let code = health.reason().map(Reason::as_str).unwrap_or_default();
    let text = health.description().unwrap_or_default();
    let said = printable(&format!("{code} {text}"), 300);
    Some(match health.state() {
        Some(State::Healthy) => Membership::InService,
        Some(State::Initial) => Membership::Registering,
        Some(State::Unhealthy) => Membership::OutOfService(said),
        Some(State::Draining | State::UnhealthyDraining) => Membership::Draining,
        Some(State::Unused) if health.reason() == Some(&Reason::NotRegistered) => return None,
        Some(State::Unused) => Membership::Unused(said),
        // The SDK's list may grow.
        Some(_) | None => Membership::Unknown(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: State, reason: Reason, expected: Option<&Membership>) {
        let health = TargetHealth::builder().state(state).reason(reason).build();
        assert_eq!(membership(&health).as_ref(), expected);
    }

    #[test]
    fn states_and_reasons_read_as_aws_means_them() {
        check(State::Healthy, Reason::InvalidState, Some(&Membership::InService));
        check(State::Initial, Reason::RegistrationInProgress, Some(&Membership::Registering));
        check(State::Draining, Reason::DeregistrationInProgress, Some(&Membership::Draining));
        check(
            State::UnhealthyDraining,
            Reason::DeregistrationInProgress,
            Some(&Membership::Draining),
        );
        check(State::Unused, Reason::NotRegistered, None);
        check(
            State::Unused,
            Reason::NotInUse,
            Some(&Membership::Unused("Target.NotInUse".to_owned())),
        );
        let failed = Membership::OutOfService("Target.FailedHealthChecks".to_owned());
        check(State::Unhealthy, Reason::FailedHealthChecks, Some(&failed));
    }
}
