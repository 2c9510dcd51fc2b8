//! The HTTP fallbacks of pusher-js: `xhr_streaming`, `xhr` (polling) and `xhr_send`.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use parking_lot::Mutex;
use ratatosk_connector::http::Problem;
use ratatosk_core::{EndReason, OutboxLimits};
use tokio::sync::mpsc;

use super::{
    ByName, Server,
    app::App,
    client::Link,
    driver::{Driver, Visit},
    http_peer::{HttpPeer, Lines},
    socket::close_of,
    upgrade::Caller,
};
use crate::proto::{close::Close, fallback, frame, query::Query, version};

/// How long a session waits for its client's next request.
const ABSENCE: Duration = Duration::from_secs(10);
/// A sign of life on an open request.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// Bytes of one send request.
const MAX_SEND: usize = 256 << 10;
/// What pusher-js buffers of one stream, in UTF-16 units, before it opens the next. What were sent after that, it would
/// never read.
const MAX_STREAM: usize = 256 << 10;
/// Sessions at a time: unlike connections they outlive a request, and so the listener's own limit does not bound them.
const MAX_SESSIONS: usize = 20_000;
/// Bytes of a session's name; pusher-js makes eleven.
const MAX_NAME: usize = 64;
/// Send requests that wait for the session.
const INBOX: usize = 64;

/// One session, as its requests see it.
#[derive(Clone)]
struct Session {
    peer: Arc<HttpPeer>,
    inbox: mpsc::Sender<Vec<String>>,
}

/// All sessions, by key, server number and name.
#[derive(Default)]
pub(super) struct Sessions(Mutex<ByName<Session>>);

/// `POST /app/{key}/{server}/{session}/{transport}`.
pub(super) async fn handle(
    State(server): State<Server>,
    Path((key, number, name, transport)): Path<(String, String, String, String)>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let mut response = match *request.method() {
        Method::OPTIONS => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().extend(server.origins().preflight(&headers));
            return response;
        }
        _ if number.len() + name.len() > MAX_NAME => StatusCode::NOT_FOUND.into_response(),
        Method::POST if !server.origins().allows(&headers) => StatusCode::FORBIDDEN.into_response(),
        Method::POST => {
            let id = format!("{key}/{number}/{name}");
            let query = Query::parse(request.uri().query().unwrap_or_default());
            let caller = Caller::of(request.extensions());
            match transport.as_str() {
                "xhr_streaming" => receive(&server, (&key, id), (query, caller), true).await,
                "xhr" | "xhr_polling" => receive(&server, (&key, id), (query, caller), false).await,
                "xhr_send" => send(&server, &id, request).await,
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        }
        _ => Problem::bad_method("POST", "fallbacks are spoken by POST").into_response(),
    };
    response.headers_mut().extend(server.origins().answer(&headers));
    response
}

async fn receive(
    server: &Server,
    (key, id): (&str, String),
    (query, caller): (Query, Caller),
    streaming: bool,
) -> Response {
    let known = server.0.fallbacks.0.lock().get(&id).cloned();
    let session = match known {
        Some(session) => session,
        None => match open(server, key, id, &query, caller).await {
            Ok(session) => session,
            Err(close) => return refuse(close),
        },
    };
    let receiver = session.peer.attach();
    let body = Body::new(Receiver { peer: session.peer, receiver, streaming, sent: 0, done: false, wait: None });
    (answer_headers(), body).into_response()
}

/// A session that opens only to say why it cannot be.
fn refuse(close: Close) -> Response {
    let lines = [
        fallback::OPEN.to_owned(),
        fallback::frame(&frame::closing(close)),
        fallback::close(close.code(), &close.to_string()),
    ];
    (answer_headers(), lines.concat()).into_response()
}

fn answer_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ])
}

