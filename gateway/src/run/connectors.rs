//! The list of connectors: what each serves, and where. A new protocol is one line here.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use ratatosk_connector::{http::Origins, lifecycle::Lifecycle};
use ratatosk_core::Bus;

use super::page;
use crate::config::{CorsOrigins, Resolved};

/// The server sides, ready to be given their listeners.
pub(super) struct Connectors {
    /// Everything on the HTTP listener.
    pub(super) router: Router,
}

impl Connectors {
    pub(super) fn new(resolved: &Resolved, bus: &Bus, life: &Lifecycle) -> anyhow::Result<Self> {
        let origins = match &resolved.http.cors {
            CorsOrigins::Any => Origins::new(["*"]),
            CorsOrigins::Only(named) => Origins::new(named.iter().map(String::as_str)),
        };
        let sse = ratatosk_sse::server::Server::new(
            bus.clone(),
            life.clone(),
            origins.clone(),
            &resolved.sse,
            resolved.limits.max_payload(),
        );
        let bayeux = ratatosk_bayeux::server::BayeuxServer::new(ratatosk_bayeux::server::ServerConfig {
            config: resolved.bayeux.clone(),
            bus: bus.clone(),
            life: life.clone(),
            origins: origins.clone(),
        });
        let pusher =
            ratatosk_pusher::server::Server::new(bus.clone(), life.clone(), origins.clone(), &resolved.pusher)?;
        let router = Router::new()
            .merge(page::router())
            .merge(sse.router())
            .merge(bayeux.router())
            .merge(pusher.router())
            .layer(from_fn_with_state(origins, preflight));
        Ok(Self { router })
    }
}

/// Answers CORS preflights for every route alike.
async fn preflight(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return next.run(request).await;
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    answer.headers_mut().extend(origins.preflight(request.headers()));
    answer
}
