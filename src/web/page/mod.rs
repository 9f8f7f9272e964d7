//! The page: problems first, then the fleets, their servers, what happened, and what is to come. It
//! is whole without a script; with one, the parts of it that change are replaced.

mod ahead;
mod charts;
mod clock;
pub(super) mod decision;
mod fleet;
mod lists;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::clock::Clock;
use super::asked::{Range, View};
use super::health::overdue;
use super::pages::Part;
use super::past::Past;
use crate::admin::Present;
use crate::admin::view::{FleetMode, FleetStatus, StatusView};
use crate::chart::patterns;
use crate::metrics::LastTick;
use tidegate_engine::model::time::{self, Timestamp};
use tidegate_engine::policy::Policy;

/// The style sheet.
pub(super) const STYLE: &str =
    concat!(include_str!("../../chart/chart.css"), include_str!("page.css"));

/// What keeps the page up to date.
pub(super) const SCRIPT: &str = include_str!("page.js");

pub(super) const ICON: &str = include_str!("icon.svg");

/// With more fleets than these, each is told in short, and has a page of its own.
const AT_LENGTH: usize = 6;

/// What the record says of the time that is shown.
#[derive(Debug)]
pub(super) enum Facts<'a> {
    Read(&'a Past),
    /// Why it cannot be read.
    Unread(String),
}

/// All that the parts are made of.
struct Sheet<'a> {
    view: &'a View,
    status: &'a StatusView,
    /// The policy in force.
    policy: &'a Policy,
    facts: &'a Facts<'a>,
    clock: Clock,
    /// How long ago the last tick ended, if that is too long.
    overdue: Option<Duration>,
}

impl Sheet<'_> {
    fn fleets(&self) -> impl Iterator<Item = &FleetStatus> {
        let asked = self.view.fleet.as_ref();
        let shown = move |fleet: &&FleetStatus| asked.is_none_or(|asked| *asked == fleet.name);
        self.status.fleets.iter().filter(shown)
    }

    fn at_length(&self) -> bool {
        self.fleets().count() <= AT_LENGTH
    }

    fn past(&self) -> Option<&Past> {
        match self.facts {
            Facts::Read(past) => Some(past),
            Facts::Unread(_) => None,
        }
    }

    fn has_problem(&self, fleet: &FleetStatus) -> bool {
        self.status.problems.iter().any(|p| p.fleet.as_ref() == Some(&fleet.name))
    }
}

/// The parts of a view, in the order of the page.
pub(super) fn parts(
    view: &View,
    facts: &Facts<'_>,
    present: Option<&Present>,
    (now, last): (Timestamp, Option<LastTick>),
) -> Vec<Part> {
    let part = |id: &str, html: Markup| Part::new(id.to_owned(), &html.into_string());
    let Some(Present { status, policy }) = present else { return vec![part("strip", not_yet())] };
    let clock = Clock { zone: status.zone(), now };
    let overdue = last.and_then(|last| overdue(last, now));
    let sheet = Sheet { view, status, policy, facts, clock, overdue };
    let mut parts = vec![part("strip", strip(&sheet)), part("problems", lists::problems(&sheet))];
    if sheet.at_length() {
        for fleet in sheet.fleets() {
            let id = format!("fleet-{}", fleet.name);
            parts.push(part(&id, fleet::now(&sheet, fleet)));
            parts.push(part(&format!("{id}:past"), fleet::past(&sheet, fleet)));
        }
    } else {
        // Those with problems first; the others as they stand in the policy.
        let (bad, good): (Vec<_>, Vec<_>) =
            sheet.fleets().partition(|fleet| sheet.has_problem(fleet));
        for fleet in bad.into_iter().chain(good) {
            parts.push(part(&format!("fleet-{}", fleet.name), fleet::short(&sheet, fleet)));
        }
    }
    parts.push(part("instances", lists::instances(&sheet)));
    parts.push(part("timeline", lists::timeline(&sheet)));
    parts.push(part("ahead", ahead::ahead(&sheet)));
    parts.push(part("foot", foot(&sheet)));
    parts
}

