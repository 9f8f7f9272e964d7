//! Which of the servers that run could be fleets, and what they have in common.

use std::collections::{BTreeMap, BTreeSet};

use super::differences;
use crate::aws::{HttpCheck, Inventory, Running, Unread};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::launch::tag;

/// Tags that say who else looks after a server, and what that is called.
const KEEPERS: [(&str, &str); 7] = [
    ("aws:autoscaling:groupName", "Auto Scaling group"),
    ("aws:ec2:fleet-id", "EC2 fleet"),
    ("aws:ec2spot:fleet-request-id", "spot fleet"),
    ("aws:eks:cluster-name", "EKS cluster"),
    ("eks:cluster-name", "EKS cluster"),
    ("aws:elasticmapreduce:job-flow-id", "EMR cluster"),
    ("elasticbeanstalk:environment-name", "Elastic Beanstalk environment"),
];

/// What was made of an inventory.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub fleets: Vec<Group>,
    /// Each with why.
    pub left_out: Vec<(Running, String)>,
    /// What servers could not be compared with.
    pub unread: Vec<Unread>,
}

/// Servers that do the same work, as far as one can see.
#[derive(Debug)]
pub(super) struct Group {
    pub name: FleetName,
    /// What makes them one: `in load balancer web`, `named job…`.
    pub because: String,
    pub balancer: Option<Balancer>,
    pub check: Option<HttpCheck>,
    /// The newest first: what the next one should be like.
    pub servers: Vec<Running>,
    /// What the fleet does not take over of them.
    pub differences: Vec<String>,
}

/// What makes servers belong together; load balancers before mere likeness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    Balancer(Balancer),
    Role(String),
    Name(String),
}

impl Draft {
    pub(super) fn of(inventory: &Inventory) -> Self {
        let mut homes: BTreeMap<&str, BTreeSet<&Balancer>> = BTreeMap::new();
        for place in &inventory.balancers {
            for id in &place.members {
                homes.entry(id).or_default().insert(&place.balancer);
            }
        }
        let mut bonds: BTreeMap<Bond, Vec<Running>> = BTreeMap::new();
        let mut left_out = Vec::new();
        for server in &inventory.servers {
            let home = homes.get(server.id.as_str()).and_then(|homes| homes.first().copied());
            match foreign(server).map_or_else(|| bond(server, home), Err) {
                Ok(bond) => bonds.entry(bond).or_default().push(server.clone()),
                Err(why) => left_out.push((server.clone(), why)),
            }
        }
        let mut fleets: Vec<Group> = Vec::new();
        for (bond, mut servers) in bonds {
            if !matches!(bond, Bond::Balancer(_)) && servers.len() < 2 {
                // A database, a bastion: one of its kind is not to be launched by the dozen.
                let why = "alone: in no load balancer, and no other server like it".to_owned();
                left_out.extend(servers.into_iter().map(|server| (server, why.clone())));
                continue;
            }
            servers.sort_by(|a, b| b.launched_at.cmp(&a.launched_at).then(a.id.cmp(&b.id)));
            let taken: Vec<&FleetName> = fleets.iter().map(|fleet| &fleet.name).collect();
            // What they are called themselves says more than their load balancer's name.
            let own: BTreeSet<Bond> = servers.iter().filter_map(likeness).collect();
            let own = own.first().filter(|_| own.len() == 1);
            let name = named(own.unwrap_or(&bond).text(), &taken);
            let balancer = bond.balancer();
            let place = inventory.balancers.iter().find(|place| Some(&place.balancer) == balancer);
            fleets.push(Group {
                name,
                because: bond.told(),
                differences: differences::of(&servers, balancer, inventory),
                check: place.and_then(|place| place.check.clone()),
                balancer: balancer.cloned(),
                servers,
            });
        }
        left_out.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        Self { fleets, left_out, unread: inventory.origins.unread.clone() }
    }
}

