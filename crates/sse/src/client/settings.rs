//! The configuration of an upstream, resolved: every text checked once.

use super::template::{Template, TemplateError};
use crate::config::{SseMethod, SsePublishConfig, SsePublishPreset, SseUpstreamConfig, SseUpstreamFormat};
use crate::proto::parser::Limits;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ratatosk_connector::config_types::Secret;
use ratatosk_core::Fields;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Why an upstream cannot be set up. No text of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a URL of a stream.
    #[error("{0} is not a URL that a stream can be read from: write http:// or https://")]
    Url(String),
    /// A header name or value with forbidden characters.
    #[error("the header {0:?} cannot be sent: a name takes letters, digits and dashes, a value printable characters")]
    Header(String),
    /// A template with an unknown or unclosed placeholder.
    #[error("{0}: {1}")]
    Template(&'static str, TemplateError),
    /// A proxy that is not one.
    #[error("the proxy cannot be used: write \"http://host:port\", \"socks5://host:port\" or \"off\"")]
    Proxy,
    /// A certificate or key file.
    #[error("{0}: {1}")]
    Certificate(String, String),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
    /// `raw` needs a URL.
    #[error("publish.url is missing: only the presets `mercure` and `ratatosk` know where to send")]
    PublishUrl,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) format: SseUpstreamFormat,
    /// The URL is completed with the wanted filters.
    pub(super) adds_filters: bool,
    pub(super) channel: Template,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) publish: Option<Publish>,
    /// Headers that only the configured origin may see.
    pub(super) confidential: bool,
}

#[derive(Debug)]
pub(super) struct Publish {
    pub(super) preset: SsePublishPreset,
    pub(super) url: Template,
    pub(super) body: Option<Template>,
    pub(super) headers: HeaderMap,
    pub(super) private: bool,
    pub(super) timeout: Duration,
}

impl Settings {
    pub(super) fn new(url: &Url, config: &SseUpstreamConfig) -> Result<Self, SetupError> {
        let url = http_url(url)?;
        let publish = match (&config.publish, config.format) {
            (Some(publish), _) => Some(Publish::new(publish, &url, config)?),
            (None, SseUpstreamFormat::Envelope) => Some(Publish::new(&beside(), &url, config)?),
            (None, SseUpstreamFormat::Event) => None,
        };
        let most = usize::try_from(config.max_event.bytes()).unwrap_or(usize::MAX);
        Ok(Self {
            method: match config.method {
                SseMethod::Get => Method::GET,
                SseMethod::Post => Method::POST,
            },
            headers: stream_headers(config)?,
            body: config.body.clone(),
            format: config.format,
            adds_filters: config.format == SseUpstreamFormat::Envelope
                && !url.query_pairs().any(|(name, _)| name == "channel"),
            channel: Template::new(&config.channel, &["event"])
                .map_err(|error| SetupError::Template("channel", error))?,
            connect_timeout: config.connect_timeout.get(),
            idle_timeout: config.idle_timeout.get(),
            limits: Limits { line: most, event: most },
            publish,
            confidential: !config.headers.is_empty(),
            url,
        })
    }

    /// What the far server is told of a message. Where nothing is sent, nothing is lost.
    pub(super) fn carries(&self) -> Fields {
        self.publish.as_ref().map_or(Fields::ALL, Publish::carries)
    }
}

impl Publish {
    fn new(config: &SsePublishConfig, stream: &Url, upstream: &SseUpstreamConfig) -> Result<Self, SetupError> {
        let url = match (&config.url, config.preset) {
            (Some(url), _) => url.0.clone(),
            (None, SsePublishPreset::Mercure) => bare(stream, stream.path()),
            (None, SsePublishPreset::Ratatosk) => bare(stream, "/publish"),
            (None, SsePublishPreset::Raw) => return Err(SetupError::PublishUrl),
        };
        let sample = url.replace(['{', '}'], "x");
        Url::parse(&sample)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(SetupError::Url(sample))?;
        let places = ["payload", "channel", "event", "payload_json", "channel_json", "event_json"];
        let body = config.body.as_deref().map(|body| Template::new(body, &places)).transpose();
        let token = config.token.as_ref().or(upstream.token.as_ref());
        Ok(Self {
            preset: config.preset,
            url: Template::new(&url, &["channel", "event"])
                .map_err(|error| SetupError::Template("publish.url", error))?,
            body: body.map_err(|error| SetupError::Template("publish.body", error))?,
            headers: headers(&config.headers, token)?,
            private: config.private,
            timeout: config.timeout.get(),
        })
    }
}

/// Another Ratatosk takes messages beside its streams.
fn beside() -> SsePublishConfig {
    SsePublishConfig { preset: SsePublishPreset::Ratatosk, ..SsePublishConfig::default() }
}

fn http_url(url: &Url) -> Result<Url, SetupError> {
    let text = url.as_str();
    let plain = Url::parse(text.strip_prefix("sse+").unwrap_or(text)).ok();
    let plain = plain.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    plain.ok_or_else(|| SetupError::Url(format!("{}://...", url.scheme())))
}

/// The same server, another path, no query: what a template may be made of.
fn bare(url: &Url, path: &str) -> String {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn stream_headers(config: &SseUpstreamConfig) -> Result<HeaderMap, SetupError> {
    let mut all = headers(&config.headers, config.token.as_ref())?;
    all.entry(header::ACCEPT).or_insert(HeaderValue::from_static("text/event-stream"));
    all.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(all)
}

fn headers(texts: &BTreeMap<String, Secret>, token: Option<&Secret>) -> Result<HeaderMap, SetupError> {
    let mut all = HeaderMap::new();
    for (name, value) in texts {
        let refused = || SetupError::Header(name.clone());
        all.append(
            HeaderName::try_from(name).map_err(|_| refused())?,
            secret_value(value.expose()).ok_or_else(refused)?,
        );
    }
    if let Some(token) = token {
        let value = secret_value(&format!("Bearer {}", token.expose()));
        all.insert(header::AUTHORIZATION, value.ok_or_else(|| SetupError::Header("authorization".to_owned()))?);
    }
    Ok(all)
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
