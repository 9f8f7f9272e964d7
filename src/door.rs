//! HTTP over whatever is listened on: so many connections at a time and no more, each with its time.
//! Who comes later waits to be let in, and nobody can hold a place for ever.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

/// How long a request's head may take to come, and how long a connection may idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// A request's head is not longer.
const HEAD_AT_MOST: usize = 16 << 10;

/// What a door bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At a time.
    pub connections: usize,
    /// How long one of them lasts.
    pub longest: Duration,
}

/// Serves until the process ends; `app` is what answers the one at the other end of the stream.
pub async fn serve<L: Listener>(
    mut listener: L,
    limits: Limits,
    app: impl Fn(&L::Io) -> Router + Send,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    // The semaphore is never closed, so this never ends.
    while let Ok(place) = places.clone().acquire_owned().await {
        let (stream, _) = listener.accept().await;
        let service = TowerToHyperService::new(app(&stream));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(HEAD_AT_MOST)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is the other side's business.
            tokio::time::timeout(limits.longest, connection).await.ok();
            drop(place);
        });
    }
}
