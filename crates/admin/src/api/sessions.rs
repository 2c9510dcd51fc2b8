//! Sessions: find, look at, disconnect.

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use ratatosk_connector::http::Problem;
use ratatosk_core::{Bus, Connector, EndReason, Filter, bus::SessionQuery};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, page};
use crate::{problems, render};

/// Which page of which sessions.
#[derive(Deserialize)]
pub(super) struct Wanted {
    after: Option<u64>,
    limit: Option<usize>,
    connector: Option<String>,
    q: Option<String>,
    filter: Option<String>,
}

pub(super) async fn list(State(admin): Gateway, Query(wanted): Query<Wanted>) -> Result<Json<Value>, Problem> {
    let bus = &admin.config.bus;
    let connector = match &wanted.connector {
        None => None,
        Some(name) => Some(
            Connector::all()
                .find(|connector| connector.name() == name)
                .ok_or_else(|| problems::bad(format!("there is no connector {name:?}")))?,
        ),
    };
    let filter = wanted.filter.map(Filter::new).transpose().map_err(|error| problems::bad(error.to_string()))?;
    let text = wanted.q.filter(|text| !text.is_empty());
    let query = SessionQuery { after: wanted.after.unwrap_or(0), connector, text, filter };
    let limit = page(wanted.limit);
    // One more than asked for tells whether there is a next page.
    let mut found = bus.find_sessions(&query, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    let total: usize = Connector::all().map(|connector| bus.sessions_of(connector)).sum();
    Ok(Json(json!({ "sessions": found.iter().map(render::session).collect::<Vec<_>>(), "next": next, "total": total })))
}

pub(super) async fn one(State(admin): Gateway, Path(id): Path<u64>) -> Result<Json<Value>, Problem> {
    find(&admin.config.bus, id).map(Json).ok_or_else(unknown)
}

pub(super) async fn disconnect(State(admin): Gateway, Path(id): Path<u64>) -> Result<Response, Problem> {
    let bus = &admin.config.bus;
    find(bus, id).ok_or_else(unknown)?;
    tracing::info!(session = id, "an operator disconnects a session");
    if bus.end_session(id, EndReason::Kicked) { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown()) }
}

fn find(bus: &Bus, id: u64) -> Option<Value> {
    let query = SessionQuery { after: id.checked_sub(1)?, ..SessionQuery::default() };
    let found = bus.find_sessions(&query, 1);
    found.first().filter(|info| info.id.to_string() == id.to_string()).map(render::session)
}

fn unknown() -> Problem {
    problems::not_found("session of that number")
}
