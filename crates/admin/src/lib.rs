//! The operators' side of the gateway: metrics and health, a JSON API under `/api/`, and the console at `/`.
//!
//! Nothing here knows a protocol or how a gateway is put together: what it shows beyond the bus comes through
//! [`AdminConfig`]. The API is described by [`OPENAPI`], which a test holds to the routes and their answers.

mod api;
mod console;
mod guard;
mod problems;
mod process;
mod render;

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::State,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use ratatosk_connector::{config_types::Secret, lifecycle::Lifecycle};
use ratatosk_core::Bus;
use serde_json::Value;

/// The OpenAPI document of the JSON API; served at `/api/openapi.json`.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The scrape in the Prometheus text format, or why there is none.
pub type Scrape = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Something that can be looked at, as JSON.
pub type View = Arc<dyn Fn() -> Value + Send + Sync>;

/// What callers of the API must show now; another may be in force the next time. Without one, only those on this machine may call.
pub type TokenInForce = Arc<dyn Fn() -> Option<Secret> + Send + Sync>;

/// What the admin side is made of.
#[derive(Clone)]
pub struct AdminConfig {
    /// What it shows.
    pub bus: Bus,
    /// For `/readyz`, and for streams that end when the gateway does.
    pub life: Lifecycle,
    /// The far servers.
    pub upstreams: Arc<dyn UpstreamControl>,
    /// The metrics.
    pub metrics: Scrape,
    /// The configuration in force, secrets masked.
    pub config: View,
    /// Who may call the API.
    pub token: TokenInForce,
    /// The program's version.
    pub version: &'static str,
    /// Where the gateway listens, by listener.
    pub listeners: Vec<(&'static str, SocketAddr)>,
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// What an operator may ask of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOrder {
    /// Disconnect, and stay so; what is to be sent is queued.
    Pause,
    /// Connect again after a pause, a refusal or a drain.
    Resume,
    /// Send what is queued, take nothing new, and stop.
    Drain,
}

/// An order that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is none of that name.
    Unknown,
    /// There is one of that name.
    Conflict(String),
    /// The description is wrong; each fault on a line of its own.
    Invalid(String),
}

/// The far servers, as the API handles them. An upstream is described by a JSON object (see `openapi.json`).
pub trait UpstreamControl: Send + Sync + 'static {
    /// All of them.
    fn list(&self) -> Vec<Value>;

    /// One of them.
    fn get(&self, name: &str) -> Option<Value>;

    /// Starts one more, from what would be an `[[upstreams]]` entry of the file; yields its name.
    ///
    /// # Errors
    /// The name is taken, or the entry is wrong.
    fn add(&self, section: Value) -> Result<String, Refused>;

    /// Carries out an order; its effect shows in the state.
    ///
    /// # Errors
    /// There is none of that name.
    fn order(&self, name: &str, order: UpstreamOrder) -> Result<(), Refused>;

    /// Sends what is queued within a few seconds, and ends it for good.
    ///
    /// # Errors
    /// There is none of that name.
    fn remove(&self, name: &str) -> Result<(), Refused>;
}

/// What every handler sees.
pub(crate) struct Admin {
    pub(crate) config: AdminConfig,
    pub(crate) started: Instant,
}

/// The whole admin side.
pub fn router(config: AdminConfig) -> Router {
    let admin = Arc::new(Admin { config, started: Instant::now() });
    let api = api::router().layer(from_fn_with_state(admin.clone(), guard::guard));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(api)
        .with_state(admin)
        .merge(console::router())
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match (admin.config.metrics)() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.config.life.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

#[cfg(test)]
mod tests;
