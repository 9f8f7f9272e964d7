//! `tidegate decide`: one observation a line in, one decision a line out.

mod line;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io::BufRead as _;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Map, Value, json};

use self::line::Line;
use self::snapshot::snapshot;
use super::out::raw;
use super::{Failure, USAGE, check};
use crate::settings::Settings;
use tidegate_engine::evaluate::{Answer, Evaluator};
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::policy::{FleetPolicy, Policy};

#[derive(Debug, Args)]
#[command(after_help = "\
In, one JSON object a line; only `now`, `queue` and `instances` are needed, and a queue of null was \
not readable:
  {\"now\":\"2026-03-02T08:00:00Z\",\"queue\":37,\"running\":4,\"oldest_wait_s\":120,\"arrived\":9120,
   \"completed\":9079,\"instances\":[{\"id\":\"i-1\",\"launched_at\":\"2026-03-02T07:40:00Z\",
   \"state\":\"booting|in_service|unhealthy|draining\",\"busy\":2}]}
An instance may also have:
  \"drain\":{\"since\":\"…\",\"deadline\":\"…\",\"progress\":\"signalled|received|finished\"} while it drains;
  \"unhealthy_since\":\"…\"; \"kept\":true, which protects it as the tag tidegate:keep does;
  \"listed\":false where EC2's list lacks it; \"type\", \"subnet\" and \"zone\"
The object may also have:
  \"hold\":{\"capacity\":3,\"until\":\"…\"} or \"pause\":{\"until\":\"…\"}, with \"owner\" and \"reason\";
  \"inventory\":\"complete|degraded|unusable\": how far EC2's list of instances can be relied on;
  \"failed_launches\":[{\"at\":\"…\",\"failure\":\"never_healthy|refused|no_capacity\",\"type\":\"…\",
   \"subnet\":\"…\"}], which open the launch breaker
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
    let fleet = fleet(&policy, &args.fleet)?;
    let mut evaluator = Evaluator::of_readings(policy.of_fleet(&fleet.name));
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.context("failed to read stdin")?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let snapshot = Line::read(&line).and_then(|line| snapshot(line, &policy, fleet));
        let answers = snapshot.map(|snapshot| evaluator.evaluate(snapshot));
        let said = match answers.as_ref().map(|answers| answers.get(&fleet.name)) {
            Ok(Some(answer)) => told(answer, &policy),
            Ok(None) => continue,
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
        "reclaim": ids(&answer.cancel_drains),
        "because": because,
        "next_look": answer.next_look.to_string(),
    })
}
