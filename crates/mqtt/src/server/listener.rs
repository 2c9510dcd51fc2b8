//! Accepting connections over TCP, plain and under TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

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
                let (shared, tls) = (shared.clone(), tls.clone());
                let life = shared.life.clone();
                match tls {
                    None => drop(life.spawn("mqtt connection", async move {
                        let _permit = permit;
                        let _ = stream.set_nodelay(true); // only latency suffers
                        connection::run(shared, Wire::mqtt(stream.into(), remote)).await;
                    })),
                    Some(tls) => drop(life.spawn("mqtt tls connection", async move {
                        let _permit = permit;
                        if let Some(socket) = Box::pin(handshake(&shared, stream, remote, tls)).await {
                            connection::run(shared, Wire::mqtt(socket, remote)).await;
                        }
                    })),
                }
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
    let _ = stream.set_nodelay(true); // only latency suffers
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
