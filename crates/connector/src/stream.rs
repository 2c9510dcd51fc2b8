//! Streams of shared frames: one session, one socket, no task on the way of a message.
//!
//! The lane writes each run straight to the socket, in bytes that all sessions with the same run share. What
//! the socket cannot take waits in the session's outbox; only then the connection's own task is woken, to
//! write the backlog when the socket is ready again.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use ratatosk_core::{
    Backlog, Bus, Connector, Delivered, EndReason, Form, Message, OutboxLimits, Peer, Run, Session,
    stats::{DropReason, Stats},
};
use tokio::sync::Notify;

use self::state::{Flush, State};
use crate::{socket::Socket, turnstile::Turnstile};

mod state;

/// Where streams with a long backlog wait for their turns.
static CATCHING_UP: Turnstile = Turnstile::new(1);

/// How a protocol writes the messages of a stream.
pub trait Frame: Send + Sync + 'static {
    /// The wire form, shared by all streams that write alike.
    fn form(&self) -> Form;

    /// One message's frame in that form.
    fn encode(&self, message: &Message) -> Bytes;

    /// What tells the client that messages were dropped for it; `None` says nothing.
    fn lost(&self, messages: u64) -> Option<Bytes> {
        let _ = messages;
        None
    }
}

/// What a stream is made of.
pub struct StreamConfig {
    /// The connection.
    pub socket: Socket,
    /// How messages are written.
    pub frame: Arc<dyn Frame>,
    /// Bounds of the backlog.
    pub outbox: OutboxLimits,
    /// For counting.
    pub connector: Connector,
}

impl std::fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamConfig").field("connector", &self.connector).finish_non_exhaustive()
    }
}

/// A session's end of the bus that writes frames to a socket.
///
/// It starts *held*: live messages wait until [`StreamPeer::release`], so that what a new subscriber is shown
/// first (history, last values) comes first.
pub struct StreamPeer {
    socket: Socket,
    frame: Arc<dyn Frame>,
    connector: Connector,
    stats: Arc<Stats>,
    state: Mutex<State>,
    wake: Notify,
}

