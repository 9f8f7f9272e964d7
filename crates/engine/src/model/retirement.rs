//! A server's way out: why it goes, and how far its retirement has come.

use std::sync::Arc;
use std::time::Duration;

use super::drain::{Delivery, Drain, DrainTerms, Resume};
use super::time::{Clocks, Timestamp};

/// The durable record of a retirement, written before its first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    pub why: RetireReason,
    pub begun_at: Timestamp,
    /// The same by EC2's clock. `None` where an earlier version wrote it.
    pub begun_at_ec2: Option<Timestamp>,
    /// How the server is told to finish its jobs; `None`: it is terminated without a drain.
    pub drain: Option<Arc<DrainTerms>>,
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
    /// The server was told to finish its jobs, or is about to be.
    Draining(Drain),
    /// The drain was cancelled after its signal: the server takes up its work again.
    Resuming(Resume),
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
    /// Begins a retirement. `drain`: the terms on which the server finishes its jobs first.
    pub fn begin(why: RetireReason, drain: Option<Arc<DrainTerms>>, clocks: Clocks) -> Self {
        let (begun_at, begun_at_ec2) = (clocks.host, Some(clocks.ec2));
        Self { why, begun_at, begun_at_ec2, drain, stage: Stage::Begun }
    }

    /// Returns the calls of TerminateInstances, if there were any.
    pub fn termination(&self) -> Option<&Termination> {
        match &self.stage {
            Stage::Terminating(termination) => Some(termination),
            Stage::Begun | Stage::Deregistered { .. } | Stage::Draining(_) | Stage::Resuming(_) => {
                None
            }
        }
    }

    /// Returns the drain under way, if the server has been signalled.
    pub fn draining(&self) -> Option<&Drain> {
        match &self.stage {
            Stage::Draining(drain) => Some(drain),
            Stage::Begun
            | Stage::Deregistered { .. }
            | Stage::Resuming(_)
            | Stage::Terminating(_) => None,
        }
    }

    /// Returns the cancelled drain from which the server comes back.
    pub fn resuming(&self) -> Option<&Resume> {
        match &self.stage {
            Stage::Resuming(resume) => Some(resume),
            Stage::Begun
            | Stage::Deregistered { .. }
            | Stage::Draining(_)
            | Stage::Terminating(_) => None,
        }
    }

    /// Returns whether the server can go on working: it has not been signalled, or takes a signal
    /// back, and its drain has not ended.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        match &self.stage {
            Stage::Begun | Stage::Deregistered { .. } => true,
            Stage::Draining(drain) => {
                drain.end.is_none() && self.drain.as_ref().is_some_and(|terms| terms.cancel)
            }
            Stage::Resuming(_) | Stage::Terminating(_) => false,
        }
    }

    /// Returns whether the server may have ended for this retirement: by a call of TerminateInstances,
    /// or by itself since it was signalled.
    pub(crate) fn may_have_ended(&self) -> bool {
        let terminated = self.termination().is_some_and(|calls| calls.asks > calls.refusals);
        terminated || self.draining().is_some_and(|drain| drain.may_be_tagged)
    }

    /// Returns when the load balancer accepted the deregistration.
    pub fn deregistered_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Begun | Stage::Resuming(_) => None,
            Stage::Deregistered { at } => Some(*at),
            Stage::Draining(drain) => drain.deregistered_at,
            Stage::Terminating(termination) => termination.deregistered_at,
        }
    }

    /// Records a signal that is about to be sent, with the deadline that it names.
    pub fn signal(&mut self, deadline: Timestamp, ec2_now: Timestamp) {
        let deregistered_at = self.deregistered_at();
        match &mut self.stage {
            Stage::Draining(drain) => {
                drain.signalled_at = ec2_now;
                drain.deadline = deadline;
                drain.may_be_tagged = true;
            }
            Stage::Begun | Stage::Deregistered { .. } => {
                if let Some(terms) = &self.drain {
                    self.stage = Stage::Draining(Drain::begin(deregistered_at, terms, ec2_now));
                }
            }
            Stage::Resuming(_) | Stage::Terminating(_) => {}
        }
    }

    /// Returns what remains of a drain that is cancelled now; `None`: nothing, since the server was
    /// never signalled.
    pub fn cancel(&self, undelivered: Option<String>, ec2_now: Timestamp) -> Option<Resume> {
        let drain = self.draining()?;
        Some(Resume {
            deadline: drain.deadline,
            cancelled_at: ec2_now,
            asked_at: ec2_now,
            received: drain.received_at().is_some(),
            done_at: (!drain.may_be_tagged).then_some(ec2_now),
            undelivered,
        })
    }

    /// Returns from a cancelled drain to the drain, for a server that does not resume its work. The
    /// drain cannot be cancelled again. A server that never received the signal is signalled again.
    pub(crate) fn drain_on(&mut self, ec2_now: Timestamp) {
        if let Stage::Resuming(resume) = &self.stage {
            if let Some(terms) = &mut self.drain {
                Arc::make_mut(terms).cancel = false;
            }
            let (begun_at, delivery) = if resume.received {
                let at = resume.cancelled_at;
                (at, Delivery::Received { at, nothing_runs: false })
            } else {
                (ec2_now, Delivery::Pending { last_fault: None })
            };
            self.stage = Stage::Draining(Drain {
                deregistered_at: None,
                begun_at,
                deadline: resume.deadline,
                signalled_at: begun_at,
                delivery,
                may_be_tagged: true,
                end: None,
            });
        }
    }

    /// Records that the load balancer accepted the deregistration. Only the first time counts.
    pub fn deregistered(&mut self, at: Timestamp) {
        match &mut self.stage {
            Stage::Begun => self.stage = Stage::Deregistered { at },
            Stage::Deregistered { .. } | Stage::Resuming(_) => {}
            Stage::Draining(drain) => {
                drain.deregistered_at.get_or_insert(at);
            }
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
    /// Not in service within `grace`. `last`: why its last health check failed, if it was made.
    NeverHealthy { waited: Duration, last: Option<String> },
    /// In service once, and its health check has failed since.
    Sick { since: Timestamp },
    /// Stuck in EC2's `pending`.
    StuckPending { waited: Duration },
    /// A person asked: `tidegate terminate` or `tidegate retire`.
    Operator { who: String, why: String },
}

impl RetireReason {
    /// Whether the server works and may be taken back while it drains.
    pub(crate) fn may_be_reclaimed(&self) -> bool {
        match self {
            Self::ScaleIn => true,
            Self::NeverHealthy { .. }
            | Self::Sick { .. }
            | Self::StuckPending { .. }
            | Self::Operator { .. } => false,
        }
    }

    /// Whether the server never came into service: a failed launch for the breaker's count.
    pub(crate) fn is_failed_launch(&self) -> bool {
        matches!(self, Self::NeverHealthy { .. } | Self::StuckPending { .. })
    }
}
