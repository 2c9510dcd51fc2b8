//! An event stream read by the rules of the HTML Standard, 9.2.6, written apart from the product's own parser. It keeps what
//! `EventSource` throws away (comments, blocks without data), since the tests are about those too.

use std::net::SocketAddr;

use base64::Engine as _;
use serde_json::Value;

use crate::{
    http::{Head, HttpConn},
    wait::within,
};

/// What stood between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Comment lines, without the colon.
    pub comments: Vec<String>,
    /// `id`.
    pub id: Option<String>,
    /// `event`.
    pub event: Option<String>,
    /// `data` lines joined by LF.
    pub data: Option<String>,
    /// `retry`, in milliseconds.
    pub retry: Option<u64>,
}

impl Block {
    /// The data as JSON.
    ///
    /// # Panics
    /// When there is none, or it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("no data in {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("not JSON ({error}): {data}"))
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn field(&mut self, line: &str) {
        if let Some(comment) = line.strip_prefix(':') {
            self.comments.push(comment.to_owned());
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => panic!("a field the server has no business to send: {line:?}"),
        }
    }
}

/// An open stream.
pub struct SseStream {
    /// Status and header fields of the response.
    pub head: Head,
    connection: HttpConn,
    chunked: bool,
    bytes: Vec<u8>,
    block: Block,
}

impl SseStream {
    /// Opens `target` and insists on what every event stream must have: 200 and the media type.
    ///
    /// # Panics
    /// When the server answers something else.
    pub async fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = HttpConn::open(address).await;
        let mut all = vec![("Accept", "text/event-stream")];
        all.extend_from_slice(headers);
        connection.send("GET", target, &all, b"").await;
        let head = connection.head().await;
        assert_eq!(head.status, 200, "GET {target}: {head:?}");
        let kind = head.header("content-type").unwrap_or_default();
        assert_eq!(kind.split(';').next().unwrap_or_default().trim(), "text/event-stream");
        let chunked = head.has_token("transfer-encoding", "chunked");
        Self { head, connection, chunked, bytes: Vec::new(), block: Block::default() }
    }

    /// The next block of any kind; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.is_empty() {
                    self.block.field(&line);
                } else if !self.block.is_empty() {
                    return Some(std::mem::take(&mut self.block));
                }
            }
            let more = if self.chunked { self.connection.chunk().await? } else { self.connection.some().await };
            if more.is_empty() {
                return None;
            }
            self.bytes.extend(more);
        }
    }

    /// Waits for the next event that has data (what `EventSource` would dispatch).
    ///
    /// # Panics
    /// When the stream ends first.
    pub async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the stream goes on");
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// Waits for the next message in envelope form, passing over the gateway's own events (`resume`, `lost`).
    ///
    /// # Panics
    /// When the stream ends first, or sends nothing but heartbeats for too long.
    pub async fn message(&mut self) -> Envelope {
        let message = async {
            loop {
                let event = self.event().await;
                if event.event.as_deref().is_none_or(|name| name == "message") {
                    return Envelope::of(&event);
                }
            }
        };
        within("a message on the stream", message).await
    }

    /// Reads on until a heartbeat or other comment comes by: whatever was to be sent before it has been seen.
    ///
    /// # Panics
    /// When a message comes first.
    pub async fn quiet(&mut self) {
        loop {
            let block = self.block().await.expect("the stream goes on");
            assert!(block.data.is_none(), "nothing was to come, but: {block:?}");
            if !block.comments.is_empty() {
                return;
            }
        }
    }

    /// The connection, for tests that misbehave on it.
    pub fn connection(&mut self) -> &mut HttpConn {
        &mut self.connection
    }

    fn take_line(&mut self) -> Option<String> {
        // The server writes LF; a lone CR would end a line as well, so it must never appear.
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        let line = String::from_utf8(line).expect("an event stream is UTF-8");
        assert!(!line.contains('\r'), "a CR in the stream: {line:?}");
        Some(line.trim_end_matches('\n').to_owned())
    }
}

/// A message of the default `format=envelope`.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The message's id: that of the SSE `id:` line, which only a retained or last value goes without.
    pub id: String,
    /// The JSON object of `data:`.
    pub json: Value,
}

impl Envelope {
    /// Reads an event, and holds it to what every envelope has.
    ///
    /// # Panics
    /// When a required field is missing or ill-formed.
    #[must_use]
    pub fn of(event: &Block) -> Self {
        let json = event.json();
        let id = json["id"].as_str().unwrap_or_else(|| panic!("no id in {event:?}")).to_owned();
        if json["retained"] == Value::Bool(true) {
            // A last value is older than the stream: its `id:` is the cursor where the stream goes on, never one before it.
            let place = |id: &str| {
                id.split_once('.').and_then(|(epoch, seq)| Some((epoch.to_owned(), seq.parse::<u64>().ok()?)))
            };
            let (own, cursor) = (place(&id), event.id.as_deref().map(place));
            let goes_on = cursor.is_none_or(|cursor| {
                own.zip(cursor).is_some_and(|(own, cursor)| own.0 == cursor.0 && own.1 <= cursor.1)
            });
            assert!(goes_on, "a last value moves the reader's cursor back: {event:?}");
        } else {
            assert_eq!(event.id.as_ref(), Some(&id), "the frame's id is the message's: {event:?}");
        }
        assert!(id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'));
        assert!(json["channel"].is_string() && !json["time"].is_null() && json.get("data").is_some(), "{json}");
        Self { id, json }
    }

    /// The channel's name.
    ///
    /// # Panics
    /// Never: it was checked.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.json["channel"].as_str().expect("checked")
    }

    /// `data` as it stands.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.json["data"]
    }

    /// The payload's bytes, for a payload that was text or binary.
    ///
    /// # Panics
    /// When `data` is neither.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let data = self.data().as_str().unwrap_or_else(|| panic!("not a string: {}", self.json));
        match self.json["encoding"].as_str() {
            None => data.as_bytes().to_vec(),
            Some("base64") => base64::engine::general_purpose::STANDARD.decode(data).expect("base64"),
            Some(other) => panic!("an unknown encoding {other}"),
        }
    }

    /// Whether it was marked as a retained or last value.
    #[must_use]
    pub fn retained(&self) -> bool {
        self.json["retained"] == Value::Bool(true)
    }
}
