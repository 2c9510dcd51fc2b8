//! The client's end of a WebSocket (RFC 6455), as far as a load generator needs it.

use super::http::head;
use super::tail::Tail;
use super::{Fault, Io};

/// Frame opcodes.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Reads the handshake's answer and then frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    tail: Tail,
    open: bool,
}

/// What a [`Reader`] hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// The handshake succeeded.
    Open,
    /// The payload of a data frame; a fragment counts as one.
    Data(&'a [u8]),
}

/// The request that opens a WebSocket.
pub(crate) fn request(host: &str, path: &str, subprotocol: Option<&str>) -> String {
    let subprotocol = subprotocol.map(|p| format!("Sec-WebSocket-Protocol: {p}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: cmF0YXRvc2stYmVuY2gtMQ==\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
    )
}

/// Appends a masked frame.
pub(crate) fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..=125), _) => out.push(0x80 | len),
        (_, Ok(len)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

impl Reader {
    /// Calls `on` with each part that is complete; pings are answered here.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        io: &mut Io<'_>,
        mut on: impl FnMut(Part<'_>, &mut Io<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let open = &mut self.open;
        self.tail.feed(input, |bytes| {
            let mut done = 0;
            if !*open {
                let Some(head) = head(bytes)? else { return Ok(0) };
                if head.status != 101 {
                    return Err(Fault::answer(bytes));
                }
                *open = true;
                done = head.len;
                on(Part::Open, io)?;
            }
            while let Some((opcode, payload, len)) = bytes.get(done..).and_then(parse) {
                done += len;
                match opcode {
                    CONTINUATION | TEXT | BINARY => on(Part::Data(payload), io)?,
                    PING => frame(PONG, payload, io.out),
                    CLOSE => return Err(Fault::Unexpected(closing(payload))),
                    _ => {}
                }
            }
            Ok(done)
        })
    }
}

/// Opcode, payload and whole length of the first frame.
fn parse(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (len, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4usize),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let end = header.checked_add(len)?;
    Some((first & 0x0f, bytes.get(header..end)?, end))
}

fn closing(payload: &[u8]) -> String {
    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
    format!("close {code} {}", String::from_utf8_lossy(payload.get(2..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..=125 => out.push(u8::try_from(len).unwrap()),
            len @ 126..=0xffff => {
                out.push(126);
                out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                out.push(127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    fn read(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut out, mut news, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = Reader::default();
        for piece in pieces {
            let mut io = Io { out: &mut out, news: &mut news };
            reader
                .feed(piece, &mut io, |part, _| {
                    seen.push(match part {
                        Part::Open => b"open".to_vec(),
                        Part::Data(data) => data.to_vec(),
                    });
                    Ok(())
                })
                .unwrap();
        }
        (seen, out)
    }

    #[test]
    fn frames_of_all_sizes_at_every_split() {
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        let payloads = [b"".to_vec(), b"short".to_vec(), vec![b'm'; 300]];
        for payload in &payloads {
            stream.extend(server_frame(TEXT, payload));
        }
        stream.extend(server_frame(PING, b"hey"));
        let mut expected = vec![b"open".to_vec()];
        expected.extend(payloads);
        for split in 0..stream.len() {
            let (seen, out) = read(&[&stream[..split], &stream[split..]]);
            assert_eq!(seen, expected, "split at {split}");
            assert_eq!(out[..2], [0x8a, 0x83]);
        }
        let big = vec![b'x'; 70_000];
        stream.extend(server_frame(BINARY, &big));
        assert_eq!(read(&[&stream]).0.last(), Some(&big));
    }

    #[test]
    fn own_frames_are_masked() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7u8; len];
            let mut out = Vec::new();
            frame(BINARY, &payload, &mut out);
            assert_eq!(out[1] & 0x80, 0x80);
            let body = &out[out.len() - len..];
            let plain: Vec<u8> = body.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(plain, payload);
        }
    }

    #[test]
    fn refusal_and_close_are_faults() {
        let (mut out, mut news) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, news: &mut news };
        let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert!(Reader::default().feed(refusal, &mut io, |_, _| Ok(())).is_err());
        let mut closed = Reader { open: true, ..Reader::default() };
        let fault = closed.feed(&server_frame(CLOSE, b"\x10\x04no"), &mut io, |_, _| Ok(())).unwrap_err();
        assert!(fault.to_string().contains("close 4100 no"), "{fault}");
    }
}
