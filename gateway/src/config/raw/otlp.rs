//! The `[otlp]` section: pushing to an OpenTelemetry collector.

use std::collections::BTreeMap;

use ratatosk_connector::config_types::{Duration, Secret, UrlValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics and traces, pushed to an OpenTelemetry collector by OTLP over HTTP (protobuf).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpSection {
    /// Where the collector is; `/v1/metrics` and `/v1/traces` are appended.
    #[schemars(example = &"http://127.0.0.1:4318")]
    pub endpoint: UrlValue,
    /// Headers of every request, for a collector that wants credentials.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How often all metrics are pushed; `"0s"` is never.
    #[serde(default = "default_interval")]
    pub metrics_interval: Duration,
    /// The share of messages that are traced, from 0 to 1. A message that comes with a trace context (`traceparent`, as an
    /// HTTP header or an MQTT 5 user property) follows its sender's decision instead. With 0 nothing is traced.
    #[serde(default = "default_sample")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub traces_sample: f64,
    /// What is said of this gateway besides `service.name`, `service.version` and `service.instance.id`.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

fn default_interval() -> Duration {
    Duration::from_secs(60)
}

fn default_sample() -> f64 {
    0.01
}
