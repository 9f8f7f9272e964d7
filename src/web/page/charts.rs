//! A fleet's charts: its reading against the thresholds, and its servers against what was desired,
//! with the schedule behind them and the decisions under them.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::clock::Clock;
use crate::admin::view::FleetStatus;
use crate::chart::axis::{Scale, grouped};
use crate::chart::{Chart, Frame, HEIGHT, Layer, Mark, Rule, Slice};
use crate::web::bins::Queue;
use crate::web::past::{FleetPast, Past};
use tidegate_engine::model::history::Decided;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::{FleetPolicy, QueueRule};

/// More marks than these run into each other.
const MARKS_AT_MOST: f64 = 40.0;

/// A card among many has a chart that is so high.
const SKETCH: f64 = 64.0;

/// What is needed to draw one fleet.
pub(super) struct Drawings<'a> {
    fleet: &'a FleetStatus,
    policy: Option<&'a FleetPolicy>,
    past: &'a Past,
    pub of: &'a FleetPast,
    clock: &'a Clock,
    servers: Scale,
    waiting: Scale,
    oldest: Scale,
    /// Whether `max` is near enough to be drawn.
    with_max: bool,
}

fn float(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn jobs(queue: &Queue) -> Option<u64> {
    match queue {
        Queue::Waiting { jobs, .. } => Some(*jobs),
        Queue::Unreadable | Queue::Unknown => None,
    }
}

fn oldest(queue: &Queue) -> Option<Duration> {
    match queue {
        Queue::Waiting { oldest, .. } => *oldest,
        Queue::Unreadable | Queue::Unknown => None,
    }
}

impl<'a> Drawings<'a> {
    pub(super) fn new(
        fleet: &'a FleetStatus,
        policy: Option<&'a FleetPolicy>,
        (past, of): (&'a Past, &'a FleetPast),
        clock: &'a Clock,
    ) -> Self {
        let servers = of.servers.iter().map(|servers| servers.all()).max().unwrap_or(0);
        let wanted = of.desired.iter().chain(&of.schedule).flatten().copied().max().unwrap_or(0);
        let min = of.bounds.iter().flatten().map(|(min, _)| *min).max().unwrap_or(0);
        let most = servers.max(wanted).max(min);
        let max = of.bounds.iter().flatten().map(|(_, max)| *max).max().unwrap_or(0);
        let with_max = max <= most.saturating_mul(2).max(4);
        let reach = if with_max { most.max(max) } else { most };
        let (above, goal) = match policy.and_then(|policy| policy.queue.as_ref()).map(|q| q.rule) {
            Some(QueueRule::Thresholds(out, _)) => (out.above, Duration::ZERO),
            Some(QueueRule::Goal(goal)) => (0, goal.start_within),
            None => (0, Duration::ZERO),
        };
        let waiting = of.queue.iter().filter_map(jobs).max().unwrap_or(0).max(above);
        let longest = of.queue.iter().filter_map(oldest).max().unwrap_or_default().max(goal);
        Self {
            fleet,
            policy,
            past,
            of,
            clock,
            // Room for the word on the uppermost line.
            servers: Scale::counts(f64::from(reach) * 1.1),
            waiting: Scale::counts(float(waiting) * 1.1),
            oldest: Scale::spans(longest.mul_f64(1.1)),
            with_max,
        }
    }

    pub(super) fn frame(&self, note: String) -> Frame<'_> {
        let bins = &self.past.bins;
        Frame {
            from: bins.from,
            to: bins.to,
            origin: bins.from,
            width: bins.width,
            zone: &self.clock.zone,
            note,
        }
    }

    pub(super) fn charts(&self) -> Vec<Chart<'_>> {
        let has_queue = self.policy.is_some_and(|policy| policy.queue.is_some());
        let mut charts = Vec::new();
        if has_queue || self.of.queue.iter().any(|queue| *queue != Queue::Unknown) {
            charts.extend(self.oldest());
            charts.push(self.waiting());
        }
        charts.push(self.servers());
        charts
    }

    /// The servers alone, without words.
    pub(super) fn sketch(&self) -> Chart<'_> {
        let mut chart = self.servers();
        chart.height = SKETCH;
        chart.unit = "";
        chart.rules.clear();
        for mark in &mut chart.marks {
            mark.text.clear();
        }
        chart
    }

    fn id(&self, what: &str) -> String {
        format!("{}-{what}", self.fleet.name)
    }

    fn waiting(&self) -> Chart<'_> {
        let queue = || self.of.queue.iter();
        let (mut most, mut at) = (0, None);
        for (queue, begins) in queue().zip(self.past.bins.begins()) {
            if let Some(jobs) = jobs(queue).filter(|jobs| *jobs > most) {
                (most, at) = (jobs, Some(begins));
            }
        }
        let mut tells = match at {
            Some(at) => {
                format!("{} at most, {}.", grouped(&most.to_string()), self.clock.short(at))
            }
            None if queue().any(|queue| jobs(queue).is_some()) => "Nobody waited.".to_owned(),
            None => "There was no reading.".to_owned(),
        };
        let unread = queue().filter(|queue| **queue == Queue::Unreadable).count();
        if unread > 0 {
            let width =
                u32::try_from(unread).map_or(self.past.bins.width, |n| self.past.bins.width * n);
            tells.push_str(&format!(" Not readable for {}.", time::text(width)));
        }
        let top = self.waiting.top;
        let gaps = queue().map(|queue| (0.0, if *queue == Queue::Unreadable { top } else { 0.0 }));
        let heights = || queue().map(|queue| jobs(queue).map_or(0.0, float));
        let (mut rules, mut limit) = (Vec::new(), f64::MAX);
        let rule = self.policy.and_then(|policy| policy.queue.as_ref()).map(|queue| queue.rule);
        if let Some(QueueRule::Thresholds(out, into)) = rule {
            limit = float(out.above);
            let label = format!("over {}: add {}", out.above, out.add);
            rules.push(Rule { class: "goal", label, value: float(out.above) });
            let label = format!("under {}: remove {}", into.below, into.remove);
            rules.push(Rule { class: "bound", label, value: float(into.below) });
        }
        Chart {
            id: self.id("waiting"),
            title: "Jobs waiting",
            unit: "jobs",
            height: HEIGHT,
            tells,
            scale: &self.waiting,
            layers: vec![
                Layer::area("gap", "not readable", gaps),
                Layer::area("fine", "waiting", heights().map(|jobs| (0.0, jobs.min(limit)))),
                Layer::area("waiting", "over the threshold", heights().map(|jobs| (limit, jobs))),
            ],
            rules,
            flag: None,
            marks: Vec::new(),
        }
    }

    /// How long the oldest job waited against the goal, where there is one and the queue tells.
    fn oldest(&self) -> Option<Chart<'_>> {
        let queue = || self.of.queue.iter();
        let longest = queue().filter_map(oldest).max()?;
        let (_, goal) = self.policy.and_then(FleetPolicy::goal)?;
        let (limit, word) = (goal.start_within.as_secs_f64(), time::text(goal.start_within));
        let waits = || queue().map(|queue| oldest(queue).map_or(0.0, |wait| wait.as_secs_f64()));
        Some(Chart {
            id: self.id("oldest"),
            title: "The oldest job's wait",
            unit: "wait",
            height: HEIGHT,
            tells: format!("{} at most.", time::text(longest)),
            scale: &self.oldest,
            layers: vec![
                Layer::area(
                    "fine",
                    &format!("up to {word}"),
                    waits().map(|wait| (0.0, wait.min(limit))),
                ),
                Layer::area("late", &format!("over {word}"), waits().map(|wait| (limit, wait))),
            ],
            rules: vec![Rule { class: "goal", label: format!("goal {word}"), value: limit }],
            flag: None,
            marks: Vec::new(),
        })
    }

    fn servers(&self) -> Chart<'_> {
        let of = self.of;
        let stack = |low: fn(&crate::web::bins::Servers) -> u32,
                     high: fn(&crate::web::bins::Servers) -> u32| {
            let reach = move |servers| (f64::from(low(servers)), f64::from(high(servers)));
            of.servers.iter().map(reach)
        };
        let min = of.bounds.iter().map(|bounds| bounds.map_or(0, |(min, _)| min));
        let asks = of.schedule.iter().zip(min).map(|(level, min)| level.is_some_and(|n| n > min));
        let windows = asks.map(|asks| (0.0, if asks { self.servers.top } else { 0.0 }));
        let desired = of.desired.iter().map(|desired| desired.map(f64::from));
        let mut layers = vec![
            Layer::area("schedule", "the schedule asks for more than min", windows),
            Layer::area("serving", "in service", stack(|_| 0, |s| s.serving)),
            Layer::area("booting", "starting", stack(|s| s.serving, |s| s.serving + s.starting)),
            Layer::area("draining", "draining", stack(|s| s.serving + s.starting, |s| s.all())),
            Layer::line("desired", "desired", desired),
        ];
        let rules = self.bounds(&mut layers);
        let counts = || of.servers.iter().map(|servers| servers.all());
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let range = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let unit = if most == 1 { "server" } else { "servers" };
        let n = of.decisions.len();
        let decisions = match n {
            0 => "nothing was decided anew".to_owned(),
            1 => "1 decision".to_owned(),
            n => format!("{n} decisions"),
        };
        let off = if self.with_max { "" } else { " The max is off the chart." };
        Chart {
            id: self.id("servers"),
            title: "Servers",
            unit: "servers",
            height: HEIGHT,
            tells: format!("{range} {unit}; {decisions}.{off}"),
            scale: &self.servers,
            layers,
            rules,
            flag: None,
            marks: self.marks(),
        }
    }

    /// Lines across where they are the same all the time; shapes where an edit moved them.
    fn bounds(&self, layers: &mut Vec<Layer>) -> Vec<Rule> {
        let bounds = || self.of.bounds.iter();
        let first = bounds().next().copied().flatten();
        if bounds().any(|other| *other != first) {
            let part = |n: fn((u32, u32)) -> u32| bounds().map(move |b| b.map(|b| f64::from(n(b))));
            layers.push(Layer::line("limit", "min", part(|(min, _)| min)));
            if self.with_max {
                layers.push(Layer::line("limit", "max", part(|(_, max)| max)));
            }
            return Vec::new();
        }
        let Some((min, max)) = first else { return Vec::new() };
        let rule = |label: String, n: u32| Rule { class: "bound", label, value: f64::from(n) };
        if min == max {
            return vec![rule(format!("min and max {max}"), max)];
        }
        let mut rules = Vec::new();
        if self.with_max {
            rules.push(rule(format!("max {max}"), max));
        }
        if min > 0 {
            rules.push(rule(format!("min {min}"), min));
        }
        rules
    }

    /// One for each place along the axis: the largest change there, and how many more there are.
    fn marks(&self) -> Vec<Mark> {
        let frame = self.frame(String::new());
        let mut places: BTreeMap<i64, Vec<&Decided>> = BTreeMap::new();
        for decided in &self.of.decisions {
            #[expect(clippy::cast_possible_truncation, reason = "at most 40")]
            let place = (frame.percent(decided.at) / 100.0 * MARKS_AT_MOST) as i64;
            places.entry(place).or_default().push(decided);
        }
        let marks = places.into_values().filter_map(|here| {
            let largest = here.iter().max_by_key(|d| d.capacity.abs_diff(d.desired))?;
            let more = match here.len() {
                1 => String::new(),
                n => format!(" (one of {n} about then)"),
            };
            let (from, to, rules) = (largest.capacity, largest.desired, largest.rules.join(", "));
            let at = self.clock.short(largest.at);
            let text = format!("{at}: {from} -> {to}, {rules}{more}");
            Some(Mark { at: largest.at, href: format!("decision?id={}", largest.id()), text })
        });
        marks.collect()
    }
}

