//! EC2's calls, API version 2016-11-15.

use std::fmt;
use std::ops::Bound;

use super::form::Form;
use super::named;
use super::refusal::{Refusal, Service};
use super::tags;
use super::xml::Xml;
use crate::sim::machine::Machine;
use crate::sim::world::{self, World};
use tidegate_engine::model::instance::{InstanceId, Lifecycle};
use tidegate_engine::model::launch::{Image, tag};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::model::warning::{Part, Sign};

/// Pages of DescribeInstances: what EC2 allows, and what it takes unless told.
const PAGE: std::ops::RangeInclusive<usize> = 5..=1000;

pub(super) const ACCOUNT: &str = "000000000000";

/// Answers one call: the whole document.
pub(super) fn answer(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    match form.need("Action")? {
        "RunInstances" => run(world, form, id),
        "DescribeInstances" => describe(world, form, id),
        "TerminateInstances" => terminate(world, form, id),
        "CreateTags" => tags::create(world, form, id),
        "DeleteTags" => tags::delete(world, form, id),
        "DescribeInstanceStatus" => statuses(world, id),
        "DescribeVolumes" => volumes(world, form, id),
        "DescribeImages"
        | "DescribeInstanceTypes"
        | "DescribeLaunchTemplateVersions"
        | "DescribeLaunchTemplates"
        | "DescribeSecurityGroups"
        | "DescribeSubnets" => named::answer(world, form, id),
        other => {
            let message = format!("The action {other} is not valid for this web service.");
            Err(Refusal::new("InvalidAction", &message))
        }
    }
}

pub(super) fn document(call: &str, id: &str, inner: impl FnOnce(&mut Xml)) -> String {
    Xml::document(&format!("{call}Response"), Service::Ec2.namespace(), |xml| {
        xml.text("requestId", id);
        inner(xml);
    })
}

fn run(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    let request = form.launch()?;
    if form.flag("DryRun") {
        world.admit("RunInstances")?;
        return Err(Refusal::dry_run());
    }
    let launched = world.launch(&request)?;
    let now = world.now();
    let machine = world.machine(&launched.id).ok_or_else(|| world::unknown(&launched.id))?;
    Ok(document("RunInstances", id, |xml| reservation(xml, machine, now)))
}

