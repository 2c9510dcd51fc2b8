//! What goes through the matrix: payloads, names, and all that a message can say of itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A payload, as the scripts are told of it.
pub(super) struct Payload {
    pub(super) title: &'static str,
    pub(super) published: Value,
}

pub(super) const MIB: usize = 1 << 20;

pub(super) fn payloads() -> Vec<Payload> {
    let object = json!({"n": -0.5, "text": "z\u{fc}rich \u{1f40d} \u{2028} \"", "list": [1, null, true, {}], "big": 9_007_199_254_740_991_u64});
    let text = "no {json}, two\nlines, a \u{1f40d}";
    let binary = STANDARD.encode([0, 255, 1, 254, b'\n', 0x80, b'\r']);
    let of = |title, published| Payload { title, published };
    vec![
        of("JSON", json!({ "json": object })),
        of("JSON number", json!({"json": 21.5})),
        of("text", json!({ "text": text })),
        of("binary", json!({ "binary": binary })),
        of("empty", json!({"text": ""})),
        of("1 MiB", json!({ "fill": MIB })),
    ]
}

impl Payload {
    pub(super) fn is_large(&self) -> bool {
        self.published["fill"].is_number()
    }

    /// Whether this is what a subscriber saw: in whichever form its protocol has.
    pub(super) fn is(&self, seen: &Value) -> bool {
        let bytes = || STANDARD.decode(seen["bytes"].as_str()?).ok();
        let plain = |text: &str| seen["text"] == text || bytes().is_some_and(|bytes| bytes == text.as_bytes());
        let read = || {
            let text = seen["text"].as_str().map(str::to_owned);
            let text = text.or_else(|| String::from_utf8(bytes()?).ok())?;
            serde_json::from_str::<Value>(&text).ok()
        };
        if self.is_large() {
            let brief = [&seen["text"], &seen["bytes"]].into_iter().find(|form| form["length"].is_number());
            return brief.is_some_and(|brief| brief["length"] == MIB && brief["sha256"] == FILLED);
        }
        if let Some(text) = self.published["text"].as_str() {
            return plain(text);
        }
        if let Some(binary) = self.published["binary"].as_str() {
            return seen["binary"] == binary || seen["bytes"] == binary;
        }
        let json = &self.published["json"];
        seen["json"] == *json || read().as_ref() == Some(json)
    }
}

/// SHA-256 of 1 MiB of `x`.
const FILLED: &str = "8f990ba0b577b51cf009ea049368c16bbda1b21e1b93be07a824758bb253c39b";

/// A channel's name in each protocol.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) canonical: String,
    pub(super) mqtt: String,
    pub(super) bayeux: String,
    /// None where it would be too long, or could not be subscribed to.
    pub(super) pusher: Option<String>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.canonical)
    }
}

impl Name {
    pub(super) fn plain(canonical: &str, bayeux: &str, pusher: &str) -> Self {
        Self { canonical: canonical.into(), mqtt: canonical.into(), bayeux: bayeux.into(), pusher: Some(pusher.into()) }
    }

    /// One that Pusher's API keeps the last event of.
    pub(super) fn cached(number: usize) -> Self {
        let canonical = format!("cache-kept/{number}");
        Self::plain(&canonical, &format!("/{canonical}"), &canonical.replace('/', "."))
    }

    fn with_topic(mut self, topic: &str) -> Self {
        self.mqtt = topic.into();
        self
    }

    fn without_pusher(mut self) -> Self {
        self.pusher = None;
        self
    }

    /// Whether it has a level that reads as a wildcard: such a name can be published to, but not subscribed to alone, and not by HTTP.
    pub(super) fn has_wild_level(&self) -> bool {
        self.canonical.split('/').any(|level| matches!(level, "+" | "#"))
    }
}

/// The names of CONTRACT 4's table that clients may publish to, and hostile ones.
pub(super) fn names() -> Vec<Name> {
    let long = format!("long/{}", "x".repeat(200));
    let plain = Name::plain;
    vec![
        plain("sensors/kitchen/temp", "/sensors/kitchen/temp", "sensors.kitchen.temp"),
        plain("v1.2/data", "/v1.2/data", "v1=2E2.data"),
        plain("/leading", "/~-/leading", ".leading"),
        plain("a//b", "/a/~-/b", "a..b"),
        plain("home/salon temp\u{e9}rature", "/home/salon~20temp~xE9~rature", "home.salon=20temp=xE9;rature"),
        plain("App/Models/User/5", "/App/Models/User/5", "App.Models.User.5"),
        plain("device/00:11/rssi", "/device/00~3A11/rssi", "device.00=3A11.rssi"),
        plain("a+b", "/a~2Bb", "a=2Bb").with_topic("a%2Bb"),
        plain("private-orders/7", "/private-orders/7", "private-orders.7"),
        plain("a=2Eb", "/a~3D2Eb", "a=3D2Eb"),
        plain("~41/~-", "/~7E41/~7E-", "=7E41.=7E-"),
        plain("%2B/x", "/~252B/x", "=252B.x").with_topic("%252B/x"),
        plain("meta/x", "/~6Deta/x", "meta.x"),
        plain("service/x", "/~73ervice/x", "service.x"),
        plain("emoji/\u{1f600}", "/emoji/~x1F600~", "emoji.=x1F600;"),
        plain("quote\"back\\slash", "/quote~22back~5Cslash", "quote=22back=5Cslash"),
        plain(" a ", "/~20a~20", "=20a=20"),
        plain("a/", "/a/~-", "a."),
        plain("//", "/~-/~-/~-", ".."),
        plain("<b>&amp;\u{2028}", "/~3Cb~3E~26amp~3B~x2028~", "=3Cb=3E=26amp;=x2028;"),
        plain("line\nbreak", "/line~0Abreak", "line=0Abreak").with_topic("line%0Abreak"),
        plain(&long, &format!("/{long}"), "").without_pusher(),
        plain("x/+/y", "/x/~2B/y", "").with_topic("x/%2B/y").without_pusher(),
    ]
}

/// What a message can say of itself beside channel and payload, by the names in `ratatosk_mapping_loss_total`.
pub(super) const FIELDS: [&str; 6] = ["event", "properties", "content_type", "reply_to", "correlation", "expiry"];
