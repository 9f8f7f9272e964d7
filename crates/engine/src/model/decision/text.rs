//! A reason in words, for people.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::Reason;
use crate::model::capacity::Capacity;
use crate::model::fleet::FleetName;
use crate::model::reading::jobs;
use crate::model::roster::Block;
use crate::model::time::{self, Timestamp};

impl Reason {
    /// The reason in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        let local = |at: &Timestamp| time::local(*at, zone);
        match self {
            Self::Hold { capacity, owner, reason, until } => {
                format!("held at {capacity} by {owner} until {}: {reason}", local(until))
            }
            Self::Paused { owner, reason, until } => {
                format!("paused by {owner} until {}: {reason}", local(until))
            }
            Self::Schedule { capacity, cron, line, early_by } => {
                format!("schedule \"{cron}\" asks for {capacity} (line {line}){}", early(*early_by))
            }
            Self::Floor { capacity, cron, line } => {
                format!("schedule \"{cron}\" asks for at least {capacity} (line {line})")
            }
            Self::FloorFell { asked, of } => floor_fell(*asked, *of),
            Self::Minimum { min, scheduled } => minimum(*min, *scheduled),
            Self::Extra { add, owner, until } => by_hand(*add, owner, &local(until)),
            Self::QueueAbove { waiting, above, add } => {
                format!("{} waiting, over {above}: add {add}", jobs(*waiting))
            }
            Self::QueueBelow { waiting, below, remove: 0 } => {
                format!("{} waiting, under {below}: nothing to remove", jobs(*waiting))
            }
            Self::QueueBelow { waiting, below, remove } => {
                format!("{} waiting, under {below}: remove {remove}", jobs(*waiting))
            }
            Self::QueueBetween { waiting, below, above } => {
                format!("{} waiting, between {below} and {above}: no change", jobs(*waiting))
            }
            Self::QueueAnswered { waiting, read_at } => {
                format!("{} waiting at {}: answered with a step", jobs(*waiting), local(read_at))
            }
            Self::QueueUnreadable { why, since, at_least } => {
                format!("queue unreadable since {} ({why}): {}", local(since), holds(*at_least))
            }
            Self::QueueUnread => "queue not read yet: no change".to_owned(),
            Self::Stabilising { under_for, after, until } => format!(
                "under the threshold for {} of {}, until {}",
                time::text(*under_for),
                time::text(*after),
                local(until)
            ),
            Self::Goal(goal) => goal.text(),
            Self::Jobs(jobs) => jobs.text(zone),
            Self::LostNotMissed { lost } => {
                format!("{lost} lost meanwhile and not needed: not replaced")
            }
            Self::Bounded { asked, min, max } => format!(
                "{asked} asked for, min {min} and max {max} allow {}",
                (*asked).clamp(*min, *max)
            ),
            Self::AwaitsApproval { fleet, from, to } => format!(
                "the edited policy asks for {to} instead of {from}, less than half: nothing goes until `tidegate approve {fleet}`"
            ),
            Self::AwaitsRename { fleet, old, servers } => renamed(fleet, old, *servers),
            Self::Kept { surplus, free, first } => {
                let blocked = blocked(first.as_ref(), zone);
                format!("{surplus} more than wanted, {free} may go now{blocked}")
            }
            Self::AwaitsService { serving, stay } => format!(
                "{serving} in service, and {stay} are to be: none of them goes before another serves"
            ),
            Self::LaunchesFail { why, until } => format!(
                "launches fail, so what goes could not be had back: none goes before {} ({why})",
                time::local(*until, zone)
            ),
            Self::TerminationsLimited(limit) => format!("limits.terminate: {}", limit.text(zone)),
            Self::InDoubt { why } => format!("{why}: nobody is ended"),
            Self::Frozen { why } => format!("nothing is changed: {why}"),
        }
    }
}

fn floor_fell(asked: Capacity, of: Capacity) -> String {
    format!("the schedule's floor fell, and the queue asked for {asked} of {of}")
}

fn by_hand(add: Capacity, owner: &str, until: &str) -> String {
    format!("{add} more, launched by {owner} until {until}")
}

fn minimum(min: Capacity, scheduled: bool) -> String {
    let what = if scheduled { "line holds now" } else { "line and no queue" };
    format!("no schedule {what}: min is {min}")
}

fn early(by: Option<Duration>) -> String {
    by.map(|by| format!(", {} early to be ready", time::text(by))).unwrap_or_default()
}

/// What stands while a queue cannot be read.
fn holds(at_least: Option<Capacity>) -> String {
    match at_least {
        Some(n) => format!("at least {n}, and no scale-in"),
        None => "no change".to_owned(),
    }
}

fn renamed(fleet: &FleetName, old: &FleetName, servers: Capacity) -> String {
    format!(
        "new in the policy, and {servers} servers of {old}, which is not in it any more, look like its own: none is launched in their place until they are handed over (`tidegate adopt {fleet} INSTANCE…`) or `tidegate approve {fleet}` says that it is another fleet"
    )
}

/// Who is the first that may go later, and what keeps it.
fn blocked(first: Option<&(String, Block)>, zone: &TimeZone) -> String {
    let told = |(server, block): &(String, Block)| format!(" ({server}: {})", block.text(zone));
    first.map(told).unwrap_or_default()
}
