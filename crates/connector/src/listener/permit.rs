//! A connection's standing with its listener.

use std::{net::IpAddr, sync::Arc};

use ratatosk_core::Connector;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    access::Subject,
    limits::{Limit, Seat},
};

/// One of the connections that a listener allows, counted until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Permit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seat: Option<Seat>,
    /// Its place at the listener, or the connection of a proxy that it came by.
    _holds: Holds,
    certificate: Option<Arc<Subject>>,
    refused: Option<Limit>,
}

#[derive(Debug)]
enum Holds {
    Room(#[expect(dead_code, reason = "it counts until it is dropped")] OwnedSemaphorePermit),
    Both(
        #[expect(dead_code, reason = "it counts until it is dropped")] Permit,
        #[expect(dead_code, reason = "it counts until it is dropped")] Permit,
    ),
    Nothing,
}

impl Permit {
    pub(super) fn new(
        seat: Seat,
        room: OwnedSemaphorePermit,
        certificate: Option<Arc<Subject>>,
        refused: Option<Limit>,
    ) -> Self {
        Self(Arc::new(Inner { seat: Some(seat), _holds: Holds::Room(room), certificate, refused }))
    }

    /// Who the certificate says the client is, where TLS has verified one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Subject>> {
        self.0.certificate.as_ref()
    }

    /// The limit that the connection is over: its client is to be told, and let go.
    #[must_use]
    pub fn refused(&self) -> Option<Limit> {
        self.0.refused
    }

    /// The permit of one of the clients that a proxy brings over its own connections: it is counted for the client's address,
    /// and is not who the proxy is.
    #[must_use]
    pub fn behind_proxy(&self, address: IpAddr) -> Self {
        let counted = |seat: &Seat| {
            let limits = seat.limits();
            limits.behind_proxy(address).inspect_err(|limit| limits.refused(Connector::register("http"), *limit))
        };
        let seat = self.0.seat.as_ref().map(counted);
        let (seat, refused) = match seat {
            None => (None, None),
            Some(Ok(seat)) => (seat, None),
            Some(Err(limit)) => (None, Some(limit)),
        };
        let refused = self.0.refused.or(refused);
        Self(Arc::new(Inner { seat, _holds: Holds::Nothing, certificate: None, refused }))
    }

    /// Both: what a request is counted by, and its connection.
    #[must_use]
    pub fn and(self, request: Self) -> Self {
        if Arc::ptr_eq(&self.0, &request.0) {
            return self;
        }
        let (certificate, refused) = (request.0.certificate.clone(), request.0.refused);
        Self(Arc::new(Inner { seat: None, _holds: Holds::Both(self, request), certificate, refused }))
    }
}
