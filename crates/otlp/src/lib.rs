//! Metrics and traces, pushed to an OpenTelemetry collector: OTLP over HTTP in protobuf
//! (<https://opentelemetry.io/docs/specs/otlp/>, OTLP 1.x).
//!
//! Metrics are the catalogue as `/metrics` shows it, at an interval. Traces are of the messages that the sampler picks:
//! a span from a message's arrival until it is placed, and below it one for each kind of subscriber it was written to.
//! Whoever is not picked costs one look at a random number; without `[otlp]` nothing here runs.
//!
//! The messages are written down by hand: the SDK aggregates by itself, and could not export what the exporter
//! has aggregated already.

mod collector;
mod metrics;
mod sampler;
mod spans;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderName;
use ratatosk_connector::{config_types::Secret, lifecycle::Lifecycle};
use ratatosk_core::Bus;
use ratatosk_metrics::Exporter;
use url::Url;

pub use self::collector::CollectorError;
use self::{collector::Collector, sampler::Sampler, spans::Spans};

/// Where to push, and how much.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// The collector; `/v1/metrics` and `/v1/traces` are appended.
    pub endpoint: Url,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How often metrics are pushed; zero is never.
    pub metrics_interval: Duration,
    /// The share of messages to trace that come without a context, from 0 to 1; with 0 nothing is traced.
    pub traces_sample: f64,
    /// Attributes of the gateway, besides `service.name`, `service.version` and `service.instance.id`.
    pub attributes: BTreeMap<String, String>,
}

/// Starts pushing; it ends with the life, after a last push.
///
/// # Errors
/// The HTTP client cannot be made.
pub fn start(
    config: &OtlpConfig,
    version: &str,
    bus: &Bus,
    exporter: &Arc<Exporter>,
    life: &Lifecycle,
) -> Result<(), CollectorError> {
    let collector = Collector::new(config, bus.monitor().clone())?;
    let source = wire::Source::new(bus.gateway_id(), version, &config.attributes);
    if !config.metrics_interval.is_zero() {
        let pushing =
            metrics::push(collector.clone(), source.clone(), exporter.clone(), config.metrics_interval, life.closing());
        life.spawn("OTLP metrics", pushing);
    }
    if config.traces_sample > 0.0 {
        let (spans, waiting) = Spans::new(bus.monitor().clone());
        bus.monitor().add(Arc::new(spans));
        bus.trace_with(Arc::new(Sampler::new(config.traces_sample)));
        life.spawn("OTLP traces", spans::push(collector, source, waiting, life.closing()));
    }
    Ok(())
}
