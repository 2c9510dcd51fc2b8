//! The metrics of Ratatosk: one catalogue, and the exporter that fills it from monitor events and the bus's counters.
//!
//! Code elsewhere raises monitor events; metric names live here alone.

pub mod catalogue;
mod exporter;
mod latency;
mod reading;
mod reference;

pub use exporter::{ExportError, Exporter};
pub use reading::{MemoryReading, RuleReading, Source, UpstreamReading, WebhookReading};
pub use reference::reference;
