//! A message on standard output.

use std::io::{self, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ratatosk::core::{Kind, Message};
use serde_json::{Map, Value, json};

use super::{
    super::client::far_name,
    paint::{Ink, Painter},
};

/// Pretty JSON that fits into this many characters stays on the line of its channel.
const SHORT: usize = 72;

/// What a message is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The payload's bytes and a line feed.
    Raw,
    /// A JSON object on one line.
    Json,
    /// Channel and payload on one line.
    Line,
    /// The same, long JSON over several lines.
    Pretty,
}

/// How messages are printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) shape: Shape,
    pub(super) colour: bool,
}

impl Show {
    /// Writes one message and the end of its line.
    pub(super) fn write(self, out: &mut impl Write, message: &Message) -> io::Result<()> {
        match self.shape {
            Shape::Raw => out.write_all(&message.payload)?,
            Shape::Json => Painter { out, colour: self.colour }.json(&object(message), None)?,
            Shape::Line | Shape::Pretty => self.line(&mut Painter { out, colour: self.colour }, message)?,
        }
        out.write_all(b"\n")
    }

    fn line(self, out: &mut Painter<'_, impl Write>, message: &Message) -> io::Result<()> {
        out.ink(Ink::Channel, &harmless(far_name(&message.channel)))?;
        for note in notes(message) {
            out.plain(" ")?;
            out.ink(Ink::Faint, &harmless(&note))?;
        }
        match data(message) {
            Value::String(text) if message.kind() == Kind::Json => {
                out.plain(" ")?;
                out.json(&Value::String(text), None)
            }
            Value::String(text) if text.is_empty() => Ok(()),
            Value::String(text) => {
                out.plain(" ")?;
                out.plain(&harmless(&text))
            }
            value => {
                let long = self.shape == Shape::Pretty && message.payload.len() > SHORT;
                out.plain(if long { "\n" } else { " " })?;
                out.json(&value, long.then_some(0))
            }
        }
    }
}

/// What there is to say about a message besides its channel and payload.
fn notes(message: &Message) -> Vec<String> {
    let mut notes: Vec<String> = message.event().map(|event| format!("[{event}]")).into_iter().collect();
    if message.retain {
        notes.push("(retained)".to_owned());
    }
    if message.kind() == Kind::Binary {
        notes.push("(base64)".to_owned());
    }
    notes
}

/// The payload as a JSON value: itself, a string, or base64.
fn data(message: &Message) -> Value {
    let text = || std::str::from_utf8(&message.payload);
    match (message.kind(), text()) {
        (Kind::Json, Ok(json)) => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
        (Kind::Text, Ok(text)) => text.into(),
        _ => BASE64_STANDARD.encode(&message.payload).into(),
    }
}

/// The message as the envelope of our event streams has it.
fn object(message: &Message) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("channel", far_name(&message.channel).into());
    put("time", message.time_ms.into());
    put("data", data(message));
    if let Some(event) = message.event() {
        put("event", event.into());
    }
    if message.retain {
        put("retained", true.into());
    }
    if message.kind() == Kind::Binary {
        put("encoding", "base64".into());
    }
    if message.qos as u8 > 0 {
        put("qos", (message.qos as u8).into());
    }
    if let Some(kind) = message.content_type() {
        put("content_type", kind.into());
    }
    let properties = message.properties().iter().map(|(name, value)| json!([name, value]));
    if !message.properties().is_empty() {
        put("properties", properties.collect());
    }
    Value::Object(object)
}

/// Without what a terminal could take for a command: control characters are written as Rust escapes them.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => shown.push('\t'),
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(harmless("a\x1b[2Jb\tc\r\u{9b}é"), "a\\u{1b}[2Jb\tc\\r\\u{9b}é");
    }
}
