//! A socket that belongs to a session: how messages are written to it, and what happens when it goes.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use ratatosk_connector::{
    socket::Socket,
    stream::{Frame, StreamConfig, StreamPeer},
};
use ratatosk_core::{EndReason, Form, Message, MonitorEvent, OutboxLimits};

use crate::server::{
    encode::Detail,
    live::{Link, Live},
    mount::Mount,
    process,
    web::{eventsource, websocket},
};

/// Bytes read at once.
const READ: usize = 4096;

/// How a link's frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    WebSocket,
    EventSource,
}

/// How a link's messages are framed, and whose it is.
pub(crate) struct LinkFrame {
    mount: Arc<Mount>,
    wire: Wire,
    full: AtomicBool,
    sessions: Mutex<Vec<Weak<Live>>>,
}

impl LinkFrame {
    /// The session that the link belongs to wants its messages so.
    pub(crate) fn set(&self, detail: Detail) {
        self.full.store(detail == Detail::Full, Ordering::Relaxed);
    }

    /// The link carries one more session.
    pub(crate) fn adopt(&self, live: Weak<Live>) {
        let mut sessions = self.sessions.lock();
        sessions.retain(|known| known.strong_count() > 0);
        sessions.push(live);
    }

    /// An array as a frame.
    pub(crate) fn wrap(&self, array: &[u8]) -> Bytes {
        match self.wire {
            Wire::WebSocket => websocket::text_frame(array),
            Wire::EventSource => eventsource::event(array),
        }
    }

    fn detail(&self) -> Detail {
        if self.full.load(Ordering::Relaxed) { Detail::Full } else { Detail::Plain }
    }
}

impl std::fmt::Debug for LinkFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkFrame").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Frame for LinkFrame {
    fn form(&self) -> Form {
        match self.wire {
            Wire::WebSocket => self.detail().of(websocket::forms()),
            Wire::EventSource => self.detail().of(eventsource::forms()),
        }
    }

    fn encode(&self, message: &Message) -> Bytes {
        let mut array = Vec::with_capacity(message.payload.len() + 96);
        array.push(b'[');
        self.mount.encoder.write(message, None, self.detail(), &mut array);
        array.push(b']');
        self.wrap(&array)
    }
}

/// An open connection, on a socket taken over from the listener.
pub(crate) struct Connection {
    pub(crate) mount: Arc<Mount>,
    pub(crate) link: Link,
}

impl Connection {
    pub(crate) fn open(mount: &Arc<Mount>, socket: Socket, wire: Wire) -> Self {
        let (full, sessions) = (AtomicBool::new(false), Mutex::default());
        let frame = Arc::new(LinkFrame { mount: mount.clone(), wire, full, sessions });
        let queue = mount.terms.queue;
        let outbox = OutboxLimits { messages: queue.messages, bytes: queue.bytes, policy: queue.policy };
        let config = StreamConfig { socket, frame: frame.clone(), outbox, connector: mount.connector };
        let stream = StreamPeer::new(config, &mount.bus);
        stream.release(Bytes::new(), Vec::new(), Bytes::new());
        mount.bus.monitor().emit(MonitorEvent::ConnectionOpened { connector: mount.connector });
        Self { mount: mount.clone(), link: Link { stream, frame } }
    }

    pub(crate) fn stream(&self) -> &StreamPeer {
        &self.link.stream
    }

    /// Reads something, waiting as needed; zero is the end of the stream. The buffer between the socket and
    /// `buffer` lives on the stack and not in the task: an idle connection has none.
    pub(crate) async fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let socket = self.stream().socket();
        loop {
            match try_read(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
                result => return result,
            }
        }
    }

    /// Says the last words and lets the sessions go on without this socket.
    pub(crate) fn close(&self, reason: EndReason, last_words: &Bytes) {
        self.stream().finish(last_words);
        for live in std::mem::take(&mut *self.link.frame.sessions.lock()).iter().filter_map(Weak::upgrade) {
            if reason == EndReason::Slow {
                process::end(&live, EndReason::Slow);
            } else {
                live.detach(&self.link.stream);
            }
        }
        let connector = self.mount.connector;
        self.mount.bus.monitor().emit(MonitorEvent::ConnectionClosed { connector, reason });
    }
}

fn try_read(socket: &Socket, buffer: &mut BytesMut) -> io::Result<usize> {
    let mut chunk = [0; READ];
    let read = socket.try_read(&mut chunk)?;
    buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
    Ok(read)
}
