//! The next 24 hours, as the schedule has them, so that what happens tonight needs no reading of the
//! policy file.

use std::time::Duration;

use maud::{Markup, html};

use super::Sheet;
use crate::admin::view::FleetStatus;
use crate::admin::words::{Teller, mark};
use crate::chart::axis::Scale;
use crate::chart::{Chart, Frame, Layer, Rule};
use crate::web::asked::Bins;
use crate::web::past::Level;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::coming::{Coming, coming, stands};
use tidegate_engine::policy::{FleetPolicy, Policy};

const AHEAD: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(15);

/// In CSS pixels.
const STRIP: f64 = 48.0;

/// More changes in a day than this are told by `tidegate next`.
const ROWS_AT_MOST: usize = 60;

pub(super) fn ahead(sheet: &Sheet<'_>) -> Markup {
    let policy = sheet.policy;
    let asked = sheet.view.fleet.as_ref();
    let fleets = policy.fleets.values().filter(|f| asked.is_none_or(|asked| f.name == *asked));
    let scheduled: Vec<&FleetPolicy> = fleets.filter(|fleet| fleet.schedule.is_some()).collect();
    // From the full hour on: the part changes once an hour, and not at every tick.
    let now = sheet.clock.now;
    let hour = now.as_second() - now.as_second().rem_euclid(3600);
    let hour = Timestamp::from_second(hour).unwrap_or(now);
    let bins = Bins::ahead(hour, AHEAD + Duration::from_hours(1), STEP);
    let coming = coming(policy, scheduled.iter().copied(), (now, time::after(now, AHEAD)));
    html! {
        h2 { "The next 24 hours, by the clock" }
        @if scheduled.is_empty() { p.quiet { "No fleet goes by a schedule." } }
        @else if coming.is_empty() { p.quiet { "Nothing changes by the clock." } }
        @for (name, order) in by_hand(sheet, &scheduled) {
            p.order { "The schedule of " (name) " does not count meanwhile: " (printable(&order, 500)) "." }
        }
        @if sheet.at_length() {
            @for fleet in &scheduled { (strip(sheet, fleet, &bins)) }
        }
        @if !coming.is_empty() { (table(sheet, policy, &coming)) }
    }
}

/// The orders by hand that come before a schedule, with their fleets.
fn by_hand<'a>(sheet: &'a Sheet<'_>, scheduled: &[&FleetPolicy]) -> Vec<(&'a str, String)> {
    let teller = Teller { zone: sheet.clock.zone.clone(), now: None };
    let marked = sheet
        .fleets()
        .filter(|fleet| mark(fleet).is_some() && scheduled.iter().any(|of| of.name == fleet.name));
    let first = |fleet: &'a FleetStatus| {
        Some((fleet.name.as_str(), teller.orders(fleet).into_iter().next()?))
    };
    marked.filter_map(first).collect()
}

fn strip(sheet: &Sheet<'_>, fleet: &FleetPolicy, bins: &Bins) -> Markup {
    let mut level = Level::default();
    let levels: Vec<u32> =
        bins.begins().map(|at| level.at(fleet, at).unwrap_or_else(|| fleet.bounds.min())).collect();
    let most = levels.iter().copied().max().unwrap_or(0);
    let scale = Scale::counts(f64::from(most));
    let heights = levels.iter().map(|level| (0.0, f64::from(*level)));
    let frame = Frame {
        from: bins.from,
        to: bins.to,
        origin: bins.from,
        width: bins.width,
        zone: &sheet.clock.zone,
        note: String::new(),
    };
    let chart = Chart {
        id: format!("{}-ahead", fleet.name),
        title: "The schedule ahead",
        unit: "",
        height: STRIP,
        tells: format!("{}: now {}", fleet.name, stands(fleet, sheet.clock.now)),
        scale: &scale,
        layers: vec![Layer::area("schedule-ahead", "", heights)],
        rules: Vec::<Rule>::new(),
        flag: None,
        marks: Vec::new(),
    };
    html! {
        h3 { (fleet.name) }
        p.quiet { "now " (stands(fleet, sheet.clock.now)) }
        div.plot.sketch { (chart.picture(&frame, &[])) }
    }
}

fn table(sheet: &Sheet<'_>, policy: &Policy, coming: &[Coming<'_>]) -> Markup {
    let clock = &sheet.clock;
    html! {
        div.scroll {
            table.rows {
                thead { tr { th scope="col" { "at" } th scope="col" { "fleet" } th scope="col" { "change" } } }
                tbody {
                    @for coming in coming.iter().take(ROWS_AT_MOST) {
                        tr {
                            th scope="row" { (clock.at(coming.at)) }
                            td { (coming.fleet().map_or("all", |fleet| fleet.name.as_str())) }
                            td.remarks { (coming.text()) }
                        }
                    }
                }
            }
        }
        @if coming.len() > ROWS_AT_MOST {
            p.quiet { "The first " (ROWS_AT_MOST) " of " (coming.len()) "; " code { "tidegate next --days 1" } " has all." }
        }
        @if policy.fleets.values().any(|fleet| fleet.queue.is_some()) {
            p.quiet { "Queues, orders by hand and lost servers are not foreseen here." }
        }
    }
}
