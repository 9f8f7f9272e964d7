//! Servers that a person hands over to a fleet, by their ids.
//!
//! It takes two rights: the tag is put on with the person's own rights in AWS, since tidegate's role
//! may tag nothing that it did not launch; and the ids are named over the socket. So neither somebody
//! who can only tag nor somebody who can only reach the socket makes tidegate end a foreign server.
//!
//! The tag `tidegate:adopted` outlives the journal: while a journal is new, an instance that has it
//! counts as a server of its fleet without an order. So whoever may tag instances can hand one over
//! then, and a lost journal loses no adopted server.
//!
//! A server of a fleet that has left the policy changes hands in the same way: so a fleet is renamed.

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

/// The records of the instances that the fleet takes over, or why it takes none: all or nothing. Servers
/// that it has already need no record.
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
    for id in asked.iter().filter(|id| !has_already(ledger, fleet, id)) {
        let Some(instance) = found.iter().find(|instance| instance.id == *id) else {
            refused.push(format!("EC2 knows no {id} in this account and region"));
            continue;
        };
        match refusal(policy, ledger, fleet, instance) {
            Some(why) => refused.push(why),
            None if !is_tagged(policy, fleet, instance) => untagged.push(id.as_str()),
            None => records.push(taken_over(policy, ledger, fleet, instance, now)),
        }
    }
    let install = &policy.install;
    if !untagged.is_empty() {
        refused.push(format!(
            "tag first, with rights of your own: aws ec2 create-tags --resources {} --tags Key={},Value={install} Key={},Value={fleet} Key={},Value={install}/{fleet}",
            untagged.join(" "),
            tag::INSTALL,
            tag::FLEET,
            tag::ADOPTED,
        ));
    }
    if refused.is_empty() { Ok(records) } else { Err(refused.join("; ")) }
}

/// Returns whether the instance is a server of this fleet that is to stay.
fn has_already(ledger: &Ledger, fleet: &FleetName, id: &InstanceId) -> bool {
    let known = ledger.servers.of_instance(id).filter(|record| record.is_open());
    known.is_some_and(|record| record.fleet == *fleet && record.retirement.is_none())
}

fn is_tagged(policy: &Policy, fleet: &FleetName, instance: &Instance) -> bool {
    has_our_tag(policy, instance)
        && instance.tags.fleet.as_ref() == Some(fleet)
        && (is_ours(policy, instance) || handed_over_to(policy, instance).as_ref() == Some(fleet))
}

/// Returns the fleet that an instance was handed over to, by the tag that the operator set.
pub(super) fn handed_over_to(policy: &Policy, instance: &Instance) -> Option<FleetName> {
    let adopted = instance.tags.adopted.as_deref().filter(|_| has_our_tag(policy, instance))?;
    let (install, fleet) = adopted.split_once('/')?;
    FleetName::new(fleet).filter(|_| install == policy.install)
}

/// A server in the books keeps all that is known of it.
fn taken_over(
    policy: &Policy,
    ledger: &Ledger,
    fleet: &FleetName,
    instance: &Instance,
    now: Timestamp,
) -> ServerRecord {
    let known = ledger.servers.of_instance(&instance.id).filter(|record| record.is_open());
    if let Some(record) = known {
        return ServerRecord { fleet: fleet.clone(), ..record.clone() };
    }
    let token = Token::adopted(&policy.install, &instance.id);
    ServerRecord::running(token, fleet.clone(), instance, now)
}

fn refusal(
    policy: &Policy,
    ledger: &Ledger,
    fleet: &FleetName,
    instance: &Instance,
) -> Option<String> {
    let id = &instance.id;
    let known = ledger.servers.of_instance(id).filter(|record| record.is_open());
    if let Some(record) = known {
        if let Some(why) = stays(policy, ledger, fleet, record) {
            return Some(format!("{id} {why}"));
        }
    } else if is_ours(policy, instance) {
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

/// Why a server that is in the books cannot change hands.
fn stays(
    policy: &Policy,
    ledger: &Ledger,
    fleet: &FleetName,
    record: &ServerRecord,
) -> Option<String> {
    let of = &record.fleet;
    if record.retirement.is_some() {
        return Some(format!("is on its way out of {of}"));
    }
    if policy.fleets.contains_key(of) {
        return Some(format!("is a server of {of} already"));
    }
    // Only in the balancer that has it can it be proven out of service one day.
    let (is_in, _) = ledger.fleets.get(of)?.balancer.as_ref()?;
    let asked = policy.fleets.get(fleet)?.balancer.as_ref().map(|entry| &entry.balancer);
    let held = ledger.fleets.get(fleet).and_then(|memory| memory.balancer.as_ref());
    let held = held.filter(|_| ledger.servers.has_open(fleet)).map(|(held, _)| held);
    (held.or(asked) != Some(is_in)).then(|| {
        format!("is in {is_in}, where the servers of {fleet} are not: name the same for it")
    })
}
