//! The HTTP face of a mount.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use ratatosk_connector::http::Problem;

use crate::{config::Transport, server::mount::Mount};

mod body;
mod direct;
pub(crate) mod eventsource;
mod head;
mod jsonp;
mod poll;
mod publisher;
pub(crate) mod websocket;

/// `<path>`, `<path>/` and all below: CometD's client appends the kind of request to the URL.
pub(crate) fn router(mount: &Arc<Mount>) -> Router {
    let mut router = Router::new();
    for path in mount.config.paths() {
        let handler = any(handle);
        router = match path.as_str() {
            "/" => router.route("/", handler.clone()).route("/{*rest}", handler),
            path => router
                .route(path, handler.clone())
                .route(&format!("{path}/"), handler.clone())
                .route(&format!("{path}/{{*rest}}"), handler),
        };
    }
    router.with_state(mount.clone())
}

async fn handle(State(mount): State<Arc<Mount>>, request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        let headers = mount.origins.preflight(request.headers());
        return with_headers(StatusCode::OK.into_response(), headers);
    }
    if !mount.origins.allows(request.headers()) {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "origin",
            "Origin not allowed",
            "this page's origin is not in http.cors_origins",
        );
        return problem.into_response();
    }
    let cors = mount.origins.answer(request.headers());
    with_headers(dispatch(&mount, request).await, cors)
}

async fn dispatch(mount: &Arc<Mount>, request: Request) -> Response {
    if request.method() == Method::POST {
        return poll::answer(mount, request).await;
    }
    if request.method() != Method::GET {
        return Problem::bad_method("GET, POST", "Bayeux is spoken by GET and POST").into_response();
    }
    if is_upgrade(request.headers()) {
        return if mount.offers(Transport::Websocket) {
            websocket::answer(mount, request).await
        } else {
            refused(StatusCode::NOT_FOUND, "WebSocket is not on offer here")
        };
    }
    if eventsource::is_asked_for(&request) && mount.offers(Transport::Eventsource) {
        return eventsource::answer(mount, request).await;
    }
    if mount.offers(Transport::CallbackPolling) {
        return jsonp::answer(mount, &request.into_parts().0).await;
    }
    refused(StatusCode::BAD_REQUEST, "a GET request needs a message")
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn refused(status: StatusCode, detail: impl Into<String>) -> Response {
    Problem::new(status, "bayeux", "Not a Bayeux request", detail).into_response()
}

fn with_headers(mut response: Response, headers: Vec<(HeaderName, HeaderValue)>) -> Response {
    response.headers_mut().extend(headers);
    response
}
