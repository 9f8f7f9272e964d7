//! Load traces: a CSV file to jobs, or to the length of a queue.

use std::time::Duration;

use super::load::Job;
use super::rng::Rng;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::{self, Timestamp};

/// What a trace tells.
#[derive(Debug, Clone)]
pub enum Trace {
    /// `submit_s,runtime_s`, or jobs spread over the bins of `time,arrivals[,mean_runtime_s]`.
    Jobs(Vec<Job>),
    /// `time,waiting`: what the queue said; who waited for how long is not known.
    Lengths(Vec<Length>),
}

/// The length of a queue at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    pub at: Timestamp,
    pub waiting: u64,
    /// How long the oldest job had waited, where a daemon recorded it.
    pub oldest: Option<Duration>,
}

/// What a trace does not say of itself.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When second 0 of `submit_s` is.
    pub start: Timestamp,
    /// How long a job of a bin without `mean_runtime_s` runs.
    pub job_takes: Duration,
    pub seed: u64,
}

/// Why a trace cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct TraceFault {
    pub line: usize,
    pub why: String,
}

/// No trace goes on for longer: something is wrong with its units.
const LONGEST: f64 = 400.0 * 86_400.0;

/// More jobs than this do not fit into memory, nor into a minute.
const JOBS_AT_MOST: u64 = 3_000_000;

/// A bin of more jobs is a misreading.
const JOBS_IN_A_BIN: u64 = 1_000_000;

/// Reads a trace by its heading.
pub fn read(text: &str, how: Reading) -> Result<Trace, TraceFault> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let heading = lines.next().map_or("", |(_, line)| line).trim_start_matches('\u{feff}');
    let names: Vec<&str> = heading.split(',').map(str::trim).collect();
    let rows = lines.filter(|(_, line)| !line.is_empty());
    let mut rows =
        rows.map(|(at, line)| Row { at, fields: line.split(',').map(str::trim).collect() });
    match names.as_slice() {
        ["submit_s", "runtime_s"] => jobs(&mut rows, how),
        ["time", "arrivals"] | ["time", "arrivals", "mean_runtime_s"] => bins(&mut rows, how),
        ["time", "waiting"] => lengths(&mut rows),
        _ => Err(TraceFault {
            line: 1,
            why: format!(
                "the heading is `{}`; it should be `submit_s,runtime_s`, `time,arrivals`, `time,arrivals,mean_runtime_s` or `time,waiting`",
                printable(heading, 80)
            ),
        }),
    }
}

struct Row<'a> {
    at: usize,
    fields: Vec<&'a str>,
}

impl Row<'_> {
    fn fault(&self, why: String) -> TraceFault {
        TraceFault { line: self.at, why }
    }

    fn text(&self, nth: usize) -> Result<&str, TraceFault> {
        let found = self.fields.get(nth).filter(|text| !text.is_empty());
        found.copied().ok_or_else(|| self.fault(format!("column {} is missing", nth + 1)))
    }

    fn number(&self, nth: usize, most: f64) -> Result<f64, TraceFault> {
        let text = self.text(nth)?;
        let number = text.parse().ok().filter(|n: &f64| (0.0..=most).contains(n));
        number.ok_or_else(|| {
            self.fault(format!("`{}` is not a number from 0 to {most}", printable(text, 40)))
        })
    }

    fn count(&self, nth: usize, most: u64) -> Result<u64, TraceFault> {
        let text = self.text(nth)?;
        let count = text.parse().ok().filter(|n| *n <= most);
        count.ok_or_else(|| {
            self.fault(format!("`{}` is not a whole number up to {most}", printable(text, 40)))
        })
    }

    /// Refuses a row that is too long after the first one.
    fn near(&self, first: Option<Timestamp>, at: Timestamp) -> Result<(), TraceFault> {
        if first.is_none_or(|first| time::since(at, first) <= seconds(LONGEST)) {
            return Ok(());
        }
        let why = "more than 400 days after the first line: cut the trace, or correct its times";
        Err(self.fault(why.to_owned()))
    }

    /// Refuses the row up to which there are too many jobs.
    fn bearable(&self, jobs: u64) -> Result<(), TraceFault> {
        if jobs <= JOBS_AT_MOST {
            return Ok(());
        }
        let why = format!("more than {JOBS_AT_MOST} jobs up to here: cut the trace, or thin it");
        Err(self.fault(why))
    }

    /// An instant in full, or seconds since 1970.
    fn time(&self) -> Result<Timestamp, TraceFault> {
        let text = self.text(0)?;
        let seconds = || Timestamp::from_second(text.parse().ok()?).ok();
        text.parse().ok().or_else(seconds).ok_or_else(|| {
            let shown = printable(text, 40);
            self.fault(format!(
                "`{shown}` is no instant like 2026-03-02T08:00:00Z, nor seconds since 1970"
            ))
        })
    }
}

