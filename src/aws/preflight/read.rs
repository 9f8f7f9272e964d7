//! Reads the facts: one question for each kind of things in a region, and one for each launch
//! template.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    self, ArchitectureValues, ImageState, InstanceType, ProcessorInfo, ResponseLaunchTemplateData,
    VirtualizationType,
};

use super::facts::{
    Answer, Effective, Facts, ImageFacts, Interface, Protection, Subnet, Template, TypeFacts,
    template_of,
};
use super::{Asked, fronts};
use crate::aws::Aws;
use crate::aws::fault::fault;
use crate::aws::listing::{Listing, filters, named};

/// Reads everything that is judged of these fleets.
pub(super) async fn facts(aws: &Aws, asked: &[Asked]) -> Facts {
    let mut templates = BTreeMap::new();
    for named in asked.iter().filter_map(template_of) {
        if let Entry::Vacant(place) = templates.entry(named) {
            let (name, version) = place.key();
            let answer = aws.template(name, version).await;
            place.insert(answer);
        }
    }
    let (mut subnets, mut groups) = (BTreeSet::new(), BTreeSet::new());
    let (mut images, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for fleet in asked {
        let template = template_of(fleet).and_then(|named| templates.get(&named));
        let template = template.and_then(|answer| answer.as_ref().ok()).and_then(Option::as_ref);
        let made = Effective::of(fleet, template);
        subnets.extend(made.subnets);
        groups.extend(made.groups);
        // A parameter is resolved by EC2 itself.
        images.extend(made.image.filter(|id| id.starts_with("ami-")));
        kinds.extend(made.types);
    }
    Facts {
        subnets: aws.subnets(subnets).await,
        groups: aws.groups(groups).await,
        images: aws.images(images).await,
        types: aws.types(kinds).await,
        templates,
        fronts: fronts::read(aws, asked).await,
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Aws {
    async fn subnets(&self, ids: BTreeSet<String>) -> Answer<BTreeMap<String, Subnet>> {
        let mut found = BTreeMap::new();
        for filter in filters("subnet-id", ids) {
            let mut pages = self.ec2.describe_subnets().filters(filter).into_paginator().send();
            let mut listing = Listing::new("subnets");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.subnets() {
                    let text =
                        |field: Option<&str>| named(field.unwrap_or_default()).map(str::to_owned);
                    let id = text(row.subnet_id())?;
                    let (zone, vpc) = (text(row.availability_zone())?, text(row.vpc_id())?);
                    found.insert(id.clone(), Subnet { id, zone, vpc });
                }
            }
        }
        Ok(found)
    }

    async fn groups(&self, ids: BTreeSet<String>) -> Answer<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        for filter in filters("group-id", ids) {
            let call = self.ec2.describe_security_groups().filters(filter);
            let mut pages = call.into_paginator().send();
            let mut listing = Listing::new("security groups");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.security_groups() {
                    let id = named(row.group_id().unwrap_or_default())?;
                    let vpc = named(row.vpc_id().unwrap_or_default())?;
                    found.insert(id.to_owned(), vpc.to_owned());
                }
            }
        }
        Ok(found)
    }

    async fn images(&self, ids: BTreeSet<String>) -> Answer<BTreeMap<String, ImageFacts>> {
        let mut found = BTreeMap::new();
        for filter in filters("image-id", ids) {
            // An image that its owner calls deprecated is launched all the same.
            let call = self.ec2.describe_images().filters(filter).include_deprecated(true);
            let mut pages = call.into_paginator().send();
            let mut listing = Listing::new("images");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.images() {
                    let facts = ImageFacts {
                        name: owned(row.name()),
                        architecture: owned(row.architecture().map(ArchitectureValues::as_str)),
                        virtualization: owned(
                            row.virtualization_type().map(VirtualizationType::as_str),
                        ),
                        state: owned(row.state().map(ImageState::as_str)),
                    };
                    found.insert(named(row.image_id().unwrap_or_default())?.to_owned(), facts);
                }
            }
        }
        Ok(found)
    }

    async fn types(&self, kinds: BTreeSet<String>) -> Answer<BTreeMap<String, TypeFacts>> {
        let mut found = BTreeMap::new();
        for filter in filters("instance-type", kinds) {
            let call = self.ec2.describe_instance_types().filters(filter);
            let mut pages = call.into_paginator().send();
            let mut listing = Listing::new("instance types");
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| fault(&error))?;
                listing.page()?;
                for row in page.instance_types() {
                    let Some(kind) = row.instance_type() else { continue };
                    let processor = row.processor_info();
                    let architectures = processor.map(ProcessorInfo::supported_architectures);
                    let architectures = architectures.unwrap_or_default().iter();
                    let virtualizations = row.supported_virtualization_types().iter();
                    let facts = TypeFacts {
                        architectures: architectures.map(|one| one.as_str().to_owned()).collect(),
                        virtualizations: virtualizations
                            .map(|one| one.as_str().to_owned())
                            .collect(),
                    };
                    found.insert(named(kind.as_str())?.to_owned(), facts);
                }
            }
        }
        Ok(found)
    }

    /// Returns `None` where the template has no such version.
    async fn template(&self, name: &str, version: &str) -> Answer<Option<Template>> {
        let call = self.ec2.describe_launch_template_versions().versions(version);
        let call = if name.starts_with("lt-") {
            call.launch_template_id(name)
        } else {
            call.launch_template_name(name)
        };
        let answer = call.send().await.map_err(|error| fault(&error))?;
        let row = answer.launch_template_versions().first();
        Ok(row.map(|row| Template {
            version: row.version_number(),
            ..row.launch_template_data().map(template).unwrap_or_default()
        }))
    }
}

fn template(data: &ResponseLaunchTemplateData) -> Template {
    let market = data.instance_market_options();
    let spot = market.and_then(|market| market.spot_options()?.spot_instance_type());
    let interface = |one: &types::LaunchTemplateInstanceNetworkInterfaceSpecification| {
        let id = one.network_interface_id().map(|id| format!("network interface {id}"));
        let address = one.private_ip_address().map(|ip| format!("private address {ip}"));
        Interface {
            subnet: owned(one.subnet_id()),
            groups: one.groups().to_vec(),
            single: id.or(address),
        }
    };
    let protections = [
        (data.disable_api_termination(), Protection::Termination),
        (data.disable_api_stop(), Protection::Stop),
    ];
    let protection = |(set, kind)| (set == Some(true)).then_some(kind);
    Template {
        version: None,
        image: owned(data.image_id()),
        instance_type: owned(data.instance_type().map(InstanceType::as_str)),
        requirements: data.instance_requirements().is_some(),
        groups: data.security_group_ids().to_vec(),
        interfaces: data.network_interfaces().iter().map(interface).collect(),
        zone: data.placement().and_then(|placement| owned(placement.availability_zone())),
        persistent_spot: spot == Some(&types::SpotInstanceType::Persistent),
        protections: protections.into_iter().filter_map(protection).collect(),
    }
}
