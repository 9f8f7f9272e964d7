//! The figures of a backtest, a column for each policy.

use super::{Asked, Column, Failure};
use crate::cli::out::say;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time;
use tidegate_engine::policy::Billing;

impl Column {
    pub(super) fn cell(&self, row: &str) -> String {
        let outcome = &self.outcome;
        let mark = |billing| if outcome.billing == billing { " *" } else { "" };
        let jobs = outcome.jobs.as_ref();
        let wait =
            |percent| jobs.map_or_else(|| "-".to_owned(), |jobs| time::text(jobs.wait(percent)));
        let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        match row {
            "cost, by the hour" => format!("{}{}", outcome.cost_by_hour, mark(Billing::Hour)),
            "cost, by the second" => {
                format!("{}{}", outcome.cost_by_second, mark(Billing::Second))
            }
            "server-hours" => format!("{:.1}", outcome.server_time.as_secs_f64() / 3600.0),
            "in service, idle" if jobs.is_none() => "-".to_owned(),
            "in service, idle" => format!("{:.1} h", outcome.idle.as_secs_f64() / 3600.0),
            "launches" => outcome.launches.to_string(),
            "undone within 30m" => outcome.reversals.to_string(),
            "at max" => format!("{:.1} h", outcome.at_max.as_secs_f64() / 3600.0),
            "jobs started" => count(jobs.map(|jobs| jobs.started)),
            "jobs unfinished" => count(jobs.map(|jobs| jobs.unfinished)),
            "jobs interrupted" => count(jobs.map(|jobs| jobs.interrupted)),
            "jobs lost" => count(jobs.map(|jobs| jobs.lost)),
            "wait, mean" => jobs.map_or_else(|| "-".to_owned(), |jobs| time::text(jobs.mean)),
            "wait, 50 of 100" => wait(50),
            "wait, 95 of 100" => wait(95),
            "wait, 99 of 100" => wait(99),
            "wait, longest" => wait(100),
            _ if jobs.is_none() => "-".to_owned(),
            _ => format!("{:.1} % over {}", self.share_over() * 100.0, time::text(self.goal)),
        }
    }
}

pub(super) const ROWS: [&str; 17] = [
    "cost, by the hour",
    "cost, by the second",
    "server-hours",
    "in service, idle",
    "launches",
    "undone within 30m",
    "at max",
    "jobs started",
    "jobs unfinished",
    "jobs interrupted",
    "jobs lost",
    "wait, mean",
    "wait, 50 of 100",
    "wait, 95 of 100",
    "wait, 99 of 100",
    "wait, longest",
    "waited over",
];

pub(super) fn print(asked: &Asked<'_>, columns: &[Column]) -> Result<(), Failure> {
    let width = |column: &Column| {
        ROWS.iter().map(|row| column.cell(row).len()).max().unwrap_or(0).max(column.name.len())
    };
    let line = |head: &str, cells: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().map(|c| format!("  {:>width$}", cells(c), width = width(c)));
        format!("{head:<20}{}", cells.collect::<String>())
    };
    say!("{}", line("", &|column| printable(&column.name, 200)))?;
    for row in ROWS {
        say!("{}", line(row, &|column| column.cell(row)))?;
    }
    for column in columns {
        if let Some(worst) = &column.outcome.worst {
            say!(
                "\n{}: the longest wait was of a job that came at {} and waited {}.",
                column.name,
                worst.arrived,
                time::text(worst.waited)
            )?;
            if let Some((at, text)) = &worst.decided {
                say!("  Decided last, at {at}: {text}")?;
            }
        }
    }
    say!("\n{}", assumed(asked, columns))?;
    for line in missing(columns) {
        say!("{line}")?;
    }
    Ok(())
}

pub(super) fn assumed(asked: &Asked<'_>, columns: &[Column]) -> String {
    let at_once: Vec<String> = columns.iter().map(|c| c.jobs_at_once.to_string()).collect();
    format!(
        "Assumed: {}, * as the policy bills; a boot of {}; {} jobs at once on a server; EC2 gives what is asked; the daemon looks once a minute.",
        sources(columns),
        time::text(asked.boot),
        at_once.join(", "),
    )
}

/// Where the prices of the columns come from, each source once.
fn sources(columns: &[Column]) -> String {
    let mut sources: Vec<String> = Vec::new();
    for column in columns {
        let source = column.prices.source();
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources.join(", and ")
}

/// The prices that are not known, with what to do; of which policy, where there are several.
pub(super) fn missing(columns: &[Column]) -> Vec<String> {
    let lines = columns.iter().flat_map(|column| {
        let policy = match columns {
            [_] => String::new(),
            _ => format!("{}: ", printable(&column.name, 200)),
        };
        let fleet = column.fleet.name.as_str();
        let lines = column.prices.missing(&column.outcome.cost_by_second);
        lines.into_iter().map(move |line| format!("{policy}fleet {fleet}: {line}"))
    });
    lines.collect()
}
