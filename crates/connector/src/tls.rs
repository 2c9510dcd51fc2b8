//! TLS of listeners: several certificates chosen by name, clients' certificates, all of it replaced while it runs.

use std::{io, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::access::Subject;

mod by_name;
mod certificate;
mod client_name;

pub use self::{
    certificate::{ServerCertificate, ServerCertificateError},
    client_name::ClientName,
};
use by_name::ByName;

/// What the TLS listeners show and ask for.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The certificates; the first is shown to clients that ask for no name, or for an unknown one.
    pub certificates: Vec<ServerCertificate>,
    /// Which certificates of clients are believed; none is asked for without it.
    pub clients: Option<ClientCertificates>,
}

/// Whose certificates are believed, and what they say.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The authorities that sign them.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Those that were withdrawn.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a client without one is turned away.
    pub required: bool,
    /// Which part is the user's name.
    pub name: ClientName,
}

/// The TLS configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An authority of clients cannot be used.
    #[error("an authority of clients: {0}")]
    Authority(rustls::Error),
    /// The authorities of clients cannot be used together, or with the list of those withdrawn.
    #[error("the authorities of clients: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The library refuses it.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// TLS of the listeners that speak the same protocols. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    protocols: Vec<Vec<u8>>,
    now: ArcSwap<Now>,
}

#[derive(Debug)]
struct Now {
    config: Arc<ServerConfig>,
    name: Option<ClientName>,
}

impl ServerTls {
    /// With these protocols (ALPN).
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(config: &TlsConfig, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let now = ArcSwap::from_pointee(Now::new(config, &protocols)?);
        Ok(Self(Arc::new(Shared { protocols, now })))
    }

    /// Another configuration for connections that come from now on; the others go on.
    ///
    /// # Errors
    /// The configuration cannot be used; the old one stays.
    pub fn replace(&self, config: &TlsConfig) -> Result<(), TlsError> {
        self.0.now.store(Arc::new(Now::new(config, &self.0.protocols)?));
        Ok(())
    }

    /// Shakes hands. With the stream comes who the client's certificate says it is.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Arc<Subject>>)> {
        let now = self.0.now.load_full();
        let stream = TlsAcceptor::from(now.config.clone()).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let subject = shown.zip(now.name).and_then(|(certificate, name)| name.subject(certificate));
        Ok((stream, subject))
    }
}

impl Now {
    fn new(config: &TlsConfig, protocols: &[Vec<u8>]) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &config.clients {
            Some(clients) => builder.with_client_cert_verifier(verifier(clients, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut made = builder.with_cert_resolver(Arc::new(ByName::new(&config.certificates)));
        made.alpn_protocols = protocols.to_vec();
        Ok(Self { config: Arc::new(made), name: config.clients.as_ref().map(|clients| clients.name) })
    }
}

fn verifier(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in &clients.authorities {
        roots.add(authority.clone()).map_err(TlsError::Authority)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(clients.revoked.iter().cloned());
    // Where there is a list at all, it speaks for its own authority only.
    let builder = if clients.revoked.is_empty() { builder } else { builder.allow_unknown_revocation_status() };
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    Ok(builder.build()?)
}

/// A certificate chain and its key, ready to be shown.
///
/// # Errors
/// They do not fit, or are of a kind that cannot be used.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
}