/// The launch template that all were made of, in the newest one's version.
pub(super) fn template(servers: &[Running]) -> Option<String> {
    let made_of = |server: &Running| server.tags.get("aws:ec2launchtemplate:id").cloned();
    let newest = servers.first()?;
    let id = made_of(newest).filter(|id| id.starts_with("lt-"))?;
    let all = servers.iter().all(|server| made_of(server).as_ref() == Some(&id));
    let version = newest.tags.get("aws:ec2launchtemplate:version");
    let version = version.filter(|version| version.parse::<u64>().is_ok());
    all.then(|| version.map_or_else(|| id.clone(), |version| format!("{id}:{version}")))
}

/// Why a server is not for tidegate to have, whatever it does.
fn foreign(server: &Running) -> Option<String> {
    let tagged = |key: &str| server.tags.get(key).map(|value| printable(value, 64));
    if let Some(install) = tagged(tag::INSTALL) {
        return Some(format!("tidegate's already, of install {install}"));
    }
    for (key, what) in KEEPERS {
        if let Some(name) = tagged(key) {
            return Some(format!("of {what} {name}, which looks after it"));
        }
    }
    if server.tags.keys().any(|key| key.starts_with("kubernetes.io/cluster/")) {
        return Some("of a Kubernetes cluster, which looks after it".to_owned());
    }
    if server.spot {
        return Some("a spot instance, which tidegate does not launch".to_owned());
    }
    let image = server.image.as_deref().is_none_or(|image| !image.starts_with("ami-"));
    (image || server.instance_type.is_none()).then(|| "EC2 tells no image or type of it".to_owned())
}

/// What a server belongs together with others by; or why that cannot be told.
fn bond(server: &Running, home: Option<&Balancer>) -> Result<Bond, String> {
    if let Some(home) = home {
        return Ok(Bond::Balancer(home.clone()));
    }
    likeness(server).ok_or_else(|| {
        "in no load balancer, and no tag `Name` or `role` tells what it does".to_owned()
    })
}

/// What a server is said to be, by its tags.
fn likeness(server: &Running) -> Option<Bond> {
    let tagged = |key: &str| server.tags.get(key).map(|value| value.trim());
    let role = ["role", "Role"].into_iter().find_map(tagged).filter(|role| !role.is_empty());
    if let Some(role) = role {
        return Some(Bond::Role(role.to_owned()));
    }
    // job-1 and job-2 are two of a kind.
    let name = tagged("Name").unwrap_or_default();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || "-_. #".contains(c));
    (!stem.is_empty()).then(|| Bond::Name(stem.to_owned()))
}

impl Bond {
    fn text(&self) -> &str {
        match self {
            Self::Balancer(Balancer::Classic(text) | Balancer::TargetGroup(text))
            | Self::Role(text)
            | Self::Name(text) => text,
        }
    }

    fn balancer(&self) -> Option<&Balancer> {
        match self {
            Self::Balancer(balancer) => Some(balancer),
            Self::Role(_) | Self::Name(_) => None,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Balancer(balancer) => format!("in {balancer}"),
            Self::Role(role) => format!("tagged role={}", printable(role, 64)),
            Self::Name(stem) => format!("named {}…", printable(stem, 64)),
        }
    }
}

