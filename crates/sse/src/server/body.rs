//! A stream as the body of an HTTP/2 answer: there, hyper owns the connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame as BodyFrame;
use ratatosk_connector::{http::Permit, limits::Guest, stream::Frame};
use ratatosk_core::{EndReason, MonitorEvent, QueuePeer, Session, SessionConfig, outbox::Waiting, stats::DropReason};
use tokio::time::{Instant, sleep_until};

use super::{
    Server,
    open::Admitted,
    pace::Rate,
    stream::{EventFrame, Prepared, client_id, jittered},
    token::{Token, TokenNews},
};
use crate::proto::encoder::{encode_comment, encode_retry};

/// Messages taken from the outbox for one frame of the body.
const BATCH: usize = 64;
/// Messages that a paced stream may get at once.
const MOST_PER_SLOT: usize = 4096;

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
    frame: Arc<EventFrame>,
    session: Option<Session>,
    rate: Option<Rate>,
    /// Before this, a paced stream takes no message.
    next_slot: Instant,
    deadline: Instant,
    token: Option<Box<Token>>,
    reason: EndReason,
    over: bool,
    _counted: (Option<Permit>, Guest),
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

pub(super) async fn open(server: &Server, reader: Admitted, permit: Option<Permit>) -> EventBody {
    let Admitted { wanted, rights, guest } = reader;
    let bus = &server.0.bus;
    let connector = server.0.connector;
    bus.monitor().emit(MonitorEvent::ConnectionOpened { connector });
    let queue = QueuePeer::new(server.outbox_of(&wanted));
    let client_id = client_id();
    let config = SessionConfig { user: rights.user().cloned(), ..SessionConfig::client(client_id.clone(), connector) };
    let session = bus.open_session(config, queue.clone());
    let Prepared { head, history, tail } = server.prepare(&session, &wanted).await;
    let frame = server.frame(&wanted);
    let first: Vec<Bytes> = {
        let replayed = history.iter().map(|message| message.form(frame.form(), |message| frame.encode(message)));
        std::iter::once(head).chain(replayed).chain([tail]).collect()
    };
    let now = Instant::now();
    let live = Live {
        server: server.clone(),
        queue,
        frame,
        session: Some(session),
        rate: wanted.max_rate,
        next_slot: now,
        deadline: now + server.lifetime(),
        token: Token::enter(server, &client_id, &wanted.filters, rights),
        reason: EndReason::Closed,
        over: false,
        _counted: (permit, guest),
    };
    EventBody(Box::pin(stream::iter(first).chain(stream::unfold(live, next))))
}

async fn next(mut live: Live) -> Option<(Bytes, Live)> {
    if live.over {
        return None;
    }
    let server = live.server.clone();
    let piece = tokio::select! {
        taken = take(&live.queue, live.rate, live.next_slot) => match taken {
            Ok(waiting) => live.write(waiting),
            Err(reason) => end(&mut live, reason),
        },
        () = server.0.life.closing() => end(&mut live, EndReason::Drain),
        () = sleep_until(live.deadline) => end(&mut live, EndReason::Lifetime),
        news = news(&mut live.token) => match news {
            TokenNews::Warn(warning) => warning,
            TokenNews::Over => end(&mut live, EndReason::Expired),
        },
        () = tokio::time::sleep(server.0.heartbeat) => {
            let mut piece = BytesMut::new();
            encode_comment(&mut piece, "");
            piece.freeze()
        }
    };
    Some((piece, live))
}

/// What there is to do about the token; never anything, where there is none.
async fn news(token: &mut Option<Box<Token>>) -> TokenNews {
    match token {
        Some(token) => token.news().await,
        None => std::future::pending().await,
    }
}

/// The next messages, at the pace that was asked for. What waits meanwhile is the outbox's to judge.
async fn take(queue: &QueuePeer, rate: Option<Rate>, next_slot: Instant) -> Result<Vec<Waiting>, EndReason> {
    let Some(rate) = rate else { return queue.recv_many(BATCH).await };
    sleep_until(next_slot).await;
    queue.recv_many(rate.messages.min(MOST_PER_SLOT)).await
}

impl Live {
    fn write(&mut self, waiting: Vec<Waiting>) -> Bytes {
        if let Some(rate) = self.rate {
            self.next_slot = Instant::now() + rate.slot;
        }
        let mut piece = BytesMut::new();
        let lost = self.queue.take_dropped();
        if lost > 0 {
            self.server.0.bus.stats().dropped(self.server.0.connector, DropReason::Slow, lost);
            piece.extend(self.frame.lost(lost));
        }
        for waiting in waiting {
            let frame = waiting.message.form(self.frame.form(), |message| self.frame.encode(message));
            piece.extend_from_slice(&frame);
        }
        piece.freeze()
    }
}

fn end(live: &mut Live, reason: EndReason) -> Bytes {
    (live.over, live.reason) = (true, reason);
    let mut last_words = BytesMut::new();
    encode_retry(&mut last_words, jittered(live.server.0.retry));
    last_words.freeze()
}
