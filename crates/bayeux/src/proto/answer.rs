//! What a server sends to us as its client: replies, and messages of our subscriptions.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proto::{Millis, inbound::text};

/// One message from a server. Fields are kept as they were written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answer<'a> {
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    successful: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    advice: Option<&'a RawValue>,
    #[serde(borrow)]
    ext: Option<&'a RawValue>,
    #[serde(borrow)]
    supported_connection_types: Option<&'a RawValue>,
}

/// Reads an answer's body: an array, or a single message.
///
/// # Errors
/// It is neither.
pub fn parse(body: &str) -> Result<Vec<Answer<'_>>, serde_json::Error> {
    if body.trim_start().starts_with('{') { Ok(vec![serde_json::from_str(body)?]) } else { serde_json::from_str(body) }
}

/// What the server advises.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServerAdvice {
    /// `retry`, `handshake` or `none`.
    pub reconnect: Option<String>,
    /// Milliseconds to wait before that; negative asks us to stay away.
    pub interval: Option<f64>,
    /// Milliseconds that a connect is held.
    pub timeout: Option<f64>,
}

/// A span in milliseconds, as far as it is one.
#[must_use]
pub fn millis(value: Option<f64>) -> Option<Millis> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
    value.filter(|value| *value >= 0.0).map(|value| (value as Millis).min(86_400_000))
}

/// The extension fields that mean something to a client.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AnswerExt<'a> {
    /// At the handshake whether acknowledgement is on, at a connect the number of the batch.
    #[serde(borrow)]
    pub ack: Option<&'a RawValue>,
    /// At the handshake whether replay is on, at a message its place.
    #[serde(borrow)]
    pub replay: Option<&'a RawValue>,
    /// Marks `data.data` as Z85.
    #[serde(borrow)]
    pub binary: Option<&'a RawValue>,
    /// The gateways that a message has passed.
    #[serde(borrow, rename = "ratatosk-hops")]
    pub hops: Option<&'a RawValue>,
    /// What a message says beside its data, see [`crate::proto::details`].
    #[serde(borrow)]
    pub ratatosk: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Option<Cow<'a, str>> {
        text(self.channel?)
    }

    /// The id of the session.
    #[must_use]
    pub fn client_id(&self) -> Option<Cow<'a, str>> {
        text(self.client_id?)
    }

    /// The id of the request that this replies to: the text, without quotation marks.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.id.map(|raw| text(raw).unwrap_or(Cow::Borrowed(raw.get())))
    }

    /// Whether the request succeeded; `None` if this is no reply.
    #[must_use]
    pub fn successful(&self) -> Option<bool> {
        self.successful.map(|raw| matches!(raw.get(), "true" | "\"true\""))
    }

    /// Why it did not.
    #[must_use]
    pub fn error(&self) -> Cow<'a, str> {
        self.error.and_then(text).unwrap_or(Cow::Borrowed("no reason given"))
    }

    /// The three digits of the error.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        self.error().split(':').next()?.parse().ok()
    }

    /// Whether the server does not know our session: told by its advice, and by the error where it gives none.
    #[must_use]
    pub fn says_unknown_session(&self) -> bool {
        if self.successful() != Some(false) {
            return false;
        }
        match self.advice().and_then(|advice| advice.reconnect).as_deref() {
            Some("handshake") => true,
            Some(_) => false,
            None => {
                let error = self.error().to_ascii_lowercase();
                matches!(self.error_code(), Some(401..=403)) && error.contains("unknown")
            }
        }
    }

    /// What was published.
    #[must_use]
    pub fn data(&self) -> Option<&'a RawValue> {
        self.data
    }

    /// The advice, where there is any.
    #[must_use]
    pub fn advice(&self) -> Option<ServerAdvice> {
        serde_json::from_str(self.advice?.get()).ok()
    }

    /// The extensions.
    #[must_use]
    pub fn ext(&self) -> AnswerExt<'a> {
        self.ext.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Whether the server can speak this connection type (handshake).
    #[must_use]
    pub fn offers(&self, connection_type: &str) -> bool {
        let types: Option<Vec<String>> =
            self.supported_connection_types.and_then(|raw| serde_json::from_str(raw.get()).ok());
        types.is_some_and(|types| types.iter().any(|name| name == connection_type))
    }

    /// The place of a message in its channel's history, raw: ours, or Salesforce's `data.event.replayId`.
    #[must_use]
    pub fn place(&self) -> Option<&'a str> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            event: Event<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Event<'a> {
            #[serde(borrow)]
            replay_id: &'a RawValue,
        }
        if let Some(ours) = self.ext().replay {
            return Some(ours.get());
        }
        let raw = self.data?.get();
        // Looked for first, so that a payload is not parsed for a field that it does not have.
        if !raw.contains("replayId") {
            return None;
        }
        serde_json::from_str::<Data<'a>>(raw).ok().map(|data| data.event.replay_id.get())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    fn says_unknown(message: &str) -> bool {
        parse(message).unwrap()[0].says_unknown_session()
    }

    #[test]
    fn an_unknown_session_in_the_words_of_each_server() {
        for message in [
            r#"{"successful":false,"error":"402::session_unknown","advice":{"reconnect":"handshake","interval":0}}"#,
            r#"{"successful":false,"error":"401:x:Unknown client","advice":{"reconnect":"handshake"}}"#,
            r#"{"successful":false,"error":"403::Unknown client","advice":{"reconnect":"handshake"}}"#,
            r#"{"successful":false,"error":"402::session_unknown"}"#,
            r#"{"successful":false,"error":"403::Unknown client"}"#,
        ] {
            assert!(says_unknown(message), "{message}");
        }
        for message in [
            r#"{"successful":false,"error":"401::Authentication invalid","advice":{"reconnect":"none"}}"#,
            r#"{"successful":false,"error":"403:x:publish_denied"}"#,
            r#"{"successful":true}"#,
        ] {
            assert!(!says_unknown(message), "{message}");
        }
    }

    #[test]
    fn places_of_salesforce_and_ours() {
        for (message, place) in [
            (r#"{"data":{"event":{"replayId":17},"payload":{}}}"#, Some("17")),
            (r#"{"data":1,"ext":{"replay":"k.5"}}"#, Some("\"k.5\"")),
            (r#"{"data":{"replayId":17}}"#, None),
            (r#"{"data":"replayId"}"#, None),
        ] {
            assert_eq!(parse(message).unwrap()[0].place(), place, "{message}");
        }
    }
}
