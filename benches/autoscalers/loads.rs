//! Traces: files of `submit_s,runtime_s`, and loads made here for those who have none.

use std::path::Path;
use std::time::Duration;

use tidegate::sim::rng::Rng;

use crate::shop::{Job, count};

pub(crate) struct Trace {
    pub name: String,
    pub jobs: Vec<Job>,
}

impl Trace {
    /// The mean run time.
    pub(crate) fn mean(&self) -> f64 {
        self.jobs.iter().map(|job| job.runtime).sum::<f64>() / count(self.jobs.len().max(1))
    }
}

/// Every `.csv` of a folder, by name.
pub(crate) fn read(dir: &Path) -> Vec<Trace> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "csv"));
    paths.sort();
    paths.iter().map(|path| one(path)).collect()
}

fn one(path: &Path) -> Trace {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
    let number =
        |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("{}: `{text}`", path.display()));
    let jobs =
        rows.map(|(submit, runtime)| Job { submit: number(submit), runtime: number(runtime) });
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Trace { name, jobs: jobs.collect() }
}

const DAYS: f64 = 14.0;

/// Three shops: office hours with even jobs, a quiet one with bursts, and a few jobs of very unlike
/// lengths. Always the same.
pub(crate) fn made() -> Vec<Trace> {
    let office = |at: f64| {
        let hour = (at / 3600.0) % 24.0;
        let weekday = (at / 86_400.0) % 7.0 < 5.0;
        if weekday && (8.0..18.0).contains(&hour) { 120.0 } else { 6.0 }
    };
    vec![
        poisson("made_office", 120.0, office, 240.0, 0.5),
        bursts(),
        poisson("made_unlike", 12.0, |_| 12.0, 600.0, 2.5),
    ]
}

/// Arrivals at `rate` jobs an hour, never over `peak`; run times with a mean and, as sigma of a
/// lognormal, a spread.
fn poisson(name: &str, peak: f64, rate: impl Fn(f64) -> f64, mean: f64, spread: f64) -> Trace {
    let mut rng = Rng::new(1, name);
    let mut jobs = Vec::new();
    let mut at = 0.0;
    while at < DAYS * 86_400.0 {
        at += rng.exponential(Duration::from_secs_f64(3600.0 / peak)).as_secs_f64();
        if rng.chance(rate(at) / peak) {
            jobs.push(Job { submit: at, runtime: lognormal(&mut rng, mean, spread) });
        }
    }
    Trace { name: name.to_owned(), jobs }
}

/// Four jobs an hour, and a hundred and fifty within five minutes about once a day.
fn bursts() -> Trace {
    let mut trace = poisson("made_bursts", 4.0, |_| 4.0, 120.0, 1.0);
    let mut rng = Rng::new(2, &trace.name);
    let mut at = 0.0;
    while at < DAYS * 86_400.0 {
        at += rng.exponential(Duration::from_hours(24)).as_secs_f64();
        for _ in 0..150 {
            let submit = at + rng.unit() * 300.0;
            trace.jobs.push(Job { submit, runtime: lognormal(&mut rng, 120.0, 1.0) });
        }
    }
    trace.jobs.sort_by(|a, b| a.submit.total_cmp(&b.submit));
    trace
}

/// Box and Muller's way to a normal number, and its exponential; at most half a day.
fn lognormal(rng: &mut Rng, mean: f64, sigma: f64) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.unit()).cos();
    let runtime = (mean.ln() - sigma * sigma / 2.0 + sigma * normal).exp();
    runtime.clamp(1.0, 43_200.0)
}
