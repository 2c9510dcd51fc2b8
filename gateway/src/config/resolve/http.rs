//! The HTTP listener: origins and paths.

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{HttpSection, RawConfig},
    resolved::{CorsOrigins, Http},
};

/// Paths that are always taken on the HTTP listener.
const FIXED: [&str; 6] = ["/", "/publish", "/mqtt", "/app", "/apps", "/.well-known"];

pub(super) fn lower(section: &HttpSection, cors: CorsOrigins) -> Http {
    Http {
        listen: section.listen.address(),
        tls_listen: section.tls_listen.address(),
        cors,
        max_body: section.max_body.as_usize(),
        max_header: section.max_header.as_usize(),
        header_timeout: section.header_timeout.get(),
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

pub(super) fn check_paths(raw: &RawConfig, faults: &mut Faults) {
    let paths = [(["sse", "path"], &raw.sse.path), (["bayeux", "path"], &raw.bayeux.path)];
    for (index, (key, path)) in paths.iter().enumerate() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
        let well_formed =
            path.starts_with('/') && !path.ends_with('/') && !path.contains("//") && path.bytes().all(fits);
        if !well_formed {
            faults.add(
                KeyPath::keys(*key),
                format!("{path:?} is not a path to serve at"),
                "begin with `/`, do not end with it, and use letters, digits, `-`, `_`, `.` and `~`",
            );
        }
        let first = path.split('/').nth(1).unwrap_or_default();
        let fixed = FIXED.iter().find(|fixed| fixed.strip_prefix('/') == Some(first));
        let taken = paths.iter().take(index).find(|(_, other)| within(path, other) || within(other, path));
        let by = fixed
            .map(|fixed| (*fixed).to_owned())
            .or_else(|| taken.map(|([section, name], _)| format!("{section}.{name}")));
        if let (true, Some(by)) = (well_formed, by) {
            faults.add(KeyPath::keys(*key), format!("{path:?} is taken by `{by}`"), "serve it at another path");
        }
    }
}

/// Whether one path is another or lies below it.
fn within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
