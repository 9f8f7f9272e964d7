//! The shape of a file of tests, and how it becomes a [`Suite`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use super::{series::samples, slip};
use crate::cli::moment;
use crate::custody::{self, Accept};
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{Policy, units};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Beside this file; else the one of --config.
    pub policy: Option<PathBuf>,
    /// From launch to in service.
    boot: Option<String>,
    tests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    at: Option<BTreeMap<String, BTreeMap<String, Capacity>>>,
    fleet: Option<String>,
    start: Option<String>,
    servers: Option<Capacity>,
    age: Option<String>,
    every: Option<String>,
    waiting: Option<String>,
    expect: Option<BTreeMap<String, Expected>>,
}

/// What is expected of a fleet at a moment; a number alone is the desired capacity.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Expected {
    Desired(Capacity),
    Fully(Servers),
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Servers {
    pub desired: Option<Capacity>,
    pub alive: Option<Capacity>,
    pub in_service: Option<Capacity>,
}

impl Expected {
    pub(super) fn servers(self) -> Servers {
        match self {
            Self::Desired(desired) => {
                Servers { desired: Some(desired), alive: None, in_service: None }
            }
            Self::Fully(servers) => servers,
        }
    }
}

/// Tests that can be run.
pub(super) struct Suite {
    pub boot: Duration,
    pub tests: Vec<Test>,
}

pub(super) struct Test {
    pub name: String,
    pub what: What,
}

pub(super) enum What {
    /// What the calendar says at an instant.
    Calendar(Vec<(Timestamp, FleetName, Capacity)>),
    /// What a fleet does as its queue goes.
    Queue(Script),
}

pub(super) struct Script {
    pub fleet: FleetName,
    pub start: Timestamp,
    /// In service at the start.
    pub servers: Capacity,
    /// How long before the start those were launched.
    pub age: Duration,
    pub every: Duration,
    pub waiting: Vec<Option<u64>>,
    /// By the time since the start.
    pub expect: Vec<(Duration, Servers)>,
}

/// A Monday without anything about it.
const USUAL_START: &str = "2026-01-05 00:00";
/// Old enough for any usual `minimum_uptime`.
const USUAL_AGE: Duration = Duration::from_hours(2);
/// What the demo's servers take.
const USUAL_BOOT: Duration = Duration::from_mins(3);
/// Ticks from the end of a boot to a server that is in service.
const TICKS_TO_SERVICE: u32 = 4;
/// A script that is longer is a backtest.
const LONGEST: Duration = Duration::from_hours(24 * 31);

/// As for a policy file.
const FILE_AT_MOST: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    let text = custody::read_named_text(path, FILE_AT_MOST, Accept::RegularFilesAndPipes)
        .with_context(|| format!("failed to read {shown}"))?;
    serde_yaml::from_str(&text).map_err(|error| anyhow!("{shown}:{}", slip::text(&error, &text)))
}

impl File {
    pub(super) fn suite(self, policy: &Policy) -> anyhow::Result<Suite> {
        let boot = self.boot.as_deref().map(span).transpose().context("boot")?;
        let boot = boot.unwrap_or(USUAL_BOOT);
        let tests = self.tests.into_iter().map(|entry| {
            let name = entry.name.clone();
            entry.test(policy, boot).with_context(|| format!("test {name:?}"))
        });
        let tests: Vec<Test> = tests.collect::<anyhow::Result<_>>()?;
        if tests.is_empty() {
            return Err(anyhow!("there are no tests in it"));
        }
        Ok(Suite { boot, tests })
    }
}

impl Entry {
    fn test(mut self, policy: &Policy, boot: Duration) -> anyhow::Result<Test> {
        let name = std::mem::take(&mut self.name);
        let what = match (self.at.take(), self.fleet.take()) {
            (Some(_), Some(_)) => {
                return Err(anyhow!("`at` asks the calendar, `fleet` a queue: two tests"));
            }
            (None, None) => {
                return Err(anyhow!(
                    "it asks nothing: give `at: {{ 2026-06-08 07:31: {{ app: 6 }} }}`, or `fleet`, \
                     `waiting` and `expect`"
                ));
            }
            (Some(at), None) => {
                let Self { start, servers, age, every, waiting, expect, .. } = self;
                let texts = [start, age, every, waiting].iter().any(Option::is_some);
                if texts || servers.is_some() || expect.is_some() {
                    return Err(anyhow!("with `at` only the calendar is asked: nothing else fits"));
                }
                What::Calendar(calendar(at, policy)?)
            }
            (None, Some(fleet)) => self.script(known(&fleet, policy)?, policy, boot)?,
        };
        Ok(Test { name, what })
    }

