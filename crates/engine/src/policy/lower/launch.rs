//! What is launched: image, types, subnets, user data, tags.

use std::collections::BTreeMap;

use super::Context;
use super::section::{Section, formed, list, map, text};
use crate::model::launch::Image;
use crate::policy::LaunchPolicy;
use crate::policy::file::{Entry, Kind};
use crate::policy::keys;
use crate::policy::problem::{Problem, Problems, quote};

/// EC2's limit for user data before encoding.
const USER_DATA_BYTES_MAX: usize = 16 * 1024;
/// EC2 allows 50 tags; five are ours.
const TAGS_MAX: usize = 45;

/// Reads `launch` of the fleet called `name`.
pub(super) fn read(
    fleet: &Section<'_>,
    name: &str,
    context: &Context,
    out: &mut Problems,
) -> Option<LaunchPolicy> {
    let Some(section) = fleet.section("launch", keys::LAUNCH, out) else {
        if !context.partial && !fleet.means("launch") {
            let message = format!("fleet {} does not say what to launch", quote(name));
            let problem = Problem::error(fleet.at, message, "needs `launch`");
            out.push(problem.remedy("add `launch: { image: ami-…, types: [t3.small] }`"));
        }
        return None;
    };
    let role = section.get("role").and_then(|entry| formed(entry, ROLE, is_role, out));
    let role = role.unwrap_or_else(|| name.to_owned());
    let image = image(&section, name, context, out);
    let strings = |key: &str, form: &str, prefix: &str, out: &mut Problems| {
        let good = |text: &str| {
            text.strip_prefix(prefix).is_some_and(|rest| {
                !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric())
            })
        };
        section.get(key).map_or_else(Vec::new, |entry| list(entry, form, good, out))
    };
    let types =
        section.get("types").map_or_else(Vec::new, |entry| list(entry, "t3.small", is_type, out));
    let untyped = types.is_empty() && !section.means("types");
    if untyped && matches!(image, Some(Image::Id(_))) && !context.partial {
        let at = section.get("types").map_or(section.at, |entry| entry.at);
        let problem = Problem::error(at, "an image without instance types", "on what?");
        out.push(
            problem.remedy("add `types: [t3.small]`; the next is tried when the first is out"),
        );
    }
    let plain = |key: &str, out: &mut Problems| {
        section.get(key).and_then(|entry| text(entry, out)).map(str::to_owned)
    };
    Some(LaunchPolicy {
        types,
        subnets: strings("subnets", "subnet-0a1b2c3d", "subnet-", out),
        security_groups: strings("security_groups", "sg-0a1b2c3d", "sg-", out),
        key_pair: plain("key_pair", out),
        instance_profile: plain("instance_profile", out),
        user_data: user_data(section.get("user_data"), &role, image.as_ref(), out),
        tags: section.get("tags").map_or_else(BTreeMap::new, |entry| tags(entry, out)),
        role,
        // Without one nothing can be launched; the problem is already told.
        image: image?,
    })
}

const ROLE: &str = "1 to 64 letters, digits, `.`, `_` and `-`";

fn is_role(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(legal)
}

pub(super) fn is_type(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split_once('.').is_some_and(|(family, size)| {
        let good = |part: &str| !part.is_empty() && part.chars().all(legal);
        good(family) && good(size)
    })
}

fn image(
    section: &Section<'_>,
    name: &str,
    context: &Context,
    out: &mut Problems,
) -> Option<Image> {
    let Some(entry) = section.either("image", "template", out) else {
        if !context.partial && !section.means("image") && !section.means("template") {
            let message = format!("fleet {} has neither image nor template", quote(name));
            let problem = Problem::error(section.at, message, "launch what?");
            out.push(problem.remedy("add `image: ami-…`, or `template: NAME`"));
        }
        return None;
    };
    if entry.key == "image" {
        let form = "an AMI id (`ami-0123456789abcdef0`), or `resolve:ssm:PARAMETER`";
        return formed(entry, form, is_image, out).map(Image::Id);
    }
    let form = "the name or id of a launch template, with a version if you like: `web:7`";
    let text = formed(entry, form, is_template, out)?;
    let (name, version) = text.split_once(':').unwrap_or((&text, "$Default"));
    Some(Image::Template { name: name.to_owned(), version: version.to_owned() })
}

fn is_image(text: &str) -> bool {
    let id = text.strip_prefix("ami-");
    id.is_some_and(|id| (8..=17).contains(&id.len()) && id.chars().all(|c| c.is_ascii_hexdigit()))
        || text.strip_prefix("resolve:ssm:").is_some_and(|parameter| {
            !parameter.is_empty() && !parameter.contains(char::is_whitespace)
        })
}

