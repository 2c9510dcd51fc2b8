//! Certificates and keys.

use std::path::{Path, PathBuf};

use ratatosk_connector::{
    config_types::ClientTlsConfig,
    tls::{ClientCertificates, ClientName, ServerCertificate, ServerCertificateError, ServerTls, TlsConfig},
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject};

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{ClientAuthChoice, ClientNameChoice, TlsSection},
    resolved::Tls,
};

pub(super) fn server(section: &TlsSection, faults: &mut Faults) -> Option<Tls> {
    let before = faults.found.len();
    let at = KeyPath::keys(["tls"]);
    let mut certificates = Vec::new();
    let mut ends = Vec::new();
    let mut add = |label: String, certificate: Option<ServerCertificate>| {
        ends.extend(certificate.iter().map(|certificate| (label.clone(), certificate.ends())));
        certificates.extend(certificate);
    };
    add("tls".to_owned(), pair(&section.cert, &section.key, &at, faults));
    for (index, more) in section.certificates.iter().enumerate() {
        let at = at.key("certificates").index(index);
        let read = pair(&more.cert, &more.key, &at, faults);
        let read = read.map(|read| if more.names.is_empty() { read } else { read.named(more.names.clone()) });
        if read.as_ref().is_some_and(|read| read.names().is_empty()) {
            let problem =
                format!("{} is made out to no DNS name, so that nobody could ask for it", more.cert.display());
            faults.add(at.key("names"), problem, "name those that it is to be shown for");
        }
        add(format!("tls.certificates[{index}]"), read);
    }
    let clients = clients(section, &at, faults, &mut ends);
    if faults.found.len() > before {
        return None;
    }
    let config = TlsConfig { certificates, clients };
    // Whatever the library finds wrong with all of it together.
    if let Err(error) = ServerTls::new(&config, &[]) {
        faults.add(at, error.to_string(), "");
        return None;
    }
    Some(Tls { config, ends, files: files(section), watch: section.watch.get() })
}

fn clients(
    section: &TlsSection,
    at: &KeyPath,
    faults: &mut Faults,
    ends: &mut Vec<(String, i64)>,
) -> Option<ClientCertificates> {
    let required = match (section.client_auth, &section.client_ca) {
        (ClientAuthChoice::Off, None) => return None,
        (ClientAuthChoice::Off, Some(_)) => {
            let problem = "clients are not asked for a certificate, so that this says nothing";
            faults.add(at.key("client_ca"), problem, "set `client_auth` to \"optional\" or \"required\"");
            return None;
        }
        (_, None) => {
            let problem = "nobody is there to sign the certificates of clients";
            faults.add(at.key("client_auth"), problem, "name a PEM file with authorities in `client_ca`");
            return None;
        }
        (choice, Some(_)) => choice == ClientAuthChoice::Required,
    };
    let authorities = certificates(section.client_ca.as_deref()?, at.key("client_ca"), faults)?;
    for (index, authority) in authorities.iter().enumerate() {
        ends.extend(ServerCertificate::end_of(authority).map(|end| (format!("tls.client_ca[{index}]"), end)));
    }
    let revoked = match &section.client_crl {
        Some(file) => lists(file, at.key("client_crl"), faults)?,
        None => Vec::new(),
    };
    let name = match section.client_name {
        ClientNameChoice::Cn => ClientName::CommonName,
        ClientNameChoice::Dns => ClientName::Dns,
        ClientNameChoice::Email => ClientName::Email,
        ClientNameChoice::Uri => ClientName::Uri,
    };
    Some(ClientCertificates { authorities, revoked, required, name })
}

/// Every file that the section names.
fn files(section: &TlsSection) -> Vec<PathBuf> {
    let more = section.certificates.iter().flat_map(|one| [&one.cert, &one.key]);
    let clients = section.client_ca.iter().chain(&section.client_crl);
    [&section.cert, &section.key].into_iter().chain(more).chain(clients).cloned().collect()
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

fn pair(cert: &Path, key: &Path, at: &KeyPath, faults: &mut Faults) -> Option<ServerCertificate> {
    let chain = certificates(cert, at.key("cert"), faults);
    let private = private_key(key, at.key("key"), faults);
    match ServerCertificate::new(chain?, private?) {
        Ok(certificate) => Some(certificate),
        Err(error) => {
            let problem = match error {
                ServerCertificateError::ForeignKey => {
                    format!("{} is not the key of {}", key.display(), cert.display())
                }
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

fn lists(file: &Path, at: KeyPath, faults: &mut Faults) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let read = CertificateRevocationListDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let problem = match read {
        Ok(lists) if !lists.is_empty() => return Some(lists),
        Ok(_) => "there is no list in it".to_owned(),
        Err(error) => error.to_string(),
    };
    faults.add(at, format!("{}: {problem}", file.display()), "name a PEM file with `BEGIN X509 CRL`");
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
