//! Opening listeners: all are bound before anything is served, so that a port in use is told at once.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use ratatosk_connector::{
    http::{HttpLimits, HttpListener},
    lifecycle::Lifecycle,
};
use rustls::{ServerConfig, server::ResolvesServerCert, sign::CertifiedKey};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::connectors::Connectors;
use crate::config::Resolved;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: u32 = 4096;

/// What a request line that is refused for its length may have beyond the bound of the head.
const LONG_REQUEST_LINE: usize = 192 << 10;

/// Where a gateway listens; `None` for a listener that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Addresses {
    /// `http.listen`.
    pub http: Option<SocketAddr>,
    /// `http.tls_listen`.
    pub https: Option<SocketAddr>,
    /// `admin.listen`.
    pub admin: Option<SocketAddr>,
    /// `mqtt.listen`.
    pub mqtt: Option<SocketAddr>,
    /// `mqtt.tls_listen`.
    pub mqtts: Option<SocketAddr>,
}

impl Addresses {
    /// Those that are on, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = [
            ("http", self.http),
            ("https", self.https),
            ("admin", self.admin),
            ("mqtt", self.mqtt),
            ("mqtts", self.mqtts),
        ];
        all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }
}

/// The bound listeners.
pub(super) struct Listeners {
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    admin: Option<TcpListener>,
    mqtt: Option<TcpListener>,
    mqtts: Option<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(resolved: &Resolved) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("http.listen", resolved.http.listen)?,
            https: bind("http.tls_listen", resolved.http.tls_listen)?,
            admin: bind("admin.listen", resolved.admin)?,
            mqtt: bind("mqtt.listen", resolved.mqtt.listen.address())?,
            mqtts: bind("mqtt.tls_listen", resolved.mqtt.tls_listen.address())?,
        })
    }

    /// The addresses as bound: a port 0 in the configuration is a real one here.
    pub(super) fn addresses(&self) -> Addresses {
        let of = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        Addresses {
            http: of(&self.http),
            https: of(&self.https),
            admin: of(&self.admin),
            mqtt: of(&self.mqtt),
            mqtts: of(&self.mqtts),
        }
    }

    pub(super) fn serve(self, resolved: &Resolved, connectors: Connectors, admin: Router, life: &Lifecycle) {
        let limits = HttpLimits {
            connections: resolved.limits.connections,
            head_timeout: resolved.http.header_timeout,
            // hyper answers a request line that is too long with 414 only if it may read all of it.
            head_bytes: resolved.http.max_header + LONG_REQUEST_LINE,
        };
        let tls = |alpn: &[&[u8]]| resolved.tls.as_ref().map(|tls| acceptor(tls.certified.clone(), alpn));
        let http = |name, listener: Option<TcpListener>, tls, router: Router| {
            let Some(listener) = listener else { return };
            announce(name, &listener);
            life.spawn(name, HttpListener { listener, tls, limits }.serve(router, life.clone()));
        };
        http("http", self.http, None, connectors.router.clone());
        http("https", self.https, tls(&[b"h2", b"http/1.1"]), connectors.router.clone());
        http("admin", self.admin, None, admin);
        let mqtt = |name, listener: Option<TcpListener>, tls: Option<TlsAcceptor>| {
            let Some(listener) = listener else { return };
            announce(name, &listener);
            let server = connectors.mqtt.clone();
            life.spawn(name, async move { server.serve(listener, tls).await });
        };
        mqtt("mqtt", self.mqtt, None);
        mqtt("mqtts", self.mqtts, tls(&[b"mqtt"]));
    }
}

fn announce(name: &'static str, listener: &TcpListener) {
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(listener = name, address, "listening");
}

fn bind(key: &str, address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map(Some).with_context(|| format!("{key}: cannot listen on {address}"))
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn acceptor(certified: Arc<CertifiedKey>, alpn: &[&[u8]]) -> TlsAcceptor {
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(One(certified)));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