fn is_template(text: &str) -> bool {
    let (name, version) = text.split_once(':').unwrap_or((text, "$Default"));
    let legal = |c: char| c.is_ascii_alphanumeric() || "().-/_".contains(c);
    let number = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit());
    (3..=128).contains(&name.len())
        && name.chars().all(legal)
        && (number || matches!(version, "$Default" | "$Latest"))
}

/// Returns the user data to send. A map becomes `K=V;K=V`, with the role at its end; a text is sent as
/// it is. Without either a launch template keeps its own, which may be the script that boots the
/// server.
fn user_data(
    entry: Option<&Entry>,
    role: &str,
    image: Option<&Image>,
    out: &mut Problems,
) -> String {
    let Some(entry) = entry else {
        let own = matches!(image, Some(Image::Template { .. }));
        return if own { String::new() } else { format!("ROLE={role}") };
    };
    let sent = if let Kind::Text(text) = &entry.value.kind {
        text.clone()
    } else {
        let mut pairs = pairs(entry, out);
        if !pairs.iter().any(|(key, _)| *key == "ROLE") {
            pairs.push(("ROLE", role));
        }
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
    };
    if sent.len() > USER_DATA_BYTES_MAX {
        let message = format!("user data of {} bytes", sent.len());
        let problem = Problem::error(entry.at, message, "EC2 takes 16384 at most");
        out.push(problem.remedy("have the server fetch the rest"));
    }
    if let Some(what) = secret_in(&sent) {
        let label = "readable by everything that runs on the server";
        let problem = Problem::warning(entry.at, format!("user data with {what}"), label);
        out.push(problem.remedy("give the server an `instance_profile`, and let it fetch secrets"));
    }
    sent
}

fn pairs<'a>(entry: &'a Entry, out: &mut Problems) -> Vec<(&'a str, &'a str)> {
    let mut pairs = Vec::new();
    for pair in map("user_data", &entry.value, out) {
        let value = match &pair.value.kind {
            Kind::Text(value) => value.as_str(),
            Kind::Nothing => "",
            other @ (Kind::Map(_) | Kind::List(_)) => {
                let message = format!("{} is {}", quote(&pair.key), other.noun());
                out.push(Problem::error(pair.value.at, message, "should be a single value"));
                continue;
            }
        };
        let breaks = |text: &str| text.contains([';', '\n', '\r']);
        if pair.key.is_empty() || pair.key.contains('=') || breaks(&pair.key) || breaks(value) {
            let message = format!("{} cannot be sent as `KEY=VALUE;…`", quote(&pair.key));
            let problem =
                Problem::error(pair.at, message, "has a `;`, a line break, or `=` in its key");
            out.push(problem.remedy("write the whole user data as one text"));
        }
        pairs.push((pair.key.as_str(), value));
    }
    pairs
}

/// What looks like a secret.
fn secret_in(text: &str) -> Option<&'static str> {
    let access_key =
        |word: &str| word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
    let upper = text.to_uppercase();
    if text.contains("-----BEGIN") {
        Some("a private key or certificate")
    } else if text.split(|c: char| !c.is_ascii_alphanumeric()).any(access_key) {
        Some("an AWS access key")
    } else if ["PASSWORD=", "PASSWD=", "SECRET=", "SECRET_KEY="].iter().any(|s| upper.contains(s)) {
        Some("a password")
    } else {
        None
    }
}

fn tags(entry: &Entry, out: &mut Problems) -> BTreeMap<String, String> {
    let entries = map("tags", &entry.value, out);
    if entries.len() > TAGS_MAX {
        let message = format!("{} tags", entries.len());
        out.push(Problem::error(entry.at, message, format!("at most {TAGS_MAX}")));
    }
    let mut tags = BTreeMap::new();
    for tag in entries {
        let value = match &tag.value.kind {
            Kind::Text(value) => value.clone(),
            Kind::Nothing => String::new(),
            other @ (Kind::Map(_) | Kind::List(_)) => {
                let message = format!("tag {} is {}", quote(&tag.key), other.noun());
                out.push(Problem::error(tag.value.at, message, "should be a single value"));
                continue;
            }
        };
        let key = tag.key.to_lowercase();
        if key.starts_with("aws:") || key.starts_with("tidegate:") {
            let message = format!("the tag {} is not yours to set", quote(&tag.key));
            let problem = Problem::error(tag.at, message, "a reserved prefix");
            out.push(
                problem.remedy("choose a key that begins with neither `aws:` nor `tidegate:`"),
            );
        } else if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            let message = format!("the tag {} is too long, or has no key", quote(&tag.key));
            let label = "a key has 1 to 128 characters, a value at most 256";
            out.push(Problem::error(tag.at, message, label));
        }
        tags.insert(tag.key.clone(), value);
    }
    tags
}
