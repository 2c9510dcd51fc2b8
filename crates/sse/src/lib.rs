//! The server-sent events connector of the Ratatosk gateway.

pub mod proto;
