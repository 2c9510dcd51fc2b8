//! The list of connectors: what each serves, and where. A new protocol is one line here.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::SizeHint;
use ratatosk_connector::{
    access::Access,
    http::{Front, Origins, Problem, Shortcut},
    lifecycle::Lifecycle,
    limits::Limits,
};
use ratatosk_core::Bus;
use tower::{Layer as _, Service as _, service_fn};

use ratatosk_mqtt::server::{MqttServer, Settings};

use super::access::{Guard, MqttDoor};
use crate::config::{CorsOrigins, Resolved};

/// The server sides, ready to be given their listeners.
pub(super) struct Connectors {
    /// Everything on the HTTP listener.
    pub(super) router: Router,
    /// What stands before it.
    pub(super) front: Arc<dyn Front>,
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
        let mqtt = MqttServer::new(settings, bus.clone(), life.clone(), Arc::new(MqttDoor(access.clone())));
        let mercure = resolved.sse.mercure.as_ref();
        let mercure = mercure.map(|config| ratatosk_sse::server::mercure::Hub::new(&sse, config)).transpose()?;
        let guard = Guard::new(resolved, access.clone(), origins.clone());
        let (streams, publishing) = (sse.clone(), sse.clone());
        let shortcuts = vec![
            shortcut(&guard, Method::GET, sse.path(), move |request| streams.clone().stream(request)),
            shortcut(&guard, Method::POST, "/publish", move |request| publishing.clone().publish(request)),
        ];
        let router = Router::new()
            .merge(extra)
            .merge(sse.router())
            .merge(mercure.map(|hub| hub.router()).unwrap_or_default())
            .merge(bayeux.router())
            .merge(pusher.router())
            .layer(guard)
            // A WebSocket handshake in a browser carries no credentials: MQTT's CONNECT does.
            .merge(mqtt.router("/mqtt", origins.clone()))
            .fallback(no_such_path)
            .method_not_allowed_fallback(bad_method);
        let front = Arc::new(Gate {
            origins,
            max_body: resolved.http.max_body as u64,
            max_header: resolved.http.max_header,
            shortcuts,
        });
        Ok(Self { router, front, mqtt, access })
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

/// What every route has in common: CORS preflights, headers that are too large, and bodies that announce to be, are answered before
/// any of it is read.
struct Gate {
    origins: Origins,
    max_body: u64,
    max_header: usize,
    /// Around the router.
    shortcuts: Vec<(Method, String, Box<Shortcut>)>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("max_body", &self.max_body).finish_non_exhaustive()
    }
}

/// A way to a handler that goes through the guard, as all ways do, and not through the router.
fn shortcut<F>(
    guard: &Guard,
    method: Method,
    path: &str,
    handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
) -> (Method, String, Box<Shortcut>)
where
    F: Future<Output = Response> + Send + 'static,
{
    let guarded = guard.layer(service_fn(move |request| handler(request).map(Ok).boxed()));
    (method, path.to_owned(), Box::new(move |request| guarded.clone().call(request).into_inner()))
}

impl Gate {
    /// Why a request is refused whatever it asks for.
    fn fault(&self, headers: &HeaderMap, body: SizeHint) -> Option<Problem> {
        if header_bytes(headers) > self.max_header {
            let detail = format!("the headers of a request have at most {} bytes (`http.max_header`)", self.max_header);
            let title = "The headers are too large";
            return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", title, detail));
        }
        if body.lower() > self.max_body {
            let detail = format!("a request body has at most {} bytes (`http.max_body`)", self.max_body);
            let title = "The request body is too large";
            return Some(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", title, detail));
        }
        None
    }
}

impl Front for Gate {
    fn answer(&self, method: &Method, headers: &HeaderMap, body: SizeHint) -> Option<Response> {
        let (mut answer, more) = if let Some(fault) = self.fault(headers, body) {
            (fault.into_response(), self.origins.answer(headers))
        } else if *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            (StatusCode::NO_CONTENT.into_response(), self.origins.preflight(headers))
        } else {
            return None;
        };
        answer.headers_mut().extend(more);
        Some(answer)
    }

    fn shortcut(&self, method: &Method, path: &str) -> Option<&Shortcut> {
        let known = self.shortcuts.iter().find(|(of, at, _)| of == method && at == path);
        known.map(|(_, _, shortcut)| &**shortcut)
    }
}

/// The headers as they stand in HTTP/1.1. The library that reads them counts the request line with them, which may be long.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}
