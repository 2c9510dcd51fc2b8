//! Upstreams: far servers that the gateway joins as a client.
//!
//! ```text
//! far server <──> ClientSide (one attempt) <──Port──> bridge <──> Bus
//!                          ▲
//!                          └── supervisor: backoff, status, pause and resume
//! ```
//!
//! A protocol implements [`ClientSide`]; [`Bridge::spawn`] gives it rules, a bounded outbound queue and a
//! supervisor that owns reconnection. Everything that all upstreams share happens here once: names are
//! rewritten by rules, origins marked, loops cut, subscriptions kept (always or on demand), and monitor
//! events raised on real changes.

mod bridge;
mod contract;
mod demand;
mod fingerprint;
pub mod hops;
mod inbound;
mod letters;
mod outbound;
mod poison;
mod port;
mod queue;
mod status;
mod succession;
mod supervisor;
pub mod tls;
mod workshop;

pub use bridge::{Bridge, BridgeHandle, BridgeSpec, Mode};
pub use contract::{ClientSide, EndKind, Ended};
pub use inbound::{Inbound, Taken};
pub use letters::{Lost, is_letter, letter};
pub use poison::PoisonWatch;
pub use port::{Port, WantedFilters};
pub use queue::{Outbound, QueueDepth, QueueLimits, Token, WhenFull};
pub use status::{State, Status};

#[cfg(test)]
mod tests;
