//! Decisions: how many servers, which of them, and why. Doing nothing is a decision too and has reasons like any other.

mod goal;
mod jobs;
mod numbers;
mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::capacity::Capacity;
use crate::model::fleet::FleetName;
use crate::model::launch::Token;
use crate::model::rate::Exhausted;
use crate::model::roster::Block;
use crate::model::time::Timestamp;

pub use self::goal::{GoalReason, Learned};
pub use self::jobs::JobsReason;

/// The rule by which `limits.terminate` holds a scale-in back.
pub(crate) const TERMINATIONS_LIMITED: &str = "terminations_limited";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub fleet: FleetName,
    /// Servers in service or on their way to be, now.
    pub capacity: Capacity,
    /// What the rules ask for, within min and max.
    pub wanted: Capacity,
    /// What is aimed at now: `wanted`, less what scale-in may not take yet.
    pub desired: Capacity,
    /// `desired` without what a person added on top: where the rules go on from.
    pub target: Capacity,
    /// See [`FleetMemory::asked`](crate::model::ledger::FleetMemory::asked).
    pub asked: Option<Capacity>,
    /// Servers to retire, in the order in which they go.
    pub retire: Vec<Token>,
    /// Draining servers to put back into service.
    pub cancel_drains: Vec<Token>,
    /// The number of servers to launch.
    pub launch: Capacity,
    /// Scale-in leaves so many in service, however many more are on their way to be.
    pub serving: Capacity,
    /// In the order the rules were applied; never empty.
    pub because: Vec<Reason>,
    /// The reading that this decision answers with a step, if it does.
    pub steps_on: Option<Timestamp>,
    /// The earliest instant, besides ticks and polls, at which the answer may differ.
    pub next_look: Option<Timestamp>,
}

impl Decision {
    /// What is worth telling: the rules that hold something up or override something, without the
    /// numbers that pass by themselves. While neither this nor the desired capacity changes, there
    /// is no news.
    pub fn marks(&self) -> BTreeSet<String> {
        self.because.iter().filter_map(Reason::mark).collect()
    }

    /// The reasons as one line, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        let parts: Vec<String> = self.because.iter().map(|reason| reason.text(zone)).collect();
        parts.join("; ")
    }
}

/// One reason, with its numbers. Every way a decision can come about is here, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Hold {
        capacity: Capacity,
        owner: String,
        reason: String,
        until: Timestamp,
    },
    Paused {
        owner: String,
        reason: String,
        until: Timestamp,
    },
    /// A schedule line stands; `early_by`: it was put forward so that its capacity is ready.
    Schedule {
        capacity: Capacity,
        cron: String,
        line: usize,
        early_by: Option<Duration>,
    },
    /// The schedule's capacity is the floor of a queue's.
    Floor {
        capacity: Capacity,
        cron: String,
        line: usize,
    },
    /// The floor was what held some of the capacity, and it has fallen: so many of `of` the queue's own
    /// steps asked for.
    FloorFell {
        asked: Capacity,
        of: Capacity,
    },
    /// No schedule line holds, and there is no queue. `scheduled`: the fleet has lines.
    Minimum {
        min: Capacity,
        scheduled: bool,
    },
    /// Servers added by hand.
    Extra {
        add: Capacity,
        owner: String,
        until: Timestamp,
    },
    QueueAbove {
        waiting: u64,
        above: u64,
        add: Capacity,
    },
    QueueBelow {
        waiting: u64,
        below: u64,
        remove: Capacity,
    },
    QueueBetween {
        waiting: u64,
        below: u64,
        above: u64,
    },
    /// This reading has had its step.
    QueueAnswered {
        waiting: u64,
        read_at: Timestamp,
    },
    QueueUnreadable {
        why: String,
        since: Timestamp,
        at_least: Option<Capacity>,
    },
    QueueUnread,
    /// Under the threshold, but not yet for long enough.
    Stabilising {
        under_for: Duration,
        after: Duration,
        until: Timestamp,
    },
    /// What a waiting-time goal comes to.
    Goal(GoalReason),
    /// Jobs on the servers hold scale-in up.
    Jobs(JobsReason),
    /// Servers were lost and the queue does not ask for them back.
    LostNotMissed {
        lost: Capacity,
    },
    /// `min` and `max` changed the number.
    Bounded {
        asked: Capacity,
        min: Capacity,
        max: Capacity,
    },
    /// The edited policy would end more than half of the fleet: a person is asked first.
    AwaitsApproval {
        fleet: FleetName,
        from: Capacity,
        to: Capacity,
    },
    /// The fleet is new, and rather an old one renamed, whose servers run: a person is asked before it
    /// gets servers beside those.
    AwaitsRename {
        fleet: FleetName,
        old: FleetName,
        servers: Capacity,
    },
    /// Fewer are wanted, and some may not go yet.
    Kept {
        surplus: Capacity,
        free: Capacity,
        first: Option<(String, Block)>,
    },
    /// Fewer are wanted, and those in service have to stay until others are.
    AwaitsService {
        serving: Capacity,
        stay: Capacity,
    },
    /// Fewer are wanted, and launches fail: one that goes could not be had back.
    LaunchesFail {
        why: String,
        until: Timestamp,
    },
    /// Fewer are wanted, and `limits.terminate` lets only some go now.
    TerminationsLimited(Exhausted),
    /// Fewer are wanted, and the picture of EC2 is not good enough to end anybody by.
    InDoubt {
        why: String,
    },
    /// Nothing may be changed.
    Frozen {
        why: String,
    },
}

