//! The server-sent events connector of the Ratatosk gateway.

pub mod client;
pub mod config;
pub mod mapping;
pub mod proto;
pub mod server;
