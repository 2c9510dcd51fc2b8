//! Limits: how much of the gateway one address, one user, one session and all clients together may take.
//!
//! A listener asks [`Limits::open`] for each connection, a protocol [`Limits::enter`] for each session and
//! [`Guest::publish`] for each publication. What is refused is counted here and told by the protocol in its own words.
//! Limits that are not set cost nothing: no lock, no clock, no memory.

mod book;
mod config;
mod connection;
mod guest;
mod limit;
mod memory;
mod rate;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use ratatosk_core::{Connector, Monitor, MonitorEvent};

use self::{
    book::{Book, Standing},
    memory::Memory,
};

pub use self::{
    config::LimitsConfig,
    connection::Seat,
    guest::Guest,
    limit::{Limit, TooFast},
    memory::{MemoryReading, Pressure},
};

/// What holds for all clients. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    config: ArcSwap<LimitsConfig>,
    monitor: Monitor,
    /// Connections of all listeners.
    open: AtomicUsize,
    addresses: Book<IpAddr>,
    users: Book<Arc<str>>,
    memory: Memory,
}

impl Limits {
    /// Limits as configured; the monitor is told of what they refuse.
    #[must_use]
    pub fn new(config: LimitsConfig, monitor: Monitor) -> Self {
        Self(Arc::new(Inner { config: ArcSwap::from_pointee(config), monitor, ..Inner::default() }))
    }

    /// Puts others in force for whoever comes from now on.
    pub fn replace(&self, config: LimitsConfig) {
        self.0.config.store(Arc::new(config));
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Whether a new session may begin as far as memory is concerned.
    ///
    /// # Errors
    /// [`Limit::Memory`], near the ceiling. It is not counted here.
    pub fn room(&self) -> Result<(), Limit> {
        if self.0.memory.pressure() == Pressure::None { Ok(()) } else { Err(Limit::Memory) }
    }

    /// How near memory is to its ceiling.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        self.0.memory.pressure()
    }

    /// A session begins.
    ///
    /// # Errors
    /// Memory is short, or the user has as many connections as one may have. It is counted.
    pub fn enter(&self, connector: Connector, user: Option<&Arc<str>>) -> Result<Guest, Limit> {
        let config = self.0.config.load();
        let guest = self.room().and_then(|()| Guest::enter(self, &config, connector, user));
        guest.inspect_err(|limit| self.refused(connector, *limit))
    }

    /// A publication by a request that belongs to no session: its user, or else its address, has the rate of one.
    ///
    /// # Errors
    /// It comes too soon.
    pub fn publish(&self, user: Option<&Arc<str>>, address: Option<IpAddr>) -> Result<(), TooFast> {
        let config = self.0.config.load();
        match (user, address) {
            (Some(user), _) => {
                let rate = config.publish_rate_per_user.or(config.publish_rate);
                rate.map_or(Ok(()), |rate| self.standing_of(user).map_or(Ok(()), |it| it.publishes.take(rate)))
            }
            (None, Some(address)) => {
                let standing = |rate| Some((rate, self.0.addresses.get(&config::network(address))?));
                let known = config.publish_rate.and_then(standing);
                known.map_or(Ok(()), |(rate, standing)| standing.publishes.take(rate))
            }
            (None, None) => Ok(()),
        }
    }

    /// Counts what a limit turned away.
    pub fn refused(&self, connector: Connector, limit: Limit) {
        self.0.monitor.emit(MonitorEvent::Limited { connector, limit: limit.label() });
    }

    /// Tells the monitor of something else about a connection that no protocol has seen yet.
    pub fn tell(&self, event: MonitorEvent) {
        self.0.monitor.emit(event);
    }

    fn standing_of(&self, user: &Arc<str>) -> Option<Arc<Standing>> {
        self.0.users.get(user)
    }
}

#[cfg(test)]
mod tests;
