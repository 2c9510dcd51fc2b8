//! The `[sse]` section, and the keys of an upstream of kind `sse`.

use std::collections::BTreeMap;

use ratatosk_connector::config_types::{BufferConfig, ClientTlsConfig, Duration, Secret, Size, UrlText};
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
    /// So long before the token behind a stream expires, the stream says so (`event: token-expiring`).
    pub token_warning: Duration,
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
            token_warning: Duration::from_secs(60),
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
    /// The key of publishers' tokens: the secret of an `HS...` algorithm, or the public key in PEM form.
    pub publisher_jwt_key: Secret,
    /// The algorithm of publishers' tokens.
    #[serde(default)]
    pub publisher_jwt_alg: JwtAlgorithm,
    /// The key of subscribers' tokens.
    pub subscriber_jwt_key: Secret,
    /// The algorithm of subscribers' tokens.
    #[serde(default)]
    pub subscriber_jwt_alg: JwtAlgorithm,
    /// Whether a subscriber may come without a token (and sees public updates only).
    #[serde(default)]
    pub anonymous: bool,
    /// Whether subscriptions are published as private updates and listed by the subscriptions API.
    #[serde(default)]
    pub subscriptions: bool,
    /// The cookie that may carry a subscriber's token.
    #[serde(default = "default_cookie")]
    pub cookie: String,
}

fn default_cookie() -> String {
    "mercureAuthorization".to_owned()
}

/// The algorithm that signs tokens. One per key, so that a token cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "named as in RFC 7518, section 3.1, and RFC 8037")]
pub enum JwtAlgorithm {
    #[default]
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// An event stream of another server that we read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SseUpstreamConfig {
    /// What an event of the stream holds.
    pub format: SseUpstreamFormat,
    /// With `format = "event"`: the name that an event's channel has over there, which `from` is matched with. `{event}` stands
    /// for the event's type (`message` where it has none).
    pub channel: String,
    /// The request method.
    pub method: SseMethod,
    /// The request body, for `POST`.
    pub body: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// More request headers.
    pub headers: BTreeMap<String, Secret>,
    /// The `Last-Event-ID` of the first connection.
    pub last_event_id: Option<String>,
    /// How long connecting and the answer may take.
    pub connect_timeout: Duration,
    /// A stream that is silent for this long, comments included, is given up and opened again.
    pub idle_timeout: Duration,
    /// The longest line that is read, and the most data of one event.
    pub max_event: Size,
    /// A proxy (`http://`, `https://` or `socks5://`), or `"off"`; without it, the environment decides.
    #[schemars(example = &"http://proxy.example.org:3128")]
    pub proxy: Option<UrlText>,
    /// Trust and our certificate.
    pub tls: ClientTlsConfig,
    /// Where `out` rules send.
    pub publish: Option<SsePublishConfig>,
    /// What waits to be sent.
    pub buffer: BufferConfig,
}

impl Default for SseUpstreamConfig {
    fn default() -> Self {
        Self {
            format: SseUpstreamFormat::default(),
            channel: "{event}".to_owned(),
            method: SseMethod::default(),
            body: None,
            token: None,
            headers: BTreeMap::new(),
            last_event_id: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(300),
            max_event: Size::from_mib(16),
            proxy: None,
            tls: ClientTlsConfig::default(),
            publish: None,
            buffer: BufferConfig::default(),
        }
    }
}

/// What an event of a foreign stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SseUpstreamFormat {
    /// Its type is an event name, its data the payload.
    #[default]
    Event,
    /// Its data is the envelope of another Ratatosk, which names the channel. A URL without a `channel` parameter is completed with
    /// the filters of the rules.
    Envelope,
}

/// How a stream is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SseMethod {
    /// As browsers do.
    #[default]
    Get,
    /// With a body.
    Post,
}

/// How messages are sent to the far server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SsePublishConfig {
    /// The shape of the request.
    pub preset: SsePublishPreset,
    /// Where to, with `{channel}` and `{event}` percent-encoded in their places. Without it: the URL of the stream for `mercure`,
    /// `/publish` beside it for `ratatosk`.
    pub url: Option<UrlText>,
    /// With `raw`: the body, where `{payload}`, `{channel}` and `{event}` stand for themselves and `{payload_json}`,
    /// `{channel_json}` and `{event_json}` for the same as JSON values. Without it, the payload alone.
    pub body: Option<String>,
    /// Sent as `Authorization: Bearer`; without it, the stream's token is.
    pub token: Option<Secret>,
    /// More request headers.
    pub headers: BTreeMap<String, Secret>,
    /// With `mercure`: whether updates are private.
    pub private: bool,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Default for SsePublishConfig {
    fn default() -> Self {
        Self {
            preset: SsePublishPreset::default(),
            url: None,
            body: None,
            token: None,
            headers: BTreeMap::new(),
            private: false,
            timeout: Duration::from_secs(15),
        }
    }
}

/// The shape of a publishing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SsePublishPreset {
    /// `POST` with the payload, or with what `body` makes of it.
    #[default]
    Raw,
    /// The form of a Mercure hub: `topic`, `data`, `type`, `private`.
    Mercure,
    /// `POST /publish?channel=...` of another Ratatosk.
    Ratatosk,
}
