//! Holds docs/reliability.md to the sources: every test, scenario and file that it names exists, its
//! faults are complete, its counts are right, and the README's promises lead to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;

use crate::tidy::{all_sources, none, read, root};

const RECORD: &str = "docs/reliability.md";

/// The faults of each group, by number. Numbers are names: a gap means nothing.
const CATALOGUE: [(&str, &[RangeInclusive<u32>]); 14] = [
    ("A", &[1..=31]),
    ("B", &[1..=13]),
    ("C", &[1..=14]),
    ("D", &[1..=16]),
    ("E", &[1..=15, 20..=22]),
    ("F", &[1..=15]),
    ("G", &[1..=16]),
    ("H", &[1..=26]),
    ("I", &[1..=11]),
    ("J", &[1..=22]),
    ("K", &[1..=15]),
    ("M", &[1..=12]),
    ("N", &[1..=15]),
    ("O", &[1..=21]),
];

/// Tested, by construction, does not apply, open.
type Counts = [usize; 4];

/// A row of the table of faults.
struct Fault<'a> {
    line: usize,
    id: &'a str,
    cells: Vec<&'a str>,
}

impl Fault<'_> {
    fn evidence(&self) -> &str {
        self.cells.last().copied().unwrap_or_default()
    }

    /// Which of the [`Counts`] it belongs to.
    fn state(&self) -> usize {
        let prefixes = ["code:", "n/a:", "open:"];
        prefixes
            .iter()
            .position(|prefix| self.evidence().starts_with(prefix))
            .map_or(0, |at| at + 1)
    }
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

fn faults(text: &str) -> Vec<Fault<'_>> {
    let part = text.find("\n## Faults\n").unwrap_or(text.len());
    let mut found = Vec::new();
    let mut passed = 0;
    for (at, line) in text.lines().enumerate() {
        let begins = passed;
        passed += line.len() + 1;
        let cells = cells(line);
        let id = cells.first().copied().unwrap_or_default();
        let digits = id.get(1..).unwrap_or_default();
        let numbered = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if begins > part && line.starts_with('|') && numbered {
            found.push(Fault { line: at + 1, id, cells });
        }
    }
    found
}

/// What stands between backticks in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_path_of_a_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.contains("::") && text.split("::").all(|part| !part.is_empty() && part.chars().all(legal))
}

/// Every test by name, with the modules that its file lies in.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in all_sources() {
        let place = source.path.trim_end_matches(".rs").split('/').map(str::to_owned);
        let place: BTreeSet<String> = place.collect();
        let mut marked = false;
        for line in source.text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if !line.starts_with("#[") && marked {
                marked = false;
                let name = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
                found.entry(name.unwrap_or_default().to_owned()).or_default().extend(place.clone());
            }
        }
    }
    assert!(found.len() > 150, "tests are not found any more");
    found
}

/// What is wrong with one quoted word, if it names a test, a scenario or a file.
fn wrong(word: &str, tests: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let places = ["src/", "crates/", "tests/", "systemd/", "deploy/", "docs/"];
    if let Some(scenario) = word.strip_prefix("scenario:").filter(|_| !is_path_of_a_name(word)) {
        let there = root().join(format!("tests/scenarios/{scenario}.yaml")).is_file();
        return (!there && scenario != "NAME").then(|| format!("there is no scenario {scenario}"));
    }
    if is_path_of_a_name(word) {
        let (module, name) = word.rsplit_once("::").unwrap_or_default();
        let there = tests
            .get(name)
            .is_some_and(|parts| module.split("::").all(|module| parts.contains(module)));
        return (!there).then(|| format!("there is no test {word}"));
    }
    let named = places.iter().any(|place| word.starts_with(place)) && !word.contains("NAME");
    (named && !root().join(word).exists()).then(|| format!("there is no file {word}"))
}

