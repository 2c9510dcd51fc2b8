//! Payloads: JSON for Bayeux, bytes for the bus (the outside contract, section 5).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ratatosk_core::Kind;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proto::{inbound::Inbound, reply::string, z85};

/// What a client's `data` is on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    /// Declared where sniffing the bytes would mistake what the client meant.
    pub content_type: Option<&'static str>,
    /// The binary extension's `data` without the bytes, so that Bayeux clients get the message as it was sent.
    pub binary: Option<BinaryMeta>,
}

/// The rest of a binary message: `last` and `meta`, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryMeta {
    /// Whether it is the last part.
    pub last: bool,
    /// What goes with it, raw.
    pub meta: Option<Box<str>>,
}

/// The name of the property that keeps a [`BinaryMeta`] on the bus.
pub const BINARY_PROPERTY: &str = "bayeux-binary";

impl Payload {
    /// The payload of a message; `None` if it has no data, or says it is binary and is not.
    #[must_use]
    pub fn of(message: &Inbound<'_>) -> Option<Self> {
        Self::read(message.data()?, message.ext().binary.is_some())
    }

    /// The payload that `data` stands for; `binary` says that the message has the binary extension's mark.
    #[must_use]
    pub fn read(data: &RawValue, binary: bool) -> Option<Self> {
        if binary { Self::binary(data) } else { Some(Self::json(data)) }
    }

    fn json(data: &RawValue) -> Self {
        let plain = |bytes: Vec<u8>, content_type| Self { bytes: bytes.into(), content_type, binary: None };
        match data.get().as_bytes().first() {
            Some(b'"') => match string_of(data) {
                Some(text) => {
                    let content_type = (Kind::of(text.as_bytes(), None) == Kind::Json).then_some("text/plain");
                    plain(text.into_owned().into_bytes(), content_type)
                }
                // A lone surrogate is no text, but it is JSON.
                None => plain(data.get().into(), Some("application/json")),
            },
            Some(b'{') => match base64_of(data) {
                Some(bytes) => {
                    let sniffed = Kind::of(&bytes, None) == Kind::Binary;
                    plain(bytes, (!sniffed).then_some("application/octet-stream"))
                }
                None => plain(data.get().into(), None),
            },
            _ => plain(data.get().into(), None),
        }
    }

    fn binary(data: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            data: Cow<'a, str>,
            #[serde(default = "yes")]
            last: bool,
            #[serde(borrow, default)]
            meta: Option<&'a RawValue>,
        }
        let Wire { data, last, meta } = serde_json::from_str(data.get()).ok()?;
        let bytes = z85::decode(&data)?;
        let sniffed = Kind::of(&bytes, None) == Kind::Binary;
        let content_type = (!sniffed).then_some("application/octet-stream");
        let meta = meta.map(|raw| raw.get().into());
        Some(Self { bytes: bytes.into(), content_type, binary: Some(BinaryMeta { last, meta }) })
    }
}

fn yes() -> bool {
    true
}

fn string_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    crate::proto::inbound::text(raw)
}

/// The bytes of `{"$b64": "..."}`, and of nothing else.
fn base64_of(raw: &RawValue) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire<'a> {
        #[serde(borrow, rename = "$b64")]
        text: Cow<'a, str>,
    }
    if !raw.get().contains("b64") {
        return None;
    }
    let Wire { text } = serde_json::from_str(raw.get()).ok()?;
    STANDARD.decode(text.as_bytes()).ok()
}

impl BinaryMeta {
    /// As the bus keeps it.
    #[must_use]
    pub fn to_property(&self) -> String {
        match &self.meta {
            Some(meta) => format!("{{\"last\":{},\"meta\":{meta}}}", self.last),
            None => format!("{{\"last\":{}}}", self.last),
        }
    }

    /// Reads back what [`Self::to_property`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_property(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            last: bool,
            #[serde(borrow, default)]
            meta: Option<&'a RawValue>,
        }
        let Wire { last, meta } = serde_json::from_str(text).ok()?;
        Some(Self { last, meta: meta.map(|raw| raw.get().into()) })
    }
}

