//! The server side and the hub on real listeners, and both sides of the connector joined.

mod bridge;
mod harness;
mod mercure;
mod streams;
