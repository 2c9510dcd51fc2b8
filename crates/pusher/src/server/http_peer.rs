//! The sending half of a fallback session: lines that wait for the client's next request, or flow into its open one.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use ratatosk_core::{Backlog, Delivered, EndReason, Message, OutboxLimits, Peer, Run};
use tokio::sync::Notify;

use super::{encode::EventFrame, packet::Packet};
use crate::proto::fallback;

/// See the module.
pub(super) struct HttpPeer {
    frame: Arc<EventFrame>,
    limits: OutboxLimits,
    state: Mutex<State>,
    /// Something to send, or a new receiver.
    pub(super) changed: Notify,
    /// The session is to end.
    pub(super) ending: Notify,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Bytes>,
    /// Live messages that wait for the release.
    behind: VecDeque<Bytes>,
    held: bool,
    bytes: usize,
    ended: Option<EndReason>,
    finished: bool,
    receiver: u64,
    attached: bool,
}

/// What a receiver gets.
pub(super) enum Lines {
    /// These bytes.
    Some(Bytes),
    /// Nothing yet.
    None,
    /// Nothing more, ever, on this request.
    Over,
}

impl std::fmt::Debug for HttpPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpPeer").finish_non_exhaustive()
    }
}

impl HttpPeer {
    pub(super) fn new(frame: Arc<EventFrame>, limits: OutboxLimits) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { frame, limits, state, changed: Notify::new(), ending: Notify::new() })
    }

    pub(super) fn send(&self, packet: &Packet) {
        self.push(fallback::frame(packet.text()).into(), false);
    }

    pub(super) fn line(&self, line: impl Into<Bytes>) {
        self.push(line.into(), false);
    }

    pub(super) fn hold(&self) {
        self.state.lock().held = true;
    }

    pub(super) fn release(&self, kept: &[Arc<Message>], last: Option<&Packet>) {
        let mut lines: Vec<Bytes> = kept.iter().filter_map(|message| self.encode(message)).collect();
        lines.extend(last.map(|packet| fallback::frame(packet.text()).into()));
        let mut state = self.state.lock();
        state.bytes += lines.iter().map(Bytes::len).sum::<usize>();
        state.lines.extend(lines);
        let behind = std::mem::take(&mut state.behind);
        state.lines.extend(behind);
        state.held = false;
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn ended(&self) -> Option<EndReason> {
        self.state.lock().ended
    }

    /// The session is over: what waits is the last there is.
    pub(super) fn finish(&self, last: impl Into<Bytes>) {
        let mut state = self.state.lock();
        state.held = false;
        let behind = std::mem::take(&mut state.behind);
        state.lines.extend(behind);
        state.lines.push_back(last.into());
        state.finished = true;
        drop(state);
        self.changed.notify_waiters();
    }

    /// A request came to receive: it takes the place of the one before.
    pub(super) fn attach(&self) -> u64 {
        let mut state = self.state.lock();
        state.receiver += 1;
        state.attached = true;
        let receiver = state.receiver;
        drop(state);
        self.changed.notify_waiters();
        receiver
    }

    /// The request is gone.
    pub(super) fn detach(&self, receiver: u64) {
        let mut state = self.state.lock();
        if state.receiver == receiver {
            state.attached = false;
        }
        drop(state);
        self.ending.notify_one();
    }

    /// Whether a request waits to receive.
    pub(super) fn is_attached(&self) -> bool {
        self.state.lock().attached
    }

    /// What waits, for this receiver; nothing if it is full and should be replaced by the next.
    pub(super) fn take(&self, receiver: u64, full: bool) -> Lines {
        let mut state = self.state.lock();
        if state.receiver != receiver {
            return Lines::Over;
        }
        if full {
            return Lines::None;
        }
        if state.held || state.lines.is_empty() {
            return if state.finished && !state.held { Lines::Over } else { Lines::None };
        }
        let mut out = BytesMut::with_capacity(state.bytes);
        state.lines.drain(..).for_each(|line| out.extend_from_slice(&line));
        state.lines = VecDeque::new();
        state.bytes = 0;
        Lines::Some(out.freeze())
    }

    fn encode(&self, message: &Message) -> Option<Bytes> {
        self.frame.text(message).map(|text| fallback::frame(&text).into())
    }

    fn push(&self, line: Bytes, live: bool) {
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        if state.lines.len() + state.behind.len() >= self.limits.messages
            || state.bytes + line.len() > self.limits.bytes
        {
            state.ended.get_or_insert(EndReason::Slow);
            drop(state);
            return self.ending.notify_one();
        }
        state.bytes += line.len();
        if live && state.held {
            state.behind.push_back(line);
        } else {
            state.lines.push_back(line);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Peer for HttpPeer {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let mut delivered = Delivered::default();
        for (message, _) in run.iter() {
            if let Some(line) = self.encode(message) {
                delivered.messages += 1;
                delivered.bytes += line.len() as u64;
                self.push(line, true);
            }
        }
        delivered
    }

    fn end(&self, reason: EndReason) {
        self.state.lock().ended.get_or_insert(reason);
        self.ending.notify_one();
    }

    fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        Backlog { messages: state.lines.len() + state.behind.len(), bytes: state.bytes }
    }
}
