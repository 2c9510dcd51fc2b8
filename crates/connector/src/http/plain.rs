//! The head of a plain request, for who reads requests from a bare connection.
//!
//! Plain is what can be understood in one way only: HTTP/1.1, at most one length of a body, no transfer coding, nothing that asks
//! for another protocol or for a word before the body. What is odd is left to the HTTP library, which knows what is wrong with it.

use super::wire::says_close;

/// More headers than this are odd.
const MAX_FIELDS: usize = 48;
/// Bytes of a head that is still waited for.
const MAX_HEAD: usize = 16 << 10;

/// What the first bytes of a request are.
#[derive(Debug)]
pub enum Reading<T> {
    /// More is needed.
    Partial,
    /// Not plain, or not wanted.
    Odd,
    /// What was made of it.
    Plain(T),
}

/// A request up to its body.
#[derive(Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, with the query.
    pub target: &'a str,
    /// Where the body begins.
    pub start: usize,
    /// How long it is, if that is said.
    pub length: Option<usize>,
    /// Whether the client keeps the connection.
    pub keep: bool,
    fields: &'a [httparse::Header<'a>],
}

impl<'a> Head<'a> {
    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &'a str {
        let end = self.target.bytes().position(|byte| byte == b'?').unwrap_or(self.target.len());
        self.target.get(..end).unwrap_or_default()
    }

    /// The headers but for those that say how the request is framed, as they came.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.fields.iter().map(|field| (field.name, field.value)).filter(|(name, _)| !is(name, "content-length"))
    }
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

/// Reads a head; `take` says whether it is wanted, and keeps what it needs of it.
pub fn read<T>(bytes: &[u8], take: impl FnOnce(&Head<'_>) -> Option<T>) -> Reading<T> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(start)) => {
            head(&request, start).and_then(|head| take(&head)).map_or(Reading::Odd, Reading::Plain)
        }
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => Reading::Partial,
        _ => Reading::Odd,
    }
}

fn head<'a>(request: &'a httparse::Request<'_, 'a>, start: usize) -> Option<Head<'a>> {
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else { return None };
    let (mut length, mut keep) = (None, true);
    for field in request.headers.iter() {
        if is(field.name, "content-length") {
            // RFC 9112 section 6.3: lengths that differ, or are none, are somebody's attempt to be understood in two ways.
            if length.replace(number(field.value)?).is_some() {
                return None;
            }
        } else if is(field.name, "connection") {
            keep &= !says_close(field.value);
        } else if ["transfer-encoding", "expect", "upgrade"].iter().any(|odd| is(field.name, odd)) {
            return None;
        }
    }
    target.starts_with('/').then_some(Head { method, target, start, length, keep, fields: request.headers })
}

/// Digits, and nothing else.
fn number(value: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(value).ok()?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Reading<(String, usize, Option<usize>, bool, usize)> {
        read(text.as_bytes(), |head| {
            Some((
                format!("{} {}", head.method, head.target),
                head.start,
                head.length,
                head.keep,
                head.fields().count(),
            ))
        })
    }

    #[test]
    fn plain_requests_are_read() {
        let text = "POST /b?x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX: y\r\nConnection: keep-alive\r\n\r\n[1]";
        let Reading::Plain(plain) = judge(text) else { unreachable!("{text}") };
        assert_eq!(plain, ("POST /b?x".into(), text.len() - 3, Some(3), true, 3));
        let Reading::Plain(plain) = judge("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n") else { unreachable!() };
        assert_eq!((plain.2, plain.3), (None, false));
        let Reading::Plain(plain) = judge("GET / HTTP/1.1\r\nConnection: x-closed\r\n\r\n") else { unreachable!() };
        assert!(plain.3);
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_odd() {
        for text in [
            "POST /b HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
            "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: identity\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 0x3\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            "GET /b HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
            "GET http://h/b HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "GET /b HTTP/1.1\r\nA : b\r\n\r\n",
            "GET /b HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            "\0\0",
        ] {
            assert!(matches!(judge(text), Reading::Odd), "{text}");
        }
        assert!(matches!(judge("POST /b HT"), Reading::Partial));
        assert!(matches!(judge(&format!("POST /b HTTP/1.1\r\nX: {}", "y".repeat(20_000))), Reading::Odd));
    }
}
