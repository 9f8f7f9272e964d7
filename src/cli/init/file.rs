//! A draft as a policy file, with what only its reader knows left open in comments.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Group, template};
use crate::aws::{Running, Unread};
use crate::cli::out::counted;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::Timestamp;

/// Tags of a fleet beyond this are too many for EC2 beside our own.
const TAGS_AT_MOST: usize = 45;

/// Comments are broken at this many characters.
const LINE_AT_MOST: usize = 100;

/// Where and when the inventory was taken.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub region: Option<&'a str>,
    /// An IANA name.
    pub zone: &'a str,
    pub now: Timestamp,
}

/// The whole text.
pub(super) fn text(draft: &Draft, place: &Place<'_>) -> String {
    let servers: usize = draft.fleets.iter().map(|group| group.servers.len()).sum();
    let date = place.now.strftime("%Y-%m-%d").to_string();
    let region = place.region.unwrap_or("the region");
    let mut lines =
        head(&format!("# Made by `tidegate init` from what ran in {region} on {date}."));
    lines.extend(place.region.map(|region| format!("region: {}", scalar(region))));
    lines.push(format!("timezone: {:<27} # for every clock time below", scalar(place.zone)));
    lines.push("mode: observe".to_owned());
    lines.push(String::new());
    lines.push("limits:                               # beat every fleet, always".to_owned());
    lines.push(format!(
        "  instances: {:<24} # servers of all fleets together",
        servers.saturating_mul(2)
    ));
    lines.push(
        "  terminate: 5 per 10m                # a brake on wrong edits and readings".to_owned(),
    );
    lines.push(String::new());
    lines.push("fleets:".to_owned());
    for (n, group) in draft.fleets.iter().enumerate() {
        if n > 0 {
            lines.push(String::new());
        }
        lines.extend(fleet(group));
    }
    for unread in &draft.unread {
        lines.push(String::new());
        lines.extend(wrapped(&not_compared(unread), "# ", "# "));
    }
    if !draft.left_out.is_empty() {
        lines.push(String::new());
        lines.push("# Left out:".to_owned());
        lines.extend(
            draft.left_out.iter().map(|(server, why)| format!("#   {}: {why}", label(server))),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(origin: &str) -> Vec<String> {
    let lines = [
        "# yaml-language-server: $schema=/usr/share/tidegate/policies.schema.json",
        origin,
        "# It observes: it decides, records and tells, and changes nothing, until `mode: act`.",
        "#",
        "#     tidegate check      is the file right, and may tidegate do what it needs?",
        "#     tidegate plan       what would the next tick do? changes nothing",
        "#",
        "# What runs already is not taken over: with `mode: act` a fleet's `min` is launched beside it. To",
        "# hand servers over instead there is `tidegate adopt`. A fleet's name may be changed now, and not",
        "# once it has servers. Every key: man policies.yaml",
        "",
        "version: 1",
    ];
    lines.map(str::to_owned).to_vec()
}

/// What could not be read, and so is not among the differences.
pub(super) fn not_compared(unread: &Unread) -> String {
    let Unread { what, right, fault } = unread;
    format!("Not compared: the {what} of these servers, since {right} failed ({fault}).")
}

/// A server for people: its id, and its name where it has one.
pub(super) fn label(server: &Running) -> String {
    let name = server.tags.get("Name").filter(|name| !name.is_empty());
    let name = name.map_or_else(String::new, |name| format!(" ({})", printable(name, 64)));
    format!("{}{name}", server.id)
}

fn fleet(group: &Group) -> Vec<String> {
    let count = group.servers.len();
    let mut lines = vec![format!("  # {} {}:", counted(count, "server"), group.because)];
    for some in group.servers.chunks(4) {
        let ids: Vec<&str> = some.iter().map(|server| server.id.as_str()).collect();
        lines.push(format!("  #   {}", ids.join(" ")));
    }
    lines.extend(differences(group));
    lines.push(format!("  {}:", group.name));
    lines.push("    launch:".to_owned());
    lines.extend(launch(group).into_iter().map(|line| format!("      {line}")));
    lines.extend(balancer(group).into_iter().map(|line| format!("    {line}")));
    lines.push(format!("    min: {count}"));
    lines.push(format!("    max: {count:<28} # what runs now; give it room"));
    let more: &[&str] = if group.balancer.is_some() {
        &["    # schedule:", "    #   - { during: mon-fri 08:00-21:00, capacity: NUMBER }"]
    } else {
        &[
            "    # queue:",
            "    #   read: { http: \"http://HOST/PATH\" } # answers with the number of waiting jobs",
            "    #   every: 1m",
            "    #   scale_out: { above: 20, add: 1 }",
            "    #   scale_in: { below: 5, remove: 1, after: 10m }",
            "    # drain: { via: tag, deadline: 30m }  # servers finish their jobs: /usr/share/tidegate/server",
        ]
    };
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    lines
}

/// What is not taken over, as comments.
fn differences(group: &Group) -> Vec<String> {
    if group.differences.is_empty() {
        return Vec::new();
    }
    let remedy = if template(&group.servers).is_some() {
        "  # Not taken over of these servers:"
    } else {
        "  # Not taken over of these servers. A launch template can set most of it (`template`):"
    };
    let mut lines = vec![remedy.to_owned()];
    for difference in &group.differences {
        lines.extend(wrapped(difference, "  #   - ", "  #     "));
    }
    lines
}

/// Breaks a text into lines, of which the first begins with `first` and the others with `next`.
fn wrapped(text: &str, first: &str, next: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut gap = "";
    for word in text.split_whitespace() {
        let long = line.chars().count().saturating_add(word.chars().count()) >= LINE_AT_MOST;
        if long && !gap.is_empty() {
            lines.push(std::mem::replace(&mut line, next.to_owned()));
            gap = "";
        }
        line.push_str(gap);
        line.push_str(word);
        gap = " ";
    }
    lines.push(line);
    lines
}

/// What the next server is to be made of: as the newest was.
fn launch(group: &Group) -> Vec<String> {
    let Some(newest) = group.servers.first() else { return Vec::new() };
    let mut lines = Vec::new();
    let template = template(&group.servers);
    match (&template, &newest.image) {
        (Some(template), _) => lines.push(format!("template: {}", scalar(template))),
        (None, Some(image)) => lines.push(format!("image: {}", scalar(image))),
        (None, None) => {}
    }
    let types = by_count(group.servers.iter().filter_map(|server| server.instance_type.as_ref()));
    lines.push(format!("types: {}", list(types)));
    let subnets: BTreeSet<&String> =
        group.servers.iter().filter_map(|s| s.subnet.as_ref()).collect();
    if !subnets.is_empty() {
        lines.push(format!("subnets: {}", list(subnets)));
    }
    if template.is_none() {
        if !newest.security_groups.is_empty() {
            lines.push(format!("security_groups: {}", list(&newest.security_groups)));
        }
        let key_pair = newest.key_pair.as_ref().filter(|key| !key.trim().is_empty());
        lines.extend(key_pair.map(|key| format!("key_pair: {}", scalar(key))));
        let profile = newest.instance_profile.as_deref().and_then(|arn| arn.rsplit('/').next());
        lines.extend(profile.map(|name| format!("instance_profile: {}", scalar(name))));
        lines.push("# user_data: what a server is told at its launch. Not read, since it may hold secrets:".to_owned());
        lines.push(format!(
            "#   aws ec2 describe-instance-attribute --instance-id {} \\",
            newest.id
        ));
        lines.push(
            "#     --attribute userData --query UserData.Value --output text | base64 -d"
                .to_owned(),
        );
    }
    let tags = tags_of_all(&group.servers);
    if !tags.is_empty() {
        let tags: Vec<_> =
            tags.iter().map(|(k, v)| format!("{}: {}", scalar(k), scalar(v))).collect();
        lines.push(format!("tags: {{ {} }}", tags.join(", ")));
    }
    lines
}

fn balancer(group: &Group) -> Vec<String> {
    let (key, name) = match &group.balancer {
        Some(Balancer::Classic(name)) => ("classic", name),
        Some(Balancer::TargetGroup(name)) => ("target_group", name),
        None => return Vec::new(),
    };
    let mut lines =
        vec![format!("load_balancer: {{ {key}: {}, deregistration_delay: 30s }}", scalar(name))];
    if let Some(check) = &group.check {
        let url = format!("http://{{private_ip}}:{}{}", check.port, check.path);
        // Marks that would be read as something to fill in, or that a server is never asked for.
        if check.path.chars().all(|c| c.is_ascii_graphic() && !"{}#\\".contains(c)) {
            let ip = group.servers.iter().find_map(|server| server.private_ip.as_deref());
            lines.push(format!(
                "# The load balancer's own check, from this host: curl http://{}:{}{}",
                ip.unwrap_or("ADDRESS"),
                check.port,
                check.path
            ));
            lines.push(format!("health: {{ http: {} }}", scalar(&url)));
        }
    }
    lines
}

/// What every one of them is tagged with, less what belongs to AWS or to us.
fn tags_of_all(servers: &[Running]) -> BTreeMap<String, String> {
    let Some(first) = servers.first() else { return BTreeMap::new() };
    let own = |key: &str| !key.starts_with("aws:") && !key.starts_with("tidegate:");
    let clean = |text: &str| !text.chars().any(char::is_control);
    let all = |(key, value): &(&String, &String)| {
        servers.iter().all(|server| server.tags.get(*key) == Some(value))
    };
    let common = first.tags.iter().filter(|(key, value)| own(key) && clean(key) && clean(value));
    let common = common.filter(all).take(TAGS_AT_MOST);
    common.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Each once, the most frequent first.
fn by_count<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for text in texts {
        let n = counts.entry(text).or_default();
        *n = n.saturating_add(1);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    counts.into_iter().map(|(text, _)| text).collect()
}

fn list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| scalar(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A text as YAML: bare where nobody could take it for anything else. JSON's quotes are YAML's.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if bare { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aws::{HttpCheck, InUse, Inventory};
    use tidegate_engine::model::launch::Image;
    use tidegate_engine::policy;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn written(inventory: &Inventory) -> String {
        let place =
            Place { region: inventory.region.as_deref(), zone: "Europe/Berlin", now: now() };
        text(&Draft::of(inventory), &place)
    }

    fn server(n: usize, tags: &[(&str, &str)]) -> Running {
        Running {
            id: format!("i-000{n}"),
            image: Some(format!("ami-0000000{n}")),
            instance_type: Some("t3.small".to_owned()),
            subnet: Some(format!("subnet-0a{n}")),
            private_ip: Some(format!("10.0.0.{n}")),
            key_pair: Some("main key".to_owned()),
            security_groups: BTreeSet::from(["sg-1".to_owned()]),
            instance_profile: Some("arn:aws:iam::1:instance-profile/ops/app".to_owned()),
            launched_at: i64::try_from(n).ok().and_then(|n| Timestamp::from_second(n).ok()),
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Running::default()
        }
    }

    #[test]
    fn a_fleet_is_made_like_its_newest_server_and_asked_as_its_balancer_asks() {
        let inventory = Inventory {
            region: Some("us-east-1".to_owned()),
            servers: vec![
                server(1, &[("team", "pay: roll"), ("Name", "app-1")]),
                server(2, &[("team", "pay: roll"), ("Name", "app-2")]),
            ],
            balancers: vec![InUse {
                balancer: Balancer::Classic("web".to_owned()),
                members: BTreeSet::from(["i-0001".to_owned(), "i-0002".to_owned()]),
                check: Some(HttpCheck { port: 8080, path: "/up".to_owned() }),
                ..InUse::of(Balancer::Classic("web".to_owned()))
            }],
            ..Inventory::default()
        };
        let text = written(&inventory);
        let loaded = policy::load("made", &text, now());
        assert!(loaded.problems.is_empty(), "{:?}\n{text}", loaded.problems);
        let policy = loaded.policy.unwrap();
        let fleet = policy.fleets.values().next().unwrap();
        assert_eq!(fleet.launch.image, Image::Id("ami-00000002".to_owned()));
        let other = "image: ami-00000002 is the newest server's; i-0001 has ami-00000001";
        assert!(text.contains(other), "{text}");
        assert_eq!(fleet.launch.key_pair.as_deref(), Some("main key"));
        assert_eq!(fleet.launch.instance_profile.as_deref(), Some("app"));
        assert_eq!(fleet.launch.tags.get("team").map(String::as_str), Some("pay: roll"));
        assert!(!fleet.launch.tags.contains_key("Name"), "each had its own");
        assert!(text.contains("curl http://10.0.0.2:8080/up"), "{text}");
        assert_eq!((fleet.bounds.min(), fleet.bounds.max()), (2, 2));
    }

    #[test]
    fn servers_of_one_launch_template_are_launched_from_it() {
        let tags = |version| {
            [
                ("role", "job"),
                ("aws:ec2launchtemplate:id", "lt-0abc"),
                ("aws:ec2launchtemplate:version", version),
            ]
        };
        let servers = vec![server(1, &tags("3")), server(2, &tags("4"))];
        let text = written(&Inventory { servers, ..Inventory::default() });
        let policy = policy::load("made", &text, now()).policy.unwrap();
        let fleet = policy.fleets.values().next().unwrap();
        let image = Image::Template { name: "lt-0abc".to_owned(), version: "4".to_owned() };
        assert_eq!(fleet.launch.image, image, "{text}");
        assert!(fleet.launch.security_groups.is_empty(), "that is the template's");
    }

    fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
        let key = prop_oneof!["Name", "role", "[a-z:]{1,8}", "\\PC{1,12}"];
        let value = prop_oneof!["(job|db|true|NO)[-0-9]{0,2}", "\\PC{0,20}", "[\\x00-\\x7f]{0,8}"];
        prop::collection::btree_map(key, value, 0..5)
    }

    prop_compose! {
        fn any_server()(
            id in "i-[0-9a-f]{2}",
            image in "ami-[0-9a-f]{8}",
            kind in "[a-z][0-9][a-z]?\\.(small|2xlarge|metal-24xl)",
            subnet in prop::option::of("subnet-[0-9a-f]{2}"),
            key_pair in prop::option::of("[ -~]{1,20}"),
            group in prop::option::of("sg-[0-9a-f]{8}"),
            profile in prop::option::of("[A-Za-z0-9+=,.@_-]{1,20}"),
            tags in tags(),
        ) -> Running {
            Running {
                id,
                image: Some(image),
                instance_type: Some(kind),
                subnet,
                key_pair,
                security_groups: group.into_iter().collect(),
                instance_profile: profile.map(|name| format!("arn:aws:iam::1:instance-profile/{name}")),
                tags,
                ..Running::default()
            }
        }
    }

    prop_compose! {
        fn any_place()(
            name in "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
            classic: bool,
            members in prop::collection::btree_set("i-[0-9a-f]{2}", 0..60),
            path in "/[ -~]{0,20}",
            port in 1_u16..,
        ) -> InUse {
            let balancer = if classic { Balancer::Classic(name) } else { Balancer::TargetGroup(name) };
            InUse { members, check: Some(HttpCheck { port, path }), ..InUse::of(balancer) }
        }
    }

    proptest! {
        #[test]
        fn whatever_runs_the_file_has_no_error_and_every_server_is_accounted_for(
            servers in prop::collection::vec(any_server(), 0..12),
            balancers in prop::collection::vec(any_place(), 0..3),
        ) {
            let count = servers.len();
            let inventory = Inventory {
                region: Some("eu-west-1".to_owned()),
                servers,
                balancers,
                ..Inventory::default()
            };
            let draft = Draft::of(&inventory);
            let kept: usize = draft.fleets.iter().map(|group| group.servers.len()).sum();
            prop_assert_eq!(kept + draft.left_out.len(), count);
            if !draft.fleets.is_empty() {
                let text = written(&inventory);
                let loaded = policy::load("made", &text, now());
                let policy = loaded.policy;
                prop_assert!(policy.is_some(), "{:?}\n{}", loaded.problems, text);
                prop_assert_eq!(policy.map(|policy| policy.fleets.len()), Some(draft.fleets.len()));
            }
        }
    }
}
