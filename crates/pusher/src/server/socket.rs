//! The task of one WebSocket connection: it reads, and writes only what the socket did not take at once.

use std::{cell::RefCell, future::Future, io, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ratatosk_connector::{
    http::Taken,
    socket::Socket,
    stream::{StreamConfig, StreamPeer},
    websocket::{Incoming, Messages, WebSocketFault},
};
use ratatosk_core::{EndReason, OutboxLimits, Peer};

use super::{
    Server,
    app::App,
    client::Link,
    driver::{Driver, Visit},
    packet,
};
use crate::proto::{close::Close, frame};

/// Bytes of one message from a client. What is over an application's own limits is answered with an error; what is over
/// this ends the connection.
const MAX_MESSAGE: usize = 256 << 10;
/// Bytes read at a time.
const READ: usize = 16 << 10;
/// How long a connection that was told to go may take to go.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    /// One read buffer for each thread: an idle connection holds none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// How a connection ended.
enum End {
    /// We close, with a code of the protocol.
    Pusher(Close),
    /// The client broke the WebSocket protocol.
    WebSocket(WebSocketFault),
    /// The client closed, with this code.
    Client(Option<u16>),
    /// The session was told to end.
    Told(EndReason),
    /// The socket is gone.
    Gone(EndReason),
}

impl End {
    fn reason(&self) -> EndReason {
        match self {
            Self::Pusher(Close::NoPong) => EndReason::Timeout,
            Self::Pusher(_) => EndReason::Denied,
            Self::WebSocket(_) => EndReason::Protocol,
            Self::Client(_) => EndReason::Disconnect,
            Self::Told(reason) | Self::Gone(reason) => *reason,
        }
    }

    /// The bytes that tell the client.
    fn last_words(&self) -> Bytes {
        match self {
            Self::Pusher(close) => packet::close(Some(close.code()), &close.to_string()),
            Self::WebSocket(fault) => packet::close(Some(fault.code()), &fault.to_string()),
            Self::Client(code) => packet::close(*code, ""),
            Self::Told(reason) => farewell(close_of(*reason)),
            Self::Gone(_) => Bytes::new(),
        }
    }
}

/// What a session that is told to end is closed with.
pub(super) fn close_of(reason: EndReason) -> Close {
    match reason {
        EndReason::Slow => Close::TooSlow,
        EndReason::Kicked | EndReason::Denied | EndReason::Expired => Close::Unauthorized,
        EndReason::Limit => Close::OverCapacity,
        _ => Close::Restart,
    }
}

/// The `pusher:error` and the close after it.
fn farewell(close: Close) -> Bytes {
    let (error, _) = packet::text_frame(&frame::closing(close));
    [error, packet::close(Some(close.code()), &close.to_string())].concat().into()
}

/// A connection at work. Boxed: a future that is moved about would hold it several times.
struct Live {
    driver: Driver,
    peer: Arc<StreamPeer>,
    reader: Reader,
}

/// Serves an accepted connection from its first byte to its last. `head` is the answer to the upgrade.
/// `gateway` is the id of the gateway that the client is.
pub(super) fn run(
    server: &Server,
    app: Arc<App>,
    (visit, gateway): (Visit, Option<Arc<str>>),
    taken: Taken,
    head: Bytes,
) -> impl Future<Output = ()> + use<> {
    let permit = taken.permit();
    let mut live = Box::new(begin(server, app, (visit, gateway), taken, head));
    async move {
        let end = serve(&mut live).await;
        Box::pin(finish(*live, end)).await;
        drop(permit);
    }
}

fn begin(
    server: &Server,
    app: Arc<App>,
    (visit, gateway): (Visit, Option<Arc<str>>),
    taken: Taken,
    head: Bytes,
) -> Live {
    let config = StreamConfig {
        socket: taken.socket,
        frame: app.frame_for(gateway.is_some()),
        outbox: OutboxLimits::default(),
        connector: app.connector,
    };
    let peer = StreamPeer::new(config, &app.bus);
    let socket_id = app.new_socket_id();
    tracing::trace!(remote = %taken.remote, %socket_id, app = app.policy.id, "connection");
    let mut driver = Driver::open(app, socket_id, Link::Socket(peer.clone()), visit);
    driver.gateway = gateway;
    peer.send(head);
    driver.greet();
    if server.is_closing() {
        peer.end(EndReason::Drain);
    }
    Live { driver, peer, reader: Reader { messages: Messages::new(MAX_MESSAGE), buffer: taken.read.into() } }
}

async fn finish(live: Live, end: End) {
    let Live { driver, peer, .. } = live;
    let reason = end.reason();
    driver.close(reason);
    peer.end(reason);
    peer.finish(&end.last_words());
    if !matches!(end, End::Gone(_)) {
        linger(peer.socket()).await;
    }
}

/// Tells a client that asked for what there is not, in the way it can read: after the upgrade.
pub(super) async fn turn_away(taken: Taken, mut head: BytesMut, close: Close) {
    head.extend_from_slice(&farewell(close));
    if taken.socket.write_all(&head).await.is_ok() {
        taken.socket.finish();
        linger(&taken.socket).await;
    }
}

/// Reads on until the client has read the last words: closing on unread bytes would make them vanish on its side.
async fn linger(socket: &Socket) {
    let rest = async {
        loop {
            match read(socket, |_| ()) {
                Ok(0) | Err(Gone) => return,
                Ok(_) => {}
            }
            if socket.readable().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

struct Gone;

/// Reads what is there: zero bytes only if it is the end.
fn read(socket: &Socket, take: impl FnOnce(&[u8])) -> Result<usize, Gone> {
    SCRATCH.with_borrow_mut(|scratch| match socket.try_read(scratch) {
        Ok(count) => {
            take(scratch.get(..count).unwrap_or_default());
            Ok(count)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(usize::MAX),
        Err(_) => Err(Gone),
    })
}

/// The messages of a connection: bytes are held only while a message is incomplete.
struct Reader {
    messages: Messages,
    buffer: BytesMut,
}

impl Reader {
    /// Everything that is complete now, and what broke after it.
    fn take(&mut self) -> (Vec<Incoming>, Option<WebSocketFault>) {
        let mut taken = Vec::new();
        let fault = loop {
            match self.messages.next(&mut self.buffer) {
                Ok(Some(message)) => taken.push(message),
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        (taken, fault)
    }
}

/// What waits for long is small, and what is large is boxed: thousands of idle connections sit in here.
async fn serve(live: &mut Live) -> End {
    let Live { driver, peer, reader } = live;
    if let Some(end) = handle(driver, peer, reader).await {
        return end;
    }
    let mut backlog = pin!(peer.serve());
    let mut timer = pin!(tokio::time::sleep_until(driver.deadline()));
    loop {
        let readable = tokio::select! {
            biased;
            reason = &mut backlog => return if reason == EndReason::Io { End::Gone(reason) } else { End::Told(reason) },
            readable = peer.socket().readable() => readable.is_ok(),
            () = &mut timer => {
                if let Some(close) = Box::pin(driver.tick()).await {
                    return End::Pusher(close);
                }
                timer.as_mut().reset(driver.deadline());
                continue;
            }
        };
        if !readable {
            return End::Gone(EndReason::Io);
        }
        match read(peer.socket(), |bytes| reader.buffer.extend_from_slice(bytes)) {
            Ok(0) => return End::Gone(EndReason::Closed),
            Ok(_) => {}
            Err(Gone) => return End::Gone(EndReason::Io),
        }
        if let Some(end) = handle(driver, peer, reader).await {
            return end;
        }
    }
}

async fn handle(driver: &mut Driver, peer: &StreamPeer, reader: &mut Reader) -> Option<End> {
    if reader.buffer.is_empty() {
        return None;
    }
    Box::pin(async {
        let (taken, fault) = reader.take();
        carry_out(driver, peer, taken).await.or(fault.map(End::WebSocket))
    })
    .await
}

async fn carry_out(driver: &mut Driver, peer: &StreamPeer, taken: Vec<Incoming>) -> Option<End> {
    for message in taken {
        let close = match message {
            Incoming::Text(text) => driver.text(std::str::from_utf8(&text).unwrap_or_default()).await,
            Incoming::Binary(_) => driver.binary().await,
            Incoming::Ping(payload) => {
                driver.heard();
                peer.send(packet::pong(&payload));
                None
            }
            Incoming::Pong(_) => {
                driver.heard();
                None
            }
            Incoming::Close { code } => return Some(End::Client(code)),
        };
        if let Some(close) = close {
            return Some(End::Pusher(close));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// The bench holds the whole to its bar; this says early when a future has grown.
    #[test]
    fn an_idle_connection_waits_in_little_room() {
        let idle = size(|mut live: Box<Live>| async move { serve(&mut live).await });
        assert!(idle <= 768, "the future has {idle} bytes");
        assert!(size_of::<Live>() <= 320, "the state has {} bytes", size_of::<Live>());
    }
}
