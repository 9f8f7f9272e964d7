//! A reason's numbers, for programs.

use super::Reason;

impl Reason {
    /// Its numbers by name, spans in seconds: for whoever reckons on with them.
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let n = u64::from;
        match self {
            Self::Hold { capacity, .. } => vec![("capacity", n(*capacity))],
            Self::Schedule { capacity, .. } | Self::Floor { capacity, .. } => {
                vec![("capacity", n(*capacity))]
            }
            Self::FloorFell { asked, of } => vec![("asked", n(*asked)), ("of", n(*of))],
            Self::Minimum { min, .. } => vec![("min", n(*min))],
            Self::Extra { add, .. } => vec![("add", n(*add))],
            Self::QueueAbove { waiting, above, add } => {
                vec![("waiting", *waiting), ("above", *above), ("add", n(*add))]
            }
            Self::QueueBelow { waiting, below, remove } => {
                vec![("waiting", *waiting), ("below", *below), ("remove", n(*remove))]
            }
            Self::QueueBetween { waiting, below, above } => {
                vec![("waiting", *waiting), ("below", *below), ("above", *above)]
            }
            Self::QueueAnswered { waiting, .. } => vec![("waiting", *waiting)],
            Self::QueueUnreadable { at_least, .. } => {
                at_least.iter().map(|at_least| ("at_least", n(*at_least))).collect()
            }
            Self::Stabilising { under_for, after, .. } => {
                vec![("under_for_s", under_for.as_secs()), ("after_s", after.as_secs())]
            }
            Self::Goal(goal) => goal.numbers(),
            Self::Jobs(jobs) => jobs.numbers(),
            Self::LostNotMissed { lost } => vec![("lost", n(*lost))],
            Self::Bounded { asked, min, max } => {
                vec![("asked", n(*asked)), ("min", n(*min)), ("max", n(*max))]
            }
            Self::AwaitsApproval { from, to, .. } => vec![("from", n(*from)), ("to", n(*to))],
            Self::AwaitsRename { servers, .. } => vec![("servers", n(*servers))],
            Self::Kept { surplus, free, .. } => vec![("surplus", n(*surplus)), ("free", n(*free))],
            Self::AwaitsService { serving, stay } => {
                vec![("serving", n(*serving)), ("stay", n(*stay))]
            }
            Self::Paused { .. }
            | Self::QueueUnread
            | Self::LaunchesFail { .. }
            | Self::TerminationsLimited(_)
            | Self::InDoubt { .. }
            | Self::Frozen { .. } => Vec::new(),
        }
    }
}
