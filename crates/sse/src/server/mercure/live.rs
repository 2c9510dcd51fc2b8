//! A subscription at work: history first, then what comes.

use super::Hub;
use super::handle::{common_headers, enter};
use super::subscriptions::Active;
use super::token::Grant;
use super::update::Marks;
use super::view::{UpdateFrame, View, ViewPeer};
use crate::proto::encoder::{encode_comment, encode_retry};
use crate::server::stream::jittered;
use crate::server::{life, open};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use ratatosk_connector::http::Taken;
use ratatosk_connector::limits::Guest;
use ratatosk_connector::stream::{Frame, StreamConfig, StreamPeer};
use ratatosk_core::stats::DropReason;
use ratatosk_core::{
    EndReason, Filter, Message, MonitorEvent, Peer, Position, QueuePeer, Replay, Session, SessionConfig,
    SubscribeOptions,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Messages taken from the outbox for one piece of a body.
const BATCH: usize = 64;

/// A checked request.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) hub: Hub,
    pub(super) view: View,
    pub(super) grant: Grant,
    pub(super) resume: Option<String>,
    /// Its hold on the limits.
    pub(super) _guest: Guest,
    /// Of the request.
    pub(super) headers: HeaderMap,
}

/// The session's beginning.
struct Begun {
    session: Session,
    history: Vec<Arc<Message>>,
    /// Of the answer.
    headers: HeaderMap,
}

impl Subscription {
    pub(super) fn headers_without_history(&self) -> HeaderMap {
        let mut headers = open::stream_headers(&self.hub.0.server, &self.headers);
        headers.extend(common_headers(&self.hub, &self.headers));
        headers
    }

    /// Serves the stream on its own connection.
    pub(super) async fn run(self, taken: Taken) {
        let (server, connector) = (self.hub.0.server.clone(), self.hub.0.connector);
        let bus = server.0.bus.clone();
        bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
        let permit = taken.permit();
        let (stream, session, active) = Box::pin(self.begin_on(taken)).await;
        let reason = tokio::select! {
            reason = life::live(&server, &stream, None) => reason,
            () = self.expiry() => EndReason::Expired,
        };
        stream.end(reason);
        let mut last_words = BytesMut::new();
        if reason != EndReason::Closed && reason != EndReason::Io {
            encode_retry(&mut last_words, jittered(server.0.retry));
        }
        stream.finish(&last_words.freeze());
        session.close(reason);
        drop((active, permit));
        bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
    }

    async fn begin_on(&self, taken: Taken) -> (Arc<StreamPeer>, Session, Active) {
        let server = &self.hub.0.server;
        let config = StreamConfig {
            socket: taken.socket,
            frame: Arc::new(self.frame()),
            outbox: server.outbox(&self.view.filters()),
            connector: self.hub.0.connector,
        };
        let stream = StreamPeer::new(config, &server.0.bus);
        let peer = Arc::new(ViewPeer { stream: stream.clone(), view: self.view.clone() });
        let (begun, active) = self.begin(peer).await;
        let head = [open::head(&open::fixed_head(&begun.headers), []), self.greeting()].concat();
        stream.release(head.into(), begun.history, Bytes::new());
        (stream, begun.session, active)
    }

