//! `tidegate plan`: the first half of a tick, and a printer. Changes nothing anywhere.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::check::{self, Finding};
use super::journal::Journal;
use super::out::{counted, say};
use super::status::text;
use super::{FINDING, Failure, runtime, world};
use crate::admin::view::PlanView;
use crate::aws::{self, Asked, Aws};
use crate::record;
use crate::settings::Settings;
use crate::store::memory::MemoryStore;
use crate::tick::survey;
use tidegate_engine::model::fleet::Pool;
use tidegate_engine::model::launch::Token;
use tidegate_engine::model::ledger::Ledger;
use tidegate_engine::model::sight::Blind;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::plan::frozen_request;
use tidegate_engine::policy::{Mode, Policy};

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Exit with 3 when there is something to do
    #[arg(long)]
    exit_code: bool,
}

pub(crate) fn run(args: &PlanArgs, settings: &Settings, json: bool) -> Result<(), Failure> {
    let policy = check::usable(&settings.config, settings)?;
    let now = check::now();
    let journal = Journal::of(settings)?;
    let survey = runtime()?.block_on(async {
        let known = if let Some(history) = journal.history_if_any() {
            journal.answer(history.ledger(now).await)?
        } else {
            let shown = journal.shown();
            eprintln!("no journal at {shown}: planned as by a daemon that starts now");
            Ledger::default()
        };
        // The journal is looked at, and the plan made on a copy of it.
        let store = Arc::new(MemoryStore::holding(known));
        let ports = world::world(settings, &policy, store.clone(), None, true).await?.ports;
        let mut journal = record::Journal::open(store, now).await.map_err(anyhow::Error::new)?;
        survey(&ports, &policy, &mut journal)
            .await
            .map_err(anyhow::Error::new)
            .map_err(Failure::from)
    })?;
    let view = PlanView::of(&policy, &survey);
    if json {
        say!("{}", serde_json::to_string(&view).context("failed to write")?)?;
    } else {
        print(&view, &policy, survey.roster.blind.as_ref())?;
    }
    if survey.roster.blind.is_some() {
        return Err(Failure::Told(super::FAILED));
    }
    let something = !survey.plan.steps.is_empty();
    if something && args.exit_code { Err(Failure::Told(FINDING)) } else { Ok(()) }
}

fn print(view: &PlanView, policy: &Policy, blind: Option<&Blind>) -> Result<(), Failure> {
    if let Some(blind) = blind {
        say!("nothing can be planned: {blind}")?;
    }
    if matches!(blind, Some(Blind::Unlisted(_))) {
        // Nothing is known of any fleet, and figures would be made of that.
        return Ok(());
    }
    for fleet in &view.fleets {
        for line in text::fleet(fleet, &policy.zone) {
            say!("{line}")?;
        }
        for step in view.steps.iter().filter(|step| step.fleet == fleet.name) {
            let told = if step.mode.is(Mode::Observe) { " (observe mode: only told)" } else { "" };
            say!("  would    {}{told}", step.text)?;
        }
        for left in view.left_out.iter().filter(|left| left.fleet == fleet.name) {
            say!("  not now  {}", left.text)?;
        }
        say!("")?;
    }
    say!("{}. This command changed nothing.", counted(view.steps.len(), "step"))
}

/// What `tidegate check` asks AWS.
pub(super) async fn preflight(policy: &Policy) -> Result<Vec<Finding>, Failure> {
    let aws = Aws::connect(policy.region.as_deref(), None).await;
    let now = check::now();
    let asked: Vec<Asked> =
        policy.fleets.values().map(|fleet| question(policy, fleet, now)).collect();
    let found = aws::preflight(&aws, &asked).await;
    Ok(found
        .into_iter()
        .map(|finding| Finding {
            verdict: match finding.verdict {
                aws::Verdict::Good => "ok",
                aws::Verdict::Problem => "problem",
                aws::Verdict::Unknown => "unknown",
            },
            text: finding.text,
        })
        .collect())
}

/// One request for every pool, none of which is ever sent but as a dry run.
fn question(
    policy: &Policy,
    fleet: &tidegate_engine::policy::FleetPolicy,
    now: Timestamp,
) -> Asked {
    let or_none = |list: &[String]| -> Vec<Option<Arc<str>>> {
        let named = list.iter().map(|name| Some(name.as_str().into()));
        if list.is_empty() { vec![None] } else { named.collect() }
    };
    let mut requests = Vec::new();
    for instance_type in or_none(&fleet.launch.types) {
        for subnet in or_none(&fleet.launch.subnets) {
            let pool = Pool { instance_type: instance_type.clone(), subnet };
            let token = Token::derive(&policy.install, &fleet.name, now, requests.len(), &pool);
            requests.push(frozen_request(policy, fleet, pool, token));
        }
    }
    Asked {
        fleet: fleet.name.clone(),
        requests,
        balancer: fleet.balancer.as_ref().map(|entry| entry.balancer.clone()),
        launch_line: fleet.lines.of_key("launch"),
        balancer_line: fleet.lines.of_key("load_balancer"),
    }
}
