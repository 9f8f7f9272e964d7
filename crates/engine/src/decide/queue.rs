//! What a queue asks for: its thresholds or its goal, one answer per reading; and what holds while
//! it cannot be read.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Proposal, goal};
use crate::model::capacity::{Capacity, count};
use crate::model::decision::Reason;
use crate::model::reading::{Depth, Reading};
use crate::model::roster::FleetView;
use crate::model::time::{self, Timestamp};
use crate::policy::calendar::Standing;
use crate::policy::{
    FleetPolicy, Goal, IfUnreadable, Mode, QueuePolicy, QueueRule, ScaleIn, ScaleOut,
};

/// A reading older than this many polls is no reading: the polls since have not come through.
/// Two and a half, so that one late poll is not yet a gap.
pub(super) fn stale_after(queue: &QueuePolicy) -> Duration {
    let half = queue.every.checked_div(2).unwrap_or_default();
    queue.every.saturating_mul(2).saturating_add(half)
}

pub(super) fn ask(
    fleet: &FleetPolicy,
    queue: &QueuePolicy,
    standing: Option<&Standing>,
    view: &FleetView,
    now: Timestamp,
) -> Proposal {
    let floor = standing.map_or(0, |standing| standing.capacity).max(fleet.bounds.min());
    let target = view.memory.target.unwrap_or_else(|| view.capacity());
    // What a floor adds goes when the floor falls. What the queue asked for stays.
    let asked = view.memory.asked.map_or(target, |asked| asked.min(target)).max(fleet.bounds.min());
    // What stands if the queue asks for no change.
    let stand = asked.clamp(floor, fleet.bounds.max().max(floor));
    let ask = Ask { fleet, queue, view, floor, asked, stand, most: fleet.bounds.max(), now };
    let mut proposal = match view.memory.last_reading() {
        None => ask.unchanged(Reason::QueueUnread),
        Some(reading) => match &reading.depth {
            Err(why) => ask.unreadable(why),
            Ok(_) if time::since(now, reading.at) > stale_after(queue) => ask
                .unreadable(&format!("last read {} ago", time::text(time::since(now, reading.at)))),
            Ok(depth) => match &queue.rule {
                QueueRule::Thresholds(out, inn) => ask.known(reading, depth.waiting, out, inn),
                QueueRule::Goal(goal) => ask.goal(goal, reading, depth),
            },
        },
    };
    proposal.promised = floor;
    if view.memory.asked.is_some() && proposal.capacity < target && floor < target {
        proposal.because.push(Reason::FloorFell { asked, of: target });
    }
    if let Some(standing) = standing
        && proposal.capacity == floor
        && floor > 0
    {
        proposal.because.push(Reason::Floor {
            capacity: standing.capacity,
            cron: standing.text.clone(),
            line: standing.at_line,
        });
    }
    proposal
}

struct Ask<'a> {
    fleet: &'a FleetPolicy,
    queue: &'a QueuePolicy,
    view: &'a FleetView,
    floor: Capacity,
    /// What the queue's own steps have come to, which may be less than the floor.
    asked: Capacity,
    stand: Capacity,
    most: Capacity,
    now: Timestamp,
}

