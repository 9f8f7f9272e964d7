//! The tree of a file to a [`Policy`], or every problem at once.

mod compare;
mod cover;
mod drain;
mod effect;
mod fleet;
mod goal;
mod health;
mod launch;
mod notify;
mod prices;
mod queue;
mod schedule;
mod section;
mod synonym;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use self::section::{Section, bad_unit, formed, map, text, word};
use super::file::{self, Entry, Kind, Node};
use super::keys::{self, Key};
use super::problem::{Place, Problem, Problems, Severity};
use super::{FleetPolicy, Limits, Mode, Policy, units};
use crate::model::capacity::Capacity;
use crate::model::rate::Rate;
use crate::model::time::Timestamp;

/// More than any policy needs, and little enough to read at every reload.
const BYTES_MAX: usize = 1 << 20;

const HOUR: Duration = Duration::from_hours(1);

/// Launches an hour for each server that the fleets may have at most, unless the file says otherwise:
/// a fleet that follows its queue by five-minute readings stays under it, servers that die as soon as
/// they serve do not.
const LAUNCHES: Capacity = 6;
const LAUNCHES_AT_LEAST: Capacity = 30;

/// The journal's picture of what has ended reaches back little more.
const WINDOW_AT_MOST: Duration = Duration::from_hours(24);

const MODES: &[(&str, Mode)] = &[("observe", Mode::Observe), ("act", Mode::Act)];

/// What reading a policy file came to.
#[derive(Debug)]
pub struct Loaded {
    /// There unless one of the problems is an error.
    pub policy: Option<Policy>,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads the policy file `text`; `path` is its name in messages. At `now` every schedule line must
/// still have a firing ahead of it.
pub fn load(path: &str, text: &str, now: Timestamp) -> Loaded {
    let mut out = Problems::default();
    let policy = read(text, now, &mut out);
    let problems = out.finish(path);
    let usable = problems.iter().all(|problem| problem.severity != Severity::Error);
    Loaded { policy: policy.filter(|_| usable), problems }
}

/// What the fleets of a file share while they are read.
pub(super) struct Context {
    now: Timestamp,
    mode: Mode,
    zone: TimeZone,
    /// Reading `defaults` by themselves: what is missing there is no problem.
    partial: bool,
}

/// A fleet that could be read, and where its parts stand.
struct Read {
    policy: FleetPolicy,
    min_at: Option<Place>,
    max_at: Place,
    schedule_at: Option<Place>,
    balancer_at: Option<Place>,
}

fn read(text: &str, now: Timestamp, out: &mut Problems) -> Option<Policy> {
    if text.len() > BYTES_MAX {
        let problem = Problem::error(Place::TOP, "the file is larger than 1 MiB", "begins here");
        out.push(problem.remedy("use `defaults` for what fleets have in common"));
        return None;
    }
    let root = file::read(text, out)?;
    if matches!(root.kind, Kind::Nothing) {
        let problem = Problem::error(Place::TOP, "the file is empty", "nothing here");
        out.push(problem.remedy("begin with `version: 1`; `policies.yaml` has an example"));
        return None;
    }
    let top = Section::of("file", Place::TOP, &root, keys::FILE, out);
    if !matches!(root.kind, Kind::Map(_)) {
        return None;
    }
    version(&top, out);
    let mode = top.get("mode").and_then(|entry| word(entry, MODES, out));
    let zone = top.get("timezone").and_then(|entry| zone::read(entry, out));
    let mut context = Context {
        now,
        mode: mode.unwrap_or(Mode::Observe),
        zone: zone.unwrap_or(TimeZone::UTC),
        partial: false,
    };
    let install = top.get("install").and_then(|entry| formed(entry, INSTALL, is_install, out));
    let region = top.get("region").and_then(|entry| formed(entry, REGION, is_region, out));
    let tick = top.span_or_default("tick", out);
    let fleets = fleets(&top, &mut context, out);
    let limits = limits(&top, &fleets, out);
    compare::fleets(&top, &fleets, out);
    let notify = notify::read(&top, out).into();
    let prices = prices::read(&top, &fleets, out);
    Some(Policy {
        install: install.unwrap_or_else(|| "main".to_owned()),
        region,
        zone: context.zone,
        mode: context.mode,
        tick,
        limits,
        fleets: fleets.into_iter().map(|read| (read.policy.name.clone(), read.policy)).collect(),
        notify,
        prices,
        digest: digest(text),
        text: text.into(),
    })
}

/// The first twelve hex digits of the text's SHA-256.
pub(super) fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text);
    bytes.iter().take(6).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn version(top: &Section<'_>, out: &mut Problems) {
    let Some(entry) = top.need("version", "begin the file with `version: 1`", out) else { return };
    if text(entry, out).is_some_and(|version| version != "1") {
        let problem = Problem::error(entry.value.at, "an unknown version", "should be 1");
        out.push(problem.remedy("this tidegate reads version 1 of the file"));
    }
}

const INSTALL: &str = "1 to 16 of a-z, 0-9 and `-`";

fn is_install(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=16).contains(&text.len()) && text.chars().all(legal)
}

const REGION: &str = "a region like us-east-1";

fn is_region(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.chars().all(legal)
        && text.matches('-').count() >= 2
        && text.ends_with(|c: char| c.is_ascii_digit())
}

