//! The MQTT connector of the Ratatosk gateway.
//!
//! [`proto`] is the protocol without input or output; it serves both sides. [`server`] is what clients
//! connect to; [`client`] joins a broker as an upstream. [`mapping`] is the only place where MQTT's messages
//! and the gateway's meet.

#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod mapping;
pub mod proto;
#[cfg(feature = "runtime")]
pub mod server;
