//! What the rules ask for: hold above schedule above queue above `min`.

use std::time::Duration;

use super::{Proposal, queue};
use crate::model::decision::Reason;
use crate::model::roster::FleetView;
use crate::model::time::{self, Timestamp};
use crate::policy::FleetPolicy;
use crate::policy::calendar::{Schedule, Standing};

pub(super) fn demand(fleet: &FleetPolicy, view: &FleetView, now: Timestamp) -> Proposal {
    if let Some(hold) = &view.hold {
        let mut proposal = Proposal::new(
            hold.capacity,
            Reason::Hold {
                capacity: hold.capacity,
                owner: hold.owner.clone(),
                reason: hold.reason.clone(),
                until: hold.until,
            },
        );
        proposal.bounded = false;
        proposal.look_at(hold.until);
        return proposal;
    }
    let boot = view.memory.boot();
    let standing = fleet
        .schedule
        .as_ref()
        .and_then(|schedule| Some((schedule, schedule.standing_with_lead(now, boot)?)));
    let mut proposal = match (&fleet.queue, standing) {
        (Some(queue), standing) => {
            queue::ask(fleet, queue, standing.as_ref().map(|(_, standing)| standing), view, now)
        }
        (None, Some((schedule, standing))) => {
            Proposal::new(standing.capacity, scheduled(schedule, &standing, boot, now))
        }
        (None, None) => {
            let min = fleet.bounds.min();
            Proposal::new(min, Reason::Minimum { min })
        }
    };
    if let Some(schedule) = &fleet.schedule
        && let Some((at, _)) = schedule.next_change(now, boot)
    {
        proposal.look_at(at);
    }
    if let Some(extra) = &view.extra {
        proposal.extra = Some((proposal.capacity, extra.capacity));
        proposal.capacity = proposal.capacity.saturating_add(extra.capacity);
        proposal.because.push(Reason::Extra {
            add: extra.capacity,
            owner: extra.owner.clone(),
            until: extra.until,
        });
        proposal.look_at(extra.until);
    }
    proposal
}

fn scheduled(schedule: &Schedule, standing: &Standing, boot: Duration, now: Timestamp) -> Reason {
    let early = schedule.standing(now).is_none_or(|plain| plain.line != standing.line);
    Reason::Schedule {
        capacity: standing.capacity,
        cron: standing.text.clone(),
        line: standing.at_line,
        early_by: early.then(|| time::since(time::after(standing.since, boot), now)),
    }
}