    /// The stream as the body of an HTTP/2 answer.
    pub(super) async fn answer(self) -> Response {
        let (server, connector) = (self.hub.0.server.clone(), self.hub.0.connector);
        server.0.bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
        let queue = QueuePeer::new(server.outbox(&self.view.filters()));
        let (begun, active) = self.begin(queue.clone()).await;
        let frame = self.frame();
        let first: Vec<Bytes> = std::iter::once(self.greeting())
            .chain(begun.history.iter().map(|message| message.form(frame.form(), |message| frame.encode(message))))
            .collect();
        let body = PullBody {
            subscription: self,
            queue,
            frame,
            session: Some(begun.session),
            _active: active,
            reason: EndReason::Closed,
            over: false,
        };
        let pieces = stream::iter(first).chain(stream::unfold(body, PullBody::next));
        (begun.headers, Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>))).into_response()
    }

    fn frame(&self) -> UpdateFrame {
        let bus = &self.hub.0.server.0.bus;
        UpdateFrame { epoch: bus.epoch().clone(), hub: self.hub.0.connector, stats: bus.stats().clone() }
    }

    fn greeting(&self) -> Bytes {
        let mut out = BytesMut::new();
        encode_retry(&mut out, jittered(self.hub.0.server.0.retry));
        encode_comment(&mut out, "");
        out.freeze()
    }

    /// Opens the session, subscribes, and gathers what was missed.
    async fn begin(&self, peer: Arc<dyn Peer>) -> (Begun, Active) {
        let bus = &self.hub.0.server.0.bus;
        let subscriber = format!("urn:uuid:{}", uuid(fastrand::u128(..)));
        let mut config = SessionConfig::client(subscriber.as_str(), self.hub.0.connector);
        config.user = self.grant.user.clone();
        let session = bus.open_session(config, peer);
        let filters = self.view.filters();
        let mut cut = 0;
        session.subscribe_all(
            filters.iter().map(|filter| (filter.clone(), SubscribeOptions::default())).collect(),
            &mut cut,
        );
        let mut headers = self.headers_without_history();
        let mut history = Vec::new();
        if let Some(requested) = &self.resume {
            let (replay, before) = self.missed(requested, &filters, cut).await;
            history = replay.messages.into_iter().filter(|message| self.view.shows(message)).collect();
            if let Ok(value) = HeaderValue::from_bytes(before.as_bytes()) {
                headers.insert(HeaderName::from_static("last-event-id"), value.clone());
                headers.insert(HeaderName::from_static("mercure-last-event-id"), value);
            }
        }
        let active = enter(&self.hub, &self.view, &self.grant, &subscriber);
        (Begun { session, history, headers }, active)
    }

    /// What follows the requested id, and the id of the event before it: the requested one if nothing is missing, else `earliest`.
    async fn missed<'a>(&self, requested: &'a str, filters: &[Filter], cut: u64) -> (Replay, &'a str) {
        let bus = &self.hub.0.server.0.bus;
        let (result, kind) = match requested.parse::<Position>() {
            _ if requested == "earliest" => (bus.replay_all(filters, cut).await, "earliest"),
            Ok(position) => (bus.replay(filters, &position, cut).await, "position"),
            Err(_) => (bus.replay_all(filters, cut).await, "id"),
        };
        let mut replay = result.unwrap_or_else(|error| {
            tracing::error!(%error, "a subscription could not be resumed");
            Replay::default()
        });
        if kind == "id" {
            // An id of the publisher's choice is found in the messages themselves.
            let hub = self.hub.0.connector;
            let at = replay.messages.iter().rposition(|message| Marks::of(message, hub).id == Some(requested));
            replay.recovered = at.is_some();
            replay.messages.drain(..at.map_or(0, |at| at + 1));
        }
        let before = if replay.recovered && kind != "earliest" { requested } else { "earliest" };
        bus.monitor().emit(MonitorEvent::Resumed { result: if replay.recovered { "complete" } else { "partial" } });
        (replay, before)
    }

    /// Completes when the token that opened the stream ends.
    async fn expiry(&self) {
        let Some(expires) = self.grant.expires else { return std::future::pending().await };
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires));
        let left = end.and_then(|end| end.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        // A timer wheel does not reach for ever.
        tokio::time::sleep(left.min(Duration::from_secs(30 * 24 * 3600))).await;
    }
}

/// A stream that is pulled.
struct PullBody {
    subscription: Subscription,
    queue: Arc<QueuePeer>,
    frame: UpdateFrame,
    session: Option<Session>,
    _active: Active,
    reason: EndReason,
    over: bool,
}

impl PullBody {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.over {
            return None;
        }
        let server = self.subscription.hub.0.server.clone();
        let ended = tokio::select! {
            taken = self.queue.recv_many(BATCH) => match taken {
                Ok(waiting) => {
                    let piece = self.piece(&waiting.into_iter().map(|waiting| waiting.message).collect::<Vec<_>>());
                    return Some((piece, self));
                }
                Err(reason) => Some(reason),
            },
            () = server.0.life.closing() => Some(EndReason::Drain),
            () = self.subscription.expiry() => Some(EndReason::Expired),
            () = tokio::time::sleep(server.0.heartbeat) => None,
        };
        let mut piece = BytesMut::new();
        match ended {
            Some(reason) => {
                encode_retry(&mut piece, jittered(server.0.retry));
                (self.over, self.reason) = (true, reason);
            }
            None => encode_comment(&mut piece, ""),
        }
        Some((piece.freeze(), self))
    }

    fn piece(&self, messages: &[Arc<Message>]) -> Bytes {
        let mut piece = BytesMut::new();
        let lost = self.queue.take_dropped();
        if lost > 0 {
            self.subscription.hub.0.server.0.bus.stats().dropped(
                self.subscription.hub.0.connector,
                DropReason::Slow,
                lost,
            );
            piece.extend(self.frame.lost(lost));
        }
        for message in messages.iter().filter(|message| self.subscription.view.shows(message)) {
            piece.extend_from_slice(&message.form(self.frame.form(), |message| self.frame.encode(message)));
        }
        piece.freeze()
    }
}

impl Drop for PullBody {
    fn drop(&mut self) {
        let (connector, reason) = (self.subscription.hub.0.connector, self.reason);
        if let Some(session) = self.session.take() {
            session.close(reason);
        }
        self.subscription.hub.0.server.0.bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
    }
}

/// Random bits as a version 4 UUID (RFC 9562).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |range| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
#[test]
fn subscriber_names_are_version_4_uuids() {
    assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}
