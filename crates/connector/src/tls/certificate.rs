//! A certificate of ours: its key, the names it is for, and when it ends.

use std::sync::Arc;

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::*};

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ServerCertificateError {
    /// There is none.
    #[error("there is no certificate")]
    Empty,
    /// The key belongs to another one.
    #[error("the key does not belong to the certificate")]
    ForeignKey,
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The library refuses it.
    #[error(transparent)]
    Tls(rustls::Error),
}

/// A certificate that listeners show.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    ends: i64,
}

impl ServerCertificate {
    /// The certificate, its intermediates after it, and its key.
    ///
    /// # Errors
    /// They cannot be used, or not together.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, ServerCertificateError> {
        let first = chain.first().ok_or(ServerCertificateError::Empty)?.clone();
        let key = super::certified(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ServerCertificateError::ForeignKey,
            error => ServerCertificateError::Tls(error),
        })?;
        let (_, parsed) = X509Certificate::from_der(&first).map_err(|_| ServerCertificateError::Unreadable)?;
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
        let names = names.map(ToOwned::to_owned).collect();
        Ok(Self { key: Arc::new(key), names, ends: parsed.validity().not_after.timestamp() })
    }

    /// When some certificate ends, in Unix seconds; `None` if it cannot be read.
    #[must_use]
    pub fn end_of(certificate: &CertificateDer<'_>) -> Option<i64> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    }

    /// Shown for these names instead of those that it is made out to.
    #[must_use]
    pub fn named(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    /// The names it is shown for; a `*` may stand for the first label.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it ends, in Unix seconds.
    #[must_use]
    pub fn ends(&self) -> i64 {
        self.ends
    }

    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}
