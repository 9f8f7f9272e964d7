//! `tidegate explain`: why it did, or why it did not. Now, from the daemon; of any moment before, from
//! the journal.

#[cfg(feature = "aws")]
mod now;
mod then;

use clap::Args;

use super::journal::fleet_named;
use super::{Failure, USAGE, runtime};
use crate::settings::Settings;
use tidegate_engine::model::history::of_id;

#[derive(Debug, Args)]
#[command(after_help = "\
Without --at or --decision the daemon is asked: what was measured, what the rules want of it, what \
stands in the way and until when. With them the journal is read; no daemon is needed.")]
pub(crate) struct Explain {
    /// One fleet only
    fleet: Option<String>,
    /// What stood at a moment: `14:02`, `2026-06-09 14:02` or 2026-06-09T14:02:10Z
    #[arg(long, value_name = "MOMENT", requires = "fleet", conflicts_with = "decision")]
    at: Option<String>,
    /// One decision, by its id from `history --json` or from here
    #[arg(long, value_name = "ID", conflicts_with = "fleet")]
    decision: Option<String>,
}

pub(crate) fn run(args: &Explain, settings: &Settings, json: bool) -> Result<(), Failure> {
    if let Some(id) = &args.decision {
        let wrong = || {
            let id = tidegate_engine::model::fault::printable(id, 80);
            anyhow::anyhow!("`{id}` is no decision's id; one reads job-20260302T080000Z")
        };
        let (fleet, at) = of_id(id).ok_or_else(|| Failure::Error(USAGE, wrong()))?;
        return runtime()?.block_on(then::decision(&fleet, at, settings, json));
    }
    let fleet = args.fleet.as_deref().map(fleet_named).transpose()?;
    match (&args.at, fleet) {
        (Some(moment), Some(fleet)) => {
            runtime()?.block_on(then::at(&fleet, moment, settings, json))
        }
        #[cfg(feature = "aws")]
        (_, fleet) => now::run(fleet.as_ref(), settings, json),
        #[cfg(not(feature = "aws"))]
        (_, _) => {
            let why = "this build has no daemon to ask; --at and --decision read a journal";
            Err(Failure::Error(USAGE, anyhow::anyhow!(why)))
        }
    }
}

/// One line of an explanation: what it is about, what is to be said, and the line of the policy file.
fn row(name: &str, text: &str, line: Option<usize>) -> Result<(), Failure> {
    let line = line.map_or_else(String::new, |line| format!("   (line {line})"));
    super::out::say!("  {name:<9} {text}{line}")
}
