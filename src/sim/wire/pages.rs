//! The pages that the simulated servers serve, each on its own loopback address, the queue's, and the
//! receiver of drains.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::WireWorld;
use super::form::Form;
use crate::sim::telling::Telling;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::Depth;

/// How often it is looked who serves.
const LOOK: Duration = Duration::from_millis(200);
/// A page is not kept waiting for a request that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET /{instance}`: 200 while the instance serves, else 503.
pub(super) async fn page(State(wire): State<WireWorld>, Path(id): Path<String>) -> Response {
    if wire.state().world.page(&InstanceId::new(&id)) {
        format!("Welcome to {id}\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n").into_response()
    }
}

/// `GET /queue/{fleet}`: the depth as a number; with `.json` behind the name as
/// `{"waiting":N,"oldest_seconds":S,…}`, with what else the queue tells. `?at=/pointer` puts the
/// number where that JSON pointer leads. `?waiting=/a&running=/b` puts each field where its own pointer
/// leads, and leaves the others out.
pub(super) async fn queue(
    State(wire): State<WireWorld>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let (name, as_json) = match name.strip_suffix(".json") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    let source = if as_json { Telling::ALL } else { Telling::NONE };
    let depth = match FleetName::new(name) {
        Some(fleet) => wire.state().queue(&fleet, source),
        None => Err("HTTP 404".to_owned()),
    };
    match depth {
        Ok(depth) if as_json => {
            let form = Form::parse(query.unwrap_or_default().as_bytes());
            Json(document(depth, &form)).into_response()
        }
        Ok(depth) => format!("{}\n", depth.waiting).into_response(),
        Err(why) if why == "HTTP 404" => (StatusCode::NOT_FOUND, "no such queue\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// What is read of a drain that is posted.
#[derive(Debug, Deserialize)]
pub(super) struct Posted {
    drain: bool,
}

/// `POST /drain/{instance}`: begins the drain of an instance, or cancels it; answers with the number
/// of jobs that it runs.
pub(super) async fn drain(
    State(wire): State<WireWorld>,
    Path(id): Path<String>,
    Json(posted): Json<Posted>,
) -> Response {
    match wire.state().receive(&InstanceId::new(&id), posted.drain) {
        Ok(running) => Json(json!({ "running": running })).into_response(),
        Err(why) if why == "HTTP 404" => {
            (StatusCode::NOT_FOUND, "no such instance\n").into_response()
        }
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Returns the JSON of a queue: by `at` the number where it leads and the rest at the top, or each field
/// where the form has a pointer for it.
fn document(depth: Depth, form: &Form) -> Value {
    let work = depth.work;
    let count = |count: u64| Value::from(count);
    let busy = work.busy.map(|busy| {
        let busy = busy.into_iter().map(|(id, jobs)| (id.as_str().to_owned(), jobs.into()));
        Value::Object(busy.collect())
    });
    let others = [
        ("oldest_seconds", depth.oldest.map(|oldest| count(oldest.as_secs()))),
        ("running", work.running.map(count)),
        ("arrived", work.arrived.map(count)),
        ("completed", work.completed.map(count)),
        ("busy", busy),
    ];
    let mut told = json!({});
    let mapped = form.get("waiting");
    for (name, value) in others {
        let usual = format!("/{name}");
        let pointer = if mapped.is_some() { form.get(name) } else { Some(usual.as_str()) };
        if let (Some(pointer), Some(value)) = (pointer, value) {
            put(&mut told, pointer, value);
        }
    }
    let pointer = mapped.or_else(|| form.get("at")).unwrap_or("/waiting");
    put(&mut told, pointer, count(depth.waiting));
    told
}

/// Puts a value where a JSON pointer leads.
fn put(told: &mut Value, pointer: &str, value: Value) {
    // A pointer finds the entry "0" of an object too, so no list is needed.
    let mut place = told;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key.replace("~1", "/").replace("~0", "~")];
    }
    *place = value;
}

/// Keeps one listener open for every instance that serves, at `port` of its own address.
pub(super) async fn keep(wire: &WireWorld, port: u16) -> Infallible {
    // Dropping a set closes its listener and its connections.
    let mut open: BTreeMap<InstanceId, JoinSet<()>> = BTreeMap::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let serving = serving(wire);
        open.retain(|id, _| serving.contains_key(id));
        for (id, address) in serving {
            if open.contains_key(&id) {
                continue;
            }
            match TcpListener::bind((address, port)).await {
                Ok(listener) => {
                    let mut tasks = JoinSet::new();
                    tasks.spawn(welcome(listener, format!("Welcome to {id}\n")));
                    open.insert(id, tasks);
                }
                // It is tried again at the next look.
                Err(error) => tracing::debug!(%id, %address, %error, "no page for the instance"),
            }
        }
    }
}

fn serving(wire: &WireWorld) -> BTreeMap<InstanceId, IpAddr> {
    let state = wire.state();
    let now = state.world.now();
    let serving = state.world.machines().filter(|machine| machine.serves(now));
    serving.filter_map(|m| Some((m.id.clone(), m.private_ip.parse().ok()?))).collect()
}

/// Answers everybody with the same page, then closes: a kept connection would outlive its server.
async fn welcome(listener: TcpListener, page: String) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{page}", page.len());
    let mut visitors = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            visitors.spawn(tokio::time::timeout(PATIENCE, greet(stream, answer)));
        }
        while visitors.try_join_next().is_some() {}
    }
}

async fn greet(mut stream: TcpStream, answer: String) -> std::io::Result<()> {
    let mut seen: Vec<u8> = Vec::new();
    let mut part = [0; 1024];
    while !seen.windows(4).any(|end| end == b"\r\n\r\n") && seen.len() < 65_536 {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        seen.extend(part.iter().take(count));
    }
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
