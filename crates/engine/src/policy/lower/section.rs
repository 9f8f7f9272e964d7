//! Reading one map of the file: its keys against the known ones, its values one type at a time.
//! Every reader reports what is wrong and answers `None`, so that reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::synonym::synonym;
use crate::model::time;
use crate::policy::file::{Entry, Kind, Node};
use crate::policy::keys::{self, Key};
use crate::policy::problem::{Place, Problem, Problems, quote};
use crate::policy::units::{self, UnitError};

/// A map being read.
pub(super) struct Section<'a> {
    /// Where to point when a key is missing.
    pub(super) at: Place,
    name: &'a str,
    keys: &'static [Key],
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// Opens the value of `entry`, and reports what is not a map, and every unknown or repeated
    /// key. An empty value is an empty section.
    pub(super) fn open(entry: &'a Entry, keys: &'static [Key], out: &mut Problems) -> Self {
        Self::of(&entry.key, entry.at, &entry.value, keys, out)
    }

    pub(super) fn of(
        name: &'a str,
        at: Place,
        value: &'a Node,
        keys: &'static [Key],
        out: &mut Problems,
    ) -> Self {
        let entries = map(name, value, out);
        for entry in entries.iter().filter(|entry| keys::find(keys, &entry.key).is_none()) {
            out.push(unknown_key(name, entry, keys));
        }
        Self { at, name, keys, entries }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// As [`Self::get`]; what is missing or empty is an error.
    pub(super) fn need(&self, key: &str, remedy: &str, out: &mut Problems) -> Option<&'a Entry> {
        let found = self.get(key);
        if found.is_none() && !self.means(key) {
            let message = format!("{} has no `{key}`", called(self.name));
            out.push(Problem::error(self.at, message, format!("needs `{key}`")).remedy(remedy));
        }
        found
    }

    /// Whether an unknown key was reported that means `key`, or a key below it: one problem is enough.
    pub(super) fn means(&self, key: &str) -> bool {
        let is_it = |meant: &str| {
            meant.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut unknown =
            self.entries.iter().filter(|entry| keys::find(self.keys, &entry.key).is_none());
        unknown.any(|entry| meant(self.name, &entry.key, self.keys).is_some_and(is_it))
    }

    /// The one of two keys that is there; both is an error.
    pub(super) fn either(&self, one: &str, other: &str, out: &mut Problems) -> Option<&'a Entry> {
        if let (Some(first), Some(second)) = (self.get(one), self.get(other)) {
            let message = format!("both `{one}` and `{other}`");
            let problem = Problem::error(second.at, message, "this")
                .also(first.at, "and this")
                .remedy("keep one of them");
            out.push(problem);
        }
        self.get(one).or_else(|| self.get(other))
    }

    /// The section below `key`, if it says anything.
    pub(super) fn section(
        &self,
        key: &str,
        keys: &'static [Key],
        out: &mut Problems,
    ) -> Option<Self> {
        let entry = self.get(key).filter(|entry| !matches!(entry.value.kind, Kind::Nothing))?;
        Some(Self::open(entry, keys, out))
    }

    /// Reads the span of time that the file gives, within the range of the key.
    pub(super) fn span(&self, key: &str, out: &mut Problems) -> Option<Duration> {
        let allowed = keys::find(self.keys, key)?.spans()?;
        self.get(key).and_then(|entry| span(entry, &allowed, out))
    }

    /// As [`Self::span`]; returns the default of the key where the file gives no span.
    pub(super) fn span_or_default(&self, key: &str, out: &mut Problems) -> Duration {
        self.span(key, out).unwrap_or_else(|| default_span(self.keys, key))
    }

    /// Reads the whole number that the file gives, within the range of the key.
    pub(super) fn whole<N: TryFrom<u64>>(&self, key: &str, out: &mut Problems) -> Option<N> {
        let allowed = keys::find(self.keys, key)?.numbers()?;
        let read = self.get(key).and_then(|entry| whole(entry, &allowed, out))?;
        N::try_from(read).ok()
    }
}

/// Returns the span of time that a key has where the file gives none.
pub(super) fn default_span(keys: &'static [Key], key: &str) -> Duration {
    keys::find(keys, key).and_then(Key::default_span).unwrap_or_default()
}