/// The page around its parts.
pub(super) fn whole(view: &View, parts: &[Part], version: &str) -> String {
    let of_fleets = |part: &&Part| part.id.starts_with("fleet-");
    let short = !parts.iter().any(|part| part.id.ends_with(":past"));
    let before = parts.iter().take_while(|part| !of_fleets(part));
    let after = parts.iter().skip_while(|part| !of_fleets(part)).skip_while(of_fleets);
    let none_of_fleets = parts.iter().all(|part| !of_fleets(&part));
    let title = view.fleet.as_ref().map_or("tidegate".to_owned(), |f| format!("{f} - tidegate"));
    let live = format!("live{}&seen={version}", view.query());
    let place = |part: &Part| {
        html! { div.part id=(part.id) data-mark=(part.mark) { (PreEscaped(&part.html)) } }
    };
    let main = html! {
        main data-live=(live) {
            @for part in before { (place(part)) }
            @if !none_of_fleets {
                h2.unseen id="fleets" { "Fleets" }
                div class=(if short { "fleets short" } else { "fleets" }) {
                    @for part in parts.iter().filter(of_fleets) { (place(part)) }
                }
                @for part in after { (place(part)) }
            }
        }
    };
    document(&title, &top(view), &main)
}

/// Head, top and body of every page.
fn document(title: &str, top: &Markup, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="page.css";
                script src="page.js" defer {}
            }
            body {
                a.skip href="#problems" { "To the problems" }
                (patterns())
                (top)
                (main)
            }
        }
    };
    page.into_string()
}

fn top(view: &View) -> Markup {
    html! {
        header.top {
            h1 {
                a href={ "./" (view.only(None).query()) } { "tidegate" }
                @if let Some(fleet) = &view.fleet { " " span.of { (fleet) } }
            }
            nav aria-label="How far back" {
                @for range in Range::ALL {
                    @let current = (range == view.range).then_some("page");
                    a href={ "./" (view.of(range).query()) } aria-current=[current] aria-label=(range.words()) {
                        (range.word())
                    }
                }
            }
            p id="link" role="status" { "As it was when the page was loaded." }
        }
    }
}

fn not_yet() -> Markup {
    html! {
        p.loud { "The first tick is not done yet." }
        p {
            "It asks EC2, the load balancers and the queues how things are. When it takes longer than a \
             minute, the log says why: " code { "journalctl -u tidegate" } ", and "
            code { "tidegate check" } " asks AWS the same things."
        }
    }
}

fn strip(sheet: &Sheet<'_>) -> Markup {
    let status = sheet.status;
    let observing = status.fleets.iter().filter(|fleet| fleet.mode.is(FleetMode::Observe)).count();
    let servers: usize = status.fleets.iter().map(|fleet| fleet.instances.len()).sum();
    let limit = sheet.policy.limits.instances;
    let since = sheet.past().and_then(|past| past.in_force_since(sheet.policy));
    html! {
        @if status.fleets.is_empty() {
            p.loud { "There are no fleets yet." }
            p { "A fleet is a few lines in the policy file: " code { "docs/policies.md" } " has them all, and \
                 " code { "tidegate check" } " says what is wrong with them." }
        } @else if observing == status.fleets.len() {
            p.loud { "Observe mode: it decides, records and shows, and does nothing." }
        } @else if observing > 0 {
            p.loud { (observing) " of " (status.fleets.len()) " fleets are in observe mode: nothing is done for them." }
        }
        @if let Some(ago) = sheet.overdue {
            p.alarm {
                strong { "No tick was finished for " (time::text(ago)) "." }
                " What is below is as old. " code { "journalctl -u tidegate" } " says what it waits for."
            }
        }
        dl.strip {
            div { dt { "Last look" } dd { (sheet.clock.at(status.last_tick)) } }
            div { dt { "Fleets" } dd { (status.fleets.len()) } }
            div { dt { "Servers" } dd { (servers) @if let Some(limit) = limit { " of at most " (limit) } } }
            div {
                dt { "Policy" }
                dd { code { (status.policy) } @if let Some(since) = since { " since " (sheet.clock.at(since)) } }
            }
        }
        @if let Facts::Unread(why) = sheet.facts {
            p.alarm { strong { "The record cannot be read: " } (why) ". What was is not shown." }
        }
    }
}

fn foot(sheet: &Sheet<'_>) -> Markup {
    let zone = sheet.clock.zone.iana_name().unwrap_or("the policy's zone");
    html! {
        footer {
            p {
                "tidegate " (sheet.status.version) ". Times in " (zone) ". This page shows and changes \
                 nothing; orders are given with " code { "tidegate hold" } ", " code { "pause" } ", "
                code { "keep" } " and others. " a href="metrics" { "Metrics" } ", "
                a href="-/ready" { "readiness" } "."
            }
        }
    }
}
