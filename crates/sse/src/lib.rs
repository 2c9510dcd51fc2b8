//! The server-sent events connector of the Ratatosk gateway.

pub mod config;
pub mod proto;
