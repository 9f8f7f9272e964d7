//! What a policy names and EC2 has: subnets, security groups, images, instance types and launch
//! templates. Whatever is asked for exists, in one network, and fits the rest.

use super::ec2::{ACCOUNT, document};
use super::form::Form;
use super::refusal::Refusal;
use crate::sim::machine::zone;
use crate::sim::world::World;

/// The one network.
pub(super) const VPC: &str = "vpc-0123456789abcdef0";

const TEMPLATE: &str = "lt-0123456789abcdef0";
const IMAGE: &str = "ami-0123456789abcdef0";

/// Answers one call: the whole document.
pub(super) fn answer(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    match form.need("Action")? {
        "DescribeSubnets" => subnets(world, form, id),
        "DescribeSecurityGroups" => groups(world, form, id),
        "DescribeImages" => images(world, form, id),
        "DescribeInstanceTypes" => types(world, form, id),
        "DescribeLaunchTemplateVersions" => versions(world, form, id),
        _ => templates(world, form, id),
    }
}

/// The ids that are asked for, by parameter and by filter.
fn asked<'a>(form: &'a Form, parameter: &str, filter: &str) -> Result<Vec<&'a str>, Refusal> {
    let mut ids = form.list(parameter);
    for group in form.groups("Filter") {
        let name = form.need(&format!("{group}.Name"))?;
        if name != filter {
            let message = format!("The filter '{name}' is invalid");
            return Err(Refusal::new("InvalidParameterValue", &message));
        }
        ids.extend(form.list(&format!("{group}.Value")));
    }
    Ok(ids)
}

fn subnets(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeSubnets")?;
    let ids = asked(form, "SubnetId", "subnet-id")?;
    Ok(document("DescribeSubnets", id, |xml| {
        xml.list(("subnetSet", "item"), ids, |xml, subnet| {
            xml.text("subnetId", subnet)
                .text("state", "available")
                .text("vpcId", VPC)
                .text("cidrBlock", "127.77.0.0/16")
                .text("availableIpAddressCount", 60_000)
                .text("availabilityZone", zone(subnet))
                .text("ownerId", ACCOUNT);
        });
    }))
}

fn groups(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeSecurityGroups")?;
    let ids = asked(form, "GroupId", "group-id")?;
    Ok(document("DescribeSecurityGroups", id, |xml| {
        xml.list(("securityGroupInfo", "item"), ids, |xml, group| {
            xml.text("groupId", group)
                .text("groupName", format_args!("simulated {group}"))
                .text("vpcId", VPC)
                .text("ownerId", ACCOUNT);
        });
    }))
}

fn images(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeImages")?;
    let ids = asked(form, "ImageId", "image-id")?;
    Ok(document("DescribeImages", id, |xml| {
        xml.list(("imagesSet", "item"), ids, |xml, image| {
            xml.text("imageId", image)
                .text("imageState", "available")
                .text("imageOwnerId", ACCOUNT)
                .text("name", format_args!("imagined {image}"))
                .text("architecture", "x86_64")
                .text("virtualizationType", "hvm")
                .text("imageType", "machine")
                .text("rootDeviceType", "ebs")
                .text("creationDate", "2026-01-01T00:00:00.000Z");
        });
    }))
}

fn types(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeInstanceTypes")?;
    let kinds = asked(form, "InstanceType", "instance-type")?;
    Ok(document("DescribeInstanceTypes", id, |xml| {
        xml.list(("instanceTypeSet", "item"), kinds, |xml, kind| {
            xml.text("instanceType", kind)
                .list(("supportedVirtualizationTypes", "item"), ["hvm"], |xml, text| {
                    xml.content(text);
                })
                .element("processorInfo", |xml| {
                    xml.list(("supportedArchitectures", "item"), ["x86_64"], |xml, text| {
                        xml.content(text);
                    });
                });
        });
    }))
}

fn versions(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeLaunchTemplateVersions")?;
    let named = form.get("LaunchTemplateId").unwrap_or(TEMPLATE);
    let name = form.get("LaunchTemplateName").unwrap_or("imagined");
    let number = |version: &str| version.parse::<u64>().unwrap_or(1);
    let numbers: Vec<u64> = form.list("LaunchTemplateVersion").into_iter().map(number).collect();
    Ok(document("DescribeLaunchTemplateVersions", id, |xml| {
        xml.list(("launchTemplateVersionSet", "item"), numbers, |xml, number| {
            xml.text("launchTemplateId", named)
                .text("launchTemplateName", name)
                .text("versionNumber", number)
                .element("launchTemplateData", |xml| {
                    xml.text("imageId", IMAGE).text("instanceType", "t3.small");
                });
        });
    }))
}

fn templates(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeLaunchTemplates")?;
    let by_id = form.list("LaunchTemplateId").into_iter().map(|id| (id, "imagined"));
    let names = form.list("LaunchTemplateName").into_iter();
    let all = by_id.chain(names.map(|name| (TEMPLATE, name)));
    Ok(document("DescribeLaunchTemplates", id, |xml| {
        xml.list(("launchTemplates", "item"), all, |xml, (id, name)| {
            xml.text("launchTemplateId", id)
                .text("launchTemplateName", name)
                .text("defaultVersionNumber", 1)
                .text("latestVersionNumber", 1);
        });
    }))
}
