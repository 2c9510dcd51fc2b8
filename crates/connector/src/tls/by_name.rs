//! Which certificate a client is shown: by the name it asks for (RFC 6066 section 3).

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::ServerCertificate;

/// Certificates by the names they are for. Of several for one name, the first that the client can check is shown.
#[derive(Debug)]
pub(super) struct ByName {
    /// Wildcards by what follows their first label: `.example.org`.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
    fallback: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn new(certificates: &[ServerCertificate]) -> Self {
        let mut named: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for certificate in certificates {
            for name in certificate.names() {
                named.entry(key_of(name)).or_default().push(certificate.key().clone());
            }
        }
        let all = certificates.iter().map(|certificate| certificate.key().clone());
        Self { named, fallback: all.collect() }
    }

    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.fallback };
        let wildcard = || name.find('.').and_then(|dot| self.named.get(name.get(dot..)?));
        self.named.get(&name).or_else(wildcard).unwrap_or(&self.fallback)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = self.find(hello.server_name());
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        found.iter().find(fits).or_else(|| found.first()).cloned()
    }
}

fn key_of(name: &str) -> String {
    name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase()
}
