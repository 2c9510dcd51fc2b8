//! Reads event streams (HTML Standard, sections 9.2.5 "Parsing" and 9.2.6 "Interpreting"), to the letter.
//!
//! Bytes may come in any pieces: the result is the same as for the whole input, and the work is linear in its length, one-byte
//! pieces included. A line that ends in CR is taken at once; an LF right after it, even in the next piece, belongs to it.
//!
//! One liberty, which browsers take too: [`Parser::new`] starts with the id that the last connection left, so a stream that
//! sends no ids after a reconnection does not lose its place.

use std::sync::Arc;
use std::time::Duration;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// A line buffer larger than this is given back after use, so that one long line is not held for the life of a stream.
const KEEP_LINE_BYTES: usize = 16 * 1024;

/// How much one line and one event may take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, without its end.
    pub line: usize,
    /// The most data that one event may gather.
    pub event: usize,
}

impl Default for Limits {
    /// 4 MiB a line, 16 MiB an event.
    fn default() -> Self {
        Self { line: 4 << 20, event: 16 << 20 }
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line without an end in sight.
    #[error("a line of the event stream is longer than {0} bytes")]
    LineTooLong(usize),
    /// An event that never ends.
    #[error("an event of the stream has more than {0} bytes of data")]
    EventTooLarge(usize),
}

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The last id that the stream set, in this block or before; empty when none.
    pub id: Arc<str>,
    /// The block's `event` field; none means the type `message`.
    pub event: Option<String>,
    /// The `data` lines joined with LF.
    pub data: String,
}

impl Event {
    /// The event type as `EventSource` shows it.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.event.as_deref().unwrap_or("message")
    }
}

/// Turns the bytes of one response into events.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    failed: Option<ParseError>,
    line: Vec<u8>,
    at_start: bool,
    after_cr: bool,
    data: String,
    has_data: bool,
    event: Option<String>,
    id_buffer: Arc<str>,
    last_event_id: Arc<str>,
    retry: Option<Duration>,
}

impl Parser {
    /// A parser for a new response; `last_event_id` is what the connection before it left, or empty.
    #[must_use]
    pub fn new(limits: Limits, last_event_id: &str) -> Self {
        let id: Arc<str> = last_event_id.into();
        Self {
            limits,
            failed: None,
            line: Vec::new(),
            at_start: true,
            after_cr: false,
            data: String::new(),
            has_data: false,
            event: None,
            id_buffer: id.clone(),
            last_event_id: id,
            retry: None,
        }
    }

    /// The id to send as `Last-Event-ID` when this response ends; empty means send none.
    #[must_use]
    pub fn last_event_id(&self) -> &Arc<str> {
        &self.last_event_id
    }

    /// The reconnection time that the server asked for last, if it did in this response.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next piece of the body and hands each event that it completes to `sink`.
    ///
    /// What is left in the parser when the body ends is an unfinished block; the standard says to drop it.
    ///
    /// # Errors
    /// A line or an event beyond the [`Limits`]; the stream is lost then, and every later call says the same.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), ParseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take_lines(chunk, sink);
        self.failed = result.err();
        result
    }

    fn take_lines(&mut self, chunk: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), ParseError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(next) = rest.strip_prefix(b"\n")
            {
                rest = next;
                continue;
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
                return self.keep(rest);
            };
            let (line, tail) = rest.split_at(end);
            self.after_cr = tail.first() == Some(&b'\r');
            rest = tail.get(1..).unwrap_or_default();
            self.end_line(line, sink)?;
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), ParseError> {
        if self.line.len() + part.len() > self.limits.line {
            return Err(ParseError::LineTooLong(self.limits.line));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, tail: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), ParseError> {
        if self.line.is_empty() {
            if tail.len() > self.limits.line {
                return Err(ParseError::LineTooLong(self.limits.line));
            }
            return self.read_line(tail, sink);
        }
        self.keep(tail)?;
        let mut line = std::mem::take(&mut self.line);
        let result = self.read_line(&line, sink);
        if line.capacity() <= KEEP_LINE_BYTES {
            line.clear();
            self.line = line;
        }
        result
    }

    fn read_line(&mut self, line: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), ParseError> {
        // A line break never falls inside a UTF-8 sequence, so decoding line by line equals decoding the stream.
        let first = std::mem::replace(&mut self.at_start, false);
        let line = line.strip_prefix(BOM).filter(|_| first).unwrap_or(line);
        if line.is_empty() {
            self.dispatch(sink);
            return Ok(());
        }
        match memchr::memchr(b':', line) {
            Some(0) => Ok(()),
            Some(colon) => {
                let (name, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                self.read_field(name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => self.read_field(line, b""),
        }
    }

    fn read_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), ParseError> {
        match name {
            b"data" => return self.add_data(value),
            b"event" => self.event = Some(text(value)).filter(|name| !name.is_empty()),
            b"id" if !value.contains(&0) => self.id_buffer = String::from_utf8_lossy(value).into(),
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), ParseError> {
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push('\n');
        }
        self.data.push_str(&String::from_utf8_lossy(value));
        if self.data.len() > self.limits.event {
            return Err(ParseError::EventTooLarge(self.limits.event));
        }
        Ok(())
    }

    fn dispatch(&mut self, sink: &mut impl FnMut(Event)) {
        self.last_event_id = self.id_buffer.clone();
        let event = self.event.take();
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            sink(Event { id: self.last_event_id.clone(), event, data });
        }
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Nothing but ASCII digits, at least one; beyond what a duration holds, the most it holds.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(Duration::from_millis(number))
}
