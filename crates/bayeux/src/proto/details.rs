//! What a message says beside channel and data, as `ext.ratatosk`: for clients that want to know, or to say, it.
//!
//! ```text
//! "ext": {"ratatosk": {"event": "alarm", "properties": [["unit", "C"]], "content_type": "application/json",
//!                      "reply_to": "/answers/7", "correlation": "AAE=", "retain": true, "expires": 1765000000000}}
//! ```
//!
//! A publisher says how long the message may live by `expiry`, in seconds; a subscriber is told by `expires`, in Unix
//! milliseconds, until when.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatosk_core::{Channel, Message, Properties, message::Extras};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    mapping::{self, Name},
    proto::payload::BINARY_PROPERTY,
};

/// The name of the extension.
pub const NAME: &str = "ratatosk";

/// See the module. Names of channels are Bayeux's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The event's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Arc<str>>,
    /// MIME type of the payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Arc<str>>,
    /// User properties in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Properties,
    /// Where an answer is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// What an answer carries back, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Whether the publisher wants it kept as the channel's last value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retain: bool,
    /// Until when it is of use, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// How long it may live from now, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<f64>,
}

impl Details {
    /// What a message says of itself, but for its life; `reply_to` and `retain` may be others on its way to a peer.
    #[must_use]
    pub fn of(message: &Message, reply_to: Option<&Channel>, retain: bool) -> Self {
        let Some(extras) = message.extras() else { return Self { retain, ..Self::default() } };
        Self {
            event: extras.event.clone(),
            content_type: extras.content_type.clone(),
            properties: extras.properties.iter().filter(|(name, _)| &**name != BINARY_PROPERTY).cloned().collect(),
            reply_to: reply_to.map(mapping::encode),
            correlation: extras.correlation.as_ref().map(|bytes| STANDARD.encode(bytes)),
            retain,
            ..Self::default()
        }
    }

    /// Reads the extension's value; `None` if it is none.
    #[must_use]
    pub fn read(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Appends `"ratatosk":{...}`, unless there is nothing to say.
    pub fn write(&self, out: &mut Vec<u8>) {
        if *self == Self::default() {
            return;
        }
        out.extend_from_slice(b"\"ratatosk\":");
        // Texts, numbers and lists of them: nothing that JSON could refuse.
        out.extend(serde_json::to_vec(self).unwrap_or_else(|_| b"null".to_vec()));
    }

    /// How long the message may live from `now`, which is in Unix milliseconds.
    #[must_use]
    pub fn life(&self, now: u64) -> Option<Duration> {
        let asked = self.expiry.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        asked.or_else(|| self.expires.map(|at| Duration::from_millis(at.saturating_sub(now))))
    }

    /// Enters what is said of the message into its rare parts.
    pub fn enter(self, extras: &mut Extras) {
        let channel = |name: String| match mapping::read(&name) {
            Ok(Name::Channel(channel)) => Some(channel),
            _ => None,
        };
        extras.event = self.event.filter(|event| !event.is_empty());
        extras.content_type = self.content_type.or(extras.content_type.take());
        extras.properties.splice(0..0, self.properties);
        extras.reply_to = self.reply_to.and_then(channel);
        extras.correlation = self.correlation.and_then(|text| STANDARD.decode(text).ok()).map(Into::into);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_core::{Origin, Publication};

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut publication = Publication::new(Channel::new("a").unwrap(), "1", Origin::gateway()).with_event("alarm");
        let extras = publication.extras_mut();
        extras.content_type = Some("text/plain".into());
        extras.properties =
            vec![("unit".into(), "C".into()), (BINARY_PROPERTY.into(), "{}".into()), ("unit".into(), "K".into())];
        extras.reply_to = Some(Channel::new("answers/a b").unwrap());
        extras.correlation = Some((&[0, 255][..]).into());
        let message = Message::detached(publication);
        let reply_to = message.extras().unwrap().reply_to.as_ref();
        let mut written = Vec::new();
        Details::of(&message, reply_to, true).write(&mut written);
        let text = String::from_utf8(written).unwrap();
        let value = text.strip_prefix("\"ratatosk\":").unwrap();
        assert!(value.contains(r#""reply_to":"/answers/a~20b""#) && !value.contains(BINARY_PROPERTY), "{value}");
        let details = Details::read(&raw(value)).unwrap();
        assert!(details.retain);
        let mut read = Extras { properties: vec![(BINARY_PROPERTY.into(), "{}".into())], ..Extras::default() };
        details.enter(&mut read);
        let mut expected = message.extras().unwrap().clone();
        expected.properties.swap(1, 2);
        assert_eq!(read, expected);
    }

    #[test]
    fn a_plain_message_says_nothing() {
        let publication = Publication::new(Channel::new("a").unwrap(), "1", Origin::gateway());
        let mut written = Vec::new();
        Details::of(&Message::detached(publication), None, false).write(&mut written);
        assert!(written.is_empty());
    }

    #[test]
    fn lives_are_told_in_two_ways() {
        let life = |text: &str| Details::read(&raw(text)).unwrap().life(100_000);
        assert_eq!(life(r#"{"expiry":1.5}"#), Some(Duration::from_millis(1500)));
        assert_eq!(life(r#"{"expires":160000}"#), Some(Duration::from_secs(60)));
        assert_eq!(life(r#"{"expires":1}"#), Some(Duration::ZERO));
        assert_eq!((life(r#"{"expiry":-1}"#), life(r#"{"expiry":1e300}"#), life("{}")), (None, None, None));
    }

    #[test]
    fn what_is_no_extension_is_none() {
        for bad in ["1", r#"{"event":1}"#, r#"{"properties":{"a":"b"}}"#, r#"{"retain":"yes"}"#] {
            assert_eq!(Details::read(&raw(bad)), None, "{bad}");
        }
    }
}