/// A fleet's name made of whatever text, and not one of those `taken`.
fn named(text: &str, taken: &[&FleetName]) -> FleetName {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    let whole = parts.join("-");
    let whole = whole.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    // Room for a number.
    let short: String = whole.chars().take(24).collect();
    let stem = short.trim_end_matches('-');
    let stem = if stem.is_empty() { "fleet" } else { stem };
    let numbered = |n: u32| if n == 1 { stem.to_owned() } else { format!("{stem}-{n}") };
    let free = (1..=9_999_999)
        .filter_map(|n| FleetName::new(&numbered(n)))
        .find(|name| !taken.contains(&name));
    free.unwrap_or_else(|| named("fleet", taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::InUse;

    fn server(id: &str, tags: &[(&str, &str)]) -> Running {
        Running {
            id: id.to_owned(),
            image: Some("ami-1".to_owned()),
            instance_type: Some("t3.small".to_owned()),
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Running::default()
        }
    }

    fn place(balancer: Balancer, members: &[&str]) -> InUse {
        let members = members.iter().map(|id| (*id).to_owned()).collect();
        InUse { members, ..InUse::of(balancer) }
    }

    #[test]
    fn who_is_registered_together_or_named_alike_is_one_fleet_and_who_is_alone_is_none() {
        let web = Balancer::Classic("Web_Front".to_owned());
        let more = Balancer::TargetGroup("web-tls".to_owned());
        let draft = Draft::of(&Inventory {
            servers: vec![
                server("i-1", &[("Name", "app-1")]),
                server("i-2", &[("Name", "something else")]),
                server("i-9", &[("Name", "api-1")]),
                server("i-3", &[("Name", "job-1")]),
                server("i-4", &[("Name", "job-12")]),
                server("i-5", &[("Name", "db")]),
                server("i-6", &[]),
                server("i-7", &[("role", "mail"), ("Name", "x")]),
                server("i-8", &[("role", "mail")]),
            ],
            balancers: vec![
                place(web.clone(), &["i-1", "i-2", "i-gone"]),
                place(more, &["i-1"]),
                place(Balancer::Classic("zone-a".to_owned()), &["i-9"]),
            ],
            ..Inventory::default()
        });
        let told: Vec<_> = draft
            .fleets
            .iter()
            .map(|group| (group.name.as_str(), group.because.as_str(), group.servers.len()))
            .collect();
        let expected = [
            ("web-front", "in load balancer Web_Front", 2),
            ("api", "in load balancer zone-a", 1),
            ("mail", "tagged role=mail", 2),
            ("job", "named job…", 2),
        ];
        assert_eq!(told, expected);
        assert_eq!(draft.fleets[0].balancer, Some(web));
        let also =
            "target group web-tls: i-1 is in it too; tidegate registers with one load balancer";
        assert!(draft.fleets[0].differences.contains(&also.to_owned()), "{draft:?}");
        let left: Vec<_> = draft.left_out.iter().map(|(server, _)| server.id.as_str()).collect();
        assert_eq!(left, ["i-5", "i-6"]);
    }

    #[test]
    fn what_somebody_else_looks_after_is_left_out_even_in_a_load_balancer() {
        let kept = [
            server("i-1", &[("aws:autoscaling:groupName", "workers")]),
            server("i-2", &[("tidegate:install", "main")]),
            server("i-3", &[("kubernetes.io/cluster/prod", "owned")]),
            Running { spot: true, ..server("i-4", &[]) },
            Running { image: None, ..server("i-5", &[]) },
        ];
        let ids: Vec<&str> = kept.iter().map(|server| server.id.as_str()).collect();
        let all = place(Balancer::Classic("web".to_owned()), &ids);
        let draft = Draft::of(&Inventory {
            balancers: vec![all],
            servers: kept.to_vec(),
            ..Inventory::default()
        });
        assert!(draft.fleets.is_empty(), "{:?}", draft.fleets);
        let why: Vec<_> = draft.left_out.iter().map(|(_, why)| why.as_str()).collect();
        assert!(why[0].contains("Auto Scaling group workers") && why[1].contains("install main"));
        assert_eq!(why.len(), 5);
    }

    #[test]
    fn any_text_makes_a_name_and_no_two_fleets_have_the_same() {
        let mut taken: Vec<FleetName> = Vec::new();
        let long = "x".repeat(80);
        for text in ["Web_Front", "web front", "123", "", "ÄÖ", "9-lives", &long, &long] {
            let name = named(text, &taken.iter().collect::<Vec<_>>());
            assert!(!taken.contains(&name), "{name} twice");
            taken.push(name);
        }
        let names: Vec<&str> = taken.iter().map(FleetName::as_str).collect();
        assert_eq!(
            names[..6],
            ["web-front", "web-front-2", "fleet", "fleet-2", "fleet-3", "lives"]
        );
    }
}
