//! From a request on `/app/{key}` to a WebSocket.

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, header};
use ratatosk_connector::{
    http::Takeover,
    websocket::{Handshake, HandshakeError},
};

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
    let handshake = match Handshake::new(&method, &headers, &[]) {
        Ok(handshake) => handshake,
        Err(error) => return refuse(error),
    };
    let Some(Extension(takeover)) = takeover else {
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "WebSocket is served over HTTP/1.1").into_response();
    };
    let head = BytesMut::from(handshake.answer().as_slice());
    let query = Query::parse(query.as_deref().unwrap_or_default());
    match check(&server, &key, &query, &headers) {
        Ok(app) => takeover.take(move |taken| socket::run(&server, app, taken, head.freeze())).await,
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

fn refuse(error: HandshakeError) -> Response {
    let status = match error {
        HandshakeError::NotAnUpgrade | HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
        HandshakeError::Key => StatusCode::BAD_REQUEST,
    };
    let answer = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
    (status, answer, error.to_string()).into_response()
}
