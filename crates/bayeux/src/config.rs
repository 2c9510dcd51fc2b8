//! The `[bayeux]` section, and the keys of an upstream of kind `bayeux`.

use ratatosk_connector::config_types::{BufferConfig, ClientTlsConfig, Duration, Secret, Size, UrlText};
use ratatosk_core::SlowPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    proto::{queue::Limits, session::Terms},
    server::clock::millis,
};

/// `[bayeux]`: the server side. Every key has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BayeuxConfig {
    /// Where it is mounted on the HTTP listener; `<path>/` and everything below it too.
    pub path: String,
    /// More mounts with the same settings.
    pub more_paths: Vec<String>,
    /// How long a `/meta/connect` is held.
    pub timeout: Duration,
    /// How long a client waits between two connects.
    pub interval: Duration,
    /// How much longer than its interval a session lives without a connect.
    pub max_interval: Duration,
    /// The longest timeout or interval that a client may ask for.
    pub max_client_timeout: Duration,
    /// The transports on offer.
    pub transports: Vec<Transport>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// The `BAYEUX_BROWSER` cookie.
    pub cookie: CookieConfig,
    /// The extensions on offer.
    pub extensions: ExtensionsConfig,
    /// Send messages with replies to `/meta/connect` only. Otherwise what waits while no connect is held also rides with the
    /// reply to another request, which spares a round trip.
    pub connect_only: bool,
    /// Publishing without a handshake, for callers with this key; off where there is none.
    pub publish_key: Option<Secret>,
}

impl Default for BayeuxConfig {
    fn default() -> Self {
        Self {
            path: "/bayeux".into(),
            more_paths: Vec::new(),
            timeout: Duration::from_secs(30),
            interval: Duration::from_secs(0),
            max_interval: Duration::from_secs(10),
            max_client_timeout: Duration::from_secs(600),
            transports: Transport::ALL.to_vec(),
            limits: LimitsConfig::default(),
            cookie: CookieConfig::default(),
            extensions: ExtensionsConfig::default(),
            connect_only: false,
            publish_key: None,
        }
    }
}

/// A way to carry Bayeux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// WebSocket text frames.
    Websocket,
    /// Faye's event stream for messages, POST for requests.
    Eventsource,
    /// POST, held.
    LongPolling,
    /// Faye's POST of a form, which needs no preflight.
    CrossOriginLongPolling,
    /// JSONP.
    CallbackPolling,
}

impl Transport {
    /// All, in the server's order.
    pub const ALL: [Self; 5] =
        [Self::Websocket, Self::Eventsource, Self::LongPolling, Self::CrossOriginLongPolling, Self::CallbackPolling];

    /// The connection type on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Eventsource => "eventsource",
            Self::LongPolling => "long-polling",
            Self::CrossOriginLongPolling => "cross-origin-long-polling",
            Self::CallbackPolling => "callback-polling",
        }
    }
}

/// `[bayeux.limits]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Sessions at once.
    pub sessions: usize,
    /// Connects that one browser may have held at once, told by its cookie; 0 is no bound.
    pub sessions_per_browser: u32,
    /// New sessions per second, on average.
    pub handshakes_per_second: u32,
    /// Subscriptions of a session.
    pub subscriptions: usize,
    /// Messages in one request.
    pub batch: usize,
    /// Bytes of a request's body or of a WebSocket message.
    pub body: Size,
    /// Messages that wait for a session.
    pub queue: usize,
    /// Bytes of messages that wait for a session.
    pub queue_bytes: Size,
    /// What happens when more come.
    pub slow: SlowChoice,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            sessions: 100_000,
            sessions_per_browser: 0,
            handshakes_per_second: 5000,
            subscriptions: 1024,
            batch: 1000,
            body: Size::from_bytes(1 << 20),
            queue: 16_384,
            queue_bytes: Size::from_bytes(4 << 20),
            slow: SlowChoice::Disconnect,
        }
    }
}

/// What happens to a session whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlowChoice {
    /// It ends, and its client shakes hands again.
    Disconnect,
    /// The oldest messages make room.
    DropOldest,
    /// Only the latest message of each channel waits.
    Conflate,
}

impl From<SlowChoice> for SlowPolicy {
    fn from(choice: SlowChoice) -> Self {
        match choice {
            SlowChoice::Disconnect => Self::Disconnect,
            SlowChoice::DropOldest => Self::DropOldest,
            SlowChoice::Conflate => Self::Conflate,
        }
    }
}

/// `[bayeux.cookie]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CookieConfig {
    /// How the cookie guards a session.
    pub mode: CookieMode,
    /// `Domain` attribute.
    pub domain: Option<String>,
    /// `Max-Age` attribute.
    pub max_age: Option<Duration>,
    /// `Secure` attribute.
    pub secure: bool,
    /// `SameSite` attribute.
    pub same_site: Option<SameSite>,
    /// `Partitioned` attribute.
    pub partitioned: bool,
}

/// How the cookie guards a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CookieMode {
    /// None is set and none is looked at.
    Off,
    /// One is set; a request with another browser's is refused, one with none is not.
    #[default]
    Optional,
    /// One is set, and every request of the session must bring it back.
    Required,
}

