//! The head of a request on a polling connection: only the plainest POST is served here, the rest is the router's.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ratatosk_connector::http::plain::{self, Head, Reading};

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
pub(super) fn read(bytes: &[u8], limit: usize, tells_page: bool, is_ours: impl Fn(&str) -> bool) -> Reading<Post> {
    plain::read(bytes, |head| post(head, limit, tells_page, is_ours))
}

fn post(head: &Head<'_>, limit: usize, tells_page: bool, is_ours: impl Fn(&str) -> bool) -> Option<Post> {
    if head.method != "POST" || !is_ours(head.path()) {
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in head.fields() {
        if let Some(name) = of_interest(name, tells_page) {
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    let length = head.length.filter(|length| *length <= limit)?;
    Some(Post { headers, start: head.start, length, keep: head.keep })
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

    fn head(text: &str) -> Reading<Post> {
        read(text.as_bytes(), 100, false, |path| path == "/b")
    }

    #[test]
    fn a_plain_post_is_ours() {
        let text = "POST /b?x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX: y\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n[1]";
        let Reading::Plain(post) = head(text) else { panic!("ours") };
        assert_eq!((post.start + post.length, post.length, post.keep, post.headers.len()), (text.len(), 3, true, 2));
        let Reading::Plain(post) = head("POST /b HTTP/1.1\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n") else {
            panic!("ours")
        };
        assert!(!post.keep);
    }

    #[test]
    fn everything_else_is_the_routers() {
        for text in [
            "GET /b HTTP/1.1\r\n\r\n",
            "POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
            "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /b HTTP/1.1\r\nContent-Length: 101\r\n\r\n",
            "POST /b HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(head(text), Reading::Odd), "{text}");
        }
        assert!(matches!(head("POST /b HT"), Reading::Partial));
    }
}
