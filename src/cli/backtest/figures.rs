//! The four charts of a policy: who waits, for how long, the servers, the bill.

use std::time::Duration;

use super::Column;
use super::page::stretch;
use crate::chart::axis::{Scale, grouped};
use crate::chart::{Chart, HEIGHT, Layer, Rule};
use crate::prices::Cost;
use crate::sim::backtest::series::{Bin, Series};
use tidegate_engine::model::time;
use tidegate_engine::policy::Billing;

/// The axes of all policies, so that they can be compared by eye.
pub(super) struct Scales {
    waiting: Scale,
    waits: Scale,
    servers: Scale,
    cost: Scale,
    /// Whether `max` is near enough to be drawn.
    pub with_max: bool,
}

fn float(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn most_servers(column: &Column) -> u64 {
    column.outcome.series.bins.iter().map(|bin| bin.most).max().unwrap_or(0)
}

impl Scales {
    pub(super) fn of(columns: &[Column]) -> Self {
        let bins = || columns.iter().flat_map(|column| &column.outcome.series.bins);
        let waiting = bins().map(|bin| bin.waiting).max().unwrap_or(0);
        let longest = bins().filter_map(|bin| bin.longest).max().unwrap_or_default();
        let goal = columns.iter().map(|column| column.goal).max().unwrap_or_default();
        let servers = columns.iter().map(most_servers).max().unwrap_or(0);
        let max = columns.iter().map(|column| column.fleet.bounds.max()).max().unwrap_or(0);
        let min = columns.iter().map(|column| column.fleet.bounds.min()).max().unwrap_or(0);
        let with_max = u64::from(max) <= servers.saturating_mul(2).max(4);
        let reach =
            if with_max { servers.max(u64::from(max)) } else { servers.max(u64::from(min)) };
        let cost = columns
            .iter()
            .flat_map(|column| [&column.outcome.cost_by_hour, &column.outcome.cost_by_second])
            .filter_map(Cost::known_part);
        Self {
            waiting: Scale::counts(float(waiting)),
            // Room for the word on the goal's line.
            waits: Scale::spans(longest.max(goal.mul_f64(1.15))),
            servers: Scale::counts(float(reach) * if with_max { 1.1 } else { 1.0 }),
            cost: Scale::dollars(cost.fold(0.0, f64::max)),
            with_max,
        }
    }
}

/// A chart, or what stands in its place: a title and why there is none.
type Drawn<'a> = Result<Chart<'a>, (&'static str, &'static str)>;

pub(super) fn charts<'a>(nth: usize, column: &Column, scales: &'a Scales) -> [Drawn<'a>; 4] {
    let waits = if column.outcome.jobs.is_some() {
        Ok(waits(nth, column, scales))
    } else {
        Err((
            "How long jobs waited",
            "The load is the queue's length, not its jobs: nobody's wait is known.",
        ))
    };
    [
        Ok(waiting(nth, column, scales)),
        waits,
        Ok(servers(nth, column, scales)),
        cost(nth, column, scales),
    ]
}

fn waiting<'a>(nth: usize, column: &Column, scales: &'a Scales) -> Chart<'a> {
    let series = &column.outcome.series;
    // The first of those that are the most.
    let most = series.bins.iter().enumerate().rev().max_by_key(|(_, bin)| bin.waiting);
    let tells = match most {
        Some((nth, bin)) if bin.waiting > 0 => {
            let most = grouped(&bin.waiting.to_string());
            let at = series.begins(nth).max(series.from);
            format!("{most} at most, {}.", stretch(at, series.width, column))
        }
        _ => "Nobody ever waited.".to_owned(),
    };
    let heights = series.bins.iter().map(|bin| (0.0, float(bin.waiting)));
    Chart {
        id: format!("p{nth}-waiting"),
        title: "Jobs that wait",
        unit: "jobs",
        height: HEIGHT,
        tells,
        scale: &scales.waiting,
        layers: vec![Layer::area("waiting", "", heights)],
        rules: Vec::new(),
        flag: None,
        marks: Vec::new(),
    }
}

fn waits<'a>(nth: usize, column: &Column, scales: &'a Scales) -> Chart<'a> {
    let series = &column.outcome.series;
    let goal = column.goal.as_secs_f64();
    let longest =
        || series.bins.iter().map(|bin| bin.longest.map_or(0.0, |wait| wait.as_secs_f64()));
    let typical =
        || series.bins.iter().map(|bin| bin.most_of_them.map_or(0.0, |wait| wait.as_secs_f64()));
    let limit = time::text(column.goal);
    let within = format!("longest wait, up to {limit}");
    let over = format!("longest wait, over {limit}");
    let counted = column.outcome.jobs.as_ref().map_or(0, |jobs| jobs.started + jobs.missed);
    let lost = column.outcome.jobs.as_ref().map_or(0, |jobs| jobs.lost);
    let unfinished = column.outcome.jobs.as_ref().map_or(0, |jobs| jobs.unfinished);
    let mut tells = format!(
        "By when they came. {:.1} % of {} waited over {}.",
        column.share_over() * 100.0,
        grouped(&counted.to_string()),
        time::text(column.goal)
    );
    if lost > 0 {
        tells.push_str(&format!(" {} of them were lost.", grouped(&lost.to_string())));
    }
    if unfinished > 0 {
        tells.push_str(&format!(" Not finished in the end: {}.", grouped(&unfinished.to_string())));
    }
    let mut layers = vec![
        Layer::area("fine", &within, longest().map(|wait| (0.0, wait.min(goal)))),
        Layer::area("late", &over, longest().map(|wait| (goal, wait))),
    ];
    if is_coarse(series) {
        let below = typical().map(|wait| (0.0, wait.min(goal)));
        layers.push(Layer::area("typical", &format!("95 of 100, up to {limit}"), below));
        let above = typical().map(|wait| (goal, wait));
        layers.push(Layer::area("typical-late", &format!("95 of 100, over {limit}"), above));
    }
    Chart {
        id: format!("p{nth}-waits"),
        title: "How long jobs waited",
        unit: "wait",
        height: HEIGHT,
        tells,
        scale: &scales.waits,
        layers,
        rules: vec![Rule {
            class: "goal",
            label: format!("goal {}", time::text(column.goal)),
            value: goal,
        }],
        flag: column.outcome.worst.as_ref().map(|worst| (worst.arrived, "the longest")),
        marks: Vec::new(),
    }
}

