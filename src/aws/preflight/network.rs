//! Judges the subnets and security groups of a fleet: they exist, and are of one VPC.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Effective, Subnet};
use super::{Finding, Subject, listed};

/// Judges as far as the facts were read.
pub(super) fn judge(
    subject: Subject<'_>,
    effective: &Effective,
    subnets: Option<&BTreeMap<String, Subnet>>,
    groups: Option<&BTreeMap<String, String>>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut known = Vec::new();
    if let Some(subnets) = subnets {
        for id in &effective.subnets {
            match subnets.get(id) {
                Some(subnet) => {
                    found.push(subject.good(&format!("{id} in {}", subnet.zone)));
                    known.push(subnet);
                }
                None => found.push(subject.problem(
                    &format!("there is no subnet {id} in this account and region"),
                    "name a subnet that `aws ec2 describe-subnets` lists",
                )),
            }
        }
    }
    let vpcs: BTreeSet<&str> = known.iter().map(|subnet| subnet.vpc.as_str()).collect();
    if vpcs.len() > 1 {
        let places = known.iter().map(|subnet| format!("{} in {}", subnet.id, subnet.vpc));
        let places: Vec<String> = places.collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        found.push(subject.problem(
            &format!("its subnets are of {} VPCs: {}", vpcs.len(), listed(&places)),
            "keep the subnets of one VPC, and make a fleet of its own for each other VPC",
        ));
    }
    if let Some(groups) = groups {
        let judged = effective.groups.iter().map(|id| {
            let vpc = groups.get(id).map(String::as_str);
            group(subject, id, vpc, &known)
        });
        found.extend(judged);
    }
    found
}

fn group(subject: Subject<'_>, id: &str, vpc: Option<&str>, subnets: &[&Subnet]) -> Finding {
    let Some(vpc) = vpc else {
        return subject.problem(
            &format!("there is no security group {id} in this account and region"),
            "name a group that `aws ec2 describe-security-groups` lists",
        );
    };
    let Some(other) = subnets.iter().find(|subnet| subnet.vpc != vpc) else {
        return subject.good(&format!("{id} of {vpc}"));
    };
    subject.problem(
        &format!("security group {id} is of {vpc}, and {} of {}", other.id, other.vpc),
        &format!("name a security group of {}", other.vpc),
    )
}
