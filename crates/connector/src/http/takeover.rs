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

/// The right to take a connection over, found in a request's extensions. HTTP/2 streams have none: a handler
/// that finds none answers with a body instead.
#[derive(Clone, Default)]
pub struct Takeover {
    claim: Arc<Mutex<Option<Claim>>>,
    request: Option<Requested>,
}

/// The request that brings the right.
#[derive(Clone)]
struct Requested {
    source: SocketAddr,
    permit: Permit,
    by_proxy: bool,
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

impl Takeover {
    /// The right of one request.
    pub(super) fn of(&self, source: SocketAddr, permit: Permit, by_proxy: bool) -> Self {
        Self { claim: self.claim.clone(), request: Some(Requested { source, permit, by_proxy }) }
    }

    /// Whether a proxy brings requests of many clients by this connection: then the next request is not this one's client's.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.by_proxy)
    }

    /// Takes the connection. The handler returns what this returns, which never completes: the answer is
    /// written by `then`, on the bare socket.
    pub async fn take<F>(self, then: impl FnOnce(Taken) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(Requested { source, permit, .. }) = self.request {
            let then: Then = Box::new(|taken| Box::pin(then(taken)));
            *self.claim.lock() = Some((then, source, permit));
        }
        std::future::pending().await
    }

    pub(super) fn claimed(&self) -> Option<Claim> {
        self.claim.lock().take()
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.claim.lock().is_some()
    }
}