/// In a short step the mean and the most are the same, and a second shape would only be in the way.
fn is_coarse(series: &Series) -> bool {
    series.width >= Duration::from_mins(30)
}

/// Layers of servers from below; each bin's time over its span.
fn stack(series: &Series, known: bool) -> Vec<Layer> {
    let per = |nth: usize, time: Duration| {
        let span = series.span(nth).as_secs_f64();
        if span > 0.0 { time.as_secs_f64() / span } else { 0.0 }
    };
    // Who is drained is counted as serving too, and most likely has nothing to do.
    let parts = |bin: &Bin| {
        let serving = bin.servers.saturating_sub(bin.booting);
        let draining = bin.draining.min(serving);
        let idle = bin.idle.saturating_sub(draining).min(serving.saturating_sub(draining));
        let busy = serving.saturating_sub(draining).saturating_sub(idle);
        [busy, idle, draining, bin.booting]
    };
    let busy = if known { "busy" } else { "in service" };
    let labels =
        [("busy", busy), ("idle", "idle"), ("draining", "draining"), ("booting", "booting")];
    let mut layers = Vec::new();
    for (level, (class, label)) in labels.into_iter().enumerate() {
        let reach = |(nth, bin): (usize, &Bin)| {
            let parts = parts(bin);
            let below: Duration = parts.iter().take(level).sum();
            let through: Duration = parts.iter().take(level + 1).sum();
            (per(nth, below), per(nth, through))
        };
        let layer = Layer::area(class, label, series.bins.iter().enumerate().map(reach));
        if layer.reach.iter().any(Option::is_some) {
            layers.push(layer);
        }
    }
    layers
}

fn servers<'a>(nth: usize, column: &Column, scales: &'a Scales) -> Chart<'a> {
    let series = &column.outcome.series;
    let mut layers = stack(series, column.outcome.jobs.is_some());
    if is_coarse(series) {
        let most = series.bins.iter().map(|bin| (0.0, float(bin.most)));
        layers.insert(0, Layer::area("peak", "most at once", most));
    }
    let bounds = column.fleet.bounds;
    let (min, max) = (bounds.min(), bounds.max());
    let mut rules = Vec::new();
    let rule = |label: String, value: u32| Rule { class: "bound", label, value: f64::from(value) };
    if scales.with_max && min == max {
        rules.push(rule(format!("min and max {max}"), max));
    } else {
        if scales.with_max {
            rules.push(rule(format!("max {max}"), max));
        }
        if min > 0 {
            rules.push(rule(format!("min {min}"), min));
        }
    }
    let outcome = &column.outcome;
    let whole = time::since(series.to, series.from).as_secs_f64().max(1.0);
    let mean = outcome.server_time.as_secs_f64() / whole;
    let off = if scales.with_max {
        String::new()
    } else {
        format!(" The max of {max} is off the chart.")
    };
    Chart {
        id: format!("p{nth}-servers"),
        title: "Servers",
        unit: "servers",
        height: HEIGHT,
        tells: format!(
            "{mean:.1} on average, {} at most; {} launches.{off}",
            most_servers(column),
            grouped(&outcome.launches.to_string())
        ),
        scale: &scales.servers,
        layers,
        rules,
        flag: None,
        marks: Vec::new(),
    }
}

fn cost<'a>(nth: usize, column: &Column, scales: &'a Scales) -> Drawn<'a> {
    let outcome = &column.outcome;
    let title = "The bill so far";
    if column.cost().known_part().is_none() {
        return Err((title, "No price is known for any server of this fleet."));
    }
    let sums = |due: fn(&Bin) -> f64| {
        outcome.series.bins.iter().scan(0.0, move |sum, bin| {
            *sum += due(bin);
            Some(Some(*sum))
        })
    };
    let by_hour: (&str, fn(&Bin) -> f64) = ("if hours are billed", |bin| bin.by_hour);
    let by_second: (&str, fn(&Bin) -> f64) = ("if seconds are billed", |bin| bin.by_second);
    let (own, other) = match outcome.billing {
        Billing::Hour => (by_hour, by_second),
        Billing::Second => (by_second, by_hour),
    };
    Ok(Chart {
        id: format!("p{nth}-cost"),
        title,
        unit: "dollars",
        height: HEIGHT,
        tells: format!(
            "{} if hours are billed, {} if seconds are.",
            outcome.cost_by_hour, outcome.cost_by_second
        ),
        scale: &scales.cost,
        layers: vec![
            Layer::line("other", other.0, sums(other.1)),
            Layer::line("own", &format!("{}, as the policy says", own.0), sums(own.1)),
        ],
        rules: Vec::new(),
        flag: None,
        marks: Vec::new(),
    })
}
