//! Elastic Load Balancing's calls on target groups, API version 2015-12-01.

use super::elb::{document, members};
use super::form::Form;
use super::named::VPC;
use super::refusal::{Refusal, Service};
use crate::sim::machine::ZONES;
use crate::sim::members::missing;
use crate::sim::world::World;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::instance::{InstanceId, Lifecycle};

/// The load balancer in front of every group.
const FRONT: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/front/0123456789abcdef";

/// Answers one call: the whole document.
pub(super) fn answer(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    match form.need("Action")? {
        "DescribeTargetGroups" => describe(world, form, id),
        "DescribeTargetHealth" => health(world, form, id),
        "DescribeLoadBalancers" => balancers(world, id),
        "DescribeTargetGroupAttributes" => attributes(world, form, id),
        "RegisterTargets" => {
            world.admit("RegisterTargets")?;
            register(world, form)?;
            Ok(document(Service::ElbV2, "RegisterTargets", id, |_| ()))
        }
        "DeregisterTargets" => {
            world.admit("DeregisterTargets")?;
            let group = group(world, form.need("TargetGroupArn")?)?;
            let now = world.now();
            for id in targets(form) {
                world.members.deregister(&group, &id, now)?;
            }
            Ok(document(Service::ElbV2, "DeregisterTargets", id, |_| ()))
        }
        other => {
            let message = format!("Could not find operation {other} for version 2015-12-01");
            Err(Refusal::new("InvalidAction", &message))
        }
    }
}

/// The ARN of the group that the policy calls `name`: its own if that is one, else one made from
/// the name.
pub fn arn(name: &str) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    // FNV-1a: sixteen hex digits that are always the same.
    let digits = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/{name}/{digits:016x}")
}

/// The name of the group: the middle of its ARN.
fn short(name: &str) -> &str {
    match name.strip_prefix("arn:") {
        Some(arn) => arn.split('/').nth(1).unwrap_or(arn),
        None => name,
    }
}

/// The group that goes by this name or ARN.
fn group(world: &World, asked: &str) -> Result<Balancer, Refusal> {
    let is = |name: &str| name == asked || arn(name) == asked || short(name) == asked;
    let named = |balancer: &&Balancer| match balancer {
        Balancer::TargetGroup(name) => is(name),
        Balancer::Classic(_) => false,
    };
    let found = world.members.balancers().find(named).cloned();
    found.ok_or_else(|| missing(&Balancer::TargetGroup(asked.to_owned())).into())
}

fn targets(form: &Form) -> Vec<InstanceId> {
    let named = |group: String| form.get(&format!("{group}.Id")).map(InstanceId::new);
    form.groups("Targets.member").filter_map(named).collect()
}

/// Only running instances are taken.
fn register(world: &mut World, form: &Form) -> Result<(), Refusal> {
    let group = group(world, form.need("TargetGroupArn")?)?;
    let now = world.now();
    let ids = targets(form);
    for id in &ids {
        let problem = match world.machine(id).map(|machine| machine.lifecycle(now)) {
            Some(Lifecycle::Running) => continue,
            Some(_) => "are not in a running state and cannot be registered",
            None => "are not valid instances",
        };
        let message = format!("The following targets {problem}: '{id}'");
        return Err(Refusal::new("InvalidTarget", &message));
    }
    for id in &ids {
        world.register(&group, id)?;
    }
    Ok(())
}

/// Of its attributes, how it drains.
fn attributes(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeTargetGroupAttributes")?;
    let group = group(world, form.need("TargetGroupArn")?)?;
    let drain = world.members.drain(&group).ok_or_else(|| missing(&group))?;
    Ok(document(Service::ElbV2, "DescribeTargetGroupAttributes", id, |xml| {
        xml.list(("Attributes", "member"), [drain], |xml, drain| {
            xml.text("Key", "deregistration_delay.timeout_seconds").text("Value", drain.as_secs());
        });
    }))
}

