//! What runs in the account, whoever launched it: for `tidegate init`. It only looks.

mod disks;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types;
use aws_sdk_elasticloadbalancing::types::{HealthCheck, LoadBalancerDescription};
use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetGroup, TargetHealthDescription, TargetTypeEnum,
};

pub use self::disks::{Disk, Origins, Unread};
pub use self::settings::Setting;
use super::Aws;
use super::ec2::timestamp;
use super::fault::fault;
use super::listing::{Listing, named};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::time::Timestamp;

/// Servers and load balancers of one account and region.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub region: Option<String>,
    pub servers: Vec<Running>,
    pub balancers: Vec<InUse>,
    /// What servers are made of, for comparison with them.
    pub origins: Origins,
}

/// A server that is running or about to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    pub image: Option<String>,
    pub instance_type: Option<String>,
    pub subnet: Option<String>,
    pub private_ip: Option<String>,
    pub key_pair: Option<String>,
    pub security_groups: BTreeSet<String>,
    /// An ARN.
    pub instance_profile: Option<String>,
    pub launched_at: Option<Timestamp>,
    pub spot: bool,
    pub tags: BTreeMap<String, String>,
    /// As EC2 spells them; what it does not say is absent.
    pub settings: BTreeMap<Setting, String>,
    /// The volume at each device.
    pub volumes: BTreeMap<String, String>,
    pub root_device: Option<String>,
}

/// A classic load balancer or a target group, with the instances registered there.
#[derive(Debug, Clone)]
pub struct InUse {
    pub balancer: Balancer,
    pub members: BTreeSet<String>,
    /// Its own check of each, where that is by HTTP.
    pub check: Option<HttpCheck>,
    /// The protocol of its check where that is another: `TCP`.
    pub other_check: Option<String>,
    /// The statuses that its check accepts, where these are not 200 alone: `200-399`.
    pub matcher: Option<String>,
    /// The port that new members are registered with, and members with others.
    pub port: Option<i32>,
    pub other_ports: BTreeMap<String, BTreeSet<i32>>,
}

