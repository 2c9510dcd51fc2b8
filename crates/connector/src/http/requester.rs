//! Who makes a request.

use std::net::SocketAddr;

use http::Extensions;

use super::takeover::{Claims, Takeover};
use crate::listener::Permit;

/// Where a request comes from, and what it is counted by.
#[derive(Debug, Clone)]
pub struct Requester {
    pub(super) address: SocketAddr,
    pub(super) permit: Permit,
    pub(super) by_proxy: bool,
    /// Of the connection, if it may be taken over.
    pub(super) claims: Option<Claims>,
}

impl Requester {
    /// That of the request with these extensions; none where no [`HttpListener`](super::HttpListener) brought it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The client's address, by the word of a trusted proxy if it came through one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the request is counted by.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The right to take the connection over; none over HTTP/2, where a handler answers with a body instead.
    #[must_use]
    pub fn takeover(&self) -> Option<Takeover> {
        self.claims.clone().map(|claims| Takeover::new(claims, self.address, self.permit.clone()))
    }

    /// Whether a proxy brings requests of many clients by this connection: then the next request is not this one's client's.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        self.by_proxy
    }
}