/// Appends the fields that a delivered message's payload makes: `"data":...`, and `"ext"` for a binary one.
/// `ext` is what else the `ext` field holds, raw and without its braces.
pub fn write_fields(payload: &[u8], kind: Kind, binary: Option<&BinaryMeta>, ext: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"data\":");
    if let Some(BinaryMeta { last, meta }) = binary {
        out.extend_from_slice(b"{\"data\":");
        string(&z85::encode(payload), out);
        out.extend_from_slice(format!(",\"last\":{last}").as_bytes());
        if let Some(meta) = meta {
            out.extend_from_slice(b",\"meta\":");
            out.extend_from_slice(meta.as_bytes());
        }
        out.push(b'}');
    } else {
        write_value(payload, kind, out);
    }
    let binary = if binary.is_some() { "\"binary\":{}" } else { "" };
    if !binary.is_empty() || !ext.is_empty() {
        let comma = if binary.is_empty() || ext.is_empty() { "" } else { "," };
        out.extend_from_slice(format!(",\"ext\":{{{binary}{comma}{ext}}}").as_bytes());
    }
}

/// Appends a payload as a JSON value.
pub fn write_value(payload: &[u8], kind: Kind, out: &mut Vec<u8>) {
    match (kind, std::str::from_utf8(payload)) {
        (Kind::Json, Ok(json)) => out.extend_from_slice(json.trim_ascii().as_bytes()),
        (Kind::Text, Ok(text)) => string(text, out),
        _ => {
            out.extend_from_slice(b"{\"$b64\":\"");
            out.extend_from_slice(STANDARD.encode(payload).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;
    use crate::proto::inbound::parse;

    fn published(message: &str) -> Option<Payload> {
        Payload::of(&parse(message, 9).unwrap()[0])
    }

    fn shown(payload: &Payload) -> String {
        let mut out = Vec::new();
        write_value(&payload.bytes, Kind::of(&payload.bytes, payload.content_type), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_becomes_bytes_by_its_kind() {
        for (data, bytes, content_type) in [
            (r#"{"c":21.5}"#, &br#"{"c":21.5}"#[..], None),
            ("21.5", b"21.5", None),
            (r#""hello\n""#, b"hello\n", None),
            (r#""21.5""#, b"21.5", Some("text/plain")),
            (r#""""#, b"", None),
            (r#"{"$b64":"/wA="}"#, b"\xff\0", None),
            (r#"{"$b64":"aGk="}"#, b"hi", Some("application/octet-stream")),
            (r#"{"$b64":"?"}"#, br#"{"$b64":"?"}"#, None),
            (r#"{"$b64":"aGk=","x":1}"#, br#"{"$b64":"aGk=","x":1}"#, None),
            (r#""\ud800""#, br#""\ud800""#, Some("application/json")),
            ("false", b"false", None),
        ] {
            let payload = published(&format!(r#"{{"data":{data}}}"#)).unwrap();
            assert_eq!((&payload.bytes[..], payload.content_type), (bytes, content_type), "{data}");
        }
        assert_eq!(published("{}"), None);
    }

    #[test]
    fn what_a_bayeux_client_sends_a_bayeux_client_gets() {
        for data in
            [r#"{"a":[1,2]}"#, "\"21.5\"", "21.5", "\"\"", "\"x\"", r#"{"$b64":"aGk="}"#, "false", "\"{}\"", "[]"]
        {
            assert_eq!(shown(&published(&format!(r#"{{"data":{data}}}"#)).unwrap()), data);
        }
    }

    #[test]
    fn the_binary_extension_passes_through() {
        let data = r#"{"data":"HelloWorld","last":false,"meta":{"name":"f"}}"#;
        let payload = published(&format!(r#"{{"ext":{{"binary":{{}}}},"data":{data}}}"#)).unwrap();
        assert_eq!(&payload.bytes[..], [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]);
        let meta = BinaryMeta::from_property(&payload.binary.unwrap().to_property()).unwrap();
        let mut out = Vec::new();
        write_fields(&payload.bytes, Kind::Binary, Some(&meta), "\"x\":1", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!(r#""data":{data},"ext":{{"binary":{{}},"x":1}}"#));
        assert_eq!(published(r#"{"ext":{"binary":{}},"data":{"data":"~~"}}"#), None);
        assert_eq!(published(r#"{"ext":{"binary":{}},"data":"x"}"#), None);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let data = serde_json::to_string(&text).unwrap();
            let payload = published(&format!(r#"{{"data":{data}}}"#)).unwrap();
            prop_assert_eq!(&payload.bytes[..], text.as_bytes());
            prop_assert_eq!(serde_json::from_str::<String>(&shown(&payload)).unwrap(), text);
        }
    }
}
