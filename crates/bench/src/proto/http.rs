//! As much of HTTP/1.1 as a load generator needs: requests, whole responses, and streaming bodies.

use memchr::memmem;

use super::Fault;
use super::tail::Tail;

/// A response's status line and the headers that matter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Length of the head in bytes, blank line included.
    pub(crate) len: usize,
    /// The status code.
    pub(crate) status: u16,
    /// How the body ends.
    pub(crate) body: Framing,
    /// The value of the first `Set-Cookie`.
    pub(crate) cookie: Option<&'a [u8]>,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes.
    Close,
}

/// Parses a response head, once it is there as a whole.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head<'_>>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::answer(bytes)),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head { len, status, body: Framing::Close, cookie: None };
    if matches!(status, 100..=199 | 204 | 304) {
        head.body = Framing::Length(0);
    }
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|v| v.trim().parse().ok());
            head.body = Framing::Length(length.ok_or_else(|| Fault::answer(bytes))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("set-cookie") {
            head.cookie = head.cookie.or(Some(header.value));
        }
    }
    Ok(Some(head))
}

/// Reads whole responses, however many are in flight on the connection.
#[derive(Debug, Default)]
pub(crate) struct Responses(Tail);

impl Responses {
    /// Calls `on` with each complete response's head and (unchunked) body.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        mut on: impl FnMut(&Head<'_>, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.0.feed(input, |bytes| {
            let mut done = 0;
            while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
                let Some(len) = one_response(rest, &mut on)? else { break };
                done += len;
            }
            Ok(done)
        })
    }
}

fn one_response(
    bytes: &[u8],
    on: &mut impl FnMut(&Head<'_>, &[u8]) -> Result<(), Fault>,
) -> Result<Option<usize>, Fault> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let rest = bytes.get(head.len..).unwrap_or_default();
    match head.body {
        Framing::Length(length) => {
            let Some(body) = rest.get(..length) else { return Ok(None) };
            on(&head, body)?;
            Ok(Some(head.len + length))
        }
        Framing::Chunked => {
            let mut body = Vec::new();
            let mut chunks = Dechunker::default();
            let used = chunks.feed(rest, |data| body.extend_from_slice(data))?;
            if !chunks.ended() {
                return Ok(None);
            }
            on(&head, &body)?;
            Ok(Some(head.len + used))
        }
        Framing::Close => Err(Fault::Unexpected("a response without a length".to_owned())),
    }
}

/// Removes the chunked transfer coding from a stream that arrives in arbitrary pieces.
#[derive(Debug, Default)]
pub(crate) struct Dechunker {
    state: ChunkState,
    /// Size of the chunk whose size line is being read, or what is left of its data.
    left: usize,
    /// Bytes seen in the current trailer line.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Extension,
    Data,
    DataEnd,
    Trailer,
    Ended,
}

impl Dechunker {
    /// Gives `data` the payload in `input`; returns how much of `input` belongs to this body.
    pub(crate) fn feed(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                ChunkState::Data => {
                    let end = input.len().min(at + self.left);
                    data(input.get(at..end).unwrap_or_default());
                    self.left -= end - at;
                    at = end;
                    if self.left == 0 {
                        self.state = ChunkState::DataEnd;
                    }
                    continue;
                }
                ChunkState::Ended => break,
                ChunkState::Size => self.size_byte(byte)?,
                ChunkState::Extension if byte == b'\n' => self.size_done(),
                ChunkState::DataEnd if byte == b'\n' => self.state = ChunkState::Size,
                ChunkState::Trailer => self.trailer_byte(byte),
                ChunkState::Extension | ChunkState::DataEnd => {}
            }
            at += 1;
        }
        Ok(at)
    }

    /// Whether the last chunk has been seen.
    pub(crate) fn ended(&self) -> bool {
        self.state == ChunkState::Ended
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), Fault> {
        match (byte, char::from(byte).to_digit(16)) {
            (b'\n', _) => self.size_done(),
            (b'\r', _) => {}
            (b';', _) => self.state = ChunkState::Extension,
            (_, Some(digit)) if self.left < 1 << 40 => self.left = self.left * 16 + digit as usize,
            _ => return Err(Fault::Unexpected(format!("byte {byte:#x} in a chunk size"))),
        }
        Ok(())
    }

    fn size_done(&mut self) {
        self.line = 0;
        self.state = if self.left == 0 { ChunkState::Trailer } else { ChunkState::Data };
    }

    fn trailer_byte(&mut self, byte: u8) {
        match byte {
            b'\n' if self.line == 0 => self.state = ChunkState::Ended,
            b'\n' => self.line = 0,
            b'\r' => {}
            _ => self.line += 1,
        }
    }
}

/// Appends a POST request.
pub(crate) fn post(host: &str, path: &str, extra: &str, body: &[u8], out: &mut Vec<u8>) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// The text between `"name":"` and the next quote: enough of JSON for ids that contain no escapes.
pub(crate) fn json_text<'a>(bytes: &'a [u8], name: &str) -> Option<&'a str> {
    let at = memmem::find(bytes, format!("\"{name}\"").as_bytes())?;
    let value = bytes.get(at + name.len() + 2..)?;
    let open = memchr::memchr(b'"', value)?;
    let text = value.get(open + 1..)?;
    std::str::from_utf8(text.get(..memchr::memchr(b'"', text)?)?).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const MIXED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\nSet-Cookie: A=b; Path=/\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n";

    fn collect(pieces: &[&[u8]]) -> Vec<(u16, Vec<u8>, Option<Vec<u8>>)> {
        let mut seen = Vec::new();
        let mut responses = Responses::default();
        for piece in pieces {
            responses
                .feed(piece, |head, body| {
                    seen.push((head.status, body.to_vec(), head.cookie.map(<[u8]>::to_vec)));
                    Ok(())
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn pipelined_responses_at_every_split() {
        let whole = collect(&[MIXED]);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], (200, b"hello".to_vec(), None));
        assert_eq!(whole[1], (202, b"abc0123456789".to_vec(), Some(b"A=b; Path=/".to_vec())));
        assert_eq!(whole[2], (204, Vec::new(), None));
        for split in 0..MIXED.len() {
            assert_eq!(collect(&[&MIXED[..split], &MIXED[split..]]), whole, "split at {split}");
        }
        let bytes: Vec<&[u8]> = MIXED.chunks(1).collect();
        assert_eq!(collect(&bytes), whole);
    }

    #[test]
    fn nonsense_is_a_fault() {
        assert!(Responses::default().feed(b"\x00\x01nonsense", |_, _| Ok(())).is_err());
        assert!(Dechunker::default().feed(b"zz\r\n", |_| ()).is_err());
        assert!(Dechunker::default().feed(b"fffffffffffffffffffffff\r\n", |_| ()).is_err());
    }

    #[test]
    fn text_out_of_json() {
        let body = br#"[{"id":"1","clientId" : "un1q","successful":true}]"#;
        assert_eq!(json_text(body, "clientId"), Some("un1q"));
        assert_eq!(json_text(body, "absent"), None);
    }
}