fn limits(top: &Section<'_>, fleets: &[Read], out: &mut Problems) -> Limits {
    let most = fleets.iter().map(|read| read.policy.bounds.max()).fold(0, Capacity::saturating_add);
    let launch = Rate { count: most.saturating_mul(LAUNCHES).max(LAUNCHES_AT_LEAST), per: HOUR };
    let terminate = keys::find(keys::LIMITS, "terminate").and_then(Key::default_rate);
    let mut limits = Limits { instances: None, launch: Some(launch), terminate };
    let Some(section) = top.section("limits", keys::LIMITS, out) else { return limits };
    for (key, limit) in [("launch", &mut limits.launch), ("terminate", &mut limits.terminate)] {
        if let Some(entry) = section.get(key) {
            *limit = rate(entry, out).or(*limit);
        }
    }
    if let Some(entry) = section.get("instances") {
        limits.instances = section.whole("instances", out);
        if let Some(limit) = limits.instances {
            compare::with_limit(entry, limit, fleets, out);
        }
    }
    limits
}

fn rate(entry: &Entry, out: &mut Problems) -> Option<Rate> {
    let text = text(entry, out)?;
    let rate = match units::rate(text) {
        Ok(rate) => rate,
        Err(error) => {
            out.push(bad_unit(entry, text, &error));
            return None;
        }
    };
    if rate.per > WINDOW_AT_MOST {
        let message = format!("`{}` over more than a day", entry.key);
        let problem = Problem::error(entry.value.at, message, "what was before is not counted");
        out.push(problem.remedy("a window of 1d at the most"));
        return None;
    }
    Some(rate)
}

/// The values that the fleets of a file take over from `defaults`, all together.
const MERGED_MAX: usize = 1_000_000;

/// How many values there are in `node`.
fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Map(entries) => {
            entries.iter().fold(1, |sum, entry| sum.saturating_add(size(&entry.value)))
        }
        Kind::List(items) => {
            items.iter().fold(1, |sum: usize, item| sum.saturating_add(size(item)))
        }
        Kind::Text(_) | Kind::Nothing => 1,
    }
}

fn fleets(top: &Section<'_>, context: &mut Context, out: &mut Problems) -> Vec<Read> {
    let nothing = Node { at: Place::TOP, kind: Kind::Nothing };
    let defaults = top.get("defaults").map_or(&nothing, |entry| &entry.value);
    if let Some(entry) = top.get("defaults") {
        // For what is wrong in them even where every fleet says otherwise.
        context.partial = true;
        fleet::read(entry, context, out);
        context.partial = false;
    }
    let entries = top.get("fleets").map_or(&[][..], |entry| map("fleets", &entry.value, out));
    if entries.is_empty() {
        let at = top.get("fleets").map_or(Place::TOP, |entry| entry.at);
        let problem = Problem::warning(at, "no fleets", "nothing to keep running");
        out.push(problem.remedy("add one below `fleets:`"));
    }
    if size(defaults).saturating_mul(entries.len()) > MERGED_MAX {
        let at = top.get("defaults").map_or(Place::TOP, |entry| entry.at);
        let message = format!("`defaults` are too large for {} fleets", entries.len());
        let problem = Problem::error(at, message, "each fleet takes all of this over");
        out.push(problem.remedy("shorten `defaults`, or split the file between installs"));
        return Vec::new();
    }
    let read = entries.iter().filter_map(|entry| {
        let value = merge("", defaults, &entry.value);
        fleet::read(&Entry { key: entry.key.clone(), at: entry.at, value }, context, out)
    });
    read.collect()
}

/// Pairs of keys of which a section has one: saying one drops the other from `defaults`.
const EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("launch", "image", "template"),
    ("load_balancer", "classic", "target_group"),
    ("load_balancer", "deregistration_delay", "drain"),
];

/// What `own` says over what `defaults` say: maps merge by key, all else replaces. Repeated keys of
/// `own` stay, to be reported.
fn merge(section: &str, defaults: &Node, own: &Node) -> Node {
    let (Kind::Map(defaults), Kind::Map(entries)) = (&defaults.kind, &own.kind) else {
        let whole_fleet = section.is_empty() && matches!(own.kind, Kind::Nothing);
        return if whole_fleet { defaults.clone() } else { own.clone() };
    };
    let mut own_keys: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries {
        own_keys.entry(&entry.key).or_insert(entry);
    }
    let said = |key: &str| own_keys.contains_key(key);
    let dropped = |key: &str| {
        EXCLUSIVE.iter().any(|(place, one, other)| {
            *place == section && ((key == *one && said(other)) || (key == *other && said(one)))
        })
    };
    let mut merged = Vec::new();
    let mut taken: BTreeSet<*const Entry> = BTreeSet::new();
    for default in defaults.iter().filter(|default| !dropped(&default.key)) {
        // Keys that `defaults` repeat are reported where those are read by themselves.
        match own_keys.get(default.key.as_str()) {
            Some(entry) if taken.insert(std::ptr::from_ref(*entry)) => {
                let value = merge(&entry.key, &default.value, &entry.value);
                merged.push(Entry { key: entry.key.clone(), at: entry.at, value });
            }
            _ => merged.push(default.clone()),
        }
    }
    let rest = entries.iter().filter(|entry| !taken.contains(&std::ptr::from_ref(*entry)));
    merged.extend(rest.cloned());
    Node { at: own.at, kind: Kind::Map(merged) }
}
