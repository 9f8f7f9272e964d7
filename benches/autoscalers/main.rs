//! What a waiting-time goal costs under tidegate's engine and under the rules of other autoscalers:
//! `tests/run bench [--traces DIR] [--svg DIR]`. Without traces, loads of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program of figures"
)]

mod loads;
mod peers;
mod picture;
mod shop;
mod tidegate;

use std::path::Path;

use crate::loads::Trace;
use crate::picture::Point;
use crate::shop::{Autoscaler, Result, Terms, count, run};
use crate::tidegate::Tidegate;

/// Others' rules with the settings that are tried: jobs for each server, waiting jobs, or seconds.
const PEERS: [(&str, &[f64]); 8] = [
    ("target", &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]),
    ("hpa", &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]),
    ("nomad", &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]),
    ("keda", &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]),
    ("hirefire", &[0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 15.0]),
    ("step", &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0]),
    ("judoscale", &[10.0, 30.0, 60.0, 120.0, 300.0, 450.0]),
    ("article", &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0]),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value =
        |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let traces = value("--traces").map_or_else(loads::made, |dir| loads::read(Path::new(dir)));
    for by_the_hour in [true, false] {
        let billing = if by_the_hour { "hour" } else { "second" };
        println!("\n## Billed by the {billing}\n");
        heading(&traces);
        let mut points = Vec::new();
        ours(&traces, by_the_hour, &mut points);
        theirs(&traces, by_the_hour, &mut points);
        if let Some(dir) = value("--svg") {
            let title = format!("Cost and late jobs, billed by the {billing}");
            let path = Path::new(dir).join(format!("performance-{billing}.svg"));
            std::fs::write(path, picture::draw(&title, &points)).unwrap();
        }
    }
}

fn terms(trace: &Trace, by_the_hour: bool) -> Terms {
    Terms {
        by_the_hour,
        boot: 300.0,
        poll: 300.0,
        jobs_at_once: 2,
        goal: 900.0,
        job_takes: trace.mean(),
        max: 200,
    }
}

/// One rule at one setting over every trace.
struct Row {
    name: String,
    results: Vec<Result>,
}

impl Row {
    fn new(
        name: &str,
        traces: &[Trace],
        mut scaler: impl FnMut(&Trace) -> (Terms, Box<dyn Autoscaler>),
    ) -> Self {
        let results = traces.iter().map(|trace| {
            let (terms, mut scaler) = scaler(trace);
            run(&trace.jobs, terms, scaler.as_mut())
        });
        Self { name: name.to_owned(), results: results.collect() }
    }

    /// The geometric mean.
    fn cost(&self) -> f64 {
        let logs: f64 = self.results.iter().map(|result| result.cost.ln()).sum();
        (logs / count(self.results.len())).exp()
    }

    fn late(&self) -> f64 {
        self.results.iter().map(|result| result.late).fold(0.0, f64::max)
    }

    fn longest(&self) -> f64 {
        self.results.iter().map(|result| result.longest).fold(0.0, f64::max)
    }

    fn keeps_the_goal(&self) -> bool {
        self.results.iter().all(Result::keeps_the_goal)
    }

    fn print(&self) {
        let kept = if self.keeps_the_goal() { "kept" } else { "missed" };
        let each: Vec<String> = self
            .results
            .iter()
            .map(|r| {
                format!(
                    "{:.2} ({:.1} %, {:.0}m, {})",
                    r.cost,
                    r.late * 100.0,
                    r.p95 / 60.0,
                    r.launches
                )
            })
            .collect();
        println!(
            "| {} | **{:.3}** | {kept} | {:.1} % | {:.0}m | {} |",
            self.name,
            self.cost(),
            self.late() * 100.0,
            self.longest() / 60.0,
            each.join(" | ")
        );
    }

    fn point(&self, rule: &str) -> Point {
        Point { rule: rule.to_owned(), cost: self.cost(), late: self.late() }
    }
}

fn heading(traces: &[Trace]) {
    let names: Vec<&str> = traces.iter().map(|trace| trace.name.as_str()).collect();
    println!("Each trace: cost (late jobs, wait of 95 of 100, launches).\n");
    println!("| rule | cost | goal | late at worst | longest wait | {} |", names.join(" | "));
    println!("| --- | --- | --- | --- | --- | {} |", vec!["---"; names.len()].join(" | "));
}

/// tidegate with nothing tuned, and with what it is told made worse.
fn ours(traces: &[Trace], by_the_hour: bool, points: &mut Vec<Point>) {
    let variants: [(&str, f64, f64, bool); 5] = [
        ("tidegate", 300.0, 1.0, true),
        ("tidegate, `job_takes` declared half as long", 300.0, 0.5, true),
        ("tidegate, declared twice as long", 300.0, 2.0, true),
        ("tidegate, boots of 600 s", 600.0, 1.0, true),
        ("tidegate, told the queue's length alone", 300.0, 1.0, false),
    ];
    for (nth, (name, boot, wrong, tells)) in variants.into_iter().enumerate() {
        let row = Row::new(name, traces, |trace| {
            let plain = terms(trace, by_the_hour);
            let terms = Terms { boot, job_takes: plain.job_takes * wrong, ..plain };
            (terms, Box::new(Tidegate::new(terms, tells)))
        });
        row.print();
        if nth == 0 {
            points.push(row.point(name));
        }
    }
}

/// Each of the others at the setting that keeps the goal everywhere at the least cost, or, where
/// none does, at the one with the fewest late jobs.
fn theirs(traces: &[Trace], by_the_hour: bool, points: &mut Vec<Point>) {
    for (rule, settings) in PEERS {
        let mut rows = Vec::new();
        for setting in settings {
            for used_up in if by_the_hour { &[false, true][..] } else { &[false] } {
                let how = if *used_up { ", paid hours used up" } else { "" };
                rows.push(Row::new(&format!("{rule} at {setting}{how}"), traces, |trace| {
                    let terms = terms(trace, by_the_hour);
                    (terms, peers::rule(rule, *setting, *used_up, terms))
                }));
            }
        }
        points.extend(rows.iter().map(|row| row.point(rule)));
        let kept = rows.iter().filter(|row| row.keeps_the_goal());
        let best = kept.min_by(|a, b| a.cost().total_cmp(&b.cost()));
        let best = best.or_else(|| rows.iter().min_by(|a, b| a.late().total_cmp(&b.late())));
        best.unwrap().print();
    }
}
