//! Bayeux 1.0 without I/O: messages and times go in, replies and steps come out.
//!
//! Nothing here reads a clock, opens a socket, spawns a task or draws a random number. Times are [`Millis`]
//! on the caller's monotonic clock, client ids are made by the caller.

pub mod advice;
pub mod answer;
pub mod connect;
pub mod credentials;
pub mod deadlines;
pub mod details;
pub mod fault;
pub mod handshake;
pub mod inbound;
pub mod machine;
pub mod order;
pub mod payload;
pub mod queue;
pub mod replay;
pub mod reply;
pub mod session;
pub mod subscriptions;
pub mod timestamp;
pub mod timesync;
pub mod z85;

#[cfg(test)]
mod tests;

/// Milliseconds: a point on the caller's monotonic clock, or a span.
pub type Millis = u64;

/// The version of the protocol.
pub const VERSION: &str = "1.0";

/// How a request reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// An HTTP request that can be held and answered later.
    Poll,
    /// A WebSocket: replies and messages are pushed.
    Socket,
}
