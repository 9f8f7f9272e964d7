//! What holds of the sources, the documents and the deployment files themselves. Each test fails
//! with file, line and what to do about it.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers read files of this repository; a missing one fails the test"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tidegate_engine::model::phase::PhaseKind;
use tidegate_engine::model::problem::ProblemKind;

/// The folders of shipped code.
const CODE: [&str; 2] = ["crates", "src"];

const LINES_AT_MOST: usize = 500;

/// A source file: its path from the root of the repository, and its text.
pub(crate) struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// Returns the top-level module of the file: `tick` for `src/tick/mod.rs`, `plan` for
    /// `crates/engine/src/plan/retire.rs`.
    pub(crate) fn module(&self) -> &str {
        let inside = self.path.rsplit_once("src/").map_or(&*self.path, |(_, inside)| inside);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// The lines of code with their numbers, without comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The same as far as it is not for tests.
    pub(crate) fn shipped_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let only_tests = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        let most = if only_tests { 0 } else { usize::MAX };
        self.code().take_while(|(_, line)| !line.starts_with("#[cfg(test)]")).take(most)
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    let source = |path: &PathBuf| Source {
        path: path.strip_prefix(root()).unwrap().display().to_string(),
        text: fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(source).collect()
}

/// Returns the shipped code of every crate.
pub(crate) fn shipped() -> Vec<Source> {
    CODE.into_iter().flat_map(sources).collect()
}

/// Returns the shipped code and the tests.
pub(crate) fn all_sources() -> Vec<Source> {
    shipped().into_iter().chain(sources("tests")).collect()
}

#[track_caller]
pub(crate) fn none(violations: &[String], remedy: &str) {
    let mut told = String::new();
    for violation in violations {
        writeln!(told, "  {violation}").unwrap();
    }
    assert!(violations.is_empty(), "\n{told}remedy: {remedy}\n");
}

/// What stands before the first character that no name has.
pub(crate) fn name_at_start(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The string literals of a line of code.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut found = Vec::new();
    for source in all_sources() {
        let said = source.text.lines().next().and_then(|line| line.strip_prefix("//!"));
        // One word names the file again, and says nothing.
        if said.unwrap_or_default().split_whitespace().count() < 2 {
            found.push(format!("{}:1: does not open with `//!` and a sentence", source.path));
        }
    }
    none(&found, "begin the file with one sentence that says what it is for");
}

#[test]
fn no_file_is_long() {
    let mut found = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > LINES_AT_MOST {
            found.push(format!("{}:{lines}: more than {LINES_AT_MOST} lines", source.path));
        }
    }
    none(&found, "split the file where its subject splits");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let banned = ["#[ign|ore", "to|do!(", "unimpl|emented!(", "FIX|ME", "XX|X"];
    let banned = banned.map(|word| word.replace('|', ""));
    let mut found = Vec::new();
    for source in all_sources() {
        for (at, line) in source.text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: `{word}`", source.path, at + 1));
            }
        }
    }
    none(&found, "do it now, or leave it out");
}

/// The words that `as_str` or a table like it gives for variants: `Self::Hold { .. } => "hold"`.
fn words_of(path: &str, function: &str) -> Vec<String> {
    let text = read(path);
    let body = text.split(&format!("fn {function}(")).nth(1).unwrap_or_default();
    let body = body.split("\n    }\n").next().unwrap_or_default();
    let arms = body.lines().filter(|line| line.contains("=>"));
    arms.flat_map(literals).map(str::to_owned).collect()
}

#[test]
fn every_rule_phase_and_problem_is_in_the_runbook() {
    let runbook = read("docs/operations.md");
    let mut rules = words_of("crates/engine/src/model/decision/mod.rs", "rule");
    rules.extend(words_of("crates/engine/src/model/decision/goal.rs", "rule"));
    assert!(rules.len() >= 23, "rules are not found any more: {rules:?}");
    let mut found = Vec::new();
    for rule in rules.iter().filter(|rule| !runbook.contains(&format!("`{rule}`"))) {
        found.push(format!(
            "crates/engine/src/model/decision: rule `{rule}` is not in docs/operations.md"
        ));
    }
    for phase in PhaseKind::ALL.map(PhaseKind::as_str) {
        if !runbook.contains(&format!("`{phase}`")) {
            found.push(format!("model/phase.rs: phase `{phase}` is not in docs/operations.md"));
        }
    }
    for kind in ProblemKind::ALL.iter().copied() {
        let row = format!("\n| <a id=\"{}\"></a>`{}` |", kind.runbook_anchor(), kind.as_str());
        if !runbook.contains(&row) {
            found.push(format!(
                "crates/engine/src/model/problem.rs: `{row}` is not in docs/operations.md"
            ));
        }
    }
    none(&found, "add a row to docs/operations.md: what it means, and what to type");
}

/// `describe_instances` of the client `ec2` as IAM calls it: `ec2:DescribeInstances`.
fn action(client: &str, method: &str) -> String {
    let service = if client.starts_with("elb") { "elasticloadbalancing" } else { client };
    let mut name = String::new();
    for word in method.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    format!("{service}:{name}")
}

