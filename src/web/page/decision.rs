//! The story of one decision, as `tidegate explain --decision` tells it.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{Html, IntoResponse as _, Response};
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde::Deserialize;

use super::clock::Clock;
use super::{document, top};
use crate::ports::{History, StoreFault};
use crate::story::{self, DecisionRecord, Story};
use crate::web::Site;
use crate::web::asked::View;
use tidegate_engine::model::fault::{printable, visible};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{id, of_id};
use tidegate_engine::model::reading::jobs;
use tidegate_engine::model::time::{self, Timestamp};

#[derive(Debug, Deserialize)]
pub(in crate::web) struct Which {
    id: String,
}

pub(in crate::web) async fn decision(
    State(site): State<Site>,
    Query(which): Query<Which>,
) -> Response {
    let Some((fleet, at)) = of_id(&which.id) else {
        return (StatusCode::BAD_REQUEST, "no decision has such an id\n").into_response();
    };
    let record = match read(&*site.pages.history, &fleet, at).await {
        Ok(Some(record)) => record,
        Ok(None) => {
            return (StatusCode::NOT_FOUND, "no such decision is recorded\n").into_response();
        }
        Err(fault) => return unread(&fault),
    };
    let now = (site.now)();
    let drawn = tokio::task::spawn_blocking(move || page(&Story::of(record), now));
    match drawn.await {
        Ok(page) => Html(visible(&page).into_owned()).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "it could not be drawn\n").into_response(),
    }
}

async fn read(
    history: &dyn History,
    fleet: &FleetName,
    at: Timestamp,
) -> Result<Option<DecisionRecord>, StoreFault> {
    match story::decision(history, fleet, at).await? {
        Some(decided) => DecisionRecord::read(history, decided).await.map(Some),
        None => Ok(None),
    }
}

/// A client that asks again in a moment is answered where the fault passes by itself.
fn unread(fault: &StoreFault) -> Response {
    let answer = (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n"));
    if fault.is_transient() {
        ([(RETRY_AFTER, "5")], answer).into_response()
    } else {
        answer.into_response()
    }
}

fn page(story: &Story, now: Timestamp) -> String {
    let decided = &story.decided;
    let zone = story.policy.as_ref().map_or(TimeZone::UTC, |policy| policy.zone.clone());
    let clock = Clock { zone, now };
    let view = View::default().only(Some(decided.fleet.clone()));
    let title = if decided.capacity == decided.desired {
        format!("{} stayed at {}", decided.fleet, decided.desired)
    } else {
        format!("{} went from {} to {}", decided.fleet, decided.capacity, decided.desired)
    };
    let main = html! {
        main.story {
            h2 { (title) ", " (clock.at(decided.at)) }
            (told(story, &clock))
            p.quiet { "The same in a terminal: " code { "tidegate explain --decision " (decided.id()) } }
            p { a href={ "./" (view.query()) } { "Fleet " (decided.fleet) " now" } }
        }
    };
    document(&format!("{title} - tidegate"), &top(&view), &main)
}

fn told(story: &Story, clock: &Clock) -> Markup {
    let decided = &story.decided;
    html! {
        dl.told {
            @if let Some(reading) = &story.reading {
                dt { "measured" }
                dd {
                    @match &reading.depth {
                        Ok(depth) => {
                            (jobs(depth.waiting)) " waiting"
                            @if let Some(oldest) = depth.oldest { ", the oldest for " (time::text(oldest)) }
                        }
                        Err(why) => { "not readable: " (printable(why, 300)) }
                    }
                    ", read " (time::text(time::since(decided.at, reading.at))) " before"
                }
            }
            dt { "because" }
            @if story.because.is_empty() { dd { "rules " (decided.rules.join(", ")) } }
            @for (text, line) in &story.because {
                dd { (printable(text, 600)) @if let Some(line) = line { span.quiet { " (line " (line) ")" } } }
            }
            @if story.again && !story.because.is_empty() {
                dd.quiet { "This was no news then; it is reckoned again from the record." }
            }
            @if !story.did.is_empty() { dt { "did" } }
            @for did in &story.did { dd { (printable(&did.event.text, 300)) } }
            @if let Some(policy) = &story.policy { dt { "policy" } dd { code { (policy.digest) } } }
            @if let Some(next) = &story.next {
                dt { "until" }
                dd {
                    (clock.at(next.event.at)) ", then "
                    a href={ "decision?id=" (id(&decided.fleet, next.event.at)) } { (printable(&next.event.text, 300)) }
                }
            }
        }
    }
}
