//! The server's side of an MQTT session as a state machine: packets in, packets and events out.
//!
//! [`Opening`] judges a CONNECT. [`Machine`] is the session itself, which outlives its connections: it
//! holds what is in flight and what waits, and while a connection is there also a [`Link`], which knows
//! what that connection may be sent. Time comes in as values; bytes go out to a [`Sink`](super::codec::Sink).

mod alias;
mod auth;
mod fault;
mod flight;
mod link;
mod machine;
mod opening;
mod outgoing;
mod queue;
mod traffic;

#[cfg(test)]
mod tests;

pub use auth::{Exchange, Methods, Step};
pub use fault::Fault;
pub use link::Link;
pub use machine::{Event, Machine};
pub use opening::{Offer, Opening, Refusal};
pub use outgoing::{Item, Outgoing, Past, Tally};
pub use queue::{Bounds, WhenFull};
