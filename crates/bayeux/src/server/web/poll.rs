//! `long-polling` and `cross-origin-long-polling`: POST, answered at once or held.

use std::{
    borrow::Cow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use ratatosk_connector::{
    access::Visitor,
    http::{Problem, Requester},
};

use super::{body, direct, publisher};
use crate::{
    proto::{
        Carrier,
        inbound::{BatchError, Inbound, parse},
    },
    server::{
        admit, cookie,
        direct::Direct,
        judged::Judged,
        live::{Live, Wake},
        mount::Mount,
        process::{Caller, Held, Outcome, admission, process},
        queued::Queued,
    },
};

/// What a request is answered with, however it came.
pub(super) struct Answer {
    /// The JSON array.
    pub(super) array: Vec<u8>,
    /// What is in it, to be put back if it cannot be written.
    pub(super) carried: Vec<(Arc<Live>, Vec<Queued>)>,
    /// A cookie to set.
    pub(super) cookie: Option<String>,
}

/// A request came to nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    Status(StatusCode, String),
    /// Another connect of its session has come.
    Superseded,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, detail) = match refusal {
            Refusal::Status(status, detail) => (status, detail),
            Refusal::Superseded => {
                (StatusCode::INTERNAL_SERVER_ERROR, "another /meta/connect of this session has taken its place".into())
            }
        };
        Self::new(status, "bayeux", "Not answered", detail)
    }
}

pub(super) async fn answer(mount: &Arc<Mount>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let visitor = Visitor::of(&parts.extensions);
    let body = match body::read(body, mount.config.limits.body.as_usize()).await {
        Ok(body) => body,
        Err(error) => return Refusal::Status(error.status(), error.to_string()).into_response(),
    };
    // Over HTTP/1.1 the connection is served on its bare socket from here on.
    let requester = Requester::of(&parts.extensions).filter(|requester| !requester.is_proxied());
    if let Some(takeover) = requester.and_then(Requester::takeover) {
        let mount = mount.clone();
        return takeover.take(move |taken| direct::serve(mount, taken, visitor, parts.headers, body)).await;
    }
    let answered = match body::texts(&parts.headers, &body) {
        Ok(texts) => exchange(mount, &visitor, &parts.headers, &texts, true).await,
        Err(error) => Err(Refusal::Status(error.status(), error.to_string())),
    };
    match answered {
        Ok(Answer { array, carried, cookie }) => {
            let body = Body::new(Carrying { data: Some(array.into()), carried });
            respond(body, "application/json;charset=UTF-8", cookie)
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Processes the messages of a request, and waits where it is held.
pub(super) async fn exchange(
    mount: &Arc<Mount>,
    visitor: &Visitor,
    headers: &HeaderMap,
    texts: &[Cow<'_, str>],
    rides: bool,
) -> Result<Answer, Refusal> {
    let mut outcome = prepare(mount, visitor, headers, texts, rides, None).await?;
    admission(mount).await;
    let Some(mut held) = outcome.held.take() else {
        let array = outcome.body();
        let cookie = outcome.cookie.take();
        return Ok(Answer { array, carried: outcome.into_carried(), cookie });
    };
    take_held(&mut held).await
}

/// Processes the messages of a request when its turn has come. `rides`: whether messages may come with replies
/// other than a connect's. `direct`: the connection that answers for itself once a connect is held.
pub(super) async fn prepare(
    mount: &Arc<Mount>,
    visitor: &Visitor,
    headers: &HeaderMap,
    texts: &[Cow<'_, str>],
    rides: bool,
    direct: Option<&Arc<Direct>>,
) -> Result<Outcome, Refusal> {
    let batch = read(mount, texts)?;
    if let Some(first) = batch.first()
        && let Some(live) = first.client_id().and_then(|id| mount.directory.get(&id))
    {
        live.turn(first.id()).await;
    }
    let judged = admit::judge(mount, visitor, &batch).await;
    let caller = Caller {
        judged: &judged,
        carrier: Carrier::Poll,
        browser: cookie::of(headers),
        link: None,
        direct,
        rides,
        trusted: publisher::is_trusted(mount, headers, &batch),
    };
    let said = Judged::ask(mount, &batch).await;
    Ok(process(mount, &batch, &caller, &said))
}

async fn take_held(held: &mut Held) -> Result<Answer, Refusal> {
    if held.woken().await == Wake::Superseded {
        return Err(Refusal::Superseded);
    }
    let (array, messages) = held.live.take_answer(held.hold).ok_or(Refusal::Superseded)?;
    Ok(Answer { array, carried: vec![(held.live.clone(), messages)], cookie: None })
}

fn read<'a>(mount: &Mount, texts: &'a [Cow<'_, str>]) -> Result<Vec<Inbound<'a>>, Refusal> {
    let limit = mount.config.limits.batch;
    let mut batch: Vec<Inbound<'_>> = Vec::new();
    for text in texts {
        batch.extend(parse(text, limit).map_err(|error| Refusal::Status(status_of(&error), error.to_string()))?);
    }
    if batch.is_empty() {
        return Err(Refusal::Status(StatusCode::BAD_REQUEST, "a request has at least one message".into()));
    }
    if batch.len() > limit {
        let detail = BatchError::TooMany(limit).to_string();
        return Err(Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(batch)
}

fn status_of(error: &BatchError) -> StatusCode {
    match error {
        BatchError::Json(_) => StatusCode::BAD_REQUEST,
        BatchError::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// An answer of 200: CometD's client takes no other for a success.
pub(super) fn respond(body: Body, content_type: &'static str, cookie: Option<String>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A body that gives its messages back if it is dropped before it was asked for.
struct Carrying {
    data: Option<Bytes>,
    carried: Vec<(Arc<Live>, Vec<Queued>)>,
}

impl HttpBody for Carrying {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        self.carried.clear();
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        for (live, messages) in self.carried.drain(..) {
            live.put_back(messages);
        }
    }
}
