//! tidegate's own engine, by the same door as `tidegate decide`.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_engine::evaluate::{Evaluator, FleetSnapshot, ServerSnapshot, ServerState};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::{Depth, Reading, Work};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy;

use crate::shop::{Autoscaler, Look, Orders, Seen, State, Terms};

pub(crate) struct Tidegate {
    evaluator: Evaluator,
    fleet: FleetName,
    /// Names of servers, so that each is made once.
    ids: BTreeMap<usize, InstanceId>,
    /// What the queue tells besides its length.
    tells: bool,
}

impl Tidegate {
    /// A policy file with the goal and nothing tuned; `tells`: the queue tells who is busy and its
    /// running totals.
    pub(crate) fn new(terms: Terms, tells: bool) -> Self {
        let billing = if terms.by_the_hour { "hour" } else { "second" };
        let Terms { poll, boot, goal, job_takes, jobs_at_once, max, .. } = terms;
        let text = format!(
            "version: 1\nfleets:\n  job:\n    launch: {{ template: job }}\n    max: {max}\n    billing: {billing}\n    drain: {{ via: tag, deadline: 48h }}\n    queue:\n      read: {{ http: 'http://queue.example/' }}\n      every: {poll:.0}s\n      start_within: {goal:.0}s\n      job_takes: {:.0}s\n      jobs_at_once: {jobs_at_once}\n      boot_takes: {boot:.0}s\n",
            job_takes.max(1.0)
        );
        let loaded = policy::load("bench.yaml", &text, Timestamp::UNIX_EPOCH);
        let policy = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.problems));
        Self {
            evaluator: Evaluator::of_readings(policy),
            fleet: FleetName::new("job").unwrap(),
            ids: BTreeMap::new(),
            tells,
        }
    }

    fn id(&mut self, seen: &Seen) -> InstanceId {
        let id = || InstanceId::new(&format!("i-{:017x}", seen.number));
        self.ids.entry(seen.number).or_insert_with(id).clone()
    }
}

impl Autoscaler for Tidegate {
    fn look(&mut self, look: &Look<'_>) -> Orders {
        let at = |seconds: f64| Timestamp::UNIX_EPOCH + Duration::from_secs_f64(seconds);
        let ids: Vec<InstanceId> = look.servers.iter().map(|seen| self.id(seen)).collect();
        let total = |n: usize| u64::try_from(n).ok();
        let busy = ids.iter().cloned().zip(look.servers.iter().map(|seen| seen.busy));
        let work = Work {
            running: total(look.running),
            arrived: total(look.arrived),
            completed: total(look.completed),
            busy: Some(busy.collect()),
        };
        let depth = Depth {
            waiting: total(look.waiting).unwrap_or(u64::MAX),
            oldest: look.oldest.map(Duration::from_secs_f64).filter(|_| self.tells),
            work: if self.tells { work } else { Work::default() },
        };
        let servers = ids.iter().zip(look.servers).map(|(id, seen)| {
            let state = match seen.state {
                State::Booting => ServerState::Booting,
                State::InService => ServerState::InService,
                State::Draining => ServerState::Draining(None),
            };
            ServerSnapshot::new(id.clone(), at(seen.launched), state)
        });
        let servers = servers.collect();
        let now = at(look.now);
        let reading = Some(Reading { at: now, depth: Ok(depth) });
        let snapshot = FleetSnapshot { reading, servers, launches: Vec::new() };
        let answer = self.evaluator.evaluate_fleet(now, &self.fleet, snapshot).unwrap();
        let number = |id: &InstanceId| {
            let at = ids.iter().position(|known| known == id).unwrap();
            look.servers[at].number
        };
        Orders {
            launch: usize::try_from(answer.launch).unwrap(),
            drain: answer.terminate.iter().map(number).collect(),
            reclaim: answer.cancel_drains.iter().map(number).collect(),
        }
    }
}
