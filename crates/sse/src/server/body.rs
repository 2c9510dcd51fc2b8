//! A stream as the body of an HTTP/2 answer: there, hyper owns the connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame as BodyFrame;
use ratatosk_connector::stream::Frame;
use ratatosk_core::{EndReason, MonitorEvent, QueuePeer, Session, SessionConfig, stats::DropReason};

use super::{
    Server,
    query::Wanted,
    stream::{EventFrame, Prepared, jittered},
};
use crate::proto::encoder::{encode_comment, encode_retry};

/// Messages taken from the outbox for one frame of the body.
const BATCH: usize = 64;

/// The body; dropping it ends the session.
pub(super) struct EventBody(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        self.0.poll_next_unpin(context).map(|next| next.map(|bytes| Ok(BodyFrame::data(bytes))))
    }
}

/// A stream's state between two pieces of its body.
struct Live {
    server: Server,
    queue: Arc<QueuePeer>,
    frame: EventFrame,
    session: Option<Session>,
    reason: EndReason,
    over: bool,
}

impl Drop for Live {
    fn drop(&mut self) {
        let (connector, reason) = (self.server.0.connector, self.reason);
        if let Some(session) = self.session.take() {
            session.close(reason);
        }
        self.server.0.bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
    }
}

pub(super) async fn open(server: &Server, wanted: Wanted) -> EventBody {
    let bus = &server.0.bus;
    let connector = server.0.connector;
    bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
    let queue = QueuePeer::new(server.outbox(&wanted.filters));
    let client_id = format!("sse-{:016x}", fastrand::u64(..));
    let session = bus.open_session(SessionConfig::client(client_id, connector), queue.clone());
    let Prepared { head, history, tail } = server.prepare(&session, &wanted).await;
    let frame = EventFrame { style: wanted.style, epoch: bus.epoch().clone() };
    let first: Vec<Bytes> = {
        let replayed = history.iter().map(|message| message.form(frame.form(), |message| frame.encode(message)));
        std::iter::once(head).chain(replayed).chain([tail]).collect()
    };
    let live =
        Live { server: server.clone(), queue, frame, session: Some(session), reason: EndReason::Closed, over: false };
    EventBody(Box::pin(stream::iter(first).chain(stream::unfold(live, next))))
}

async fn next(mut live: Live) -> Option<(Bytes, Live)> {
    if live.over {
        return None;
    }
    let server = live.server.clone();
    let piece = tokio::select! {
        taken = live.queue.recv_many(BATCH) => match taken {
            Ok(waiting) => {
                let mut piece = BytesMut::new();
                let lost = live.queue.take_dropped();
                if lost > 0 {
                    server.0.bus.stats().dropped(server.0.connector, DropReason::Slow, lost);
                    piece.extend(live.frame.lost(lost));
                }
                for waiting in waiting {
                    let frame = waiting.message.form(live.frame.form(), |message| live.frame.encode(message));
                    piece.extend_from_slice(&frame);
                }
                piece.freeze()
            }
            Err(reason) => end(&mut live, reason),
        },
        () = server.0.life.closing() => end(&mut live, EndReason::Drain),
        () = tokio::time::sleep(server.0.heartbeat) => {
            let mut piece = BytesMut::new();
            encode_comment(&mut piece, "");
            piece.freeze()
        }
    };
    Some((piece, live))
}

fn end(live: &mut Live, reason: EndReason) -> Bytes {
    (live.over, live.reason) = (true, reason);
    let mut last_words = BytesMut::new();
    encode_retry(&mut last_words, jittered(live.server.0.retry));
    last_words.freeze()
}
