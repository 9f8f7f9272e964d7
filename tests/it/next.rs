//! `tidegate next`: what the schedule will do, by the built binary.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::hang::output;

const POLICY: &str = r#"
version: 1
timezone: America/Winnipeg
defaults: { launch: { template: web } }
fleets:
  app:
    min: 2
    max: 3
    schedule:
      - { cron: "0 8 * * mon-fri", capacity: 3 }
      - { cron: "0 21 * * mon-fri", capacity: 2 }
  still: { min: 1, max: 1 }
"#;

fn ask(args: &[&str]) -> (Option<i32>, String, String) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = dir.join("next.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let output = output(
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["next", "--config"])
            .arg(&file)
            .args(args),
    );
    let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    (output.status.code(), out, err)
}

#[test]
fn a_year_ahead_has_every_edge_at_its_hour_and_both_changes_of_the_clocks() {
    let (code, out, err) = ask(&["--days", "366", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let zone = TimeZone::get("America/Winnipeg").unwrap();
    let (mut edges, mut clocks) = (0, Vec::new());
    for line in out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let at: Timestamp = line["at"].as_str().unwrap().parse().unwrap();
        if line["kind"] == "clocks" {
            clocks.push(line["by_seconds"].as_i64().unwrap());
            continue;
        }
        let local = at.to_zoned(zone.clone());
        let expected = if line["to"] == 3 { (8, 0) } else { (21, 0) };
        assert_eq!((local.hour(), local.minute()), expected, "{line}");
        assert!((1..=5).contains(&local.weekday().to_monday_one_offset()), "{line}");
        assert_ne!(line["from"], line["to"]);
        edges += 1;
    }
    clocks.sort_unstable();
    assert_eq!(clocks, [-3600, 3600]);
    // 366 days have 261 or 262 weekdays, with two edges each.
    assert!((520..=526).contains(&edges), "{edges}");
}

#[test]
fn a_fleet_without_a_schedule_is_named_and_has_nothing_ahead() {
    let (code, out, _) = ask(&["still"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("still") && out.contains("now 1: min"), "{out}");
    assert!(out.contains("Nothing changes by the clock"), "{out}");
    let (code, _, err) = ask(&["none"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the policy has no fleet `none`"), "{err}");
}
