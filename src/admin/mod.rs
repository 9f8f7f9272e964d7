//! The daemon's unix socket: HTTP, JSON, no TCP. Routes:
//!
//! - `GET /status`: what the last tick saw and decided ([`view::StatusView`])
//! - `POST /orders`: something a person wants ([`order::OrderView`])
//! - `POST /reload`: read the policy file again; answers with what came of it
//!
//! The socket's file mode is its access control: owner and group only. The kernel says which user
//! each connection is of, and an order is recorded with it.

mod caller;
pub mod order;
mod socket;
#[cfg(test)]
mod tests;
pub mod view;
pub mod wire;
pub mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::socket::AdminSocket;

use self::caller::Caller;
use self::order::{Order, OrderView};
use self::view::{ProblemView, StatusView};
use crate::door::{self, Limits};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

/// `adopt` waits for EC2 and for the tick in hand, which waits for AWS; nothing here takes longer.
const LIMITS: Limits =
    Limits { connections: 32, longest: Duration::from_mins(3), stalled: door::STALLED };

/// What the socket may ask of the daemon. None of it tells a tick what to do: an order is written
/// into the journal, and the next plan reads it like everything else.
#[derive(Debug)]
pub enum Command {
    /// Write an override down, or end it.
    Order(Order, oneshot::Sender<Result<String, String>>),
    /// Read the policy file again.
    Reload(oneshot::Sender<Result<String, String>>),
}

/// What the socket's side holds of the daemon: a way to ask, and the last picture.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    picture: watch::Sender<Picture>,
}

/// What the last finished tick saw, and the policy that it went by.
#[derive(Debug, Clone)]
pub struct Present {
    pub status: StatusView,
    pub policy: Arc<Policy>,
}

/// The present as of the last finished tick; `None` before the first.
pub type Picture = Option<Arc<Present>>;

impl Handle {
    /// A handle, and where its commands arrive.
    pub fn new() -> (Self, mpsc::Receiver<Command>) {
        // More waiting orders than this is a script gone wild; it may wait.
        let (commands, arrivals) = mpsc::channel(16);
        (Self { commands, picture: watch::Sender::new(None) }, arrivals)
    }

    /// The picture, and whoever waits for it learns of the next.
    pub fn watch(&self) -> watch::Receiver<Picture> {
        self.picture.subscribe()
    }

    /// Puts up the picture of a finished tick.
    pub fn show(&self, status: StatusView, policy: &Arc<Policy>) {
        let present = Present { status, policy: policy.clone() };
        self.picture.send_replace(Some(Arc::new(present)));
    }

    /// Adds to the picture, until the next tick that can be finished, why this one could not be.
    pub fn trouble(&self, text: &str, since: Timestamp) {
        self.picture.send_if_modified(|picture| {
            let Some(present) = picture else { return false };
            let known = present.status.problems.iter().any(|problem| problem.text == text);
            if !known {
                let problem = ProblemView { fleet: None, since, text: text.to_owned() };
                Arc::make_mut(present).status.problems.push(problem);
            }
            !known
        });
    }
}

/// Serves the socket until the process ends.
pub async fn serve(listener: AdminSocket, handle: Handle) {
    let app = Router::new()
        .route("/status", get(status))
        .route("/orders", post(order))
        .route("/reload", post(reload))
        .with_state(handle);
    let signed = |stream: &UnixStream| app.clone().layer(Extension(Caller::of(stream)));
    door::serve(listener, LIMITS, signed).await;
}

async fn status(State(handle): State<Handle>) -> Response {
    let picture = handle.picture.borrow().clone();
    match picture {
        Some(present) => Json(&present.status).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the first tick is not done yet").into_response(),
    }
}

async fn order(
    State(handle): State<Handle>,
    Extension(caller): Extension<Caller>,
    Json(order): Json<OrderView>,
) -> Response {
    match order.lower() {
        Ok(order) => {
            let signature = caller.signs(order.owner()).await;
            let order = order.signed(signature);
            ask(&handle, |reply| Command::Order(order, reply)).await
        }
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn reload(State(handle): State<Handle>) -> Response {
    ask(&handle, Command::Reload).await
}

async fn ask(
    handle: &Handle,
    command: impl FnOnce(oneshot::Sender<Result<String, String>>) -> Command,
) -> Response {
    let (reply, answer) = oneshot::channel();
    if handle.commands.send(command(reply)).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping").into_response();
    }
    match answer.await {
        Ok(Ok(text)) => text.into_response(),
        Ok(Err(why)) => (StatusCode::CONFLICT, why).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping").into_response(),
    }
}