#[test]
fn what_the_record_names_exists() {
    let text = read(RECORD);
    let tests = tests();
    let mut found = Vec::new();
    let mut named = 0;
    for (at, line) in text.lines().enumerate() {
        if line.matches('`').count() % 2 == 1 {
            found.push(format!("{RECORD}:{}: a backtick without its pair", at + 1));
        }
        for word in quoted(line) {
            named += usize::from(is_path_of_a_name(word));
            found.extend(wrong(word, &tests).map(|what| format!("{RECORD}:{}: {what}", at + 1)));
        }
    }
    assert!(named > 100, "names are not found any more: {named}");
    none(&found, "name tests as `module::function`, scenarios as `scenario:NAME`, files by path");
}

#[test]
fn the_record_has_every_fault_once_with_evidence() {
    let text = read(RECORD);
    let faults = faults(&text);
    let mut found = Vec::new();
    let ids: Vec<&str> = faults.iter().map(|fault| fault.id).collect();
    let expected: Vec<String> = CATALOGUE
        .iter()
        .flat_map(|(group, ranges)| ranges.iter().map(move |range| (group, range.clone())))
        .flat_map(|(group, range)| range.map(move |n| format!("{group}{n:02}")))
        .collect();
    assert_eq!(ids, expected, "{RECORD}: a fault is missing, twice or out of order");
    for fault in &faults {
        let evidence = fault.evidence();
        let words: Vec<&str> = quoted(evidence).collect();
        let is_test = |word: &&str| is_path_of_a_name(word) || word.starts_with("scenario:");
        let good = match fault.state() {
            0 => !words.is_empty() && words.iter().all(is_test),
            1 => !words.is_empty() && words.iter().all(|word| root().join(word).is_file()),
            _ => evidence.split(':').nth(1).is_some_and(|why| why.trim().len() > 10),
        };
        if fault.cells.len() != 4 || fault.cells.iter().any(|cell| cell.is_empty()) || !good {
            found.push(format!("{RECORD}:{}: {}: {evidence}", fault.line, fault.id));
        }
    }
    none(
        &found,
        "give tests in backticks, `code:` with files, or `n/a:` and `open:` with a reason",
    );
}

#[test]
fn the_counts_of_the_record_are_those_of_its_rows() {
    let text = read(RECORD);
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for fault in faults(&text) {
        counts.entry(fault.id.get(..1).unwrap_or_default()).or_default()[fault.state()] += 1;
    }
    let mut all = [0; 4];
    for (group, of) in &counts {
        let row = text.lines().find(|line| line.starts_with(&format!("| {group}. ")));
        let told: Vec<usize> =
            cells(row.unwrap_or_default()).iter().skip(1).flat_map(|cell| cell.parse()).collect();
        let mut right = vec![of.iter().sum::<usize>()];
        right.extend(of);
        assert_eq!(told, right, "{RECORD}: the row of group {group}");
        let title = format!("\n### {}\n", cells(row.unwrap_or_default())[0]);
        assert!(text.contains(&title), "{RECORD}: no heading{title}");
        for (sum, n) in all.iter_mut().zip(of) {
            *sum += n;
        }
    }
    let [tested, code, not, open] = all;
    let sum: usize = all.iter().sum();
    let line = format!(
        "{sum} faults: {tested} tested, {code} by construction, {not} do not apply, {open} open."
    );
    assert!(text.contains(&line), "{RECORD} should say: {line}");
}

#[test]
fn links_into_the_record_lead_to_its_headings() {
    let anchor = |heading: &str| {
        let legal = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == ' ';
        heading.to_lowercase().chars().filter(legal).collect::<String>().replace(' ', "-")
    };
    let text = read(RECORD);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> =
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    let mut found = Vec::new();
    let mut linked = 0;
    for (path, head) in [("README.md", "(docs/reliability.md#"), (RECORD, "(#")] {
        for (at, line) in fs::read_to_string(root().join(path)).unwrap().lines().enumerate() {
            for target in line.split(head).skip(1).filter_map(|rest| rest.split(')').next()) {
                linked += 1;
                if !anchors.contains(target) {
                    found.push(format!("{path}:{}: {RECORD} has no heading #{target}", at + 1));
                }
            }
        }
    }
    assert!(linked > 10, "links are not found any more: {linked}");
    none(&found, "link to a heading as it is written now");
}
