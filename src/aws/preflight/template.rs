//! Judges the launch template of a fleet: whether RunInstances takes it as tidegate sends it, and
//! whether tidegate can terminate what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Answer, Protection, Subnet, Template};
use super::{Finding, Subject, lacking};
use tidegate_engine::model::fault::FaultKind;
use tidegate_engine::model::launch::LaunchRequest;

pub(super) const RIGHT: &str = "ec2:DescribeLaunchTemplateVersions";

/// The template for messages: `launch template web, version 7`.
pub(super) fn named(name: &str, version: &str) -> String {
    format!("launch template {name}, version {version}")
}

/// Judges what was read of the template that the messages call `named`. `requests` are the launches of
/// the fleet.
pub(super) fn judge(
    subject: Subject<'_>,
    named: &str,
    answer: &Answer<Option<Template>>,
    requests: &[LaunchRequest],
    subnets: Option<&BTreeMap<String, Subnet>>,
) -> Vec<Finding> {
    let lost = |text: &str| {
        let remedy = "name a version that `aws ec2 describe-launch-template-versions` lists";
        vec![subject.problem(text, remedy)]
    };
    let template = match answer {
        Ok(Some(template)) => template,
        Ok(None) => return lost(&format!("there is no {named}")),
        Err(fault) if fault.kind == FaultKind::NotFound => {
            return lost(&format!("there is no {named} ({})", fault.whole()));
        }
        Err(fault) if fault.kind == FaultKind::Config => {
            return lost(&format!("{named} is refused ({})", fault.whole()));
        }
        Err(fault) => {
            let why = lacking(fault, RIGHT);
            return vec![subject.unknown(&format!("{named} is not verified: {why}"))];
        }
    };
    let mut found = endings(subject, named, template);
    found.extend(refusals(subject, named, template));
    found.extend(network(subject, named, template, requests, subnets));
    if found.is_empty() {
        // `$Latest` is another version tomorrow.
        let alias = template.version.filter(|_| named.contains('$'));
        let number = alias.map_or_else(String::new, |number| format!(" (now {number})"));
        found.push(subject.good(&format!("{named}{number} can be launched and terminated")));
    }
    found
}

/// What keeps an instance from being terminated for good.
fn endings(subject: Subject<'_>, named: &str, template: &Template) -> Vec<Finding> {
    let mut found = Vec::new();
    if template.persistent_spot {
        found.push(subject.problem(
            &format!(
                "{named} makes persistent spot requests, so that EC2 launches a new instance for \
                 each that tidegate terminates"
            ),
            "set SpotInstanceType to one-time in a new version",
        ));
    }
    for protection in &template.protections {
        let (what, option) = match protection {
            Protection::Termination => ("termination protection", "DisableApiTermination"),
            Protection::Stop => ("stop protection", "DisableApiStop"),
        };
        found.push(subject.problem(
            &format!("{named} gives instances {what}, so that tidegate cannot terminate them"),
            &format!("set {option} to false in a new version"),
        ));
    }
    found
}

/// What RunInstances refuses whatever the policy says.
fn refusals(subject: Subject<'_>, named: &str, template: &Template) -> Vec<Finding> {
    let mut found = Vec::new();
    if template.requirements {
        found.push(subject.problem(
            &format!(
                "{named} selects instance types by InstanceRequirements, which RunInstances refuses"
            ),
            "take them out in a new version, and name `types` in the policy",
        ));
    }
    if template.image.is_none() {
        found.push(subject.problem(
            &format!("{named} has no image"),
            "add an ImageId in a new version, or name `image` instead of `template`",
        ));
    }
    let single = template.interfaces.iter().filter_map(|one| one.single.as_deref());
    for what in single {
        found.push(subject.problem(
            &format!("{named} gives every instance {what}, which only one at a time can have"),
            "take it out in a new version",
        ));
    }
    found
}

/// What the policy says of the network beside the template.
fn network(
    subject: Subject<'_>,
    named: &str,
    template: &Template,
    requests: &[LaunchRequest],
    subnets: Option<&BTreeMap<String, Subnet>>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let ids = requests.iter().filter_map(|request| request.pool.subnet.as_deref());
    let ids: BTreeSet<&str> = ids.collect();
    for (key, said) in [
        ("subnets", !ids.is_empty()),
        ("security_groups", requests.iter().any(|request| !request.security_groups.is_empty())),
    ] {
        if said && !template.interfaces.is_empty() {
            found.push(subject.problem(
                &format!(
                    "{named} has network interfaces, and RunInstances refuses `{key}` beside them"
                ),
                &format!("take the interfaces out in a new version, or `{key}` out of the policy"),
            ));
        }
    }
    let Some(zone) = &template.zone else { return found };
    let known = ids.iter().filter_map(|id| subnets?.get(*id));
    for other in known.filter(|subnet| subnet.zone != *zone) {
        found.push(subject.problem(
            &format!("{named} places instances in {zone}, and {} is in {}", other.id, other.zone),
            "take the placement out in a new version, or the subnet out of the policy",
        ));
    }
    found
}
