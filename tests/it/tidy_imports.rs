//! Who may import whom, and what the engine may depend on.

use std::collections::BTreeSet;

use crate::tidy::{name_at_start, none, read, shipped, sources};

/// Which modules a module may import. Arrows point inward only. Only `cli` joins everything, and
/// tests may build what they need with anything.
pub(crate) const MAY_IMPORT: [(&str, &[&str]); 30] = [
    ("model", &[]),
    ("policy", &["model"]),
    ("state", &["model", "policy"]),
    ("decide", &["defect", "model", "policy"]),
    ("plan", &["defect", "model", "policy", "state"]),
    ("evaluate", &["model", "policy", "state", "decide", "plan"]),
    ("ports", &["model"]),
    ("observe", &["model", "policy", "ports"]),
    ("record", &["model", "policy", "evaluate", "ports"]),
    ("defect", &["model"]),
    ("act", &["model", "ports", "record"]),
    ("tick", &["model", "policy", "evaluate", "ports", "observe", "record", "act"]),
    ("aws", &["model", "ports"]),
    ("store", &["model", "ports", "custody"]),
    ("shadow", &["model", "policy", "evaluate", "tick"]),
    ("probe", &["model", "ports", "custody"]),
    ("sim", &["model", "policy", "ports", "prices", "record", "tick"]),
    ("metrics", &["model", "policy", "ports", "tick"]),
    ("otlp", &["model", "metrics", "probe"]),
    ("chart", &["model"]),
    ("story", &["model", "policy", "evaluate", "ports"]),
    ("custody", &["model"]),
    ("notices", &["model", "policy", "ports", "custody", "probe"]),
    (
        "daemon",
        &[
            "model",
            "policy",
            "ports",
            "record",
            "state",
            "tick",
            "shadow",
            "metrics",
            "custody",
            "notices",
            "admin",
            "telemetry",
        ],
    ),
    ("door", &[]),
    ("web", &["model", "policy", "ports", "metrics", "chart", "story", "admin", "door"]),
    ("admin", &["model", "policy", "ports", "record", "tick", "door"]),
    ("telemetry", &["model"]),
    ("settings", &["model"]),
    ("prices", &[]),
];

/// Of `state`, `plan` may use this alone.
const ONLY: [(&str, &str, &str); 1] = [("plan", "state", "mostly_sick")];

/// The engine's modules are pure by its dependencies; these words would still get past them.
const PURE: [&str; 7] = ["model", "policy", "state", "decide", "plan", "evaluate", "prices"];

/// What the engine may depend on: nothing that waits, draws a random number, or opens a file or a socket.
const ENGINE_DEPENDENCIES: [&str; 10] = [
    "annotate-snippets",
    "jiff",
    "serde",
    "serde_json",
    "serde_yaml",
    "sha2",
    "strsim",
    "thiserror",
    "unicode-properties",
    "url",
];

#[test]
fn imports_point_inward() {
    let mut found = Vec::new();
    for source in shipped() {
        let module = source.module();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            if !["cli", "lib", "main"].contains(&module) {
                found.push(format!("{}: module `{module}` is not in the table", source.path));
            }
            continue;
        };
        for (at, line) in source.shipped_code() {
            for path in line.replace("tidegate_engine::", "crate::").split("crate::").skip(1) {
                let target = name_at_start(path);
                let rest = path.strip_prefix(target).unwrap_or_default();
                let rest = rest.strip_prefix("::").unwrap_or_default();
                let narrow = ONLY.iter().find(|(from, to, _)| *from == module && *to == target);
                let good = target == module || allowed.contains(&target);
                if !good {
                    found.push(format!("{}:{at}: `{module}` imports `{target}`", source.path));
                } else if let Some((_, _, one)) = narrow
                    && name_at_start(rest) != *one
                {
                    found.push(format!(
                        "{}:{at}: of `{target}`, `{module}` may import `{one}` alone",
                        source.path
                    ));
                }
            }
        }
    }
    none(
        &found,
        "hand the value in from outside, or move the type to `model`; the table is in tests/it/tidy_imports.rs",
    );
}

#[test]
fn the_table_of_imports_names_modules_that_exist() {
    let libs = ["src/lib.rs", "crates/engine/src/lib.rs"].map(read);
    let declared: BTreeSet<&str> = libs
        .iter()
        .flat_map(|lib| lib.lines())
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| *name != "cli")
        .collect();
    let named: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, declared, "lib.rs and MAY_IMPORT in tests/it/tidy_imports.rs disagree");
}

#[test]
fn engine_depends_on_nothing_impure() {
    let manifest = read("crates/engine/Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let named = dependencies.lines().filter(|line| !line.starts_with('#'));
    let named: Vec<&str> = named.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
    assert_eq!(named, ENGINE_DEPENDENCIES, "the engine has no I/O, no clock and no randomness");
}

#[test]
fn pure_modules_have_no_clock_no_chance_and_no_outside() {
    let banned = [
        "tokio",
        "tracing",
        "Timestamp::now",
        "Zoned::now",
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::env",
        "TcpStream",
        "UdpSocket",
        "ToSocketAddrs",
        "std::thread",
        "rand::",
        "async ",
        ".await",
    ];
    let mut found = Vec::new();
    for source in shipped() {
        if !PURE.contains(&source.module()) {
            continue;
        }
        for (at, line) in source.shipped_code() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{at}: `{word}` in a pure module", source.path));
            }
        }
    }
    none(&found, "take the value as an argument: what is pure is the same in every driver");
}

#[test]
fn nothing_in_model_is_serialisable() {
    let mut found = Vec::new();
    for source in sources("crates/engine/src/model") {
        for (at, line) in source.code().filter(|(_, line)| line.contains("serde")) {
            found.push(format!("{}:{at}: {}", source.path, line.trim()));
        }
    }
    none(
        &found,
        "each border has its own shapes: policy/file.rs, store/row.rs, admin/view.rs and order.rs",
    );
}

#[test]
fn sql_stays_in_the_store() {
    let mut found = Vec::new();
    for source in sources("src") {
        if source.module() == "store" {
            continue;
        }
        let opens = source.path == "src/cli/journal.rs";
        for (at, line) in source.shipped_code() {
            let by_name =
                ["DATABASE", "SqliteHistory::look"].iter().any(|word| line.contains(word));
            if line.contains("rusqlite") || (by_name && !opens) {
                found.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    none(&found, "take a `History` or a `Store`; commands open the journal in src/cli/journal.rs");
}
