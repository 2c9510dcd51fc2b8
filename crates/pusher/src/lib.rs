//! The Pusher connector of the Ratatosk gateway: Pusher Channels protocol 7, server and client side.
//!
//! - [`mapping`]: how channels are named here and on the bus;
//! - [`proto`]: the protocol without input or output;
//! - [`config`]: the `[pusher]` section;
//! - [`server`]: what stock clients and server SDKs connect to;
//! - [`client`]: the client side, for upstreams.

#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "runtime")]
pub mod config;
pub mod mapping;
#[cfg(feature = "runtime")]
mod payload;
pub mod proto;
#[cfg(feature = "runtime")]
pub mod server;