async fn open(server: &Server, key: &str, id: String, query: &Query, caller: Caller) -> Result<Session, Close> {
    version::check(query.get("protocol"))?;
    let app = server.by_key(key).ok_or(Close::UnknownApp)?;
    if server.is_closing() {
        return Err(Close::Restart);
    }
    app.admits()?;
    let visit = caller.admit(&app).await?;
    let peer = HttpPeer::new(app.frame.clone(), OutboxLimits::default());
    let (inbox, sent) = mpsc::channel(INBOX);
    let session = Session { peer: peer.clone(), inbox };
    {
        let mut sessions = server.0.fallbacks.0.lock();
        // Another request of the session may have been quicker.
        if let Some(known) = sessions.get(&id) {
            return Ok(known.clone());
        }
        if sessions.len() >= MAX_SESSIONS {
            return Err(Close::OverCapacity);
        }
        sessions.insert(id.clone(), session.clone());
    }
    let server_of_task = server.clone();
    server.0.life.spawn("pusher fallback", async move {
        run(app, visit, &peer, sent).await;
        server_of_task.0.fallbacks.0.lock().remove(&id);
    });
    Ok(session)
}

async fn send(server: &Server, id: &str, request: Request) -> Response {
    let session = server.0.fallbacks.0.lock().get(id).cloned();
    let Some(session) = session else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_SEND).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Some(frames) = fallback::sent(&body) else {
        return (StatusCode::BAD_REQUEST, "A JSON array of strings is expected").into_response();
    };
    match session.inbox.send(frames).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The task of one session.
async fn run(app: Arc<App>, visit: Visit, peer: &Arc<HttpPeer>, mut sent: mpsc::Receiver<Vec<String>>) {
    let socket_id = app.new_socket_id();
    let mut driver = Driver::open(app, socket_id, Link::Http(peer.clone()), visit);
    peer.line(fallback::OPEN);
    driver.greet();
    let (reason, close) = live(&mut driver, peer, &mut sent).await;
    driver.close(reason);
    if let Some(close) = close {
        peer.finish(fallback::close(close.code(), &close.to_string()));
    } else {
        peer.finish(Bytes::new());
    }
}

async fn live(
    driver: &mut Driver,
    peer: &HttpPeer,
    sent: &mut mpsc::Receiver<Vec<String>>,
) -> (EndReason, Option<Close>) {
    let mut seen = tokio::time::Instant::now();
    loop {
        if let Some(reason) = peer.ended() {
            let close = close_of(reason);
            peer.line(fallback::frame(&frame::closing(close)));
            return (reason, Some(close));
        }
        if peer.is_attached() {
            seen = tokio::time::Instant::now();
        }
        let absent = seen + ABSENCE;
        let frames = tokio::select! {
            frames = sent.recv() => frames.unwrap_or_default(),
            () = peer.ending.notified() => continue,
            () = tokio::time::sleep_until(driver.deadline()) => {
                match driver.tick().await {
                    Some(close) => return (EndReason::Timeout, Some(close)),
                    None => continue,
                }
            }
            () = tokio::time::sleep_until(absent) => {
                if !peer.is_attached() {
                    return (EndReason::Closed, None);
                }
                continue;
            }
        };
        driver.heard();
        for text in frames {
            if let Some(close) = driver.text(&text).await {
                return (EndReason::Denied, Some(close));
            }
        }
    }
}

/// What an open receive request waits for.
type Wait = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The body of a receive request.
struct Receiver {
    peer: Arc<HttpPeer>,
    receiver: u64,
    streaming: bool,
    /// UTF-16 units so far.
    sent: usize,
    done: bool,
    wait: Option<Wait>,
}

impl http_body::Body for Receiver {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            // Waiting begins before looking, so that nothing is missed in between.
            let peer = self.peer.clone();
            let wait = self.wait.get_or_insert_with(|| Box::pin(changed(peer)));
            let changed = wait.as_mut().poll(context);
            let full = self.sent > MAX_STREAM;
            match self.peer.take(self.receiver, full) {
                Lines::Some(bytes) => {
                    self.wait = None;
                    self.sent += utf16_units(&bytes);
                    self.done = !self.streaming;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Lines::Over => return Poll::Ready(None),
                Lines::None => match changed {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(beat) => {
                        self.wait = None;
                        if beat {
                            self.done = !self.streaming;
                            let line = Bytes::from_static(fallback::HEARTBEAT.as_bytes());
                            return Poll::Ready(Some(Ok(Frame::data(line))));
                        }
                    }
                },
            }
        }
    }
}

fn utf16_units(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.encode_utf16().count())
}

/// Whether it is time for a sign of life; false when something has changed.
async fn changed(peer: Arc<HttpPeer>) -> bool {
    tokio::time::timeout(HEARTBEAT, peer.changed.notified()).await.is_err()
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.peer.detach(self.receiver);
    }
}
