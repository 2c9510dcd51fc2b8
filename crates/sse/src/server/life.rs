//! The life of a stream on its own connection.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use ratatosk_connector::{
    http::Taken,
    limits::Guest,
    stream::{Stream, StreamConfig, StreamPeer},
};
use ratatosk_core::{EndReason, MonitorEvent, Peer, SessionConfig};
use tokio::time::Instant;

use super::{
    Server,
    open::Admitted,
    stream::{client_id, jittered},
    token::{Token, TokenNews},
};
use crate::proto::encoder::{encode_comment, encode_retry};

/// What a stream begins with.
pub(super) struct Opening {
    pub(super) reader: Admitted,
    /// The head of the answer.
    pub(super) head: Bytes,
}

/// Serves one stream from its first byte to its last. What only the beginning needs is boxed, so that it is not carried
/// through the life of the stream.
pub(super) async fn run(server: Server, begins: Box<(Taken, Opening)>) {
    let (connector, bus) = (server.0.connector, server.0.bus.clone());
    bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
    let permit = begins.0.permit();
    let (stream, token, guest) = Box::pin(begin(&server, begins)).await;
    let reason = live(&server, &stream.peer, token).await;
    stream.peer.end(reason);
    let mut last_words = BytesMut::new();
    if reason != EndReason::Closed && reason != EndReason::Io {
        encode_retry(&mut last_words, jittered(server.0.retry));
    }
    stream.peer.finish(&last_words.freeze());
    stream.session.close(reason);
    drop((permit, guest));
    bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
}

async fn begin(server: &Server, begins: Box<(Taken, Opening)>) -> (Stream, Option<Box<Token>>, Guest) {
    let (taken, Opening { reader: Admitted { wanted, rights, guest }, head: http_head }) = *begins;
    let bus = &server.0.bus;
    let frame = server.frame(&wanted);
    let outbox = server.outbox_of(&wanted);
    let peer =
        StreamPeer::new(StreamConfig { socket: taken.socket, frame, outbox, connector: server.0.connector }, bus);
    let client_id = client_id();
    let config =
        SessionConfig { user: rights.user().cloned(), ..SessionConfig::client(client_id.clone(), server.0.connector) };
    let session = bus.open_session(config, peer.clone());
    let prepared = server.prepare(&session, &wanted).await;
    let head = [http_head, prepared.head].concat();
    peer.release(head.into(), prepared.history, prepared.tail);
    (Stream { peer, session }, Token::enter(server, &client_id, &wanted.filters, rights), guest)
}

/// Until one side has had enough.
pub(super) async fn live(server: &Server, peer: &StreamPeer, token: Option<Box<Token>>) -> EndReason {
    let mut serve = pin!(peer.serve());
    let mut gone = pin!(gone(peer));
    let mut closing = pin!(server.0.life.closing());
    // Boxed where there is one: most streams have none, and idle ones are many.
    let mut expiry = token.map(|token| Box::pin(expired(peer, token)));
    let begun = Instant::now();
    let end = begun + server.lifetime();
    let mut timer = pin!(tokio::time::sleep_until(end.min(begun + server.0.heartbeat)));
    loop {
        tokio::select! {
            reason = &mut serve => return reason,
            reason = &mut gone => return reason,
            () = &mut closing => return EndReason::Drain,
            () = either(&mut expiry) => return EndReason::Expired,
            () = &mut timer => {
                let now = Instant::now();
                if now >= end {
                    return EndReason::Lifetime;
                }
                peer.send(heartbeat_frame());
                timer.as_mut().reset(end.min(now + server.0.heartbeat));
            }
        }
    }
}

/// Until the token behind the stream is over; its reader is warned before.
async fn expired(peer: &StreamPeer, mut token: Box<Token>) {
    while let TokenNews::Warn(warning) = token.news().await {
        peer.send(warning);
    }
}

/// Never, where there is nothing to wait for.
async fn either<F: Future<Output = ()> + Unpin>(future: &mut Option<F>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn heartbeat_frame() -> Bytes {
    let mut out = BytesMut::new();
    encode_comment(&mut out, "");
    out.freeze()
}

/// Completes when the client has gone. What it sends after its request means nothing and is thrown away.
async fn gone(peer: &StreamPeer) -> EndReason {
    loop {
        if peer.socket().readable().await.is_err() {
            return EndReason::Io;
        }
        let mut thrown_away = [0; 64];
        match peer.socket().try_read(&mut thrown_away) {
            Ok(0) => return EndReason::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return EndReason::Closed,
        }
    }
}