fn health(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeTargetHealth")?;
    let group = group(world, form.need("TargetGroupArn")?)?;
    let members = members(world, &group)?;
    let asked = targets(form);
    let mut rows = Vec::new();
    if asked.is_empty() {
        rows.extend(members.iter().map(|(id, found)| (id, Some(found))));
    } else {
        let find = |id| members.iter().find(|(member, _)| member == id).map(|(_, found)| found);
        rows.extend(asked.iter().map(|id| (id, find(id))));
    }
    Ok(document(Service::ElbV2, "DescribeTargetHealth", id, |xml| {
        xml.list(("TargetHealthDescriptions", "member"), rows, |xml, (id, found)| {
            let (state, reason) = words(found);
            xml.text("HealthCheckPort", 80)
                .element("TargetHealth", |xml| {
                    xml.text("State", state)
                        .maybe("Reason", reason.map(|(code, _)| code))
                        .maybe("Description", reason.map(|(_, text)| text));
                })
                .element("Target", |xml| {
                    xml.text("Id", id).text("Port", 80);
                });
        });
    }))
}

/// State, and reason with description, in AWS's words. `None`: not a member.
fn words(membership: Option<&Membership>) -> (&'static str, Option<(&'static str, &str)>) {
    match membership {
        Some(Membership::InService) => ("healthy", None),
        Some(Membership::Registering) => {
            let why = ("Elb.RegistrationInProgress", "Target registration is in progress");
            ("initial", Some(why))
        }
        Some(Membership::OutOfService(_)) => {
            ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed")))
        }
        Some(Membership::Draining) => {
            let why = ("Target.DeregistrationInProgress", "Target deregistration is in progress");
            ("draining", Some(why))
        }
        Some(Membership::Unused(why)) => ("unused", Some(("Target.NotInUse", why))),
        Some(Membership::Unknown(why)) => ("unavailable", Some(("Elb.InternalError", why))),
        None => {
            let why = ("Target.NotRegistered", "Target is not registered to the target group");
            ("unused", Some(why))
        }
    }
}

fn describe(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeTargetGroups")?;
    let asked = [form.list("Names.member"), form.list("TargetGroupArns.member")].concat();
    let mut groups = Vec::new();
    for name in &asked {
        groups.push(group(world, name)?);
    }
    if asked.is_empty() {
        groups.extend(world.members.balancers().cloned());
    }
    let rows = groups.iter().filter_map(|balancer| match balancer {
        Balancer::TargetGroup(name) => Some(name),
        Balancer::Classic(_) => None,
    });
    Ok(document(Service::ElbV2, "DescribeTargetGroups", id, |xml| {
        xml.list(("TargetGroups", "member"), rows, |xml, name| {
            xml.text("TargetGroupArn", arn(name))
                .text("TargetGroupName", short(name))
                .text("Protocol", "HTTP")
                .text("Port", 80)
                .text("VpcId", VPC)
                .text("TargetType", "instance")
                .list(("LoadBalancerArns", "member"), [FRONT], |xml, arn| {
                    xml.content(arn);
                });
        });
    }))
}

/// The one load balancer, which is in front of every group.
fn balancers(world: &mut World, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeLoadBalancers")?;
    Ok(document(Service::ElbV2, "DescribeLoadBalancers", id, |xml| {
        xml.list(("LoadBalancers", "member"), [FRONT], |xml, arn| {
            xml.text("LoadBalancerArn", arn)
                .text("LoadBalancerName", "front")
                .text("Type", "application")
                .text("VpcId", VPC)
                .list(("AvailabilityZones", "member"), ZONES, |xml, zone| {
                    xml.text("ZoneName", zone);
                });
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_by_its_name_and_its_arn() {
        let made = arn("web");
        assert!(made.contains(":targetgroup/web/"), "{made}");
        assert_eq!(arn(&made), made);
        assert_eq!(short(&made), "web");
        assert_eq!(short("web"), "web");
        assert_ne!(arn("web"), arn("bew"));
    }
}
