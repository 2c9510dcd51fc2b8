//! The configuration as it is written: one struct per table, with the defaults that hold without a file.
//!
//! The protocols own their sections (`ratatosk_mqtt::config` and its like). Doc comments here become the
//! comments of the default file and the reference page.

use ratatosk_bayeux::config::{BayeuxConfig, BayeuxUpstreamConfig};
use ratatosk_connector::config_types::{Duration, FilterValue, Listen, Secret, Size, UpstreamConfig};
use ratatosk_mqtt::config::{MqttConfig, MqttUpstreamConfig};
use ratatosk_pusher::config::{PusherConfig, PusherUpstreamConfig};
use ratatosk_sse::config::{SseConfig, SseUpstreamConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod auth;
mod limits;
mod otlp;
mod tls;
mod webhooks;

pub use self::{
    auth::{
        ActionChoice, AnonymousChoice, AuthSection, AuthorizerSection, EffectChoice, JwtSection,
        PublishAuthorizerSection, RuleSection, UserSection, WhoSection,
    },
    limits::LimitsSection,
    otlp::OtlpSection,
    tls::{CertificateSection, ClientAuthChoice, ClientNameChoice, TlsSection},
    webhooks::{EventChoice, WebhookSection},
};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The HTTP listener: SSE, Bayeux, Pusher, MQTT over WebSocket, `/publish`.
    pub http: HttpSection,
    /// The operators' listener: `/metrics`, `/healthz`, `/readyz`, the console.
    pub admin: AdminSection,
    /// The MQTT listeners.
    pub mqtt: MqttConfig,
    /// Bayeux, on the HTTP listener.
    pub bayeux: BayeuxConfig,
    /// Server-sent events, on the HTTP listener.
    pub sse: SseConfig,
    /// The Pusher protocol, on the HTTP listener.
    pub pusher: PusherConfig,
    /// How channels are treated. The first rule whose `match` fits decides; what none fits gets the defaults.
    pub channels: Vec<ChannelSection>,
    /// Far servers that we join as a client.
    pub upstreams: Vec<UpstreamSection>,
    /// Who may come in, and what they may do. Needed as soon as a listener can be reached from other machines.
    pub auth: Option<AuthSection>,
    /// The certificates of the TLS listeners.
    pub tls: Option<TlsSection>,
    /// Bounds that hold for the whole gateway.
    pub limits: LimitsSection,
    /// The log, on standard error.
    pub log: LogSection,
    /// Prometheus metrics.
    pub metrics: MetricsSection,
    /// An OpenTelemetry collector that metrics and traces are pushed to; without this table nothing is.
    pub otlp: Option<OtlpSection>,
    /// Monitor events.
    pub monitor: MonitorSection,
    /// Servers that are told of monitor events.
    pub webhooks: Vec<WebhookSection>,
    /// The end.
    pub shutdown: ShutdownSection,
}

/// The HTTP listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Plain HTTP/1.1 and WebSocket.
    pub listen: Listen,
    /// The same over TLS, with the certificates of `[tls]`.
    pub tls_listen: Listen,
    /// Origins of browser pages that may use the gateway, such as `https://example.org`. `"*"` is any page, without
    /// credentials.
    pub cors_origins: Vec<String>,
    /// The largest request body; a larger one is answered with 413.
    pub max_body: Size,
    /// The largest headers of a request; larger ones are answered with 431. A request line has at most 64 KiB, or is answered with 414.
    pub max_header: Size,
    /// How long a client may take to send its request line and headers.
    pub header_timeout: Duration,
    /// Whether connections begin with a PROXY header (version 1 or 2) that tells where they truly come from. It is believed if
    /// it comes from `trusted_proxies`; from anybody, if there are none. One without such a header is closed.
    pub proxy_protocol: bool,
    /// Proxies in front of the gateway, such as `10.0.0.0/8`: from them, `forwarded_header` is believed.
    pub trusted_proxies: Vec<String>,
    /// Where these proxies say who a request comes from.
    pub forwarded_header: ForwardedChoice,
}

