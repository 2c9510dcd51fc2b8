//! TLS towards far servers: whom we trust, and how we show who we are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::config_types::ClientTlsConfig;

/// Why TLS cannot be set up. The file at fault is named.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or holds something else than PEM.
    #[error("cannot read {what} from {}: {reason}", .path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The file holds no such thing.
    #[error("{} holds no {what}", .path.display())]
    Empty {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// One of `cert` and `key` is missing.
    #[error("a client certificate needs both `cert` and `key`")]
    Half,
    /// The certificate and the key do not fit, or are of a kind that is not supported.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
}

/// A client configuration as the options say; the files are read now, so that renewed ones are picked up by the
/// next connection. `alpn` names the protocol, if it has a name.
///
/// # Errors
/// A file cannot be read, or what it holds cannot be used.
pub fn client_config(options: &ClientTlsConfig, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(options.ca.as_deref())?);
    let mut config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?,
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(TlsError::Half),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The authorities of a file, or the public ones.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match ca {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path)? {
                store.add(certificate)?;
            }
        }
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| file(WHAT, path, &error))?;
    if found.is_empty() {
        return Err(TlsError::Empty { what: WHAT, path: path.to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const WHAT: &str = "private key";
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::Empty { what: WHAT, path: path.to_owned() },
        other => file(WHAT, path, &other),
    })
}

fn file(what: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { what, path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn faults_name_the_file() {
        let missing = ClientTlsConfig { ca: Some("no/such.pem".into()), ..Default::default() };
        assert!(client_config(&missing, &[]).unwrap_err().to_string().contains("no/such.pem"));
        let half = ClientTlsConfig { cert: Some("c.pem".into()), ..Default::default() };
        assert!(matches!(client_config(&half, &[]), Err(TlsError::Half)));
        let wrong = ClientTlsConfig { ca: Some("Cargo.toml".into()), ..Default::default() };
        assert!(matches!(client_config(&wrong, &[]), Err(TlsError::Empty { what: "certificate", .. })));
        assert!(client_config(&ClientTlsConfig::default(), &[b"mqtt"]).is_ok());
    }
}
