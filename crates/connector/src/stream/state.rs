//! What waits to be written to one socket.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ratatosk_core::{
    Connector, Delivered, EndReason, Message, Outbox, OutboxLimits, Run, SlowPolicy, outbox::Pushed, peer::Frames,
};

use super::Frame;
use crate::socket::Socket;

/// Bytes of a backlog that are written in one turn, more or less.
const TURN: u64 = 32 << 10;
/// Frames that are handed to the socket in one call. They are shared with other streams, so none is copied.
const BATCH: usize = 64;
/// Waiting messages past which a backlog is long.
const FAR_BEHIND: usize = 64;
/// Frames of the connection's own that may wait: a client that never reads cannot make it answer without end.
const MAX_CONTROL: usize = 256;

/// What a write of the backlog came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// Nothing waits.
    Clear,
    /// The socket takes no more now.
    Blocked,
    /// There is more, and it is time to let others have their turn.
    More,
    /// The stream is to end.
    Ended(EndReason),
}

/// What was written from the backlog.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) delivered: Delivered,
    pub(super) latencies: Vec<(Connector, Duration)>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Bytes that the socket took only the first part of, or none of.
    pending: VecDeque<Bytes>,
    /// What a new subscriber is shown before live messages.
    first: Option<Box<First>>,
    outbox: Outbox,
    lost: u64,
    held: bool,
    /// Whether the first of `pending` is the rest of a frame whose beginning was written.
    cut: bool,
    ended: Option<EndReason>,
}

#[derive(Debug)]
struct First {
    history: VecDeque<Arc<Message>>,
    tail: Bytes,
}

