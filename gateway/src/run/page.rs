//! The page at `/`: what is connected, and a live view of channels, without any external resource.

use axum::{Json, Router, response::Html, routing::get};
use ratatosk_core::{Bus, Connector};
use serde_json::{Map, Value, json};

use super::upstreams::Upstreams;
use crate::config::Resolved;

/// The page, in the binary.
const PAGE: &str = include_str!("../../assets/index.html");

pub(super) fn router() -> Router {
    at("/")
}

/// The same page at another path.
pub(crate) fn at(path: &str) -> Router {
    Router::new().route(path, get(|| async { Html(PAGE) }))
}

/// What the page shows of who is connected. It is for the machine's own users: where others could reach it, it does not
/// exist, and operators have the admin listener.
pub(super) fn connected(resolved: &Resolved, bus: &Bus, upstreams: &Upstreams) -> Router {
    let mut listeners = [resolved.http.listen, resolved.http.tls_listen].into_iter().flatten();
    if !listeners.all(|address| address.ip().is_loopback()) {
        return Router::new();
    }
    let (bus, upstreams) = (bus.clone(), upstreams.clone());
    let answer = move || async move { Json(describe(&bus, &upstreams)) };
    Router::new().route("/connected", get(answer))
}

fn describe(bus: &Bus, upstreams: &Upstreams) -> Value {
    let clients = Connector::all().filter(|connector| *connector != Connector::GATEWAY);
    let sessions: Map<String, Value> =
        clients.map(|connector| (connector.name().to_owned(), bus.sessions_of(connector).into())).collect();
    let upstreams: Vec<Value> =
        upstreams.readings().into_iter().map(|one| json!({ "name": one.upstream, "up": one.up })).collect();
    json!({ "sessions": sessions, "upstreams": upstreams })
}
