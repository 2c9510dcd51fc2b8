//! The `[pusher]` section, and the keys of an upstream of kind `pusher`.

use ratatosk_connector::config_types::{ClientTlsConfig, FilterValue, Secret, UrlValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The secret of the application that exists when none is configured. It is public: anyone may know it.
pub const DEMO_SECRET: &str = "demo-secret";

/// The Pusher server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PusherConfig {
    /// The applications that clients and publishers may name.
    pub apps: Vec<PusherAppConfig>,
    /// Shared channels that appear under a Pusher name of their own.
    pub mounts: Vec<PusherMountConfig>,
}

impl Default for PusherConfig {
    fn default() -> Self {
        let demo = PusherAppConfig {
            id: "demo".to_owned(),
            key: "demo-key".to_owned(),
            secret: Secret::new(DEMO_SECRET),
            client_events: true,
            subscription_count: false,
            webhooks: Vec::new(),
        };
        Self { apps: vec![demo], mounts: Vec::new() }
    }
}

/// A Pusher application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PusherAppConfig {
    /// The id, in the paths of the HTTP API.
    pub id: String,
    /// The key that clients connect with; not a secret.
    pub key: String,
    /// What signatures are made with.
    pub secret: Secret,
    /// Whether clients may trigger `client-` events.
    #[serde(default)]
    pub client_events: bool,
    /// Whether `pusher_internal:subscription_count` and its webhook are sent.
    #[serde(default)]
    pub subscription_count: bool,
    /// Who is told what happens.
    #[serde(default)]
    pub webhooks: Vec<PusherWebhookConfig>,
}

/// A receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PusherWebhookConfig {
    /// Where the events are posted.
    pub url: UrlValue,
    /// Which events, for example `channel_occupied`.
    pub events: Vec<String>,
}

/// A shared channel under a Pusher name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PusherMountConfig {
    /// The shared channels.
    pub channel: FilterValue,
    /// The Pusher name; a final `*` stands for what `#` or a final `+` stood for.
    #[serde(rename = "as")]
    pub mounted_as: String,
}

/// A Pusher server that we join as a client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PusherUpstreamConfig {
    /// The application's id, for the HTTP API.
    pub app_id: Option<String>,
    /// The application's key; without it, the last segment of the URL's path.
    pub key: Option<String>,
    /// The application's secret: signs private and presence subscriptions and HTTP API calls.
    pub secret: Option<Secret>,
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
}
