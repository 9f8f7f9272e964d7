//! What a draft does not take over of the servers it is made of: settings that a launch leaves to
//! AWS, and values in which the servers of one fleet differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::{Disk, InUse, Inventory, Running, Setting};
use crate::cli::init::draft::template;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::printable;

/// More servers than this are counted and not named.
const NAMED_AT_MOST: usize = 4;

/// Returns one sentence for each difference. The newest server is the first.
pub(super) fn of(
    servers: &[Running],
    balancer: Option<&Balancer>,
    inventory: &Inventory,
) -> Vec<String> {
    let mut found = unlike(servers);
    // A launch template has settings of its own, which the servers have got from it.
    if template(servers).is_none() {
        found.extend(disks(servers, inventory));
        found.extend(addresses(servers, inventory));
        found.extend(settings(servers));
    }
    found.extend(places(servers, balancer, inventory));
    found
}

/// The servers for a sentence, as a part of `all`.
fn named(some: &[&Running], all: &[Running]) -> String {
    if all.len() == 1 {
        return "the server".to_owned();
    }
    if some.len() == all.len() {
        return "all servers".to_owned();
    }
    let (shown, rest) = some.split_at(some.len().min(NAMED_AT_MOST));
    let shown: Vec<&str> = shown.iter().map(|server| server.id.as_str()).collect();
    let shown = shown.join(", ");
    match rest.len() {
        0 => shown,
        1 => format!("{shown} and 1 other"),
        more => format!("{shown} and {more} others"),
    }
}

fn have(count: usize) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

/// The servers by a value that they have; those without one are left out.
fn by<T: Ord>(
    servers: &[Running],
    value: impl Fn(&Running) -> Option<T>,
) -> BTreeMap<T, Vec<&Running>> {
    let mut found: BTreeMap<T, Vec<&Running>> = BTreeMap::new();
    for server in servers {
        if let Some(value) = value(server) {
            found.entry(value).or_default().push(server);
        }
    }
    found
}

/// A text that a server may lack.
type Value = fn(&Running) -> Option<String>;

/// What the newest server has and others have otherwise.
fn unlike(servers: &[Running]) -> Vec<String> {
    const OF_IMAGES: [(&str, Value); 4] = [
        ("image", |server| server.image.clone()),
        ("security groups", |server| {
            let groups: Vec<&str> = server.security_groups.iter().map(String::as_str).collect();
            (!groups.is_empty()).then(|| groups.join(" "))
        }),
        ("key pair", |server| server.key_pair.clone()),
        ("instance profile", |server| {
            let arn = server.instance_profile.as_deref()?;
            arn.rsplit('/').next().map(str::to_owned)
        }),
    ];
    const OF_TEMPLATES: [(&str, Value); 1] = [("version of the launch template", version)];
    let templated = template(servers).is_some();
    let values: &[(&str, Value)] = if templated { &OF_TEMPLATES } else { &OF_IMAGES };
    let Some(newest) = servers.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (what, value) in values {
        let shown =
            |value: Option<String>| value.map_or_else(|| "none".to_owned(), |v| printable(&v, 64));
        let taken = shown(value(newest));
        let others =
            by(servers, |server| Some(shown(value(server))).filter(|other| *other != taken));
        let others = others
            .iter()
            .map(|(other, some)| format!("{} {} {other}", named(some, servers), have(some.len())));
        let others: Vec<String> = others.collect();
        if !others.is_empty() {
            found.push(format!("{what}: {taken} is the newest server's; {}", others.join(", ")));
        }
    }
    found.extend(types(servers));
    if !templated {
        let made = by(servers, |server| server.tags.get("aws:ec2launchtemplate:id").cloned());
        found.extend(made.iter().map(|(id, some)| {
            let verb = if some.len() == 1 { "was" } else { "were" };
            format!(
                "launch template: {} {verb} made of {}, and the servers are not all of one template",
                named(some, servers),
                printable(id, 64)
            )
        }));
    }
    found
}

fn version(server: &Running) -> Option<String> {
    server.tags.get("aws:ec2launchtemplate:version").cloned()
}

/// All types are taken, the most frequent first.
fn types(servers: &[Running]) -> Option<String> {
    let kinds = by(servers, |server| server.instance_type.clone());
    let mut kinds: Vec<(&String, &Vec<&Running>)> = kinds.iter().collect();
    kinds.sort_by(|(a, n), (b, m)| m.len().cmp(&n.len()).then(a.cmp(b)));
    let ((first, _), rest) = kinds.split_first()?;
    let rest = rest.iter().map(|(kind, some)| {
        format!("{} {} {}", named(some, servers), have(some.len()), printable(kind, 64))
    });
    let rest: Vec<String> = rest.collect();
    (!rest.is_empty()).then(|| {
        format!(
            "types: {} is launched first; {}, which is launched where EC2 has none of the first",
            printable(first, 64),
            rest.join(", ")
        )
    })
}

