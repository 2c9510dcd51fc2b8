//! WebSocket messages from a client (RFC 6455), taken from bytes in any pieces. No memory is held between messages.

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// What ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Protocol,
    Utf8,
    TooLarge,
}

impl Broken {
    /// The close code (RFC 6455 section 7.4.1).
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Utf8 => 1007,
            Self::TooLarge => 1009,
        }
    }
}

/// The state between reads.
#[derive(Debug)]
pub(super) struct Decoder {
    max: usize,
    /// The beginning of a frame whose rest has not come yet.
    rest: Vec<u8>,
    /// The frames so far of a message in several.
    parts: Option<Box<Parts>>,
}

#[derive(Debug)]
struct Parts {
    text: bool,
    payload: Vec<u8>,
}

struct Frame {
    last: bool,
    opcode: u8,
    payload: Vec<u8>,
    size: usize,
}

impl Decoder {
    /// Messages of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { max, rest: Vec::new(), parts: None }
    }

    /// Takes what was read and gives the messages that are complete.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Incoming>) -> Result<(), Broken> {
        if self.rest.is_empty() {
            let used = self.frames(bytes, out)?;
            self.rest = bytes.get(used..).unwrap_or_default().to_vec();
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.rest);
        gathered.extend_from_slice(bytes);
        let used = self.frames(&gathered, out)?;
        if used > 0 {
            gathered.drain(..used);
            gathered.shrink_to_fit();
        }
        self.rest = gathered;
        Ok(())
    }

    fn frames(&mut self, bytes: &[u8], out: &mut Vec<Incoming>) -> Result<usize, Broken> {
        let mut used = 0;
        while let Some(frame) = frame(bytes.get(used..).unwrap_or_default(), self.max)? {
            used += frame.size;
            if let Some(incoming) = self.take(frame)? {
                out.push(incoming);
            }
        }
        Ok(used)
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Incoming>, Broken> {
        let Frame { last, opcode, payload, .. } = frame;
        match opcode {
            0x0 => {
                let mut parts = self.parts.take().ok_or(Broken::Protocol)?;
                if parts.payload.len() + payload.len() > self.max {
                    return Err(Broken::TooLarge);
                }
                parts.payload.extend_from_slice(&payload);
                if last {
                    return message(parts.text, parts.payload).map(Some);
                }
                self.parts = Some(parts);
                Ok(None)
            }
            0x1 | 0x2 if self.parts.is_some() => Err(Broken::Protocol),
            0x1 | 0x2 if last => message(opcode == 0x1, payload).map(Some),
            0x1 | 0x2 => {
                self.parts = Some(Box::new(Parts { text: opcode == 0x1, payload }));
                Ok(None)
            }
            0x8 => match payload.as_slice() {
                [] => Ok(Some(Incoming::Close(None))),
                [a, b, ..] => Ok(Some(Incoming::Close(Some(u16::from_be_bytes([*a, *b]))))),
                [_] => Err(Broken::Protocol),
            },
            0x9 => Ok(Some(Incoming::Ping(payload))),
            0xA => Ok(Some(Incoming::Pong)),
            _ => Err(Broken::Protocol),
        }
    }
}

fn message(text: bool, payload: Vec<u8>) -> Result<Incoming, Broken> {
    if !text {
        return Ok(Incoming::Binary);
    }
    String::from_utf8(payload).map(Incoming::Text).map_err(|_| Broken::Utf8)
}

/// The first frame, if it is all there.
fn frame(bytes: &[u8], max: usize) -> Result<Option<Frame>, Broken> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (last, opcode, control) = (first & 0x80 != 0, first & 0x0F, first & 0x08 != 0);
    // No extension is agreed on, and a client masks.
    if first & 0x70 != 0 || second & 0x80 == 0 {
        return Err(Broken::Protocol);
    }
    let short = usize::from(second & 0x7F);
    if control && (!last || short > 125) {
        return Err(Broken::Protocol);
    }
    let (len, rest, head) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((len, rest)) => (usize::from(u16::from_be_bytes(*len)), rest, 4),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((len, rest)) => (usize::try_from(u64::from_be_bytes(*len)).map_err(|_| Broken::TooLarge)?, rest, 10),
            None => return Ok(None),
        },
        _ => (short, rest, 2),
    };
    if len > max {
        return Err(Broken::TooLarge);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(masked) = rest.get(..len) else { return Ok(None) };
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Frame { last, opcode, payload, size: head + 4 + len }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            len @ 0..=125 => out.push(0x80 | u8::try_from(len).unwrap_or(0)),
            len => {
                out.push(0x80 | 126);
                out.extend_from_slice(&u16::try_from(len).unwrap_or(0).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        out
    }

    fn read(bytes: &[u8], step: usize) -> Result<Vec<Incoming>, Broken> {
        let (mut decoder, mut out) = (Decoder::new(1000), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.feed(piece, &mut out)?;
        }
        assert!(decoder.rest.is_empty());
        Ok(out)
    }

    #[test]
    fn messages_come_in_any_pieces() {
        let long = "é".repeat(300);
        let mut bytes = masked(0x81, b"hi");
        bytes.extend(masked(0x01, b"a"));
        bytes.extend(masked(0x89, b"ping"));
        bytes.extend(masked(0x80, b"b"));
        bytes.extend(masked(0x81, long.as_bytes()));
        bytes.extend(masked(0x82, b"\xff"));
        bytes.extend(masked(0x8A, b""));
        bytes.extend(masked(0x88, &4200u16.to_be_bytes()));
        for step in [1, 2, 3, 7, 100, 10_000] {
            let expected = vec![
                Incoming::Text("hi".into()),
                Incoming::Ping(b"ping".to_vec()),
                Incoming::Text("ab".into()),
                Incoming::Text(long.clone()),
                Incoming::Binary,
                Incoming::Pong,
                Incoming::Close(Some(4200)),
            ];
            assert_eq!(read(&bytes, step), Ok(expected));
        }
    }

    #[test]
    fn broken_frames_have_their_code() {
        for (bytes, broken) in [
            (vec![0x81, 0x01, b'a'], Broken::Protocol),
            (masked(0xC1, b"a"), Broken::Protocol),
            (masked(0x80, b"a"), Broken::Protocol),
            (masked(0x83, b"a"), Broken::Protocol),
            (masked(0x09, b"a"), Broken::Protocol),
            (masked(0x88, b"a"), Broken::Protocol),
            (masked(0x89, &[0; 126]), Broken::Protocol),
            (masked(0x81, b"\xff"), Broken::Utf8),
            (masked(0x81, &[b'a'; 1001]), Broken::TooLarge),
            (vec![0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], Broken::TooLarge),
            ([masked(0x01, &[b'a'; 900]), masked(0x80, &[b'a'; 900])].concat(), Broken::TooLarge),
            ([masked(0x01, b"a"), masked(0x81, b"a")].concat(), Broken::Protocol),
        ] {
            assert_eq!(read(&bytes, 10_000), Err(broken), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), step in 1usize..50) {
            let (mut decoder, mut out) = (Decoder::new(1000), Vec::new());
            for piece in bytes.chunks(step) {
                if decoder.feed(piece, &mut out).is_err() {
                    break;
                }
                prop_assert!(decoder.rest.len() <= 1014);
            }
        }
    }
}
