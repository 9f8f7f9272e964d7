//! A fleet's card: how it stands in words and figures, and its past in charts.

use maud::{Markup, html};

use super::charts::{self, Drawings};
use super::{Facts, Sheet};
use crate::admin::view::{FleetMode, FleetStatus};
use crate::admin::words::{Teller, mark, others, servers};
use tidegate_engine::model::fault::printable;
use tidegate_engine::policy::Mode;

/// What a person looks for first, in a word and a shape: never by colour alone.
fn state(sheet: &Sheet<'_>, fleet: &FleetStatus) -> (&'static str, &'static str, &'static str) {
    let (capacity, observed) = (fleet.capacity, fleet.mode.is(FleetMode::Observe));
    if sheet.has_problem(fleet) {
        ("bad", "■", "problem")
    } else if fleet.mode.is(FleetMode::Unmanaged) {
        ("odd", "◇", "not in the policy")
    } else if fleet.desired.is_some_and(|desired| desired > capacity) {
        ("busy-state", "▲", if observed { "would grow" } else { "growing" })
    } else if fleet.desired.is_some_and(|desired| desired < capacity) {
        ("busy-state", "▼", if observed { "would shrink" } else { "shrinking" })
    } else if !fleet.left_out.is_empty() {
        ("odd", "◆", "held back")
    } else if fleet.in_service < capacity {
        ("busy-state", "◐", "starting")
    } else {
        ("fine-state", "●", "steady")
    }
}

fn heading(sheet: &Sheet<'_>, fleet: &FleetStatus) -> Markup {
    let (class, shape, word) = state(sheet, fleet);
    let name = Some(fleet.name.clone());
    let alone = sheet.view.fleet.is_some();
    html! {
        header.fleet-head {
            h2 {
                @if alone { (fleet.name) }
                @else { a href={ "./" (sheet.view.only(name).query()) } { (fleet.name) } }
            }
            span class={ "state " (class) } { span aria-hidden="true" { (shape) } " " (word) }
            @if fleet.mode.is(FleetMode::Observe) { span.state.odd { "observe mode" } }
            @if let Some(mark) = mark(fleet) { span.state.odd { (mark) } }
        }
    }
}

fn figure(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn number(n: Option<u32>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

fn figures(sheet: &Sheet<'_>, fleet: &FleetStatus) -> Markup {
    let then = fleet.wanted.filter(|wanted| Some(*wanted) != fleet.desired);
    html! {
        dl.figures {
            (figure("in service", &html! { (fleet.in_service) }))
            (figure("desired", &html! { (number(fleet.desired)) @if let Some(then) = then { small { " wants " (then) } } }))
            (figure("min and max", &html! { (number(fleet.min)) " to " (number(fleet.max)) }))
            @if let Some(reading) = &fleet.reading {
                @match reading.waiting {
                    Some(waiting) => (figure("jobs waiting", &html! {
                        (waiting) small { " at " (sheet.clock.at(reading.at)) }
                    })),
                    None => (figure("jobs waiting", &html! {
                        "?" small { " not readable at " (sheet.clock.at(reading.at)) }
                    })),
                }
            }
        }
    }
}

/// How it stands: the first part of a card.
pub(super) fn now(sheet: &Sheet<'_>, fleet: &FleetStatus) -> Markup {
    // Without the time of the last look nothing is said to be so and so long ago: it would be news at
    // every tick.
    let teller = Teller { zone: sheet.clock.zone.clone(), now: None };
    html! {
        (heading(sheet, fleet))
        p.headline { (teller.headline(fleet)) }
        @for order in teller.orders(fleet) { p.order { "Order by hand: " (printable(&order, 500)) "." } }
        @if !fleet.because.is_empty() {
            ul.because {
                @for reason in &fleet.because {
                    li {
                        (printable(&reason.text, 500))
                        @if let Some(line) = reason.line.filter(|line| !reason.text.contains(&format!("line {line}"))) {
                            span.quiet { " (line " (line) ")" }
                        }
                    }
                }
            }
        }
        @for left_out in &fleet.left_out { p.left-out { span aria-hidden="true" { "◆ " } (left_out) } }
        @for step in &fleet.steps {
            p.quiet { (if step.mode.is(Mode::Observe) { "would: " } else { "did: " }) (step.text) }
        }
        (figures(sheet, fleet))
        @if let Some(others) = others(fleet) { p.quiet { (others) "." } }
        p.quiet { "Servers: " (servers(fleet)) ". Next: " (teller.next(fleet)) "." }
    }
}

/// Its charts: the second part.
pub(super) fn past(sheet: &Sheet<'_>, fleet: &FleetStatus) -> Markup {
    let Some((past, drawings)) = drawings(sheet, fleet) else { return no_record(sheet) };
    let frame = drawings.frame(String::new());
    let rows = charts::rows(past, drawings.of, &sheet.clock);
    let slices: Vec<_> = rows.iter().map(|row| row.slice.clone()).collect();
    html! {
        div.charts {
            @for chart in drawings.charts() { (chart.draw(&frame, &slices)) }
        }
        details id={ (fleet.name) "-table" } {
            summary { "The charts as a table" }
            (charts::table(&rows, &sheet.clock))
        }
    }
}

/// A card among many.
pub(super) fn short(sheet: &Sheet<'_>, fleet: &FleetStatus) -> Markup {
    let waiting = fleet.reading.as_ref().map(|reading| match reading.waiting {
        Some(waiting) => format!("{waiting} waiting"),
        None => "queue not readable".to_owned(),
    });
    html! {
        (heading(sheet, fleet))
        p {
            strong { (fleet.in_service) } " in service, " strong { (number(fleet.desired)) } " desired of "
            (number(fleet.min)) " to " (number(fleet.max))
            @if let Some(waiting) = waiting { "; " (waiting) }
        }
        @match drawings(sheet, fleet) {
            Some((_, drawings)) => {
                @let frame = drawings.frame(String::new());
                div.plot.sketch { (drawings.sketch().picture(&frame, &[])) }
            }
            None => (no_record(sheet)),
        }
    }
}

fn drawings<'a>(
    sheet: &'a Sheet<'_>,
    fleet: &'a FleetStatus,
) -> Option<(&'a super::Past, Drawings<'a>)> {
    let past = sheet.past()?;
    let of = past.fleets.get(&fleet.name)?;
    let policy = sheet.policy.fleets.get(&fleet.name);
    Some((past, Drawings::new(fleet, policy, (past, of), &sheet.clock)))
}

fn no_record(sheet: &Sheet<'_>) -> Markup {
    match sheet.facts {
        Facts::Unread(_) => html! {},
        Facts::Read(_) => html! { p.quiet { "Nothing is recorded of it yet." } },
    }
}