fn disk_text(disk: &Disk) -> String {
    let size =
        disk.size_gib.map_or_else(|| "of unknown size".to_owned(), |size| format!("{size} GiB"));
    let kind = disk.kind.as_deref().map(|kind| format!(" {}", printable(kind, 20)));
    format!("{size}{}", kind.unwrap_or_default())
}

/// What EC2 does not say of either is no difference.
fn differs(a: &Disk, b: &Disk) -> bool {
    fn other<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
        a.zip(b).is_some_and(|(a, b)| a != b)
    }
    other(a.size_gib.as_ref(), b.size_gib.as_ref()) || other(a.kind.as_ref(), b.kind.as_ref())
}

/// Disks that are otherwise than the image of a launch makes them.
fn disks(servers: &[Running], inventory: &Inventory) -> Vec<String> {
    let origins = &inventory.origins;
    let Some(id) = servers.first().and_then(|newest| newest.image.as_ref()) else {
        return Vec::new();
    };
    let Some(made) = origins.images.get(id) else {
        let read = origins.unread.iter().all(|unread| unread.what != "images");
        let gone = format!(
            "image: {} does not exist any more, or is not shared with this account; name another",
            printable(id, 64)
        );
        return if read { vec![gone] } else { Vec::new() };
    };
    let volume =
        |server: &Running, device: &str| origins.volumes.get(server.volumes.get(device)?).cloned();
    let root = |server: &Running| {
        let device = server.root_device.as_deref()?;
        volume(server, device)
            .filter(|disk| made.get(device).is_some_and(|image| differs(disk, image)))
    };
    let mut found = Vec::new();
    for (disk, some) in by(servers, root) {
        let device = some.first().and_then(|server| made.get(server.root_device.as_deref()?));
        let image = device.map(disk_text).unwrap_or_default();
        found.push(format!(
            "root disk: {} on {}; the image of a launch makes {image}",
            disk_text(&disk),
            named(&some, servers)
        ));
    }
    let devices: BTreeSet<&String> =
        servers.iter().flat_map(|server| server.volumes.keys()).collect();
    for device in devices {
        let root = servers.iter().any(|server| server.root_device.as_ref() == Some(device));
        if root || made.contains_key(device) {
            continue;
        }
        let more = |server: &Running| {
            server.volumes.contains_key(device).then(|| volume(server, device).unwrap_or_default())
        };
        for (disk, some) in by(servers, more) {
            found.push(format!(
                "disk {}: {} on {}; the image of a launch makes none",
                printable(device, 40),
                disk_text(&disk),
                named(&some, servers)
            ));
        }
    }
    found
}

/// A public address is up to the subnet, unless it is an Elastic IP.
fn addresses(servers: &[Running], inventory: &Inventory) -> Vec<String> {
    let address = |server: &Running| server.settings.get(&Setting::PublicAddress).cloned();
    let known = by(servers, address);
    let mut found = Vec::new();
    if let Some(some) = known.get("elastic") {
        found.push(format!(
            "Elastic IP: {} {} one; a launch gets none",
            named(some, servers),
            have(some.len())
        ));
    }
    let subnets: BTreeSet<&String> = servers.iter().filter_map(|s| s.subnet.as_ref()).collect();
    for subnet in subnets {
        let here: Vec<&Running> =
            servers.iter().filter(|server| server.subnet.as_ref() == Some(subnet)).collect();
        let (with, without): (Vec<&Running>, Vec<&Running>) =
            here.into_iter().partition(|server| address(server).is_some());
        let with: Vec<&Running> =
            with.into_iter().filter(|one| address(one).as_deref() == Some("assigned")).collect();
        let subject = |some: &[&Running]| format!("{} {}", named(some, servers), have(some.len()));
        match inventory.origins.subnets.get(subnet) {
            Some(false) if !with.is_empty() => found.push(format!(
                "public address: {} one; a launch in {subnet} gets none, since the subnet assigns none",
                subject(&with)
            )),
            Some(true) if !without.is_empty() => found.push(format!(
                "public address: {} none; a launch in {subnet} gets one, since the subnet assigns one",
                subject(&without)
            )),
            None if !with.is_empty() => found.push(format!(
                "public address: {} one; whether a launch gets one is up to {subnet}, which could not be read",
                subject(&with)
            )),
            Some(_) | None => {}
        }
    }
    found
}

