//! Whether the daemon does its work, in a sentence.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::Site;
use crate::metrics::LastTick;
use tidegate_engine::model::time::{self, Timestamp};

/// As long as systemd waits for a sign of life.
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) async fn ready(State(site): State<Site>) -> (StatusCode, String) {
    match judged(site.meter.last_tick(), (site.now)()) {
        Ok(told) => (StatusCode::OK, told),
        Err(told) => (StatusCode::SERVICE_UNAVAILABLE, told),
    }
}

/// A tick that was finished lately, or why there is none to speak of.
fn judged(last: Option<LastTick>, now: Timestamp) -> Result<String, String> {
    let Some(last) = last else { return Err("no tick is finished yet\n".to_owned()) };
    let ago = time::since(now, last.at);
    let told = format!("the last tick was finished {} ago\n", time::text(ago));
    if overdue(last, now).is_some() { Err(told) } else { Ok(told) }
}

/// How long ago the last tick was, if that is too long.
pub(super) fn overdue(last: LastTick, now: Timestamp) -> Option<Duration> {
    let ago = time::since(now, last.at);
    (ago > PATIENCE.max(last.every.saturating_mul(3))).then_some(ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tick_of_late_it_is_not_ready() {
        let every = Duration::from_secs(15);
        let at = Timestamp::UNIX_EPOCH;
        let after = |secs| judged(Some(LastTick { at, every }), time::after(at, secs));
        assert!(judged(None, at).is_err());
        assert!(after(Duration::from_mins(3)).is_ok());
        let told = after(Duration::from_secs(181)).unwrap_err();
        assert_eq!(told, "the last tick was finished 3m1s ago\n");
        // Ticks that are far apart are waited for.
        let slow = LastTick { at, every: Duration::from_mins(5) };
        assert!(judged(Some(slow), time::after(at, Duration::from_mins(14))).is_ok());
    }
}
