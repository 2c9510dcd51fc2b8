//! Connections, all of them and by address.

use std::{net::IpAddr, sync::atomic::Ordering};

use super::{Limit, Limits, book::Counted, config::network};

/// One of the connections that there may be, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    limits: Limits,
    address: Option<Counted>,
    /// Whether it is a connection of its own, and not one of the clients of a proxy's.
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

    /// The limits that it is counted by.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.counts {
            self.limits.0.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Limits {
    /// A connection is accepted. It is counted in any case; whoever is over the limit is to be told and let go.
    pub fn open(&self) -> (Seat, Result<(), Limit>) {
        let most = self.0.config.load().connections.unwrap_or(usize::MAX);
        let before = self.0.open.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { limits: self.clone(), address: None, counts: true };
        (seat, if before < most { Ok(()) } else { Err(Limit::Connections) })
    }

    /// A client comes over a proxy's connection. None where addresses are not counted.
    pub(crate) fn behind_proxy(&self, address: IpAddr) -> Result<Option<Seat>, Limit> {
        let counted = self.count_address(address)?;
        Ok(counted.map(|address| Seat { limits: self.clone(), address: Some(address), counts: false }))
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
