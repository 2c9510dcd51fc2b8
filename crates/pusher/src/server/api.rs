//! The HTTP API.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use ratatosk_connector::{http::trace_context, upstream::hops};
use ratatosk_core::{MonitorEvent, Properties};

use super::{Server, app::App, clock::Clock};
use crate::proto::{
    http::{AuthFault, Fault, authenticate},
    query::Query,
};

mod channels;
mod events;

/// Bytes of a request besides the data of its events.
const OVERHEAD: usize = 64 << 10;
/// How much longer JSON can make a text: `\u0000` for one byte.
const ESCAPED: usize = 6;

/// An answer, or why there is none.
type Answer = Result<serde_json::Value, Fault>;

/// A request that was signed by the application.
struct Call {
    app: Arc<App>,
    query: Query,
    body: Bytes,
    /// The trace context that came with it.
    context: Properties,
    /// The gateways that its messages passed.
    hops: Arc<[Arc<str>]>,
}

/// Every request of the HTTP API. Routed by hand: the signature is over the path as it was sent.
pub(super) async fn handle(State(server): State<Server>, request: Request) -> Response {
    match answer(&server, request).await {
        Ok((status, json)) => {
            let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            (status, [content_type], json.to_string()).into_response()
        }
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, fault.message).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            response
        }
    }
}

async fn answer(server: &Server, request: Request) -> Result<(StatusCode, serde_json::Value), Fault> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let below = path.strip_prefix(server.0.prefix.as_str()).unwrap_or(path);
    let (app, rest) = find(server, below, query)?;
    if !app.policy.enabled {
        return Err(Fault { status: 403, message: "The application is disabled".into() });
    }
    let body = read(&app, body).await?;
    check(&app, &parts.method, path, query, &body)?;
    let passed = parts.headers.get(hops::NAME).and_then(|value| value.to_str().ok());
    let hops = passed.map(hops::parse).unwrap_or_default().into();
    let call = Call { app, query: Query::parse(query), body, context: trace_context(&parts.headers), hops };
    let segments: Vec<String> = rest.split('/').map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ok = |json| (StatusCode::OK, json);
    match (parts.method.as_str(), segments.as_slice()) {
        ("POST", ["events"]) => events::one(&call).await.map(ok),
        ("POST", ["batch_events"]) => events::batch(&call).await.map(ok),
        ("POST", ["channels", channel, "events"]) => {
            events::to_channel(&call, channel).await.map(|json| (StatusCode::ACCEPTED, json))
        }
        ("GET", ["channels"]) => channels::list(&call).map(ok),
        ("GET", ["channels", channel]) => channels::one(&call, channel).await.map(ok),
        ("GET", ["channels", channel, "users"]) => channels::users(&call, channel).map(ok),
        ("GET", ["channels", channel, "stats"]) => channels::stats(&call, channel).map(ok),
        ("POST", ["users", user, "terminate_connections"]) => Ok(ok(channels::terminate(&call, user))),
        (_, ["events" | "batch_events" | "channels"] | ["channels", ..] | ["users", _, "terminate_connections"]) => {
            Err(Fault { status: 405, message: "Method not allowed".into() })
        }
        _ => Err(Fault { status: 404, message: "Unknown endpoint".into() }),
    }
}

/// The application, and the path below it.
fn find<'a>(server: &Server, path: &'a str, query: &str) -> Result<(Arc<App>, &'a str), Fault> {
    let unknown = || Fault { status: 404, message: "Unknown application".into() };
    if let Some(rest) = path.strip_prefix("/apps/") {
        let (id, rest) = rest.split_once('/').ok_or_else(unknown)?;
        return Ok((server.by_id(&decode(id)).ok_or_else(unknown)?, rest));
    }
    // An SDK that leaves the application out still names its key.
    let app = Query::parse(query).get("auth_key").and_then(|key| server.by_key(key));
    Ok((app.ok_or_else(unknown)?, path.trim_start_matches('/')))
}

async fn read(app: &App, body: Body) -> Result<Bytes, Fault> {
    let limits = &app.policy.limits;
    let data = limits.event_bytes.saturating_mul(ESCAPED).saturating_mul(limits.batch_events.max(1));
    let most = data.saturating_add(OVERHEAD.saturating_mul(limits.batch_events.max(1)));
    axum::body::to_bytes(body, most).await.map_err(|_| Fault::too_large(format!("The body is over {most} bytes")))
}

/// SDKs sign the path as they write it or as they send it.
fn check(app: &App, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<(), Fault> {
    let now = Clock::unix_ms() / 1000;
    let mut checked = authenticate(&app.policy, method.as_str(), path, query, body, now);
    if matches!(checked, Err(AuthFault::Signature { .. })) && path.contains('%') {
        checked = authenticate(&app.policy, method.as_str(), &decode(path), query, body, now);
    }
    let (connector, allowed) = (app.connector, checked.is_ok());
    app.bus.monitor().emit(MonitorEvent::Authenticated { connector, allowed });
    checked.map_err(|fault| Fault { status: 401, message: fault.to_string() })
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
