//! Certificates and keys.

use std::{path::Path, sync::Arc};

use ratatosk_connector::config_types::ClientTlsConfig;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::Faults;
use crate::config::{path::KeyPath, raw::TlsSection, resolved::Tls};

pub(super) fn server(section: &TlsSection, faults: &mut Faults) -> Option<Tls> {
    let at = KeyPath::keys(["tls"]);
    let certified = pair(&section.cert, &section.key, &at, faults)?;
    Some(Tls { certified: Arc::new(certified) })
}

/// Checks what we trust and show as a client.
pub(super) fn client(section: &ClientTlsConfig, at: &KeyPath, faults: &mut Faults) {
    if let Some(ca) = &section.ca {
        certificates(ca, at.key("ca"), faults);
    }
    match (&section.cert, &section.key) {
        (Some(cert), Some(key)) => drop(pair(cert, key, at, faults)),
        (Some(_), None) => faults.add(at.key("cert"), "a certificate needs its private key", "add `key`"),
        (None, Some(_)) => faults.add(at.key("key"), "a private key needs its certificate", "add `cert`"),
        (None, None) => {}
    }
}

fn pair(cert: &Path, key: &Path, at: &KeyPath, faults: &mut Faults) -> Option<CertifiedKey> {
    let chain = certificates(cert, at.key("cert"), faults);
    let private = private_key(key, at.key("key"), faults);
    let (chain, private) = (chain?, private?);
    match CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()) {
        Ok(certified) => Some(certified),
        Err(error) => {
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => format!("{} is not the key of {}", key.display(), cert.display()),
                error => format!("{} cannot be used with {}: {error}", key.display(), cert.display()),
            };
            faults.add(at.key("key"), problem, "name a certificate and its own key");
            None
        }
    }
}

fn certificates(file: &Path, at: KeyPath, faults: &mut Faults) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let problem = match read {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => "there is no certificate in it".to_owned(),
        Err(error) => error.to_string(),
    };
    faults.add(at, format!("{}: {problem}", file.display()), "name a PEM file with `BEGIN CERTIFICATE`");
    None
}

fn private_key(file: &Path, at: KeyPath, faults: &mut Faults) -> Option<PrivateKeyDer<'static>> {
    match PrivateKeyDer::from_pem_file(file) {
        Ok(key) => Some(key),
        Err(error) => {
            let advice = "name a PEM file with `BEGIN PRIVATE KEY`, without a passphrase";
            faults.add(at, format!("{}: {error}", file.display()), advice);
            None
        }
    }
}
