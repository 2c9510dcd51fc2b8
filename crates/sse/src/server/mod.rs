//! The server side: event streams for stock `EventSource`s, and publishing over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use ratatosk_connector::{
    access::Access,
    http::{Origins, Problem},
    lifecycle::Lifecycle,
    limits::Limit,
};
use ratatosk_core::{Bus, Connector, OutboxLimits, SlowPolicy};

use crate::{
    config::SseConfig,
    proto::encoder::{encode_comment, encode_retry},
};

mod body;
mod life;
pub mod mercure;
mod open;
mod pace;
mod publish;
mod query;
mod stream;
mod token;

/// The connector's name.
pub const NAME: &str = "sse";

/// What all streams of the server share.
#[derive(Debug, Clone)]
pub struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bus: Bus,
    life: Lifecycle,
    origins: Origins,
    connector: Connector,
    http: Connector,
    path: String,
    heartbeat: Duration,
    retry: Duration,
    max_lifetime: Option<Duration>,
    outbox: OutboxLimits,
    max_body: usize,
    access: Access,
    token_warning: Duration,
    stream_headers: HeaderMap,
    stream_head: Bytes,
    /// For streams that are told what they lost, and for those that are not.
    frames: [stream::EventFrames; 2],
    tokens: token::Standings,
}

impl Server {
    /// A server on the bus, for everyone that a layer before it lets in; `max_body` bounds what `/publish` takes, in bytes.
    #[must_use]
    pub fn new(
        bus: Bus,
        life: Lifecycle,
        origins: Origins,
        access: Access,
        config: &SseConfig,
        max_body: usize,
    ) -> Self {
        let bytes = usize::try_from(config.outbox.bytes.bytes()).unwrap_or(usize::MAX);
        let connector = Connector::register(NAME);
        let stream_headers = open::fixed_headers(bus.gateway_id());
        Self(Arc::new(Shared {
            stream_head: open::fixed_head(&stream_headers),
            frames: [true, false].map(|tells_lost| stream::EventFrames::new(&bus, connector, tells_lost)),
            stream_headers,
            bus,
            life,
            origins,
            connector,
            http: Connector::register("http"),
            path: config.path.clone(),
            heartbeat: config.heartbeat.get(),
            retry: config.retry.get(),
            max_lifetime: config.max_lifetime.map(|lifetime| lifetime.get()),
            outbox: OutboxLimits { messages: config.outbox.messages, bytes, policy: SlowPolicy::Disconnect },
            max_body,
            access,
            token_warning: config.token_warning.get(),
            tokens: token::Standings::default(),
        }))
    }

    /// The path of the streams.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Answers a request on the streams' path, as the router does.
    pub async fn stream(self, request: Request) -> Response {
        open::handle(State(self), request).await
    }

    /// Answers a request to publish, as the router does.
    pub async fn publish(self, request: Request) -> Response {
        publish::handle(State(self), request).await
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.0.path.trim_end_matches('/'))
    }

    /// The routes: the streams' path, what is below it for tickets and tokens, and `/publish`.
    pub fn router(&self) -> Router {
        // `any`: QUERY is no method that axum routes by name.
        Router::new()
            .route(&self.0.path, any(open::handle))
            .route(&self.below("ticket"), post(token::ticket))
            .route(&self.below("token"), post(token::change))
            .route("/publish", post(publish::handle))
            .with_state(self.clone())
    }
}

/// An error answer with the CORS headers that let a page read it.
fn refuse(server: &Server, request: &HeaderMap, problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().extend(server.0.origins.answer(request));
    response
}

/// Tells a client that asks for a stream to come later. An `EventSource` gives up for good on any status but 200, so that it gets
/// a stream that says when to come back, and ends; anybody else gets the status that says so.
#[must_use]
pub fn turn_away(headers: &HeaderMap, limit: Limit) -> Response {
    let accepts = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    if !accepts {
        return Problem::limited(limit).into_response();
    }
    let mut body = bytes::BytesMut::new();
    encode_retry(&mut body, stream::jittered(2 * limit.retry_after()));
    encode_comment(&mut body, limit.label());
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, body.freeze()).into_response()
}

fn foreign_origin(headers: &HeaderMap) -> Problem {
    let origin = headers.get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
    Problem::new(
        StatusCode::FORBIDDEN,
        "origin-not-allowed",
        "The page's origin may not use this gateway",
        format!("add {:?} to `http.cors_origins` to allow it", origin.unwrap_or_default()),
    )
}
