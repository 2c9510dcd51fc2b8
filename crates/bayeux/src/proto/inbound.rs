//! What a client sends: an array of messages, or one message (Bayeux 1.0, section "Common Elements").

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a body is no list of messages. Over HTTP each is a 400, but for [`BatchError::TooMany`], a 413.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Not JSON, or an element that is not an object.
    #[error("the body is no JSON array of messages: {0}")]
    Json(#[from] serde_json::Error),
    /// More messages than allowed in one body.
    #[error("a request has at most {0} messages")]
    TooMany(usize),
}

/// Reads a body: a JSON array of messages, or a single message.
///
/// # Errors
/// See [`BatchError`].
pub fn parse(body: &str, limit: usize) -> Result<Vec<Inbound<'_>>, BatchError> {
    if body.trim_start().starts_with('{') {
        return Ok(vec![serde_json::from_str(body)?]);
    }
    let raw: Vec<&RawValue> = serde_json::from_str(body)?;
    if raw.len() > limit {
        return Err(BatchError::TooMany(limit));
    }
    raw.into_iter().map(one).collect()
}

/// Derived code would take an array for an object's fields in order.
fn one(raw: &RawValue) -> Result<Inbound<'_>, BatchError> {
    if !raw.get().starts_with('{') {
        return Err(BatchError::Json(serde::de::Error::custom("a message is an object")));
    }
    Ok(serde_json::from_str(raw.get())?)
}

/// One message. Fields are kept as they were written, so that a wrong type spoils only its own message.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inbound<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    ext: Option<&'a RawValue>,
    #[serde(borrow)]
    subscription: Option<&'a RawValue>,
    #[serde(borrow)]
    connection_type: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    minimum_version: Option<&'a RawValue>,
    #[serde(borrow)]
    supported_connection_types: Option<&'a RawValue>,
    #[serde(borrow)]
    advice: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

impl<'a> Inbound<'a> {
    /// The channel, if it is a string.
    #[must_use]
    pub fn channel(&self) -> Option<Cow<'a, str>> {
        text(self.channel?)
    }

    /// The session's id, if it is a string.
    #[must_use]
    pub fn client_id(&self) -> Option<Cow<'a, str>> {
        text(self.client_id?)
    }

    /// The message's id as written: the reply carries the same.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.id.map(RawValue::get).filter(|raw| is_id(raw))
    }

    /// Whether the message's id is of no use: neither string nor number, or absurdly long.
    #[must_use]
    pub fn has_bad_id(&self) -> bool {
        self.id.is_some_and(|raw| !is_id(raw.get()))
    }

    /// What is published, as written.
    #[must_use]
    pub fn data(&self) -> Option<&'a RawValue> {
        self.data
    }

    /// The `subscription` field as written: it is echoed in the same shape.
    #[must_use]
    pub fn subscription(&self) -> Option<&'a str> {
        self.subscription.map(RawValue::get)
    }

    /// The names in `subscription`, a string or an array of strings; `None` if it is anything else.
    #[must_use]
    pub fn subscriptions(&self) -> Option<Vec<Cow<'a, str>>> {
        strings(self.subscription?)
    }

    /// The connection type of a connect request.
    #[must_use]
    pub fn connection_type(&self) -> Option<Cow<'a, str>> {
        text(self.connection_type?)
    }

    /// The version of a handshake request.
    #[must_use]
    pub fn version(&self) -> Option<Cow<'a, str>> {
        text(self.version?)
    }

    /// The lowest version that the client can do with.
    #[must_use]
    pub fn minimum_version(&self) -> Option<Cow<'a, str>> {
        text(self.minimum_version?)
    }

    /// The connection types of a handshake request.
    #[must_use]
    pub fn supported_connection_types(&self) -> Option<Vec<Cow<'a, str>>> {
        strings(self.supported_connection_types?)
    }

    /// The client's advice, where it gives any.
    #[must_use]
    pub fn advice(&self) -> Option<ClientAdvice> {
        serde_json::from_str(self.advice?.get()).ok()
    }

    /// The extensions that this server knows; empty where the client uses none.
    #[must_use]
    pub fn ext(&self) -> Ext<'a> {
        self.ext.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Whether the message carries a `timestamp`, and so wants one back.
    #[must_use]
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }
}

/// What a client asks of the server's pace, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClientAdvice {
    /// How long a connect may be held.
    pub timeout: Option<f64>,
    /// How long the client waits between two connects.
    pub interval: Option<f64>,
}

/// The extension fields that mean something here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ext<'a> {
    /// Acknowledgement: `true` or an object at the handshake, a batch number at a connect.
    #[serde(borrow)]
    pub ack: Option<&'a RawValue>,
    /// Clock synchronisation, see [`crate::proto::timesync`].
    #[serde(borrow)]
    pub timesync: Option<&'a RawValue>,
    /// Replay from history, see [`crate::proto::replay`].
    #[serde(borrow)]
    pub replay: Option<&'a RawValue>,
    /// Marks `data.data` as Z85.
    #[serde(borrow)]
    pub binary: Option<&'a RawValue>,
    /// The key of a publisher without a session.
    #[serde(borrow)]
    pub key: Option<&'a RawValue>,
    /// Credentials at the handshake, see [`crate::proto::credentials`].
    #[serde(borrow)]
    pub authentication: Option<&'a RawValue>,
    /// A token at the handshake.
    #[serde(borrow)]
    pub token: Option<&'a RawValue>,
    /// The gateways that a message has passed; at the handshake it says that the far end is one.
    #[serde(borrow, rename = "ratatosk-hops")]
    pub hops: Option<&'a RawValue>,
    /// What a publication says beside its data, see [`crate::proto::details`].
    #[serde(borrow)]
    pub ratatosk: Option<&'a RawValue>,
}

/// Reads a JSON string; `None` for any other value.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw.get()).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn strings(raw: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    if let Some(one) = text(raw) {
        return Some(vec![one]);
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    list.into_iter().map(text).collect()
}

fn is_id(raw: &str) -> bool {
    raw.len() <= 256 && raw.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn one_message_or_an_array() {
        assert_eq!(parse(r#" {"channel":"/a"}"#, 9).unwrap().len(), 1);
        assert_eq!(parse(r#"[{"channel":"/a"},{}]"#, 9).unwrap().len(), 2);
        assert!(parse("[]", 9).unwrap().is_empty());
        assert!(matches!(parse("[{},{},{}]", 2), Err(BatchError::TooMany(2))));
        for bad in ["", "null", "1", "[1]", "[[{}]]", "[{}", "{} {}", "\"x\"", "[{\"id\":1,\"id\":2}]"] {
            assert!(parse(bad, 9).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_read_by_their_type() {
        let batch = parse(
            r#"[{"channel":"/caf\u00e9","id":7,"clientId":null,"subscription":["/a","/b"],"ext":1,"advice":{"timeout":0}},
                {"channel":7,"id":{},"clientId":"x","subscription":["/a",1],"data":null}]"#,
            9,
        )
        .unwrap();
        assert_eq!(batch[0].channel().unwrap(), "/café");
        assert_eq!(batch[0].id(), Some("7"));
        assert_eq!(batch[0].client_id(), None);
        assert_eq!(batch[0].subscriptions().unwrap().len(), 2);
        assert!(batch[0].ext().ack.is_none());
        assert_eq!(batch[0].advice().unwrap().timeout, Some(0.0));
        assert_eq!(batch[1].channel(), None);
        assert!(batch[1].has_bad_id() && batch[1].id().is_none());
        assert_eq!(batch[1].subscriptions(), None);
        assert!(batch[1].data().is_none());
    }
}
