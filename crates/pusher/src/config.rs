//! The `[pusher]` section, and the keys of an upstream of kind `pusher`.

use std::collections::BTreeMap;

use ratatosk_connector::config_types::{
    BufferConfig, ChannelValue, ClientTlsConfig, Duration, FilterValue, Secret, Size, UrlValue,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod resolve;

pub use resolve::{AppSettings, ConfigFault, WebhookSettings};

/// The secret of the application that exists when none is configured. It is public: anyone may know it.
pub const DEMO_SECRET: &str = "demo-secret";

/// The Pusher server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PusherConfig {
    /// What stands before `/app/{key}` and `/apps/{id}` in every path; empty for nothing.
    pub prefix: String,
    /// Silence after which the client, or else the server, sends a ping.
    pub activity_timeout: Duration,
    /// How long the answer to a ping may take.
    pub pong_timeout: Duration,
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
            enabled: true,
            client_events: true,
            subscription_count: false,
            authorized_connections: false,
            namespace: None,
            limits: PusherLimitsConfig::default(),
            webhooks: Vec::new(),
        };
        Self {
            prefix: String::new(),
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            apps: vec![demo],
            mounts: Vec::new(),
        }
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
    /// Whether connections and requests are taken at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether clients may trigger `client-` events.
    #[serde(default = "yes")]
    pub client_events: bool,
    /// Whether `pusher_internal:subscription_count` and its webhook are sent.
    #[serde(default)]
    pub subscription_count: bool,
    /// Whether a connection has to sign in or join a private channel within 30 seconds.
    #[serde(default)]
    pub authorized_connections: bool,
    /// The channels of this application live below this name on the bus, apart from all others; without it
    /// they are the shared ones. Mounts are not affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<ChannelValue>,
    /// Sizes and rates; the defaults are Pusher's.
    #[serde(default)]
    pub limits: PusherLimitsConfig,
    /// Who is told what happens.
    #[serde(default)]
    pub webhooks: Vec<PusherWebhookConfig>,
}

fn yes() -> bool {
    true
}

/// Limits of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PusherLimitsConfig {
    /// Connections at a time; 0 for no limit.
    pub connections: usize,
    /// Channels one connection may be subscribed to.
    #[schemars(range(min = 1))]
    pub channels_per_connection: usize,
    /// Client events per second and connection; 0 for no limit.
    pub client_events_per_second: u32,
    /// The data of one event.
    pub event_data: Size,
    /// Channels one published event may name.
    #[schemars(range(min = 1))]
    pub event_channels: usize,
    /// Events in one batch.
    #[schemars(range(min = 1))]
    pub batch_events: usize,
    /// Users in a presence channel.
    #[schemars(range(min = 1))]
    pub presence_members: usize,
    /// The `user_info` of a member.
    pub user_info: Size,
    /// Users in a watchlist.
    pub watchlist_users: usize,
}

impl Default for PusherLimitsConfig {
    fn default() -> Self {
        Self {
            connections: 0,
            channels_per_connection: 1000,
            client_events_per_second: 10,
            event_data: Size::from_kib(10),
            event_channels: 100,
            batch_events: 10,
            presence_members: 100,
            user_info: Size::from_kib(1),
            watchlist_users: 100,
        }
    }
}

/// A receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PusherWebhookConfig {
    /// Where the events are posted.
    pub url: UrlValue,
    /// Which events: `channel_occupied`, `channel_vacated`, `member_added`, `member_removed`, `client_event`,
    /// `cache_miss`, `subscription_count`; none named means all of them.
    #[serde(default)]
    pub events: Vec<String>,
    /// Only of channels whose name begins so.
    #[serde(default)]
    pub channel_prefix: String,
}

/// A shared channel under a Pusher name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PusherMountConfig {
    /// The shared channels: an exact name, or a name and a final `#`.
    pub channel: FilterValue,
    /// The Pusher name; a final `*` stands for what `#` stood for.
    #[serde(rename = "as")]
    pub mounted_as: String,
    /// `public`, `private`, `private-encrypted` or `presence`: what the name has to be by its prefix, which it is without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// A Pusher server that we join as a client: Pusher itself, soketi, Sockudo, Reverb, or another gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PusherUpstreamConfig {
    /// The application's id, for the HTTP API.
    pub app_id: Option<String>,
    /// The application's key; without it, the last segment of the URL's path.
    pub key: Option<String>,
    /// The application's secret: signs private and presence subscriptions and HTTP API calls.
    pub secret: Option<Secret>,
    /// One of Pusher's own clusters, as `eu`: says where the WebSocket and the HTTP API are. The URL then names the key alone
    /// (`pusher+wss:///app/KEY`).
    pub cluster: Option<String>,
    /// Where the HTTP API is; without it, it is derived from the URL.
    pub api_url: Option<UrlValue>,
    /// Signs subscriptions instead of the secret: gets `socket_id` and `channel_name` as a form.
    pub auth_endpoint: Option<UrlValue>,
    /// Signs the sign-in instead of the secret, and says as whom: gets `socket_id` as a form.
    pub user_auth_endpoint: Option<UrlValue>,
    /// Headers for both endpoints.
    pub auth_headers: BTreeMap<String, Secret>,
    /// Who we are on presence channels, and whom we sign in as.
    pub user_id: Option<String>,
    /// What others see of us there: JSON.
    pub user_info: Option<String>,
    /// Whether to sign in: as `user_id`, or as whom `user_auth_endpoint` says.
    pub sign_in: bool,
    /// Whose coming and going we want to know, once signed in.
    pub watchlist: Vec<String>,
    /// 32 bytes in base64: the application's master key of encrypted channels. Not needed with an authorization
    /// endpoint, which tells each channel's own.
    pub encryption_master_key: Option<Secret>,
    /// Publish by the HTTP API always, never as client events.
    pub force_api: bool,
    /// Hand joins and leaves of presence channels to the bus, as events `member_added` and `member_removed`.
    pub presence_events: bool,
    /// Silence after which we send a ping, unless the server wants it sooner.
    pub activity_timeout: Duration,
    /// How long the answer may take.
    pub pong_timeout: Duration,
    /// How long connecting, and one HTTP call, may take.
    pub timeout: Duration,
    /// What waits while the server is away, or takes no more for now.
    pub buffer: BufferConfig,
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
}

impl Default for PusherUpstreamConfig {
    fn default() -> Self {
        Self {
            app_id: None,
            key: None,
            secret: None,
            cluster: None,
            api_url: None,
            auth_endpoint: None,
            user_auth_endpoint: None,
            auth_headers: BTreeMap::new(),
            user_id: None,
            user_info: None,
            sign_in: false,
            watchlist: Vec::new(),
            encryption_master_key: None,
            force_api: false,
            presence_events: false,
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            buffer: BufferConfig::default(),
            tls: ClientTlsConfig::default(),
        }
    }
}
