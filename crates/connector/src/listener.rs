//! Where connections come in, the same for all protocols: limits, PROXY headers and TLS are dealt with here.
//!
//! What a protocol gets is an [`Arrival`]: a connection that is open, the address it truly comes from, and a [`Permit`] that
//! keeps it counted.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use ratatosk_core::{Connector, MonitorEvent};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::server::TlsStream;

use crate::{
    access::Cidr,
    lifecycle::Lifecycle,
    limits::{Limit, Limits, Seat},
    tls::ServerTls,
    turnstile::Turnstile,
};

mod permit;
mod proxy;

pub use self::permit::Permit;

/// Where connections wait to be accepted, when many come at once.
static ACCEPTING: Turnstile = Turnstile::new(16);
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Connections over a limit that are told so at a time; further ones are closed without a word.
const TOLD: usize = 256;

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    /// The bound socket.
    pub tcp: TcpListener,
    /// For whom refusals are counted.
    pub connector: Connector,
    /// With TLS, and its protocols (ALPN).
    pub tls: Option<ServerTls>,
    /// Connections begin with a PROXY header, which is believed if it comes from these addresses; from any, if there are none.
    pub proxy_header: Option<Vec<Cidr>>,
    /// What connections are counted by.
    pub limits: Limits,
    /// Connections of this listener, or of several that share it.
    pub room: Arc<Semaphore>,
    /// How long the PROXY header and the TLS handshake may take together.
    pub timeout: Duration,
}

/// A connection that has come in.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub transport: Transport,
    /// Where it comes from: what a PROXY header says, or else the far address.
    pub remote: SocketAddr,
    /// Keeps it counted.
    pub permit: Permit,
}

