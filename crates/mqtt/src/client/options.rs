//! An upstream's configuration, checked and ready to use.

use std::{num::NonZeroU16, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use percent_encoding::percent_decode_str;
use ratatosk_connector::config_types::ClientTlsConfig;
use url::{Host, Url};

use crate::{
    config::{MqttUpstreamConfig, MqttVersion},
    proto::codec::{self, MAX_PACKET, Qos, Version, Will, valid_topic_name},
};

/// Why a broker cannot be joined with these options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The URL's scheme is none of MQTT's.
    #[error("`url`: MQTT is reached by mqtt://, mqtts://, mqtt+ws:// or mqtt+wss://, not by {0}://")]
    Scheme(String),
    /// The URL names no host.
    #[error("`url` names no host")]
    Host,
    /// User name or password in the URL are not UTF-8 after decoding.
    #[error("`url`: the user name is not UTF-8")]
    UserName,
    /// A session that is to be kept needs a name of its own.
    #[error("`clean_session = false` needs a `client_id`: the broker knows the session by it")]
    Unnamed,
    /// MQTT 3.1.1 has no password without a user name.
    #[error("`password` needs a `username` in MQTT 3.1.1")]
    PasswordAlone,
    /// The interval is a 16-bit number of seconds.
    #[error("`keep_alive` is at most 65535s, in whole seconds, or 0s")]
    KeepAlive,
    /// The will's topic is not one.
    #[error("`will.topic` is empty, too long, or has a wildcard")]
    WillTopic,
    /// There are three.
    #[error("`will.qos` is 0, 1 or 2")]
    WillQos,
    /// A text is longer than 65,535 bytes.
    #[error("`{0}` is longer than 65535 bytes")]
    TooLong(&'static str),
    /// A shared subscription's name has none of `/+#`.
    #[error("`share` is not empty and has none of `/`, `+` and `#`")]
    Share,
}

/// One place where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// The request target, if MQTT goes over WebSocket.
    pub(super) path: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Tried in turn.
    pub(super) addresses: Vec<Address>,
    pub(super) tls: ClientTlsConfig,
    pub(super) version: Version,
    pub(super) client_id: ByteString,
    pub(super) username: Option<ByteString>,
    pub(super) password: Option<codec::Secret>,
    pub(super) clean: bool,
    /// Seconds.
    pub(super) session_expiry: u32,
    pub(super) keep_alive: Duration,
    pub(super) will: Option<Will>,
    pub(super) max_inflight: usize,
    pub(super) connect_timeout: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) settle: Duration,
    pub(super) max_packet: u32,
    pub(super) share: Option<String>,
}

/// How many QoS 1 and 2 publications we take at once.
const INBOUND_RECEIVE_MAXIMUM: u16 = 1024;
/// How many we have in flight, where an MQTT 5 broker takes that many.
const INFLIGHT_V5: u16 = 256;
/// The same for MQTT 3.1.1, whose brokers cannot say how many they take: Mosquitto takes 20 and closes the connection on
/// more.
const INFLIGHT_V3: u16 = 20;

impl Options {
    pub(super) fn resolve(name: &str, url: &Url, config: &MqttUpstreamConfig) -> Result<Self, OptionsError> {
        let version = match config.version {
            MqttVersion::V311 => Version::V311,
            MqttVersion::V5 => Version::V5,
        };
        let username = match &config.username {
            Some(username) => Some(ByteString::from(username.as_str())),
            None => url_part(url.username())?,
        };
        let password = match (&config.password, url.password()) {
            (Some(password), _) => Some(Bytes::copy_from_slice(password.expose().as_bytes())),
            (None, Some(password)) => Some(percent_decode_str(password).collect()),
            (None, None) => None,
        };
        let also = config.also.iter().map(|other| address(other));
        let options = Self {
            addresses: std::iter::once(address(url)).chain(also).collect::<Result<_, _>>()?,
            tls: config.tls.clone(),
            version,
            client_id: client_id(name, config)?,
            username,
            password: password.map(codec::Secret),
            clean: config.clean_session,
            session_expiry: u32::try_from(config.session_expiry.get().as_secs()).unwrap_or(u32::MAX),
            keep_alive: config.keep_alive.get(),
            will: config.will.as_ref().map(will).transpose()?,
            max_inflight: usize::from(
                config.max_inflight.unwrap_or(if version.is_v5() { INFLIGHT_V5 } else { INFLIGHT_V3 }).max(1),
            ),
            connect_timeout: config.connect_timeout.get(),
            ack_timeout: config.ack_timeout.get(),
            settle: config.settle.get(),
            max_packet: u32::try_from(config.max_packet_size.bytes()).unwrap_or(u32::MAX).min(MAX_PACKET),
            share: config.share.clone(),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), OptionsError> {
        if self.password.is_some() && self.username.is_none() && !self.version.is_v5() {
            return Err(OptionsError::PasswordAlone);
        }
        if self.keep_alive.subsec_nanos() != 0 || u16::try_from(self.keep_alive.as_secs()).is_err() {
            return Err(OptionsError::KeepAlive);
        }
        let long = |text: &[u8]| text.len() > usize::from(u16::MAX);
        if self.username.as_ref().is_some_and(|name| long(name.as_bytes())) {
            return Err(OptionsError::TooLong("username"));
        }
        if self.password.as_ref().is_some_and(|password| long(&password.0)) {
            return Err(OptionsError::TooLong("password"));
        }
        if long(self.client_id.as_bytes()) {
            return Err(OptionsError::TooLong("client_id"));
        }
        if self.share.as_ref().is_some_and(|share| share.is_empty() || share.contains(['/', '+', '#', '\0'])) {
            return Err(OptionsError::Share);
        }
        Ok(())
    }

    /// What CONNECT says about it.
    pub(super) fn receive_maximum() -> Option<NonZeroU16> {
        NonZeroU16::new(INBOUND_RECEIVE_MAXIMUM)
    }
}

fn client_id(name: &str, config: &MqttUpstreamConfig) -> Result<ByteString, OptionsError> {
    match &config.client_id {
        Some(id) if !id.is_empty() => Ok(id.as_str().into()),
        _ if !config.clean_session => Err(OptionsError::Unnamed),
        _ => Ok(format!("ratatosk-{name}-{:08x}", fastrand::u32(..)).into()),
    }
}

fn url_part(text: &str) -> Result<Option<ByteString>, OptionsError> {
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| OptionsError::UserName)?;
    Ok(Some(decoded.as_ref().into()))
}