impl InUse {
    /// An empty one, of which nothing more is known.
    pub fn of(balancer: Balancer) -> Self {
        Self {
            balancer,
            members: BTreeSet::new(),
            check: None,
            other_check: None,
            matcher: None,
            port: None,
            other_ports: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
}

impl Aws {
    /// Everything that runs and everything that it is registered with.
    pub async fn inventory(&self) -> Result<Inventory, Fault> {
        let alive = types::Filter::builder().name("instance-state-name");
        let alive = alive.values("pending").values("running").build();
        let servers = self.rows(alive, |row| running(row).map(|row| (size(&row), row))).await?;
        let mut balancers = self.classic_in_use().await?;
        balancers.extend(self.groups_in_use().await?);
        let region = self.ec2.config().region().map(ToString::to_string);
        let origins = self.origins(&servers).await;
        Ok(Inventory { region, servers, balancers, origins })
    }

    async fn classic_in_use(&self) -> Result<Vec<InUse>, Fault> {
        let mut pages = self.elb.describe_load_balancers().into_paginator().send();
        let (mut found, mut listing) = (Vec::new(), Listing::new("load balancers"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for row in page.load_balancer_descriptions().iter().filter_map(classic) {
                listing.keep(row.members.iter().map(|id| id.len().saturating_add(64)).sum())?;
                found.push(row);
            }
        }
        Ok(found)
    }

    async fn groups_in_use(&self) -> Result<Vec<InUse>, Fault> {
        let mut pages = self.elbv2.describe_target_groups().into_paginator().send();
        let (mut groups, mut listing) = (Vec::new(), Listing::new("target groups"));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault(&error))?;
            listing.page()?;
            for group in page.target_groups.unwrap_or_default() {
                let name = named(group.target_group_name().unwrap_or_default())?;
                listing.keep(size_of::<TargetGroup>().saturating_add(name.len()))?;
                groups.push(group);
            }
        }
        // What is registered by address or as a function is not ours to register.
        let ours = |group: &&TargetGroup| group.target_type() == Some(&TargetTypeEnum::Instance);
        let mut found = Vec::new();
        for group in groups.iter().filter(ours) {
            let (Some(name), Some(arn)) = (group.target_group_name(), group.target_group_arn())
            else {
                continue;
            };
            let health = self.elbv2.describe_target_health().target_group_arn(arn).send().await;
            let rows = health.map_err(|error| fault(&error))?;
            let rows = rows.target_health_descriptions();
            let members = rows.iter().filter_map(|row| row.target()?.id().map(str::to_owned));
            let check = group_check(group, rows);
            let protocol = group.health_check_protocol().map(|one| one.as_str().to_owned());
            let matcher = group.matcher().and_then(|matcher| matcher.http_code());
            found.push(InUse {
                balancer: Balancer::TargetGroup(name.to_owned()),
                members: members.collect(),
                other_check: protocol.filter(|_| check.is_none()),
                check,
                matcher: matcher.filter(|codes| *codes != "200").map(str::to_owned),
                port: group.port(),
                other_ports: other_ports(group, rows),
            });
        }
        Ok(found)
    }
}

/// The memory that a server takes, in bytes.
fn size(row: &Running) -> usize {
    let Running { id, image, instance_type, subnet, private_ip, key_pair, .. } = row;
    let texts = [image, instance_type, subnet, private_ip, key_pair, &row.instance_profile];
    let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
    let tags = row.tags.iter().map(|(key, value)| key.len().saturating_add(value.len()));
    let groups = row.security_groups.iter().map(String::len);
    let settings = row.settings.values().map(String::len);
    let volumes = row.volumes.iter().map(|(device, id)| device.len().saturating_add(id.len()));
    let parts = tags.chain(groups).chain(settings).chain(volumes);
    let parts = parts.map(|part| part.saturating_add(2 * size_of::<String>()));
    size_of::<Running>()
        .saturating_add(id.len())
        .saturating_add(texts)
        .saturating_add(parts.sum::<usize>())
}

fn running(row: &types::Instance) -> Option<Running> {
    let text = |field: Option<&str>| field.filter(|text| !text.is_empty()).map(str::to_owned);
    let groups = row.security_groups().iter();
    let tags = row.tags().iter();
    Some(Running {
        id: row.instance_id()?.to_owned(),
        image: text(row.image_id()),
        instance_type: row.instance_type().map(|kind| kind.as_str().to_owned()),
        subnet: text(row.subnet_id()),
        private_ip: text(row.private_ip_address()),
        key_pair: text(row.key_name()),
        security_groups: groups.filter_map(|group| text(group.group_id())).collect(),
        instance_profile: row.iam_instance_profile().and_then(|profile| text(profile.arn())),
        launched_at: row.launch_time().and_then(timestamp),
        spot: row.instance_lifecycle() == Some(&types::InstanceLifecycleType::Spot),
        settings: settings::of(row),
        volumes: disks::volumes(row),
        root_device: text(row.root_device_name()),
        tags: tags
            .filter_map(|tag| {
                Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
            })
            .collect(),
    })
}

fn classic(row: &LoadBalancerDescription) -> Option<InUse> {
    let members = row.instances().iter().filter_map(|member| member.instance_id());
    let target = row.health_check().map(HealthCheck::target);
    let check = target.and_then(classic_check);
    let protocol = target.and_then(|target| target.split(':').next()).map(str::to_owned);
    let name = row.load_balancer_name()?.to_owned();
    Some(InUse {
        members: members.map(str::to_owned).collect(),
        other_check: protocol.filter(|_| check.is_none()),
        check,
        ..InUse::of(Balancer::Classic(name))
    })
}

/// `HTTP:80/up`. Of HTTPS, TCP and SSL nothing is made: a certificate is not for an address, and a
/// port that is open is no page.
fn classic_check(target: &str) -> Option<HttpCheck> {
    let (port, path) = target.strip_prefix("HTTP:")?.split_once('/')?;
    Some(HttpCheck { port: port.parse().ok()?, path: format!("/{path}") })
}

/// The members that are registered with other ports than the group's own.
fn other_ports(
    group: &TargetGroup,
    rows: &[TargetHealthDescription],
) -> BTreeMap<String, BTreeSet<i32>> {
    let mut found: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for target in rows.iter().filter_map(TargetHealthDescription::target) {
        let port = target.port().filter(|port| Some(*port) != group.port());
        if let (Some(id), Some(port)) = (target.id(), port) {
            found.entry(id.to_owned()).or_default().insert(port);
        }
    }
    found
}

/// On the port that is said, or on the one that all its members are registered with.
fn group_check(group: &TargetGroup, rows: &[TargetHealthDescription]) -> Option<HttpCheck> {
    if group.health_check_protocol() != Some(&ProtocolEnum::Http) {
        return None;
    }
    let said = group.health_check_port().and_then(|port| port.parse::<u16>().ok());
    let mut ports = rows.iter().filter_map(|row| row.target()?.port());
    let first = ports.next().filter(|first| ports.all(|port| port == *first)).or(group.port());
    let port = said.or_else(|| first.and_then(|port| u16::try_from(port).ok()))?;
    let path = group.health_check_path().filter(|path| path.starts_with('/'))?;
    Some(HttpCheck { port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_by_http_is_taken_over_and_no_other() {
        let check = |port, path: &str| Some(HttpCheck { port, path: path.to_owned() });
        assert_eq!(classic_check("HTTP:80/up?x=1"), check(80, "/up?x=1"));
        assert_eq!(classic_check("HTTP:8080/"), check(8080, "/"));
        for other in ["HTTPS:443/up", "TCP:80", "SSL:443", "HTTP:x/up", "HTTP:80", ""] {
            assert_eq!(classic_check(other), None, "{other}");
        }
        let group = |port: &str| {
            let builder = TargetGroup::builder().health_check_protocol(ProtocolEnum::Http);
            builder.health_check_port(port).health_check_path("/up").port(3000).build()
        };
        assert_eq!(group_check(&group("traffic-port"), &[]), check(3000, "/up"));
        assert_eq!(group_check(&group("81"), &[]), check(81, "/up"));
        assert_eq!(group_check(&TargetGroup::builder().port(80).build(), &[]), None);
    }
}
