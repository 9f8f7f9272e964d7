//! The YAML as a tree in which every value knows its place in the file. Deriving the shape with serde would stop at the first problem, and a file is judged whole.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned};

use super::problem::{Place, Problem, Problems};
use crate::model::fault::printable;

/// A value and where it stands. What came through an alias stands where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// In the order of the file, duplicates included; merge keys are already resolved.
    Map(Vec<Entry>),
    List(Vec<Node>),
    /// A scalar as written; without its quotes if it had any.
    Text(String),
    Nothing,
}

impl Kind {
    /// For messages: what this is.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Map(_) => "a map",
            Self::List(_) => "a list",
            Self::Text(_) => "a single value",
            Self::Nothing => "nothing",
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) at: Place,
    pub(super) value: Node,
}

/// Reads YAML text into a tree; `None` when it is not YAML, or more of it than any policy needs.
pub(super) fn read(text: &str, out: &mut Problems) -> Option<Node> {
    // What aliases may blow a file up to. A thousand fleets of a hundred nodes fit.
    let budget = serde_yaml::budget! {
        max_depth: 32,
        max_nodes: 100_000,
        max_aliases: 10_000,
        max_anchors: 1_000,
        max_merge_keys: 10_000,
    };
    let options = serde_yaml::options! {
        budget: budget,
        // We report duplicates ourselves, with all else that is wrong.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options::<Located>(text, options)
        .map(|located| {
            let mut node = located.into_node(text);
            rejoin(&mut node, text, out);
            node
        })
        .map_err(|error| out.push(not_yaml(&error, text)))
        .ok()
}

/// Puts unquoted values together that a comma has cut up inside `{ … }`, and reports each once.
fn rejoin(node: &mut Node, text: &str, out: &mut Problems) {
    match &mut node.kind {
        Kind::Map(entries) => {
            let mut joined: Vec<(Entry, bool)> = Vec::with_capacity(entries.len());
            for mut entry in std::mem::take(entries) {
                if let Some((before, cut)) = joined.last_mut()
                    && let Some(whole) = continued(&before.value, &entry, text)
                {
                    before.value = whole;
                    *cut = true;
                    continue;
                }
                rejoin(&mut entry.value, text, out);
                joined.push((entry, false));
            }
            for (entry, _) in joined.iter().filter(|(_, cut)| *cut) {
                let message = "an unquoted value with a `,` inside `{ … }`";
                let problem = Problem::error(entry.value.at, message, "a `,` ends the value");
                let value = text.get(entry.value.at.start..entry.value.at.end).unwrap_or_default();
                let value = printable(value, 60);
                out.push(problem.remedy(format!("quote it: `{}: \"{value}\"`", entry.key)));
            }
            entries.extend(joined.into_iter().map(|(entry, _)| entry));
        }
        Kind::List(items) => items.iter_mut().for_each(|item| rejoin(item, text, out)),
        Kind::Text(_) | Kind::Nothing => {}
    }
}

/// Returns `value` with what follows its comma, if that is no key with a value of its own.
fn continued(value: &Node, next: &Entry, text: &str) -> Option<Node> {
    let (Kind::Text(_), Kind::Nothing) = (&value.kind, &next.value.kind) else { return None };
    let quoted = text.get(value.at.start..)?.starts_with(['"', '\'']);
    let between = text.get(value.at.end..next.at.start)?;
    let after = text.get(next.at.end..)?.trim_start();
    if quoted || between.trim() != "," || !after.starts_with([',', '}']) {
        return None;
    }
    let at = Place { end: next.at.end, ..value.at };
    Some(Node { at, kind: Kind::Text(text.get(at.start..at.end)?.to_owned()) })
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Located(Spanned<Value>);

enum Value {
    Map(Vec<(Located, Located)>),
    List(Vec<Located>),
    Text(String),
    /// A number or truth value: what counts is how it was written (`1.10` is a fine tag).
    Plain,
    Nothing,
}

impl Located {
    fn into_node(self, text: &str) -> Node {
        let at = place(self.0.defined, text);
        let kind = match self.0.value {
            Value::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = key.into_node(text);
                        let name = match key.kind {
                            Kind::Text(name) => name,
                            Kind::Map(_) | Kind::List(_) | Kind::Nothing => String::new(),
                        };
                        Entry { key: name, at: key.at, value: value.into_node(text) }
                    })
                    .collect(),
            ),
            Value::List(items) => {
                Kind::List(items.into_iter().map(|item| item.into_node(text)).collect())
            }
            Value::Text(written) => Kind::Text(written),
            Value::Plain => Kind::Text(text.get(at.start..at.end).unwrap_or_default().to_owned()),
            Value::Nothing => Kind::Nothing,
        };
        Node { at, kind }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        yaml.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Plain)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}

