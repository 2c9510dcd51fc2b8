//! A URL on the command line whose scheme names a protocol.

use std::str::FromStr;

/// The schemes, for help texts and refusals.
const KNOWN: &str = "mqtt://, mqtts://, mqtt+ws://, mqtt+wss://, sse+http://, sse+https://, bayeux+http://, \
                     bayeux+https://, bayeux+ws://, bayeux+wss://, pusher+ws:// or pusher+wss://";

/// A URL of a far server; what follows its scheme is checked with the configuration.
#[derive(Debug, Clone)]
pub(super) struct UpstreamUrl {
    /// The protocol, as the key `kind` names it.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl FromStr for UpstreamUrl {
    type Err = String;

    /// The URL itself stays out of the message: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").ok_or_else(|| format!("this is no URL; write {KNOWN}"))?.0;
        let kind = match scheme.split('+').next().unwrap_or_default() {
            "mqtt" | "mqtts" => "mqtt",
            "sse" => "sse",
            "bayeux" => "bayeux",
            "pusher" => "pusher",
            _ => return Err(format!("{scheme}:// names no protocol; write {KNOWN}")),
        };
        Ok(Self { kind, text: text.to_owned() })
    }
}

impl UpstreamUrl {
    /// For messages: without user and password, without the query.
    pub(super) fn shown(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.text) else { return self.kind.to_owned() };
        // Neither is refused for a URL with a host, and one without is refused elsewhere.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.into()
    }
}
