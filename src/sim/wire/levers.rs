//! What an operator, a stranger or a test may do to the imagined world behind the daemon's back,
//! as JSON below `/_world/`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::WireWorld;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};

/// Why a lever does not move.
type Refused = (StatusCode, String);

pub(super) fn router() -> Router<WireWorld> {
    Router::new()
        .route("/_world/instances", get(instances))
        .route("/_world/calls", get(calls))
        .route("/_world/members/{name}", get(members))
        .route("/_world/terminate/{id}", post(terminate))
        .route("/_world/delete-balancer/{name}", post(delete_balancer))
        .route("/_world/queue/{fleet}/{waiting}", post(queue))
        .route("/_world/foreign", post(foreign))
}

/// An instance as the world itself knows it.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    state: &'static str,
    fleet: Option<String>,
    /// Empty: launched without one.
    token: String,
    serves: bool,
    address: String,
    instance_type: Option<String>,
    subnet: Option<String>,
    user_data: String,
    tags: BTreeMap<String, String>,
    billed_seconds: u64,
}

async fn instances(State(wire): State<WireWorld>) -> Json<Vec<Row>> {
    let state = wire.state();
    let now = state.world.now();
    let rows = state.world.machines().map(|machine| Row {
        id: machine.id.to_string(),
        state: machine.lifecycle(now).as_str(),
        fleet: machine.fleet().map(ToString::to_string),
        token: machine.request.token.to_string(),
        serves: machine.serves(now),
        address: machine.private_ip.to_string(),
        instance_type: machine.request.pool.instance_type.as_deref().map(str::to_owned),
        subnet: machine.request.pool.subnet.as_deref().map(str::to_owned),
        user_data: machine.request.user_data.clone(),
        tags: machine.tags().clone(),
        billed_seconds: machine.billed(now).as_secs(),
    });
    Json(rows.collect())
}

async fn calls(State(wire): State<WireWorld>) -> Json<BTreeMap<&'static str, u64>> {
    Json(wire.state().world.calls().clone())
}

/// All balancers that go by `name`, classic or target group.
fn named(wire: &WireWorld, name: &str) -> Result<Vec<Balancer>, Refused> {
    let is = |balancer: &&Balancer| match balancer {
        Balancer::Classic(known) | Balancer::TargetGroup(known) => known == name,
    };
    let found: Vec<Balancer> = wire.state().world.members.balancers().filter(is).cloned().collect();
    if found.is_empty() {
        return Err((StatusCode::NOT_FOUND, format!("no load balancer is called {name}\n")));
    }
    Ok(found)
}

async fn members(
    State(wire): State<WireWorld>,
    Path(name): Path<String>,
) -> Result<Json<BTreeMap<String, String>>, Refused> {
    let balancers = named(&wire, &name)?;
    let state = wire.state();
    let now = state.world.now();
    let mut rows = BTreeMap::new();
    for balancer in &balancers {
        let found = state.world.members.describe(balancer, now).map_err(refused)?;
        rows.extend(found.into_iter().map(|(id, found)| (id.to_string(), found.to_string())));
    }
    Ok(Json(rows))
}

async fn terminate(
    State(wire): State<WireWorld>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let id = InstanceId::new(&id);
    wire.state().world.console_terminate(&id).map_err(refused)?;
    Ok(Json(json!({ "terminated": id.as_str() })))
}

async fn delete_balancer(
    State(wire): State<WireWorld>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    for balancer in named(&wire, &name)? {
        wire.state().world.members.remove(&balancer);
    }
    Ok(Json(json!({ "deleted": name })))
}

async fn queue(
    State(wire): State<WireWorld>,
    Path((fleet, waiting)): Path<(String, u64)>,
) -> Result<Json<Value>, Refused> {
    let name = FleetName::new(&fleet)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("{fleet} is no fleet's name\n")))?;
    wire.state().pin(name, waiting);
    Ok(Json(json!({ "fleet": fleet, "waiting": waiting })))
}

/// An instance that somebody else launches; tags can say anything.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Foreign {
    tags: BTreeMap<String, String>,
    token: String,
    instance_type: Option<String>,
    subnet: Option<String>,
}

async fn foreign(
    State(wire): State<WireWorld>,
    Json(wanted): Json<Foreign>,
) -> Result<Json<Value>, Refused> {
    let request = LaunchRequest {
        token: Token::from_stored(&wanted.token),
        image: Image::Id("ami-foreign".to_owned()),
        pool: Pool {
            instance_type: wanted.instance_type.map(Into::into),
            subnet: wanted.subnet.map(Into::into),
        },
        key_pair: None,
        security_groups: Vec::new(),
        instance_profile: None,
        user_data: String::new(),
        drains: false,
        tags: wanted.tags.into(),
    };
    let id = wire.state().world.add_foreign(&request).map_err(refused)?;
    Ok(Json(json!({ "id": id.as_str() })))
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn refused(fault: Fault) -> Refused {
    (StatusCode::CONFLICT, format!("{fault}\n"))
}
