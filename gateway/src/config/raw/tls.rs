//! The `[tls]` section: certificates of ours, and of clients.

use std::path::PathBuf;

use ratatosk_connector::config_types::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The certificates of the TLS listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// PEM file with the certificate, followed by its intermediates. It is shown to clients that name none of the others.
    #[schemars(extend("x-type" = "file"))]
    pub cert: PathBuf,
    /// PEM file with its private key.
    #[schemars(extend("x-type" = "file"))]
    pub key: PathBuf,
    /// Further certificates, for clients that ask for their names (SNI).
    #[serde(default)]
    pub certificates: Vec<CertificateSection>,
    /// Whether clients are asked for a certificate.
    #[serde(default)]
    pub client_auth: ClientAuthChoice,
    /// PEM file with the authorities that sign clients' certificates.
    #[schemars(extend("x-type" = "file"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// PEM file with lists of certificates that were withdrawn.
    #[schemars(extend("x-type" = "file"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_crl: Option<PathBuf>,
    /// Which part of a client's certificate is the user's name.
    #[serde(default)]
    pub client_name: ClientNameChoice,
    /// How often the files are looked at for changes, which are taken at once; `0s` leaves that to SIGHUP.
    #[serde(default = "watch")]
    pub watch: Duration,
}

fn watch() -> Duration {
    Duration::from_secs(10)
}

/// One more certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSection {
    /// PEM file with the certificate, followed by its intermediates.
    #[schemars(extend("x-type" = "file"))]
    pub cert: PathBuf,
    /// PEM file with its private key.
    #[schemars(extend("x-type" = "file"))]
    pub key: PathBuf,
    /// The names that it is shown for; empty: those that it is made out to. `*` may stand for the first label.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthChoice {
    /// They are not.
    #[default]
    Off,
    /// They are, and may have none.
    Optional,
    /// Without one of `client_ca` there is no connection.
    Required,
}

/// Which part of a client's certificate is the user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientNameChoice {
    /// The common name of its subject.
    #[default]
    Cn,
    /// The first DNS name among its alternative names.
    Dns,
    /// The first e-mail address among them.
    Email,
    /// The first URI among them.
    Uri,
}
