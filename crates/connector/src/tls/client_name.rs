//! From a client's certificate to who it is.

use std::sync::Arc;

use serde_json::{Map, json};
use x509_parser::{extensions::GeneralName, prelude::*};

use crate::access::Subject;

/// Which part of a certificate is the user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientName {
    /// The common name of its subject.
    #[default]
    CommonName,
    /// The first DNS name among its alternative names.
    Dns,
    /// The first e-mail address among them.
    Email,
    /// The first URI among them.
    Uri,
}

impl ClientName {
    /// Who a verified certificate says its owner is, until it ends. `None` if it has no such name.
    ///
    /// The organizational units of its subject are groups; the claim `certificate` has its common name (`cn`), organizations
    /// (`o`), units (`ou`), serial number (`serial`) and issuer (`issuer`).
    pub(super) fn subject(self, certificate: &[u8]) -> Option<Arc<Subject>> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let name = self.name(&parsed)?;
        let subject = parsed.subject();
        let texts = |parts: &mut dyn Iterator<Item = &AttributeTypeAndValue<'_>>| -> Vec<String> {
            parts.filter_map(|part| part.as_str().ok()).map(ToOwned::to_owned).collect()
        };
        let units = texts(&mut subject.iter_organizational_unit());
        let told = json!({
            "cn": texts(&mut subject.iter_common_name()),
            "o": texts(&mut subject.iter_organization()),
            "ou": units,
            "serial": parsed.raw_serial_as_string(),
            "issuer": parsed.issuer().to_string(),
        });
        let mut claims = Map::new();
        claims.insert("certificate".to_owned(), told);
        Some(Arc::new(Subject {
            user: Some(name.into()),
            groups: units.into_iter().map(Arc::from).collect(),
            claims,
            expires: u64::try_from(parsed.validity().not_after.timestamp()).ok(),
            ..Subject::default()
        }))
    }

    fn name(self, certificate: &X509Certificate<'_>) -> Option<String> {
        if self == Self::CommonName {
            let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
            return (!name.is_empty()).then(|| name.to_owned());
        }
        let alternative = certificate.subject_alternative_name().ok().flatten()?;
        let fits = |name: &GeneralName<'_>| match (self, name) {
            (Self::Dns, GeneralName::DNSName(name))
            | (Self::Email, GeneralName::RFC822Name(name))
            | (Self::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
            _ => None,
        };
        alternative.value.general_names.iter().find_map(fits).filter(|name| !name.is_empty())
    }
}
