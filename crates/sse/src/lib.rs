//! The server-sent events connector of the Ratatosk gateway.

pub mod mapping;
pub mod proto;