    fn script(self, fleet: FleetName, policy: &Policy, boot: Duration) -> anyhow::Result<What> {
        let Self { start, servers, age, every, waiting, expect, .. } = self;
        let waiting = waiting.ok_or_else(|| anyhow!("`waiting` is missing: `0x2 900x10`"))?;
        let expect = expect.ok_or_else(|| anyhow!("`expect` is missing: `{{ 5m: 3 }}`"))?;
        let own = &policy.fleets[&fleet];
        let queue = own.queue.as_ref().map(|queue| queue.every);
        let queue = queue.ok_or_else(|| anyhow!("fleet {fleet} has no queue"))?;
        let every = every.as_deref().map(span).transpose().context("every")?;
        // Servers are in service some ticks after their boot.
        let youngest = boot + policy.tick * TICKS_TO_SERVICE;
        let age = age.as_deref().map(span).transpose().context("age")?;
        if let Some(age) = age.filter(|age| *age < youngest) {
            let (age, youngest, boot) = (time::text(age), time::text(youngest), time::text(boot));
            return Err(anyhow!(
                "age: servers of {age} are not in service yet, at a `boot` of {boot}: write {youngest} or more"
            ));
        }
        let start = start.as_deref().unwrap_or(USUAL_START);
        Ok(What::Queue(Script {
            start: instant(start, policy)?,
            servers: servers.unwrap_or_else(|| own.bounds.min()),
            age: age.unwrap_or_else(|| USUAL_AGE.max(youngest)),
            every: every.unwrap_or(queue).max(Duration::from_secs(1)),
            waiting: samples(&waiting).map_err(|why| anyhow!("waiting: {why}"))?,
            expect: expected(expect)?,
            fleet,
        }))
    }
}

fn expected(by_offset: BTreeMap<String, Expected>) -> anyhow::Result<Vec<(Duration, Servers)>> {
    let mut out = Vec::new();
    for (offset, expected) in by_offset {
        let at = span(&offset).context("expect")?;
        if at > LONGEST {
            return Err(anyhow!("expect: {offset} is longer than a month: that is for `backtest`"));
        }
        out.push((at, expected.servers()));
    }
    out.sort_by_key(|(at, _)| *at);
    if out.is_empty() { Err(anyhow!("`expect` expects nothing")) } else { Ok(out) }
}

fn calendar(
    at: BTreeMap<String, BTreeMap<String, Capacity>>,
    policy: &Policy,
) -> anyhow::Result<Vec<(Timestamp, FleetName, Capacity)>> {
    let mut out = Vec::new();
    for (moment, fleets) in at {
        let moment = instant(&moment, policy)?;
        for (fleet, capacity) in fleets {
            out.push((moment, known(&fleet, policy)?, capacity));
        }
    }
    out.sort();
    if out.is_empty() { Err(anyhow!("`at` asks nothing")) } else { Ok(out) }
}

fn known(name: &str, policy: &Policy) -> anyhow::Result<FleetName> {
    let fleet = FleetName::new(name).filter(|fleet| policy.fleets.contains_key(fleet));
    fleet.ok_or_else(|| {
        let names: Vec<&str> = policy.fleets.keys().map(FleetName::as_str).collect();
        anyhow!("there is no fleet {name:?} in the policy; it has {}", names.join(", "))
    })
}

fn span(text: &str) -> anyhow::Result<Duration> {
    units::duration(text).map_err(|error| anyhow!("`{text}` is {error}: {}", error.remedy()))
}

/// A date with a time in the policy's zone, or an instant in full.
fn instant(text: &str, policy: &Policy) -> anyhow::Result<Timestamp> {
    let dated = text.trim().len() >= "2026-06-09".len();
    let at = moment::parse(text, &policy.zone, Timestamp::UNIX_EPOCH).ok();
    at.filter(|_| dated).ok_or_else(|| {
        anyhow!("`{text}` is no moment: write `2026-06-09 14:02`, or 2026-06-09T14:02:10Z")
    })
}
