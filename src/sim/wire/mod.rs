//! The imagined cloud over HTTP: EC2, ELB and ELBv2 in the AWS query protocol, on loopback only, for
//! the real SDK with `AWS_ENDPOINT_URL`. Beside the API it serves what the instances and the queues
//! would serve, and levers for whoever sets the stage.
//!
//! | Route | |
//! |---|---|
//! | `POST /` | the three APIs, told apart by the request's `Version` |
//! | `GET /{instance}` | an instance's page |
//! | `POST /drain/{instance}` | the receiver of an instance's drain |
//! | `GET /queue/{fleet}` | a queue's length, a plain number |
//! | `GET /queue/{fleet}.json?at=/pointer` | the same as JSON, with what else the queue tells |
//! | `GET /queue/{fleet}.json?waiting=/a&running=/b` | the same with these fields alone, where these pointers lead |
//! | `/_world/…` | the levers |

mod ec2;
mod elb;
mod elbv2;
mod form;
mod levers;
mod named;
mod pages;
mod refusal;
mod sts;
mod tags;
mod xml;

use std::fmt;
use std::future::{self, IntoFuture as _};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::stream;
use tokio::net::TcpListener;

pub use self::elbv2::arn;
use self::form::Form;
use self::refusal::{Refusal, Service};
use super::front::{self, Front};
use tidegate_engine::model::time::{self, Timestamp};

type Now = dyn Fn() -> Timestamp + Send + Sync;

/// A world that keeps pace with a clock. Clones are the same world.
#[derive(Clone)]
pub struct WireWorld {
    front: Front,
    clock: Arc<Now>,
    /// The clock and the world when they were joined.
    joined: (Timestamp, Timestamp),
    speed: f64,
    pages: Option<u16>,
    requests: Arc<AtomicU64>,
}

impl fmt::Debug for WireWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireWorld")
            .field("joined", &self.joined)
            .field("speed", &self.speed)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl WireWorld {
    /// From now on, what passes on `clock` passes in the world behind `front`.
    pub fn new(front: Front, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let joined = (clock(), front.state().world.now());
        let clock = Arc::new(clock);
        Self { front, clock, joined, speed: 1.0, pages: None, requests: Arc::default() }
    }

    /// Imagined seconds for each second of the clock; 1 unless said. Nonsense counts as 1.
    pub fn with_speed(mut self, speed: f64) -> Self {
        self.speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        self
    }

    /// Serves each instance's page at `port` of the instance's own address.
    pub fn with_pages(mut self, port: u16) -> Self {
        self.pages = Some(port);
        self
    }

    /// The world, brought up to the present.
    fn state(&self) -> MutexGuard<'_, front::State> {
        let (clock, world) = self.joined;
        let passed = time::since((self.clock)(), clock).as_secs_f64() * self.speed;
        let passed = Duration::try_from_secs_f64(passed).unwrap_or_default();
        let mut state = self.front.state();
        state.advance(time::after(world, passed));
        state
    }

    fn request_id(&self) -> String {
        let ordinal = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{ordinal:012x}")
    }
}

/// Serves the world until the future is dropped or the listener fails. An address that others could
/// reach is refused: the levers ask nobody for a password.
pub async fn serve(listener: TcpListener, wire: WireWorld) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let text = format!("the imagined cloud is served on loopback only, not on {address}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let app = Router::new()
        .route("/", post(api))
        .route("/queue/{fleet}", get(pages::queue))
        .route("/drain/{instance}", post(pages::drain))
        .route("/{instance}", get(pages::page))
        .merge(levers::router())
        .with_state(wire.clone());
    let pages = async {
        match wire.pages {
            Some(port) => pages::keep(&wire, port).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => ended,
        never = pages => match never {},
    }
}

async fn api(State(wire): State<WireWorld>, body: Bytes) -> Response {
    let form = Form::parse(&body);
    let id = wire.request_id();
    let service = form.get("Version").and_then(Service::of);
    let answer = match service {
        Some(service) => {
            let world = &mut wire.state().world;
            match service {
                Service::Ec2 => ec2::answer(world, &form, &id),
                Service::Elb => elb::answer(world, &form, &id),
                Service::ElbV2 => elbv2::answer(world, &form, &id),
                Service::Sts => sts::answer(world, &form, &id),
            }
        }
        None => Err(Refusal::new("NoSuchVersion", "The requested version is not supported.")),
    };
    match answer {
        Ok(document) => xml(StatusCode::OK, &id, document),
        Err(refusal) if refusal.is_lost() => cut(),
        Err(refusal) => {
            let (status, document) = refusal.answer(service.unwrap_or(Service::Ec2), &id);
            xml(status, &id, document)
        }
    }
}

fn xml(status: StatusCode, id: &str, document: String) -> Response {
    let kind = (header::CONTENT_TYPE, "text/xml;charset=UTF-8");
    // The SDK reads the request's id here, not in the document.
    let id = (HeaderName::from_static("x-amzn-requestid"), id);
    (status, [kind, id], document).into_response()
}

/// A body that fails before its first byte: the server closes the connection with nothing said.
fn cut() -> Response {
    let lost = io::Error::from(io::ErrorKind::ConnectionReset);
    Body::from_stream(stream::iter([Err::<Bytes, _>(lost)])).into_response()
}

#[cfg(test)]
mod tests;
