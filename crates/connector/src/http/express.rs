//! Plain requests that a shortcut leads to, served without the HTTP library.
//!
//! They come by the thousand, and are handled in less time than the library takes to read them and to write their answers. What is
//! odd or long, and what no shortcut leads to, goes to the library with the bytes that were read: it says what is right in HTTP.

use std::{
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body as _;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::Instant,
};

use super::{
    body::read_body,
    listener::{Front, Shared, Shortcut, Visit},
    plain::{self, Reading},
    rewound::Bare,
    wire::{joined, put_date, put_header, says_close},
};

/// Bytes of a request's body, and of an answer's: longer ones are the library's.
const SHORT: usize = 64 << 10;
/// Bytes of one read.
const READ: usize = 8 << 10;
/// Pieces in which a request may come.
const PIECES: usize = 4;

/// How a connection goes on.
pub(super) enum Onward<S> {
    /// With the library, which begins with what was read. `answered` is the answer to the first request of that, if there is one.
    Library { stream: S, read: Bytes, answered: Option<Response> },
    /// A handler has taken it over; `read` came after the request.
    Taken { stream: S, read: Bytes },
    /// It has ended.
    Over,
}

/// A request that is here with all its body.
struct Whole<'a> {
    shortcut: &'a Shortcut,
    request: Request<Body>,
    /// Where the next one begins.
    end: usize,
    keep: bool,
}

impl Shared {
    /// Serves a connection's requests for as long as they are plain and short, and a shortcut is there for them.
    pub(super) async fn express<S: Bare>(&self, mut stream: S, mut read: Bytes, visit: &Visit) -> Onward<S> {
        let Some(front) = &self.front else { return Onward::Library { stream, read, answered: None } };
        let mut closing = pin!(self.life.closing());
        // Left running while requests come and go: to set it for each would take longer than to look at the clock.
        let mut patience = pin!(tokio::time::sleep(self.limits.head_timeout));
        loop {
            let (since, mut pieces) = (Instant::now(), 0);
            let Whole { shortcut, mut request, end, keep } = loop {
                match whole(&read, &**front) {
                    Reading::Plain(whole) => break whole,
                    Reading::Partial if pieces < PIECES => {}
                    _ => return Onward::Library { stream, read, answered: None },
                }
                let more = std::future::poll_fn(|context| {
                    if let Poll::Ready(more) = poll_piece(&mut stream, context) {
                        return Poll::Ready(more.ok().filter(|more| !more.is_empty()));
                    }
                    while patience.as_mut().poll(context).is_ready() {
                        let end = since + self.limits.head_timeout;
                        if end <= Instant::now() {
                            return Poll::Ready(None);
                        }
                        patience.as_mut().reset(end);
                    }
                    closing.as_mut().poll(context).map(|()| None)
                });
                match more.await {
                    Some(more) => (read, pieces) = (joined(read, more), pieces + 1),
                    None if read.is_empty() => return Onward::Over,
                    None => return Onward::Library { stream, read, answered: None },
                }
            };
            visit.introduce(&self.proxies, &mut request);
            if let Some(answer) = front.answer(request.method(), request.headers(), request.body().size_hint()) {
                return Onward::Library { stream, read, answered: Some(answer) };
            }
            let mut handling = shortcut(request);
            let handled = std::future::poll_fn(|context| {
                let answer = handling.as_mut().poll(context);
                if visit.is_claimed() { Poll::Ready(None) } else { answer.map(|Ok(answer)| Some(answer)) }
            });
            let answer = handled.await;
            drop(handling);
            let Some(answer) = answer else {
                read.advance(end);
                return Onward::Taken { stream, read };
            };
            let keep = keep && !is_last(answer.headers()) && !self.life.is_closing();
            let answer = match written(answer, keep).await {
                Ok(answer) => answer,
                Err(answer) => return Onward::Library { stream, read, answered: Some(answer) },
            };
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                return Onward::Over;
            }
            if !keep {
                let _ = stream.shutdown().await; // it is over in any case
                return Onward::Over;
            }
            read.advance(end);
            if read.is_empty() {
                read = Bytes::new(); // gives the memory back
            }
        }
    }
}

/// Reads what has come, into memory that only lives while it does; nothing is the end.
pub(super) fn poll_piece<S>(stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<Bytes>>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [MaybeUninit::uninit(); READ];
    let mut buffer = ReadBuf::uninit(&mut bytes);
    Pin::new(stream).poll_read(context, &mut buffer).map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
}

fn whole<'a>(read: &Bytes, front: &'a dyn Front) -> Reading<Whole<'a>> {
    let reading = plain::read(read, |head| {
        let (method, length) = match (head.method, head.length) {
            ("GET", None) => (Method::GET, 0),
            ("POST", Some(length)) if length <= SHORT => (Method::POST, length),
            _ => return None,
        };
        let shortcut = front.shortcut(&method, head.path())?;
        let mut headers = HeaderMap::with_capacity(head.fields().count());
        for (name, value) in head.fields() {
            let value = HeaderValue::from_maybe_shared(read.slice_ref(value)).ok()?;
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        let end = head.start + length;
        let body = read.get(head.start..end).map(|body| read.slice_ref(body)).unwrap_or_default();
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_maybe_shared(read.slice_ref(head.target.as_bytes())).ok()?;
        *request.headers_mut() = headers;
        Some(Whole { shortcut, request, end, keep: head.keep })
    });
    match reading {
        Reading::Plain(whole) if read.len() < whole.end => Reading::Partial,
        reading => reading,
    }
}

/// Whether an answer says that the connection ends with it.
fn is_last(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| says_close(value.as_bytes()))
}

/// An answer as it is sent; back, if it is long, or not a plain one.
async fn written(answer: Response, keep: bool) -> Result<Bytes, Response> {
    let status = answer.status();
    let is_short = answer.body().size_hint().exact().is_some_and(|length| length <= SHORT as u64);
    let has_body = !status.is_informational() && ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if !is_short || !has_body {
        return Err(answer);
    }
    let (parts, body) = answer.into_parts();
    let Ok(body) = read_body(body, SHORT).await else {
        return Err(Response::from_parts(parts, Body::empty())); // cannot be: the body is in memory
    };
    let mut out = BytesMut::with_capacity(256 + body.len());
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        put_header(&mut out, name.as_str(), value.as_bytes());
    }
    put_header(&mut out, "content-length", itoa::Buffer::new().format(body.len()).as_bytes());
    if !keep && !is_last(&parts.headers) {
        put_header(&mut out, "connection", b"close");
    }
    put_date(&mut out);
    out.put_slice(b"\r\n");
    out.put_slice(&body);
    Ok(out.freeze())
}

#[cfg(test)]
#[path = "express_tests.rs"]
mod tests;
