//! Where a server is in its life, and why scale-in may not take it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::instance::Attachment;
use super::reading::jobs;
use super::time::{self, Timestamp};

/// Where a server is in its life, with what is known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Asked of EC2, no certain answer yet.
    Launching,
    /// Pending or running, not yet passed its health check, within `grace`.
    Booting,
    /// Healthy, not yet in service by the balancer's word.
    Registering,
    InService,
    /// Healthy by our check and out of service by the balancer's: reported, not replaced.
    Disputed,
    /// Should be in EC2's list and is not, or is in a state this version does not know.
    Unclear,
    /// Not healthy within `grace`, or stuck in `pending`.
    Overdue,
    /// Was healthy, and its checks have failed since then.
    Sick {
        since: Timestamp,
    },
    /// Being taken out of service; not capacity.
    Draining,
    /// Its drain was cancelled, and it has yet to show that it works again.
    Resuming,
    /// Termination was asked, or is under way.
    Terminating,
    /// Stopped by somebody: costs its volumes, serves nothing.
    Stopped,
}

/// The phases by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseKind {
    Launching,
    Booting,
    Registering,
    InService,
    Disputed,
    Unclear,
    Overdue,
    Sick,
    Draining,
    Resuming,
    Terminating,
    Stopped,
}

impl PhaseKind {
    pub const ALL: [Self; 12] = [
        Self::Launching,
        Self::Booting,
        Self::Registering,
        Self::InService,
        Self::Disputed,
        Self::Unclear,
        Self::Overdue,
        Self::Sick,
        Self::Draining,
        Self::Resuming,
        Self::Terminating,
        Self::Stopped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Booting => "booting",
            Self::Registering => "registering",
            Self::InService => "in service",
            Self::Disputed => "disputed",
            Self::Unclear => "unclear",
            Self::Overdue => "overdue",
            Self::Sick => "sick",
            Self::Draining => "draining",
            Self::Resuming => "resuming",
            Self::Terminating => "terminating",
            Self::Stopped => "stopped",
        }
    }
}

impl Phase {
    pub fn kind(&self) -> PhaseKind {
        match self {
            Self::Launching => PhaseKind::Launching,
            Self::Booting => PhaseKind::Booting,
            Self::Registering => PhaseKind::Registering,
            Self::InService => PhaseKind::InService,
            Self::Disputed => PhaseKind::Disputed,
            Self::Unclear => PhaseKind::Unclear,
            Self::Overdue => PhaseKind::Overdue,
            Self::Sick { .. } => PhaseKind::Sick,
            Self::Draining => PhaseKind::Draining,
            Self::Resuming => PhaseKind::Resuming,
            Self::Terminating => PhaseKind::Terminating,
            Self::Stopped => PhaseKind::Stopped,
        }
    }
}

/// Why scale-in may not take a server now, and when that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Not yet up for `minimum_uptime`.
    MinimumUptime { uptime: Duration, minimum: Duration, until: Timestamp },
    /// Its hour is paid, and the release window opens later.
    PaidHour { paid_until: Timestamp, opens: Timestamp },
    /// A person, or a tag, protects it.
    Keep { by: String, until: Option<Timestamp> },
    /// Somebody attached a volume or a network interface to it.
    Attached(Attachment),
    /// Its launch is not settled, or its uptime is not known.
    Unsettled,
    /// Its balancer cannot be asked, so draining could not be proven.
    NoDrain,
    /// It runs jobs.
    Busy { jobs: u32 },
    /// Whether it runs jobs is asked with the next reading of the queue.
    Unasked,
    /// It cannot be told to finish its jobs; with the cause.
    Undrainable(Cow<'static, str>),
    /// It was launched for jobs that wait, and is on its way.
    Coming,
    /// It is not capacity: on its way out, sick or stopped.
    NotCapacity,
}

impl Block {
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::MinimumUptime { until, .. } => Some(*until),
            Self::PaidHour { opens, .. } => Some(*opens),
            Self::Keep { until, .. } => *until,
            Self::Attached(_)
            | Self::Unsettled
            | Self::NoDrain
            | Self::Busy { .. }
            | Self::Unasked
            | Self::Undrainable(_)
            | Self::Coming
            | Self::NotCapacity => None,
        }
    }

    /// The block in words, with times in `zone`.
    pub fn text(&self, zone: &TimeZone) -> String {
        match self {
            Self::MinimumUptime { uptime, minimum, .. } => {
                format!("up {} of minimum_uptime {}", time::text(*uptime), time::text(*minimum))
            }
            Self::PaidHour { paid_until, opens } => format!(
                "paid until {}, released from {}",
                time::local(*paid_until, zone),
                time::local(*opens, zone)
            ),
            Self::Keep { by, .. } => format!("kept: {by}"),
            Self::Attached(Attachment { id, after }) => {
                format!("kept: {id} was attached to it {} after its launch", time::text(*after))
            }
            Self::Unsettled => "its launch is not settled".to_owned(),
            Self::NoDrain => "its load balancer cannot be asked".to_owned(),
            Self::Busy { jobs: n } => format!("runs {}", jobs(u64::from(*n))),
            Self::Unasked => "whether it runs jobs is not known until the queue is read".to_owned(),
            Self::Undrainable(why) => format!("cannot be drained: {why}"),
            Self::Coming => "launched for jobs that wait".to_owned(),
            Self::NotCapacity => "not capacity".to_owned(),
        }
    }
}
