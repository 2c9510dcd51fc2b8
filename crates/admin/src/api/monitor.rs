//! The monitor events, live, as an event stream.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header;
use ratatosk_connector::http::Problem;
use ratatosk_core::{Connector, Filter, OutboxLimits, QueuePeer, Session, SessionConfig, SlowPolicy, SubscribeOptions};

use super::Gateway;
use crate::{Admin, problems};

/// A comment this often keeps proxies and readers from giving up.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A reader that is slower misses the oldest events.
const LIMITS: OutboxLimits = OutboxLimits { messages: 1024, bytes: 1 << 20, policy: SlowPolicy::DropOldest };
/// The most events of one write.
const BATCH: usize = 64;

pub(super) async fn stream(State(admin): Gateway) -> Result<Response, Problem> {
    let filter = Filter::new("$monitor/#").map_err(|error| problems::bad(error.to_string()))?;
    let body = Body::from_stream(events(admin, filter));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// The session lives as long as the stream is read.
struct Reader {
    admin: Arc<Admin>,
    peer: Arc<QueuePeer>,
    _session: Session,
}

fn events(admin: Arc<Admin>, filter: Filter) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let peer = QueuePeer::new(LIMITS);
    let config = SessionConfig {
        client_id: "admin:monitor".into(),
        connector: Connector::register("admin"),
        user: None,
        is_client: false,
    };
    let session = admin.config.bus.open_session(config, peer.clone());
    session.subscribe(filter, SubscribeOptions::default());
    let reader = Reader { admin, peer, _session: session };
    let hello = stream::iter([Ok(Bytes::from_static(b": monitor events\n\n"))]);
    futures_util::StreamExt::chain(hello, stream::unfold(reader, next))
}

async fn next(reader: Reader) -> Option<(Result<Bytes, Infallible>, Reader)> {
    let closing = pin!(reader.admin.config.life.closing());
    let bytes = tokio::select! {
        waiting = reader.peer.recv_many(BATCH) => {
            let mut out = Vec::new();
            for waiting in waiting.ok()? {
                // The payload is the gateway's own JSON, on one line.
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&waiting.message.payload);
                out.extend_from_slice(b"\n\n");
            }
            Bytes::from(out)
        }
        () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b":\n\n"),
        () = closing => return None,
    };
    Some((Ok(bytes), reader))
}
