//! What holds of the documents: the commands and the files that they name exist, and the map of the
//! sources is whole.

use std::collections::BTreeSet;

use crate::tidy::{all_sources, name_at_start, none, read, root};
use crate::tidy_imports::MAY_IMPORT;

/// `IamPolicy` as clap writes it.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The names of commands: variants of the two enums, as clap writes them.
fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::from(["help".to_owned()]);
    for (path, head) in
        [("src/cli/mod.rs", "enum Command {"), ("src/cli/hand.rs", "pub(crate) enum Hand {")]
    {
        let text = read(path);
        let body = text.split(head).nth(1).unwrap_or_default();
        let body = body.split("\n}\n").next().unwrap_or_default();
        let mut hidden = false;
        for line in body.lines().filter_map(|line| line.strip_prefix("    ")) {
            if line.starts_with(|c: char| c.is_ascii_uppercase()) && !hidden {
                found.insert(kebab(name_at_start(line)));
            }
            hidden = line.contains("hide = true");
        }
    }
    // Flattened: their variants are the commands.
    found.remove("hand");
    found.remove("absent");
    assert!(found.len() > 10, "commands are not found any more: {found:?}");
    found
}

#[test]
fn documents_name_only_commands_that_exist() {
    let commands = commands();
    let mut found = Vec::new();
    for path in ["README.md", "docs/operations.md", "docs/policies.md", "deploy/README.md"] {
        let mut typing = false;
        for (at, line) in read(path).lines().enumerate() {
            typing ^= line.starts_with("```");
            let spoken = ["`tidegate ", "sudo tidegate ", "bin/tidegate "];
            let typed = line.strip_prefix("tidegate ").filter(|_| typing).into_iter();
            let typed = typed.chain(spoken.iter().flat_map(|head| line.split(head).skip(1)));
            for words in typed {
                let name = words.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next();
                let name = name.unwrap_or_default();
                if !name.is_empty() && !commands.contains(name) {
                    found.push(format!("{path}:{}: there is no `tidegate {name}`", at + 1));
                }
            }
        }
    }
    let readme = read("README.md");
    for name in commands.iter().filter(|name| *name != "help") {
        if !readme.contains(&format!("`{name}`")) {
            found.push(format!("README.md: command `{name}` is not in the table"));
        }
    }
    none(&found, "keep the documents and src/cli in step");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = [
        "README.md",
        "CHANGELOG.md",
        "deploy/README.md",
        "deploy/server/README.md",
        "docs/architecture.md",
        "docs/comparison.md",
        "docs/getting-started.md",
        "docs/operations.md",
        "docs/performance.md",
        "docs/policies.md",
        "docs/reliability.md",
    ];
    let mut found = Vec::new();
    for path in documents {
        let text = read(path);
        if text.is_empty() {
            found.push(format!("{path}: is missing"));
        }
        let base = root().join(path);
        for (at, line) in text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap_or_default();
                let local = !file.is_empty() && !file.contains("://");
                if local && !base.parent().unwrap().join(file).exists() {
                    found.push(format!("{path}:{}: {target} does not exist", at + 1));
                }
            }
        }
    }
    none(&found, "name files as they are");
}

#[test]
fn the_map_names_every_module_and_its_tests_exist() {
    let map = read("docs/architecture.md");
    let mut found = Vec::new();
    for (module, _) in MAY_IMPORT {
        if !map.contains(&format!("`{module}`")) {
            found.push(format!("docs/architecture.md: module `{module}` is not on the map"));
        }
    }
    let all: String = all_sources().into_iter().map(|source| source.text).collect();
    for (at, line) in map.lines().enumerate() {
        for test in line.split("`test:").skip(1).filter_map(|rest| rest.split('`').next()) {
            if !all.contains(&format!("fn {}(", test.trim())) {
                found.push(format!("docs/architecture.md:{}: there is no test{test}", at + 1));
            }
        }
    }
    none(&found, "keep docs/architecture.md and the sources in step");
}
