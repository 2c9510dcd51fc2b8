//! MQTT over WebSocket (MQTT 5, section 6): a stream of bytes in binary frames, whose boundaries mean nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use ratatosk_connector::{
    http::{Origins, Problem, Requester, Taken},
    websocket::{Handshake, HandshakeError},
};

use super::{
    Shared, connection,
    wire::{Framing, Wire},
};

/// What the standard says, and what clients from before it say.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

#[derive(Clone)]
struct Mount {
    shared: Arc<Shared>,
    origins: Origins,
}

pub(super) fn router(shared: Arc<Shared>, path: &str, origins: Origins) -> Router {
    Router::new().route(path, any(upgrade)).with_state(Mount { shared, origins })
}

async fn upgrade(State(mount): State<Mount>, request: Request) -> Response {
    if !mount.origins.allows(request.headers()) {
        let title = "This origin may not connect";
        return Problem::new(axum::http::StatusCode::FORBIDDEN, "origin", title, "see http.cors_origins")
            .into_response();
    }
    let handshake = match Handshake::new(request.method(), request.headers(), &PROTOCOLS) {
        Ok(handshake) => handshake,
        Err(error) => return refuse(error),
    };
    // A client that offers subprotocols but not ours would not understand us (MQTT 5, 6.0.0-3).
    if handshake.offered && handshake.protocol.is_none() {
        let detail = "offer the subprotocol mqtt";
        return Problem::bad_request("subprotocol", "No subprotocol in common", detail).into_response();
    }
    let Some(takeover) = Requester::of(request.extensions()).and_then(Requester::takeover) else {
        let detail = "use HTTP/1.1 for WebSocket";
        return Problem::bad_request("websocket", "WebSocket needs HTTP/1.1 here", detail).into_response();
    };
    takeover.take(move |taken| serve(mount.shared, taken, handshake)).await
}

async fn serve(shared: Arc<Shared>, taken: Taken, handshake: Handshake) {
    if taken.socket.write_all(&handshake.answer()).await.is_err() {
        return;
    }
    drop(handshake);
    let permit = taken.permit();
    let wire = Wire::new(taken.socket, taken.remote, Framing::WebSocket, Some(permit));
    connection::run(shared, wire, taken.read).await;
}

fn refuse(error: HandshakeError) -> Response {
    let status = match error {
        HandshakeError::NotAnUpgrade | HandshakeError::Version => axum::http::StatusCode::UPGRADE_REQUIRED,
        HandshakeError::Key => axum::http::StatusCode::BAD_REQUEST,
    };
    let headers = [("upgrade", "websocket"), ("sec-websocket-version", "13")];
    (headers, Problem::new(status, "websocket", "A WebSocket connection is expected", error.to_string()))
        .into_response()
}
