//! Connections: so many at a time and no more, each with its time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// More than the people of one shop have open at a time. Who comes later waits to be let in.
const CONNECTIONS: usize = 64;

/// How long a request's head may take to come, and how long a connection may idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// A page that stays open comes back with a new connection once this is over.
const LONGEST: Duration = Duration::from_hours(1);

/// A request's head is not longer.
const HEAD_AT_MOST: usize = 16 << 10;

/// How long to wait where a connection could not be accepted: no file descriptor is left, say.
const BREATH: Duration = Duration::from_millis(200);

pub(super) async fn serve(listener: TcpListener, app: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed, so this never ends.
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(HEAD_AT_MOST)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is the other side's business.
            tokio::time::timeout(LONGEST, connection).await.ok();
            drop(place);
        });
    }
}
