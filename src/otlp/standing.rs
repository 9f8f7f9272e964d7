//! Whether the collector takes what it is sent: told once when it does not, and once when it does
//! again, however often is tried in between.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::asked::Signal;

/// One try that fails is nothing: a connection that was kept open is closed now and then.
const IN_A_ROW: u32 = 2;

/// A collector that comes and goes is told of no more often.
const QUIET: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Tries that failed, for each signal since it last arrived.
    failing: BTreeMap<Signal, u32>,
    told: bool,
    told_at: Option<Instant>,
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, signal: Signal, collector: &str, why: &str) {
        if self.state().failed(signal, Instant::now()) {
            warn!(
                "{} do not arrive at {collector}: {why}; nothing waits for it, and what does not \
                 fit into memory is lost",
                signal.as_str()
            );
        }
    }

    pub(super) fn arrived(&self, signal: Signal) {
        if self.state().arrived(signal) {
            info!("{} arrive again", signal.as_str());
        }
    }
}

impl State {
    /// Whether it is to be told.
    fn failed(&mut self, signal: Signal, now: Instant) -> bool {
        let tries = self.failing.entry(signal).or_default();
        *tries = tries.saturating_add(1);
        let lately = self.told_at.is_some_and(|at| now.duration_since(at) < QUIET);
        let tell = *tries >= IN_A_ROW && !self.told && !lately;
        if tell {
            (self.told, self.told_at) = (true, Some(now));
        }
        tell
    }

    /// Those of which there is nothing to send cannot arrive, so one that had failed stands for all.
    fn arrived(&mut self, signal: Signal) -> bool {
        let failed = self.failing.remove(&signal).is_some_and(|tries| tries >= IN_A_ROW);
        failed && std::mem::take(&mut self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_its_end_once() {
        let mut state = State::default();
        let begun = Instant::now();
        assert!(!state.failed(Signal::Traces, begun), "once is nothing");
        assert!(!state.failed(Signal::Logs, begun));
        assert!(state.failed(Signal::Traces, begun));
        assert!(!state.arrived(Signal::Metrics), "it never failed");
        for signal in Signal::ALL {
            assert!(!state.failed(signal, begun) && !state.failed(signal, begun));
        }
        assert!(state.arrived(Signal::Traces));
        assert!(!state.arrived(Signal::Logs) && !state.arrived(Signal::Metrics));
    }

    #[test]
    fn who_comes_and_goes_is_told_of_at_intervals() {
        let mut state = State::default();
        let begun = Instant::now();
        let mut told = 0;
        for second in 0..3600 {
            let now = begun + Duration::from_secs(second);
            for _ in 0..IN_A_ROW {
                told += u32::from(state.failed(Signal::Logs, now));
            }
            state.arrived(Signal::Logs);
        }
        assert_eq!(told, 6);
    }
}
