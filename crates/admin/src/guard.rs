//! Who may call the API.
//!
//! With a token, whoever shows it (`Authorization: Bearer`). Without one the listener is on loopback, and a call must
//! have been made under a loopback name: a page elsewhere whose name was made to point here (DNS rebinding) has
//! another one. Calls that change something must in no case come from another site's page.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ratatosk_connector::http::Problem;
use ratatosk_core::{Connector, MonitorEvent};
use subtle::ConstantTimeEq;

use crate::Admin;

/// A header that no page can send to another site without being asked for: it stands in for a JSON content type.
pub(crate) const CUSTOM: &str = "x-ratatosk-admin";

pub(crate) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(token) = (admin.config.token)() {
        let allowed =
            bearer(headers).is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(token.expose().as_bytes())));
        let connector = Connector::register("admin");
        admin.config.bus.monitor().emit(MonitorEvent::Authenticated { connector, allowed });
        if !allowed {
            return unauthorized();
        }
    } else if !host(headers).is_some_and(is_loopback) {
        let detail = "without `[admin] token` the API answers only to localhost, 127.0.0.1 and [::1]";
        return forbidden("forbidden-host", "The API was called under another name", detail).into_response();
    }
    match cross_site(request.method(), headers) {
        Some(detail) => forbidden("cross-site", "The call may come from another site's page", detail).into_response(),
        None => next.run(request).await,
    }
}

fn forbidden(kind: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, kind, title, detail)
}

fn unauthorized() -> Response {
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "not-authorized",
        "The admin token is needed",
        "send `Authorization: Bearer` with the token of `[admin] token`",
    );
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ratatosk admin\""))];
    (challenge, problem).into_response()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn host(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::HOST)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a call that changes something is not taken.
fn cross_site(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if method.is_safe() {
        return None;
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        if origin.is_none() || origin != host(headers) {
            return Some("`Origin` is another than this host");
        }
    }
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Some("`Sec-Fetch-Site` is another than this site");
    }
    let is_json = text(headers, header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if *method == Method::POST && !is_json && !headers.contains_key(CUSTOM) {
        return Some("send `Content-Type: application/json`, or the header `X-Ratatosk-Admin`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "127.9.9.9", "[::1]:8081", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example:8081", "10.0.0.1", "[::2]:1", "localhost.evil"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn forms_and_foreign_pages_change_nothing() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap_or(header::FROM), HeaderValue::from_static(value)))
                .collect()
        };
        let json = ("content-type", "application/json; charset=utf-8");
        let (here, host) = (("origin", "http://localhost:8081"), ("host", "localhost:8081"));
        let taken = |pairs: &[_]| cross_site(&Method::POST, &headers(pairs)).is_none();
        assert!(taken(&[json]) && taken(&[json, host, here]) && taken(&[("x-ratatosk-admin", "1")]));
        assert!(taken(&[json, ("sec-fetch-site", "same-origin")]));
        assert!(!taken(&[]) && !taken(&[("content-type", "text/plain")]));
        assert!(!taken(&[json, host, ("origin", "http://evil.example")]) && !taken(&[json, host, ("origin", "null")]));
        assert!(!taken(&[json, ("sec-fetch-site", "same-site")]));
        assert!(cross_site(&Method::GET, &headers(&[("origin", "http://evil.example")])).is_none());
    }
}
