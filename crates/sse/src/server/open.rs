//! From a request to a stream.

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use ratatosk_connector::{
    access::Rights,
    http::{Problem, Requester, put_date, put_header},
    limits::Guest,
    upstream::hops,
};

use super::{
    Server, body, foreign_origin, life,
    query::{MAX_QUERY, Wanted},
    refuse, token, turn_away,
};

/// What an event stream is sent with. `no-transform` and `X-Accel-Buffering` keep proxies from holding it back.
const HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
];

/// The most bytes of a request body that lists filters.
const MAX_BODY: usize = 256 << 10;

/// `GET`, `POST` or `QUERY` on the streams' path.
pub(super) async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&server, &parts, body).await {
        Ok(response) => response,
        Err(problem) => refuse(&server, &parts.headers, problem),
    }
}

async fn answer(server: &Server, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let rights = token::visitor(&parts.extensions)?;
    let Some(wanted) = wanted(server, parts, body).await? else {
        return Ok((StatusCode::OK, stream_headers(server, &parts.headers)).into_response());
    };
    token::check(&rights, &wanted.filters)?;
    match server.0.access.limits().enter(server.0.connector, rights.user()) {
        Ok(guest) => Ok(begin(server, parts, Admitted { wanted, rights, guest }).await),
        Err(limit) => {
            let mut response = turn_away(&parts.headers, limit);
            response.headers_mut().extend(server.0.origins.answer(&parts.headers));
            Ok(response)
        }
    }
}

/// A reader that may have its stream.
pub(super) struct Admitted {
    pub(super) wanted: Wanted,
    pub(super) rights: Rights,
    pub(super) guest: Guest,
}

async fn begin(server: &Server, parts: &Parts, reader: Admitted) -> Response {
    let requester = Requester::of(&parts.extensions);
    match requester.and_then(Requester::takeover) {
        // A stream that is paced is pulled: hyper's body does that.
        Some(takeover) if reader.wanted.max_rate.is_none() => {
            let (server, more) = (server.clone(), server.0.origins.answer(&parts.headers));
            let head = head(&server.0.stream_head, more.iter().map(|(name, value)| (name, value)));
            takeover.take(move |taken| life::run(server, Box::new((taken, life::Opening { reader, head })))).await
        }
        _ => {
            let (headers, permit) =
                (stream_headers(server, &parts.headers), requester.map(|requester| requester.permit().clone()));
            (headers, Body::new(body::open(server, reader, permit).await)).into_response()
        }
    }
}

/// What the request asks for; `None` for `HEAD`, which asks for the headers alone.
async fn wanted(server: &Server, parts: &Parts, body: Body) -> Result<Option<Wanted>, Problem> {
    if !server.0.origins.allows(&parts.headers) {
        return Err(foreign_origin(&parts.headers));
    }
    let query = parts.uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY {
        let detail =
            format!("the query has {} bytes, at most {MAX_QUERY} are read; send the list as a form body", query.len());
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "query-too-long", "The query is too long", detail));
    }
    let with_body = parts.method == Method::POST || parts.method.as_str() == "QUERY";
    if with_body {
        let form = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| {
            let detail = format!("at most {MAX_BODY} bytes are read");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The list of filters is too long", detail)
        })?;
        let form = String::from_utf8_lossy(&form);
        return Wanted::read(&format!("{query}&{form}"), &parts.headers).map(Some);
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let detail = format!("a stream is asked for with GET, POST or QUERY, not {}", parts.method);
        return Err(Problem::bad_method("GET, HEAD, POST, QUERY", detail));
    }
    let wanted = Wanted::read(query, &parts.headers)?;
    Ok((parts.method == Method::GET).then_some(wanted))
}

/// The headers of every stream of a gateway.
pub(super) fn fixed_headers(gateway_id: &str) -> HeaderMap {
    let fixed =
        HEADERS.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    // Another gateway that follows the stream marks its messages with it, and so cuts loops.
    let passed = HeaderValue::from_str(gateway_id).ok();
    let passed = passed.map(|id| (HeaderName::from_static(hops::NAME), id));
    fixed.chain(passed).collect()
}

pub(super) fn stream_headers(server: &Server, request: &HeaderMap) -> HeaderMap {
    let mut headers = server.0.stream_headers.clone();
    headers.extend(server.0.origins.answer(request));
    headers
}

/// The beginning of the head of every stream on a bare connection, see [`head`]. The end of the stream is the end of the
/// connection: that saves the framing of every chunk, and an event stream is never followed by another answer.
pub(super) fn fixed_head(headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::from(&b"HTTP/1.1 200 OK\r\nconnection: close\r\n"[..]);
    headers.iter().for_each(|(name, value)| put_header(&mut head, name.as_str(), value.as_bytes()));
    head.freeze()
}

/// The head of the answer on a bare connection.
pub(super) fn head<'a>(fixed: &[u8], more: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Bytes {
    let mut head = BytesMut::with_capacity(fixed.len() + 256);
    head.put_slice(fixed);
    for (name, value) in more {
        put_header(&mut head, name.as_str(), value.as_bytes());
    }
    put_date(&mut head);
    head.put_slice(b"\r\n");
    head.freeze()
}
