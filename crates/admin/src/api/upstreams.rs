//! Far servers: look, add, pause, resume, drain, remove.

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use ratatosk_connector::http::Problem;
use serde_json::{Value, json};

use super::Gateway;
use crate::{Refused, UpstreamOrder, problems};

pub(super) async fn list(State(admin): Gateway) -> Json<Value> {
    Json(json!({ "upstreams": admin.config.upstreams.list() }))
}

pub(super) async fn one(State(admin): Gateway, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(admin.config.upstreams.get(&name).ok_or(Refused::Unknown)?))
}

pub(super) async fn add(
    State(admin): Gateway,
    section: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(section) = section.map_err(|error| problems::bad(error.body_text()))?;
    let name = admin.config.upstreams.add(section)?;
    tracing::info!(upstream = name, "an operator added an upstream");
    let shown = admin.config.upstreams.get(&name).unwrap_or(Value::Null);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

pub(super) async fn remove(State(admin): Gateway, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    admin.config.upstreams.remove(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(admin: Gateway, name: Path<String>) -> Result<Response, Problem> {
    order(&admin, &name, UpstreamOrder::Pause)
}

pub(super) async fn resume(admin: Gateway, name: Path<String>) -> Result<Response, Problem> {
    order(&admin, &name, UpstreamOrder::Resume)
}

pub(super) async fn drain(admin: Gateway, name: Path<String>) -> Result<Response, Problem> {
    order(&admin, &name, UpstreamOrder::Drain)
}

/// The order is taken; its effect shows in the state soon.
fn order(admin: &Gateway, name: &str, order: UpstreamOrder) -> Result<Response, Problem> {
    let upstreams = &admin.0.config.upstreams;
    upstreams.order(name, order)?;
    Ok((StatusCode::ACCEPTED, Json(upstreams.get(name).unwrap_or(Value::Null))).into_response())
}
