//! A server's way out: why it goes, and how far its retirement has come.

use std::time::Duration;

use super::time::{Clocks, Timestamp};

/// The durable record of a retirement, written before its first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    pub why: RetireReason,
    pub begun_at: Timestamp,
    /// The same by EC2's clock. `None` where an earlier version wrote it.
    pub begun_at_ec2: Option<Timestamp>,
    pub stage: Stage,
}

/// How far a retirement has come, with what is known in each stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No call of it has been accepted yet.
    Begun,
    /// The load balancer accepted the deregistration; by EC2's clock, so that a step of the host's
    /// clock does not shorten the deregistration delay.
    Deregistered { at: Timestamp },
    /// TerminateInstances was called, or is about to be.
    Terminating(Termination),
}

/// The calls of TerminateInstances for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// When the load balancer accepted the deregistration; `None`: the server was not registered.
    pub deregistered_at: Option<Timestamp>,
    pub last_asked_at: Timestamp,
    /// The number of calls, the one in hand included; at least one.
    pub asks: u32,
    /// The number of calls that EC2 refused for certain. Counted after the answer, so that a call
    /// that was cut off counts as done.
    pub refusals: u32,
}

impl Retirement {
    pub fn begin(why: RetireReason, clocks: Clocks) -> Self {
        Self { why, begun_at: clocks.host, begun_at_ec2: Some(clocks.ec2), stage: Stage::Begun }
    }

    /// Returns the calls of TerminateInstances, if there were any.
    pub fn termination(&self) -> Option<&Termination> {
        match &self.stage {
            Stage::Terminating(termination) => Some(termination),
            Stage::Begun | Stage::Deregistered { .. } => None,
        }
    }

    /// Returns whether one of the calls of TerminateInstances may have had its effect.
    pub fn may_have_ended(&self) -> bool {
        self.termination().is_some_and(|calls| calls.asks > calls.refusals)
    }

    /// Returns when the load balancer accepted the deregistration.
    pub fn deregistered_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Begun => None,
            Stage::Deregistered { at } => Some(*at),
            Stage::Terminating(termination) => termination.deregistered_at,
        }
    }

    /// Records that the load balancer accepted the deregistration. Only the first time counts.
    pub fn deregistered(&mut self, at: Timestamp) {
        match &mut self.stage {
            Stage::Begun => self.stage = Stage::Deregistered { at },
            Stage::Deregistered { .. } => {}
            Stage::Terminating(termination) => {
                termination.deregistered_at.get_or_insert(at);
            }
        }
    }

    /// Records a call of TerminateInstances that is about to be made.
    pub fn ask_to_terminate(&mut self, now: Timestamp) {
        let deregistered_at = self.deregistered_at();
        let (asks, refusals) = self.termination().map_or((0, 0), |past| (past.asks, past.refusals));
        self.stage = Stage::Terminating(Termination {
            deregistered_at,
            last_asked_at: now,
            asks: asks.saturating_add(1),
            refusals,
        });
    }

    /// Records that EC2 refused a call of TerminateInstances for certain.
    pub fn termination_refused(&mut self) {
        if let Stage::Terminating(termination) = &mut self.stage {
            termination.refusals = termination.refusals.saturating_add(1);
        }
    }
}

/// Why a server is retired. There is no variant for "not in the file" or "no reading": absence is
/// never a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetireReason {
    /// More capacity than wanted.
    ScaleIn,
    /// Not in service within `grace`.
    NeverHealthy { waited: Duration },
    /// In service once, and its health check has failed since.
    Sick { since: Timestamp },
    /// Stuck in EC2's `pending`.
    StuckPending { waited: Duration },
    /// A person asked: `tidegate terminate` or `tidegate retire`.
    Operator { who: String, why: String },
}

impl RetireReason {
    /// Whether the server works and may be taken back while it drains.
    pub fn may_be_reclaimed(&self) -> bool {
        match self {
            Self::ScaleIn => true,
            Self::NeverHealthy { .. }
            | Self::Sick { .. }
            | Self::StuckPending { .. }
            | Self::Operator { .. } => false,
        }
    }

    /// Whether the server never came into service: a failed launch for the breaker's count.
    pub fn is_failed_launch(&self) -> bool {
        matches!(self, Self::NeverHealthy { .. } | Self::StuckPending { .. })
    }
}
