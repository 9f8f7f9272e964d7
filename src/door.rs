//! HTTP over whatever is listened on: so many connections at a time and no more, each with its time.
//! Who comes later waits to be let in, and nobody can hold a place for ever.
//!
//! Every phase of a connection has a time limit: the head of a request, its body, and each write of
//! an answer that the client does not read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;

/// How long a request's head may take to come, and how long a connection may idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// A request's head is not longer.
const HEAD_AT_MOST: usize = 16 << 10;

/// The longest request body in bytes. The largest order names 200 instances.
const BODY_AT_MOST: usize = 64 << 10;

/// What a door bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At a time.
    pub connections: usize,
    /// How long one of them lasts.
    pub longest: Duration,
    /// How long a write may wait for the client to read, and how long a request's body may take.
    pub stalled: Duration,
}

/// What production uses for [`Limits::stalled`].
pub const STALLED: Duration = Duration::from_secs(30);

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
        let whole = from_fn(move |request, next| whole(limits.stalled, request, next));
        let service = TowerToHyperService::new(app(&stream).layer(whole));
        // Any progress of a write starts its time anew, so slow readers are served.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(limits.stalled));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(HEAD_AT_MOST)
                .serve_connection(TokioIo::new(Box::pin(stream)), service);
            // A connection that breaks is the other side's business.
            tokio::time::timeout(limits.longest, connection).await.ok();
            drop(place);
        });
    }
}

/// Reads the whole body of a request before the request is answered.
async fn whole(limit: Duration, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(limit, axum::body::to_bytes(body, BODY_AT_MOST)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => {
            let why = "the body is longer than 64 KiB, or broke off\n";
            (StatusCode::PAYLOAD_TOO_LARGE, why).into_response()
        }
        Err(_) => {
            (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response()
        }
    }
}
