//! The parts of the page that changed, as they change: server-sent events. Each event names the
//! version that it leads to, so that a browser which comes back says what it has.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query as Asked, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Site;
use super::asked::{Query, View};
use super::pages::{Drawn, Part};
use crate::admin::Picture;

/// Half of the door's places: whoever collects metrics or looks for the first time gets in too.
pub(super) const WATCHERS: usize = 32;

/// Between two events at the least.
const SHORTEST: Duration = Duration::from_secs(1);

/// A look without a tick: that there is none is to be seen as well.
const LOOK: Duration = Duration::from_secs(30);

/// So that proxies do not take a quiet stream for a dead one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

struct Watcher {
    site: Site,
    view: View,
    picture: watch::Receiver<Picture>,
    /// What the browser has.
    has: Has,
    _place: OwnedSemaphorePermit,
}

enum Has {
    /// By its own word.
    Version(Option<String>),
    Sent(Arc<Drawn>),
}

/// An event: what changed, and the ids of all parts, whether they changed or not.
#[derive(Serialize)]
struct News<'a> {
    ids: Vec<&'a str>,
    parts: Vec<NewPart<'a>>,
}

#[derive(Serialize)]
struct NewPart<'a> {
    id: &'a str,
    mark: &'a str,
    html: &'a str,
}

impl<'a> NewPart<'a> {
    fn of(part: &'a Part) -> Self {
        let Part { id, mark, html } = part;
        Self { id, mark, html }
    }
}

pub(super) async fn live(
    State(site): State<Site>,
    Asked(query): Asked<Query>,
    headers: HeaderMap,
) -> Response {
    let view = match query.view() {
        Ok(view) => view,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let Ok(place) = site.watchers.clone().try_acquire_owned() else {
        let told = "too many pages are open; this one stays as it is until it is loaded again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
    };
    let again = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let has = Has::Version(again.map(str::to_owned).or(query.seen));
    let mut picture = site.pages.picture.clone();
    picture.mark_unchanged();
    let watcher = Watcher { site, view, picture, has, _place: place };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response()
}

impl Watcher {
    /// The next change; `None`: there will be none.
    async fn next(&mut self) -> Option<Event> {
        if matches!(self.has, Has::Sent(_)) {
            tokio::time::sleep(SHORTEST).await;
        }
        loop {
            // A fleet that left the policy has no page any more.
            let drawn = self.site.pages.drawn(&self.view).await.ok()?;
            let event = self.event(&drawn);
            self.has = Has::Sent(drawn);
            if event.is_some() {
                return event;
            }
            // The daemon ends, and the door with it.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, self.picture.changed()).await {
                return None;
            }
        }
    }

    /// What the browser does not have, if that is anything.
    fn event(&self, drawn: &Drawn) -> Option<Event> {
        let changed = |part: &&Part| match &self.has {
            Has::Version(_) => true,
            Has::Sent(before) => before.parts.iter().all(|other| other != *part),
        };
        let current = match &self.has {
            Has::Version(version) => version.as_ref() == Some(&drawn.version),
            Has::Sent(before) => before.version == drawn.version,
        };
        if current {
            return None;
        }
        let news = News {
            ids: drawn.parts.iter().map(|part| part.id.as_str()).collect(),
            parts: drawn.parts.iter().filter(changed).map(NewPart::of).collect(),
        };
        Event::default().id(&drawn.version).json_data(&news).ok()
    }
}
