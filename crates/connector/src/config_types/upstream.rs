//! What the configuration of every upstream has in common.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChannelValue, Duration, FilterValue, Rate, Size, UrlValue};

/// One `[[upstreams]]` entry: the common keys, and `options`, the keys of its kind, written beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamConfig<O> {
    /// The label of this upstream in metrics, in monitor events and in a message's origin.
    #[schemars(example = &"factory")]
    pub name: String,
    /// Where the far server is. A user and password in it are used like `username` and `password`.
    pub url: UrlValue,
    /// What we subscribe to over there, and where it arrives here.
    #[serde(default, rename = "in")]
    #[schemars(example = serde_json::json!([{ "from": "sensors/#", "to": "factory/#" }]))]
    pub inbound: Vec<BridgeRuleConfig>,
    /// What we send over there, and what it is called then.
    #[serde(default, rename = "out")]
    #[schemars(example = serde_json::json!([{ "from": "commands/#" }]))]
    pub outbound: Vec<BridgeRuleConfig>,
    /// A channel of ours where messages go that a rule fails on, each with the reason; a rule can name another. Without
    /// it they are dropped, and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"errors/bridge")]
    pub dead_letter: Option<ChannelValue>,
    /// Whether to hold every inbound subscription, or only those somebody here wants.
    #[serde(default)]
    pub mode: UpstreamMode,
    /// With `mode = "on_demand"`: how long a subscription stays after its last local subscriber left.
    #[serde(default = "default_linger")]
    pub linger: Duration,
    /// The longest pause between two attempts to connect; pauses grow from 250 ms with full jitter.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Duration,
    /// The keys of this kind of upstream.
    #[serde(flatten)]
    pub options: O,
}

fn default_linger() -> Duration {
    Duration::from_secs(5)
}

fn default_max_backoff() -> Duration {
    Duration::from_secs(30)
}

/// A bridge rule: what matches `from` on one side appears on the other with its fixed prefix rewritten to
/// that of `to`; what the wildcards stood for is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BridgeRuleConfig {
    /// A filter over the sending side's channels (for Pusher upstreams an exact channel name).
    pub from: FilterValue,
    /// The same filter under another prefix, on the receiving side. Without it, names stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<FilterValue>,
    /// The highest quality of service (0, 1 or 2) that messages cross with.
    #[serde(default = "highest_qos")]
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// Whether a retained message crosses as retained.
    #[serde(default = "yes")]
    pub retain: bool,
    /// A condition in jq: a message crosses only if something other than `null` and `false` comes of it. `.` is the
    /// payload: JSON, or a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &".c > 20")]
    pub when: Option<String>,
    /// A program in jq that makes the payload anew: what it yields crosses in the message's place, nothing or several
    /// messages too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"{ celsius: .c, site: $channel }")]
    pub transform: Option<String>,
    /// User properties that messages get, in the place of those of the same name; an empty text takes one away. `{channel}`,
    /// `{to}`, `{upstream}`, `{event}`, `{user}`, `{client_id}`, `{level.2}` and `{property.NAME}` stand for the message's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(example = serde_json::json!({ "x-site": "{level.2}" }))]
    pub properties: BTreeMap<String, String>,
    /// The event that messages are named by, with the same placeholders; an empty text takes the name away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"reading")]
    pub event: Option<String>,
    /// The quality of service (0, 1 or 2) that messages cross with, whatever they had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2))]
    pub set_qos: Option<u8>,
    /// Whether messages cross as retained, whatever they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_retain: Option<bool>,
    /// How many messages cross, of those that `when` lets through; more are dropped, and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<Rate>,
    /// A channel of ours where messages go that this rule fails on, each with the reason, in the place of the upstream's
    /// `dead_letter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"errors/bridge")]
    pub dead_letter: Option<ChannelValue>,
}

fn highest_qos() -> u8 {
    2
}

fn yes() -> bool {
    true
}

impl BridgeRuleConfig {
    /// The receiving side's filter: `to`, or `from` where it is not given.
    #[must_use]
    pub fn to(&self) -> &FilterValue {
        self.to.as_ref().unwrap_or(&self.from)
    }
}

/// When the inbound subscriptions of an upstream exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamMode {
    /// As long as the upstream is connected.
    #[default]
    Always,
    /// While somebody here is subscribed to what they would bring.
    OnDemand,
}

/// How the far server is known to be the right one, and how we show who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTlsConfig {
    /// PEM file with the certificate authorities to trust, instead of the public ones.
    #[schemars(extend("x-type" = "file"))]
    pub ca: Option<PathBuf>,
    /// PEM file with our certificate, followed by its intermediates. Needs `key`.
    #[schemars(extend("x-type" = "file"))]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of `cert`.
    #[schemars(extend("x-type" = "file"))]
    pub key: Option<PathBuf>,
}

/// What waits for an upstream that is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BufferConfig {
    /// At most this many messages wait.
    #[schemars(range(min = 1))]
    pub messages: usize,
    /// At most this many bytes of payload wait.
    pub bytes: Size,
    /// A message that waits longer than this is dropped; without it, messages wait until their own life ends.
    pub age: Option<Duration>,
    /// What to do with one more when the buffer is full. Every message dropped is counted.
    pub policy: BufferPolicy,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { messages: 10_000, bytes: Size::from_mib(16), age: None, policy: BufferPolicy::DropOldest }
    }
}

/// What a full buffer does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BufferPolicy {
    /// The oldest message makes room.
    #[default]
    DropOldest,
    /// The new message is not taken.
    DropNewest,
}
