//! From a request on `/app/{key}` to a WebSocket.

use axum::{
    extract::{FromRequestParts, Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use ratatosk_connector::{
    http::{Problem, Requester},
    limits::Guest,
    upstream::hops,
    websocket::{Handshake, HandshakeError},
};

use super::{Server, app::App, driver::Visit, socket};
use crate::proto::{close::Close, query::Query, version};

/// `GET /app/{key}`.
///
/// What is wrong with the application or the version is told after the upgrade: a browser cannot read the status of a
/// refused one.
pub(super) async fn handle(
    State(server): State<Server>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let handshake = match Handshake::new(&method, &headers, &[]) {
        Ok(handshake) => handshake,
        Err(error) => return refuse(error),
    };
    let Some(takeover) = caller.0.as_ref().and_then(Requester::takeover) else {
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "WebSocket is served over HTTP/1.1").into_response();
    };
    let head = BytesMut::from(handshake.answer().as_slice());
    let query = Query::parse(query.as_deref().unwrap_or_default());
    let gateway = gateway(&query);
    let admitted = match check(&server, &key, &query, &headers) {
        Ok(app) => caller.admit(&app).await.map(|visit| (app, visit)),
        Err(close) => Err(close),
    };
    match admitted {
        Ok((app, visit)) => {
            takeover.take(move |taken| socket::run(&server, app, (visit, gateway), taken, head.freeze())).await
        }
        Err(close) => takeover.take(move |taken| socket::turn_away(taken, head, close)).await,
    }
}

/// Who asks to be let in.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller(Option<Requester>);

impl Caller {
    pub(super) fn of(extensions: &http::Extensions) -> Self {
        Self(Requester::of(extensions).cloned())
    }

    /// Lets a connection in under the gateway's limits.
    pub(super) async fn admit(&self, app: &App) -> Result<Visit, Close> {
        let guest = self.enter(app)?;
        let address = self.0.as_ref().map(|requester| requester.address().ip());
        Ok(Visit { own: app.unsigned(self.0.as_ref().map(Requester::permit), address).await, guest })
    }

    pub(super) fn enter(&self, app: &App) -> Result<Guest, Close> {
        if self.0.as_ref().is_some_and(|requester| requester.permit().refused().is_some()) {
            return Err(Close::OverCapacity);
        }
        app.access.limits().enter(app.connector, None).map_err(|_| Close::OverCapacity)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
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

/// The id of the gateway that connects, if it is one: `gateway=ID`, which stock servers ignore as stock clients do not send it.
fn gateway(query: &Query) -> Option<std::sync::Arc<str>> {
    query.get("gateway").and_then(|id| hops::parse(id).into_iter().next())
}

fn refuse(error: HandshakeError) -> Response {
    let status = match error {
        HandshakeError::NotAnUpgrade | HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
        HandshakeError::Key => StatusCode::BAD_REQUEST,
    };
    let headers = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
    (headers, Problem::new(status, "websocket", "A WebSocket connection is expected", error.to_string()))
        .into_response()
}
