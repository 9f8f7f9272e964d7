//! What an imagined stretch of time came to: servers, money, jobs and who waited.

use std::collections::BTreeMap;
use std::time::Duration;

use super::front::State;
use crate::prices::{Cost, PriceList};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::Lifecycle;
use tidegate_engine::policy::{Billing, Policy};

/// The wait that jobs are held against where the policy names no goal.
pub const GOAL_USUAL: Duration = Duration::from_mins(15);

/// One fleet's share.
#[derive(Debug, Clone, Default)]
pub struct FleetReport {
    pub launches: u64,
    pub terminations: u64,
    pub server_time: Duration,
    pub cost: Cost,
    pub jobs: Option<JobReport>,
}

#[derive(Debug, Clone, Default)]
pub struct JobReport {
    pub done: u64,
    pub waiting: u64,
    /// Runs that the end of a server interrupted.
    pub interrupted: u64,
    /// Jobs that were interrupted and never run again.
    pub lost: u64,
    /// The wait that jobs are held against.
    pub goal: Duration,
    /// Jobs that are lost, or still wait for longer than the goal.
    pub missed: u64,
    /// Waits of the started jobs, from the first arrival to the start of the last run, sorted.
    pub waits: Vec<Duration>,
}

impl JobReport {
    /// Returns the share of the jobs that waited longer than the goal or are lost.
    pub fn share_late(&self) -> f64 {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let late = self.waits.iter().filter(|wait| **wait > self.goal).count();
        share(count(late) + self.missed, count(self.waits.len()) + self.missed)
    }

    /// The wait that `percent` of 100 jobs did not exceed.
    pub fn wait(&self, percent: usize) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        let at = (last * percent).div_ceil(100);
        self.waits.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Returns `part` of `whole`, between 0 and 1; 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    let float = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    float(part) / float(whole.max(1))
}

/// The paid span of a server: whole hours, or seconds with a minute at the least.
pub fn paid(billed: Duration, billing: Billing) -> Duration {
    match billing {
        Billing::Hour => Duration::from_secs(billed.as_secs().div_ceil(3600).max(1) * 3600),
        Billing::Second => billed.max(Duration::from_mins(1)),
    }
}

/// Sums up every fleet of the policy, at these prices.
pub fn report(
    policy: &Policy,
    state: &State,
    prices: &PriceList,
) -> BTreeMap<FleetName, FleetReport> {
    let now = state.world.now();
    let mut fleets: BTreeMap<FleetName, FleetReport> =
        policy.fleets.keys().map(|name| (name.clone(), FleetReport::default())).collect();
    for machine in state.world.machines() {
        let Some(name) = machine.fleet() else { continue };
        let Some(fleet) = policy.fleets.get(name) else { continue };
        let entry = fleets.entry(name.clone()).or_default();
        entry.launches += 1;
        let ended =
            matches!(machine.lifecycle(now), Lifecycle::ShuttingDown | Lifecycle::Terminated);
        entry.terminations += u64::from(ended);
        let billed = machine.billed(now);
        entry.server_time += billed;
        let hours = paid(billed, fleet.billing).as_secs_f64() / 3600.0;
        entry.cost.add(machine.request.pool.instance_type.as_deref(), hours, prices);
    }
    for (name, queue) in &state.queues {
        let mut waits: Vec<Duration> = queue.started().map(|job| job.waited).collect();
        waits.sort_unstable();
        let goal = policy.fleets.get(name).and_then(|fleet| fleet.goal());
        let goal = goal.map_or(GOAL_USUAL, |(_, goal)| goal.start_within);
        fleets.entry(name.clone()).or_default().jobs = Some(JobReport {
            done: queue.done,
            waiting: queue.depth().waiting,
            interrupted: queue.interrupted,
            lost: queue.lost,
            goal,
            missed: u64::try_from(queue.missed(goal).count()).unwrap_or(u64::MAX),
            waits,
        });
    }
    fleets
}
