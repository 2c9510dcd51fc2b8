//! The HTTP client of one upstream: trust, certificate, proxy, redirects.

use super::settings::{Settings, SetupError};
use crate::config::SseUpstreamConfig;
use reqwest::redirect::{Attempt, Policy};
use std::path::Path;

const MAX_REDIRECTS: usize = 10;

pub(super) fn client(settings: &Settings, config: &SseUpstreamConfig) -> Result<reqwest::Client, SetupError> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("ratatosk/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .tcp_keepalive(std::time::Duration::from_secs(30))
        .redirect(redirects(settings.confidential));
    if let Some(ca) = &config.tls.ca {
        let refused = |error: reqwest::Error| certificate(ca, &error);
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&read(ca)?).map_err(refused)?);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        let mut pem = read(cert)?;
        pem.push(b'\n');
        pem.extend(read(key)?);
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(|error| certificate(key, &error))?);
    }
    builder = match config.proxy.as_deref() {
        None => builder,
        Some("off") => builder.no_proxy(),
        Some(url) => builder.proxy(reqwest::Proxy::all(url).map_err(|_| SetupError::Proxy)?),
    };
    builder.build().map_err(|error| SetupError::Client(super::answer::chain(&error)))
}

/// Follows like a browser, but shows configured headers to nobody else. (`Authorization` is dropped by reqwest itself.)
fn redirects(confidential: bool) -> Policy {
    Policy::custom(move |attempt: Attempt<'_>| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error("too many redirects");
        }
        let first = attempt.previous().first();
        if confidential && first.is_some_and(|first| first.origin() != attempt.url().origin()) {
            return attempt.error("a redirect to another origin while secret headers are configured");
        }
        attempt.follow()
    })
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|error| SetupError::Certificate(path.display().to_string(), error.to_string()))
}

fn certificate(path: &Path, error: &reqwest::Error) -> SetupError {
    SetupError::Certificate(path.display().to_string(), super::answer::chain(error))
}
