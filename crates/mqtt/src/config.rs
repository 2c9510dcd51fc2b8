//! The `[mqtt]` section, and the keys of an upstream of kind `mqtt`.

use std::num::NonZeroU16;

use ratatosk_connector::config_types::{BufferConfig, ClientTlsConfig, Duration, Listen, Secret, Size, UrlValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The MQTT server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// MQTT 3.1, 3.1.1 and 5.0 over TCP.
    pub listen: Listen,
    /// The same over TLS, with the certificates of `[tls]`; 8883 is the usual port.
    pub tls_listen: Listen,
    /// Whether connections begin with a PROXY header (version 1 or 2) that tells where they truly come from; see `http.proxy_protocol`.
    pub proxy_protocol: bool,
    /// Connections at once, over TCP and TLS; one more is told that the server is busy.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How long a client may take to send CONNECT.
    pub connect_timeout: Duration,
    /// The largest packet that clients may send.
    pub max_packet_size: Size,
    /// How many QoS 1 and 2 publications of one client may be open at once (MQTT 5 Receive Maximum).
    #[schemars(range(min = 1))]
    pub receive_maximum: NonZeroU16,
    /// The highest topic alias that clients may use; 0 switches aliases off.
    pub topic_alias_maximum: u16,
    /// How many QoS 1 and 2 messages a client is sent before it must acknowledge one, if it takes as many.
    #[schemars(range(min = 1))]
    pub max_inflight: NonZeroU16,
    /// The most messages that wait for one client: for its acknowledgements, its socket or its return.
    #[schemars(range(min = 1))]
    pub max_queued_messages: usize,
    /// The most bytes that wait for one client.
    pub max_queued_bytes: Size,
    /// What happens when more would wait.
    pub queue_full: QueueFull,
    /// The longest that a session outlives its connection, also for MQTT 3.1.1 clients without clean session.
    pub session_expiry_max: Duration,
    /// The most sessions whose client is away; past it, new clients that want such a session are refused.
    pub max_sessions: usize,
    /// The most subscriptions of one session.
    #[schemars(range(min = 1))]
    pub max_subscriptions: usize,
    /// The longest keep-alive, also for clients that ask for none; `0s` leaves it to them.
    pub max_keep_alive: Duration,
    /// What a client gets whose subscriptions overlap: one message with all their identifiers, or one for each.
    pub overlapping: Overlapping,
    /// How often `$SYS/broker/...` is published; `0s` switches it off.
    pub sys_interval: Duration,
}

/// What happens when too much waits for one client. Every message dropped is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueFull {
    /// The oldest message makes room.
    #[default]
    DropOldest,
    /// The new message is dropped.
    DropNewest,
    /// The connection is closed; what waits stays with the session.
    Disconnect,
}

/// What a client gets whose subscriptions overlap. Both are legal, and clients cope with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlapping {
    /// One message, with the identifiers of all subscriptions.
    #[default]
    Merge,
    /// One message for each subscription.
    Each,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(1883),
            tls_listen: Listen::Off,
            proxy_protocol: false,
            max_connections: 100_000,
            connect_timeout: Duration::from_secs(10),
            max_packet_size: Size::from_mib(1),
            receive_maximum: NonZeroU16::MIN.saturating_add(99),
            topic_alias_maximum: 16,
            max_inflight: NonZeroU16::MIN.saturating_add(999),
            max_queued_messages: 10_000,
            max_queued_bytes: Size::from_mib(16),
            queue_full: QueueFull::default(),
            session_expiry_max: Duration::from_secs(7 * 24 * 3600),
            max_sessions: 100_000,
            max_subscriptions: 10_000,
            max_keep_alive: Duration::from_secs(0),
            overlapping: Overlapping::default(),
            sys_interval: Duration::from_secs(10),
        }
    }
}

/// An MQTT broker that we join as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttUpstreamConfig {
    /// The protocol version to speak.
    pub version: MqttVersion,
    /// Our client identifier; without it, one is made from the upstream's name.
    pub client_id: Option<String>,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// Whether the broker forgets our session when we leave. `false` lets QoS 1 and 2 messages wait there.
    pub clean_session: bool,
    /// How long the broker keeps our session after we left, with `clean_session = false` (MQTT 5; older brokers keep it
    /// as they please).
    pub session_expiry: Duration,
    /// How often we show that we are alive, in whole seconds; each time the round trip is measured. `"0s"` is never.
    pub keep_alive: Duration,
    /// How long connecting may take, with all handshakes.
    pub connect_timeout: Duration,
    /// How long the broker may leave a QoS 1 or 2 message unacknowledged before the connection is made anew.
    pub ack_timeout: Duration,
    /// At most this many QoS 1 and 2 messages are unacknowledged at once. Without it: 256, or as many as the broker says, in
    /// MQTT 5; 20 in MQTT 3.1.1, whose brokers cannot say how many they take and may close the connection on more.
    #[schemars(range(min = 1))]
    pub max_inflight: Option<u16>,
    /// For brokers that acknowledge before they have saved, such as Mosquitto: how long an acknowledgement is doubted. When
    /// the connection breaks before that, the step is repeated, so that a broker that is killed, and saves more often
    /// than this, loses nothing and takes nothing twice with QoS 2. It delays QoS 2 by as much.
    pub settle: Duration,
    /// The largest packet taken from the broker.
    pub max_packet_size: Size,
    /// More addresses of the same broker or cluster, tried in turn when one fails.
    pub also: Vec<UrlValue>,
    /// Subscribes as a member of this shared subscription, so that several gateways divide the messages.
    pub share: Option<String>,
    /// Trust and our certificate, for `mqtts://` and `mqtt+wss://`.
    pub tls: ClientTlsConfig,
    /// What the broker publishes for us when we vanish.
    pub will: Option<WillConfig>,
    /// What waits while the broker is away.
    pub buffer: BufferConfig,
}

impl Default for MqttUpstreamConfig {
    fn default() -> Self {
        Self {
            version: MqttVersion::default(),
            client_id: None,
            username: None,
            password: None,
            clean_session: true,
            session_expiry: Duration::from_secs(24 * 3600),
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(30),
            max_inflight: None,
            settle: Duration::from_secs(0),
            max_packet_size: Size::from_mib(16),
            also: Vec::new(),
            share: None,
            tls: ClientTlsConfig::default(),
            will: None,
            buffer: BufferConfig::default(),
        }
    }
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
    /// MQTT 5.0.
    #[default]
    #[serde(rename = "5")]
    V5,
}

/// A last will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WillConfig {
    /// The topic, as the broker names it.
    pub topic: String,
    /// The payload.
    #[serde(default)]
    pub payload: String,
    /// 0, 1 or 2.
    #[serde(default)]
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// Whether it is retained.
    #[serde(default)]
    pub retain: bool,
}
