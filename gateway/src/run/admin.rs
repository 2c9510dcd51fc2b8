//! The operators' listener: metrics, health, and the JSON API.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::Bus;
use ratatosk_metrics::Exporter;
use serde_json::json;

use super::upstreams::Upstreams;

#[derive(Clone)]
struct Admin {
    bus: Bus,
    life: Lifecycle,
    exporter: Arc<Exporter>,
    upstreams: Upstreams,
}

pub(super) fn router(bus: &Bus, life: &Lifecycle, exporter: Arc<Exporter>, upstreams: Upstreams) -> Router {
    let admin = Admin { bus: bus.clone(), life: life.clone(), exporter, upstreams };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/status", get(status))
        .route("/api/upstreams", get(upstream_list))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.exporter.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.life.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let (channels, subscriptions) = admin.bus.interest_counts();
    let connectors: serde_json::Map<_, _> = ratatosk_core::Connector::all()
        .map(|connector| (connector.name().to_owned(), json!({ "sessions": admin.bus.sessions_of(connector) })))
        .collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "gateway_id": admin.bus.gateway_id(),
        "position": admin.bus.position(admin.bus.head()).to_string(),
        "channels": channels,
        "subscriptions": subscriptions,
        "connectors": connectors,
    }))
    .into_response()
}

async fn upstream_list(State(admin): State<Admin>) -> Response {
    Json(admin.upstreams.describe()).into_response()
}