/// An open connection, its handshake done.
#[derive(Debug)]
pub enum Transport {
    /// Plain.
    Tcp(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Listener {
    /// One that is plain and without limits but this one on its connections.
    #[must_use]
    pub fn plain(tcp: TcpListener, connector: Connector, connections: usize) -> Self {
        Self {
            tcp,
            connector,
            tls: None,
            proxy_header: None,
            limits: Limits::default(),
            room: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            timeout: Duration::from_secs(10),
        }
    }

    /// Accepts until the gateway closes. `arrived` is handed each connection and must not block.
    pub async fn serve(self, life: Lifecycle, arrived: impl Fn(Arrival) + Send + Sync + 'static) {
        let _ = SockRef::from(&self.tcp).set_tcp_nodelay(true); // connections inherit it; without it only latency suffers
        let entrance = Arc::new(Entrance { listener: self, told: Arc::new(Semaphore::new(TOLD)), arrived });
        let mut closing = std::pin::pin!(life.closing());
        loop {
            let accepted = tokio::select! {
                accepted = entrance.accept() => accepted,
                () = &mut closing => return,
            };
            match accepted {
                Ok((stream, remote)) => entrance.clone().accepted(stream, remote, &life),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, connector = entrance.listener.connector.name(), "cannot accept connections");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A listener at work.
struct Entrance<F> {
    listener: Listener,
    told: Arc<Semaphore>,
    arrived: F,
}

/// A connection on its way in.
struct Entering {
    seat: Seat,
    room: OwnedSemaphorePermit,
    /// The limit that it is over, of which it is to be told.
    refused: Option<Limit>,
}

impl<F: Fn(Arrival) + Send + Sync + 'static> Entrance<F> {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        ACCEPTING.pass().await;
        self.listener.tcp.accept().await
    }

    fn accepted(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, life: &Lifecycle) {
        let Some(mut entering) = self.count() else { return };
        let Listener { tls, proxy_header, timeout, .. } = &self.listener;
        if tls.is_none() && proxy_header.is_none() {
            if self.place(&mut entering, remote).is_some() {
                (self.arrived)(entering.arrive(Transport::Tcp(stream), remote, None));
            }
            return;
        }
        let timeout = *timeout;
        life.spawn("connection handshake", async move {
            let shaken = Box::pin(self.shake_hands(stream, remote, entering));
            if let Ok(Some(arrival)) = tokio::time::timeout(timeout, shaken).await {
                (self.arrived)(arrival);
            }
        });
    }

    /// Counts a connection. None if there is not even a place to tell it that there is none.
    fn count(&self) -> Option<Entering> {
        let (seat, open) = self.listener.limits.open();
        let room = self.listener.room.clone().try_acquire_owned();
        match (open, room) {
            (Ok(()), Ok(room)) => Some(Entering { seat, room, refused: None }),
            (Err(limit), _) => self.refuse(seat, limit),
            (_, Err(_)) => self.refuse(seat, Limit::Connections),
        }
    }

    fn refuse(&self, mut seat: Seat, limit: Limit) -> Option<Entering> {
        seat.give_up();
        seat.limits().refused(self.listener.connector, limit);
        let room = self.told.clone().try_acquire_owned().ok()?;
        Some(Entering { seat, room, refused: Some(limit) })
    }

    /// Counts the connection of an address. None if it is to be closed at once.
    fn place(&self, entering: &mut Entering, remote: SocketAddr) -> Option<()> {
        let Err(limit) = entering.seat.place(remote.ip()) else { return Some(()) };
        if entering.refused.is_some() {
            return Some(());
        }
        self.listener.limits.refused(self.listener.connector, limit);
        // A flood is not to be paid for with handshakes.
        if limit == Limit::AddressRate && self.listener.tls.is_some() {
            return None;
        }
        entering.seat.give_up();
        entering.room = self.told.clone().try_acquire_owned().ok()?;
        entering.refused = Some(limit);
        Some(())
    }

    async fn shake_hands(&self, stream: TcpStream, remote: SocketAddr, mut entering: Entering) -> Option<Arrival> {
        let remote = match &self.listener.proxy_header {
            None => remote,
            Some(proxies) => match proxy::source(&stream, remote, proxies).await {
                Ok(source) => source,
                Err(fault) => {
                    tracing::debug!(%remote, %fault, "PROXY header is refused");
                    self.listener.limits.refused(self.listener.connector, Limit::ProxyHeader);
                    return None;
                }
            },
        };
        self.place(&mut entering, remote)?;
        let Some(tls) = &self.listener.tls else {
            return Some(entering.arrive(Transport::Tcp(stream), remote, None));
        };
        match tls.accept(stream).await {
            Ok((stream, certificate)) => Some(entering.arrive(Transport::Tls(Box::new(stream)), remote, certificate)),
            Err(error) => {
                tracing::debug!(%remote, %error, "TLS handshake failed");
                let connector = self.listener.connector;
                self.listener.limits.tell(MonitorEvent::ProtocolFault { connector, fault: "tls_handshake" });
                None
            }
        }
    }
}

impl Entering {
    fn arrive(
        self,
        transport: Transport,
        remote: SocketAddr,
        certificate: Option<Arc<crate::access::Subject>>,
    ) -> Arrival {
        let permit = Permit::new(self.seat, self.room, certificate, self.refused);
        Arrival { transport, remote, permit }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::limits::LimitsConfig;

    #[tokio::test]
    async fn who_is_refused_takes_nobodys_place_while_it_is_told() {
        let config = LimitsConfig { connections: Some(2), connections_per_address: Some(1), ..LimitsConfig::default() };
        let limits = Limits::new(config, ratatosk_core::Monitor::default());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = Listener { limits: limits.clone(), ..Listener::plain(tcp, Connector::register("test"), 100) };
        let (arrived, mut arrivals) = tokio::sync::mpsc::channel(8);
        let life = Lifecycle::default();
        let serving = listener.serve(life.clone(), move |arrival| arrived.try_send(arrival).unwrap());
        life.spawn("listener", serving);
        let (mut clients, mut open) = (Vec::new(), Vec::new());
        for limit in [None, Some(Limit::AddressConnections), Some(Limit::AddressConnections)] {
            clients.push(TcpStream::connect(address).await.unwrap());
            let arrival = arrivals.recv().await.unwrap();
            assert_eq!(arrival.permit.refused(), limit);
            open.push(arrival);
        }
        assert_eq!(limits.connections(), 1);
        drop(open);
        assert_eq!(limits.connections(), 0);
        life.close();
    }
}
