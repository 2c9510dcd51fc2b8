//! The Bayeux connector: CometD's and Faye's clients on the gateway's bus, and the gateway as their client.

pub mod client;
pub mod config;
pub mod mapping;
pub mod proto;
pub mod server;

/// The name of this connector in configuration, metrics and origins.
pub const NAME: &str = "bayeux";

/// This connector's identity on the bus.
#[must_use]
pub fn connector() -> ratatosk_core::Connector {
    ratatosk_core::Connector::register(NAME)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