/// How a launch of an image by tidegate is set: EC2's name of the setting, the values that are no
/// difference, and what a launch has.
fn launched(setting: Setting) -> Option<(&'static str, &'static [&'static str], &'static str)> {
    Some(match setting {
        // Judged by the subnet.
        Setting::PublicAddress => return None,
        Setting::Tenancy => ("tenancy", &["default"], "default"),
        Setting::PlacementGroup => ("placement group", &[], "none"),
        Setting::HttpEndpoint => ("metadata HttpEndpoint", &["enabled"], "enabled"),
        Setting::HttpTokens => (
            "metadata HttpTokens",
            &["required"],
            "required, so that software that uses IMDSv1 fails",
        ),
        Setting::HopLimit => (
            "metadata HttpPutResponseHopLimit",
            &["1", "2"],
            "the default of the account or the image",
        ),
        Setting::MetadataIpv6 => ("metadata HttpProtocolIpv6", &["disabled"], "disabled"),
        Setting::MetadataTags => (
            "metadata InstanceMetadataTags",
            &["disabled"],
            "disabled, unless the fleet has a `drain`",
        ),
        Setting::EbsOptimized => ("EbsOptimized", &["false"], "the default of the instance type"),
        Setting::Monitoring => ("detailed monitoring", &["disabled"], "basic monitoring"),
        Setting::SourceDestCheck => ("SourceDestCheck", &["true"], "true"),
        Setting::Enclave => ("EnclaveOptions", &["false"], "false"),
        Setting::Hibernation => ("HibernationOptions", &["false"], "false"),
        Setting::Interfaces => ("network interfaces", &[], "1"),
    })
}

fn settings(servers: &[Running]) -> Vec<String> {
    let all: BTreeSet<Setting> =
        servers.iter().flat_map(|server| server.settings.keys().copied()).collect();
    let mut found = Vec::new();
    for setting in all {
        let Some((name, usual, launch)) = launched(setting) else { continue };
        let value = |server: &Running| {
            let value = server.settings.get(&setting)?;
            (!usual.contains(&value.as_str())).then(|| printable(value, 64))
        };
        for (value, some) in by(servers, value) {
            let some = named(&some, servers);
            found.push(format!("{name}: {value} on {some}; a launch has {launch}"));
        }
    }
    found
}

/// What load balancers do with the servers and tidegate does not.
fn places(servers: &[Running], balancer: Option<&Balancer>, inventory: &Inventory) -> Vec<String> {
    let mut found = Vec::new();
    for place in &inventory.balancers {
        let inside = by(servers, |server| place.members.contains(&server.id).then_some(()));
        let Some(inside) = inside.get(&()) else { continue };
        if Some(&place.balancer) == balancer {
            found.extend(checks(place));
            found.extend(ports(servers, place));
        } else {
            let verb = if inside.len() == 1 || servers.len() == 1 { "is" } else { "are" };
            let servers = named(inside, servers);
            let place = &place.balancer;
            found.push(format!(
                "{place}: {servers} {verb} in it too; tidegate registers with one load balancer"
            ));
        }
    }
    found
}

fn checks(place: &InUse) -> Vec<String> {
    let other = place.other_check.as_deref().map(|protocol| {
        format!(
            "health check: {} asks by {}, and `health` by HTTP, so that none is drafted",
            place.balancer,
            printable(protocol, 20)
        )
    });
    let matcher = place.matcher.as_deref().map(|codes| {
        format!(
            "health check: {} accepts HTTP {}, and `health` 200 alone",
            place.balancer,
            printable(codes, 64)
        )
    });
    other.into_iter().chain(matcher).collect()
}

fn ports(servers: &[Running], place: &InUse) -> Vec<String> {
    let own = place.port.map_or_else(|| "its own port".to_owned(), |port| format!("port {port}"));
    let ports = |server: &Running| {
        let ports = place.other_ports.get(&server.id)?.iter();
        Some(ports.map(ToString::to_string).collect::<Vec<_>>().join(" and "))
    };
    let told = by(servers, ports).into_iter().map(|(ports, some)| {
        format!(
            "{}: port {ports} for {}; tidegate registers with {own}",
            place.balancer,
            named(&some, servers)
        )
    });
    told.collect()
}

#[cfg(test)]
mod tests;
