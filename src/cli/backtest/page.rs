//! The page of `backtest --html`: one file that needs nothing else, no script, no font, no network.
//! Whatever comes from outside is escaped by the markup's own macro.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{Scales, charts};
use super::slices::{Row, slices};
use super::table::{self, ROWS};
use super::{Asked, Column, Failure, Past, Trace};
use crate::chart::axis::grouped;
use crate::chart::{self, Frame, Slice, patterns, zone_note};
use crate::prices::Cost;
use crate::sim::backtest::Span;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Billing;

const STYLE: &str = include_str!("page.css");

/// Not even what a name from outside would smuggle in may be fetched or run.
const NOTHING_ELSE: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Says so before a long run, not after it.
pub(super) fn writable(path: &Path) -> Result<(), Failure> {
    let opened = std::fs::File::options().append(true).create(true).open(path);
    opened.with_context(|| format!("failed to write the page {}", path.display()))?;
    Ok(())
}

pub(super) fn write(
    path: &Path,
    asked: &Asked<'_>,
    columns: &[Column],
    reproduced: Option<(&Past, &Span)>,
) -> Result<(), Failure> {
    let page = page(asked, columns, reproduced)
        .ok_or_else(|| anyhow!("there is nothing to draw: no policy was run"))?;
    let written = std::fs::write(path, page.into_string());
    Ok(written.with_context(|| format!("failed to write the page {}", path.display()))?)
}

fn page(
    asked: &Asked<'_>,
    columns: &[Column],
    reproduced: Option<(&Past, &Span)>,
) -> Option<Markup> {
    let first = columns.first()?;
    let from = columns.iter().map(|column| column.outcome.from).min()?;
    let to = columns.iter().map(|column| column.outcome.series.still_from()).max()?;
    let scales = Scales::of(columns);
    let several = columns.len() > 1;
    Some(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(NOTHING_ELSE);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Backtest: " (shown(&first.name)) @if several { " and others" } }
                style { (PreEscaped(chart::STYLE)) (PreEscaped(STYLE)) }
            }
            body {
                (patterns())
                main {
                    h1 { "What it would have cost, and who would have waited" }
                    @for line in asked.first_lines(columns) { p { (line) } }
                    p { (load(asked, first)) }
                    p.quiet { (table::assumed(asked, columns)) }
                    @for line in table::missing(columns) { p { (line) } }
                    @if let Some((past, imagined)) = reproduced { (really(past, imagined)) }
                    (summary(columns))
                    div.policies {
                        @for (nth, column) in columns.iter().enumerate() {
                            (policy(nth, column, (from, to), &scales))
                        }
                    }
                }
            }
        }
    })
}

fn shown(name: &str) -> String {
    printable(name, 200)
}

/// An instant for people: `Mon 2 Mar 08:15`.
pub(super) fn moment(at: Timestamp, column: &Column) -> String {
    at.to_zoned(column.zone.clone()).strftime("%a %-d %b %H:%M").to_string()
}

/// When a stretch of time begins. Long ones are days, give or take the hour that a clock is changed.
pub(super) fn stretch(from: Timestamp, length: Duration, column: &Column) -> String {
    if length < Duration::from_hours(24) {
        return moment(from, column);
    }
    let noon = time::after(from, Duration::from_hours(12));
    noon.to_zoned(column.zone.clone()).strftime("%a %-d %b %Y").to_string()
}

fn load(asked: &Asked<'_>, first: &Column) -> String {
    let (from, to) = asked.trace.span();
    let span = format!("{} to {}", time::local(from, &first.zone), time::local(to, &first.zone));
    let what = match asked.trace {
        Trace::Jobs(jobs) if jobs.len() == 1 => "1 job".to_owned(),
        Trace::Jobs(jobs) => format!("{} jobs", grouped(&jobs.len().to_string())),
        Trace::Lengths(lengths) => {
            format!("{} readings of a queue's length", grouped(&lengths.len().to_string()))
        }
    };
    match &asked.args.trace {
        Some(path) => format!("Load: {what} of {}, {span}.", shown(&path.display().to_string())),
        None => format!("Load: {what}, as recorded, {span}."),
    }
}

/// What really was, beside the backtest of the policy that ran.
fn really(past: &Past, imagined: &Span) -> Markup {
    let (really, replayed) = (past.span(), past.replayed());
    let hours = |span: &Span| format!("{:.1}", span.server_time.as_secs_f64() / 3600.0);
    let rows = [
        ("server-hours", hours(&really), hours(imagined)),
        ("launches", really.launches.to_string(), imagined.launches.to_string()),
        (
            "waiting, mean",
            format!("{:.1}", really.waiting.mean()),
            format!("{:.1}", imagined.waiting.mean()),
        ),
        ("waiting, most", really.waiting.most.to_string(), imagined.waiting.most.to_string()),
    ];
    html! {
        section {
            h2 { "How closely it reproduces what was" }
            p {
                "The rules that ran, asked again at each reading: " (replayed.same) " of "
                (replayed.looks) " decisions are the same."
            }
            table {
                thead { tr { th {} th { "it was" } th { "backtest" } } }
                tbody { @for (row, was, would) in rows { tr { th { (row) } td { (was) } td { (would) } } } }
            }
        }
    }
}

