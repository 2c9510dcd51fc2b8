//! The task of one WebSocket connection: it reads, and writes only what the socket did not take at once.

use std::{cell::RefCell, io, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ratatosk_connector::{
    http::Taken,
    socket::Socket,
    stream::{StreamConfig, StreamPeer},
};
use ratatosk_core::{EndReason, OutboxLimits, Peer};

use super::{
    Server,
    app::App,
    client::Link,
    driver::Driver,
    packet,
    websocket::{Broken, Decoder, Incoming},
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
    WebSocket(Broken),
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
            Self::WebSocket(broken) => packet::close(Some(broken.code()), ""),
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

/// Serves an accepted connection from its first byte to its last. `head` is the answer to the upgrade.
pub(super) async fn run(server: Server, app: Arc<App>, taken: Taken, head: Bytes) {
    let (permit, early, remote) = (taken.permit(), taken.read.clone(), taken.remote);
    let config = StreamConfig {
        socket: taken.socket,
        frame: app.frame.clone(),
        outbox: OutboxLimits::default(),
        connector: app.connector,
    };
    let peer = StreamPeer::new(config, &app.bus);
    let socket_id = app.new_socket_id();
    tracing::trace!(%remote, %socket_id, app = app.policy.id, "connection");
    let mut driver = Driver::open(app, socket_id, Link::Socket(peer.clone()));
    peer.send(head);
    driver.greet();
    if server.is_closing() {
        peer.end(EndReason::Drain);
    }
    let end = live(&mut driver, &peer, early).await;
    let reason = end.reason();
    driver.close(reason);
    peer.end(reason);
    peer.finish(&end.last_words());
    if !matches!(end, End::Gone(_)) {
        linger(peer.socket()).await;
    }
    drop(permit);
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

async fn live(driver: &mut Driver, peer: &StreamPeer, early: Bytes) -> End {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    let mut incoming = Vec::new();
    if let Err(broken) = decoder.feed(&early, &mut incoming) {
        return End::WebSocket(broken);
    }
    drop(early);
    if let Some(end) = handle(driver, peer, &mut incoming).await {
        return end;
    }
    let mut serve = pin!(peer.serve());
    let mut timer = pin!(tokio::time::sleep_until(driver.deadline()));
    loop {
        let readable = tokio::select! {
            biased;
            reason = &mut serve => return if reason == EndReason::Io { End::Gone(reason) } else { End::Told(reason) },
            readable = peer.socket().readable() => readable.is_ok(),
            () = &mut timer => {
                if let Some(close) = driver.tick().await {
                    return End::Pusher(close);
                }
                timer.as_mut().reset(driver.deadline());
                continue;
            }
        };
        if !readable {
            return End::Gone(EndReason::Io);
        }
        let mut broken = Ok(());
        match read(peer.socket(), |bytes| broken = decoder.feed(bytes, &mut incoming)) {
            Ok(0) => return End::Gone(EndReason::Closed),
            Ok(_) => {}
            Err(Gone) => return End::Gone(EndReason::Io),
        }
        if let Some(end) = handle(driver, peer, &mut incoming).await {
            return end;
        }
        if let Err(broken) = broken {
            return End::WebSocket(broken);
        }
    }
}

/// Boxed where it awaits, so that an idle connection does not hold the room it takes.
async fn handle(driver: &mut Driver, peer: &StreamPeer, incoming: &mut Vec<Incoming>) -> Option<End> {
    if incoming.is_empty() {
        return None;
    }
    Box::pin(async {
        for message in std::mem::take(incoming) {
            let close = match message {
                Incoming::Text(text) => driver.text(&text).await,
                Incoming::Binary => driver.binary().await,
                Incoming::Ping(payload) => {
                    driver.heard();
                    peer.send(packet::pong(&payload));
                    None
                }
                Incoming::Pong => {
                    driver.heard();
                    None
                }
                Incoming::Close(code) => return Some(End::Client(code)),
            };
            if let Some(close) = close {
                return Some(End::Pusher(close));
            }
        }
        None
    })
    .await
}
