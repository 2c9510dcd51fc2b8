//! The options of an upstream, checked once.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ratatosk_connector::upstream::tls::{TlsError, client_config};
use reqwest::cookie::Jar;
use url::Url;

use crate::config::{BayeuxUpstreamConfig, OAuthConfig, ReplayConfig, UpstreamTransport};

/// Why an upstream cannot be set up. No text of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not the URL of a Bayeux server.
    #[error(
        "{0} is not the URL of a Bayeux server: write bayeux+http://, bayeux+https://, bayeux+ws:// or bayeux+wss://"
    )]
    Url(String),
    /// A header name or value with forbidden characters.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// A token endpoint that is no URL.
    #[error("oauth.token_url is not a URL")]
    TokenUrl,
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// What an attempt needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    /// `http` or `https`.
    pub(super) url: Url,
    /// `ws` or `wss`.
    pub(super) socket_url: Url,
    pub(super) transport: UpstreamTransport,
    pub(super) ack: bool,
    pub(super) replay: Option<ReplayConfig>,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) max_answer: usize,
    pub(super) oauth: Option<(Url, OAuthConfig)>,
    pub(super) config: BayeuxUpstreamConfig,
    pub(super) cookies: Arc<Jar>,
}

impl Settings {
    pub(super) fn new(url: &Url, config: &BayeuxUpstreamConfig) -> Result<Self, SetupError> {
        let (secure, socket) = match url.scheme().trim_start_matches("bayeux+") {
            "http" => (false, false),
            "https" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => return Err(SetupError::Url(url.to_string())),
        };
        let headers = headers(url, config)?;
        let transport = if socket { UpstreamTransport::Websocket } else { config.transport };
        let oauth = match &config.oauth {
            None => None,
            Some(oauth) => Some((Url::parse(&oauth.token_url).map_err(|_| SetupError::TokenUrl)?, oauth.clone())),
        };
        Ok(Self {
            url: with_scheme(url, if secure { "https" } else { "http" })?,
            socket_url: with_scheme(url, if secure { "wss" } else { "ws" })?,
            transport,
            ack: config.ack,
            replay: config.replay.clone(),
            headers,
            timeout: config.request_timeout.get(),
            max_answer: config.max_answer.as_usize(),
            oauth,
            config: config.clone(),
            cookies: Arc::new(Jar::default()),
        })
    }

    /// The HTTP client; certificates are read now.
    pub(super) fn http(&self) -> Result<reqwest::Client, SetupError> {
        let tls = client_config(&self.config.tls, &[])?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("ratatosk/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured((*tls).clone())
            .cookie_provider(self.cookies.clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.timeout)
            .build()?;
        Ok(client)
    }
}

fn with_scheme(url: &Url, scheme: &str) -> Result<Url, SetupError> {
    // `Url::set_scheme` does not go from an unknown scheme to a known one.
    let rest = url.as_str().split_once("://").map(|(_, rest)| rest).unwrap_or_default();
    let mut url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| SetupError::Url(url.to_string()))?;
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| SetupError::Url(scheme.into()))?;
    url.set_fragment(None);
    Ok(url)
}

fn headers(url: &Url, config: &BayeuxUpstreamConfig) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    let bad = |name: &str| SetupError::Header(name.to_owned());
    if let Some(password) = url.password() {
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        let (user, password) = (decode(url.username()), decode(password));
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        headers.insert(header::AUTHORIZATION, secret(&basic).ok_or_else(|| bad("authorization"))?);
    }
    if let Some(token) = &config.token {
        headers.insert(header::AUTHORIZATION, bearer(token.expose()).ok_or_else(|| bad("authorization"))?);
    }
    for (name, value) in &config.headers {
        let known: HeaderName = name.parse().map_err(|_| bad(name))?;
        headers.insert(known, secret(value.expose()).ok_or_else(|| bad(name))?);
    }
    Ok(headers)
}

/// An `Authorization` of a bearer.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    fn settings(url: &str) -> Result<Settings, SetupError> {
        Settings::new(&Url::parse(url).unwrap(), &BayeuxUpstreamConfig::default())
    }

    #[test]
    fn the_scheme_says_how_to_speak() {
        let socket = settings("bayeux+wss://h:8443/cometd").unwrap();
        assert_eq!((socket.url.as_str(), socket.socket_url.as_str()), ("https://h:8443/cometd", "wss://h:8443/cometd"));
        assert_eq!(socket.transport, UpstreamTransport::Websocket);
        assert_eq!(settings("http://h/x").unwrap().transport, UpstreamTransport::Auto);
        assert!(matches!(settings("ftp://h"), Err(SetupError::Url(_))));
    }

    #[test]
    fn a_user_in_the_url_is_a_header_and_not_in_the_url() {
        let settings = settings("bayeux+http://u:p%40ss@h/x").unwrap();
        assert_eq!(settings.url.as_str(), "http://h/x");
        assert_eq!(settings.headers[header::AUTHORIZATION], "Basic dTpwQHNz");
    }
}
