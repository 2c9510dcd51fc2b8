//! The head of a request on a polling connection: only the plainest POST is served here, the rest is the router's.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// More headers than this are the router's business.
const MAX_HEADERS: usize = 48;
/// Bytes of a head that is still read here.
const MAX_HEAD: usize = 16 << 10;

/// What the first bytes of a request are.
#[derive(Debug)]
pub(super) enum Head {
    /// More is needed.
    Partial,
    /// Not for us, or not plain: the router sees to it.
    Foreign,
    /// A POST to one of the mounts.
    Post(Post),
}

/// A POST with a body of known length.
#[derive(Debug)]
pub(super) struct Post {
    /// The headers that are of interest here.
    pub(super) headers: HeaderMap,
    /// Where the body begins.
    pub(super) start: usize,
    /// How long it is.
    pub(super) length: usize,
    /// Whether the client keeps the connection.
    pub(super) keep: bool,
}

/// Reads a head; `is_ours` judges the path. `tells_page` keeps what tells which page asks, too.
pub(super) fn read(bytes: &[u8], limit: usize, tells_page: bool, is_ours: impl Fn(&str) -> bool) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(start)) => {
            judge(&request, start, limit, tells_page, is_ours).map_or(Head::Foreign, Head::Post)
        }
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => Head::Partial,
        _ => Head::Foreign,
    }
}

fn judge(
    request: &httparse::Request<'_, '_>,
    start: usize,
    limit: usize,
    tells_page: bool,
    is_ours: impl Fn(&str) -> bool,
) -> Option<Post> {
    let path = request.path?.split('?').next()?;
    if request.method != Some("POST") || request.version != Some(1) || !is_ours(path) {
        return None;
    }
    let (mut headers, mut length, mut keep) = (HeaderMap::new(), None, true);
    for field in request.headers.iter() {
        let name = field.name;
        if name.eq_ignore_ascii_case("content-length") {
            let value: usize = std::str::from_utf8(field.value).ok()?.trim().parse().ok()?;
            if length.is_some_and(|known| known != value) {
                return None;
            }
            length = Some(value);
        } else if ["transfer-encoding", "expect", "upgrade"].iter().any(|odd| name.eq_ignore_ascii_case(odd)) {
            return None;
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !field.value.to_ascii_lowercase().windows(5).any(|word| word == b"close");
        } else if let Some(name) = of_interest(name, tells_page) {
            headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
    }
    let length = length.filter(|length| *length <= limit)?;
    Some(Post { headers, start, length, keep })
}

fn of_interest(name: &str, tells_page: bool) -> Option<HeaderName> {
    let always = [header::CONTENT_TYPE, header::COOKIE, header::ORIGIN, header::HOST, header::AUTHORIZATION];
    let page = [header::REFERER, HeaderName::from_static("sec-fetch-site")].into_iter().filter(|_| tells_page);
    always.into_iter().chain(page).find(|known| name.eq_ignore_ascii_case(known.as_str()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn head(text: &str) -> Head {
        read(text.as_bytes(), 100, false, |path| path == "/b")
    }

    #[test]
    fn a_plain_post_is_ours() {
        let text = "POST /b?x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX: y\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n[1]";
        let Head::Post(post) = head(text) else { panic!("ours") };
        assert_eq!((post.start + post.length, post.length, post.keep, post.headers.len()), (text.len(), 3, true, 2));
        let Head::Post(post) = head("POST /b HTTP/1.1\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n") else {
            panic!("ours")
        };
        assert!(!post.keep);
    }

    #[test]
    fn everything_else_is_the_routers() {
        for text in [
            "GET /b HTTP/1.1\r\n\r\n",
            "POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
            "POST /b HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
            "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 101\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            "POST /b HTTP/1.1\r\n\r\n",
            "\0\0",
        ] {
            assert!(matches!(head(text), Head::Foreign), "{text}");
        }
        assert!(matches!(head("POST /b HT"), Head::Partial));
        assert!(matches!(head(&format!("POST /b HTTP/1.1\r\nX: {}", "y".repeat(20_000))), Head::Foreign));
    }
}
