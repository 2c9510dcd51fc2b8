//! Payloads as values, and values as payloads.

use std::fmt::Write as _;

use jaq_json::{Num, Val, read};
use serde::de::IgnoredAny;

/// The longest run of digits that is read as a number: longer ones take time that grows with their square.
const DIGITS: usize = 1000;
/// The deepest value that is written; what is read goes no deeper either.
const DEPTH: usize = 512;

/// What a program is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A complete JSON value.
    Json(&'a [u8]),
    /// A string.
    Text(&'a str),
    /// A byte string.
    Bytes(&'a [u8]),
    /// `null`.
    Null,
}

/// What a program yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Any value but a string, as compact JSON.
    Json(String),
    /// A string, bare.
    Text(String),
    /// A byte string, bare.
    Bytes(Vec<u8>),
}

impl Output {
    /// The bytes of a payload.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Json(text) | Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Input<'_> {
    pub(crate) fn value(self) -> Result<Val, String> {
        match self {
            Self::Json(json) => parse(json),
            Self::Text(text) => Ok(Val::utf8_str(text.as_bytes().to_vec())),
            Self::Bytes(bytes) => Ok(Val::byte_str(bytes.to_vec())),
            Self::Null => Ok(Val::Null),
        }
    }
}

/// Reads JSON. The reader of values recurses with what it reads and takes more than JSON, so others look first.
pub(crate) fn parse(json: &[u8]) -> Result<Val, String> {
    serde_json::from_slice::<IgnoredAny>(json).map_err(|error| error.to_string())?;
    scan(json)?;
    read::parse_single(json).map_err(|error| error.to_string())
}

/// Looks for what would cost too much to read.
fn scan(json: &[u8]) -> Result<(), String> {
    let (mut depth, mut run, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        run = if byte.is_ascii_digit() && !in_string { run + 1 } else { 0 };
        if depth > DEPTH {
            return Err(format!("it is nested more than {DEPTH} levels deep"));
        }
        if run > DIGITS {
            return Err(format!("it has a number of more than {DIGITS} digits"));
        }
    }
    Ok(())
}

/// Writes a value as a payload of at most so many bytes.
pub(crate) fn output(value: Val, room: usize) -> Result<Output, String> {
    let output = match value {
        Val::TStr(text) => Output::Text(String::from_utf8_lossy(&text).into_owned()),
        Val::BStr(bytes) => Output::Bytes(bytes.to_vec()),
        value => Output::Json(to_json(&value, room)?),
    };
    if output.len() > room { Err(too_long(room)) } else { Ok(output) }
}

/// The compact JSON of a value.
pub(crate) fn to_json(value: &Val, room: usize) -> Result<String, String> {
    let mut out = Json { text: String::new(), room };
    out.value(value, 0)?;
    Ok(out.text)
}

fn too_long(room: usize) -> String {
    format!("it makes more than {room} bytes")
}

struct Json {
    text: String,
    room: usize,
}

impl Json {
    fn value(&mut self, value: &Val, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return Err(format!("it makes a value nested more than {DEPTH} levels deep"));
        }
        if self.text.len() > self.room {
            return Err(too_long(self.room));
        }
        match value {
            Val::Null => self.put("null"),
            Val::Bool(true) => self.put("true"),
            Val::Bool(false) => self.put("false"),
            // As jq does: JSON has neither NaN nor infinities.
            Val::Num(Num::Float(float)) if float.is_nan() => self.put("null"),
            Val::Num(Num::Float(float)) if float.is_infinite() => {
                self.put(if *float > 0.0 { "1.7976931348623157e308" } else { "-1.7976931348623157e308" });
            }
            // As jq does too: what was worked out to be whole is written so.
            Val::Num(Num::Float(float)) if float.fract() == 0.0 && float.abs() < 1e17 => {
                let _ = write!(self.text, "{float:.0}"); // a String takes all
            }
            Val::Num(number) => {
                let _ = write!(self.text, "{number}"); // a String takes all
            }
            Val::TStr(text) => self.string(&String::from_utf8_lossy(text)),
            Val::BStr(_) => return Err("bytes cannot stand inside JSON: write them with @base64".to_owned()),
            Val::Arr(items) => {
                self.put("[");
                for (at, item) in items.iter().enumerate() {
                    self.put(if at > 0 { "," } else { "" });
                    self.value(item, depth + 1)?;
                }
                self.put("]");
            }
            Val::Obj(entries) => {
                self.put("{");
                for (at, (key, item)) in entries.iter().enumerate() {
                    self.put(if at > 0 { "," } else { "" });
                    let Val::TStr(key) = key else { return Err("the key of an object is no string".to_owned()) };
                    self.string(&String::from_utf8_lossy(key));
                    self.put(":");
                    self.value(item, depth + 1)?;
                }
                self.put("}");
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn string(&mut self, text: &str) {
        // Text is always JSON.
        self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}
