//! What a payload is, for subscribers whose protocol must know.

use serde::de::IgnoredAny;

/// How a payload can be shown to a client that takes JSON or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A complete JSON value.
    Json,
    /// Other UTF-8 text; the empty payload too.
    Text,
    /// Anything else.
    Binary,
}

impl Kind {
    /// Sniffs. A declared content type can make JSON into text or bytes, never bytes into text.
    #[must_use]
    pub fn of(payload: &[u8], content_type: Option<&str>) -> Self {
        let declared = content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        if declared.as_deref() == Some("application/octet-stream") {
            return Self::Binary;
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return Self::Binary;
        };
        let says_text = declared.is_some_and(|mime| mime.starts_with("text/"));
        if !says_text && serde_json::from_str::<IgnoredAny>(text).is_ok() { Self::Json } else { Self::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sniffing() {
        for (payload, content_type, kind) in [
            (&b"{\"a\":1}"[..], None, Kind::Json),
            (b" 21.5 ", None, Kind::Json),
            (b"21.5.1", None, Kind::Text),
            (b"", None, Kind::Text),
            (b"{\"a\":1", None, Kind::Text),
            (b"\xff\xfe", None, Kind::Binary),
            (b"\xff", Some("text/plain"), Kind::Binary),
            (b"1", Some("text/plain; charset=utf-8"), Kind::Text),
            (b"1", Some("application/json"), Kind::Json),
            (b"1", Some("application/octet-stream"), Kind::Binary),
        ] {
            assert_eq!(Kind::of(payload, content_type), kind, "{payload:?} {content_type:?}");
        }
    }
}
