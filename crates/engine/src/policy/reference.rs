//! The words of the reference for editors and the manual page. `docs/policies.md` has the same rows.

use super::keys::{Key, SECTIONS};

impl Key {
    /// Returns its meaning and its default, in plain words.
    pub fn described(&self) -> String {
        let default = match self.default {
            "required" => "Required.".to_owned(),
            other => format!("Default: {}.", plain(other)),
        };
        format!("{} {default}", plain(self.meaning)).trim().to_owned()
    }
}

/// Every section with its keys, in the order of the reference.
pub fn sections() -> impl Iterator<Item = (&'static str, &'static [Key])> {
    SECTIONS.iter().copied()
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

    const PAGE: &str = "docs/policies.md";

    /// The row of a key in the reference.
    fn row(key: &Key) -> String {
        let meaning = if key.meaning.is_empty() { "" } else { &format!(" {}", key.meaning) };
        format!("| `{}` | {} | {} |{meaning} |", key.name, key.kind(), key.default)
    }

    /// The first table under the heading of each section, with the rows of the table of keys.
    fn with_rows(page: &str) -> String {
        let mut out: Vec<String> = Vec::new();
        let mut pending: Option<&[Key]> = None;
        let mut inside = false;
        for line in page.lines() {
            if let Some(title) = line.strip_prefix('#') {
                let title = title.trim_start_matches('#').trim();
                let name = if title == "The file" { "file" } else { title };
                pending = sections().find(|(section, _)| *section == name).map(|(_, keys)| keys);
            }
            if inside && line.starts_with('|') {
                continue;
            }
            inside = false;
            out.push(line.to_owned());
            if line.starts_with("| --- |")
                && let Some(keys) = pending.take()
            {
                out.extend(keys.iter().map(row));
                inside = true;
            }
        }
        out.join("\n") + "\n"
    }

    #[test]
    fn reference_has_the_rows_of_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE);
        let page = std::fs::read_to_string(&path).unwrap();
        let expected = with_rows(&page);
        if std::env::var_os("TIDEGATE_BLESS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let rows = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (page, expected) = (rows(&page), rows(&expected));
        for (line, expected) in page.iter().zip(&expected) {
            assert_eq!(line, expected, "{PAGE}: TIDEGATE_BLESS=1 writes it anew");
        }
        assert_eq!(page.len(), expected.len());
        let keys = sections().flat_map(|(_, keys)| keys).map(row);
        let missing: Vec<String> = keys.filter(|row| !page.contains(row)).collect();
        assert!(missing.is_empty(), "a section has no heading or no table: {missing:?}");
    }

    #[test]
    fn markup_is_taken_off() {
        assert_eq!(plain("a `b` [c `d`](e.md#f) [g] h"), "a b c d [g] h");
    }
}
