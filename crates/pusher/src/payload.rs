//! What a JSON client published, as the bytes of a payload.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use crate::proto::command::Data;

/// The text of a string, the JSON of anything else, the bytes of a `{"$b64": "..."}`.
pub(crate) fn of(data: &Data) -> Bytes {
    of_text(data.as_str())
}

/// The same for the text that stands for the data.
pub(crate) fn of_text(text: &str) -> Bytes {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Binary<'a> {
        #[serde(rename = "$b64", borrow)]
        b64: Cow<'a, str>,
    }
    if text.starts_with('{')
        && let Ok(binary) = serde_json::from_str::<Binary<'_>>(text)
        && let Ok(bytes) = BASE64_STANDARD.decode(&*binary.b64)
    {
        return bytes.into();
    }
    Bytes::copy_from_slice(text.as_bytes())
}

/// The text that stands for bytes.
pub(crate) fn binary(payload: &[u8]) -> String {
    format!(r#"{{"$b64":"{}"}}"#, BASE64_STANDARD.encode(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_json() {
        assert_eq!(of_text(&binary(b"\xff\x00")), Bytes::from_static(b"\xff\x00"));
        for text in ["", "x", "{}", r#"{"$b64":"!"}"#, r#"{"$b64":"AA==","x":1}"#, r#"{"a":1}"#] {
            assert_eq!(of_text(text), text.as_bytes());
        }
    }
}
