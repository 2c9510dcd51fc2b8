//! The `[bayeux]` section, and the keys of an upstream of kind `bayeux`.

use ratatosk_connector::config_types::{ClientTlsConfig, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Bayeux server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BayeuxConfig {
    /// The path of the Bayeux endpoint.
    pub path: String,
    /// How long a `/meta/connect` is held when there is nothing to deliver.
    pub timeout: Duration,
    /// How long a client waits between two `/meta/connect`.
    pub interval: Duration,
    /// A session is gone when its next `/meta/connect` is later than `interval` plus this.
    pub max_interval: Duration,
}

impl Default for BayeuxConfig {
    fn default() -> Self {
        Self {
            path: "/bayeux".to_owned(),
            timeout: Duration::from_secs(30),
            interval: Duration::from_secs(0),
            max_interval: Duration::from_secs(10),
        }
    }
}

/// A Bayeux server that we join as a client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BayeuxUpstreamConfig {
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
}
