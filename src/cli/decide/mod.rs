//! `tidegate decide`: the engine as a filter, one observation a line in, one decision a line out.

mod line;

use std::collections::BTreeSet;
use std::io::BufRead as _;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Map, Value, json};

use self::line::{Line, Server, State};
use super::out::raw;
use super::{Failure, USAGE, check};
use crate::settings::Settings;
use tidegate_engine::filter::{Answer, Filter, SightedServer, SightedState, Sighting};
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::policy::{FleetPolicy, Policy};

#[derive(Debug, Args)]
#[command(after_help = "\
In, one JSON object a line; only `now`, `queue` and `instances` are needed, and a queue of null was \
not readable:
  {\"now\":\"2026-03-02T08:00:00Z\",\"queue\":37,\"running\":4,\"oldest_wait_s\":120,\"arrived\":9120,
   \"completed\":9079,\"instances\":[{\"id\":\"i-1\",\"launched_at\":\"2026-03-02T07:40:00Z\",
   \"state\":\"booting|in_service|draining\",\"busy\":2}]}
Out, flushed at once:
  {\"format_version\":1,\"desired\":3,\"launch\":1,\"terminate\":[],\"reclaim\":[],\"because\":[…],
   \"next_look\":\"…\"}
A line that cannot be understood is answered by {\"error\":…}, and the stream goes on.")]
pub(crate) struct Decide {
    /// The policy file; instead of --config
    #[arg(long, value_name = "FILE")]
    policy: Option<std::path::PathBuf>,
    /// Which of its fleets
    #[arg(long, value_name = "NAME")]
    fleet: String,
}

pub(crate) fn run(args: &Decide, settings: &Settings) -> Result<(), Failure> {
    let policy = check::usable(args.policy.as_ref().unwrap_or(&settings.config), settings)?;
    let fleet = fleet(&policy, &args.fleet)?.clone();
    let mut filter = Filter::new(fleet);
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.context("failed to read stdin")?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let said = match sighting(&line) {
            Ok(seen) => told(&filter.look(&seen), &policy),
            Err(why) => json!({ "format_version": 1, "error": why }),
        };
        raw(&format!("{said}\n"))?;
    }
    Ok(())
}

fn fleet<'a>(policy: &'a Policy, name: &str) -> Result<&'a FleetPolicy, Failure> {
    let found = FleetName::new(name).and_then(|name| policy.fleets.get(&name));
    found.ok_or_else(|| {
        let known: Vec<&str> = policy.fleets.keys().map(FleetName::as_str).collect();
        let name = printable(name, 64);
        Failure::Error(
            USAGE,
            anyhow!("no fleet `{name}` in the policy; there are {}", known.join(", ")),
        )
    })
}

fn sighting(line: &[u8]) -> Result<Sighting, String> {
    let line = Line::read(line)?;
    let oldest = line.oldest_wait_s.map(std::time::Duration::try_from_secs_f64).transpose();
    let oldest = oldest
        .map_err(|_| "`oldest_wait_s` is no time to have waited: write seconds, 0 or more")?;
    let mut ids = BTreeSet::new();
    if let Some(twice) = line.instances.iter().find(|server| !ids.insert(&server.id)) {
        return Err(format!("the instance `{}` is given twice", printable(&twice.id, 40)));
    }
    // One server without the number, and the others' would mislead.
    let told = line
        .instances
        .iter()
        .all(|server| server.busy.is_some() || matches!(server.state, State::Booting));
    let busy = |server: &Server| (InstanceId::new(&server.id), server.busy.unwrap_or(0));
    let busy = (told && line.instances.iter().any(|server| server.busy.is_some()))
        .then(|| line.instances.iter().map(busy).collect());
    let work =
        Work { running: line.running, arrived: line.arrived, completed: line.completed, busy };
    let reading = match line.queue {
        Some(waiting) => Reading { at: line.now, depth: Ok(Depth { waiting, oldest, work }) },
        None => Reading::unreadable(line.now, "not readable, by the observation"),
    };
    let servers = line.instances.into_iter().map(|server| SightedServer {
        id: InstanceId::new(&server.id),
        launched_at: server.launched_at,
        state: match server.state {
            State::Booting => SightedState::Booting,
            State::InService => SightedState::InService,
            State::Draining => SightedState::Draining,
        },
    });
    Ok(Sighting { now: line.now, reading: Some(reading), servers: servers.collect() })
}

fn told(answer: &Answer, policy: &Policy) -> Value {
    let ids = |ids: &[InstanceId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let because: Vec<Value> = answer
        .decision
        .because
        .iter()
        .map(|reason| {
            let mut told = Map::new();
            told.insert("rule".to_owned(), reason.rule().into());
            told.insert("text".to_owned(), reason.text(&policy.zone).into());
            for (name, number) in reason.numbers() {
                told.insert(name.to_owned(), number.into());
            }
            Value::Object(told)
        })
        .collect();
    json!({
        "format_version": 1,
        "desired": answer.decision.desired,
        "launch": answer.launch,
        "terminate": ids(&answer.terminate),
        "reclaim": ids(&answer.reclaim),
        "because": because,
        "next_look": answer.next_look.to_string(),
    })
}
