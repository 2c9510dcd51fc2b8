//! The MQTT connector of the Ratatosk gateway.
//!
//! [`proto`] is the protocol without input or output; it serves both sides.

#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "runtime")]
pub mod config;
pub mod proto;
