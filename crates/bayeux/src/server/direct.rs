//! A polling connection on its bare socket: whoever has a message for a held poll answers it at once, without
//! waking a task, and a peer that has gone is noticed before and after the answer.

use std::{cell::RefCell, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use ratatosk_connector::socket::Socket;
use tokio::{sync::Notify, time::Instant};

use crate::{
    proto::timestamp,
    server::{clock::Clock, live::Live, queued::Queued},
};

/// Messages, and whose they are.
pub(crate) type Carried = (Arc<Live>, Vec<Queued>);

#[derive(Default)]
struct State {
    /// What the socket did not take yet.
    pending: Bytes,
    /// Header lines that answers to the present request have besides the usual ones.
    lines: Vec<u8>,
    /// The session whose connect is held here, and which of its connects.
    held: Option<(Arc<Live>, u64)>,
    /// What the last answer carried. The next request on this connection is the proof that it arrived.
    carried: Vec<Carried>,
    /// Whether the task has something to do once the held connect is answered.
    waits: bool,
    failed: bool,
    /// The peer has closed.
    over: bool,
    answered: Option<Instant>,
}

/// The connection.
pub(crate) struct Direct {
    socket: Socket,
    state: Mutex<State>,
    wake: Notify,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Direct")
    }
}

impl Direct {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, state: Mutex::default(), wake: Notify::new() }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Whether the connection is known to be over. A peer whose end is not known yet answers with a reset, and
    /// [`Self::close`] puts back what it was sent.
    pub(crate) fn is_gone(&self) -> bool {
        let state = self.state.lock();
        state.failed || state.over
    }

    /// The peer has closed: nothing more is written. Whether the last answer may have come too late.
    pub(crate) fn hangs_up(&self) -> bool {
        let mut state = self.state.lock();
        state.over = true;
        !state.carried.is_empty()
    }

    /// A new request has come: what the last answer carried has arrived.
    pub(crate) fn begin(&self, lines: Vec<u8>) {
        let mut state = self.state.lock();
        state.carried = Vec::new();
        state.lines = lines;
    }

    /// The request is held.
    pub(crate) fn hold(&self, live: Arc<Live>, hold: u64) {
        self.state.lock().held = Some((live, hold));
    }

    pub(crate) fn is_held(&self) -> bool {
        self.state.lock().held.is_some()
    }

    /// When the last answer was written.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.state.lock().answered
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.state.lock().pending.is_empty()
    }

    /// Whether a request is held. `wake`: whether the task has something to do once it is answered.
    pub(crate) fn wait_for_answer(&self, wake: bool) -> bool {
        let mut state = self.state.lock();
        let held = state.held.is_some();
        state.waits = held && wake;
        held
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Answers the request with a JSON array that is given in parts.
    pub(crate) fn answer(&self, parts: &[&[u8]], cookie: Option<&str>, carried: Vec<Carried>) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut state = self.state.lock();
        let mut out = Vec::with_capacity(length + 256 + state.lines.len());
        head("200 OK", "application/json;charset=UTF-8", length, &state.lines, &mut out);
        if let Some(cookie) = cookie {
            out.extend_from_slice(b"Set-Cookie: ");
            out.extend_from_slice(cookie.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        parts.iter().for_each(|part| out.extend_from_slice(part));
        state.carried = carried;
        self.write(&mut state, out);
    }

    /// Answers the request with an error.
    pub(crate) fn refuse(&self, status: &str, content_type: &str, body: &[u8]) {
        let mut out = Vec::with_capacity(body.len() + 256);
        let mut state = self.state.lock();
        head(status, content_type, body.len(), &state.lines, &mut out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        self.write(&mut state, out);
    }

    fn write(&self, state: &mut State, out: Vec<u8>) {
        state.held = None;
        state.answered = Some(Instant::now());
        if state.lines.capacity() > 64 {
            state.lines = Vec::new();
        }
        match self.socket.try_write(&out) {
            Ok(taken) if taken == out.len() => {}
            Ok(taken) => state.pending = Bytes::from(out).slice(taken..),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => state.pending = out.into(),
            Err(_) => state.failed = true,
        }
        if state.waits || state.failed || !state.pending.is_empty() {
            state.waits = false;
            self.wake.notify_one();
        }
    }

    /// Writes what is left of an answer. False once the connection has failed.
    pub(crate) fn flush(&self) -> bool {
        let mut state = self.state.lock();
        while !state.pending.is_empty() && !state.failed {
            match self.socket.try_write(&state.pending) {
                Ok(taken) => drop(state.pending.split_to(taken)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => state.failed = true,
            }
        }
        let flushed = self.socket.try_flush();
        state.failed |= flushed.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock);
        !state.failed
    }

    /// The connection is over: what it held or carried in vain goes back to its sessions. `reset` says that the
    /// peer did not close in good order.
    pub(crate) fn close(&self, reset: bool) {
        let mut state = self.state.lock();
        // An answer that meets a closed peer comes back as a reset, which is told apart from the close.
        let lost = reset || state.failed || !state.pending.is_empty() || self.socket.take_error().is_some();
        let held = state.held.take();
        let carried = std::mem::take(&mut state.carried);
        drop(state);
        if let Some((live, hold)) = held {
            live.abandon(hold);
        }
        if lost {
            carried.into_iter().for_each(|(live, messages)| live.put_back(messages));
        }
    }
}

fn head(status: &str, content_type: &str, length: usize, lines: &[u8], out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    DATE.with_borrow_mut(|date| date.refresh(Clock::wall()));
    DATE.with_borrow(|date| write_head(status, content_type, digits.format(length), &date.text, lines, out));
}

/// The date as it stands in a head: written once a second and not once an answer.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn refresh(&mut self, wall: u64) {
        if self.second != wall / 1000 {
            *self = Self { second: wall / 1000, text: timestamp::format(wall) };
        }
    }
}

thread_local! {
    static DATE: RefCell<Date> = RefCell::default();
}

fn write_head(status: &str, content_type: &str, length: &str, date: &str, lines: &[u8], out: &mut Vec<u8>) {
    for part in [
        b"HTTP/1.1 ",
        status.as_bytes(),
        b"\r\nContent-Type: ",
        content_type.as_bytes(),
        b"\r\nContent-Length: ",
        length.as_bytes(),
        b"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nDate: ",
        date.as_bytes(),
        b"\r\n",
        lines,
    ] {
        out.extend_from_slice(part);
    }
}
