//! A frame made once and sent to many, over WebSocket and over the fallbacks.

use bytes::Bytes;
use ratatosk_connector::websocket::{self, Opcode};

/// The text of a frame with the header of a WebSocket text message before it.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    bytes: Bytes,
    head: usize,
}

impl Packet {
    pub(super) fn new(text: &str) -> Self {
        let (bytes, head) = text_frame(text);
        Self { bytes, head }
    }

    /// As a WebSocket message (RFC 6455 section 5.2): final, text, not masked.
    pub(super) fn websocket(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(super) fn text(&self) -> &str {
        self.bytes.get(self.head..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

/// A WebSocket text message and the length of its header.
pub(super) fn text_frame(text: &str) -> (Bytes, usize) {
    let header = websocket::header(Opcode::Text, text.len());
    let head = header.as_slice();
    ([head, text.as_bytes()].concat().into(), head.len())
}

/// A WebSocket pong with the ping's payload.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 2);
    websocket::put_frame(&mut out, Opcode::Pong, payload);
    out.into()
}

/// A WebSocket close; without a code it is empty.
pub(super) fn close(code: Option<u16>, reason: &str) -> Bytes {
    match code {
        Some(code) => websocket::close(code, reason).into(),
        None => websocket::header(Opcode::Close, 0).as_slice().to_vec().into(),
    }
}