/// Where proxies say who a request comes from. The other header is not looked at: it may be the client's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ForwardedChoice {
    /// `X-Forwarded-For`, as most write it.
    #[default]
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// `Forwarded`, the standard (RFC 7239).
    #[serde(rename = "forwarded")]
    Forwarded,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(8080),
            tls_listen: Listen::Off,
            cors_origins: vec!["*".to_owned()],
            max_body: Size::from_mib(1),
            max_header: Size::from_kib(16),
            header_timeout: Duration::from_secs(10),
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedChoice::default(),
        }
    }
}

/// The operators' listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSection {
    /// Where operators and Prometheus come in.
    pub listen: Listen,
    /// The same over TLS, with the certificates of `[tls]`.
    pub tls_listen: Listen,
    /// What callers of `/api/` must show (`Authorization: Bearer`), and the console asks for. Needed when the listener can
    /// be reached from other machines; without it only calls to localhost are answered. `/metrics` and health are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: Listen::loopback(8081), tls_listen: Listen::Off, token: None }
    }
}

/// How the channels that a filter matches are treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSection {
    /// Which channels.
    #[serde(rename = "match")]
    pub matches: FilterValue,
    /// What is kept so that subscribers can resume.
    #[serde(default)]
    pub history: HistorySection,
    /// What a new subscriber is shown first.
    #[serde(default)]
    pub last_value: LastValueChoice,
    /// Whether the channel has a roster of who is there.
    #[serde(default)]
    pub presence: bool,
    /// What happens to a subscriber whose outbox is full; without it, the protocol decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowChoice>,
    /// Bounds of the outbox of a subscriber; without it, the protocol decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbox: Option<OutboxSection>,
    /// Messages per second that each channel carries at most, for all its subscribers: of those that come faster the latest wins.
    #[schemars(example = 10)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f64>,
}

/// What is kept per channel. Zero messages, age or bytes keep nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySection {
    /// At most this many messages.
    pub messages: usize,
    /// Messages up to this old.
    pub age: Duration,
    /// At most this many bytes.
    pub bytes: Size,
}

impl Default for HistorySection {
    fn default() -> Self {
        Self { messages: 1000, age: Duration::from_secs(600), bytes: Size::from_mib(1) }
    }
}

/// Which message a new subscriber is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LastValueChoice {
    /// None.
    Off,
    /// The last message that was published as retained.
    #[default]
    Retained,
    /// The last message.
    Always,
}

/// What happens to a subscriber that is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlowChoice {
    /// Its connection ends; it can come back and resume.
    Disconnect,
    /// The oldest waiting messages make room.
    DropOldest,
    /// Only the latest message of each channel waits.
    Conflate,
}

/// Bounds of an outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxSection {
    /// At most this many messages wait.
    #[schemars(range(min = 1))]
    pub messages: usize,
    /// At most this many bytes wait.
    pub bytes: Size,
}

impl Default for OutboxSection {
    fn default() -> Self {
        Self { messages: 4096, bytes: Size::from_mib(4) }
    }
}

/// A far server, by the protocol it speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there are few, and each is read once")]
pub enum UpstreamSection {
    /// An MQTT broker.
    Mqtt(UpstreamConfig<MqttUpstreamConfig>),
    /// A server of event streams.
    Sse(UpstreamConfig<SseUpstreamConfig>),
    /// A Bayeux server.
    Bayeux(UpstreamConfig<BayeuxUpstreamConfig>),
    /// A Pusher server.
    Pusher(UpstreamConfig<PusherUpstreamConfig>),
}

impl UpstreamSection {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Mqtt(config) => &config.name,
            Self::Sse(config) => &config.name,
            Self::Bayeux(config) => &config.name,
            Self::Pusher(config) => &config.name,
        }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug` or `trace`; also per part, as in `info,ratatosk_mqtt=debug`.
    pub level: String,
    /// Lines for people or JSON for machines.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Prometheus metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Whether the metrics of the process (CPU, memory, descriptors) are among them.
    pub process: bool,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { process: true }
    }
}

/// Monitor events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorSection {
    /// Whether `received_message` and `delivered_message` are raised too.
    pub messages: bool,
    /// Of each of those two, one in this many.
    #[schemars(range(min = 1))]
    pub sample: u32,
}

impl Default for MonitorSection {
    fn default() -> Self {
        Self { messages: false, sample: 100 }
    }
}

/// The end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownSection {
    /// How long sessions have to finish after SIGTERM or SIGINT.
    pub grace: Duration,
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}
