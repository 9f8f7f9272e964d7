//! `tidegate status`: the fleets and their servers, as the daemon last saw them.

pub(super) mod text;
mod watch;

use std::io::IsTerminal as _;

use clap::Args;

use super::out::say;
use super::{FINDING, Failure, USAGE, client, runtime};
use crate::admin::view::StatusView;
use crate::settings::Settings;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One fleet only
    fleet: Option<String>,
    /// Exit with 3 while there is a problem
    #[arg(long)]
    check: bool,
    /// Stay, and show it as it changes, until Ctrl-C; with --json, a line for each tick
    #[arg(long, conflicts_with = "check")]
    watch: bool,
}

pub(crate) fn run(status: &Status, settings: &Settings, json: bool) -> Result<(), Failure> {
    if status.watch && !json && (settings.dumb || !std::io::stdout().is_terminal()) {
        let why = "`--watch` draws on a terminal, and this is none; \
                   `tidegate status --watch --json` writes a line for each tick";
        return Err(Failure::Error(USAGE, anyhow::anyhow!(why)));
    }
    if status.watch {
        return runtime()?.block_on(watch::run(status.fleet.as_deref(), settings, json));
    }
    let view = runtime()?.block_on(ask(status.fleet.as_deref(), settings))?;
    if json {
        say!("{}", serde_json::to_string(&view).map_err(anyhow::Error::new)?)?;
    } else {
        print(&view)?;
    }
    if status.check && !view.problems.is_empty() { Err(Failure::Told(FINDING)) } else { Ok(()) }
}

/// What the daemon saw, of one fleet or of all.
async fn ask(fleet: Option<&str>, settings: &Settings) -> Result<StatusView, Failure> {
    let body = client::get(&settings.socket, "/status").await?;
    let mut view: StatusView = serde_json::from_str(&body).map_err(anyhow::Error::new)?;
    if let Some(name) = fleet {
        view.fleets.retain(|fleet| fleet.name.as_str() == name);
        view.problems
            .retain(|problem| problem.fleet.as_ref().is_none_or(|fleet| fleet.as_str() == name));
        if view.fleets.is_empty() {
            return Err(
                anyhow::anyhow!("the daemon knows no fleet `{}`", printable(name, 64)).into()
            );
        }
    }
    Ok(view)
}

fn print(view: &StatusView) -> Result<(), Failure> {
    let zone = view.zone();
    say!(
        "tidegate {}   policy {}   last tick {}",
        view.version,
        view.policy,
        time::local(view.last_tick, &zone)
    )?;
    for fleet in &view.fleets {
        say!("")?;
        for line in text::fleet(fleet, &zone) {
            say!("{line}")?;
        }
    }
    if !view.problems.is_empty() {
        say!("")?;
    }
    for problem in &view.problems {
        say!("{}", text::problem(problem, &zone))?;
    }
    Ok(())
}