/// A stretch of time with its figures.
pub(super) struct Row {
    pub slice: Slice,
    queue: Queue,
    servers: u32,
    desired: Option<u32>,
}

/// As many stretches as one cares to read.
pub(super) fn rows(past: &Past, of: &FleetPast, clock: &Clock) -> Vec<Row> {
    let bins = &past.bins;
    let width = bins.width.as_secs();
    let row = match bins.count() {
        ..200 => 600,
        200..300 => 3600,
        _ => 21_600,
    };
    let row_of = |at: Timestamp| at.as_second().div_euclid(row);
    let mut rows: Vec<Row> = Vec::new();
    let mut last = None;
    for (n, begins) in bins.begins().enumerate() {
        let servers = of.servers.get(n).map_or(0, |servers| servers.all());
        let desired = of.desired.get(n).copied().flatten();
        let queue = of.queue.get(n).copied().unwrap_or_default();
        let to = time::after(begins, Duration::from_secs(width));
        match rows.last_mut().filter(|_| last == Some(row_of(begins))) {
            Some(row) => {
                row.slice.to = to;
                row.servers = row.servers.max(servers);
                row.desired = row.desired.max(desired);
                row.queue = longest(row.queue, queue);
            }
            None => rows.push(Row {
                slice: Slice { from: begins, to, text: String::new() },
                queue,
                servers,
                desired,
            }),
        }
        last = Some(row_of(begins));
    }
    for row in &mut rows {
        let span = time::text(time::since(row.slice.to, row.slice.from));
        let at = clock.short(row.slice.from);
        let waiting = waiting(&row.queue);
        let desired = row.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string());
        row.slice.text = format!(
            "{at}, {span}, at most\nwaiting: {waiting}\nservers: {}\ndesired: {desired}",
            row.servers
        );
    }
    rows
}

