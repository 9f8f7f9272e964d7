//! When a server may go: minimum uptime, and the paid hour.

use std::time::Duration;

use crate::model::roster::Block;
use crate::model::time::{self, Timestamp};
use crate::policy::{Billing, FleetPolicy};

const HOUR: Duration = Duration::from_hours(1);

/// Time for a deregistration to be accepted and a termination to be answered, besides the drain.
const CALLS: Duration = Duration::from_secs(30);

/// The end of the hour that is being paid at `now`. A server exactly on the hour has begun another.
pub fn paid_until(launched_at: Timestamp, now: Timestamp) -> Timestamp {
    let up = time::since(now, launched_at);
    let hours = up.as_secs().checked_div(HOUR.as_secs()).unwrap_or(0).saturating_add(1);
    time::after(launched_at, HOUR.saturating_mul(u32::try_from(hours).unwrap_or(u32::MAX)))
}

/// How often there is occasion to release a server.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    pub tick: Duration,
    /// Where a server goes only upon a fresh reading, the time between two; else zero. The window
    /// is wide enough for one.
    pub reading: Duration,
}

impl Looks {
    pub fn of(fleet: Option<&FleetPolicy>, tick: Duration) -> Self {
        let queue = fleet.and_then(|fleet| fleet.queue.as_ref());
        let telling = queue.filter(|queue| queue.may_tell_who_is_busy());
        Self { tick, reading: telling.map_or(Duration::ZERO, |queue| queue.every) }
    }
}

/// The span at the end of each paid hour in which a retirement begins: early enough that drain and
/// termination end within the hour, wide enough that three ticks fall into it, so that one that
/// fails leaves two.
fn window(fleet: &FleetPolicy, looks: Looks) -> (Duration, Duration) {
    let drain = fleet.balancer.as_ref().map_or(Duration::ZERO, |entry| entry.drain);
    let latest = drain.saturating_add(CALLS).saturating_add(looks.tick);
    let opens = latest.saturating_add(looks.tick.saturating_mul(3).max(looks.reading));
    (opens.min(HOUR), latest)
}

/// Whether time allows the server to go.
pub fn by_time(
    fleet: &FleetPolicy,
    looks: Looks,
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
            let paid_until = paid_until(launched_at, now);
            let (open, latest) = window(fleet, looks);
            let opens = time::before(paid_until, open);
            let closes = time::before(paid_until, latest);
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
