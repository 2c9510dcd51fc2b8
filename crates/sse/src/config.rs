//! The `[sse]` section, and the keys of an upstream of kind `sse`.

use std::collections::BTreeMap;

use ratatosk_connector::config_types::{ClientTlsConfig, Duration, Secret, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The server-sent events server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SseConfig {
    /// The path of the event streams.
    pub path: String,
    /// A stream that has been silent for this long gets a comment, so that proxies keep it and dead peers show.
    pub heartbeat: Duration,
    /// How long a client waits before it connects again (`retry:`).
    pub retry: Duration,
    /// A stream ends after this long and its client resumes on a new one; without it, streams never end.
    pub max_lifetime: Option<Duration>,
    /// What waits for a stream whose client is slow.
    pub outbox: SseOutboxConfig,
    /// The Mercure hub; off unless this table exists.
    pub mercure: Option<MercureConfig>,
}

impl Default for SseConfig {
    fn default() -> Self {
        Self {
            path: "/sse".to_owned(),
            heartbeat: Duration::from_secs(15),
            retry: Duration::from_secs(2),
            max_lifetime: None,
            outbox: SseOutboxConfig::default(),
            mercure: None,
        }
    }
}

/// Bounds of a stream's outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SseOutboxConfig {
    /// At most this many messages wait.
    #[schemars(range(min = 1))]
    pub messages: usize,
    /// At most this many bytes wait.
    pub bytes: Size,
}

impl Default for SseOutboxConfig {
    fn default() -> Self {
        Self { messages: 4096, bytes: Size::from_mib(4) }
    }
}

/// The Mercure hub at `/.well-known/mercure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MercureConfig {
    /// The HMAC key of publishers' tokens.
    pub publisher_jwt_key: Secret,
    /// The HMAC key of subscribers' tokens.
    pub subscriber_jwt_key: Secret,
    /// Whether a subscriber may come without a token (and sees public updates only).
    #[serde(default)]
    pub anonymous: bool,
}

/// An event stream of another server that we read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SseUpstreamConfig {
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// More request headers.
    pub headers: BTreeMap<String, Secret>,
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
}
