//! The `[[webhooks]]` entries: who is told of monitor events by HTTP.

use std::collections::BTreeMap;

use ratatosk_connector::config_types::{Duration, FilterValue, Secret, Size, UrlValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server that is told of monitor events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// The label of this webhook in metrics and in the log.
    #[schemars(example = &"ops")]
    pub name: String,
    /// Where events are posted: `http` or `https`.
    #[schemars(example = &"https://ops.example.org/ratatosk")]
    pub url: UrlValue,
    /// Which events; none named means all but `received_message`, `delivered_message` and `upstream_ping`.
    #[serde(default)]
    #[schemars(example = &["upstream_status", "created_client", "destroyed_client"])]
    pub events: Vec<EventChoice>,
    /// Of events about a channel, only those about these; a filter is about all that it meets.
    #[serde(default)]
    pub channels: Vec<FilterValue>,
    /// Of events about a client or a message, only those of these connectors: `mqtt`, `bayeux`, `pusher`, `sse`, `mercure`,
    /// `http`.
    #[serde(default)]
    pub connectors: Vec<String>,
    /// Of events about an upstream, only those about these.
    #[serde(default)]
    pub upstreams: Vec<String>,
    /// Requests are signed with it: the header `Ratatosk-Signature` is `t=UNIX_SECONDS,v1=HEX`, where HEX is the HMAC-SHA256
    /// of `UNIX_SECONDS.BODY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// More request headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// At most so many events in one request.
    #[serde(default = "batch")]
    #[schemars(range(min = 1, max = 10_000))]
    pub batch: usize,
    /// How long the first event of a request waits for others.
    #[serde(default = "linger")]
    pub linger: Duration,
    /// At most so many events wait; the oldest make room, and are counted.
    #[serde(default = "queue")]
    #[schemars(range(min = 1))]
    pub queue: usize,
    /// At most so many bytes of events wait.
    #[serde(default = "queue_bytes")]
    pub queue_bytes: Size,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// For how long a request that fails is made again, with growing pauses. After that its events are given up, and counted.
    #[serde(default = "retry_for")]
    pub retry_for: Duration,
}

fn batch() -> usize {
    100
}

fn linger() -> Duration {
    Duration::from_millis(100)
}

fn queue() -> usize {
    10_000
}

fn queue_bytes() -> Size {
    Size::from_mib(16)
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn retry_for() -> Duration {
    Duration::from_secs(300)
}

/// A monitor event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventChoice {
    /// A session begins.
    CreatedClient,
    /// A session ends.
    DestroyedClient,
    /// A channel gets its first subscriber.
    CreatedChannel,
    /// The last subscriber leaves.
    DestroyedChannel,
    /// A client subscribes.
    ClientSubscribed,
    /// A client's subscription ends.
    ClientUnsubscribed,
    /// A message was accepted; one in `monitor.sample`.
    ReceivedMessage,
    /// A message was written to a subscriber; one in `monitor.sample`.
    DeliveredMessage,
    /// An upstream comes up or goes down.
    UpstreamStatus,
    /// An upstream answered a keep-alive.
    UpstreamPing,
    /// A subscription at an upstream is live.
    SubscriptionConnected,
    /// A subscription at an upstream is lost.
    SubscriptionDisconnected,
}

impl EventChoice {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CreatedClient,
        Self::DestroyedClient,
        Self::CreatedChannel,
        Self::DestroyedChannel,
        Self::ClientSubscribed,
        Self::ClientUnsubscribed,
        Self::ReceivedMessage,
        Self::DeliveredMessage,
        Self::UpstreamStatus,
        Self::UpstreamPing,
        Self::SubscriptionConnected,
        Self::SubscriptionDisconnected,
    ];

    /// As it is called everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreatedClient => "created_client",
            Self::DestroyedClient => "destroyed_client",
            Self::CreatedChannel => "created_channel",
            Self::DestroyedChannel => "destroyed_channel",
            Self::ClientSubscribed => "client_subscribed",
            Self::ClientUnsubscribed => "client_unsubscribed",
            Self::ReceivedMessage => "received_message",
            Self::DeliveredMessage => "delivered_message",
            Self::UpstreamStatus => "upstream_status",
            Self::UpstreamPing => "upstream_ping",
            Self::SubscriptionConnected => "subscription_connected",
            Self::SubscriptionDisconnected => "subscription_disconnected",
        }
    }
}
