//! What `tidegate check` knows about the things that a policy names, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use super::Asked;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::launch::Image;

/// What AWS answered; a fault leaves the things of its kind unverified.
pub(super) type Answer<T> = Result<T, Fault>;

/// Everything that was read. Things are by id or name, and absent where AWS does not have them.
#[derive(Debug)]
pub(super) struct Facts {
    pub subnets: Answer<BTreeMap<String, Subnet>>,
    /// The VPC of each security group.
    pub groups: Answer<BTreeMap<String, String>>,
    pub images: Answer<BTreeMap<String, ImageFacts>>,
    pub types: Answer<BTreeMap<String, TypeFacts>>,
    /// By name or id, and version.
    pub templates: BTreeMap<(String, String), Answer<Option<Template>>>,
    pub fronts: Fronts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    pub id: String,
    pub zone: String,
    pub vpc: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ImageFacts {
    pub name: Option<String>,
    /// `x86_64`, `arm64`, …
    pub architecture: Option<String>,
    /// `hvm` or `paravirtual`.
    pub virtualization: Option<String>,
    /// `available`, `pending`, …
    pub state: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TypeFacts {
    pub architectures: Vec<String>,
    pub virtualizations: Vec<String>,
}

/// A version of a launch template, as far as a launch by tidegate depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    /// Its number, also where the policy says `$Latest`.
    pub version: Option<i64>,
    pub image: Option<String>,
    pub instance_type: Option<String>,
    /// Attributes in place of an instance type.
    pub requirements: bool,
    pub groups: Vec<String>,
    pub interfaces: Vec<Interface>,
    /// The Availability Zone of its placement.
    pub zone: Option<String>,
    pub persistent_spot: bool,
    pub protections: Vec<Protection>,
}

/// What makes EC2 refuse TerminateInstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Termination,
    /// Keeps an instance from being terminated as well.
    Stop,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub subnet: Option<String>,
    pub groups: Vec<String>,
    /// What only one instance at a time can have: an existing interface, or a private address.
    pub single: Option<String>,
}

/// Load balancers of both generations.
#[derive(Debug)]
pub(super) struct Fronts {
    /// Classic load balancers by name.
    pub classic: Answer<BTreeMap<String, Front>>,
    pub groups: Answer<Vec<TargetGroup>>,
    /// The load balancers that forward to those groups, by ARN.
    pub balancers: Answer<BTreeMap<String, Front>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrontKind {
    Classic,
    Application,
    Network,
    Gateway,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    pub name: String,
    pub kind: FrontKind,
    pub vpc: Option<String>,
    /// The Availability Zones that are enabled.
    pub zones: BTreeSet<String>,
    /// Whether each node distributes to the targets of all zones. `None`: not read.
    pub cross_zone: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetGroup {
    pub arn: String,
    pub name: String,
    /// `instance`, `ip`, `lambda` or `alb`.
    pub target_type: String,
    pub vpc: Option<String>,
    /// The ARNs of the load balancers that forward to it.
    pub balancers: Vec<String>,
    /// The group's own setting, which overrides that of its load balancer.
    pub cross_zone: Option<bool>,
}

/// What a launch of a fleet ends up with, from the policy and its launch template together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effective {
    pub subnets: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    /// An AMI id, or a parameter that EC2 resolves.
    pub image: Option<String>,
    pub types: BTreeSet<String>,
}

impl Effective {
    /// `template` is the version that the fleet launches from, where it could be read.
    pub(super) fn of(asked: &Asked, template: Option<&Template>) -> Self {
        let mut made = Self::default();
        for request in &asked.requests {
            made.subnets.extend(request.pool.subnet.as_deref().map(str::to_owned));
            made.types.extend(request.pool.instance_type.as_deref().map(str::to_owned));
            made.groups.extend(request.security_groups.iter().cloned());
            if let Image::Id(id) = &request.image {
                made.image = Some(id.clone());
            }
        }
        let Some(template) = template else { return made };
        made.image = made.image.or_else(|| template.image.clone());
        if made.types.is_empty() {
            made.types.extend(template.instance_type.clone());
        }
        let interfaces = template.interfaces.iter();
        if made.subnets.is_empty() {
            made.subnets.extend(interfaces.clone().filter_map(|one| one.subnet.clone()));
        }
        if made.groups.is_empty() {
            made.groups.extend(template.groups.iter().cloned());
            made.groups.extend(interfaces.flat_map(|one| one.groups.iter().cloned()));
        }
        made
    }
}

/// The launch template of a fleet, as the policy names it.
pub(super) fn template_of(asked: &Asked) -> Option<(String, String)> {
    match &asked.requests.first()?.image {
        Image::Template { name, version } => Some((name.clone(), version.clone())),
        Image::Id(_) => None,
    }
}
