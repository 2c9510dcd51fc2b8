//! Which web origins may use the gateway: one list for HTTP and WebSocket.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

/// The list of `[http] cors_origins`.
#[derive(Debug, Clone)]
pub struct Origins(Arc<[Box<str>]>);

impl Origins {
    /// `*` allows every origin, without credentials; a named origin is allowed with credentials.
    pub fn new<S: Into<Box<str>>>(allowed: impl IntoIterator<Item = S>) -> Self {
        Self(allowed.into_iter().map(Into::into).collect())
    }

    /// Whether any origin is allowed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|allowed| &**allowed == "*")
    }

    fn is_named(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// Whether a request may go on: it comes from no browser page, from the same host, or from an allowed origin.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        self.is_any() || self.is_named(origin) || is_same_host(origin, headers)
    }

    /// Whether the page that sends a request may use what the browser sends along by itself (cookies): it is of the same
    /// host or named; `*` is not enough. A request that no page of another site has sent is fine.
    #[must_use]
    pub fn is_trusted_page(&self, headers: &HeaderMap) -> bool {
        self.page(headers).unwrap_or(true)
    }

    /// The same of a request whose answer is a script (JSONP). Any page may read that, and can keep an old browser from telling
    /// anything about it: the request must say that the page is one of these.
    #[must_use]
    pub fn is_trusted_script(&self, headers: &HeaderMap) -> bool {
        self.page(headers).unwrap_or(false)
    }

    /// What a request tells about the page that sends it: whether that is of the same host or named.
    fn page(&self, headers: &HeaderMap) -> Option<bool> {
        let judge = |origin: &str| self.is_named(origin) || is_same_host(origin, headers);
        if let Some(origin) = headers.get(header::ORIGIN) {
            return Some(origin.to_str().is_ok_and(judge));
        }
        if let Some(site) = headers.get("sec-fetch-site") {
            return Some(site != "cross-site" && site != "same-site");
        }
        // Browsers that know neither header say at most which page refers.
        headers.get(header::REFERER).map(|referer| referer.to_str().is_ok_and(|url| judge(origin_of(url))))
    }

    /// The CORS headers of the answer to a request.
    #[must_use]
    pub fn answer(&self, request: &HeaderMap) -> Vec<(header::HeaderName, HeaderValue)> {
        let Some(origin) = request.get(header::ORIGIN) else { return Vec::new() };
        let vary = (header::VARY, HeaderValue::from_static("Origin"));
        if origin.to_str().is_ok_and(|text| self.is_named(text)) {
            let credentials = (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            return vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()), credentials, vary];
        }
        if self.is_any() {
            return vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))];
        }
        vec![vary]
    }

    /// The further headers of the answer to a preflight request.
    #[must_use]
    pub fn preflight(&self, request: &HeaderMap) -> Vec<(header::HeaderName, HeaderValue)> {
        let mut answer = self.answer(request);
        if answer.iter().any(|(name, _)| name == header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            let methods = HeaderValue::from_static("GET, POST, PUT, DELETE, QUERY, OPTIONS");
            answer.push((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
            let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
            let headers =
                asked.unwrap_or_else(|| HeaderValue::from_static("Content-Type, Authorization, Last-Event-ID"));
            answer.push((header::ACCESS_CONTROL_ALLOW_HEADERS, headers));
            answer.push((header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400")));
        }
        answer
    }
}

/// The scheme, host and port of an address.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(host..).unwrap_or_default();
    url.get(..host + rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or_default()
}

fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == origin_host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::ORIGIN, HeaderValue::from_static(origin)),
            (header::HOST, HeaderValue::from_static("gateway.example")),
        ])
    }

    #[test]
    fn credentials_go_with_a_named_origin_only() {
        let any = Origins::new(["*"]);
        assert!(any.allows(&request("https://x.example")));
        assert_eq!(
            any.answer(&request("https://x.example")),
            [(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))]
        );
        let named = Origins::new(["https://x.example"]);
        let answer = named.answer(&request("https://x.example"));
        assert!(answer.contains(&(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))));
        assert!(!named.allows(&request("https://y.example")));
        assert!(named.allows(&request("https://gateway.example")));
        assert!(named.is_trusted_page(&request("https://x.example")) && any.is_trusted_page(&HeaderMap::new()));
        assert!(any.is_trusted_page(&request("https://gateway.example")));
        assert!(!any.is_trusted_page(&request("https://x.example")));
        let image = HeaderMap::from_iter([("sec-fetch-site".parse().into_iter(), "cross-site")].into_iter().flat_map(
            |(names, value)| names.map(move |name: header::HeaderName| (name, HeaderValue::from_static(value))),
        ));
        assert!(!any.is_trusted_page(&image));
        assert!(any.is_trusted_page(&HeaderMap::new()) && !any.is_trusted_script(&HeaderMap::new()));
        for (referer, own) in [
            ("https://gateway.example/page", true),
            ("https://gateway.example", true),
            ("https://evil.example/https://gateway.example/", false),
            ("https://gateway.example.evil.example/", false),
            ("about:blank", false),
        ] {
            let mut headers = request("https://x.example");
            headers.remove(header::ORIGIN);
            headers.insert(header::REFERER, HeaderValue::from_static(referer));
            assert_eq!((any.is_trusted_page(&headers), any.is_trusted_script(&headers)), (own, own), "{referer}");
        }
        assert!(named.allows(&HeaderMap::new()));
        assert!(named.answer(&request("https://y.example")).iter().all(|(name, _)| name == header::VARY));
    }
}
