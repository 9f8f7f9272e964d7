//! Servers that a person hands over to a fleet, by their ids.
//!
//! It takes two rights: the tag is put on with the person's own rights in AWS, since tidegate's role
//! may tag nothing that it did not launch; and the ids are named over the socket. So neither somebody
//! who can only tag nor somebody who can only reach the socket makes tidegate end a foreign server.

use std::collections::BTreeSet;

use super::{has_our_tag, is_ours};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, InstanceId};
use crate::model::launch::{Token, tag};
use crate::model::ledger::Ledger;
use crate::model::server::ServerRecord;
use crate::model::time::Timestamp;
use crate::policy::Policy;

/// What a person asks for, and what EC2 says of it at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Handover<'a> {
    pub fleet: &'a FleetName,
    pub asked: &'a BTreeSet<InstanceId>,
    pub found: &'a [Instance],
}

/// The records of the instances that the fleet takes over, or why it takes none: all or nothing.
pub fn adopt(
    policy: &Policy,
    ledger: &Ledger,
    handover: Handover<'_>,
    now: Timestamp,
) -> Result<Vec<ServerRecord>, String> {
    let Handover { fleet, asked, found } = handover;
    if !policy.fleets.contains_key(fleet) {
        let known: Vec<&str> = policy.fleets.keys().map(FleetName::as_str).collect();
        return Err(format!("no fleet {fleet} in the policy; there are {}", known.join(", ")));
    }
    let mut records = Vec::new();
    let mut refused = Vec::new();
    let mut untagged = Vec::new();
    for id in asked {
        let Some(instance) = found.iter().find(|instance| instance.id == *id) else {
            refused.push(format!("EC2 knows no {id} in this account and region"));
            continue;
        };
        match refusal(policy, ledger, instance) {
            Some(why) => refused.push(why),
            None if !is_tagged(policy, fleet, instance) => untagged.push(id.as_str()),
            None => {
                let token = Token::adopted(&policy.install, id);
                records.push(ServerRecord::running(token, fleet.clone(), instance, now));
            }
        }
    }
    if !untagged.is_empty() {
        refused.push(format!(
            "tag first, with rights of your own: aws ec2 create-tags --resources {} --tags Key={},Value={} Key={},Value={fleet}",
            untagged.join(" "),
            tag::INSTALL,
            policy.install,
            tag::FLEET,
        ));
    }
    if refused.is_empty() { Ok(records) } else { Err(refused.join("; ")) }
}

fn is_tagged(policy: &Policy, fleet: &FleetName, instance: &Instance) -> bool {
    has_our_tag(policy, instance) && instance.tags.fleet.as_ref() == Some(fleet)
}

fn refusal(policy: &Policy, ledger: &Ledger, instance: &Instance) -> Option<String> {
    let id = &instance.id;
    if let Some(record) = ledger.servers.of_instance(id).filter(|record| record.is_open()) {
        return Some(format!("{id} is a server of {} already", record.fleet));
    }
    if is_ours(policy, instance) {
        return Some(format!("{id} was launched by this install, and is found by itself"));
    }
    if instance.tags.auto_scaling_group {
        return Some(format!(
            "{id} belongs to an Auto Scaling group, which would replace it: detach it there first"
        ));
    }
    let state = instance.lifecycle;
    (!state.is_alive()).then(|| format!("{id} is {}, not running", state.as_str()))
}