impl Ask<'_> {
    /// What stands, for a reason that asks for no change.
    fn unchanged(&self, reason: Reason) -> Proposal {
        let mut proposal = Proposal::new(self.stand, reason);
        proposal.asked = Some(self.asked);
        proposal
    }

    fn unreadable(&self, why: &str) -> Proposal {
        let at_least = match self.queue.if_unreadable {
            IfUnreadable::Hold => None,
            IfUnreadable::AtLeast(n) => Some(n),
        };
        let readings = self.view.memory.readings.iter().rev();
        let run = readings.take_while(|reading| reading.depth.is_err()).last();
        let since = run.map_or(self.now, |reading| reading.at);
        let reason = Reason::QueueUnreadable { why: why.to_owned(), since, at_least };
        // A gap never releases a server, whatever a changed `max` or schedule would now allow.
        let mut proposal = Proposal::new(self.stand.max(at_least.unwrap_or(0)), reason);
        proposal.asked = Some(self.asked.max(at_least.unwrap_or(0)));
        proposal.may_release = false;
        proposal
    }

    fn goal(&self, goal: &Goal, reading: &Reading, depth: &Depth) -> Proposal {
        if self.view.memory.stepped_at_reading == Some(reading.at) {
            let waiting = depth.waiting;
            let reason = Reason::QueueAnswered { waiting, read_at: reading.at };
            let stand = if waiting == 0 { self.not_missed() } else { self.stand };
            let mut proposal = Proposal::new(stand, reason);
            // Who is busy was true at the reading: none is taken on the strength of it later.
            proposal.may_release = false;
            return proposal;
        }
        let Self { fleet, queue, view, floor, .. } = *self;
        goal::Ask { fleet, queue, goal, view, floor, reading, depth }.answer()
    }

    /// What stands until the next reading of a queue that needs no more servers: those that were lost or
    /// terminated by hand since the last one are not replaced.
    fn not_missed(&self) -> Capacity {
        if self.observes() {
            return self.stand;
        }
        self.stand.min(self.view.capacity()).max(self.floor)
    }

    /// Whether the fleet is in observe mode: servers that it lacks were never launched, and not lost.
    fn observes(&self) -> bool {
        self.fleet.mode == Mode::Observe
    }

    /// The thresholds: one step per reading, out at once, in only on trusted readings and only with
    /// servers that may go.
    fn known(&self, reading: &Reading, waiting: u64, out: &ScaleOut, inn: &ScaleIn) -> Proposal {
        let (below, above) = (inn.below, out.above);
        let low = waiting < below;
        let high = waiting > above;
        if (low || high) && self.view.memory.stepped_at_reading == Some(reading.at) {
            let mut proposal =
                self.unchanged(Reason::QueueAnswered { waiting, read_at: reading.at });
            if low {
                proposal.capacity = self.not_missed();
            }
            return proposal;
        }
        if high {
            self.scale_out(reading, waiting, *out)
        } else if low && self.stand > self.floor {
            self.scale_in(reading, waiting, *inn)
        } else if low {
            self.scale_in_below_floor(reading, waiting, inn)
        } else {
            self.unchanged(Reason::QueueBetween { waiting, below, above })
        }
    }

    /// The servers stay with the floor. A step that it holds up is remembered, so that they go with it.
    fn scale_in_below_floor(&self, reading: &Reading, waiting: u64, rule: &ScaleIn) -> Proposal {
        let below = rule.below;
        let mut proposal = self.unchanged(Reason::QueueBelow { waiting, below, remove: 0 });
        let readings = &self.view.memory.readings;
        let until = time::after(under_since(self.queue, readings, reading.at, below), rule.after);
        let least = self.fleet.bounds.min();
        if self.asked > least && until <= self.now {
            proposal.asked = Some(self.asked.saturating_sub(rule.remove).max(least));
            proposal.steps_below_floor = true;
            proposal.steps_on = Some(reading.at);
        }
        proposal
    }

    fn scale_out(&self, reading: &Reading, waiting: u64, rule: ScaleOut) -> Proposal {
        let reason = Reason::QueueAbove { waiting, above: rule.above, add: rule.add };
        // Servers that a fallen floor has left over are as many as the queue has now, and too few.
        let there = if self.view.extra.is_none() { self.view.capacity() } else { 0 };
        let stand = self.stand.max(there.min(self.most));
        let mut proposal = Proposal::new(stand.saturating_add(rule.add), reason);
        // At `max` the reading stays unanswered: should `max` rise, it still asks.
        proposal.steps_on = (stand < self.most).then_some(reading.at);
        proposal
    }

    fn scale_in(&self, reading: &Reading, waiting: u64, rule: ScaleIn) -> Proposal {
        let below = Reason::QueueBelow { waiting, below: rule.below, remove: rule.remove };
        let readings = &self.view.memory.readings;
        let under_since = under_since(self.queue, readings, reading.at, rule.below);
        let until = time::after(under_since, rule.after);
        if until > self.now {
            let under_for = time::since(self.now, under_since);
            let mut proposal = self.unchanged(below);
            proposal.because.push(Reason::Stabilising { under_for, after: rule.after, until });
            proposal.look_at(until);
            return proposal;
        }
        let capacity = self.view.capacity();
        if capacity < self.stand {
            let lost = self.stand.saturating_sub(capacity);
            let less = self.stand.saturating_sub(rule.remove);
            let mut proposal = self.unchanged(below);
            if self.observes() {
                proposal.capacity = less.max(self.floor);
            } else {
                proposal.capacity = capacity.min(less).max(self.floor);
                proposal.because.push(Reason::LostNotMissed { lost });
            }
            proposal.steps_on = Some(reading.at);
            return proposal;
        }
        let eligible = count(self.view.eligible());
        let take = rule.remove.min(eligible).min(self.stand.saturating_sub(self.floor));
        if take == 0 {
            // Asked for and blocked: `settle` says by what and until when.
            let mut proposal = self.unchanged(below);
            proposal.capacity = self.stand.saturating_sub(rule.remove).max(self.floor);
            return proposal;
        }
        let mut proposal = self.unchanged(below);
        proposal.capacity = self.stand.saturating_sub(take);
        proposal.steps_on = Some(reading.at);
        proposal
    }
}

/// Returns since when the readings, up to the one at `latest`, have been under the threshold without
/// a break. A gap is a break: the queue may have done anything meanwhile.
pub(super) fn under_since(
    queue: &QueuePolicy,
    readings: &VecDeque<Reading>,
    latest: Timestamp,
    below: u64,
) -> Timestamp {
    let stale = stale_after(queue);
    let mut since = latest;
    for reading in readings.iter().rev() {
        let under = reading.depth.as_ref().is_ok_and(|depth| depth.waiting < below);
        // So is a time without readings, and a clock that was set back.
        if !under || reading.at > since || time::since(since, reading.at) > stale {
            break;
        }
        since = reading.at;
    }
    since
}
