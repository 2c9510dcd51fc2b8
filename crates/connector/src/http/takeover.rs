//! Taking an HTTP/1.1 connection over from hyper.

use std::{fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use crate::{listener::Permit, socket::Socket};
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;

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

/// What is done with a connection, where the request that it was taken with comes from, and what that is counted by.
type Claim = (Then, SocketAddr, Permit);

type Then = Box<dyn FnOnce(Taken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A connection's claim, once a request has taken it over.
#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Mutex<Option<Claim>>>);

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}

impl Claims {
    pub(super) fn take(&self) -> Option<Claim> {
        self.0.lock().take()
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.0.lock().is_some()
    }
}

/// The right to take a connection over, see [`Requester::takeover`](super::Requester::takeover).
#[derive(Debug)]
pub struct Takeover {
    claims: Claims,
    source: SocketAddr,
    permit: Permit,
}

impl Takeover {
    pub(super) fn new(claims: Claims, source: SocketAddr, permit: Permit) -> Self {
        Self { claims, source, permit }
    }

    /// Takes the connection. The handler returns what this returns, which never completes: the answer is
    /// written by `then`, on the bare socket.
    pub async fn take<F>(self, then: impl FnOnce(Taken) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let then: Then = Box::new(|taken| Box::pin(then(taken)));
        *self.claims.0.lock() = Some((then, self.source, self.permit));
        std::future::pending().await
    }
}
