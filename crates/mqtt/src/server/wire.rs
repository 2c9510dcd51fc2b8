//! One network connection: its socket, its framing, and the word that it is to end.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use ratatosk_connector::{
    http::Permit,
    socket::Socket,
    websocket::{self, Frames, Opcode, header},
};
use ratatosk_core::EndReason;

use crate::proto::codec::ReasonCode;

/// How MQTT is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As it is.
    Mqtt,
    /// In binary WebSocket frames.
    WebSocket,
}

/// Why a connection ends, and the reason code that its client is told, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: EndReason,
    pub(super) code: Option<ReasonCode>,
    /// What the client did wrong, if that is why: a name for counters.
    pub(super) fault: Option<&'static str>,
}

impl End {
    /// An end without a word: the client has gone, or said goodbye itself.
    pub(super) fn silent(reason: EndReason) -> Self {
        Self { reason, code: None, fault: None }
    }

    /// An end of which the client is told.
    pub(super) fn told(reason: EndReason, code: ReasonCode) -> Self {
        Self { reason, code: Some(code), fault: None }
    }

    /// The same, for this fault of the client's.
    pub(super) fn because(self, fault: &'static str) -> Self {
        Self { fault: Some(fault), ..self }
    }
}

impl From<EndReason> for End {
    fn from(reason: EndReason) -> Self {
        let code = match reason {
            EndReason::Timeout => ReasonCode::KEEP_ALIVE_TIMEOUT,
            EndReason::Slow | EndReason::Limit => ReasonCode::QUOTA_EXCEEDED,
            EndReason::Protocol => ReasonCode::PROTOCOL_ERROR,
            EndReason::Denied | EndReason::Expired => ReasonCode::NOT_AUTHORIZED,
            EndReason::TakenOver => ReasonCode::SESSION_TAKEN_OVER,
            EndReason::Kicked => ReasonCode::ADMINISTRATIVE_ACTION,
            EndReason::Lifetime => ReasonCode::MAXIMUM_CONNECT_TIME,
            EndReason::Drain => ReasonCode::SHUTTING_DOWN,
            EndReason::Disconnect | EndReason::Closed | EndReason::Io => return Self::silent(reason),
        };
        Self::told(reason, code)
    }
}

/// What a connection's task waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// The socket has something to read.
    Readable,
    /// The client was silent for long enough.
    Timer,
    /// The socket can be written to, or someone woke the task.
    Other,
}

/// Bytes of control frames that may wait.
const MAX_CONTROL: usize = 4096;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: Socket,
    pub(super) remote: SocketAddr,
    pub(super) framing: Framing,
    /// The connection's task, and whether it has something to do: to write what waits, or to end.
    task: AtomicWaker,
    woken: AtomicBool,
    end: Mutex<Option<End>>,
    control: Mutex<Vec<u8>>,
    /// Keeps the connection counted by its listener.
    pub(super) permit: Option<Permit>,
}

impl Wire {
    pub(super) fn mqtt(socket: Socket, remote: SocketAddr, permit: Option<Permit>) -> Arc<Self> {
        Self::new(socket, remote, Framing::Mqtt, permit)
    }

    pub(super) fn new(socket: Socket, remote: SocketAddr, framing: Framing, permit: Option<Permit>) -> Arc<Self> {
        let (task, woken) = (AtomicWaker::new(), AtomicBool::new(false));
        let (end, control) = (Mutex::default(), Mutex::default());
        Arc::new(Self { socket, remote, framing, task, woken, end, control, permit })
    }

    /// Wakes the connection's task: something waits to be written, or the connection is to end.
    pub(super) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Waits for something to do. Nothing is kept for it but the timer: an idle connection is mostly this.
    pub(super) async fn wait(
        &self,
        read: bool,
        write: bool,
        mut timer: Pin<&mut tokio::time::Sleep>,
    ) -> io::Result<Waited> {
        std::future::poll_fn(|context| {
            self.task.register(context.waker());
            if self.woken.swap(false, Ordering::AcqRel) {
                return Poll::Ready(Ok(Waited::Other));
            }
            if read && let Poll::Ready(ready) = self.socket.poll_readable(context) {
                return Poll::Ready(ready.map(|()| Waited::Readable));
            }
            if write && let Poll::Ready(ready) = self.socket.poll_writable(context) {
                return Poll::Ready(ready.map(|()| Waited::Other));
            }
            timer.as_mut().poll(context).map(|()| Ok(Waited::Timer))
        })
        .await
    }

    /// Asks the connection's task to end; the first to ask gives the reason.
    pub(super) fn end(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.wake();
    }

    pub(super) fn ended(&self) -> Option<End> {
        *self.end.lock()
    }

    /// Bytes of MQTT as they go on this wire: for the few packets of a handshake.
    pub(super) fn framed(&self, bytes: &[u8]) -> Vec<u8> {
        match self.framing {
            Framing::Mqtt => bytes.to_vec(),
            Framing::WebSocket => [header(Opcode::Binary, bytes.len()).as_slice(), bytes].concat(),
        }
    }

    /// Sends a WebSocket control frame, which must not stand within another frame: it is sent only if the socket
    /// has taken all before it, or kept for the next write.
    pub(super) fn control(&self, frame: &[u8]) {
        let mut control = self.control.lock();
        // A client that only asks and never reads is answered no further.
        if control.len() < MAX_CONTROL {
            control.extend_from_slice(frame);
        }
        drop(control);
        self.wake();
    }

    /// What [`Wire::control`] has for the next write between frames.
    pub(super) fn take_control(&self) -> Vec<u8> {
        std::mem::take(&mut *self.control.lock())
    }

    /// Says that nothing more will be written; over WebSocket with the close frame that belongs to it.
    pub(super) fn last_words(&self) {
        if self.framing == Framing::WebSocket {
            let mut control = self.take_control();
            if control.is_empty() {
                control = websocket::close(1000, "");
            }
            let _ = self.socket.try_write(&control); // the client is told if it still listens
        }
        self.socket.finish();
    }

    /// What reads the frames of this wire, if it has any. A frame may hold many packets.
    pub(super) fn frames(&self, max_packet: u32) -> Option<Box<Frames>> {
        const SLACK: usize = 64 << 10;
        (self.framing == Framing::WebSocket).then(|| Box::new(Frames::new(max_packet as usize + SLACK)))
    }
}