/// The entries of a map, repeated keys reported.
pub(super) fn map<'a>(name: &str, value: &'a Node, out: &mut Problems) -> &'a [Entry] {
    let entries = match &value.kind {
        Kind::Map(entries) => entries.as_slice(),
        Kind::Nothing => &[],
        other @ (Kind::List(_) | Kind::Text(_)) => {
            let message = format!("{} is {}", called(name), other.noun());
            let problem = Problem::error(value.at, message, "should be a map of keys and values");
            out.push(problem.remedy("write `{ key: value }`, or indented lines of `key: value`"));
            &[]
        }
    };
    let mut known: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries {
        let earlier = known.entry(&entry.key).or_insert(entry);
        if !std::ptr::eq(*earlier, entry) {
            let message = format!("{} is there twice", quote(&entry.key));
            let problem = Problem::error(entry.at, message, "again here")
                .also(earlier.at, "first here")
                .remedy("keep one of them");
            out.push(problem);
        }
    }
    entries
}

/// A section in a message. Fleets are not told apart here: what `defaults` get wrong is one problem.
fn called(section: &str) -> String {
    match section {
        "file" => "the file".to_owned(),
        "fleet" => "a fleet".to_owned(),
        "schedule" => "a schedule line".to_owned(),
        section => quote(section),
    }
}

/// Returns the key that an unknown one was probably meant to be; one of another section with its path.
fn meant(section: &str, key: &str, keys: &'static [Key]) -> Option<&'static str> {
    synonym(section, key).or_else(|| nearest(key, keys.iter().map(|key| key.name)))
}

fn unknown_key(section: &str, entry: &Entry, keys: &'static [Key]) -> Problem {
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    if entry.key.is_empty() {
        let problem = Problem::error(entry.at, "a key that is not text", "should be a word");
        return problem.remedy(format!("{} knows: {}", called(section), known.join(", ")));
    }
    let message = format!("unknown key {} in {}", quote(&entry.key), called(section));
    let by_other_tools = synonym(section, &entry.key);
    match by_other_tools.map(|meant| (meant, meant.rsplit_once('.'))) {
        // The right key is named once, without all the others.
        Some((meant, None)) => {
            Problem::error(entry.at, message, format!("did you mean `{meant}`?"))
        }
        Some((_, Some((within, key)))) => {
            let label = format!("belongs in `{within}`");
            let keys: Vec<&str> = within.split('.').collect();
            let (open, close) = (keys.join(": { "), " }".repeat(keys.len()));
            Problem::error(entry.at, message, label)
                .remedy(format!("write `{open}: {{ {key}: …{close}`"))
        }
        None => {
            let label = match nearest(&entry.key, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "no such key".to_owned(),
            };
            Problem::error(entry.at, message, label).remedy(format!(
                "{} knows: {}",
                called(section),
                known.join(", ")
            ))
        }
    }
}

/// The known word that `text` was probably meant to be: at most one slip in three letters away.
pub(super) fn nearest<'k>(text: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let text = text.to_lowercase();
    let slips_max = text.chars().count().div_euclid(3).max(1);
    known
        .map(|word| (strsim::damerau_levenshtein(&text, &word.to_lowercase()), word))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// The single value of an entry, never empty.
pub(super) fn text<'a>(entry: &'a Entry, out: &mut Problems) -> Option<&'a str> {
    match &entry.value.kind {
        Kind::Text(text) if !text.trim().is_empty() => Some(text),
        Kind::Text(_) | Kind::Nothing => {
            let message = format!("{} has no value", quote(&entry.key));
            let problem = Problem::error(entry.at, message, "says nothing");
            out.push(problem.remedy("give it a value, or remove the key"));
            None
        }
        other @ (Kind::Map(_) | Kind::List(_)) => {
            let message = format!("{} is {}", quote(&entry.key), other.noun());
            let problem = Problem::error(entry.value.at, message, "should be a single value");
            out.push(problem.remedy(format!(
                "write `{0}: VALUE`; quote a value that begins with `{{` or `[`: `{0}: \"VALUE\"`",
                entry.key
            )));
            None
        }
    }
}

/// A whole number within `allowed`.
fn whole(entry: &Entry, allowed: &RangeInclusive<u64>, out: &mut Problems) -> Option<u64> {
    let text = text(entry, out)?;
    let read = text.trim().parse().ok().filter(|n| allowed.contains(n));
    if read.is_none() {
        let message = format!("{} cannot be {}", quote(&entry.key), quote(text));
        let range = format!("a whole number from {} to {}", allowed.start(), allowed.end());
        let problem = Problem::error(entry.value.at, message, format!("not {range}"));
        out.push(problem.remedy(format!("write {range}")));
    }
    read
}

