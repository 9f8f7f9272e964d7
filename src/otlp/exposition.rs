//! The registry's own text, read again: what `/metrics` shows is what is exported, and there is no
//! second list of metrics.

/// One metric with all its samples, as OpenMetrics has it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Family<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    pub help: &'a str,
    pub samples: Vec<Sample<'a>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// What follows the family's name: `_total`, `_bucket`, or nothing.
    pub end: &'a str,
    pub labels: Vec<(&'a str, String)>,
    pub value: &'a str,
}

/// Every family that has samples. What is not understood is left out; a test holds that nothing is.
pub(super) fn families(text: &str) -> Vec<Family<'_>> {
    let mut found: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = heading(line, "# HELP ") {
            found.push(Family { name, help, ..Family::default() });
        } else if let Some((_, kind)) = heading(line, "# TYPE ")
            && let Some(family) = found.last_mut()
        {
            family.kind = kind;
        } else if let Some(family) = found.last_mut()
            && let Some(rest) = line.strip_prefix(family.name)
        {
            family.samples.extend(sample(rest));
        }
    }
    found.retain(|family| !family.samples.is_empty());
    found
}

fn heading<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(kind)?.split_once(' ')
}

/// `_total{fleet="app"} 3`, without the family's name.
fn sample(text: &str) -> Option<Sample<'_>> {
    let (end, rest) = text.split_at_checked(text.find(['{', ' '])?)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    Some(Sample { end, labels, value: value.trim() })
}

/// `fleet="app",state="booting"} 3`: the labels, and what follows them.
fn labels(text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let (name, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        found.push((name, value));
        rest = after.split_at_checked(end)?.1.strip_prefix('"')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_read_with_their_labels_and_values() {
        let text = "# HELP a_b Text of it.\n# TYPE a_b counter\n\
                    a_b_total{c=\"} \\\"d\\\\\\n\",e=\"\"} 1\n\
                    # HELP none What.\n# TYPE none gauge\n\
                    # HELP g Now.\n# TYPE g gauge\n# UNIT g seconds\ng{} 2.5\ng 3\n# EOF\n";
        let found = families(text);
        let sample = |end, labels, value| Sample { end, labels, value };
        let told = vec![("c", "} \"d\\\n".to_owned()), ("e", String::new())];
        assert_eq!(
            found,
            [
                Family {
                    name: "a_b",
                    kind: "counter",
                    help: "Text of it.",
                    samples: vec![sample("_total", told, "1")],
                },
                Family {
                    name: "g",
                    kind: "gauge",
                    help: "Now.",
                    samples: vec![sample("", vec![], "2.5"), sample("", vec![], "3")],
                },
            ]
        );
    }
}
