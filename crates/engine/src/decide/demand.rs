//! What the rules ask for: hold above schedule above queue above `min`.

use super::{Proposal, queue};
use crate::model::decision::Reason;
use crate::model::roster::FleetView;
use crate::model::time::{self, Timestamp};
use crate::policy::FleetPolicy;
use crate::policy::calendar::Standing;

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
    let boot = view.memory.boots.usual();
    let level = fleet.schedule.as_ref().map(|schedule| schedule.level(now, boot));
    let standing = level.as_ref().and_then(|level| level.standing.as_ref());
    let mut proposal = match (&fleet.queue, standing) {
        (Some(queue), standing) => queue::ask(fleet, queue, standing, view, now),
        (None, Some(standing)) => Proposal::new(standing.capacity, scheduled(standing, now)),
        (None, None) => {
            let min = fleet.bounds.min();
            Proposal::new(
                min,
                Reason::Minimum {
                    min,
                    scheduled: fleet.schedule.as_ref().is_some_and(|s| !s.lines.is_empty()),
                },
            )
        }
    };
    if let Some((at, _)) = level.as_ref().and_then(|level| level.next_change.as_ref()) {
        proposal.look_at(*at);
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

fn scheduled(standing: &Standing, now: Timestamp) -> Reason {
    Reason::Schedule {
        capacity: standing.capacity,
        cron: standing.text.clone(),
        line: standing.at_line,
        early_by: standing.fires.map(|fires| time::since(fires, now)),
    }
}
