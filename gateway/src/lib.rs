//! Ratatosk as a library: the configuration, and the gateway that it describes.

pub mod config;
pub mod demo;
pub mod logging;
mod run;

pub use ratatosk_connector as connector;
pub use ratatosk_core as core;
pub use run::{Addresses, Builder, Extras, Gateway, Subscription, join, run};

/// The reference of all metrics, in Markdown.
#[must_use]
pub fn metrics_reference() -> String {
    ratatosk_metrics::reference()
}
