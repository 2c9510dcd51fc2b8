//! From a request to a stream.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ratatosk_connector::{
    access::Rights,
    http::{Permit, Problem, Takeover},
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
pub(super) async fn handle(
    State(server): State<Server>,
    takeover: Option<Extension<Takeover>>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let permit = request.extensions().get::<Permit>().cloned();
    let allowed = match token::visitor(&request) {
        Ok(rights) => wanted(&server, request).await.and_then(|wanted| {
            wanted.iter().try_for_each(|w| token::check(&rights, &w.filters)).map(|()| (wanted, rights))
        }),
        Err(problem) => Err(problem),
    };
    match allowed {
        Err(problem) => refuse(&server, &headers, problem),
        Ok((None, _)) => (StatusCode::OK, stream_headers(&server, &headers)).into_response(),
        Ok((Some(wanted), rights)) => match server.0.access.limits().enter(server.0.connector, rights.user()) {
            Err(limit) => {
                let mut response = turn_away(&headers, limit);
                response.headers_mut().extend(server.0.origins.answer(&headers));
                response
            }
            Ok(guest) => begin(server, takeover, permit, Admitted { wanted, rights, guest }, &headers).await,
        },
    }
}

/// A reader that may have its stream.
pub(super) struct Admitted {
    pub(super) wanted: Wanted,
    pub(super) rights: Rights,
    pub(super) guest: Guest,
}

async fn begin(
    server: Server,
    takeover: Option<Extension<Takeover>>,
    permit: Option<Permit>,
    reader: Admitted,
    headers: &HeaderMap,
) -> Response {
    let headers = stream_headers(&server, headers);
    match takeover {
        // A stream that is paced is pulled: hyper's body does that.
        Some(Extension(takeover)) if reader.wanted.max_rate.is_none() => {
            let head = head(&headers);
            takeover.take(move |taken| life::run(server, Box::new((taken, life::Opening { reader, head })))).await
        }
        _ => (headers, Body::new(body::open(&server, reader, permit).await)).into_response(),
    }
}

/// What the request asks for; `None` for `HEAD`, which asks for the headers alone.
async fn wanted(server: &Server, request: Request) -> Result<Option<Wanted>, Problem> {
    let (parts, body) = request.into_parts();
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
    let fixed = HEADERS
        .into_iter()
        .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
    // Another gateway that follows the stream marks its messages with it, and so cuts loops.
    let passed = HeaderValue::from_str(gateway_id).ok();
    let passed = passed.map(|id| (header::HeaderName::from_static(hops::NAME), id));
    fixed.chain(passed).collect()
}

pub(super) fn stream_headers(server: &Server, request: &HeaderMap) -> HeaderMap {
    let mut headers = server.0.stream_headers.clone();
    headers.extend(server.0.origins.answer(request));
    headers
}

/// The head of the answer on a bare connection. The end of the stream is the end of the connection: that saves
/// the framing of every chunk, and an event stream is never followed by another answer.
pub(super) fn head(headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::with_capacity(256);
    head.put_slice(b"HTTP/1.1 200 OK\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"date: ");
    head.put_slice(httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
    head.put_slice(b"\r\n\r\n");
    head.freeze()
}
