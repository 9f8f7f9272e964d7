//! What holds of metrics, alerts and the dashboard together: nothing is asked for that is not
//! exported, and everything is explained.

use std::collections::BTreeSet;

use tidegate_engine::model::problem::ProblemKind;

use crate::tidy::{none, read, sources};

const ALERTS: &str = "deploy/prometheus/alerts.yaml";

/// The names that are registered, with their prefix, as the samples have them.
fn exported() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources("src/metrics") {
        let code = source.text.replace('\n', " ");
        for call in ["registry.register(", "gauges("] {
            for rest in code.split(call).skip(1) {
                let Some(name) = rest.trim_start().strip_prefix('"') else { continue };
                let name = name.split('"').next().unwrap();
                let help = rest.split(')').next().unwrap();
                let counted = ["launches", "terminations", "aws_requests", "queue_read_errors"];
                let end = match name {
                    "build" => "_info",
                    name if counted.contains(&name) => "_total",
                    _ => "",
                };
                assert!(help.contains(','), "{name} has no help");
                found.insert(format!("tidegate_{name}{end}"));
            }
        }
    }
    assert!(found.len() >= 20, "metrics are not found any more: {found:?}");
    found
}

/// Names of metrics in a text, without what Prometheus adds for histograms.
fn named(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let names = text.split("tidegate_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
        let name = rest.split_at(end).0;
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        Some(format!("tidegate_{}", bare.unwrap_or(name)))
    });
    names.collect()
}

#[test]
fn alerts_dashboard_and_documents_name_metrics_that_are_exported() {
    let exported = exported();
    let mut found = Vec::new();
    for path in [ALERTS, "deploy/grafana/dashboard.json", "docs/operations.md"] {
        let named = named(path);
        assert!(named.len() > 5, "{path}: {named:?}");
        let unknown = named.difference(&exported);
        found.extend(unknown.map(|name| format!("{path}: {name} is not exported")));
    }
    let told = named("docs/operations.md");
    let untold = exported.difference(&told);
    found.extend(untold.map(|name| format!("docs/operations.md: {name} is not explained")));
    none(&found, "keep src/metrics, deploy/ and docs/operations.md in step");
}

#[test]
fn alerts_name_kinds_of_problems_that_exist() {
    let rules = read(ALERTS);
    let matchers = rules.split("tidegate_problems{kind").skip(1);
    let words: Vec<&str> = matchers
        .filter_map(|rest| rest.split('"').nth(1))
        .flat_map(|words| words.split('|'))
        .collect();
    assert!(words.len() >= 10, "kinds are not found any more: {words:?}");
    let unknown = words.iter().filter(|word| ProblemKind::parse(word).is_none());
    let found: Vec<String> = unknown.map(|word| format!("{ALERTS}: no kind `{word}`")).collect();
    none(&found, "name kinds of crates/engine/src/model/problem.rs");
}

#[test]
fn every_alert_has_a_test_and_a_heading_with_a_command() {
    let (rules, tests, runbook) =
        (read(ALERTS), read("deploy/prometheus/alerts_test.yaml"), read("docs/operations.md"));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let mut found = Vec::new();
    for alert in alerts {
        // Silent where all is well, and loud where it is not.
        let name = format!("alertname: {alert}");
        let tried =
            |how: &str| tests.split(&name).skip(1).any(|rest| rest.trim_start().starts_with(how));
        let (loud, silent) = (tried("exp_alerts:"), tried("}"));
        if !(loud && silent) {
            found.push(format!("alerts_test.yaml: {alert} is not tried both ways"));
        }
        let part = runbook.split(&format!("### {alert}\n")).nth(1).unwrap_or_default();
        let command = part.trim_start().strip_prefix("```\n").unwrap_or_default();
        if !["tidegate ", "systemctl ", "journalctl "].iter().any(|c| command.starts_with(c)) {
            found.push(format!("docs/operations.md: {alert} does not begin with a command"));
        }
    }
    none(&found, "each alert has a test that it comes, one that it does not, and a heading");
}

#[test]
fn the_dashboard_is_a_document_with_a_data_source_of_ones_own() {
    let text = read("deploy/grafana/dashboard.json");
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels with one id");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${source}", "{}", panel["title"]);
        let asked = panel["targets"].as_array().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|one| one["expr"].is_string()), "{panel}");
        let at = &panel["gridPos"];
        assert!(at["x"].as_u64().unwrap() + at["w"].as_u64().unwrap() <= 24, "{panel}");
    }
}
