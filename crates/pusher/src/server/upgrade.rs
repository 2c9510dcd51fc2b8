//! From a request on `/app/{key}` to a WebSocket.

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, header};
use ratatosk_connector::http::Takeover;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Server, socket};
use crate::proto::{close::Close, query::Query, version};

/// `GET /app/{key}`.
///
/// What is wrong with the application or the version is told after the upgrade: a browser cannot read the status of a
/// refused one.
pub(super) async fn handle(
    State(server): State<Server>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    takeover: Option<Extension<Takeover>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let accept = match accept(&method, &headers) {
        Ok(accept) => accept,
        Err(refusal) => return refusal,
    };
    let Some(Extension(takeover)) = takeover else {
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "WebSocket is served over HTTP/1.1").into_response();
    };
    let mut head = BytesMut::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    head.extend_from_slice(format!("Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
    let query = Query::parse(query.as_deref().unwrap_or_default());
    match check(&server, &key, &query, &headers) {
        Ok(app) => takeover.take(move |taken| socket::run(server, app, taken, head.freeze())).await,
        Err(close) => takeover.take(move |taken| socket::turn_away(taken, head, close)).await,
    }
}

fn check(
    server: &Server,
    key: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<std::sync::Arc<super::app::App>, Close> {
    version::check(query.get("protocol"))?;
    let app = server.by_key(key).ok_or(Close::UnknownApp)?;
    if !server.origins().allows(headers) {
        return Err(Close::Unauthorized);
    }
    if server.is_closing() {
        return Err(Close::Restart);
    }
    app.admits()?;
    Ok(app)
}

/// The answer's key, if this is a WebSocket request (RFC 6455 section 4.2.1).
fn accept(method: &Method, headers: &HeaderMap) -> Result<String, Response> {
    let has = |name: header::HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if method != Method::GET || !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        let answer = [(header::UPGRADE, "websocket"), (header::CONNECTION, "Upgrade")];
        return Err((StatusCode::UPGRADE_REQUIRED, answer, "This is a WebSocket endpoint").into_response());
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        let answer = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return Err((StatusCode::UPGRADE_REQUIRED, answer, "WebSocket version 13 is spoken").into_response());
    }
    match headers.get(header::SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 => Ok(derive_accept_key(key.as_bytes())),
        _ => Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or faulty").into_response()),
    }
}
