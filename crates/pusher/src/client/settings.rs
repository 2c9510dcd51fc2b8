//! The configuration of an upstream, checked.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use ratatosk_connector::upstream::tls::{self, TlsError};
use rustls::ClientConfig;
use url::Url;

use crate::{config::PusherUpstreamConfig, proto::member::Member};

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is of another kind.
    #[error("the URL of a Pusher server begins with pusher+ws:// or pusher+wss://")]
    Scheme,
    /// The URL cannot be used.
    #[error("the URL of a Pusher server is pusher+ws://host:port/app/KEY, or pusher+wss://: {0}")]
    Url(&'static str),
    /// A value of the options cannot be used.
    #[error("`{0}`: {1}")]
    Option(&'static str, &'static str),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client.
    #[error("the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// See the module.
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// What stands before `/app/`.
    prefix: String,
    pub(super) key: String,
    pub(super) app_id: Option<String>,
    pub(super) secret: Option<String>,
    /// Without the `/apps/...`.
    pub(super) api: Url,
    pub(super) auth_endpoint: Option<Url>,
    pub(super) user_auth_endpoint: Option<Url>,
    pub(super) auth_headers: HeaderMap,
    pub(super) user: Option<Member>,
    pub(super) sign_in: bool,
    pub(super) watchlist: Vec<String>,
    pub(super) master_key: Option<[u8; 32]>,
    pub(super) force_api: bool,
    pub(super) presence_events: bool,
    pub(super) activity_timeout: Duration,
    pub(super) pong_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) tls_config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Settings {
    pub(super) fn new(url: &Url, config: &PusherUpstreamConfig) -> Result<Self, SetupError> {
        let tls = match url.scheme() {
            "pusher+ws" | "ws" => false,
            "pusher+wss" | "wss" => true,
            _ => return Err(SetupError::Scheme),
        };
        let host = match &config.cluster {
            Some(cluster) => host_of(cluster, url)?,
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let host = Some(host.as_str()).filter(|host| !host.is_empty()).ok_or(SetupError::Url("there is no host"))?;
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        let path = url.path().trim_end_matches('/');
        let (prefix, in_url) = match path.rsplit_once("/app/") {
            Some((prefix, key)) if !key.contains('/') => (prefix, Some(key)),
            _ => (path, None),
        };
        let key = config.key.as_deref().or(in_url).filter(|key| !key.is_empty());
        let key = key.ok_or(SetupError::Url("there is no application key, neither in the path nor as `key`"))?;
        let user_info = config.user_info.clone();
        if user_info.as_deref().is_some_and(|info| serde_json::from_str::<serde::de::IgnoredAny>(info).is_err()) {
            return Err(SetupError::Option("user_info", "this is no JSON"));
        }
        let user = config.user_id.clone().map(|user_id| Member { user_id, user_info });
        if config.sign_in && user.is_none() && config.user_auth_endpoint.is_none() {
            return Err(SetupError::Option("sign_in", "signing in takes a `user_id` or a `user_auth_endpoint`"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            prefix: prefix.to_owned(),
            key: key.to_owned(),
            app_id: config.app_id.clone(),
            secret: config.secret.as_ref().map(|secret| secret.expose().to_owned()),
            api: api(config, tls, host, port, prefix)?,
            auth_endpoint: config.auth_endpoint.as_ref().map(|url| url.0.clone()),
            user_auth_endpoint: config.user_auth_endpoint.as_ref().map(|url| url.0.clone()),
            auth_headers: headers(config)?,
            user,
            sign_in: config.sign_in,
            watchlist: config.watchlist.clone(),
            master_key: master_key(config)?,
            force_api: config.force_api,
            presence_events: config.presence_events,
            activity_timeout: config.activity_timeout.get().max(Duration::from_millis(100)),
            pong_timeout: config.pong_timeout.get().max(Duration::from_millis(100)),
            timeout: config.timeout.get().max(Duration::from_millis(100)),
            tls_config: tls::client_config(&config.tls, &[])?,
        })
    }

    /// Where the WebSocket is.
    pub(super) fn socket_url(&self, tls: bool, gateway_id: &str) -> String {
        let scheme = if tls { "wss" } else { "ws" };
        let (host, port, prefix, key) = (&self.host, self.port, &self.prefix, &self.key);
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{scheme}://{host}:{port}{prefix}/app/{key}?protocol=7&client=ratatosk&version={version}&flash=false&gateway={gateway_id}"
        )
    }
}

fn host_of(cluster: &str, url: &Url) -> Result<String, SetupError> {
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(SetupError::Option("cluster", "the URL names a host already; write pusher+wss:///app/KEY"));
    }
    match cluster.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !cluster.is_empty() {
        true => Ok(format!("ws-{cluster}.pusher.com")),
        false => Err(SetupError::Option("cluster", "this is a short name, such as `eu` or `mt1`")),
    }
}