const INVENTORY: &str = "src/aws/inventory/";

/// The IAM actions that a file of `src/aws` needs.
fn actions(source: &Source) -> BTreeSet<String> {
    let code: String = source.shipped_code().flat_map(|(_, line)| line.chars()).collect();
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let mut found = BTreeSet::new();
    for client in ["ec2", "elb", "elbv2", "sns"] {
        for after in code.split(&format!(".{client}.")).skip(1) {
            let method = name_at_start(after);
            // Our own functions of that name are methods of `Aws`, not of a client.
            found.extend((method != "config").then(|| action(client, method)));
        }
    }
    if code.contains("tag_specifications(") {
        found.insert("ec2:CreateTags".to_owned());
    }
    if code.contains(".iam_instance_profile(profile") {
        found.insert("iam:PassRole".to_owned());
    }
    found
}

#[test]
fn init_only_looks_and_its_help_has_every_right_that_it_needs() {
    let help = read("src/cli/init/mod.rs");
    let sources = sources("src/aws");
    let inventory = sources.iter().filter(|source| source.path.contains(INVENTORY));
    let calls: BTreeSet<String> = inventory.flat_map(actions).collect();
    assert_eq!(calls.len(), 6, "beside ec2:DescribeInstances: {calls:?}");
    for call in calls.iter().map(String::as_str).chain(["ec2:DescribeInstances"]) {
        assert!(call.contains(":Describe") && help.contains(call), "{call}");
    }
}

#[test]
fn the_iam_policy_allows_the_calls_that_are_made_and_no_others() {
    let sources = sources("src/aws");
    // That one is run by a person, with rights of their own.
    let of_the_daemon = sources.iter().filter(|source| !source.path.contains(INVENTORY));
    let calls: BTreeSet<String> = of_the_daemon.flat_map(actions).collect();
    assert!(calls.len() > 10, "calls are not found any more: {calls:?}");
    let policy: serde_json::Value = serde_json::from_str(&read("deploy/iam-policy.json")).unwrap();
    let mut allowed = BTreeSet::new();
    for statement in policy.pointer("/Statement").and_then(|list| list.as_array()).unwrap() {
        assert_eq!(statement.pointer("/Effect").unwrap(), "Allow");
        let actions = statement.pointer("/Action").unwrap();
        let one = actions.as_str().map(str::to_owned);
        let many = actions.as_array().into_iter().flatten().filter_map(|action| action.as_str());
        allowed.extend(one);
        allowed.extend(many.map(str::to_owned));
    }
    let missing = calls.difference(&allowed).map(|call| format!("src/aws: {call} is not allowed"));
    let idle = allowed
        .difference(&calls)
        .map(|call| format!("deploy/iam-policy.json: {call} is allowed and never called"));
    let found: Vec<String> = missing.chain(idle).collect();
    none(&found, "bring deploy/iam-policy.json in line with the calls in src/aws");
}

#[test]
fn what_changes_a_server_in_aws_is_bound_to_our_tag() {
    let policy: serde_json::Value = serde_json::from_str(&read("deploy/iam-policy.json")).unwrap();
    let statements = policy.pointer("/Statement").and_then(|list| list.as_array()).unwrap();
    let mut found = Vec::new();
    for statement in statements {
        let text = statement.to_string();
        let on_instances = text.contains(":instance/*");
        if on_instances && !text.contains("Tag/tidegate:install") {
            found.push(format!("deploy/iam-policy.json: {}", statement.pointer("/Sid").unwrap()));
        }
    }
    none(&found, "add a condition on the tag `tidegate:install`");
}

#[test]
fn the_shipped_policy_loads_and_only_observes() {
    let text = read("policies.yaml");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let loaded = tidegate_engine::policy::load("policies.yaml", &text, now);
    let policy = loaded.policy.unwrap();
    assert_eq!(policy.mode, tidegate_engine::policy::Mode::Observe, "policies.yaml must not act");
    for fleet in policy.fleets.values() {
        assert_eq!(
            fleet.mode,
            tidegate_engine::policy::Mode::Observe,
            "{} must not act",
            fleet.name
        );
    }
}

/// A slow machine must not fail a test: only a wait may end by the clock, and it ends in `HANG`. Nor is
/// processor time the same on any two machines.
#[test]
fn no_test_judges_elapsed_time() {
    // Put together here, so that this file does not find itself.
    let banned =
        ["elapsed() |< Duration", "CPU|TIME", "sched|stat", "get|rusage", "clock_get|time"];
    let banned = banned.map(|word| word.replace('|', ""));
    let mut found = Vec::new();
    for source in all_sources() {
        for (n, line) in source.text.lines().enumerate() {
            if banned.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", source.path, n + 1, line.trim()));
            }
        }
    }
    none(&found, "have a hang fail it, or count the work instead: docs/testing.md says how");
}
