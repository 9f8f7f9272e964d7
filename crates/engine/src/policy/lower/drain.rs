//! The graceful drain of a fleet, and what it asks of the fleet's launches.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::health::url;
use super::queue::header;
use super::section::{Section, YES_NO, items, map, nearest, text, word};
use crate::model::drain::{Carrier, DrainTerms, Receiver};
use crate::policy::DrainPolicy;
use crate::policy::file::{Entry, Kind};
use crate::policy::keys;
use crate::policy::problem::{Problem, Problems, quote};

/// Filled in for each server. None is required: the body of the POST names the instance.
const PLACEHOLDERS: &[&str] = &["instance_id", "private_ip", "private_dns"];

const DRAIN_FORMS: &str = "write `drain: { via: tag, deadline: 30m }`, or `drain: none`";
const VIA_FORMS: &str =
    "write `via: tag`, or `via: { http: \"https://HOST/queue/drain/{instance_id}\" }`";

/// Families whose instances do not run on Nitro. Their metadata service shows a tag that was set
/// while the instance runs only after the instance was stopped and started.
const NOT_NITRO: &[&str] = &[
    "t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "x1", "x1e", "i2", "i3",
    "d2", "h1", "p2", "p3", "g3", "g3s", "f1", "hs1", "cr1", "cc2", "cg1",
];
/// Types of these families that do.
const NITRO_AFTER_ALL: &[&str] = &["i3.metal"];

/// What an unreadable deadline is taken for.
const DEADLINE_USUAL: Duration = Duration::from_mins(30);

/// Reads `drain`.
pub(super) fn read(fleet: &Section<'_>, context: &Context, out: &mut Problems) -> DrainPolicy {
    let Some(entry) = fleet.get("drain") else { return DrainPolicy::Unsaid };
    match &entry.value.kind {
        Kind::Nothing => DrainPolicy::Unsaid,
        Kind::Text(word) if word == "none" => DrainPolicy::Off,
        Kind::Map(_) => {
            let section = Section::open(entry, keys::DRAIN, out);
            terms(&section, context, out)
                .map_or(DrainPolicy::Unsaid, |terms| DrainPolicy::Terms(Arc::new(terms)))
        }
        Kind::Text(_) | Kind::List(_) => {
            no_such(entry, "none", DRAIN_FORMS, out);
            DrainPolicy::Unsaid
        }
    }
}

fn terms(section: &Section<'_>, context: &Context, out: &mut Problems) -> Option<DrainTerms> {
    if !context.partial {
        section.need("via", "add `via: tag`, or `via: { http: URL }`", out);
        section.need("deadline", "say how long jobs may take to finish: `deadline: 30m`", out);
    }
    let carrier = section.get("via").and_then(|via| carrier(via, context, out));
    let deadline = section.span("deadline", out).unwrap_or(DEADLINE_USUAL);
    let cancel = section.get("cancel").and_then(|entry| word(entry, YES_NO, out));
    Some(DrainTerms { carrier: carrier?, deadline, cancel: cancel.unwrap_or(true) })
}

fn carrier(entry: &Entry, context: &Context, out: &mut Problems) -> Option<Carrier> {
    match &entry.value.kind {
        Kind::Text(word) if word == "tag" => Some(Carrier::Tag),
        Kind::Map(_) => {
            let section = Section::open(entry, keys::DRAIN_VIA, out);
            if !context.partial {
                section.need("http", VIA_FORMS, out);
            }
            let header = section.section("header", keys::HEADER, out).and_then(|h| header(&h, out));
            let url = section.get("http").and_then(|entry| url(entry, PLACEHOLDERS, out))?;
            Some(Carrier::Http(Receiver { url, header }))
        }
        Kind::Nothing => {
            // An empty value is reported as for any other key.
            text(entry, out);
            None
        }
        Kind::Text(_) | Kind::List(_) => {
            no_such(entry, "tag", VIA_FORMS, out);
            None
        }
    }
}

/// Reports a value that is neither `word` nor a map.
fn no_such(entry: &Entry, word: &str, forms: &str, out: &mut Problems) {
    let (message, label) = match &entry.value.kind {
        Kind::Text(written) => (
            format!("{} cannot be {}", quote(&entry.key), quote(written)),
            match nearest(written, [word].into_iter()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("should be `{word}` or a map"),
            },
        ),
        other @ (Kind::Map(_) | Kind::List(_) | Kind::Nothing) => (
            format!("{} is {}", quote(&entry.key), other.noun()),
            format!("should be `{word}` or a map"),
        ),
    };
    out.push(Problem::error(entry.value.at, message, label).remedy(forms));
}

/// Warns of what keeps the servers of a fleet from being launched with a drain, or from seeing it.
pub(super) fn launches(fleet: &Section<'_>, terms: &DrainTerms, out: &mut Problems) {
    // What is wrong in the section itself has been reported by its own reader.
    let mut reported = Problems::default();
    let launch = fleet.section("launch", keys::LAUNCH, &mut reported);
    let Some(launch) = launch else { return };
    if let Some(entry) = launch.get("tags") {
        for tag in map("tags", &entry.value, &mut reported) {
            if let Some(label) = refused_key(&tag.key) {
                let message = format!("EC2 refuses launches with the tag {}", quote(&tag.key));
                let problem = Problem::warning(tag.at, message, label);
                out.push(problem.remedy(
                    "a drain needs tags in the instance metadata: use only letters, digits and `+-=.,_:@` in keys",
                ));
            }
        }
    }
    // A receiver is told over HTTP, whatever the instance sees of its tags.
    let (Carrier::Tag, Some(types)) = (&terms.carrier, launch.get("types")) else { return };
    for item in items(types, &mut reported) {
        if let Kind::Text(name) = &item.kind
            && !shows_new_tags(name)
        {
            let message = format!("a drain does not reach instances of type {}", quote(name));
            let label = "not Nitro: its metadata has no tag that was set while it runs";
            out.push(
                Problem::warning(item.at, message, label).remedy(
                    "name a Nitro type such as `t3.small`, or drain by `via: { http: URL }`",
                ),
            );
        }
    }
}

/// Returns why EC2 refuses this key of a tag once tags are in the instance metadata.
fn refused_key(key: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "+-=.,_:@".contains(c);
    if !key.chars().all(legal) {
        Some("has a character that instance metadata cannot show")
    } else if !key.is_empty() && (key == "_index" || key.chars().all(|c| c == '.')) {
        Some("a name that instance metadata reserves")
    } else {
        None
    }
}

fn shows_new_tags(instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    NITRO_AFTER_ALL.contains(&instance_type) || !NOT_NITRO.contains(&family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_types_that_show_new_tags() {
        for nitro in
            ["t3.small", "m5.large", "i3.metal", "i3en.large", "p3dn.24xlarge", "g4dn.xlarge"]
        {
            assert!(shows_new_tags(nitro), "{nitro}");
        }
        for xen in ["t2.micro", "i3.large", "p3.2xlarge", "g3s.xlarge", "x1e.xlarge", "m4.large"] {
            assert!(!shows_new_tags(xen), "{xen}");
        }
    }

    #[test]
    fn keys_of_tags_that_metadata_can_show() {
        for good in ["team", "Name", "cost-center", "a+b=c.d,e_f:g@h", "_index2", "a."] {
            assert_eq!(refused_key(good), None, "{good}");
        }
        for bad in ["cost center", "app/role", "größe", ".", "..", "_index"] {
            assert!(refused_key(bad).is_some(), "{bad}");
        }
    }
}
