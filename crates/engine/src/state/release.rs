//! When a server may go: minimum uptime, and the paid hour.

use std::time::Duration;

use crate::model::roster::Block;
use crate::model::time::{self, Timestamp};
use crate::policy::{Billing, FleetPolicy, QueuePolicy};

const HOUR: Duration = Duration::from_hours(1);

/// Time for a deregistration to be accepted and a termination to be answered, besides the drain.
const CALLS: Duration = Duration::from_secs(30);

/// The end of the hour that is being paid at `now`. A server exactly on the hour has begun another.
pub(super) fn paid_until(launched_at: Timestamp, now: Timestamp) -> Timestamp {
    let up = time::since(now, launched_at);
    let hours = up.as_secs().checked_div(HOUR.as_secs()).unwrap_or(0).saturating_add(1);
    time::after(launched_at, HOUR.saturating_mul(u32::try_from(hours).unwrap_or(u32::MAX)))
}

/// How often there is occasion to release a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    pub tick: Duration,
    /// Where a server goes only upon a fresh reading, the time between two; else zero. The window
    /// is wide enough for one.
    pub reading: Duration,
}

impl Looks {
    pub(super) fn of(fleet: Option<&FleetPolicy>, tick: Duration) -> Self {
        let queue = fleet.and_then(|fleet| fleet.queue.as_ref());
        let drains = fleet.is_some_and(|fleet| fleet.drain_terms().is_some());
        // A goal answers readings alone. Who is busy is waited for only where no drain waits for jobs.
        // Without ticks, readings are the only occasion.
        let waits = |queue: &&QueuePolicy| {
            let told = queue.may_tell_who_is_busy() && !drains;
            tick.is_zero() || queue.goal().is_some() || told
        };
        let telling = queue.filter(waits);
        Self { tick, reading: telling.map_or(Duration::ZERO, |queue| queue.every) }
    }
}

/// The span at the end of the paid hour in which a retirement begins: early enough that deregistration,
/// drain and termination end within the hour, wide enough that three ticks fall into it, so that one
/// that fails leaves two.
struct Window {
    paid_until: Timestamp,
    opens: Timestamp,
    closes: Timestamp,
}

fn window(
    fleet: &FleetPolicy,
    looks: Looks,
    drain_lead: Duration,
    launched_at: Timestamp,
    now: Timestamp,
) -> Window {
    let delay = fleet.balancer.as_ref().map_or(Duration::ZERO, |entry| entry.deregistration_delay);
    let ends = delay.saturating_add(drain_lead);
    let wide = looks.tick.saturating_mul(3).max(looks.reading).min(HOUR);
    let latest = ends.saturating_add(CALLS).saturating_add(looks.tick);
    // However long it takes, the window is as wide.
    let latest = latest.min(HOUR.saturating_sub(wide).max(looks.tick));
    let paid_until = paid_until(launched_at, now);
    Window {
        paid_until,
        opens: time::before(paid_until, latest.saturating_add(wide).min(HOUR)),
        closes: time::before(paid_until, latest),
    }
}

/// Returns whether the hour that is being paid lasts so long that no retirement would begin yet.
pub(super) fn has_hour_to_spare(
    fleet: &FleetPolicy,
    looks: Looks,
    drain_lead: Duration,
    launched_at: Timestamp,
    now: Timestamp,
) -> bool {
    match fleet.billing {
        Billing::Second => false,
        Billing::Hour => now < window(fleet, looks, drain_lead, launched_at, now).opens,
    }
}

/// Whether time allows the server to go. `drain_lead`: how much earlier than without a drain.
pub(super) fn by_time(
    fleet: &FleetPolicy,
    looks: Looks,
    drain_lead: Duration,
    launched_at: Timestamp,
    now: Timestamp,
) -> Result<(), Block> {
    let uptime = time::since(now, launched_at);
    let minimum = fleet.minimum_uptime;
    if uptime < minimum {
        let until = time::after(launched_at, minimum);
        return Err(Block::MinimumUptime { uptime, minimum, until });
    }
    match fleet.billing {
        Billing::Second => Ok(()),
        Billing::Hour => {
            let Window { paid_until, opens, closes } =
                window(fleet, looks, drain_lead, launched_at, now);
            if now < opens {
                Err(Block::PaidHour { paid_until, opens })
            } else if now > closes {
                // Too late for this hour: the next one will be begun, so it may as well be used.
                let next = time::after(opens, HOUR);
                Err(Block::PaidHour { paid_until: time::after(paid_until, HOUR), opens: next })
            } else {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fleet::FleetName;
    use crate::policy::load;

    #[test]
    fn every_paid_hour_has_a_window_however_long_drains_take() {
        let text =
            "version: 1\nfleets:\n  f: { launch: { template: web }, max: 2, billing: hour }\n";
        let policy = load("t", text, Timestamp::UNIX_EPOCH).policy.unwrap();
        let fleet = &policy.fleets[&FleetName::new("f").unwrap()];
        let tick = Duration::from_secs(15);
        for reading in [0, 300] {
            let looks = Looks { tick, reading: Duration::from_secs(reading) };
            for lead in (0..60).map(Duration::from_mins) {
                let launched_at = Timestamp::UNIX_EPOCH;
                let free = (3600..7200_u64).step_by(15).filter(|up| {
                    let now = time::after(launched_at, Duration::from_secs(*up));
                    by_time(fleet, looks, lead, launched_at, now).is_ok()
                });
                let free = u64::try_from(free.count()).unwrap() * 15;
                assert!(free >= reading.max(45), "{free} s with drains of {lead:?}");
            }
        }
    }
}