/// A span of time within `allowed`.
fn span(entry: &Entry, allowed: &RangeInclusive<Duration>, out: &mut Problems) -> Option<Duration> {
    let written = text(entry, out)?;
    let read = units::duration(written)
        .map_err(|error| out.push(bad_unit(entry, written, &error)))
        .ok()?;
    if allowed.contains(&read) {
        return Some(read);
    }
    let (least, most) = (time::text(*allowed.start()), time::text(*allowed.end()));
    let (how, bound) = if read < *allowed.start() { ("short", &least) } else { ("long", &most) };
    let message = format!("{} is too {how}", quote(&entry.key));
    let problem = Problem::error(entry.value.at, message, format!("should be {least} to {most}"));
    out.push(problem.remedy(format!("write `{}: {bound}`", entry.key)));
    None
}

/// `written` is not a span of time or a rate.
pub(super) fn bad_unit(entry: &Entry, written: &str, error: &UnitError) -> Problem {
    let message = format!("{} cannot be {}", quote(&entry.key), quote(written));
    Problem::error(entry.value.at, message, error.to_string()).remedy(error.remedy())
}

pub(super) const YES_NO: &[(&str, bool)] = &[("true", true), ("false", false)];

/// One of a few words.
pub(super) fn word<T: Copy>(entry: &Entry, words: &[(&str, T)], out: &mut Problems) -> Option<T> {
    let text = text(entry, out)?;
    let read = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if read.is_none() {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let message = format!("{} cannot be {}", quote(&entry.key), quote(text));
        let label = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "no such choice".to_owned(),
        };
        let problem = Problem::error(entry.value.at, message, label);
        out.push(problem.remedy(format!("write {}", known.join(" or "))));
    }
    read
}

/// More values than any list of a fleet needs: types times subnets are what is launched from.
const ITEMS_MAX: usize = 100;

/// A list of distinct texts, each of which `good` accepts; `form` says what they look like.
pub(super) fn list(
    entry: &Entry,
    form: &str,
    good: impl Fn(&str) -> bool,
    out: &mut Problems,
) -> Vec<String> {
    let mut read: Vec<String> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let all = items(entry, out);
    if all.len() > ITEMS_MAX {
        let message = format!("{} holds {} values", quote(&entry.key), all.len());
        let problem = Problem::error(entry.at, message, format!("at most {ITEMS_MAX}"));
        out.push(problem.remedy("keep those that are needed"));
    }
    for item in all {
        let Kind::Text(text) = &item.kind else {
            let message = format!("{} holds {}", quote(&entry.key), item.kind.noun());
            out.push(Problem::error(item.at, message, "should be a single value"));
            continue;
        };
        if !good(text) {
            let message = format!("{} cannot hold {}", quote(&entry.key), quote(text));
            let problem = Problem::error(item.at, message, format!("not like `{form}`"));
            out.push(problem.remedy(format!("write it like `{form}`")));
        } else if !known.insert(text) {
            let message = format!("{} holds {} twice", quote(&entry.key), quote(text));
            out.push(Problem::error(item.at, message, "again here").remedy("keep one of them"));
        } else {
            read.push(text.clone());
        }
    }
    read
}

/// The items of a list.
pub(super) fn items<'a>(entry: &'a Entry, out: &mut Problems) -> &'a [Node] {
    match &entry.value.kind {
        Kind::List(items) => items,
        Kind::Nothing => &[],
        other @ (Kind::Map(_) | Kind::Text(_)) => {
            let message = format!("{} is {}", quote(&entry.key), other.noun());
            let problem = Problem::error(entry.value.at, message, "should be a list");
            out.push(problem.remedy(format!("write `{}: [ … ]`", entry.key)));
            &[]
        }
    }
}

/// A text that `good` accepts; `form` says what it looks like.
pub(super) fn formed(
    entry: &Entry,
    form: &str,
    good: impl Fn(&str) -> bool,
    out: &mut Problems,
) -> Option<String> {
    let text = text(entry, out)?;
    if good(text) {
        return Some(text.to_owned());
    }
    let message = format!("{} cannot be {}", quote(&entry.key), quote(text));
    let problem = Problem::error(entry.value.at, message, format!("not {form}"));
    out.push(problem.remedy(format!("write {form}")));
    None
}
