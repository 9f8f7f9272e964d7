//! Reads the load balancers that fleets are behind.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, LoadBalancerTypeEnum};

use super::Asked;
use super::facts::{Answer, Front, FrontKind, Fronts, TargetGroup};
use crate::aws::Aws;
use crate::aws::fault::fault;
use crate::aws::listing::{Listing, named};
use tidegate_engine::model::balancer::Balancer;

/// The most load balancers that can be asked for at once.
const ARNS_AT_MOST: usize = 20;

/// The attribute of load balancers and target groups that lets nodes reach the targets of other zones.
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

pub(super) async fn read(aws: &Aws, asked: &[Asked]) -> Fronts {
    let (mut classic, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for balancer in asked.iter().filter_map(|fleet| fleet.balancer.as_ref()) {
        match balancer {
            Balancer::Classic(name) => classic.insert(name.as_str()),
            Balancer::TargetGroup(name) => wanted.insert(name.as_str()),
        };
    }
    let classic =
        if classic.is_empty() { Ok(BTreeMap::new()) } else { aws.classic_fronts(&classic).await };
    let groups = if wanted.is_empty() { Ok(Vec::new()) } else { aws.target_groups(&wanted).await };
    let Ok(mut groups) = groups else {
        return Fronts { classic, groups, balancers: Ok(BTreeMap::new()) };
    };
    let arns: BTreeSet<String> =
        groups.iter().flat_map(|group| group.balancers.iter().cloned()).collect();
    let mut balancers = aws.fronts(arns.into_iter().collect()).await;
    if let Ok(balancers) = &mut balancers {
        aws.cross_zone(&mut groups, balancers).await;
    }
    Fronts { classic, groups: Ok(groups), balancers }
}

impl Aws {
    /// Lists all load balancers: a question by name fails as a whole if one name does not exist.
    async fn classic_fronts(&self, wanted: &BTreeSet<&str>) -> Answer<BTreeMap<String, Front>> {
        let mut pages = self.elb.describe_load_balancers().into_paginator().send();
        let (mut found, mut listing) = (BTreeMap::new(), Listing::new("load balancers"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for row in page.load_balancer_descriptions() {
                let front = classic_front(row);
                if wanted.contains(front.name.as_str()) {
                    found.insert(front.name.clone(), front);
                }
            }
        }
        Ok(found)
    }

    async fn target_groups(&self, wanted: &BTreeSet<&str>) -> Answer<Vec<TargetGroup>> {
        let mut pages = self.elbv2.describe_target_groups().into_paginator().send();
        let (mut found, mut listing) = (Vec::new(), Listing::new("target groups"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for row in page.target_groups() {
                let name = row.target_group_name().unwrap_or_default();
                let arn = row.target_group_arn().unwrap_or_default();
                if !wanted.contains(name) && !wanted.contains(arn) {
                    continue;
                }
                let kind = row.target_type().map_or("instance", |kind| kind.as_str());
                found.push(TargetGroup {
                    arn: named(arn)?.to_owned(),
                    name: named(name)?.to_owned(),
                    target_type: named(kind)?.to_owned(),
                    vpc: row.vpc_id().map(|vpc| named(vpc).map(str::to_owned)).transpose()?,
                    balancers: row.load_balancer_arns().to_vec(),
                    cross_zone: None,
                });
            }
        }
        Ok(found)
    }

    async fn fronts(&self, arns: Vec<String>) -> Answer<BTreeMap<String, Front>> {
        let mut found = BTreeMap::new();
        for some in arns.chunks(ARNS_AT_MOST) {
            let call = self.elbv2.describe_load_balancers();
            let answer = call.set_load_balancer_arns(Some(some.to_vec())).send().await;
            let answer = answer.map_err(|error| fault(&error))?;
            for row in answer.load_balancers() {
                let arn = row.load_balancer_arn().unwrap_or_default().to_owned();
                found.insert(arn, front(row));
            }
        }
        Ok(found)
    }

    /// Reads the setting of each network or gateway load balancer and of the groups behind it. Without an answer
    /// it stays unread.
    async fn cross_zone(
        &self,
        groups: &mut [TargetGroup],
        balancers: &mut BTreeMap<String, Front>,
    ) {
        let network = |front: &Front| matches!(front.kind, FrontKind::Network | FrontKind::Gateway);
        for (arn, front) in balancers.iter_mut().filter(|(_, front)| network(front)) {
            let call = self.elbv2.describe_load_balancer_attributes().load_balancer_arn(arn);
            let Ok(answer) = call.send().await else { continue };
            let mut pairs = answer.attributes().iter().map(|one| (one.key(), one.value()));
            front.cross_zone = cross_zone(&mut pairs);
        }
        for group in groups {
            let behind = group.balancers.iter().filter_map(|arn| balancers.get(arn)).any(network);
            if !behind {
                continue;
            }
            let call = self.elbv2.describe_target_group_attributes().target_group_arn(&group.arn);
            let Ok(answer) = call.send().await else { continue };
            let mut pairs = answer.attributes().iter().map(|one| (one.key(), one.value()));
            group.cross_zone = cross_zone(&mut pairs);
        }
    }
}

/// A group's own value may also say that it goes by its load balancer's.
fn cross_zone<'a>(
    pairs: &mut impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>,
) -> Option<bool> {
    match pairs.find(|(key, _)| *key == Some(CROSS_ZONE))?.1? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn classic_front(row: &LoadBalancerDescription) -> Front {
    Front {
        name: row.load_balancer_name().unwrap_or_default().to_owned(),
        kind: FrontKind::Classic,
        vpc: row.vpc_id().filter(|vpc| !vpc.is_empty()).map(str::to_owned),
        zones: row.availability_zones().iter().cloned().collect(),
        cross_zone: None,
    }
}

fn front(row: &LoadBalancer) -> Front {
    let kind = match row.r#type() {
        Some(LoadBalancerTypeEnum::Application) => FrontKind::Application,
        Some(LoadBalancerTypeEnum::Gateway) => FrontKind::Gateway,
        // The SDK's list may grow.
        Some(_) | None => FrontKind::Network,
    };
    let zones = row.availability_zones().iter();
    Front {
        name: row.load_balancer_name().unwrap_or_default().to_owned(),
        kind,
        vpc: row.vpc_id().map(str::to_owned),
        zones: zones.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect(),
        cross_zone: None,
    }
}
