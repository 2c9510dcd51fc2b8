//! The list of connectors: what each serves, and where. A new protocol is one line here.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use ratatosk_connector::{
    access::Access,
    http::{Origins, Problem},
    lifecycle::Lifecycle,
    limits::Limits,
};
use ratatosk_core::Bus;

use ratatosk_mqtt::server::{MqttServer, Settings};

use super::access::{Guard, MqttDoor, guard};
use crate::config::{CorsOrigins, Resolved};

/// The server sides, ready to be given their listeners.
pub(super) struct Connectors {
    /// Everything on the HTTP listener.
    pub(super) router: Router,
    /// MQTT's own listeners.
    pub(super) mqtt: MqttServer,
    /// What judges the clients of all of them.
    pub(super) access: Access,
}

impl Connectors {
    pub(super) fn new(resolved: &Resolved, bus: &Bus, life: &Lifecycle, extra: Router) -> anyhow::Result<Self> {
        let origins = match &resolved.http.cors {
            CorsOrigins::Any => Origins::new(["*"]),
            CorsOrigins::Only(named) => Origins::new(named.iter().map(String::as_str)),
        };
        let limits = Limits::new(resolved.held_to.clone(), bus.monitor().clone());
        limits.watch_memory(bus.clone(), life);
        let access = Access::new(&resolved.auth.access, bus.monitor().clone(), life)?.limited(limits);
        let sse = ratatosk_sse::server::Server::new(
            bus.clone(),
            life.clone(),
            origins.clone(),
            access.clone(),
            &resolved.sse,
            resolved.limits.max_payload(),
        );
        let bayeux = ratatosk_bayeux::server::BayeuxServer::new(ratatosk_bayeux::server::ServerConfig {
            config: resolved.bayeux.clone(),
            bus: bus.clone(),
            life: life.clone(),
            origins: origins.clone(),
            access: access.clone(),
        });
        let pusher = ratatosk_pusher::server::Server::new(
            bus.clone(),
            life.clone(),
            origins.clone(),
            access.clone(),
            &resolved.pusher,
        )?;
        let mut settings = Settings::from(&resolved.mqtt);
        settings.max_subscriptions = settings.max_subscriptions.min(resolved.limits.subscriptions);
        let mqtt = MqttServer::new(settings, bus.clone(), life.clone(), std::sync::Arc::new(MqttDoor(access.clone())));
        let mercure = resolved.sse.mercure.as_ref();
        let mercure = mercure.map(|config| ratatosk_sse::server::mercure::Hub::new(&sse, config)).transpose()?;
        let router = Router::new()
            .merge(extra)
            .merge(sse.router())
            .merge(mercure.map(|hub| hub.router()).unwrap_or_default())
            .merge(bayeux.router())
            .merge(pusher.router())
            .layer(from_fn_with_state(Guard::new(resolved, access.clone(), origins.clone()), guard))
            // A WebSocket handshake in a browser carries no credentials: MQTT's CONNECT does.
            .merge(mqtt.router("/mqtt", origins.clone()))
            .fallback(no_such_path)
            .method_not_allowed_fallback(bad_method)
            .layer(from_fn_with_state(Front::new(resolved, origins), front));
        Ok(Self { router, mqtt, access })
    }
}

async fn no_such_path(request: Request) -> Problem {
    let detail = format!("nothing is served at {}", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
}

/// The `allow` header, which the router adds, says what would be allowed.
async fn bad_method(request: Request) -> Problem {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", "The method is not allowed", detail)
}

/// What every route has in common.
#[derive(Clone)]
struct Front {
    origins: Origins,
    max_body: u64,
    max_header: usize,
}

impl Front {
    fn new(resolved: &Resolved, origins: Origins) -> Self {
        Self { origins, max_body: resolved.http.max_body as u64, max_header: resolved.http.max_header }
    }

    /// Why a request is refused whatever it asks for.
    fn fault(&self, request: &Request) -> Option<Problem> {
        if header_bytes(request) > self.max_header {
            let detail = format!("the headers of a request have at most {} bytes (`http.max_header`)", self.max_header);
            let title = "The headers are too large";
            return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", title, detail));
        }
        if http_body::Body::size_hint(request.body()).lower() > self.max_body {
            let detail = format!("a request body has at most {} bytes (`http.max_body`)", self.max_body);
            let title = "The request body is too large";
            return Some(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", title, detail));
        }
        None
    }
}

/// The headers as they stand in HTTP/1.1. The library that reads them counts the request line with them, which may be long.
fn header_bytes(request: &Request) -> usize {
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// Answers CORS preflights, headers that are too large, and bodies that announce to be, before any of them is read.
async fn front(State(front): State<Front>, request: Request, next: Next) -> Response {
    if let Some(fault) = front.fault(&request) {
        let mut answer = fault.into_response();
        answer.headers_mut().extend(front.origins.answer(request.headers()));
        return answer;
    }
    let origins = front.origins;
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return next.run(request).await;
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    answer.headers_mut().extend(origins.preflight(request.headers()));
    answer
}