impl std::fmt::Debug for StreamPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamPeer").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl StreamPeer {
    /// A held stream.
    #[must_use]
    pub fn new(config: StreamConfig, bus: &Bus) -> Arc<Self> {
        Arc::new(Self {
            socket: config.socket,
            frame: config.frame,
            connector: config.connector,
            stats: bus.stats().clone(),
            state: Mutex::new(State::new(config.outbox)),
            wake: Notify::new(),
        })
    }

    /// The connection.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Holds live messages back again until the next [`StreamPeer::release`]: for a protocol whose client may subscribe
    /// to more while the stream flows, and is shown something first then too.
    pub fn hold(&self) {
        self.state.lock().hold();
    }

    /// Lets the stream flow: `head` first, then `history`, then `tail`, then what is live.
    pub fn release(&self, head: Bytes, history: Vec<Arc<Message>>, tail: Bytes) {
        let mut state = self.state.lock();
        let before = state.depth();
        state.release(head, history, tail);
        self.count_waiting(before, &state);
        if !state.is_far_behind() {
            self.write_backlog(&mut state);
        }
        let waits = !state.is_clear() || state.ended().is_some();
        drop(state);
        if waits {
            self.wake.notify_one();
        }
    }

    /// Sends a frame of the connection's own (a heartbeat, an answer), in order with the messages.
    pub fn send(&self, frame: Bytes) {
        let mut state = self.state.lock();
        if state.push_control(frame) {
            self.write_backlog(&mut state);
        }
        let waits = !state.is_clear() || state.ended().is_some();
        drop(state);
        if waits {
            self.wake.notify_one();
        }
    }

    /// How many messages wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.state.lock().depth()
    }

    /// Why the stream is to end, once it is.
    #[must_use]
    pub fn ended(&self) -> Option<EndReason> {
        self.state.lock().ended()
    }

    /// Serves the backlog until the stream is to end, and says why it ends. The connection's task awaits this
    /// beside whatever it reads.
    pub async fn serve(&self) -> EndReason {
        loop {
            self.wake.notified().await;
            loop {
                let outcome = self.write_turn().await;
                match outcome {
                    Flush::Clear => break,
                    Flush::Ended(reason) => return reason,
                    Flush::Blocked => tokio::select! {
                        writable = self.socket.writable() => if writable.is_err() {
                            return EndReason::Io;
                        },
                        // The stream may be told to end while its client does not read.
                        () = self.wake.notified() => {}
                    },
                    Flush::More => {}
                }
            }
        }
    }

    /// Writes last words, as far as the socket takes them now, and says that nothing follows.
    pub fn finish(&self, last_words: &Bytes) {
        let state = self.state.lock();
        // A frame that was cut short cannot be followed by another.
        if state.is_between_frames() {
            let _ = self.socket.try_write(last_words); // the client is told if it still listens
        }
        drop(state);
        self.socket.finish();
    }

    /// One turn of the backlog, after others have had theirs.
    async fn write_turn(&self) -> Flush {
        let far_behind = self.state.lock().is_far_behind();
        if far_behind {
            CATCHING_UP.pass().await;
        }
        self.write_backlog(&mut self.state.lock())
    }

    fn write_backlog(&self, state: &mut State) -> Flush {
        let before = state.depth();
        let (flush, written) = state.write(&self.socket, &*self.frame);
        self.count_waiting(before, state);
        self.stats.delivered(self.connector, written.delivered.messages.into(), written.delivered.bytes);
        for (from, took) in written.latencies {
            self.stats.latency(from, self.connector, took, 1);
        }
        flush
    }

    fn count_waiting(&self, before: usize, state: &State) {
        let change = i64::try_from(state.depth()).unwrap_or(0) - i64::try_from(before).unwrap_or(0);
        self.stats.outbox_changed(self.connector, change);
    }

    /// Queues a run behind what already waits.
    fn queue(&self, state: &mut State, run: &Run<'_>) {
        let before = state.depth();
        let lost = state.push_run(run, &*self.frame);
        self.count_waiting(before, state);
        if lost > 0 {
            self.stats.dropped(self.connector, DropReason::Slow, lost);
        }
    }
}

impl Drop for StreamPeer {
    fn drop(&mut self) {
        let waiting = i64::try_from(self.state.get_mut().depth()).unwrap_or(0);
        self.stats.outbox_changed(self.connector, -waiting);
    }
}

impl Peer for StreamPeer {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let mut state = self.state.lock();
        if state.ended().is_some() {
            return Delivered::default();
        }
        if !state.is_clear() {
            self.queue(&mut state, run);
            let wake = state.ended().is_some();
            drop(state);
            if wake {
                self.wake.notify_one();
            }
            return Delivered::default();
        }
        let frame = &self.frame;
        let frames = run.frames(frame.form(), &|message| frame.encode(message));
        let bytes = state.write_through(&self.socket, frames);
        let blocked = !state.is_clear() || state.ended().is_some();
        drop(state);
        if blocked {
            self.wake.notify_one();
        }
        Delivered { messages: u32::try_from(run.len()).unwrap_or(u32::MAX), bytes }
    }

    fn end(&self, reason: EndReason) {
        self.state.lock().end(reason);
        self.wake.notify_one();
    }

    fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        Backlog { messages: state.depth(), bytes: state.bytes() }
    }

    fn relieve(&self) {
        let mut state = self.state.lock();
        let before = state.depth();
        let lost = state.relieve(&*self.frame);
        self.count_waiting(before, &state);
        let ended = state.ended().is_some();
        drop(state);
        self.stats.dropped(self.connector, DropReason::Slow, lost);
        if ended {
            self.wake.notify_one();
        }
    }

    fn is_live(&self) -> bool {
        let state = self.state.lock();
        state.is_clear() && state.ended().is_none()
    }
}

/// A stream with its session: what a connection's task holds.
#[derive(Debug)]
pub struct Stream {
    /// The writer.
    pub peer: Arc<StreamPeer>,
    /// The standing on the bus.
    pub session: Session,
}
