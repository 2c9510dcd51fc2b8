//! The token behind a stream: it is told of before it expires, can be changed on the way, and ends what it opened.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use ratatosk_connector::{
    access::{Rights, Visitor},
    http::Problem,
};
use ratatosk_core::Filter;
use serde_json::json;
use tokio::sync::Notify;

use super::{Server, foreign_origin, refuse};
use crate::proto::control::encode_token_expiring;

/// The longest wait: the wall clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// The streams whose tokens will expire, by their ids.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<HashMap<Arc<str>, Arc<Standing>>>);

/// What one stream stands on.
#[derive(Debug)]
struct Standing {
    filters: Vec<Filter>,
    rights: Mutex<Rights>,
    changed: Notify,
}

/// A stream's own hold on its standing; dropping it forgets the stream.
#[derive(Debug)]
pub(super) struct Token {
    server: Server,
    id: Arc<str>,
    standing: Arc<Standing>,
    /// For which expiry the reader was warned.
    warned: Option<u64>,
}

/// What a stream has to do about its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenNews {
    /// Write this.
    Warn(Bytes),
    /// End.
    Over,
}

impl Token {
    /// Enters a stream. None if what opened it never expires.
    pub(super) fn enter(server: &Server, id: &Arc<str>, filters: &[Filter], rights: Rights) -> Option<Box<Self>> {
        rights.expires()?;
        let standing = Standing { filters: filters.to_vec(), rights: Mutex::new(rights), changed: Notify::new() };
        let standing = Arc::new(standing);
        server.0.tokens.0.lock().insert(id.clone(), standing.clone());
        Some(Box::new(Self { server: server.clone(), id: id.clone(), standing, warned: None }))
    }

    /// Waits until there is something to do. It may be dropped and called again.
    pub(super) async fn news(&mut self) -> TokenNews {
        loop {
            let changed = self.standing.changed.notified();
            let expires = self.standing.rights.lock().expires();
            let Some(expires) = expires else { return std::future::pending().await };
            let left = left(expires);
            if left.is_zero() {
                return TokenNews::Over;
            }
            let warning = self.server.0.token_warning;
            let is_warned = self.warned == Some(expires);
            if left <= warning && !is_warned {
                self.warned = Some(expires);
                let mut out = BytesMut::new();
                encode_token_expiring(&mut out, left.as_secs(), &self.id);
                return TokenNews::Warn(out.freeze());
            }
            let wait = if is_warned { left } else { left.saturating_sub(warning) };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait.min(LOOK)) => {}
            }
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.server.0.tokens.0.lock().remove(&self.id);
    }
}

fn left(expires: u64) -> Duration {
    let at = UNIX_EPOCH + Duration::from_secs(expires);
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// `POST <path>/ticket`: something to open one stream with, for clients that cannot send a header.
pub(super) async fn ticket(State(server): State<Server>, request: Request) -> Response {
    let headers = request.headers().clone();
    let issued = caller(&server, &request).and_then(|rights| {
        let full = |error| {
            let title = "No ticket can be had";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-ticket", title, format!("{error}"))
        };
        server.0.access.ticket(&rights).map_err(full)
    });
    match issued {
        Ok(ticket) => {
            let body = json!({ "ticket": ticket.text, "expires_in": ticket.lifetime.as_secs() });
            answer(&server, &headers, &body)
        }
        Err(problem) => refuse(&server, &headers, problem),
    }
}

/// `POST <path>/token?stream=ID`: the stream goes on with the token of this request.
pub(super) async fn change(State(server): State<Server>, request: Request) -> Response {
    let headers = request.headers().clone();
    match changed(&server, &request) {
        Ok(expires) => answer(&server, &headers, &json!({ "expires_in": expires.map(|at| left(at).as_secs()) })),
        Err(problem) => refuse(&server, &headers, problem),
    }
}

fn changed(server: &Server, request: &Request) -> Result<Option<u64>, Problem> {
    let rights = caller(server, request)?;
    let query = request.uri().query().unwrap_or_default();
    let id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "stream").map(|(_, id)| id);
    let standing = id.and_then(|id| server.0.tokens.0.lock().get(&*id).cloned());
    let unknown = || {
        let detail = "`stream` is the id that the stream's `token-expiring` event names; the stream may have ended";
        Problem::new(StatusCode::NOT_FOUND, "no-stream", "There is no such stream", detail)
    };
    let standing = standing.ok_or_else(unknown)?;
    let mut current = standing.rights.lock();
    // Somebody else's stream is not even told of.
    if current.user().is_none() || current.user() != rights.user() {
        return Err(unknown());
    }
    check(&rights, &standing.filters)?;
    let expires = rights.expires();
    *current = rights;
    drop(current);
    standing.changed.notify_waiters();
    Ok(expires)
}

/// Who asks: somebody who is known.
fn caller(server: &Server, request: &Request) -> Result<Rights, Problem> {
    if !server.0.origins.allows(request.headers()) {
        return Err(foreign_origin(request.headers()));
    }
    let rights = visitor(request.extensions())?;
    if rights.is_anonymous() {
        let detail = "send a token, or a name and a password";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", "Credentials are needed", detail));
    }
    Ok(rights)
}

fn answer(server: &Server, request: &HeaderMap, body: &serde_json::Value) -> Response {
    let fixed = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::OK, fixed, format!("{body}\n")).into_response();
    response.headers_mut().extend(server.0.origins.answer(request));
    response
}

/// What the one who sends a request may do.
pub(super) fn visitor(extensions: &Extensions) -> Result<Rights, Problem> {
    Visitor::of(extensions).judged.map_err(|refusal| {
        let title = "Valid credentials are needed";
        Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", title, refusal.to_string())
    })
}

/// Whether all filters of a stream may be subscribed to.
pub(super) fn check(rights: &Rights, filters: &[Filter]) -> Result<(), Problem> {
    match filters.iter().find(|filter| !rights.may_subscribe(filter)) {
        None => Ok(()),
        Some(filter) => {
            let detail = format!("{:?} may not be subscribed to", filter.as_str());
            Err(Problem::new(StatusCode::FORBIDDEN, "subscribe-denied", "Subscribing is not allowed", detail))
        }
    }
}
