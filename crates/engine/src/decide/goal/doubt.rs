//! A queue that falls faster than servers can have emptied it: purged, or wrongly counted. Launches
//! cost money and terminations cost work, so only a second reading makes servers go for it.

use super::Ask;
use super::size::Terms;
use crate::model::capacity::count;
use crate::model::reading::{Depth, Reading};
use crate::model::roster::Phase;
use crate::model::time;

/// Jobs have been seen to run twice as fast as is usual, and to start twice between two readings.
const SLACK: f64 = 4.0;

/// Of the jobs that are gone, the share that must be told as started for the fall to be believed.
const TOLD: f64 = 0.5;

/// How many jobs waited at the reading before, if what this one says is hard to believe.
pub(super) fn doubted(ask: &Ask<'_>, terms: &Terms) -> Option<u64> {
    let mut earlier = ask.view.memory.readings.iter().rev().filter(|r| r.at < ask.reading.at);
    let (since, before) = earlier.find_map(known)?;
    let fell = f64::from(u32::try_from(before.waiting.saturating_sub(ask.depth.waiting)).ok()?);
    let elapsed = time::since(ask.reading.at, since).as_secs_f64();
    let serving = ask
        .view
        .servers
        .iter()
        .filter(|server| matches!(server.phase, Phase::InService | Phase::Draining));
    let places = f64::from(count(serving)) * terms.places;
    let possible = places * (1.0 + elapsed / terms.job.max(1.0)) * SLACK;
    let told = started(before, ask.depth).is_some_and(|jobs| jobs >= fell * TOLD);
    (fell > possible && !told).then_some(before.waiting)
}

fn known(reading: &Reading) -> Option<(time::Timestamp, &Depth)> {
    Some((reading.at, reading.depth.as_ref().ok()?))
}

/// Jobs that started between two readings, where the queue tells: those that ended or run now.
fn started(before: &Depth, now: &Depth) -> Option<f64> {
    let ended = now.work.completed?.checked_sub(before.work.completed?)?;
    let more = now.work.running?.saturating_sub(before.work.running?);
    u32::try_from(ended.saturating_add(more)).ok().map(f64::from)
}
