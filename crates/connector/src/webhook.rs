//! Webhooks: events posted to somebody's HTTP server, in order, again until they are taken.
//!
//! What an event is and how a request says it is the caller's business; here are the bounded queue and the delivery, which
//! are the same for all.

mod delivery;
mod queue;
mod signature;

pub use delivery::{Courier, CourierConfig, Request};
pub use queue::{Queue, QueueBounds, Tally};
pub use signature::{SIGNATURE, sign};

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
