//! The HTTP listener: origins and paths.

use ratatosk_connector::{
    access::Cidr,
    http::{ForwardedHeader, TrustedProxies},
};

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{ForwardedChoice, HttpSection, RawConfig},
    resolved::{CorsOrigins, Http},
};

/// Paths that are always taken on the HTTP listener.
const FIXED: [&str; 6] = ["/", "/publish", "/mqtt", "/app", "/apps", "/.well-known"];

pub(super) fn lower(section: &HttpSection, cors: CorsOrigins, proxies: &[Cidr]) -> Http {
    let header = match section.forwarded_header {
        ForwardedChoice::XForwardedFor => ForwardedHeader::XForwardedFor,
        ForwardedChoice::Forwarded => ForwardedHeader::Forwarded,
    };
    Http {
        listen: section.listen.address(),
        tls_listen: section.tls_listen.address(),
        cors,
        max_body: section.max_body.as_usize(),
        max_header: section.max_header.as_usize(),
        header_timeout: section.header_timeout.get(),
        proxies: TrustedProxies::new(proxies.iter().copied(), header),
        proxy_protocol: section.proxy_protocol,
    }
}

pub(super) fn origins(section: &HttpSection, faults: &mut Faults) -> CorsOrigins {
    let path = KeyPath::keys(["http", "cors_origins"]);
    if section.cors_origins.iter().any(|origin| origin == "*") {
        if section.cors_origins.len() > 1 {
            faults.add(path, "`*` stands for every origin, others beside it say nothing", "name either `*` or origins");
        }
        return CorsOrigins::Any;
    }
    let mut known = Vec::new();
    for (index, text) in section.cors_origins.iter().enumerate() {
        match url::Url::parse(text) {
            Ok(url) if url.origin().is_tuple() && url.path() == "/" && url.query().is_none() => {
                known.push(url.origin().ascii_serialization());
            }
            _ => faults.add(
                path.index(index),
                format!("{text:?} is not an origin"),
                "write scheme and host as browsers do, such as \"https://example.org\", or \"*\"",
            ),
        }
    }
    CorsOrigins::Only(known)
}

/// A path that the configuration chooses, and its key.
struct Mounted<'a> {
    key: KeyPath,
    path: &'a str,
}

pub(super) fn check_paths(raw: &RawConfig, faults: &mut Faults) {
    let mounted = mounted(raw);
    for (index, Mounted { key, path }) in mounted.iter().enumerate() {
        if !is_path(path) {
            faults.add(
                key.clone(),
                format!("{path:?} is not a path to serve at"),
                "begin with `/`, do not end with it, and use letters, digits, `-`, `_`, `.` and `~`",
            );
            continue;
        }
        let first = path.split('/').nth(1).unwrap_or_default();
        let fixed = FIXED.iter().find(|fixed| fixed.strip_prefix('/') == Some(first)).map(|fixed| (*fixed).to_owned());
        let other = mounted.iter().take(index).find(|other| within(path, other.path) || within(other.path, path));
        if let Some(by) = fixed.or_else(|| other.map(|other| other.key.to_string())) {
            faults.add(key.clone(), format!("{path:?} is taken by `{by}`"), "serve it at another path");
        }
    }
}

fn mounted(raw: &RawConfig) -> Vec<Mounted<'_>> {
    let mut mounted = vec![
        Mounted { key: KeyPath::keys(["sse", "path"]), path: &raw.sse.path },
        Mounted { key: KeyPath::keys(["bayeux", "path"]), path: &raw.bayeux.path },
    ];
    for (index, path) in raw.bayeux.more_paths.iter().enumerate() {
        mounted.push(Mounted { key: KeyPath::keys(["bayeux", "more_paths"]).index(index), path });
    }
    if !raw.pusher.prefix.is_empty() {
        mounted.push(Mounted { key: KeyPath::keys(["pusher", "prefix"]), path: &raw.pusher.prefix });
    }
    mounted
}

fn is_path(path: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    path.starts_with('/') && !path.ends_with('/') && !path.contains("//") && path.bytes().all(fits)
}

/// Whether one path is another or lies below it.
fn within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
