use bytes::{Bytes, BytesMut};

use super::{Frames, Opcode, WebSocketFault};

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A text message; its bytes are UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// To be answered by a pong with the same bytes.
    Ping(Bytes),
    /// The answer to a ping.
    Pong(Bytes),
    /// Goodbye, to be answered by a close frame and the end of the stream.
    Close {
        /// The client's status code, if it gave one.
        code: Option<u16>,
    },
}

/// Joins frames to messages.
#[derive(Debug)]
pub struct Messages {
    frames: Frames,
    limit: usize,
    text: bool,
    /// The fragments of an unfinished message.
    parts: BytesMut,
}

impl Messages {
    /// `limit` is the largest message, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { frames: Frames::new(limit), limit, text: false, parts: BytesMut::new() }
    }

    /// Takes the next message from the front of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// What the protocol forbids.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, WebSocketFault> {
        while let Some(frame) = self.frames.next(buffer)? {
            let payload = frame.payload;
            match frame.opcode {
                Opcode::Ping => return Ok(Some(Incoming::Ping(payload.freeze()))),
                Opcode::Pong => return Ok(Some(Incoming::Pong(payload.freeze()))),
                Opcode::Close => return close_code(&payload).map(|code| Some(Incoming::Close { code })),
                Opcode::Text | Opcode::Binary => {
                    self.text = frame.opcode == Opcode::Text;
                    if frame.fin {
                        return self.whole(payload).map(Some);
                    }
                    self.parts = payload;
                }
                Opcode::Continuation => {
                    if self.parts.len() + payload.len() > self.limit {
                        return Err(WebSocketFault::TooLarge);
                    }
                    self.parts.extend_from_slice(&payload);
                    if frame.fin {
                        let whole = std::mem::take(&mut self.parts);
                        return self.whole(whole).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    fn whole(&self, payload: BytesMut) -> Result<Incoming, WebSocketFault> {
        if !self.text {
            return Ok(Incoming::Binary(payload.freeze()));
        }
        std::str::from_utf8(&payload).map_err(|_| WebSocketFault::Utf8)?;
        Ok(Incoming::Text(payload.freeze()))
    }
}

/// Which codes a peer may send: 1004, 1005, 1006 and 1015 never travel (7.4).
fn close_code(body: &[u8]) -> Result<Option<u16>, WebSocketFault> {
    match body {
        [] => Ok(None),
        [_] => Err(WebSocketFault::Close),
        [a, b, reason @ ..] => {
            std::str::from_utf8(reason).map_err(|_| WebSocketFault::Utf8)?;
            match u16::from_be_bytes([*a, *b]) {
                code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
                _ => Err(WebSocketFault::Close),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A client's short frame under a mask of zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let len = 0x80 | u8::try_from(payload.len()).unwrap();
        [&[first, len, 0, 0, 0, 0], payload].concat()
    }

    fn read(frames: &[Vec<u8>]) -> Result<Vec<Incoming>, WebSocketFault> {
        let (mut messages, mut buffer) = (Messages::new(10), BytesMut::from(&frames.concat()[..]));
        let mut all = Vec::new();
        while let Some(incoming) = messages.next(&mut buffer)? {
            all.push(incoming);
        }
        Ok(all)
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let all = read(&[frame(0x01, b"caf\xC3"), frame(0x89, b"p"), frame(0x80, b"\xA9"), frame(0x82, b"\xFF")]);
        let expected =
            [Incoming::Ping("p".into()), Incoming::Text("café".into()), Incoming::Binary(Bytes::from_static(b"\xFF"))];
        assert_eq!(all.unwrap(), expected);
    }

    #[test]
    fn limits_and_encoding() {
        let long = [frame(0x02, b"123456"), frame(0x80, b"78901")];
        assert_eq!(read(&long), Err(WebSocketFault::TooLarge));
        assert_eq!(read(&[frame(0x81, b"\xFF")]), Err(WebSocketFault::Utf8));
    }

    #[test]
    fn goodbyes() {
        let code = |body: &[u8]| read(&[frame(0x88, body)]);
        assert_eq!(code(b""), Ok(vec![Incoming::Close { code: None }]));
        assert_eq!(code(&[0x03, 0xE8, b'x']), Ok(vec![Incoming::Close { code: Some(1000) }]));
        assert_eq!(code(&[0x03]), Err(WebSocketFault::Close));
        assert_eq!(code(&[0x03, 0xED]), Err(WebSocketFault::Close));
        assert_eq!(code(&[0x03, 0xE8, 0xFF]), Err(WebSocketFault::Utf8));
    }
}
