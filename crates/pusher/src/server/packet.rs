//! A frame made once and sent to many, over WebSocket and over the fallbacks.

use bytes::Bytes;

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
    let mut out = Vec::with_capacity(text.len() + 10);
    push_head(&mut out, 0x1, text.len());
    let head = out.len();
    out.extend_from_slice(text.as_bytes());
    (out.into(), head)
}

fn push_head(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.push(0x80 | opcode);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A WebSocket pong with the ping's payload.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 2);
    push_head(&mut out, 0xA, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

/// A WebSocket close with a code and a reason of at most 123 bytes; without a code it is empty.
pub(super) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let reason = crate::proto::text::clip(reason, 123);
    let mut out = Vec::with_capacity(reason.len() + 4);
    match code {
        None => push_head(&mut out, 0x8, 0),
        Some(code) => {
            push_head(&mut out, 0x8, reason.len() + 2);
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(reason.as_bytes());
        }
    }
    out.into()
}