/// The `SameSite` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Same-site requests only.
    Strict,
    /// Top-level navigation too.
    Lax,
    /// Every request; needs `Secure`.
    None,
}

impl SameSite {
    /// As the attribute is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// `[bayeux.extensions]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtensionsConfig {
    /// Acknowledged messages.
    pub ack: bool,
    /// Replay from history by `ext.replay`.
    pub replay: bool,
    /// A `timestamp` on every reply, and not only for clients that send one.
    pub timestamp: bool,
    /// The activity extension: a session that does nothing but connect for this long ends.
    pub max_inactivity: Option<Duration>,
}

impl Default for ExtensionsConfig {
    fn default() -> Self {
        Self { ack: true, replay: true, timestamp: false, max_inactivity: None }
    }
}

impl BayeuxConfig {
    /// What the session machine is told.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let limits = &self.limits;
        Terms {
            connection_types: Transport::ALL
                .into_iter()
                .filter(|transport| self.transports.contains(transport))
                .map(Transport::name)
                .collect(),
            timeout: millis(self.timeout.get()),
            interval: millis(self.interval.get()),
            max_interval: millis(self.max_interval.get()),
            max_client_span: millis(self.max_client_timeout.get()),
            queue: Limits {
                messages: limits.queue.max(1),
                bytes: limits.queue_bytes.as_usize().max(1),
                policy: limits.slow.into(),
            },
            max_subscriptions: limits.subscriptions,
            ack: self.extensions.ack,
            replay: self.extensions.replay,
            timestamp: self.extensions.timestamp,
            connect_only: self.connect_only,
            max_inactivity: self.extensions.max_inactivity.map(|span| millis(span.get())),
            ..Terms::default()
        }
    }

    /// Every mount, each with its leading slash and without a trailing one.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        std::iter::once(&self.path).chain(&self.more_paths).map(|path| format!("/{}", path.trim_matches('/')))
    }
}

/// A Bayeux server that we join as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BayeuxUpstreamConfig {
    /// How to speak to it; `auto` asks the server and prefers WebSocket. A `ws` URL is always WebSocket.
    pub transport: UpstreamTransport,
    /// Whether to acknowledge messages, where the server can do that.
    pub ack: bool,
    /// Where subscriptions begin, at servers with replay (Salesforce, Ratatosk). Without it nothing is replayed.
    pub replay: Option<ReplayConfig>,
    /// A bearer token.
    pub token: Option<Secret>,
    /// An endpoint that gives bearer tokens.
    pub oauth: Option<OAuthConfig>,
    /// Headers of every request.
    pub headers: std::collections::BTreeMap<String, Secret>,
    /// How long a request may take besides the time that a connect is held.
    pub request_timeout: Duration,
    /// The largest answer that is read.
    pub max_answer: Size,
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
    /// What waits while the server is away.
    pub buffer: BufferConfig,
}

impl Default for BayeuxUpstreamConfig {
    fn default() -> Self {
        Self {
            transport: UpstreamTransport::Auto,
            ack: true,
            replay: None,
            token: None,
            oauth: None,
            headers: std::collections::BTreeMap::new(),
            request_timeout: Duration::from_secs(10),
            max_answer: Size::from_mib(16),
            tls: ClientTlsConfig::default(),
            buffer: BufferConfig::default(),
        }
    }
}

/// How to speak to a Bayeux server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamTransport {
    /// WebSocket where the server offers it and it works, long-polling otherwise.
    #[default]
    Auto,
    /// Long-polling alone, as Salesforce wants it.
    LongPolling,
    /// WebSocket alone.
    Websocket,
}

/// Where subscriptions begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// The first time; after a broken connection they go on after the last message.
    pub from: ReplayFrom,
    /// When the server no longer knows the last message. The gap is reported in any case.
    pub on_expired: ReplayFallback,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { from: ReplayFrom::New, on_expired: ReplayFallback::All }
    }
}

/// Where a subscription begins the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayFrom {
    /// With the next message.
    New,
    /// With the oldest that the server keeps.
    All,
}

/// What follows when the server no longer knows the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayFallback {
    /// Go on with the next message.
    New,
    /// Begin with the oldest that the server keeps.
    All,
    /// Leave the subscription refused.
    Stop,
}

/// An OAuth 2 token endpoint. What is given decides the grant: a refresh token, a user with a password, or else the
/// client's own credentials.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OAuthConfig {
    /// Where tokens are given.
    pub token_url: UrlText,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Option<Secret>,
    /// A refresh token.
    pub refresh_token: Option<Secret>,
    /// A user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// What is asked for.
    pub scope: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_contracts() {
        let terms = BayeuxConfig::default().terms();
        assert_eq!((terms.timeout, terms.interval, terms.max_interval), (30_000, 0, 10_000));
        assert_eq!(terms, Terms::default());
        assert_eq!(BayeuxConfig::default().paths().collect::<Vec<_>>(), ["/bayeux"]);
    }
}
