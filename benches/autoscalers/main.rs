//! What waiting-time goals cost under tidegate's engine and under the rules of other autoscalers:
//! `tests/run bench [--traces DIR]`. Without traces, loads of its own.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a program of figures")]
#![expect(clippy::indexing_slicing, clippy::integer_division, reason = "numbers of its own making")]

mod shop;
mod tidegate;

use std::path::Path;

use crate::shop::{Job, Result, Terms, count, run};
use crate::tidegate::Tidegate;

struct Trace {
    name: String,
    jobs: Vec<Job>,
}

fn read(path: &Path) -> Trace {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
    let jobs = rows.map(|(submit, runtime)| Job {
        submit: submit.parse().unwrap(),
        runtime: runtime.parse().unwrap(),
    });
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Trace { name, jobs: jobs.collect() }
}

impl Trace {
    fn mean(&self) -> f64 {
        self.jobs.iter().map(|job| job.runtime).sum::<f64>() / count(self.jobs.len())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let dir = value("--traces").unwrap();
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "csv"));
    paths.sort();
    let traces: Vec<Trace> = paths.iter().map(|path| read(path)).collect();
    for by_the_hour in [true, false] {
        for (name, boot, wrong, tells) in [
            ("as it is", 300.0, 1.0, true),
            ("job_takes half", 300.0, 0.5, true),
            ("job_takes double", 300.0, 2.0, true),
            ("boot 600", 600.0, 1.0, true),
            ("length only", 300.0, 1.0, false),
        ] {
            let mut product = 0.0;
            let mut line = String::new();
            for trace in &traces {
                let terms = Terms {
                    by_the_hour,
                    boot,
                    poll: 300.0,
                    jobs_at_once: 2,
                    goal: 900.0,
                    job_takes: trace.mean() * wrong,
                    max: 200,
                };
                let result = run(&trace.jobs, terms, &mut Tidegate::new(terms, tells));
                product += result.cost.ln();
                line += &told(&trace.name, &result);
            }
            let geo = (product / count(traces.len())).exp();
            println!("{} {name:<16} {geo:.3} {line}", if by_the_hour { "hour  " } else { "second" });
        }
    }
}

fn told(name: &str, r: &Result) -> String {
    let mark = if r.keeps_the_goal() { "" } else { "!" };
    format!(
        "| {name} {:.3} {:.1}% {:.0}m {}{mark} ",
        r.cost,
        r.late * 100.0,
        r.longest / 60.0,
        r.launches
    )
}
