use bytes::{Buf, BytesMut};

use super::WebSocketFault;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation = 0,
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// Goodbye.
    Close = 8,
    /// A question for a sign of life.
    Ping = 9,
    /// Its answer.
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Result<Self, WebSocketFault> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(WebSocketFault::Opcode),
        })
    }

    /// Whether it may come between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// One frame of a client, its payload unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it ends its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What it carries: the bytes of the buffer they came in.
    pub payload: BytesMut,
}

/// Reads frames and holds them to the rules of fragmentation.
#[derive(Debug, Clone)]
pub struct Frames {
    limit: usize,
    in_message: bool,
}

struct Head {
    fin: bool,
    opcode: Opcode,
    /// Bytes of the header, mask included.
    len: usize,
    payload: usize,
    mask: [u8; 4],
}

impl Frames {
    /// `limit` is the largest payload of one frame, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, in_message: false }
    }

    /// Takes the next whole frame from the front of `buffer`; `None` if more bytes are needed.
    /// Nothing is reserved for what has not arrived.
    ///
    /// # Errors
    /// What the protocol forbids, as soon as the header shows it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, WebSocketFault> {
        let Some(head) = self.head(buffer)? else { return Ok(None) };
        if buffer.len() - head.len < head.payload {
            return Ok(None);
        }
        buffer.advance(head.len);
        let mut payload = buffer.split_to(head.payload);
        unmask(&mut payload, head.mask);
        if !head.opcode.is_control() {
            self.in_message = !head.fin;
        }
        Ok(Some(Frame { fin: head.fin, opcode: head.opcode, payload }))
    }

    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, WebSocketFault> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(WebSocketFault::ReservedBit);
        }
        let (fin, opcode) = (first & 0x80 != 0, Opcode::of(first & 0x0F)?);
        if second & 0x80 == 0 {
            return Err(WebSocketFault::NotMasked);
        }
        let short = second & 0x7F;
        if opcode.is_control() {
            if !fin || short > 125 {
                return Err(WebSocketFault::Control);
            }
        } else if (opcode == Opcode::Continuation) != self.in_message {
            return Err(WebSocketFault::Fragments);
        }
        let Some((payload, rest, extended)) = length(short, rest)? else { return Ok(None) };
        let payload = usize::try_from(payload).ok().filter(|len| *len <= self.limit).ok_or(WebSocketFault::TooLarge)?;
        let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Head { fin, opcode, len: 2 + extended + 4, payload, mask: *mask }))
    }
}

/// The payload's length, what follows it, and how many bytes it took beyond the first.
type Length<'a> = (u64, &'a [u8], usize);

fn length(short: u8, rest: &[u8]) -> Result<Option<Length<'_>>, WebSocketFault> {
    let (value, rest, extended, least) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), rest, 2, 126),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), rest, 8, 1 << 16),
            None => return Ok(None),
        },
        _ => (u64::from(short), rest, 0, 0),
    };
    if value < least || value > i64::MAX as u64 {
        return Err(WebSocketFault::Length);
    }
    Ok(Some((value, rest, extended)))
}

/// Eight bytes at a time: the compiler makes vector instructions of it.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::put_frame;

    /// A client's frame.
    fn masked(fin: bool, opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        put_frame(&mut out, Opcode::Binary, payload);
        let head = out.len() - payload.len();
        out[0] = u8::from(fin) << 7 | opcode;
        out[1] |= 0x80;
        let body: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        out.truncate(head);
        out.extend(mask);
        out.extend(body);
        out
    }

    fn read(frames: &mut Frames, bytes: &[u8]) -> Result<Option<Frame>, WebSocketFault> {
        frames.next(&mut BytesMut::from(bytes))
    }

    #[test]
    fn the_example_of_the_standard() {
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let frame = read(&mut Frames::new(100), &bytes).unwrap().unwrap();
        assert_eq!((frame.fin, frame.opcode, &frame.payload[..]), (true, Opcode::Text, &b"Hello"[..]));
    }

    #[test]
    fn what_is_forbidden() {
        let fault = |bytes: &[u8]| read(&mut Frames::new(1000), bytes).unwrap_err();
        assert_eq!(fault(&[0xC1, 0x80]), WebSocketFault::ReservedBit);
        assert_eq!(fault(&[0x83, 0x80]), WebSocketFault::Opcode);
        assert_eq!(fault(&[0x81, 0x00]), WebSocketFault::NotMasked);
        assert_eq!(fault(&[0x09, 0x80]), WebSocketFault::Control);
        assert_eq!(fault(&[0x89, 0xFE, 0, 126]), WebSocketFault::Control);
        assert_eq!(fault(&[0x80, 0x80]), WebSocketFault::Fragments);
        assert_eq!(fault(&[0x82, 0xFE, 0, 125]), WebSocketFault::Length);
        assert_eq!(fault(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), WebSocketFault::Length);
        assert_eq!(fault(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), WebSocketFault::Length);
        assert_eq!(fault(&[0x82, 0xFE, 0x04, 0x00]), WebSocketFault::TooLarge);
        assert_eq!(WebSocketFault::TooLarge.code(), 1009);
    }

    #[test]
    fn fragments_with_a_ping_between_them() {
        let mut frames = Frames::new(100);
        let stream = [
            masked(false, 2, b"one", [1, 2, 3, 4]),
            masked(true, 9, b"?", [9, 9, 9, 9]),
            masked(true, 0, b"two", [0; 4]),
        ];
        let mut buffer = BytesMut::from(&stream.concat()[..]);
        let all: Vec<_> = std::iter::from_fn(|| frames.next(&mut buffer).unwrap()).map(|f| (f.fin, f.opcode)).collect();
        assert_eq!(all, [(false, Opcode::Binary), (true, Opcode::Ping), (true, Opcode::Continuation)]);
        read(&mut frames, &masked(false, 1, b"", [0; 4])).unwrap();
        assert_eq!(read(&mut frames, &masked(true, 1, b"", [0; 4])), Err(WebSocketFault::Fragments));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_payload_in_any_pieces(
            payload in proptest::collection::vec(any::<u8>(), 0..70_000),
            mask in any::<[u8; 4]>(),
            piece in 1usize..5000,
        ) {
            let bytes = masked(true, 2, &payload, mask);
            let (mut frames, mut buffer, mut got) = (Frames::new(1 << 20), BytesMut::new(), None);
            for piece in bytes.chunks(piece) {
                prop_assert!(got.is_none());
                buffer.extend_from_slice(piece);
                got = frames.next(&mut buffer).unwrap();
            }
            prop_assert_eq!(&got.unwrap().payload[..], &payload[..]);
        }

    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (mut frames, mut buffer) = (Frames::new(1000), BytesMut::from(&bytes[..]));
            while let Ok(Some(frame)) = frames.next(&mut buffer) {
                prop_assert!(frame.payload.len() <= 1000);
            }
        }
    }
}
