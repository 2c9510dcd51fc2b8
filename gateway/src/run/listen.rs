//! Opening listeners: all are bound before anything is served, so that a port in use is told at once.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use ratatosk_connector::{
    http::{HttpLimits, HttpListener, TrustedProxies},
    lifecycle::Lifecycle,
    limits::Limits,
    listener::Listener,
    tls::ServerTls,
};
use ratatosk_core::Connector;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
};

use super::{connectors::Connectors, tls::ListenerTls};
use crate::config::Resolved;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: u32 = 4096;

/// Connections of operators at once, on each of their listeners: other limits are not theirs.
const OPERATORS: usize = 1024;

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
    /// `admin.tls_listen`.
    pub admins: Option<SocketAddr>,
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
            ("admins", self.admins),
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
    admins: Option<TcpListener>,
    mqtt: Option<TcpListener>,
    mqtts: Option<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(resolved: &Resolved) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("http.listen", resolved.http.listen)?,
            https: bind("http.tls_listen", resolved.http.tls_listen)?,
            admin: bind("admin.listen", resolved.admin)?,
            admins: bind("admin.tls_listen", resolved.admin_tls)?,
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
            admins: of(&self.admins),
            mqtt: of(&self.mqtt),
            mqtts: of(&self.mqtts),
        }
    }

    pub(super) fn serve(
        self,
        resolved: &Resolved,
        connectors: Connectors,
        admin: Router,
        tls: Option<&ListenerTls>,
        life: &Lifecycle,
    ) {
        let limits = HttpLimits {
            head_timeout: resolved.http.header_timeout,
            // hyper answers a request line that is too long with 414 only if it may read all of it.
            head_bytes: resolved.http.max_header + LONG_REQUEST_LINE,
        };
        let proxies = |wanted: bool| wanted.then(|| resolved.proxies.clone());
        let clients = Entrance {
            connector: Connector::register("http"),
            limits: connectors.access.limits().clone(),
            proxies: proxies(resolved.http.proxy_protocol),
            room: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            timeout: resolved.http.header_timeout,
        };
        let operators = Entrance {
            connector: Connector::register("http"),
            limits: Limits::default(),
            proxies: None,
            room: Arc::new(Semaphore::new(OPERATORS)),
            timeout: resolved.http.header_timeout,
        };
        let settings = connectors.mqtt.settings();
        let devices = Entrance {
            connector: Connector::register("mqtt"),
            limits: connectors.access.limits().clone(),
            proxies: proxies(resolved.mqtt.proxy_protocol),
            room: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            timeout: settings.connect_timeout,
        };
        let http = |name, tcp: Option<TcpListener>, tls| {
            let Some(listener) = clients.open(name, tcp, tls) else { return };
            let (proxies, front) = (resolved.http.proxies.clone(), Some(connectors.front.clone()));
            let http = HttpListener { listener, limits, proxies, front };
            life.spawn(name, http.serve(connectors.router.clone(), life.clone()));
        };
        let console = |name, tcp: Option<TcpListener>, tls| {
            let Some(listener) = operators.open(name, tcp, tls) else { return };
            let http = HttpListener { listener, limits, proxies: TrustedProxies::default(), front: None };
            life.spawn(name, http.serve(admin.clone(), life.clone()));
        };
        let (https, mqtts) = (tls.map(ListenerTls::https), tls.map(ListenerTls::mqtts));
        http("http", self.http, None);
        http("https", self.https, https.clone());
        console("admin", self.admin, None);
        console("admins", self.admins, https);
        let mqtt = |name, tcp: Option<TcpListener>, tls| {
            let Some(listener) = devices.open(name, tcp, tls) else { return };
            let server = connectors.mqtt.clone();
            life.spawn(name, async move { server.serve(listener).await });
        };
        mqtt("mqtt", self.mqtt, None);
        mqtt("mqtts", self.mqtts, mqtts);
    }
}

/// What the listeners of one kind have in common.
struct Entrance {
    connector: Connector,
    limits: Limits,
    proxies: Option<Vec<ratatosk_connector::access::Cidr>>,
    room: Arc<Semaphore>,
    timeout: std::time::Duration,
}

impl Entrance {
    fn open(&self, name: &'static str, tcp: Option<TcpListener>, tls: Option<ServerTls>) -> Option<Listener> {
        let tcp = tcp?;
        announce(name, &tcp);
        Some(Listener {
            tcp,
            connector: self.connector,
            tls,
            proxy_header: self.proxies.clone(),
            limits: self.limits.clone(),
            room: self.room.clone(),
            timeout: self.timeout,
        })
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