fn summary(columns: &[Column]) -> Markup {
    html! {
        section {
            h2 { "In figures" }
            div.scroll role="region" aria-label="In figures" tabindex="0" {
                table.summary {
                    thead { tr {
                        th {}
                        @for column in columns { th.name scope="col" { (shown(&column.name)) } }
                    } }
                    tbody {
                        @for row in ROWS {
                            tr {
                                th scope="row" { (row) }
                                @for column in columns { td { (column.cell(row)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn policy(nth: usize, column: &Column, span: (Timestamp, Timestamp), scales: &Scales) -> Markup {
    let series = &column.outcome.series;
    let frame = Frame {
        from: span.0,
        to: span.1,
        origin: series.origin,
        width: series.width,
        zone: &column.zone,
        note: zone_note(span.0, &column.zone),
    };
    let rows = slices(column, span.1);
    let slices: Vec<Slice> = rows.iter().map(|row| row.slice.clone()).collect();
    let bounds = column.fleet.bounds;
    html! {
        section.policy id={ "p" (nth) } {
            header {
                h2 { (shown(&column.name)) }
                p.quiet {
                    "Fleet " (column.fleet.name.as_str()) ", " (bounds.min()) " to " (bounds.max())
                    " servers. A step in the charts is " (time::text(series.width))
                    ": jobs at their most, servers on average."
                    @if series.to > span.1 {
                        " From " (moment(span.1, column)) " until the end, "
                        (moment(series.to, column)) ", nothing changes; it is not drawn."
                    }
                }
                (key_figures(column))
                (worst(column))
            }
            @for chart in charts(nth, column, scales) {
                @match chart {
                    Ok(chart) => (chart.draw(&frame, &slices)),
                    Err(why) => figure { figcaption { h3 { (why.0) } p { (why.1) } } },
                }
            }
            (as_table(&rows, column))
        }
    }
}

fn key_figures(column: &Column) -> Markup {
    let outcome = &column.outcome;
    let how = match outcome.billing {
        Billing::Hour => "cost, by the hour",
        Billing::Second => "cost, by the second",
    };
    let mut figures = vec![
        (how.to_owned(), column.cost().to_string()),
        ("server-hours".to_owned(), column.cell("server-hours")),
    ];
    if outcome.jobs.is_some() {
        let over = format!("waited over {}", time::text(column.goal));
        figures.push((over, format!("{:.1} %", column.share_over() * 100.0)));
        figures.push(("longest wait".to_owned(), column.cell("wait, longest")));
    }
    html! {
        dl.figures { @for (what, figure) in figures { div { dt { (what) } dd { (figure) } } } }
    }
}

fn worst(column: &Column) -> Markup {
    let Some(worst) = &column.outcome.worst else { return html! {} };
    html! {
        p.worst {
            "The longest wait was of a job that came at " (time::local(worst.arrived, &column.zone))
            " and waited " (time::text(worst.waited)) "."
            @if let Some((at, _)) = &worst.decided {
                " Decided last, at " (time::local(*at, &column.zone)) ":"
            }
        }
        @if let Some((_, text)) = &worst.decided { blockquote { (printable(text, 2000)) } }
    }
}

fn as_table(rows: &[Row], column: &Column) -> Markup {
    let known = column.outcome.jobs.is_some();
    let priced = column.cost().known_part().is_some();
    let float = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let mean = |row: &Row| {
        let span = time::since(row.slice.to, row.slice.from).as_secs_f64().max(1.0);
        row.bin.servers.as_secs_f64() / span
    };
    html! {
        details {
            summary { "The charts as a table" }
            div.scroll role="region" aria-label="The charts as a table" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "from" }
                        th scope="col" { "most waiting" }
                        @if known {
                            th scope="col" { "jobs" }
                            th scope="col" { "over " (time::text(column.goal)) }
                            th scope="col" { "longest wait" }
                        }
                        th scope="col" { "servers" }
                        th scope="col" { "most" }
                        th scope="col" { "cost in it" }
                    } }
                    tbody {
                        @for row in rows {
                            @let (slice, bin) = (&row.slice, &row.bin);
                            tr {
                                th scope="row" { (stretch(slice.from, time::since(slice.to, slice.from), column)) }
                                td { (bin.waiting) }
                                @if known {
                                    td { (bin.came) }
                                    td { @if bin.came == 0 { "-" } @else {
                                        (format!("{:.1} %", float(bin.late) / float(bin.came) * 100.0))
                                    } }
                                    td { (bin.longest.map_or_else(|| "-".to_owned(), time::text)) }
                                }
                                td { (format!("{:.1}", mean(row))) }
                                td { (bin.most) }
                                td { @if priced { (format!("${:.2}", column.due(bin))) } @else { "-" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Column {
    /// What it cost, as the policy is billed.
    pub(super) fn cost(&self) -> &Cost {
        match self.outcome.billing {
            Billing::Hour => &self.outcome.cost_by_hour,
            Billing::Second => &self.outcome.cost_by_second,
        }
    }

    /// Dollars that fell due, as the policy is billed.
    pub(super) fn due(&self, bin: &crate::sim::backtest::series::Bin) -> f64 {
        match self.outcome.billing {
            Billing::Hour => bin.by_hour,
            Billing::Second => bin.by_second,
        }
    }
}
