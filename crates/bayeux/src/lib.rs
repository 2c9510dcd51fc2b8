//! The Bayeux connector: CometD's and Faye's clients on the gateway's bus, and the gateway as their client.

pub mod mapping;
pub mod proto;
