//! Accepting HTTP connections: HTTP/1.1 and HTTP/2, plain and under TLS.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    rewound::{Bare, Rewound},
    takeover::{Permit, Resume, Taken, Takeover},
};
use crate::{lifecycle::Lifecycle, turnstile::Turnstile};

/// Where connections wait to be accepted, when many come at once.
static ACCEPTING: Turnstile = Turnstile::new(16);
/// Where new connections wait with their first request.
static OPENING: Turnstile = Turnstile::new(4);

/// The first bytes of an HTTP/2 connection without TLS (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long to wait for the rest of a preface that came in pieces.
const PEEK_REST: Duration = Duration::from_millis(10);

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Connections at once; one more waits in the kernel's queue.
    pub connections: usize,
    /// How long a client may take to send a request's head, or its TLS handshake.
    pub head_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { connections: 100_000, head_timeout: Duration::from_secs(10), head_bytes: 128 << 10 }
    }
}

/// A bound HTTP listener.
pub struct HttpListener {
    /// The bound socket.
    pub listener: TcpListener,
    /// With TLS, and its protocols (ALPN).
    pub tls: Option<TlsAcceptor>,
    /// Bounds.
    pub limits: HttpLimits,
}

/// What every connection of a listener shares.
struct Shared {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    life: Lifecycle,
}

impl fmt::Debug for HttpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpListener").field("listener", &self.listener).field("tls", &self.tls.is_some()).finish()
    }
}

impl HttpListener {
    /// Accepts until the gateway closes.
    pub async fn serve(self, router: Router, life: Lifecycle) {
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let shared = Arc::new(Shared { router, tls: self.tls, limits: self.limits, life: life.clone() });
        let mut closing = pin!(life.closing());
        loop {
            let accepted = async {
                ACCEPTING.pass().await;
                let permit = connections.clone().acquire_owned().await;
                (self.listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut closing => return,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let Ok(permit) = permit else { return };
                    let connection = shared.clone().connection(stream, remote, Arc::new(permit));
                    life.spawn("http connection", connection);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept HTTP connections");
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

impl Shared {
    async fn connection(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, permit: Permit) {
        let _ = stream.set_nodelay(true); // only latency suffers
        let Some(tls) = self.tls.clone() else {
            match tokio::time::timeout(self.limits.head_timeout, is_http2(&stream)).await {
                Ok(Ok(true)) => self.http2(stream, remote).await,
                Ok(Ok(false)) => self.http1(stream, remote, permit).await,
                Ok(Err(_)) | Err(_) => {}
            }
            return;
        };
        let Ok(Ok(stream)) = tokio::time::timeout(self.limits.head_timeout, tls.accept(stream)).await else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream, remote).await;
        } else {
            self.http1(stream, remote, permit).await;
        }
    }

    async fn http1<S>(self: Arc<Self>, stream: S, remote: SocketAddr, permit: Permit)
    where
        S: Bare,
    {
        let takeover = Takeover::default();
        let (router, grant) = (self.router.clone(), takeover.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            request.extensions_mut().insert(grant.clone());
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes);
        // Boxed, so that a connection that is taken over gives this memory back.
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(stream), service));
        let mut closing = pin!(self.life.closing());
        let mut told = false;
        OPENING.pass().await;
        let claimed = std::future::poll_fn(|context| {
            if !told && closing.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            let done = Pin::new(&mut *connection).poll(context).is_ready();
            match (takeover.is_claimed(), done) {
                (true, _) => Poll::Ready(takeover.claimed()),
                (false, true) => Poll::Ready(None),
                (false, false) => Poll::Pending,
            }
        });
        let Some(then) = claimed.await else { return };
        let parts = connection.into_parts();
        let (socket, read) = parts.io.into_inner().into_socket(parts.read_buf);
        // The reactor remembers who read last, and would keep this task's memory for as long as the socket lives.
        let _ = socket.poll_readable(&mut Context::from_waker(Waker::noop()));
        let resume = self.clone().resume(remote, permit.clone());
        let taken = Taken { socket, read, remote, permit, resume };
        self.life.spawn("taken connection", then(taken));
    }

    /// The way back for a connection that is taken over.
    fn resume(self: Arc<Self>, remote: SocketAddr, permit: Permit) -> Resume {
        Resume(Arc::new(move |socket, read| {
            let connection = self.clone().http1(Rewound::new(socket, read), remote, permit.clone());
            self.life.spawn("http connection", connection);
        }))
    }

    async fn http2<S>(self: Arc<Self>, stream: S, remote: SocketAddr)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(1000).keep_alive_interval(Duration::from_secs(30));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.life.closing() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await; // whatever ends it, the connection is over
    }
}

/// Looks at the first bytes without taking them.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let seen = first.get(..seen).unwrap_or_default();
        if seen.is_empty() || !HTTP2_PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if seen.len() == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        // A peek does not consume, so readiness says nothing about what follows a first piece.
        tokio::time::sleep(PEEK_REST).await;
    }
}
