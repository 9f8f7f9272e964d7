//! Every key of the policy file, once: its name, its shape with the range of its values, its default
//! and its meaning. The parser, the JSON Schema, the manual page and the tables of `docs/policies.md`
//! read it here. A new key is a row of this table and its lowering.

mod file;
pub mod form;
mod notify;
mod queue;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use self::file::{FILE, FLEET, LAUNCH, LIMITS};
pub(crate) use self::file::{HEALTH, LOAD_BALANCER, SCHEDULE};
pub(crate) use self::notify::NOTIFY;
pub use self::queue::{DRAIN, READ};
pub(crate) use self::queue::{DRAIN_VIA, HEADER, QUEUE, READ_JSON, SCALE_IN, SCALE_OUT};
use super::units;
use crate::model::rate::Rate;

/// Every section and its keys, in the order of `docs/policies.md`.
pub(crate) const SECTIONS: &[(&str, &[Key])] = &[
    ("file", FILE),
    ("limits", LIMITS),
    ("fleet", FLEET),
    ("launch", LAUNCH),
    ("load_balancer", LOAD_BALANCER),
    ("health", HEALTH),
    ("schedule", SCHEDULE),
    ("queue", QUEUE),
    ("queue.read", READ),
    ("queue.read.json", READ_JSON),
    ("queue.read.header", HEADER),
    ("queue.scale_out", SCALE_OUT),
    ("queue.scale_in", SCALE_IN),
    ("drain", DRAIN),
    ("drain.via", DRAIN_VIA),
    ("notify", NOTIFY),
];

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    /// In the words of the reference, with their markup. A value stands in backquotes, first.
    pub default: &'static str,
    pub meaning: &'static str,
    /// What the reference calls its values, where the shape does not say it.
    called: Option<&'static str>,
}

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// `1h30m`, from the first to the second.
    Span(&'static str, &'static str),
    /// A span of time of any length.
    AnySpan,
    /// A whole number, from the first to the second.
    Whole(u64, u64),
    Flag,
    Words(&'static [&'static str]),
    /// Text of that form, as a regular expression, and what the reference calls it.
    Formed(&'static str, &'static str),
    /// Any text, a number that is meant as one included.
    Text,
    /// A map of names of one's own to text.
    Texts,
    /// A map of instance types to dollars.
    Prices,
    List(&'static Self),
    Either(&'static [Self]),
    Section(&'static str),
    /// Sections by names that are like this.
    Named(&'static str, &'static str),
}

impl Key {
    const fn new(
        name: &'static str,
        shape: Shape,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, shape, default, meaning, called: None }
    }

    const fn called(self, called: &'static str) -> Self {
        Self { called: Some(called), ..self }
    }

    /// Returns what the reference calls its values.
    pub fn kind(&self) -> String {
        self.called.map_or_else(|| self.shape.kind(), str::to_owned)
    }

    /// Returns its spans of time, where its shape is one.
    pub fn spans(&self) -> Option<RangeInclusive<Duration>> {
        let Shape::Span(least, most) = self.shape else { return None };
        Some(units::duration(least).ok()?..=units::duration(most).ok()?)
    }

    /// Returns its numbers, where its shape is one.
    pub fn numbers(&self) -> Option<RangeInclusive<u64>> {
        let Shape::Whole(least, most) = self.shape else { return None };
        Some(least..=most)
    }

    /// Returns the value that it has by default, as the file would give it.
    fn default_value(&self) -> Option<&'static str> {
        self.default.strip_prefix('`')?.split('`').next()
    }

    /// Returns the default, where it is a span of time.
    pub(crate) fn default_span(&self) -> Option<Duration> {
        units::duration(self.default_value()?).ok()
    }

    /// Returns the default, where it is a rate.
    pub(crate) fn default_rate(&self) -> Option<Rate> {
        units::rate(self.default_value()?).ok()
    }
}

impl Shape {
    fn kind(&self) -> String {
        match self {
            Self::Span(least, most) => format!("{least} to {most}"),
            Self::AnySpan => "a span".to_owned(),
            Self::Whole(least, most) => format!("{least} to {most}"),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                match words.as_slice() {
                    [some @ .., last] if !some.is_empty() => {
                        format!("{} or {last}", some.join(", "))
                    }
                    few => few.concat(),
                }
            }
            Self::Formed(_, called) => (*called).to_owned(),
            Self::Text => "text".to_owned(),
            Self::Texts | Self::Section(_) | Self::Named(..) => "map".to_owned(),
            Self::Prices => "map of dollars by instance type".to_owned(),
            Self::List(Self::Formed(_, called)) => format!("list of {called}"),
            Self::List(_) => "list".to_owned(),
            Self::Either(shapes) => {
                let kinds: Vec<String> = shapes.iter().map(Self::kind).collect();
                kinds.join(" or ")
            }
        }
    }
}

/// Returns the key of that name.
pub fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> impl Iterator<Item = (&'static str, &'static Key)> {
        SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(|key| (*section, key)))
    }

    #[test]
    fn each_key_is_there_once() {
        let names: BTreeSet<_> = all().map(|(section, key)| (section, key.name)).collect();
        assert_eq!(names.len(), all().count());
        for (section, key) in all() {
            assert!(!key.kind().is_empty() && !key.default.is_empty(), "{section}: {key:?}");
        }
    }

    #[test]
    fn ranges_and_defaults_can_be_read() {
        for (section, key) in all() {
            let of = format!("{section}.{}", key.name);
            let has_default = key.default.starts_with('`');
            if matches!(key.shape, Shape::Span(..)) {
                let spans = key.spans().unwrap();
                assert!(spans.start() < spans.end(), "{of}");
                assert_eq!(key.default_span().is_some(), has_default, "{of}");
                assert!(key.default_span().is_none_or(|span| spans.contains(&span)), "{of}");
            }
            if matches!(key.shape, Shape::Formed(_, "rate")) {
                assert_eq!(key.default_rate().is_some(), has_default, "{of}");
            }
            if matches!(key.shape, Shape::Whole(..)) {
                let numbers = key.numbers().unwrap();
                assert!(numbers.start() <= numbers.end(), "{of}");
                let default = key.default_value().and_then(|value| value.parse::<u64>().ok());
                assert_eq!(default.is_some(), has_default, "{of}");
                assert!(default.is_none_or(|n| numbers.contains(&n)), "{of}");
            }
        }
    }

    #[test]
    fn shapes_name_sections_that_exist() {
        fn named(shape: &Shape, found: &mut Vec<&'static str>) {
            match shape {
                Shape::Section(name) | Shape::Named(_, name) => found.push(name),
                Shape::List(of) => named(of, found),
                Shape::Either(shapes) => shapes.iter().for_each(|shape| named(shape, found)),
                Shape::Span(..)
                | Shape::AnySpan
                | Shape::Whole(..)
                | Shape::Flag
                | Shape::Words(_)
                | Shape::Formed(..)
                | Shape::Text
                | Shape::Texts
                | Shape::Prices => {}
            }
        }
        let mut found = Vec::new();
        all().for_each(|(_, key)| named(&key.shape, &mut found));
        let found: BTreeSet<&str> = found.into_iter().collect();
        let sections = SECTIONS.iter().map(|(name, _)| *name).filter(|name| *name != "file");
        assert_eq!(found, sections.collect());
    }
}
