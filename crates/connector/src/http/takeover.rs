//! Taking an HTTP/1.1 connection over from hyper.

use std::{fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::socket::Socket;

/// A connection that hyper let go of.
#[derive(Debug)]
pub struct Taken {
    /// The socket; nothing of an answer has been written.
    pub socket: Socket,
    /// What was read after the request: the first WebSocket frames of an eager client.
    pub read: Bytes,
    /// The far address.
    pub remote: SocketAddr,
    /// Keeps the connection counted until it is dropped.
    pub(super) permit: Permit,
    pub(super) resume: Resume,
}

impl Taken {
    /// Keeps the connection counted while it is held, for a connection that gives its socket away.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.permit.clone()
    }

    /// The way back, for a connection that serves some requests itself and leaves the others to the router.
    #[must_use]
    pub fn resume(&self) -> Resume {
        self.resume.clone()
    }
}

/// Gives a connection back to the listener.
#[derive(Clone)]
pub struct Resume(pub(super) Arc<dyn Fn(Socket, Bytes) + Send + Sync>);

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resume")
    }
}

impl Resume {
    /// The listener serves the connection on, beginning with what was read of it and not used. All answers to
    /// earlier requests must have been written.
    pub fn give_back(&self, socket: Socket, read: Bytes) {
        (self.0)(socket, read);
    }
}

/// One of the connections that the listener allows.
pub type Permit = Arc<OwnedSemaphorePermit>;

type Then = Box<dyn FnOnce(Taken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The right to take a connection over, found in a request's extensions. HTTP/2 streams have none: a handler
/// that finds none answers with a body instead.
#[derive(Clone, Default)]
pub struct Takeover(Arc<Mutex<Option<Then>>>);

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

impl Takeover {
    /// Takes the connection. The handler returns what this returns, which never completes: the answer is
    /// written by `then`, on the bare socket.
    pub async fn take<F>(self, then: impl FnOnce(Taken) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.0.lock() = Some(Box::new(|taken| Box::pin(then(taken))));
        std::future::pending().await
    }

    pub(super) fn claimed(&self) -> Option<Then> {
        self.0.lock().take()
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.0.lock().is_some()
    }
}
