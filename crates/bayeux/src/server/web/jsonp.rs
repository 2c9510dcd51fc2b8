//! `callback-polling`: a GET whose answer is a script. Hardened as Faye's is.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use ratatosk_connector::access::Visitor;

use super::{
    body,
    poll::{Answer, Refusal, exchange, respond},
    refused,
};
use crate::server::mount::Mount;

/// The callback where none is named.
const CALLBACK: &str = "jsonpcallback";
const MAX_CALLBACK: usize = 64;

pub(super) async fn answer(mount: &Arc<Mount>, request: &Parts) -> Response {
    let query = request.uri.query().unwrap_or_default();
    let texts = body::messages(query);
    let Some(callback) = callback(query) else {
        return refused(StatusCode::BAD_REQUEST, "the callback is not the name of a JavaScript function");
    };
    if texts.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "a GET request needs a message");
    }
    if !may_script(mount, &request.headers) {
        return refused(StatusCode::FORBIDDEN, "this page's origin is not in http.cors_origins");
    }
    match exchange(mount, &Visitor::of(&request.extensions), &request.headers, &texts, false).await {
        Ok(Answer { array, cookie, .. }) => {
            let mut response = respond(Body::from(script(&callback, &array)), "text/javascript;charset=UTF-8", cookie);
            let attachment = HeaderValue::from_static("attachment; filename=f.txt");
            response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment);
            response
        }
        Err(refusal @ (Refusal::Status(..) | Refusal::Superseded)) => refusal.into_response(),
    }
}

/// The one callback, if it is a name: letters, digits, `_`, `$` and dots between them.
fn callback(query: &str) -> Option<String> {
    let mut named =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "jsonp").map(|(_, value)| value);
    let callback = named.next().map_or_else(|| CALLBACK.to_owned(), std::borrow::Cow::into_owned);
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
    };
    let fits = named.next().is_none() && callback.len() <= MAX_CALLBACK && callback.split('.').all(is_name);
    fits.then_some(callback)
}

/// The comment in front keeps the answer from being taken for another kind of file (Rosetta Flash); the two line
/// separators are no line breaks in JSON, but were in JavaScript.
fn script(callback: &str, array: &[u8]) -> Vec<u8> {
    let json = String::from_utf8_lossy(array).replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("/**/{callback}({json});").into_bytes()
}

/// A script is loaded without an `Origin`, so the page is told by its `Referer` where pages are told apart at all.
fn may_script(mount: &Mount, headers: &HeaderMap) -> bool {
    let Some(referer) = headers.get(header::REFERER).and_then(|value| value.to_str().ok()) else {
        return mount.origins.is_any() || headers.get("sec-fetch-site").is_none_or(|site| site != "cross-site");
    };
    let origin = referer.split('/').take(3).collect::<Vec<_>>().join("/");
    let Ok(origin) = HeaderValue::from_str(&origin) else { return false };
    let mut asked = HeaderMap::new();
    asked.insert(header::ORIGIN, origin);
    if let Some(host) = headers.get(header::HOST) {
        asked.insert(header::HOST, host.clone());
    }
    mount.origins.allows(&asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_called() {
        for good in ["jsonp=cb", "jsonp=a.b_c.$d1", "message=x"] {
            assert!(callback(good).is_some(), "{good}");
        }
        for bad in ["jsonp=", "jsonp=a-b", "jsonp=a%28b", "jsonp=1a", "jsonp=a..b", "jsonp=a&jsonp=b", "jsonp=%C3%A9"] {
            assert_eq!(callback(bad), None, "{bad}");
        }
        assert_eq!(callback(&format!("jsonp={}", "x".repeat(65))), None);
    }

    #[test]
    fn line_separators_are_escaped() {
        let written = script("cb", "[\"\u{2028}é\u{2029}\"]".as_bytes());
        assert_eq!(String::from_utf8_lossy(&written), "/**/cb([\"\\u2028é\\u2029\"]);");
    }
}
