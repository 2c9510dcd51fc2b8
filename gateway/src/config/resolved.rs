//! The configuration as the rest of the program sees it: every combination in here makes sense.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use http::HeaderMap;
use ratatosk_bayeux::config::{BayeuxConfig, BayeuxUpstreamConfig};
use ratatosk_connector::{
    access::{AccessConfig, Cidr},
    config_types::{Duration, UpstreamMode, UrlValue},
    http::TrustedProxies,
    limits::LimitsConfig,
    rules::{LoopGuard, RuleSet},
    tls::TlsConfig,
    webhook::CourierConfig,
};
use ratatosk_core::{ChannelRule, Filter, HistoryRule, LastValue};
use ratatosk_mqtt::config::{MqttConfig, MqttUpstreamConfig};
use ratatosk_otlp::OtlpConfig;
use ratatosk_pusher::config::{PusherConfig, PusherUpstreamConfig};
use ratatosk_sse::config::{SseConfig, SseUpstreamConfig};

use super::raw::{
    EventChoice, LimitsSection, LogSection, MetricsSection, MonitorSection, RawConfig, UpstreamSection, WebhookSection,
};

/// A configuration that was checked as a whole.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The HTTP listener.
    pub http: Http,
    /// The operators' listener; `None` when it is off.
    pub admin: Option<SocketAddr>,
    /// The same over TLS.
    pub admin_tls: Option<SocketAddr>,
    /// The MQTT listeners.
    pub mqtt: MqttConfig,
    /// Bayeux.
    pub bayeux: BayeuxConfig,
    /// Server-sent events.
    pub sse: SseConfig,
    /// Pusher.
    pub pusher: PusherConfig,
    /// Channel rules in order; what none matches gets `fallback_rule`.
    pub channels: Vec<ChannelRule>,
    /// The rule of channels that no other rule matches.
    pub fallback_rule: ChannelRule,
    /// Far servers.
    pub upstreams: Vec<Upstream>,
    /// Who may come in.
    pub auth: Auth,
    /// The certificates of the TLS listeners; they are there whenever a TLS listener is on.
    pub tls: Option<Tls>,
    /// Bounds of the whole gateway.
    pub limits: LimitsSection,
    /// What clients are held to.
    pub held_to: LimitsConfig,
    /// Proxies whose word is taken for where a client comes from.
    pub proxies: Vec<Cidr>,
    /// The log.
    pub log: LogSection,
    /// Metrics.
    pub metrics: MetricsSection,
    /// Where metrics and traces are pushed to.
    pub otlp: Option<OtlpConfig>,
    /// Monitor events.
    pub monitor: MonitorSection,
    /// Who is told of them by HTTP.
    pub webhooks: Vec<Webhook>,
    /// How long sessions have to finish.
    pub grace: std::time::Duration,
    /// The configuration as written, all layers merged.
    pub raw: Arc<RawConfig>,
}

impl Resolved {
    /// Rules that follow the configured ones: the gateway's own events and figures are not kept unless a rule says so; of its
    /// figures, the last are shown to a new subscriber.
    pub fn own_channel_rules(&self) -> impl Iterator<Item = ChannelRule> {
        let own = [("$monitor/#", LastValue::Off), ("$SYS/#", LastValue::Retained)];
        own.into_iter().filter_map(|(filter, last_value)| {
            let matches = Filter::new(filter).ok()?;
            Some(ChannelRule { matches, history: HistoryRule::OFF, last_value, ..ChannelRule::default() })
        })
    }
}

/// The HTTP listener.
#[derive(Debug, Clone)]
pub struct Http {
    /// Plain.
    pub listen: Option<SocketAddr>,
    /// Over TLS.
    pub tls_listen: Option<SocketAddr>,
    /// Whose pages may use it.
    pub cors: CorsOrigins,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The largest request head, in bytes.
    pub max_header: usize,
    /// How long a request head may take.
    pub header_timeout: std::time::Duration,
    /// Whose word is taken for where a request comes from.
    pub proxies: TrustedProxies,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// The browsers' origins that may use the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Any, without credentials.
    Any,
    /// These, in their ASCII form without a path, such as `https://example.org:8443`.
    Only(Vec<String>),
}

/// A far server.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its unique name: 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: Arc<str>,
    /// Where it is; the scheme fits the kind.
    pub url: UrlValue,
    /// Theirs to ours, in order.
    pub inbound: RuleSet,
    /// Ours to theirs, in order.
    pub outbound: RuleSet,
    /// What keeps messages from coming back.
    pub guard: LoopGuard,
    /// When the inbound subscriptions exist.
    pub mode: UpstreamMode,
    /// How long an `on_demand` subscription outlives its last subscriber.
    pub linger: Duration,
    /// The longest pause between attempts.
    pub max_backoff: Duration,
    /// What belongs to its protocol.
    pub options: UpstreamOptions,
    /// The entry as written: two upstreams are the same when their entries are.
    pub section: UpstreamSection,
}

/// What belongs to an upstream's protocol.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few, and each is read once")]
pub enum UpstreamOptions {
    /// An MQTT broker.
    Mqtt(MqttUpstreamConfig),
    /// A server of event streams.
    Sse(SseUpstreamConfig),
    /// A Bayeux server.
    Bayeux(BayeuxUpstreamConfig),
    /// A Pusher server.
    Pusher(PusherUpstreamConfig),
}

impl UpstreamOptions {
    /// The `kind` key.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mqtt(_) => "mqtt",
            Self::Sse(_) => "sse",
            Self::Bayeux(_) => "bayeux",
            Self::Pusher(_) => "pusher",
        }
    }
}

/// A server that is told of monitor events.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The entry as written.
    pub section: WebhookSection,
    /// Which events.
    pub events: Vec<EventChoice>,
    /// More request headers.
    pub headers: HeaderMap,
    /// How it is served.
    pub courier: CourierConfig,
    /// Of the two per-message events, one in this many is told.
    pub sample: u32,
}

/// Who may come in, and what they may do.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What judges clients.
    pub access: AccessConfig,
}

/// Certificates whose keys fit.
#[derive(Debug, Clone)]
pub struct Tls {
    /// What listeners show and ask for.
    pub config: TlsConfig,
    /// When each certificate ends, in Unix seconds, by its key in the configuration.
    pub ends: Vec<(String, i64)>,
    /// What it was read from.
    pub files: Vec<PathBuf>,
    /// How often the files are looked at; zero is never.
    pub watch: std::time::Duration,
}
