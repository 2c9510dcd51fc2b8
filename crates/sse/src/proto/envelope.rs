//! The two forms in which a message is put into an event: the JSON envelope (default, byte-exact) and the bare payload.
//!
//! ```text
//! id: 01jf.42
//! data: {"channel":"sensors/kitchen/temp","id":"01jf.42","time":1765000000000,"data":{"c":21.5}}
//! ```
//!
//! `data` is the payload's own JSON text (spliced in, numbers and key order untouched; only raw line breaks between tokens become
//! spaces), a JSON string for other UTF-8 text, or base64 with `"encoding":"base64"`. `properties` is a list of `[name, value]`
//! pairs, because MQTT 5 keeps their order and allows a name twice; `new Map(m.properties)` reads it in a browser.

use super::encoder::{encode_event, encode_head, put_number};
use super::json::{put_base64, put_json_on_one_line, put_string};
use bytes::{BufMut, BytesMut};
use std::sync::Arc;

/// A payload by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// One complete JSON text in valid UTF-8; the caller has checked it.
    Json(&'a [u8]),
    /// UTF-8 text that is not JSON.
    Text(&'a str),
    /// Anything else.
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    /// The payload as it came.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Json(bytes) | Self::Binary(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// What an envelope says of a message.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The canonical channel name.
    pub channel: &'a str,
    /// The position, `EPOCH.SEQ`.
    pub id: &'a str,
    /// When the gateway took the message: milliseconds since 1970.
    pub time_ms: u64,
    /// The payload.
    pub data: Data<'a>,
    /// The message's event name (Pusher event, Mercure type).
    pub event: Option<&'a str>,
    /// The cursor of the event's `id:` line where that is not the message's own position.
    pub cursor: Option<&'a str>,
    /// This is a last value from before the subscription; written only when true.
    pub retained: bool,
    /// This is live, and its publisher wants it kept as last value; written only when true.
    pub retain: bool,
    /// When it stops being of use: milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// User properties in order; written only when there are some.
    pub properties: &'a [(Arc<str>, Arc<str>)],
    /// The user who published it.
    pub user: Option<&'a str>,
    /// MIME type that the publisher declared.
    pub content_type: Option<&'a str>,
    /// Channel on which the publisher expects an answer (MQTT 5 response topic).
    pub reply_to: Option<&'a str>,
    /// Correlation data for that answer, in base64.
    pub correlation: Option<&'a [u8]>,
    /// Ids of the gateways it passed before this one; written only when there are some.
    pub hops: &'a [Arc<str>],
}

impl<'a> Envelope<'a> {
    /// An envelope with the fields every message has.
    #[must_use]
    pub const fn new(channel: &'a str, id: &'a str, time_ms: u64, data: Data<'a>) -> Self {
        Self {
            channel,
            id,
            time_ms,
            data,
            event: None,
            cursor: None,
            retained: false,
            retain: false,
            expires_ms: None,
            properties: &[],
            user: None,
            content_type: None,
            reply_to: None,
            correlation: None,
            hops: &[],
        }
    }

    /// Appends the JSON text, on one line.
    pub fn write_json(&self, out: &mut BytesMut) {
        out.reserve(self.size_hint());
        out.put_slice(b"{\"channel\":");
        put_string(out, self.channel);
        out.put_slice(b",\"id\":");
        put_string(out, self.id);
        out.put_slice(b",\"time\":");
        put_number(out, self.time_ms);
        out.put_slice(b",\"data\":");
        self.write_data(out);
        self.write_options(out);
        out.put_u8(b'}');
    }

    /// Appends the whole event in envelope format. The `id:` line is the cursor where one is given (a retained message is older
    /// than the stream, and its own id would move the reader back), else the message's id. With `named`, the message's event name becomes the SSE event type too, so that
    /// `addEventListener(name, ...)` hears it (and `onmessage` does not).
    pub fn encode_event(&self, out: &mut BytesMut, named: bool) {
        out.reserve(self.size_hint() + self.id.len() + 32);
        encode_head(out, self.cursor(), self.event.filter(|_| named));
        out.put_slice(b"data: ");
        self.write_json(out);
        out.put_slice(b"\n\n");
    }

    /// Appends the whole event in raw format: the payload alone, line by line. With `named` the event type is the message's.
    pub fn encode_raw_event(&self, out: &mut BytesMut, named: bool) {
        encode_event(out, self.cursor(), self.event.filter(|_| named), self.data.bytes());
    }

    fn cursor(&self) -> Option<&'a str> {
        self.cursor.or(Some(self.id))
    }

    fn write_data(&self, out: &mut BytesMut) {
        match self.data {
            Data::Json(json) => put_json_on_one_line(out, json),
            Data::Text(text) => put_string(out, text),
            Data::Binary(bytes) => {
                put_base64(out, bytes);
                out.put_slice(b",\"encoding\":\"base64\"");
            }
        }
    }

    fn write_options(&self, out: &mut BytesMut) {
        let texts: [(&[u8], Option<&str>); 4] = [
            (b",\"event\":", self.event),
            (b",\"user\":", self.user),
            (b",\"content_type\":", self.content_type),
            (b",\"reply_to\":", self.reply_to),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                out.put_slice(key);
                put_string(out, value);
            }
        }
        if let Some(correlation) = self.correlation {
            out.put_slice(b",\"correlation\":");
            put_base64(out, correlation);
        }
        if self.retained {
            out.put_slice(b",\"retained\":true");
        }
        if self.retain {
            out.put_slice(b",\"retain\":true");
        }
        if let Some(expires) = self.expires_ms {
            out.put_slice(b",\"expires\":");
            put_number(out, expires);
        }
        if !self.properties.is_empty() {
            out.put_slice(b",\"properties\":");
            put_pairs(out, self.properties);
        }
        if !self.hops.is_empty() {
            out.put_slice(b",\"hops\":");
            put_strings(out, self.hops);
        }
    }

    /// Enough for the common case without a second allocation.
    fn size_hint(&self) -> usize {
        let data = match self.data {
            Data::Binary(bytes) => bytes.len() / 3 * 4 + 32,
            Data::Json(bytes) => bytes.len(),
            Data::Text(text) => text.len() + text.len() / 16,
        };
        data + self.channel.len() + self.id.len() + 96
    }
}