fn longest(one: Queue, other: Queue) -> Queue {
    match (jobs(&one), jobs(&other)) {
        (Some(a), Some(b)) => {
            if a >= b {
                one
            } else {
                other
            }
        }
        (Some(_), None) => one,
        (None, Some(_)) => other,
        (None, None) => {
            if one == Queue::Unreadable {
                one
            } else {
                other
            }
        }
    }
}

fn waiting(queue: &Queue) -> String {
    match queue {
        Queue::Waiting { jobs, .. } => grouped(&jobs.to_string()),
        Queue::Unreadable => "not readable".to_owned(),
        Queue::Unknown => "-".to_owned(),
    }
}

/// What the charts show, to be read.
pub(super) fn table(rows: &[Row], clock: &Clock) -> Markup {
    let with_queue = rows.iter().any(|row| row.queue != Queue::Unknown);
    html! {
        div.scroll {
            table {
                thead { tr {
                    th scope="col" { "from" }
                    @if with_queue { th scope="col" { "most waiting" } }
                    th scope="col" { "most servers" }
                    th scope="col" { "most desired" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (clock.short(row.slice.from)) }
                            @if with_queue { td { (waiting(&row.queue)) } }
                            td { (row.servers) }
                            td { (row.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string())) }
                        }
                    }
                }
            }
        }
    }
}
