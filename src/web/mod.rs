//! The daemon's door on TCP: HTTP, to be read only. Whoever can reach the port can read it, so it is
//! on loopback unless a person says otherwise, and nothing behind it changes anything. Routes:
//!
//! - `GET /`: the page; `?range=` and `?fleet=` choose a view of it
//! - `GET /decision?id=`: the story of one decision
//! - `GET /live`: what changes on the page, as it changes
//! - `GET /page.css`, `/page.js`, `/icon.svg`: what the page consists of besides
//! - `GET /metrics`: for Prometheus
//! - `GET /-/healthy`: the process answers
//! - `GET /-/ready`: a tick was finished lately
//!
//! Nothing here can hold the loop up: it reads what the last tick left behind and the journal's
//! history, on its own tasks, a few at a time.

mod asked;
mod bins;
mod guard;
mod health;
mod live;
mod page;
mod pages;
mod past;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query as Asked, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::asked::Query;
use self::pages::{Missing, Pages};
use crate::admin::Picture;
use crate::door::{self, Limits};
use crate::metrics::Meter;
use crate::ports::History;
use tidegate_engine::model::time::Timestamp;

/// More connections than the people of one shop have open at a time; a page that stays open comes
/// back with a new one once the hour is over.
const LIMITS: Limits =
    Limits { connections: 64, longest: Duration::from_hours(1), stalled: door::STALLED };

/// The time, by whatever clock the daemon goes.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is shown, and where.
#[derive(Clone)]
pub struct Site {
    /// Where it listens, which is a name that it answers to.
    address: SocketAddr,
    meter: Arc<Meter>,
    now: Now,
    pages: Arc<Pages>,
    watchers: Arc<Semaphore>,
}

/// What the page shows.
pub struct Shown {
    pub meter: Arc<Meter>,
    /// What the last tick saw.
    pub picture: watch::Receiver<Picture>,
    pub history: Arc<dyn History>,
    pub now: Now,
}

impl Site {
    pub fn new(address: SocketAddr, shown: Shown) -> Self {
        let Shown { meter, picture, history, now } = shown;
        let pages = Arc::new(Pages::new(picture, history, meter.clone(), now.clone()));
        Self { address, meter, now, pages, watchers: Arc::new(Semaphore::new(live::WATCHERS)) }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, site: Site) {
    let router = router(site);
    door::serve(listener, LIMITS, |_| router.clone()).await;
}

fn router(site: Site) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(async move || ([(CONTENT_TYPE, kind)], text).into_response())
    };
    Router::new()
        .route("/", get(front))
        .route("/decision", get(page::decision::decision))
        .route("/live", get(live::live))
        .route("/page.css", file("text/css; charset=utf-8", page::STYLE))
        .route("/page.js", file("text/javascript; charset=utf-8", page::SCRIPT))
        .route("/icon.svg", file("image/svg+xml", page::ICON))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "tidegate answers\n"))
        .route("/-/ready", get(health::ready))
        .fallback(async || (StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(from_fn(guard::in_time))
        .layer(from_fn_with_state(site.clone(), guard::for_us))
        .layer(from_fn(guard::sealed))
        .with_state(site)
}

async fn front(State(site): State<Site>, Asked(query): Asked<Query>) -> Response {
    let view = match query.view() {
        Ok(view) => view,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    match site.pages.drawn(&view).await {
        Ok(drawn) => Html(drawn.whole.clone()).into_response(),
        Err(Missing::Fleet(fleet)) => {
            let told = format!("there is no fleet {fleet}\n");
            (StatusCode::NOT_FOUND, told).into_response()
        }
        Err(Missing::Broken) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be drawn\n").into_response()
        }
    }
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(CONTENT_TYPE, kind)], site.meter.open_metrics()).into_response();
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], site.meter.plain()).into_response()
}
