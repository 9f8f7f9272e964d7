//! Runs one test: the calendar is asked as the engine asks it, and a queue's test is the daemon's own
//! spine over an imagined EC2, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use super::file::{Script, Servers, Test, What};
use crate::ports::StoreFault;
use crate::sim::Simulation;
use crate::sim::load::{Interruption, Load};
use crate::sim::world::Settings;
use crate::store::memory::MemoryStore;
use crate::tick::TickRecord;
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Change, Override, OverrideKey};
use tidegate_engine::model::reading::Depth;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Policy;

/// What a test found otherwise than it was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    /// `job at 5m`.
    pub place: String,
    pub text: String,
}

pub(super) async fn play(
    test: &Test,
    policy: &Policy,
    boot: Duration,
) -> Result<Vec<Miss>, StoreFault> {
    match &test.what {
        What::Calendar(asked) => Ok(asked
            .iter()
            .filter_map(|(at, fleet, capacity)| calendar(policy, *at, fleet, *capacity))
            .collect()),
        What::Queue(script) => queue(script, policy, boot).await,
    }
}

fn calendar(policy: &Policy, at: Timestamp, name: &FleetName, expected: Capacity) -> Option<Miss> {
    let fleet = policy.fleets.get(name)?;
    let standing = fleet.schedule.as_ref().and_then(|schedule| schedule.standing(at));
    let asked = standing.as_ref().map_or(fleet.bounds.min(), |standing| standing.capacity);
    let found = fleet.bounds.clamp(asked);
    let because = match standing {
        Some(standing) => {
            let line = fleet.schedule.as_ref()?.lines.get(standing.line)?;
            format!("`{}` holds, line {} of the file", line.text, line.at_line)
        }
        None => "no line of the schedule holds, so that it is `min`".to_owned(),
    };
    let place = format!("{name} at {}", at.to_zoned(policy.zone.clone()).strftime("%F %H:%M"));
    let text = format!("capacity {found}, expected {expected}: {because}");
    (found != expected).then_some(Miss { place, text })
}

async fn queue(script: &Script, policy: &Policy, boot: Duration) -> Result<Vec<Miss>, StoreFault> {
    let mut simulation = stage(script, policy, boot).await?;
    let mut misses = Vec::new();
    let mut expect = script.expect.iter().peekable();
    let mut shown = None;
    while let Some((offset, servers)) = expect.peek() {
        let now = simulation.now();
        let step =
            time::since(now, script.start).as_nanos().div_euclid(script.every.as_nanos().max(1));
        if shown != Some(step) {
            set(&simulation, script, usize::try_from(step).unwrap_or(usize::MAX));
            shown = Some(step);
        }
        let record = simulation.tick().await?;
        let due = time::after(script.start, *offset);
        if now >= due {
            misses.extend(judge(script, *offset, servers, &record, policy));
            expect.next();
            continue;
        }
        // To the next tick, and never past what is to be seen or set.
        let steps = u32::try_from(step).unwrap_or(u32::MAX).saturating_add(1);
        let sample = time::after(script.start, script.every.saturating_mul(steps));
        let until = record.next.min(due).min(sample);
        simulation.advance(until.max(time::after(now, Duration::from_secs(1))));
    }
    Ok(misses)
}

/// The fleet alone in its world, at its start, with its servers in service. Until then a hold is all
/// that it goes by: its queue is read at the start for the first time.
async fn stage(script: &Script, policy: &Policy, boot: Duration) -> Result<Simulation, StoreFault> {
    let mut policy = policy.acting();
    policy.fleets.retain(|name, _| *name == script.fleet);
    let mut before = policy.clone();
    for fleet in before.fleets.values_mut() {
        (fleet.queue, fleet.schedule) = (None, None);
    }
    let begins = time::before(script.start, script.age);
    let settings = Settings {
        start: (boot, boot),
        deploy: (Duration::ZERO, Duration::ZERO),
        register: Duration::ZERO,
        ..Settings::default()
    };
    let quiet = Load {
        per_hour: vec![0.0],
        start: begins,
        job_takes: Duration::from_mins(1),
        jobs_at_once: 1,
        interruption: Interruption::default(),
    };
    let loads = [(script.fleet.clone(), quiet)].into();
    let store = Arc::new(MemoryStore::default());
    // The world has a queue for what the whole policy reads.
    let mut simulation = Simulation::new(policy.clone(), settings, loads, store, begins).await?;
    simulation.policy = before;
    let hold = Override {
        key: OverrideKey::Hold(script.fleet.clone()),
        capacity: script.servers,
        owner: "test".to_owned(),
        reason: "the start".to_owned(),
        since: begins,
        until: script.start,
        at_once: false,
    };
    simulation.journal.commit(&[Change::Override(hold)]).await?;
    while simulation.now() < script.start {
        let record = simulation.tick().await?;
        let soonest = time::after(simulation.now(), Duration::from_secs(1));
        simulation.advance(record.next.min(script.start).max(soonest));
    }
    simulation.policy = policy;
    Ok(simulation)
}

/// The queue's length at a step, and nothing besides; the last one stays.
fn set(simulation: &Simulation, script: &Script, step: usize) {
    let mut state = simulation.front.state();
    match script.waiting.get(step).or(script.waiting.last()) {
        Some(Some(waiting)) => state.pin_depth(script.fleet.clone(), Depth::of(*waiting)),
        Some(None) | None => state.pin_unreadable(script.fleet.clone()),
    }
}

fn judge(
    script: &Script,
    offset: Duration,
    expected: &Servers,
    record: &TickRecord,
    policy: &Policy,
) -> Option<Miss> {
    let view = record.survey.roster.fleets.get(&script.fleet)?;
    let decision = record.survey.decisions.get(&script.fleet)?;
    let compared = [
        ("desired", decision.desired, expected.desired),
        ("alive", view.alive(), expected.alive),
        ("in service", view.in_service(), expected.in_service),
    ];
    let wrong: Vec<String> = compared
        .into_iter()
        .filter_map(|(what, found, expected)| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(format!("{found} {what}, expected {expected}"))
        })
        .collect();
    let place = format!("{} at {}", script.fleet, time::text(offset));
    let text = format!("{}: {}", wrong.join("; "), decision.text(&policy.zone));
    (!wrong.is_empty()).then_some(Miss { place, text })
}