pub(super) fn seconds(span: f64) -> Duration {
    Duration::try_from_secs_f64(span).unwrap_or_default()
}

fn jobs(rows: &mut dyn Iterator<Item = Row<'_>>, how: Reading) -> Result<Trace, TraceFault> {
    let mut jobs = Vec::new();
    for row in rows {
        row.bearable(u64::try_from(jobs.len()).unwrap_or(u64::MAX))?;
        let arrives = time::after(how.start, seconds(row.number(0, LONGEST)?));
        jobs.push(Job { arrives, takes: seconds(row.number(1, LONGEST)?) });
    }
    sorted(jobs)
}

/// The jobs of a bin come at any time in it; the last bin is as long as the one before.
fn bins(rows: &mut dyn Iterator<Item = Row<'_>>, how: Reading) -> Result<Trace, TraceFault> {
    let mut bins: Vec<(Timestamp, u64, Duration)> = Vec::new();
    let mut sum = 0_u64;
    for row in rows {
        let takes =
            if row.fields.len() > 2 { seconds(row.number(2, LONGEST)?) } else { how.job_takes };
        let begins = row.time()?;
        row.near(bins.first().map(|(first, ..)| *first), begins)?;
        if bins.last().is_some_and(|(last, ..)| *last >= begins) {
            return Err(row.fault("bins go forward in time; this one does not".to_owned()));
        }
        let count = row.count(1, JOBS_IN_A_BIN)?;
        sum = sum.saturating_add(count);
        row.bearable(sum)?;
        bins.push((begins, count, takes));
    }
    let mut length = Duration::from_mins(5);
    let mut spread = Spread::new(how.seed);
    for (nth, (begins, count, takes)) in bins.iter().enumerate() {
        if let Some((next, ..)) = bins.get(nth + 1) {
            length = time::since(*next, *begins);
        }
        spread.bin(*begins, length, *count, *takes);
    }
    sorted(spread.jobs)
}

/// Jobs that come at any time of their bins.
pub(super) struct Spread {
    whims: Rng,
    pub jobs: Vec<Job>,
}

impl Spread {
    pub(super) fn new(seed: u64) -> Self {
        Self { whims: Rng::new(seed, "arrivals within bins"), jobs: Vec::new() }
    }

    pub(super) fn bin(&mut self, begins: Timestamp, length: Duration, count: u64, takes: Duration) {
        for _ in 0..count {
            let arrives = time::after(begins, self.whims.between(Duration::ZERO, length));
            self.jobs.push(Job { arrives, takes });
        }
    }
}

pub(super) fn sorted(mut jobs: Vec<Job>) -> Result<Trace, TraceFault> {
    if jobs.is_empty() {
        return Err(TraceFault { line: 2, why: "there are no jobs".to_owned() });
    }
    jobs.sort_by_key(|job| job.arrives);
    Ok(Trace::Jobs(jobs))
}

