//! The `[limits]` section, resolved.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use crate::access::Cidr;

/// What is limited; `None` is not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LimitsConfig {
    /// Connections over all listeners but the operators'.
    pub connections: Option<usize>,
    /// Connections from one address; from one /64 network of IPv6.
    pub connections_per_address: Option<usize>,
    /// New connections per second from one address.
    pub connection_rate_per_address: Option<NonZeroU32>,
    /// Connections, or sessions without one, of one user.
    pub connections_per_user: Option<usize>,
    /// Publications per second of one session.
    pub publish_rate: Option<NonZeroU32>,
    /// Publications per second of one user, over all sessions.
    pub publish_rate_per_user: Option<NonZeroU32>,
    /// Bytes that wait for all slow subscribers together.
    pub queue_bytes: Option<usize>,
    /// Bytes of memory that the process may take.
    pub memory: Option<usize>,
    /// Addresses that speak for many: what holds per address does not hold for them.
    pub exempt: Vec<Cidr>,
}

impl LimitsConfig {
    pub(super) fn counts_addresses(&self) -> bool {
        self.connections_per_address.is_some() || self.connection_rate_per_address.is_some()
    }

    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|block| block.contains(address))
    }

    pub(super) fn has_rates(&self) -> bool {
        self.publish_rate.is_some() || self.publish_rate_per_user.is_some()
    }

    pub(super) fn counts_users(&self) -> bool {
        self.connections_per_user.is_some() || self.publish_rate_per_user.is_some()
    }
}

/// What counts as one address: one of IPv6 costs its owner nothing, a network of them does.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}
