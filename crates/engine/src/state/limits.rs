//! What counts against `limits.launch` and `limits.terminate`, read off the journal: a restart lets
//! nothing through twice.

use super::CLOCK_WRONG;
use crate::model::ledger::Ledger;
use crate::model::rate::{Rate, RateLimit};
use crate::model::server::{GoneHow, LaunchState, ServerRecord};
use crate::model::time::{self, Clocks, Timestamp};
use crate::policy::Policy;

/// Returns `limits.launch` as the journal has it.
pub fn launch_limit(policy: &Policy, ledger: &Ledger, clocks: Clocks) -> RateLimit {
    RateLimit::new(policy.limits.launch, &launches(policy, ledger, clocks), clocks)
}

/// Returns `limits.terminate` as the journal has it.
pub fn termination_limit(policy: &Policy, ledger: &Ledger, clocks: Clocks) -> RateLimit {
    RateLimit::new(policy.limits.terminate, &terminations(policy, ledger, clocks), clocks)
}

/// When the servers were launched that count against `limits.launch`: those that there may have been,
/// oldest first.
pub(super) fn launches(policy: &Policy, ledger: &Ledger, clocks: Clocks) -> Vec<Timestamp> {
    // A launch without an answer may have made an instance, also once it is given up.
    let was_there = |record: &ServerRecord| match &record.launch {
        LaunchState::Launched(_) => true,
        LaunchState::Asked(asked) if asked.in_doubt => true,
        LaunchState::Asked(_) | LaunchState::Refused(_) => {
            record.gone.as_ref().is_none_or(|gone| gone.how != GoneHow::NeverWas)
        }
    };
    let launched = |record: &ServerRecord| {
        let planned_at = record.planned_at_ec2.unwrap_or(record.planned_at);
        (record.request.is_some() && was_there(record)).then_some(planned_at)
    };
    within(policy.limits.launch, ledger, clocks, launched)
}

/// When servers were retired, as far as it counts against `limits.terminate`, oldest first.
pub(super) fn terminations(policy: &Policy, ledger: &Ledger, clocks: Clocks) -> Vec<Timestamp> {
    let begun = |record: &ServerRecord| {
        let retirement = record.retirement.as_ref()?;
        Some(retirement.begun_at_ec2.unwrap_or(retirement.begun_at))
    };
    within(policy.limits.terminate, ledger, clocks, begun)
}

/// Returns those times of servers, by EC2's clock, that are within the window of a rate. The host's clock
/// may be set meanwhile, which must not let more through.
fn within(
    rate: Option<Rate>,
    ledger: &Ledger,
    clocks: Clocks,
    time: impl Fn(&ServerRecord) -> Option<Timestamp>,
) -> Vec<Timestamp> {
    let Some(rate) = rate else { return Vec::new() };
    let from = time::before(clocks.ec2, rate.per);
    // Records are in the order of the host's times, each less than so far off.
    let times = ledger.servers.since(time::before(from, CLOCK_WRONG)).filter_map(time);
    let mut recent: Vec<Timestamp> = times.filter(|at| *at > from).collect();
    recent.sort_unstable();
    recent
}
