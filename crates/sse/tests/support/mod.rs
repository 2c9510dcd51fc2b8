//! A scripted HTTP server: a test takes each request and writes the bytes it likes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One request, and the connection that waits for an answer.
pub(crate) struct Exchange {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) wire: Box<dyn Wire>,
}

impl Exchange {
    /// The value of a request header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write_all(bytes.as_ref()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    /// The head of an event stream that ends with the connection.
    pub(crate) async fn stream(&mut self, first: &str) {
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{first}"))
            .await;
    }

    /// A whole answer, and the end of the connection.
    pub(crate) async fn answer(mut self, status: &str, headers: &str) {
        self.write(format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")).await;
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    exchanges: mpsc::Receiver<Exchange>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_tls(None).await
    }

    pub(crate) async fn start_tls(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, exchanges) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    let wire: Box<dyn Wire> = match tls {
                        Some(tls) => match tls.accept(socket).await {
                            Ok(wire) => Box::new(wire),
                            Err(_) => return,
                        },
                        None => Box::new(socket),
                    };
                    if let Some(exchange) = read(wire).await {
                        let _ = sender.send(exchange).await;
                    }
                });
            }
        });
        Self { address, exchanges }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Exchange {
        within(self.exchanges.recv()).await.unwrap()
    }

    /// Whether a request has come that nobody has taken.
    pub(crate) fn is_asked(&mut self) -> bool {
        self.exchanges.try_recv().is_ok()
    }
}

async fn read(mut wire: Box<dyn Wire>) -> Option<Exchange> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.ok()?);
    }
    let mut exchange = Exchange { head: String::from_utf8_lossy(&head).into_owned(), body: Vec::new(), wire };
    let length = exchange.header("content-length").map_or(0, |text| text.parse().unwrap());
    exchange.body.resize(length, 0);
    exchange.wire.read_exact(&mut exchange.body).await.ok()?;
    Some(exchange)
}

/// Fails a test that hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}
