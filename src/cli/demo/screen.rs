//! The demo's terminal view: time, queue, servers by phase, schedule, cost, and what happened.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::cli::Failure;
use crate::cli::canvas::{Canvas, bold, dim};
use crate::cli::out::say;
use crate::cli::rehearsal;
use crate::prices::PriceList;
use crate::sim::Simulation;
use crate::sim::report::report;
use crate::tick::TickRecord;
use tidegate_engine::model::decision::Decision;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::{Event, EventKind};
use tidegate_engine::model::roster::{FleetView, Phase};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// Lines of history shown.
const HISTORY: usize = 14;
/// Columns of the queue's curve: one a quarter of an hour.
const CURVE: usize = 96;
const CURVE_STEP: i64 = 900;

pub(super) struct Screen {
    zone: TimeZone,
    speed: Option<u32>,
    seed: u64,
    history: VecDeque<String>,
    fleets: BTreeMap<FleetName, Seen>,
    curve: BTreeMap<i64, u64>,
    canvas: Canvas,
    /// What the demo assumes, shown first.
    assumed: Vec<String>,
}

/// The last tick's picture of one fleet.
struct Seen {
    view: FleetView,
    decision: Option<Decision>,
}

impl Screen {
    pub(super) fn new(
        zone: TimeZone,
        (speed, seed): (Option<u32>, u64),
        assumed: Vec<String>,
    ) -> Self {
        Self {
            zone,
            speed,
            seed,
            history: VecDeque::new(),
            fleets: BTreeMap::new(),
            curve: BTreeMap::new(),
            canvas: Canvas::default(),
            assumed,
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        let mark = match event.kind {
            EventKind::Decision => "=",
            EventKind::Action | EventKind::Failure => ">",
            EventKind::Problem => "!",
            EventKind::Seen | EventKind::Recovered | EventKind::Override | EventKind::Policy => " ",
        };
        let fleet = event.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
        self.history.push_back(format!(
            "{} {mark} {fleet:<4} {}",
            self.clock(event.at, "%H:%M"),
            event.text
        ));
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    pub(super) fn see(&mut self, record: &TickRecord, simulation: &Simulation) {
        let survey = &record.survey;
        for (name, view) in &survey.roster.fleets {
            let decision = survey.decisions.get(name).cloned();
            self.fleets.insert(name.clone(), Seen { view: (**view).clone(), decision });
        }
        let state = simulation.front.state();
        let waiting = state.queues.values().map(|queue| queue.depth().waiting).max().unwrap_or(0);
        let slot = survey.seen.now.as_second().div_euclid(CURVE_STEP);
        let known = self.curve.entry(slot).or_default();
        *known = waiting.max(*known);
    }

    fn clock(&self, at: Timestamp, format: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    pub(super) fn draw(
        &mut self,
        simulation: &Simulation,
        prices: &PriceList,
    ) -> Result<(), Failure> {
        let (_, height) = Canvas::size();
        let lines = self.lines(simulation, prices, height.saturating_sub(1));
        self.canvas.draw(&lines)
    }

    /// Gives the terminal back as it was, and leaves on it what was shown last.
    pub(super) fn leave(&mut self) -> Result<(), Failure> {
        self.canvas.leave()?;
        for line in self.assumed.iter().chain(&self.history) {
            say!("{line}")?;
        }
        Ok(())
    }

    /// As many lines as there is room for; the oldest of the history go first.
    fn lines(&self, simulation: &Simulation, prices: &PriceList, room: usize) -> Vec<String> {
        let state = simulation.front.state();
        let now = state.world.now();
        let speed = self.speed.map(|n| format!("{n} times real speed")).unwrap_or_default();
        let mut lines: Vec<String> = self.assumed.iter().map(|line| dim(line)).collect();
        lines.push(format!(
            "{}   {speed}, seed {}. An imagined EC2; the engine is the real one.",
            bold(&format!("tidegate demo   {}", self.clock(now, "%A %H:%M"))),
            self.seed
        ));
        lines.push(String::new());
        for (name, seen) in &self.fleets {
            lines.extend(self.fleet(name, seen, &simulation.policy, now));
        }
        for (name, queue) in &state.queues {
            let depth = queue.depth();
            let oldest =
                depth.oldest.map_or_else(|| "-".to_owned(), tidegate_engine::model::time::text);
            lines.push(format!(
                "queue of {name}: {} waiting, the oldest for {oldest}",
                depth.waiting
            ));
            lines.push(format!("  {}", self.sparkline(now)));
        }
        let fleets = report(&simulation.policy, &state, prices);
        let cost = rehearsal::total(&fleets);
        let hours: f64 = fleets.values().map(|f| f.server_time.as_secs_f64() / 3600.0).sum();
        lines.push(String::new());
        lines.push(format!("cost so far: {cost}, {hours:.1} server-hours; {}", prices.source()));
        lines.push(String::new());
        lines.push(dim("time    fleet  = decided  > did  ! problem"));
        let skipped = self.history.len().saturating_sub(room.saturating_sub(lines.len()));
        lines.extend(self.history.iter().skip(skipped).cloned());
        lines.truncate(room);
        lines
    }

    fn fleet(&self, name: &FleetName, seen: &Seen, policy: &Policy, now: Timestamp) -> Vec<String> {
        let Seen { view, decision } = seen;
        let count =
            |phases: &[Phase]| view.servers.iter().filter(|s| phases.contains(&s.phase)).count();
        let serving = count(&[Phase::InService]);
        let coming = count(&[Phase::Launching, Phase::Booting, Phase::Registering]);
        let going = count(&[Phase::Draining, Phase::Terminating]);
        let bar = format!("{}{}{}", "█".repeat(serving), "▒".repeat(coming), "░".repeat(going));
        let bounds = policy.fleets.get(name).map(|fleet| fleet.bounds);
        let (min, max) = bounds.map_or((0, 0), |bounds| (bounds.min(), bounds.max()));
        let desired = decision.as_ref().map_or(0, |decision| decision.desired);
        let mut lines = vec![format!(
            "{} desired {desired} ({min} to {max})   {bar:<6} {serving} in service, {coming} coming, {going} going",
            bold(&format!("{name:<5}"))
        )];
        if let Some(decision) = decision {
            lines.push(format!("      {}", decision.text(&self.zone)));
        }
        let schedule = policy.fleets.get(name).and_then(|fleet| fleet.schedule.as_ref());
        if let Some((at, next)) = schedule.and_then(|s| s.next_change(now, Duration::ZERO)) {
            lines.push(format!(
                "      next by the schedule: {} from {}",
                next.map_or(min, |next| next.capacity),
                self.clock(at, "%a %H:%M")
            ));
        }
        lines.push(String::new());
        lines
    }

    fn sparkline(&self, now: Timestamp) -> String {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let top = self.curve.values().copied().max().unwrap_or(0).max(20);
        let last = now.as_second().div_euclid(CURVE_STEP);
        let first = self.curve.keys().next().copied().unwrap_or(last);
        let slots = (first..=last).rev().take(CURVE).collect::<Vec<_>>();
        slots
            .into_iter()
            .rev()
            .map(|slot| {
                let value = self.curve.get(&slot).copied().unwrap_or(0);
                let level = usize::try_from((value * 8).div_ceil(top)).unwrap_or(8);
                BARS.get(level.min(8)).copied().unwrap_or(' ')
            })
            .collect()
    }
}
