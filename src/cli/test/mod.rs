//! `tidegate test`: unit tests of a policy, before it goes live.

mod file;
mod junit;
mod play;
mod series;
mod slip;

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

use self::play::{Miss, play};
use super::out::{counted, say};
use super::{FAILED, Failure, USAGE, check, runtime};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
A file of tests, in YAML:

    policy: policies.yaml            # beside this file
    boot: 3m                         # from launch to in service; 3m unless said
    tests:
      - name: the office finds three app servers
        at: { 2026-06-08 08:01: { app: 3 }, 2026-06-08 21:01: { app: 2 } }
      - name: a burst adds one at each reading, up to max
        fleet: job
        start: 2026-06-08 08:00      # of the policy's zone; a Monday's midnight unless said
        servers: 0                   # in service at the start; `min` unless said
        age: 2h                      # launched so long before the start; 2h unless said
        every: 5m                    # between two samples; as often as the queue is read unless said
        waiting: 25x6 0x60           # promtool's notation: a sample and six more like it; _ is unreadable
        expect: { 0m: 1, 10m: 2, 30m: { desired: 2, in_service: 2 } }

A number is the desired capacity. A queue answers its length alone, whatever `read` names. Exit code 1 when a test fails.")]
pub(crate) struct Test {
    /// Files of tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A test that was run.
struct Ran {
    name: String,
    misses: Vec<Miss>,
}

pub(crate) fn run(args: &Test, settings: &Settings, json: bool) -> Result<(), Failure> {
    let runtime = runtime()?;
    let mut all = Vec::new();
    for path in &args.files {
        let read = file::read(path).map_err(|error| Failure::Error(USAGE, error))?;
        let beside = |policy: &PathBuf| path.parent().map(|folder| folder.join(policy));
        let named = read.policy.as_ref().and_then(beside);
        let policy = check::usable(named.as_ref().unwrap_or(&settings.config), settings)?;
        let suite = read
            .suite(&policy)
            .with_context(|| path.display().to_string())
            .map_err(|error| Failure::Error(USAGE, error))?;
        for test in &suite.tests {
            if args.run.as_ref().is_some_and(|wanted| !test.name.contains(wanted.as_str())) {
                continue;
            }
            let misses = runtime
                .block_on(play(test, &policy, suite.boot))
                .map_err(|fault| Failure::Error(FAILED, anyhow::Error::new(fault)))?;
            let ran = Ran { name: test.name.clone(), misses };
            tell(&ran, json)?;
            all.push(ran);
        }
    }
    if let Some(path) = &args.junit {
        let names: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
        std::fs::write(path, junit::document(&names.join(" "), &all))
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    finish(&all, args, json)
}

fn tell(ran: &Ran, json: bool) -> Result<(), Failure> {
    if json {
        let misses: Vec<_> = ran
            .misses
            .iter()
            .map(|miss| json!({ "place": miss.place, "text": miss.text }))
            .collect();
        let passed = misses.is_empty();
        let name = &ran.name;
        return say!(
            "{}",
            json!({ "format_version": 1, "test": name, "passed": passed, "misses": misses })
        );
    }
    if ran.misses.is_empty() {
        return say!("ok      {}", ran.name);
    }
    say!("FAILED  {}", ran.name)?;
    for miss in &ran.misses {
        say!("        {}: {}", miss.place, miss.text)?;
    }
    Ok(())
}

fn finish(all: &[Ran], args: &Test, json: bool) -> Result<(), Failure> {
    if all.is_empty() {
        let wanted = args.run.as_deref().unwrap_or_default();
        let why = anyhow!("no test has a name that contains {wanted:?}");
        return Err(Failure::Error(USAGE, why));
    }
    let failed = all.iter().filter(|ran| !ran.misses.is_empty()).count();
    if !json {
        say!("{}, {failed} failed", counted(all.len(), "test"))?;
    }
    if failed > 0 { Err(Failure::Told(FAILED)) } else { Ok(()) }
}