fn describe(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    let filters = filters(form)?;
    let wanted: Vec<InstanceId> =
        form.list("InstanceId").into_iter().map(InstanceId::new).collect();
    let most = form.number("MaxResults")?;
    if most.is_some_and(|most| !PAGE.contains(&most)) {
        let message = "Value for parameter maxResults is invalid. Expecting 5 to 1000.";
        return Err(Refusal::new("InvalidParameterValue", message));
    }
    if most.is_some() && !wanted.is_empty() {
        let message = "The parameter instancesSet cannot be used with the parameter maxResults";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    if let Some(id) = wanted.iter().find(|id| world.machine(id).is_none()) {
        return Err(world::unknown(id).into());
    }
    // A page begins after the last instance of the one before, so that launches and terminations
    // in between neither hide nor repeat anybody.
    let begin = match form.get("NextToken") {
        None => Bound::Unbounded,
        Some(token) => {
            Bound::Excluded(InstanceId::new(token.strip_prefix("after-").ok_or_else(|| {
                Refusal::new("InvalidParameterValue", "Unable to parse pagination token")
            })?))
        }
    };
    let now = if wanted.is_empty() { world.listed_at() } else { world.now() };
    let begun = |machine: &&Machine| match &begin {
        Bound::Excluded(last) => machine.id > *last,
        Bound::Included(_) | Bound::Unbounded => true,
    };
    let admits = |machine: &&Machine| filters.iter().all(|filter| filter.admits(machine, now));
    let most = most.unwrap_or(usize::MAX);
    let (page, next): (Vec<&Machine>, _) = if wanted.is_empty() {
        let mut rows = world.listing()?.filter(begun).filter(admits);
        let page: Vec<&Machine> = rows.by_ref().take(most).collect();
        let next = rows.next().and(page.last()).map(|last| format!("after-{}", last.id));
        (page, next)
    } else {
        (world.named(&wanted)?.filter(admits).collect(), None)
    };
    Ok(document("DescribeInstances", id, |xml| {
        xml.list(("reservationSet", "item"), page, |xml, machine| reservation(xml, machine, now))
            .maybe("nextToken", next);
    }))
}

fn terminate(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    form.need("InstanceId.1")?;
    let ids: Vec<InstanceId> = form.list("InstanceId").into_iter().map(InstanceId::new).collect();
    let now = world.now();
    let states = |world: &World| -> Vec<Lifecycle> {
        ids.iter().filter_map(|id| world.machine(id)).map(|m| m.lifecycle(now)).collect()
    };
    let before = states(world);
    world.terminate_all(&ids)?;
    let after = states(world);
    Ok(document("TerminateInstances", id, |xml| {
        let rows = ids.iter().zip(before.into_iter().zip(after));
        xml.list(("instancesSet", "item"), rows, |xml, (id, (before, after))| {
            xml.text("instanceId", id);
            state(xml, "currentState", after);
            state(xml, "previousState", before);
        });
    }))
}

/// Every instance that runs, in one page.
fn statuses(world: &mut World, id: &str) -> Result<String, Refusal> {
    world.admit("DescribeInstanceStatus")?;
    let now = world.now();
    let running = world.machines().filter(|m| m.lifecycle(now) == Lifecycle::Running);
    Ok(document("DescribeInstanceStatus", id, |xml| {
        xml.list(("instanceStatusSet", "item"), running, |xml, machine| {
            let signs = || {
                let ours = world.warnings.iter().filter(|warning| warning.instance == machine.id);
                ours.map(|warning| &warning.sign)
            };
            let events = signs().filter_map(|sign| match sign {
                Sign::Event { code, not_before } => Some((code, not_before)),
                Sign::Impaired { .. } => None,
            });
            xml.text("instanceId", &machine.id).list(
                ("eventsSet", "item"),
                events,
                |xml, (code, not_before)| {
                    xml.text("code", code)
                        .text("description", "The instance is running on degraded hardware")
                        .maybe("notBefore", not_before.as_ref());
                },
            );
            state(xml, "instanceState", Lifecycle::Running);
            for (name, which) in
                [("systemStatus", Part::System), ("instanceStatus", Part::Instance)]
            {
                let impaired = signs().find_map(|sign| match sign {
                    Sign::Impaired { part, since } if *part == which => Some(since),
                    Sign::Impaired { .. } | Sign::Event { .. } => None,
                });
                xml.element(name, |xml| {
                    let (status, reachability) =
                        impaired.map_or(("ok", "passed"), |_| ("impaired", "failed"));
                    xml.text("status", status).list(("details", "item"), [()], |xml, ()| {
                        xml.text("name", "reachability")
                            .text("status", reachability)
                            .maybe("impairedSince", impaired.and_then(Option::as_ref));
                    });
                });
            }
        });
    }))
}

/// Of what DescribeVolumes can be asked, the free ones of an install, in one page.
fn volumes(world: &mut World, form: &Form, id: &str) -> Result<String, Refusal> {
    let mut install = None;
    let mut free = false;
    for group in form.groups("Filter") {
        let values = form.list(&format!("{group}.Value"));
        match (form.need(&format!("{group}.Name"))?, values.as_slice()) {
            ("status", ["available"]) => free = true,
            ("tag:tidegate:install", [name]) => install = Some((*name).to_owned()),
            (other, _) => {
                let message = format!("The filter '{other}' is invalid");
                return Err(Refusal::new("InvalidParameterValue", &message));
            }
        }
    }
    let (Some(install), true) = (install, free) else {
        return Err(Refusal::new("InvalidParameterValue", "Volumes in use are not imagined."));
    };
    world.admit("DescribeVolumes")?;
    let found = world.free_volumes(&install);
    Ok(document("DescribeVolumes", id, |xml| {
        xml.list(("volumeSet", "item"), found, |xml, volume| {
            xml.text("volumeId", &volume.id)
                .text("size", volume.gib)
                .text("status", "available")
                .list(("tagSet", "item"), volume.fleet, |xml, fleet| {
                    xml.text("key", tag::FLEET).text("value", fleet);
                });
        });
    }))
}

/// One instance, in a reservation of its own.
fn reservation(xml: &mut Xml, machine: &Machine, now: Timestamp) {
    let short = machine.id.as_str().trim_start_matches("i-");
    xml.text("reservationId", format_args!("r-{short}"))
        .text("ownerId", ACCOUNT)
        .element("groupSet", |_| ())
        .list(("instancesSet", "item"), [machine], |xml, machine| instance(xml, machine, now));
}

fn instance(xml: &mut Xml, machine: &Machine, now: Timestamp) {
    let request = &machine.request;
    let row = machine.describe(now);
    let image = match &request.image {
        Image::Id(id) => id,
        // The template knows its image; nobody here asks.
        Image::Template { .. } => "ami-0123456789abcdef0",
    };
    // EC2 takes its network away from an instance that has ended.
    let network = row.lifecycle != Lifecycle::Terminated;
    xml.text("instanceId", &row.id).text("imageId", image);
    state(xml, "instanceState", row.lifecycle);
    xml.text("reason", row.state_reason.as_deref().unwrap_or_default())
        .maybe("keyName", request.key_pair.as_deref())
        .text("amiLaunchIndex", 0)
        .maybe("instanceType", row.instance_type)
        .text("launchTime", date(row.launched_at.unwrap_or(now)))
        .element("placement", |xml| {
            xml.maybe("availabilityZone", row.zone);
        });
    if network {
        xml.maybe("subnetId", row.subnet)
            .text("vpcId", "vpc-0123456789abcdef0")
            .maybe("privateIpAddress", row.private_ip.as_deref());
    }
    if let Some(why) = row.state_reason {
        xml.element("stateReason", |xml| {
            xml.text("code", why.split(':').next().unwrap_or_default()).text("message", &why);
        });
    }
    let volumes = [
        ("/dev/xvda", Some(machine.volume("vol-")), Some(machine.launched_at)),
        ("/dev/sdf", row.attached.map(|attached| attached.id.to_string()), machine.attached_at),
    ];
    xml.text("rootDeviceName", "/dev/xvda").list(
        ("blockDeviceMapping", "item"),
        volumes.into_iter().filter_map(|(device, id, at)| Some((device, id?, at?))),
        |xml, (device, id, at)| {
            xml.text("deviceName", device).element("ebs", |xml| {
                xml.text("volumeId", id).text("status", "attached").text("attachTime", date(at));
            });
        },
    );
    if let Some(shown) = row.metadata_tags {
        xml.element("metadataOptions", |xml| {
            xml.text("state", "applied")
                .text("httpTokens", "required")
                .text("httpEndpoint", "enabled")
                .text("instanceMetadataTags", if shown { "enabled" } else { "disabled" });
        });
    }
    xml.text("architecture", "x86_64")
        .maybe("clientToken", row.token)
        .list(("groupSet", "item"), &request.security_groups, |xml, group| {
            xml.text("groupId", group);
        })
        .list(("tagSet", "item"), machine.tags(), |xml, (key, value)| {
            xml.text("key", key).text("value", value);
        });
}

fn date(at: Timestamp) -> impl fmt::Display {
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
}

fn state(xml: &mut Xml, name: &str, lifecycle: Lifecycle) {
    let code = match lifecycle {
        Lifecycle::Pending | Lifecycle::Unknown => 0,
        Lifecycle::Running => 16,
        Lifecycle::ShuttingDown => 32,
        Lifecycle::Terminated => 48,
        Lifecycle::Stopping => 64,
        Lifecycle::Stopped => 80,
    };
    xml.element(name, |xml| {
        xml.text("code", code).text("name", lifecycle.as_str());
    });
}

/// A filter of DescribeInstances: any of its values will do.
#[derive(Debug)]
struct Filter {
    by: By,
    values: Vec<String>,
}

#[derive(Debug)]
enum By {
    Tag(String),
    TagKey,
    Id,
    Token,
    State,
    Subnet,
}

fn filters(form: &Form) -> Result<Vec<Filter>, Refusal> {
    let read = |group: String| {
        let name = form.need(&format!("{group}.Name"))?;
        let by = match name {
            "tag-key" => By::TagKey,
            "instance-id" => By::Id,
            "client-token" => By::Token,
            "instance-state-name" => By::State,
            "subnet-id" => By::Subnet,
            other => {
                let key = other.strip_prefix("tag:").ok_or_else(|| {
                    let message = format!("The filter '{other}' is invalid");
                    Refusal::new("InvalidParameterValue", &message)
                })?;
                By::Tag(key.to_owned())
            }
        };
        let values = form.list(&format!("{group}.Value")).into_iter().map(str::to_owned).collect();
        Ok(Filter { by, values })
    };
    form.groups("Filter").map(read).collect()
}

impl Filter {
    fn admits(&self, machine: &Machine, now: Timestamp) -> bool {
        let any = |text: &str| self.values.iter().any(|pattern| matches(pattern, text));
        let tags = machine.tags();
        match &self.by {
            By::Tag(key) => tags.get(key).is_some_and(|value| any(value)),
            By::TagKey => tags.keys().any(|key| any(key)),
            By::Id => any(machine.id.as_str()),
            By::Token => any(machine.request.token.as_str()),
            By::State => any(machine.lifecycle(now).as_str()),
            By::Subnet => machine.request.pool.subnet.as_deref().is_some_and(any),
        }
    }
}

/// EC2's wildcards: `*` is any text, `?` one character.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut rest = text.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('*') => {
            let after = pattern.as_str();
            matches(after, text)
                || (rest.next().is_some() && matches(&format!("*{after}"), rest.as_str()))
        }
        Some(wanted) => {
            rest.next().is_some_and(|c| wanted == '?' || wanted == c)
                && matches(pattern.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_ec2s() {
        for (pattern, text) in
            [("main", "main"), ("tg1.*", "tg1.main"), ("*", ""), ("m??n", "main")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("main", "mainly"), ("tg1.*", "tg2.x"), ("?", ""), ("*a", "b")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