fn lengths(rows: &mut dyn Iterator<Item = Row<'_>>) -> Result<Trace, TraceFault> {
    let mut lengths: Vec<Length> = Vec::new();
    for row in rows {
        let at = row.time()?;
        row.near(lengths.first().map(|first| first.at), at)?;
        if lengths.last().is_some_and(|last| last.at >= at) {
            return Err(row.fault("readings go forward in time; this one does not".to_owned()));
        }
        let waiting = row.count(1, 1_000_000_000_000)?;
        lengths.push(Length { at, waiting, oldest: None });
    }
    if lengths.is_empty() {
        return Err(TraceFault { line: 2, why: "there are no readings".to_owned() });
    }
    Ok(Trace::Lengths(lengths))
}

impl Trace {
    /// From the first thing in it to the last.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        let ends = match self {
            Self::Jobs(jobs) => jobs.first().zip(jobs.last()).map(|(a, b)| (a.arrives, b.arrives)),
            Self::Lengths(lengths) => {
                lengths.first().zip(lengths.last()).map(|(a, b)| (a.at, b.at))
            }
        };
        ends.unwrap_or((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how() -> Reading {
        let start = "2026-03-02T00:00:00Z".parse().unwrap();
        Reading { start, job_takes: Duration::from_mins(2), seed: 1 }
    }

    fn jobs_of(text: &str) -> Vec<Job> {
        match read(text, how()).unwrap() {
            Trace::Jobs(jobs) => jobs,
            Trace::Lengths(_) => panic!("lengths"),
        }
    }

    #[test]
    fn jobs_bins_and_lengths() {
        let jobs = jobs_of("submit_s,runtime_s\n60.5,10\n1,3600\n\n");
        let at: Vec<String> = jobs.iter().map(|job| job.arrives.to_string()).collect();
        assert_eq!(at, ["2026-03-02T00:00:01Z", "2026-03-02T00:01:00.5Z"]);
        assert_eq!(jobs[0].takes, Duration::from_hours(1));
        let bins =
            "time,arrivals,mean_runtime_s\n2026-03-02T08:00:00Z,3,60\n2026-03-02T08:30:00Z,2,30\n";
        let jobs = jobs_of(bins);
        assert_eq!(jobs.len(), 5);
        assert!(jobs[..3].iter().all(|job| job.takes == Duration::from_mins(1)));
        let last: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        assert!(jobs.iter().all(|job| job.arrives <= last));
        assert_eq!(jobs_of("time,arrivals\n1700000000,1\n")[0].takes, Duration::from_mins(2));
        let read = read("time,waiting\n1700000000,7\n1700000300,0\n", how()).unwrap();
        assert!(matches!(read, Trace::Lengths(lengths) if lengths.len() == 2));
    }

    #[test]
    fn a_bad_trace_names_the_line() {
        let bad = [
            ("", 1),
            ("submit,runtime\n1,2\n", 1),
            ("submit_s,runtime_s\n", 2),
            ("submit_s,runtime_s\n1,2\n3\n", 3),
            ("submit_s,runtime_s\n1,-2\n", 2),
            ("submit_s,runtime_s\nNaN,2\n", 2),
            ("submit_s,runtime_s\n1e300,2\n", 2),
            ("time,arrivals\n2026-03-02T08:00:00Z,1.5\n", 2),
            ("time,arrivals\nyesterday,1\n", 2),
            ("time,arrivals\n1700000300,1\n1700000000,1\n", 3),
            ("time,waiting\n1700000000,-1\n", 2),
            // Far apart, in either form of time.
            ("time,waiting\n2026-01-01T00:00:00Z,1\n2027-02-06T00:00:00Z,0\n", 3),
            ("time,waiting\n0001-01-01T00:00:00Z,1\n9999-01-01T00:00:00Z,0\n", 3),
            ("time,arrivals\n0,1\n300,1\n1700000000,1\n", 4),
            ("time,arrivals\n0,1000000000000000000\n", 2),
            ("time,arrivals\n0,1000000\n1,1000000\n2,1000000\n3,1\n", 5),
            ("time,waiting\n0,1000000000000000000\n", 2),
            ("time,waiting,time,waiting\n0,1\n", 1),
        ];
        for (text, line) in bad {
            assert_eq!(read(text, how()).unwrap_err().line, line, "{text:?}");
        }
    }
}
