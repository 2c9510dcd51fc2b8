//! Connections, all of them and by address.

use std::{net::IpAddr, sync::atomic::Ordering};

use ratatosk_core::Connector;

use super::{Limit, Limits, book::Counted, config::network};

/// One of the connections that there may be, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    limits: Limits,
    address: Option<Counted>,
    /// Whether it is one of those that there may be: neither a client of a proxy's connection nor one too many.
    counts: bool,
}

impl Seat {
    /// The address that the connection comes from is known.
    ///
    /// # Errors
    /// That address has as many connections as it may have, or opens them too fast.
    pub fn place(&mut self, address: IpAddr) -> Result<(), Limit> {
        self.address = self.limits.count_address(address)?;
        Ok(())
    }

    /// It is one too many, and takes no place of another while it is told so.
    pub fn give_up(&mut self) {
        if std::mem::take(&mut self.counts) {
            self.limits.0.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The limits that it is counted by.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Limits {
    /// A connection is accepted. It is counted if it may be there; whoever is over the limit is to be told and let go.
    pub fn open(&self) -> (Seat, Result<(), Limit>) {
        let most = self.0.config.load().connections.unwrap_or(usize::MAX);
        let room = |open| (open < most).then(|| open + 1);
        let counts = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        let seat = Seat { limits: self.clone(), address: None, counts };
        (seat, if counts { Ok(()) } else { Err(Limit::Connections) })
    }

    /// A client comes over a proxy's connection. None where addresses are not counted.
    pub(crate) fn behind_proxy(&self, address: IpAddr) -> Result<Option<Seat>, Limit> {
        let counted = self.count_address(address)?;
        Ok(counted.map(|address| Seat { limits: self.clone(), address: Some(address), counts: false }))
    }

    /// A session begins that needs no connection of its own: an address begins them no faster than it may open connections.
    ///
    /// # Errors
    /// It does. It is counted.
    pub fn begin(&self, connector: Connector, address: Option<IpAddr>) -> Result<(), Limit> {
        let config = self.0.config.load();
        let Some(rate) = config.connection_rate_per_address else { return Ok(()) };
        let address = address.filter(|address| !config.is_exempt(*address));
        let standing = address.and_then(|address| self.0.addresses.get(&network(address)));
        let taken = standing.map_or(Ok(()), |standing| standing.sessions.take(rate));
        taken.map_err(|_| Limit::AddressRate).inspect_err(|limit| self.refused(connector, *limit))
    }

    fn count_address(&self, address: IpAddr) -> Result<Option<Counted>, Limit> {
        let config = self.0.config.load();
        if !config.counts_addresses() || config.is_exempt(address) {
            return Ok(None);
        }
        let Some(standing) = self.0.addresses.get(&network(address)) else { return Ok(None) };
        if let Some(rate) = config.connection_rate_per_address {
            standing.arrivals.take(rate).map_err(|_| Limit::AddressRate)?;
        }
        let counted = Counted::new(standing, config.connections_per_address).ok_or(Limit::AddressConnections)?;
        Ok(Some(counted))
    }
}
