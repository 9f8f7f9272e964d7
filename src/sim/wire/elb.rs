//! Elastic Load Balancing's calls, classic, API version 2012-06-01.

use super::form::Form;
use super::named::VPC;
use super::refusal::{Refusal, Service};
use super::xml::Xml;
use crate::sim::machine::ZONES;
use crate::sim::members::missing;
use crate::sim::world::World;
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::instance::{InstanceId, Lifecycle};

/// Answers one call: the whole document.
pub(super) fn answer(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    match form.need("Action")? {
        "DescribeInstanceHealth" => health(world, form, id),
        "DescribeLoadBalancerAttributes" => attributes(world, form, id),
        "RegisterInstancesWithLoadBalancer" => {
            world.admit("RegisterInstancesWithLoadBalancer")?;
            change(world, form, true)?;
            Ok(changed(world, form, "RegisterInstancesWithLoadBalancer", id))
        }
        "DeregisterInstancesFromLoadBalancer" => {
            world.admit("DeregisterInstancesFromLoadBalancer")?;
            change(world, form, false)?;
            Ok(changed(world, form, "DeregisterInstancesFromLoadBalancer", id))
        }
        "DescribeLoadBalancers" => describe(world, form, id),
        other => {
            let message = format!("Could not find operation {other} for version 2012-06-01");
            Err(Refusal::new("InvalidAction", &message))
        }
    }
}

/// A reply's document, in the shape that ELB and its successor share.
pub(super) fn document(
    service: Service,
    call: &str,
    id: &str,
    result: impl FnOnce(&mut Xml),
) -> String {
    Xml::document(&format!("{call}Response"), service.namespace(), |xml| {
        xml.element(&format!("{call}Result"), result).element("ResponseMetadata", |xml| {
            xml.text("RequestId", id);
        });
    })
}

/// The members that a balancer would still name: it forgets a terminated instance by itself.
pub(super) fn members(
    world: &World,
    balancer: &Balancer,
) -> Result<Vec<(InstanceId, Membership)>, Refusal> {
    let now = world.now();
    let ended = |id: &InstanceId| {
        world.machine(id).is_none_or(|m| m.lifecycle(now) == Lifecycle::Terminated)
    };
    let all = world.members.describe(balancer, now)?;
    Ok(all.into_iter().filter(|(id, _)| !ended(id)).collect())
}

fn balancer(form: &Form) -> Result<Balancer, Refusal> {
    Ok(Balancer::Classic(form.need("LoadBalancerName")?.to_owned()))
}

fn instances(form: &Form) -> Vec<InstanceId> {
    let named = |group: String| form.get(&format!("{group}.InstanceId")).map(InstanceId::new);
    form.groups("Instances.member").filter_map(named).collect()
}

/// Of its attributes, how it drains.
fn attributes(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeLoadBalancerAttributes")?;
    let balancer = balancer(form)?;
    let drain = world.members.drain(&balancer).ok_or_else(|| missing(&balancer))?;
    Ok(document(Service::Elb, "DescribeLoadBalancerAttributes", id, |xml| {
        xml.element("LoadBalancerAttributes", |xml| {
            xml.element("ConnectionDraining", |xml| {
                xml.text("Enabled", !drain.is_zero()).text("Timeout", drain.as_secs().max(1));
            });
        });
    }))
}

fn health(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeInstanceHealth")?;
    let members = members(world, &balancer(form)?)?;
    let asked = instances(form);
    let mut rows = Vec::new();
    if asked.is_empty() {
        rows.extend(members.iter().map(|(id, found)| (id, Some(found))));
    } else {
        known(world, &asked)?;
        let find = |id| members.iter().find(|(member, _)| member == id).map(|(_, found)| found);
        rows.extend(asked.iter().map(|id| (id, find(id))));
    }
    Ok(document(Service::Elb, "DescribeInstanceHealth", id, |xml| {
        xml.list(("InstanceStates", "member"), rows, |xml, (id, found)| {
            let (state, reason, description) = words(found);
            xml.text("InstanceId", id)
                .text("State", state)
                .text("ReasonCode", reason)
                .text("Description", description);
        });
    }))
}

/// State, reason code and description, in AWS's words. `None`: not a member.
fn words(membership: Option<&Membership>) -> (&'static str, &'static str, &str) {
    match membership {
        Some(Membership::InService) => ("InService", "N/A", "N/A"),
        // The trap: the state alone says that all is well.
        Some(Membership::Draining) => {
            ("InService", "N/A", "Instance deregistration currently in progress.")
        }
        Some(Membership::Registering) => {
            ("OutOfService", "ELB", "Instance registration is still in progress.")
        }
        Some(Membership::OutOfService(why) | Membership::Unused(why)) => {
            ("OutOfService", "Instance", why)
        }
        Some(Membership::Unknown(why)) => ("Unknown", "ELB", why),
        None => {
            let text = "Instance is not currently registered with the LoadBalancer.";
            ("OutOfService", "Instance", text)
        }
    }
}

fn known(world: &World, ids: &[InstanceId]) -> Result<(), Refusal> {
    match ids.iter().find(|id| world.machine(id).is_none()) {
        None => Ok(()),
        Some(id) => {
            let message = format!("Could not find EC2 instance {id}.");
            Err(Refusal::new("InvalidInstance", &message))
        }
    }
}

fn change(world: &mut World, form: &Form, register: bool) -> Result<(), Refusal> {
    let balancer = balancer(form)?;
    let ids = instances(form);
    let now = world.now();
    // A missing balancer outranks a missing instance.
    world.members.describe(&balancer, now)?;
    known(world, &ids)?;
    for id in &ids {
        if register {
            world.register(&balancer, id)?;
        } else {
            world.members.deregister(&balancer, id, now)?;
        }
    }
    Ok(())
}

/// Both changes answer with the members that remain, those that drain left out.
fn changed(world: &World, form: &Form, call: &str, id: &str) -> String {
    let members = balancer(form).and_then(|balancer| members(world, &balancer));
    document(Service::Elb, call, id, |xml| list(xml, members.unwrap_or_default()))
}

fn list(xml: &mut Xml, members: Vec<(InstanceId, Membership)>) {
    let staying = members.into_iter().filter(|(_, found)| *found != Membership::Draining);
    xml.list(("Instances", "member"), staying, |xml, (id, _)| {
        xml.text("InstanceId", id);
    });
}

fn describe(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeLoadBalancers")?;
    let asked = form.list("LoadBalancerNames.member");
    let mut rows = Vec::new();
    for name in &asked {
        let members = members(world, &Balancer::Classic((*name).to_owned()))?;
        rows.push(((*name).to_owned(), members));
    }
    if asked.is_empty() {
        for balancer in world.members.balancers() {
            if let Balancer::Classic(name) = balancer {
                rows.push((name.clone(), members(world, balancer)?));
            }
        }
    }
    Ok(document(Service::Elb, "DescribeLoadBalancers", id, |xml| {
        let member = ("LoadBalancerDescriptions", "member");
        xml.list(member, rows, |xml, (name, members)| {
            xml.text("LoadBalancerName", &name)
                .text("DNSName", format_args!("{name}.us-east-1.elb.amazonaws.com"))
                .text("Scheme", "internet-facing")
                .text("VPCId", VPC)
                .list(("AvailabilityZones", "member"), ZONES, |xml, zone| {
                    xml.content(zone);
                });
            list(xml, members);
        });
    }))
}
