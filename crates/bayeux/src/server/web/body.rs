//! The messages in a request's body: JSON, or the `message` fields of a form.

use std::borrow::Cow;

use axum::body::Body;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body ended early")]
    Cut,
    #[error("the body is not text in its charset")]
    Encoding,
    #[error("only UTF-8 and ISO-8859-1 are understood")]
    Charset,
    #[error("the form has no `message`")]
    NoMessage,
}

impl BodyError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Charset => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the whole body.
pub(super) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(limit)),
        Err(_) => Err(BodyError::Cut),
    }
}

/// The JSON texts in a body. What looks like JSON is JSON whatever its type says; the rest is a form: clients send
/// either under `text/plain`.
pub(super) fn texts<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Vec<Cow<'a, str>>, BodyError> {
    let text = decode(headers, body)?;
    if text.trim_start().starts_with(['[', '{']) {
        return Ok(vec![text]);
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.to_ascii_lowercase().contains("json") {
        return Ok(vec![text]); // the parser says what is wrong with it
    }
    let messages = messages(&text);
    if messages.is_empty() { Err(BodyError::NoMessage) } else { Ok(messages) }
}

/// The `message` fields of a form or a query.
pub(super) fn messages(form: &str) -> Vec<Cow<'static, str>> {
    form_urlencoded::parse(form.as_bytes())
        .filter(|(name, _)| name == "message")
        .map(|(_, value)| value.into_owned().into())
        .collect()
}

fn decode<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, str>, BodyError> {
    match charset(headers).as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => {
            let text = std::str::from_utf8(body).map_err(|_| BodyError::Encoding)?;
            Ok(text.strip_prefix('\u{feff}').unwrap_or(text).into())
        }
        Some("iso-8859-1" | "latin1") => Ok(body.iter().copied().map(char::from).collect::<String>().into()),
        Some(_) => Err(BodyError::Charset),
    }
}

fn charset(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameter = value.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    let (_, charset) = { parameter }.find(|(name, _)| name.eq_ignore_ascii_case("charset"))?;
    Some(charset.trim_matches('"').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Cow<'a, str>>, BodyError> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        texts(&headers, body)
    }

    #[test]
    fn json_and_forms() {
        for content_type in ["application/json", "application/json;charset=UTF-8", "text/plain", "text/json", "x/y"] {
            assert_eq!(read(content_type, b" [{}]").unwrap(), [" [{}]"], "{content_type}");
        }
        assert_eq!(texts(&HeaderMap::new(), b"{}").unwrap(), ["{}"]);
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read(form, b"message=%5B%7B%7D%5D&x=1&message=%7B%7D").unwrap(), ["[{}]", "{}"]);
        assert_eq!(read("text/plain", b"message=%7B%22a%22%3A%22%C3%A9+b%22%7D").unwrap(), ["{\"a\":\"é b\"}"]);
        assert_eq!(read(form, b"x=1"), Err(BodyError::NoMessage));
        assert_eq!(read("application/json", b"nonsense").unwrap(), ["nonsense"]);
    }

    #[test]
    fn charsets() {
        assert_eq!(read("application/json; charset=ISO-8859-1", b"[\"\xe9\"]").unwrap(), ["[\"é\"]"]);
        assert_eq!(read("application/json", b"[\"\xe9\"]"), Err(BodyError::Encoding));
        assert_eq!(read("application/json; charset=\"utf-16\"", b"[]"), Err(BodyError::Charset));
    }
}