impl State {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        let outbox = Outbox::new(limits);
        Self { pending: VecDeque::new(), first: None, outbox, lost: 0, held: true, cut: false, ended: None }
    }

    pub(super) fn is_clear(&self) -> bool {
        !self.held && self.pending.is_empty() && self.first.is_none() && self.outbox.is_empty()
    }

    pub(super) fn is_between_frames(&self) -> bool {
        !self.cut
    }

    pub(super) fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    pub(super) fn end(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
    }

    pub(super) fn depth(&self) -> usize {
        self.outbox.len() + self.first.as_ref().map_or(0, |first| first.history.len())
    }

    /// Whether it takes more than a moment to write what waits.
    pub(super) fn is_far_behind(&self) -> bool {
        self.depth() > FAR_BEHIND
    }

    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn release(&mut self, head: Bytes, history: Vec<Arc<Message>>, tail: Bytes) {
        self.held = false;
        if history.is_empty() && self.first.is_none() {
            // Nothing comes between them: one write instead of two.
            let whole = if tail.is_empty() { head } else { [head, tail].concat().into() };
            if !whole.is_empty() {
                self.pending.push_back(whole);
            }
            return;
        }
        if !head.is_empty() {
            self.pending.push_back(head);
        }
        match &mut self.first {
            // What an earlier release has to show is still on its way: this comes after it.
            Some(first) => {
                first.history.extend(history);
                first.tail = [std::mem::take(&mut first.tail), tail].concat().into();
            }
            None => self.first = Some(Box::new(First { history: history.into(), tail })),
        }
    }

    /// Whether it may be written now; false if it was refused or must wait for the release.
    pub(super) fn push_control(&mut self, frame: Bytes) -> bool {
        if self.pending.len() >= MAX_CONTROL {
            self.end(EndReason::Slow);
            return false;
        }
        self.pending.push_back(frame);
        !self.held
    }

    /// Queues a run and says how many messages were lost by it.
    pub(super) fn push_run(&mut self, run: &Run<'_>, frame: &dyn Frame) -> u64 {
        let mut lost = 0;
        for (message, grant) in run.iter() {
            match self.outbox.push(message.clone(), grant.clone()) {
                Pushed::Queued => {}
                Pushed::Dropped(count) => lost += u64::from(count),
                Pushed::Full => {
                    lost += self.outbox.clear() as u64 + 1;
                    self.end(EndReason::Slow);
                    return lost;
                }
            }
        }
        if lost > 0 && frame.lost(1).is_some() {
            self.lost += lost;
        }
        lost
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.outbox.bytes() + self.pending.iter().map(Bytes::len).sum::<usize>()
    }

    /// Memory is short: gives up what waits, by the outbox's policy. Says how many messages were lost.
    pub(super) fn relieve(&mut self, frame: &dyn Frame) -> u64 {
        let lost = self.outbox.relieve() as u64;
        if self.outbox.policy() == SlowPolicy::Disconnect {
            self.end(EndReason::Slow);
        } else if lost > 0 && frame.lost(1).is_some() {
            self.lost += lost;
        }
        lost
    }

    /// Writes frames for a stream that is clear; what does not fit waits. Answers the bytes of all frames.
    pub(super) fn write_through(&mut self, socket: &Socket, frames: Frames) -> u64 {
        match frames {
            Frames::Joined(joined) => {
                let bytes = joined.len() as u64;
                self.write_one(socket, joined);
                bytes
            }
            Frames::Each(frames) => {
                let bytes = frames.iter().map(|frame| frame.len() as u64).sum();
                self.pending.extend(frames);
                self.write_pending(socket);
                bytes
            }
        }
    }

    /// The hot path: one write, and nothing is allocated if the socket takes it whole.
    fn write_one(&mut self, socket: &Socket, mut frame: Bytes) {
        let taken = match socket.try_write(&frame) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.end(EndReason::Io),
        };
        if taken < frame.len() {
            self.cut = taken > 0;
            drop(frame.split_to(taken));
            self.pending.push_back(frame);
        }
    }

    /// Writes what waits, up to a fair share.
    pub(super) fn write(&mut self, socket: &Socket, frame: &dyn Frame) -> (Flush, Written) {
        let mut written = Written::default();
        let flush = loop {
            if let Some(reason) = self.ended {
                break Flush::Ended(reason);
            }
            if self.held {
                break Flush::Clear;
            }
            if !self.write_pending(socket) {
                break self.ended.map_or(Flush::Blocked, Flush::Ended);
            }
            if written.delivered.bytes >= TURN {
                break Flush::More;
            }
            if !self.gather(frame, &mut written) {
                break Flush::Clear;
            }
        };
        (flush, written)
    }

    /// True once nothing is pending.
    fn write_pending(&mut self, socket: &Socket) -> bool {
        while !self.pending.is_empty() {
            match self.write_front(socket) {
                Ok(taken) => self.advance(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.end(EndReason::Io);
                    return false;
                }
            }
        }
        self.pending = VecDeque::new(); // a stream that has caught up gives its memory back
        match socket.try_flush() {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.end(EndReason::Io);
                false
            }
        }
    }

    fn write_front(&self, socket: &Socket) -> io::Result<usize> {
        if let (1, Some(only)) = (self.pending.len(), self.pending.front()) {
            return socket.try_write(only);
        }
        let mut slices = [io::IoSlice::new(&[]); BATCH];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.pending) {
            *slice = io::IoSlice::new(bytes);
            count += 1;
        }
        socket.try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    /// Forgets the first bytes of what is pending: they are written.
    fn advance(&mut self, mut taken: usize) {
        while let Some(front) = self.pending.front_mut() {
            if taken < front.len() {
                self.cut |= taken > 0;
                drop(front.split_to(taken));
                return;
            }
            taken -= front.len();
            self.cut = false;
            self.pending.pop_front();
        }
    }

    /// Makes the next frames of the backlog pending; false if there are none.
    fn gather(&mut self, frame: &dyn Frame, written: &mut Written) -> bool {
        let now = Instant::now();
        while self.pending.len() < BATCH && written.delivered.bytes < TURN {
            let bytes = match self.next(now) {
                Next::Message(message) => {
                    let bytes = message.form(frame.form(), |message| frame.encode(message));
                    written.delivered.messages += 1;
                    written.latencies.push((message.origin.connector, now.saturating_duration_since(message.arrived)));
                    bytes
                }
                Next::Replayed(message) => {
                    written.delivered.messages += 1;
                    message.form(frame.form(), |message| frame.encode(message))
                }
                Next::Lost(count) => frame.lost(count).unwrap_or_default(),
                Next::Bytes(bytes) => bytes,
                Next::Nothing => break,
            };
            written.delivered.bytes += bytes.len() as u64;
            self.pending.push_back(bytes);
        }
        !self.pending.is_empty()
    }

    fn next(&mut self, now: Instant) -> Next {
        if let Some(first) = &mut self.first {
            if let Some(message) = first.history.pop_front() {
                return Next::Replayed(message);
            }
            let tail = std::mem::take(&mut first.tail);
            self.first = None;
            if !tail.is_empty() {
                return Next::Bytes(tail);
            }
        }
        if self.lost > 0 {
            return Next::Lost(std::mem::take(&mut self.lost));
        }
        while let Some(waiting) = self.outbox.pop() {
            if !waiting.message.is_expired(now) {
                return Next::Message(waiting.message);
            }
        }
        Next::Nothing
    }
}

enum Next {
    Message(Arc<Message>),
    Replayed(Arc<Message>),
    Lost(u64),
    Bytes(Bytes),
    Nothing,
}