fn address(url: &Url) -> Result<Address, OptionsError> {
    let (tls, websocket) = match url.scheme() {
        "mqtt" => (false, false),
        "mqtts" => (true, false),
        "mqtt+ws" | "ws" => (false, true),
        "mqtts+ws" | "mqtt+wss" | "wss" => (true, true),
        other => return Err(OptionsError::Scheme(other.to_owned())),
    };
    let usual = match (tls, websocket) {
        (false, false) => 1883,
        (true, false) => 8883,
        (false, true) => 80,
        (true, true) => 443,
    };
    let host = match url.host().ok_or(OptionsError::Host)? {
        Host::Domain("") => return Err(OptionsError::Host),
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let path = websocket.then(|| target(url));
    Ok(Address { host, port: url.port().unwrap_or(usual), tls, path })
}

fn target(url: &Url) -> String {
    let path = if matches!(url.path(), "" | "/") { "/mqtt" } else { url.path() };
    url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn will(config: &crate::config::WillConfig) -> Result<Will, OptionsError> {
    if !valid_topic_name(&config.topic) {
        return Err(OptionsError::WillTopic);
    }
    if config.payload.len() > usize::from(u16::MAX) {
        return Err(OptionsError::TooLong("will.payload"));
    }
    let qos = match config.qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        _ => return Err(OptionsError::WillQos),
    };
    let payload = Bytes::copy_from_slice(config.payload.as_bytes());
    Ok(Will { topic: config.topic.as_str().into(), payload, qos, retain: config.retain, ..Will::default() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn resolve(url: &str, config: &MqttUpstreamConfig) -> Result<Options, OptionsError> {
        Options::resolve("far", &Url::parse(url).unwrap(), config)
    }

    #[test]
    fn urls() {
        for (url, host, port, tls, path) in [
            ("mqtt://broker", "broker", 1883, false, None),
            ("mqtts://broker", "broker", 8883, true, None),
            ("mqtt://[::1]:2000", "::1", 2000, false, None),
            ("mqtt+ws://broker", "broker", 80, false, Some("/mqtt")),
            ("mqtt+wss://broker:9/x?y=1", "broker", 9, true, Some("/x?y=1")),
            ("wss://broker/", "broker", 443, true, Some("/mqtt")),
        ] {
            let options = resolve(url, &MqttUpstreamConfig::default()).unwrap();
            let expected = Address { host: host.into(), port, tls, path: path.map(Into::into) };
            assert_eq!(options.addresses, [expected], "{url}");
        }
        let wrong = resolve("http://broker", &MqttUpstreamConfig::default());
        assert_eq!(wrong.unwrap_err(), OptionsError::Scheme("http".into()));
    }

    #[test]
    fn credentials_come_from_the_url_or_the_keys() {
        let options = resolve("mqtt://joe%40x:p%2Fw@broker", &MqttUpstreamConfig::default()).unwrap();
        assert_eq!((&*options.username.unwrap(), &options.password.unwrap().0[..]), ("joe@x", &b"p/w"[..]));
        let config = MqttUpstreamConfig { username: Some("ann".into()), ..Default::default() };
        assert_eq!(&*resolve("mqtt://joe@broker", &config).unwrap().username.unwrap(), "ann");
    }

    #[test]
    fn a_kept_session_needs_a_name() {
        let config = MqttUpstreamConfig { clean_session: false, ..Default::default() };
        assert_eq!(resolve("mqtt://b", &config).unwrap_err(), OptionsError::Unnamed);
        let named = MqttUpstreamConfig { client_id: Some("gw".into()), ..config };
        assert_eq!(&*resolve("mqtt://b", &named).unwrap().client_id, "gw");
    }

    #[test]
    fn limits() {
        let long = MqttUpstreamConfig {
            keep_alive: ratatosk_connector::config_types::Duration::from_secs(70_000),
            ..Default::default()
        };
        assert_eq!(resolve("mqtt://b", &long).unwrap_err(), OptionsError::KeepAlive);
        let share = MqttUpstreamConfig { share: Some("a/b".into()), ..Default::default() };
        assert_eq!(resolve("mqtt://b", &share).unwrap_err(), OptionsError::Share);
    }
}
