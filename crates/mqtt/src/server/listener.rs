//! Accepting connections over TCP, plain and under TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ratatosk_connector::socket::Socket;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{Shared, connection, wire::Wire};

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let connections = Arc::new(Semaphore::new(shared.settings.max_connections));
    let mut closing = std::pin::pin!(shared.life.closing());
    loop {
        let accepted = async {
            let permit = connections.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut closing => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let Ok(permit) = permit else { return };
                let (shared, permit) = (shared.clone(), Some(Arc::new(permit)));
                let life = shared.life.clone();
                let _ = stream.set_nodelay(true); // only latency suffers
                let Some(tls) = tls.clone() else {
                    let wire = Wire::mqtt(stream.into(), remote, permit);
                    life.spawn("mqtt connection", connection::run(shared, wire, Bytes::new()));
                    continue;
                };
                life.clone().spawn("mqtt tls handshake", async move {
                    if let Some(socket) = handshake(&shared, stream, remote, tls).await {
                        let wire = Wire::mqtt(socket, remote, permit);
                        life.spawn("mqtt connection", connection::run(shared, wire, Bytes::new()));
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept MQTT connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn handshake(shared: &Shared, stream: TcpStream, remote: SocketAddr, tls: TlsAcceptor) -> Option<Socket> {
    match tokio::time::timeout(shared.settings.connect_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Socket::from(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
