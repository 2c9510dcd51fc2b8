//! JSON by hand where the shape is fixed, and leniently where it comes from clients.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Appends a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    // Writing a string to memory cannot fail.
    if let Ok(quoted) = serde_json::to_string(text) {
        out.push_str(&quoted);
    }
}

/// The text of a value that is a JSON string, `None` for any other value (and for lone surrogates).
#[must_use]
pub fn as_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    if !text.starts_with('"') {
        return None;
    }
    if let Ok(borrowed) = serde_json::from_str::<&str>(text) {
        return Some(Cow::Borrowed(borrowed));
    }
    serde_json::from_str::<String>(text).ok().map(Cow::Owned)
}

/// A string, or a number written as one: ids come both ways.
#[must_use]
pub fn as_id(raw: &RawValue) -> Option<String> {
    if let Some(text) = as_string(raw) {
        return Some(text.into_owned());
    }
    let text = raw.get();
    let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    number.then(|| text.to_owned())
}

/// Reads a structure from a value that is it, or that is a string holding its JSON: official clients send objects,
/// others what they would send to an older server.
///
/// # Errors
/// Neither of them.
pub fn object<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    match as_string(raw) {
        Some(text) => serde_json::from_str(&text),
        None => serde_json::from_str(raw.get()),
    }
}

/// At most `max` bytes of a text, cut at a character: what is quoted back to a client.
#[must_use]
pub fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
