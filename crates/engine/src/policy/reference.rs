//! The reference as data: what `docs/policies.md` says of each key. It is written once, there, and
//! editors and the manual page are given the same words.

use super::file::SECTIONS;

const REFERENCE: &str = include_str!("../../../../docs/policies.md");

/// A key of a section, in the words of the reference, with their markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub kind: &'static str,
    pub default: &'static str,
    pub meaning: &'static str,
}

impl Key {
    /// Its meaning and its default, in plain words.
    pub fn described(&self) -> String {
        let default = match self.default {
            "required" => "Required.".to_owned(),
            other => format!("Default: {}.", plain(other)),
        };
        format!("{} {default}", plain(self.meaning)).trim().to_owned()
    }
}

/// Every section with its keys, in the order of the reference.
pub fn sections() -> impl Iterator<Item = (&'static str, Vec<Key>)> {
    SECTIONS.iter().map(|(section, keys)| {
        (*section, rows(section).filter(|key| keys.contains(&key.name)).collect())
    })
}

/// The rows of a section's first table.
fn rows(section: &str) -> impl Iterator<Item = Key> {
    let title = if section == "file" { "The file" } else { section };
    let parts = REFERENCE.split("\n#");
    let titled = move |part: &&str| {
        let heading = part.trim_start_matches('#').lines().next();
        heading.map(str::trim) == Some(title)
    };
    let lines = parts.filter(titled).take(1).flat_map(str::lines);
    lines.filter_map(row)
}

fn row(line: &'static str) -> Option<Key> {
    let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split(" | ");
    let mut next = || cells.next().map(str::trim);
    let name = next()?.trim_end_matches('`');
    Some(Key { name, kind: next()?, default: next()?, meaning: next().unwrap_or_default() })
}

/// Words without the markup of the reference: what stands in a tooltip or a manual page.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after
            .split_once("](")
            .and_then(|(words, target)| target.split_once(')').map(|(_, behind)| (words, behind)));
        out.push_str(before);
        if let Some((words, behind)) = link {
            out.push_str(words);
            rest = behind;
        } else {
            out.push('[');
            rest = after;
        }
    }
    out.push_str(rest);
    out.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_kind_a_default_and_a_meaning() {
        for ((section, keys), (_, known)) in sections().zip(SECTIONS) {
            let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
            assert_eq!(names, *known, "{section}");
            for key in keys {
                assert!(!key.kind.is_empty() && !key.default.is_empty(), "{section}: {key:?}");
            }
        }
    }

    #[test]
    fn markup_is_taken_off() {
        assert_eq!(plain("a `b` [c `d`](e.md#f) [g] h"), "a b c d [g] h");
    }
}