fn put_strings(out: &mut BytesMut, texts: &[Arc<str>]) {
    let mut separator = b'[';
    for text in texts {
        out.put_u8(separator);
        put_string(out, text);
        separator = b',';
    }
    out.put_u8(b']');
}

fn put_pairs(out: &mut BytesMut, pairs: &[(Arc<str>, Arc<str>)]) {
    let mut separator = b'[';
    for (name, value) in pairs {
        out.put_u8(separator);
        out.put_u8(b'[');
        put_string(out, name);
        out.put_u8(b',');
        put_string(out, value);
        out.put_u8(b']');
        separator = b',';
    }
    out.put_u8(b']');
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn json(envelope: &Envelope<'_>) -> serde_json::Value {
        let mut out = BytesMut::new();
        envelope.write_json(&mut out);
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "the envelope is one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_plain_message_has_just_the_four_fields() {
        let mut out = BytesMut::new();
        Envelope::new("a/b", "e.1", 17, Data::Json(b"{\"c\": 21.50}")).encode_event(&mut out, false);
        assert_eq!(
            &out[..],
            b"id: e.1\ndata: {\"channel\":\"a/b\",\"id\":\"e.1\",\"time\":17,\"data\":{\"c\": 21.50}}\n\n"
        );
    }

    #[test]
    fn hostile_text_arrives_as_it_was() {
        for text in ["", "\0", "\r", "\r\n", "\n\n\n", "\u{feff}x", "a\u{2028}b", "\"\\", "data: x"] {
            let read = json(&Envelope::new("a", "e.1", 0, Data::Text(text)));
            assert_eq!(read["data"], *text);
            assert!(read.get("encoding").is_none());
        }
    }

    #[test]
    fn binary_is_base64_and_says_so() {
        let read = json(&Envelope::new("a", "e.1", 0, Data::Binary(&[0xff, 0x00, 0x0d])));
        assert_eq!(read["data"], "/wAN");
        assert_eq!(read["encoding"], "base64");
    }

    #[test]
    fn pretty_json_is_one_line_with_the_same_value() {
        let read = json(&Envelope::new("a", "e.1", 0, Data::Json(b"\n{\r\n\"a\":\r[1,\n2]}\n")));
        assert_eq!(read["data"], serde_json::json!({"a": [1, 2]}));
    }

    #[test]
    fn optional_fields_appear_only_when_set() {
        let mut envelope = Envelope::new("a\"b", "e.1", 0, Data::Text("x"));
        envelope.event = Some("tick\n");
        envelope.retained = true;
        envelope.retain = true;
        envelope.expires_ms = Some(7000);
        let properties = [("k".into(), "1".into()), ("k".into(), "2".into())];
        envelope.properties = &properties;
        envelope.user = Some("ann");
        envelope.content_type = Some("text/plain");
        envelope.reply_to = Some("r/1");
        envelope.correlation = Some(&[1, 2]);
        let hops = ["one".into(), "two".into()];
        envelope.hops = &hops;
        assert_eq!(
            json(&envelope),
            serde_json::json!({"channel": "a\"b", "id": "e.1", "time": 0, "data": "x", "event": "tick\n", "user": "ann",
                "content_type": "text/plain", "reply_to": "r/1", "correlation": "AQI=", "retained": true, "retain": true,
                "expires": 7000,
                "properties": [["k", "1"], ["k", "2"]],
                "hops": ["one", "two"]})
        );
    }

    #[test]
    fn the_event_type_is_set_only_on_request_and_the_cursor_may_be_another() {
        let mut envelope = Envelope::new("a", "e.1", 0, Data::Text("x\ny"));
        envelope.event = Some("tick");
        let mut out = BytesMut::new();
        envelope.encode_raw_event(&mut out, true);
        envelope.encode_raw_event(&mut out, false);
        envelope.cursor = Some("e.7");
        envelope.encode_raw_event(&mut out, false);
        assert_eq!(
            &out[..],
            b"id: e.1\nevent: tick\ndata: x\ndata: y\n\nid: e.1\ndata: x\ndata: y\n\nid: e.7\ndata: x\ndata: y\n\n"
        );
    }
}
