//! The JSON API. Every path here is in `openapi.json`, and the other way round.

mod channels;
mod monitor;
mod overview;
mod publish;
mod sessions;
mod upstreams;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::header;
use serde_json::{Value, json};

use crate::{Admin, OPENAPI, problems, render};

/// What a handler has of the gateway.
type Gateway = State<Arc<Admin>>;

/// The most entries of a page, and how many it has when nobody says.
const LARGEST_PAGE: usize = 500;
const PAGE: usize = 50;

/// All routes, with the path as OpenAPI writes it.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Admin>>)> {
    vec![
        ("/api/openapi.json", get(openapi)),
        ("/api/overview", get(overview::overview)),
        ("/api/connectors", get(overview::connectors)),
        ("/api/sessions", get(sessions::list)),
        ("/api/sessions/{id}", get(sessions::one).delete(sessions::disconnect)),
        ("/api/channels", get(channels::list)),
        ("/api/channel", get(channels::one)),
        ("/api/retained", get(channels::retained)),
        ("/api/presence", get(channels::presence)),
        ("/api/upstreams", get(upstreams::list).post(upstreams::add)),
        ("/api/upstreams/{name}", get(upstreams::one).delete(upstreams::remove)),
        ("/api/upstreams/{name}/pause", post(upstreams::pause)),
        ("/api/upstreams/{name}/resume", post(upstreams::resume)),
        ("/api/upstreams/{name}/drain", post(upstreams::drain)),
        ("/api/rules", get(rules)),
        ("/api/config", get(config)),
        ("/api/publish", post(publish::publish)),
        ("/api/monitor", get(monitor::stream)),
    ]
}

pub(crate) fn router() -> Router<Arc<Admin>> {
    let unknown = || async { problems::not_found("such path in the API; see /api/openapi.json") };
    let router = routes().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    router.route("/api/{*rest}", axum::routing::any(unknown))
}

/// How many entries of a list are asked for.
fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn rules(State(admin): Gateway) -> Json<Value> {
    let channels: Vec<Value> = admin.config.bus.rules().iter().map(|rule| render::rule(rule)).collect();
    let bridges = admin.config.upstreams.list();
    let bridges: Vec<Value> = bridges
        .iter()
        .map(|upstream| {
            let part = |key: &str| upstream.get(key).cloned().unwrap_or(Value::Null);
            json!({ "upstream": part("name"), "kind": part("kind"), "in": part("in"), "out": part("out") })
        })
        .collect();
    Json(json!({ "channels": channels, "bridges": bridges }))
}

async fn config(State(admin): Gateway) -> Json<Value> {
    Json((admin.config.config)())
}