/// Pusher's own clusters have another host for the API; everybody else has the same.
fn api(config: &PusherUpstreamConfig, tls: bool, host: &str, port: u16, prefix: &str) -> Result<Url, SetupError> {
    if let Some(url) = &config.api_url {
        return match url.scheme() {
            "http" | "https" => Ok(url.0.clone()),
            _ => Err(SetupError::Option("api_url", "write http://host:port or https://")),
        };
    }
    let cluster = host.strip_prefix("ws-").filter(|rest| rest.ends_with(".pusher.com"));
    let (host, port) = match (cluster, host) {
        (Some(rest), _) => (format!("api-{rest}"), if tls { 443 } else { 80 }),
        (None, "ws.pusherapp.com") => ("api.pusherapp.com".to_owned(), if tls { 443 } else { 80 }),
        (None, host) => (host.to_owned(), port),
    };
    let scheme = if tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{host}:{port}{prefix}")).map_err(|_| SetupError::Url("the HTTP API has no URL"))
}

fn headers(config: &PusherUpstreamConfig) -> Result<HeaderMap, SetupError> {
    let bad = |_| SetupError::Option("auth_headers", "a name or value cannot stand in a header");
    let mut headers = HeaderMap::new();
    for (name, value) in &config.auth_headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| bad(()))?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| bad(()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn master_key(config: &PusherUpstreamConfig) -> Result<Option<[u8; 32]>, SetupError> {
    let Some(key) = &config.encryption_master_key else { return Ok(None) };
    let bytes = BASE64_STANDARD.decode(key.expose()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Some).ok_or(SetupError::Option("encryption_master_key", "this is not 32 bytes in base64"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn settings(url: &str, config: &PusherUpstreamConfig) -> Result<Settings, SetupError> {
        Settings::new(&Url::parse(url).unwrap(), config)
    }

    #[test]
    fn urls_name_host_key_and_api() {
        for (url, socket, api) in [
            ("pusher+ws://127.0.0.1:6001/app/k", "ws://127.0.0.1:6001/app/k", "http://127.0.0.1:6001/"),
            ("wss://example.org/live/app/k", "wss://example.org:443/live/app/k", "https://example.org/live"),
            ("pusher+wss://ws-eu.pusher.com/app/k", "wss://ws-eu.pusher.com:443/app/k", "https://api-eu.pusher.com/"),
        ] {
            let settings = settings(url, &PusherUpstreamConfig::default()).unwrap();
            assert!(settings.socket_url(settings.tls, "g").starts_with(&format!("{socket}?protocol=7&")), "{url}");
            assert_eq!(settings.api.as_str(), api);
        }
        let eu = PusherUpstreamConfig { cluster: Some("eu".into()), ..Default::default() };
        let settings_eu = settings("pusher+wss:///app/k", &eu).unwrap();
        assert!(settings_eu.socket_url(true, "g").starts_with("wss://ws-eu.pusher.com:443/app/k?"));
        assert_eq!(settings_eu.api.as_str(), "https://api-eu.pusher.com/");
        let keyed = PusherUpstreamConfig { key: Some("k2".into()), ..Default::default() };
        assert_eq!(settings("pusher+ws://h:1/", &keyed).unwrap().key, "k2");
    }

    #[test]
    fn faults_are_named() {
        let default = PusherUpstreamConfig::default;
        for (url, config) in [
            ("mqtt://h/app/k", default()),
            ("pusher+ws://h/", default()),
            ("pusher+ws://h/app/k", PusherUpstreamConfig { user_info: Some("{".into()), ..default() }),
            ("pusher+ws://h/app/k", PusherUpstreamConfig { sign_in: true, ..default() }),
            ("pusher+ws://h/app/k", PusherUpstreamConfig { cluster: Some("eu".into()), ..default() }),
            ("pusher+wss:///app/k", PusherUpstreamConfig { cluster: Some("e.u".into()), ..default() }),
            ("pusher+ws://h/app/k", PusherUpstreamConfig { encryption_master_key: Some("AAAA".into()), ..default() }),
        ] {
            assert!(settings(url, &config).is_err(), "{url}");
        }
    }
}
