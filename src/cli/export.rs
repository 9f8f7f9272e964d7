//! `tidegate export`: the recorded load of a fleet as CSV, for `backtest --trace`.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::journal::{Journal, fleet_named};
use super::out::say;
use super::{FAILED, Failure, check, runtime};
use crate::settings::Settings;
use crate::sim::recorded::{Bin, bins_of};
use tidegate_engine::model::reading::Reading;
use tidegate_engine::model::time;

#[derive(Debug, Args)]
#[command(after_help = "\
Where the queue told running totals: time,arrivals,mean_runtime_s for each interval between two \
readings. Where it told its length alone: time,waiting. Readings are kept for 13 months.")]
pub(crate) struct Export {
    /// Whose queue
    #[arg(long, value_name = "NAME")]
    fleet: String,
    /// How far back
    #[arg(long, value_name = "SPAN", value_parser = super::span, default_value = "7d")]
    since: Duration,
}

pub(crate) fn run(args: &Export, settings: &Settings) -> Result<(), Failure> {
    let fleet = fleet_named(&args.fleet)?;
    let now = check::now();
    let span = (time::before(now, args.since), now);
    let journal = Journal::of(settings)?;
    let readings = runtime()?.block_on(journal.history()?.readings(&fleet, span));
    let readings = journal.answer(readings)?;
    if readings.is_empty() {
        let span = time::text(args.since);
        let why =
            anyhow!("no queue of fleet {fleet} was read within {span}; --since looks further back");
        return Err(Failure::Error(FAILED, why));
    }
    match bins_of(&readings) {
        Some(bins) => print_bins(&bins),
        None => print_lengths(&readings),
    }
}

/// An interval in which no job ended has the mean of the one before.
fn print_bins(bins: &[Bin]) -> Result<(), Failure> {
    let mut runtime = bins.iter().find_map(|bin| bin.runtime);
    if runtime.is_none() {
        say!("time,arrivals")?;
    } else {
        say!("time,arrivals,mean_runtime_s")?;
    }
    for bin in bins {
        runtime = bin.runtime.or(runtime);
        match runtime {
            Some(seconds) => say!("{},{},{seconds:.1}", bin.begins, bin.arrivals)?,
            None => say!("{},{}", bin.begins, bin.arrivals)?,
        }
    }
    Ok(())
}

/// What could not be read is left out: the length before it stands until the next.
fn print_lengths(readings: &[Reading]) -> Result<(), Failure> {
    say!("time,waiting")?;
    for reading in readings {
        if let Ok(depth) = &reading.depth {
            say!("{},{}", reading.at, depth.waiting)?;
        }
    }
    Ok(())
}
