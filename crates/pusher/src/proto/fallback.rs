//! The framing of the HTTP fallbacks as pusher-js speaks them: `xhr_streaming` and `xhr` (polling) carry lines to the
//! client, `xhr_send` carries a JSON array of frames from it.

use serde_json::value::RawValue;

use super::text::{as_string, push_string};

/// The first line of a session.
pub const OPEN: &str = "o{}\n";
/// A sign of life; the client of a stream answers it.
pub const HEARTBEAT: &str = "h\n";

/// A line with one frame.
#[must_use]
pub fn frame(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4 + 8);
    out.push_str("a[");
    push_string(&mut out, text);
    out.push_str("]\n");
    out
}

/// The last line of a session.
#[must_use]
pub fn close(code: u16, reason: &str) -> String {
    let mut out = format!("c[{code},");
    push_string(&mut out, reason);
    out.push_str("]\n");
    out
}

/// The frames of a send request; an empty array is the client's ping. `None` if it is not an array of strings.
#[must_use]
pub fn sent(body: &[u8]) -> Option<Vec<String>> {
    let values: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    values.into_iter().map(|raw| as_string(raw).map(std::borrow::Cow::into_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_pusher_js_reads() {
        assert_eq!(frame(r#"{"a":"b"}"#), "a[\"{\\\"a\\\":\\\"b\\\"}\"]\n");
        assert_eq!(frame("a\nb").matches('\n').count(), 1);
        assert_eq!(close(4200, "bye"), "c[4200,\"bye\"]\n");
        assert_eq!(sent(br#"["a","{}"]"#), Some(vec!["a".to_owned(), "{}".to_owned()]));
        assert_eq!(sent(b"[]"), Some(vec![]));
        for bad in [&b""[..], b"{}", b"[1]", b"[\"a\"", b"\xff"] {
            assert_eq!(sent(bad), None);
        }
    }
}
