//! The `[mqtt]` section, and the keys of an upstream of kind `mqtt`.

use ratatosk_connector::config_types::{BufferConfig, ClientTlsConfig, Duration, Listen, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The MQTT server side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// MQTT 3.1.1 and 5.0 over TCP.
    pub listen: Listen,
    /// The same over TLS, with the certificate of `[tls]`; 8883 is the usual port.
    pub tls_listen: Listen,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self { listen: Listen::loopback(1883), tls_listen: Listen::Off }
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
    /// How often we show that we are alive.
    pub keep_alive: Duration,
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
            keep_alive: Duration::from_secs(30),
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