impl Decision {
    /// Nothing may be begun: nobody knows what is true, or what is wanted.
    pub fn is_frozen(&self) -> bool {
        self.because.iter().any(|reason| matches!(reason, Reason::Frozen { .. }))
    }
}

impl Decision {
    /// Returns whether the last reading has had its answer already. Until the next reading the rules of
    /// the queue decide nothing, so what held the last answer back still holds.
    pub fn is_between_readings(&self) -> bool {
        self.because.iter().any(|reason| matches!(reason, Reason::QueueAnswered { .. }))
    }
}

impl Reason {
    /// What an edited policy means waits for `tidegate approve`.
    pub fn awaits_approval(&self) -> bool {
        matches!(self, Self::AwaitsApproval { .. } | Self::AwaitsRename { .. })
    }

    /// The rule's name, the same in logs, JSON and documents.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Paused { .. } => "paused",
            Self::Schedule { .. } => "schedule",
            Self::Floor { .. } => "schedule_floor",
            Self::FloorFell { .. } => "floor_fell",
            Self::Minimum { .. } => "minimum",
            Self::Extra { .. } => "launched_by_hand",
            Self::QueueAbove { .. } => "queue_above",
            Self::QueueBelow { .. } => "queue_below",
            Self::QueueBetween { .. } => "queue_between",
            Self::QueueAnswered { .. } => "queue_answered",
            Self::QueueUnreadable { .. } => "queue_unreadable",
            Self::QueueUnread => "queue_unread",
            Self::Stabilising { .. } => "stabilising",
            Self::Goal(goal) => goal.rule(),
            Self::Jobs(jobs) => jobs.rule(),
            Self::LostNotMissed { .. } => "lost_not_missed",
            Self::Bounded { .. } => "bounded",
            Self::AwaitsApproval { .. } => "awaits_approval",
            Self::AwaitsRename { .. } => "awaits_rename",
            Self::Kept { .. } => "kept",
            Self::AwaitsService { .. } => "awaits_service",
            Self::LaunchesFail { .. } => "launches_fail",
            Self::TerminationsLimited(_) => TERMINATIONS_LIMITED,
            Self::InDoubt { .. } => "in_doubt",
            Self::Frozen { .. } => "frozen",
        }
    }

    /// What makes the reason news, if anything: readings that ask for nothing, or for what is done
    /// already, come every few minutes.
    fn mark(&self) -> Option<String> {
        let rule = self.rule();
        match self {
            Self::Hold { capacity, .. } => Some(format!("{rule} {capacity}")),
            Self::Schedule { line, .. } | Self::Floor { line, .. } => {
                Some(format!("{rule} {line}"))
            }
            Self::Extra { add, .. } => Some(format!("{rule} {add}")),
            Self::Frozen { .. }
            | Self::Paused { .. }
            | Self::Minimum { .. }
            | Self::QueueUnreadable { .. }
            | Self::Stabilising { .. }
            | Self::Bounded { .. }
            | Self::AwaitsApproval { .. }
            | Self::AwaitsRename { .. }
            | Self::Kept { .. }
            | Self::AwaitsService { .. }
            | Self::LaunchesFail { .. }
            | Self::TerminationsLimited(_)
            | Self::InDoubt { .. }
            | Self::Goal(GoalReason::Doubted { .. }) => Some(rule.to_owned()),
            Self::Jobs(jobs) => jobs.is_news().then(|| rule.to_owned()),
            Self::QueueAbove { .. }
            | Self::QueueBelow { .. }
            | Self::QueueBetween { .. }
            | Self::QueueAnswered { .. }
            | Self::QueueUnread
            | Self::FloorFell { .. }
            | Self::Goal(_)
            | Self::LostNotMissed { .. } => None,
        }
    }
}
