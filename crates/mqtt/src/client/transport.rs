//! The stream of bytes that MQTT runs over: TCP, TLS, WebSocket, or WebSocket over TLS.

use std::{io, time::Duration};

use ratatosk_connector::{config_types::ClientTlsConfig, upstream::tls};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        Error as WsError,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use super::{options::Address, quick::Quick, websocket::WebSocketBytes};

/// Both directions of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection. The text is what an operator reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("cannot reach {host}:{port}: {source}")]
    Tcp { host: String, port: u16, source: io::Error },
    #[error("TLS: {0}")]
    TlsSetup(#[from] tls::TlsError),
    #[error("TLS with {host} failed: {source}")]
    Tls { host: String, source: io::Error },
    #[error("TLS: {0} cannot be the name in a certificate")]
    ServerName(String),
    #[error("WebSocket: {0}")]
    WebSocket(String),
}

/// Read and write buffers of a WebSocket; the library's defaults are 128 KiB.
const WS_BUFFER: usize = 16 << 10;

pub(super) async fn open(
    address: &Address,
    tls: &ClientTlsConfig,
    max_packet: u32,
) -> Result<Box<dyn Stream>, TransportError> {
    let tcp = connect(address).await?;
    let plain: Box<dyn Stream> = if address.tls { Box::new(secure(address, tls, tcp).await?) } else { Box::new(tcp) };
    match &address.path {
        None => Ok(plain),
        Some(path) => Ok(Box::new(upgrade(address, path, plain, max_packet).await?)),
    }
}

async fn connect(address: &Address) -> Result<Quick, TransportError> {
    let failed = |source| TransportError::Tcp { host: address.host.clone(), port: address.port, source };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    // A peer that vanished without a word is noticed even where MQTT's keep-alive is off.
    let keepalive =
        socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive).map_err(failed)?;
    Ok(Quick(tcp))
}

async fn secure(
    address: &Address,
    options: &ClientTlsConfig,
    tcp: Quick,
) -> Result<impl Stream + use<>, TransportError> {
    // RFC 7301: over WebSocket the protocol is HTTP/1.1; plain MQTT has the registered name `mqtt`.
    let alpn: &[&[u8]] = if address.path.is_some() { &[b"http/1.1"] } else { &[] };
    let config = tls::client_config(options, alpn)?;
    let name =
        ServerName::try_from(address.host.clone()).map_err(|_| TransportError::ServerName(address.host.clone()))?;
    let failed = |source| TransportError::Tls { host: address.host.clone(), source };
    TlsConnector::from(config).connect(name, tcp).await.map_err(failed)
}

async fn upgrade(
    address: &Address,
    path: &str,
    plain: Box<dyn Stream>,
    max_packet: u32,
) -> Result<impl Stream + use<>, TransportError> {
    let failed = |error: WsError| TransportError::WebSocket(reason(&error));
    let scheme = if address.tls { "wss" } else { "ws" };
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let mut request = format!("{scheme}://{host}:{}{path}", address.port).into_client_request().map_err(failed)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
    // Packets and WebSocket messages have no relation: a message may hold several packets.
    let largest = Some((max_packet as usize).saturating_add(1 << 20));
    let config = WebSocketConfig::default()
        .read_buffer_size(WS_BUFFER)
        .write_buffer_size(0)
        .max_message_size(largest)
        .max_frame_size(largest);
    let (socket, _response) = client_async_with_config(request, plain, Some(config)).await.map_err(failed)?;
    Ok(WebSocketBytes::new(socket))
}

/// An HTTP refusal is best told by its status.
fn reason(error: &WsError) -> String {
    match error {
        WsError::Http(response) => format!("the server answered {}", response.status()),
        other => other.to_string(),
    }
}