/// The parser's location as a place; errors of its scanner come without byte offsets.
fn place(location: Location, text: &str) -> Place {
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let span = location.span();
    let bytes = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
    let (start, length) =
        bytes(span.byte_offset()).zip(bytes(span.byte_len())).unwrap_or_else(|| {
            let start = offset(text, line, column);
            let letter = text.get(start..).and_then(|rest| rest.chars().next());
            (start, letter.map_or(0, char::len_utf8))
        });
    Place { line, column, start, end: start.saturating_add(length) }
}

/// The byte at which a line's column begins.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let here = text.split_inclusive('\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let within = here.char_indices().nth(column.saturating_sub(1)).map_or(here.len(), |(at, _)| at);
    within.saturating_add(before)
}

/// Returns the column of the first bracket that opens within an unquoted word.
fn bracket_in_value(line: &str) -> Option<usize> {
    let (mut quote, mut before) = (None, ' ');
    for (index, letter) in line.chars().enumerate() {
        let opens = matches!(letter, '{' | '[');
        let inside = !before.is_whitespace() && !"{[,:".contains(before);
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '#' && before == ' ' => return None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None if opens && inside => return index.checked_add(1),
            Some(_) | None => {}
        }
        before = letter;
    }
    None
}

/// The parser's error in our words, with a remedy for the traps people fall into.
fn not_yaml(error: &serde_yaml::Error, text: &str) -> Problem {
    use serde_yaml::Error as Yaml;

    let at = error.location().map_or(Place::TOP, |location| place(location, text));
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let mut error = error.without_snippet();
    if let Yaml::AliasError { error: inner, .. } = error {
        error = inner;
    }
    // The parser stops at the second star, or at the space behind the first.
    let star = line.find(": *").filter(|_| error.to_string().contains("anchor or alias"));
    if let Some(before) = star {
        let column = line.get(..before).unwrap_or_default().chars().count().saturating_add(3);
        let start = offset(text, at.line, column);
        let at = Place { line: at.line, column, start, end: start.saturating_add(1) };
        return Problem::error(at, STAR, NO_ANCHOR).remedy(QUOTE_STAR);
    }
    let (message, label, remedy) = if matches!(error, Yaml::UnknownAnchor { .. }) {
        (STAR, NO_ANCHOR, QUOTE_STAR)
    } else if matches!(error, Yaml::Budget { .. }) {
        ("the file is too large or too deep once its aliases are followed", "here", LESS_ALIASES)
    } else if matches!(error, Yaml::RecursiveReferencesRequireWeakTypes { .. }) {
        ("an alias inside its own anchor", "this would never end", "write the value out")
    } else if matches!(error, Yaml::MultipleDocuments { .. }) {
        ("a second YAML document", "begins here", "keep one document: remove the `---`")
    } else if line.starts_with(|c: char| c.is_whitespace())
        && line.trim_start_matches(' ').starts_with('\t')
    {
        ("a tab in the indentation", "here", "indent with spaces, two for each level")
    } else if let Some(column) = bracket_in_value(line) {
        let start = offset(text, at.line, column);
        let at = Place { line: at.line, column, start, end: start.saturating_add(1) };
        let problem = Problem::error(
            at,
            "an unquoted value with a bracket in it",
            "YAML reads a map or list",
        );
        return problem.remedy("quote the value: `http: \"http://{private_ip}/\"`");
    } else {
        let text = if let Yaml::Message { msg, .. } | Yaml::ExternalMessage { msg, .. } = error {
            msg.clone()
        } else {
            error.to_string()
        };
        let remedy = if text.contains("recursion limit") {
            "no policy is nested so deep: close the brackets"
        } else if text.contains("unexpected character") || text.contains("mapping values") {
            "put quotes around a value with special characters; check the indentation"
        } else {
            "check indentation, brackets and quotes here and in the line above"
        };
        return Problem::error(at, "not valid YAML", printable(&text, 200)).remedy(remedy);
    };
    Problem::error(at, message, label).remedy(remedy)
}

const STAR: &str = "the value begins with `*`, which YAML takes for an alias";
const NO_ANCHOR: &str = "no such anchor";
const QUOTE_STAR: &str = "quote cron expressions: cron: \"*/5 * * * *\"";
const LESS_ALIASES: &str = "use `defaults` for what fleets have in common, or fewer aliases";
