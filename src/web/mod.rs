//! The daemon's door on TCP: HTTP, to be read only. Whoever can reach the port can read it, so it is
//! on loopback unless a person says otherwise, and nothing behind it changes anything. Routes:
//!
//! - `GET /metrics`: for Prometheus
//! - `GET /-/healthy`: the process answers
//! - `GET /-/ready`: a tick was finished lately
//!
//! Nothing here can hold the loop up: it reads what the last tick left behind, on its own tasks, a
//! few at a time.

mod door;
mod guard;
mod health;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Meter;
use crate::model::time::Timestamp;

/// What is shown, and where.
#[derive(Clone)]
pub struct Site {
    /// Where it listens, which is a name that it answers to.
    pub address: SocketAddr,
    pub meter: Arc<Meter>,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, site: Site) {
    door::serve(listener, router(site)).await;
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "tidegate answers\n"))
        .route("/-/ready", get(health::ready))
        .fallback(async || (StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(from_fn(guard::in_time))
        .layer(from_fn_with_state(site.clone(), guard::for_us))
        .layer(from_fn(guard::sealed))
        .with_state(site)
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
