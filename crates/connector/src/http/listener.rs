//! Serving HTTP connections: HTTP/1.1 and HTTP/2, plain and under TLS.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body::{Body as _, SizeHint};
use hyper::{
    Request,
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use ratatosk_core::Connector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use super::{
    express::{Onward, poll_piece},
    forwarded::TrustedProxies,
    requester::Requester,
    rewound::{Bare, Rewound},
    takeover::{Claims, Resume, Taken},
    unread::Unread,
    wire::joined,
};
use crate::{
    lifecycle::Lifecycle,
    listener::{Arrival, Listener, Permit, Transport},
    socket::Socket,
    turnstile::Turnstile,
};

/// Where new connections wait with their first request.
static OPENING: Turnstile = Turnstile::new(4);

/// The first bytes of an HTTP/2 connection without TLS (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Connections of a listener that nobody has said anything about.
const CONNECTIONS: usize = 100_000;

/// Bounds of what is read of a request.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { head_timeout: Duration::from_secs(10), head_bytes: 128 << 10 }
    }
}

/// What is asked before a request is routed.
pub trait Front: Debug + Send + Sync {
    /// Answers some requests itself; `body` is what the request announces of its body. None lets it go on.
    fn answer(&self, method: &Method, headers: &HeaderMap, body: SizeHint) -> Option<Response>;

    /// Who answers a request that need not be routed, because it is known where it goes.
    fn shortcut(&self, method: &Method, path: &str) -> Option<&Shortcut> {
        let _ = (method, path);
        None
    }
}

/// A handler that requests come to without being routed: routing takes longer than the handling of what comes by the thousand.
pub type Shortcut = dyn Fn(Request<Body>) -> Answering + Send + Sync;
type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// A listener for HTTP.
#[derive(Debug)]
pub struct HttpListener {
    /// Where connections come in.
    pub listener: Listener,
    /// Bounds.
    pub limits: HttpLimits,
    /// Whose word is taken for where a request comes from.
    pub proxies: TrustedProxies,
    /// What is asked first.
    pub front: Option<Arc<dyn Front>>,
}

/// What every connection of a listener shares.
pub(super) struct Shared {
    router: Router,
    pub(super) front: Option<Arc<dyn Front>>,
    pub(super) limits: HttpLimits,
    pub(super) proxies: TrustedProxies,
    pub(super) life: Lifecycle,
}

/// A connection, as its requests are told of it.
#[derive(Clone)]
pub(super) struct Visit {
    remote: SocketAddr,
    permit: Permit,
    /// None over HTTP/2.
    claims: Option<Claims>,
}

impl Visit {
    /// Tells a request who makes it.
    pub(super) fn introduce<B>(&self, proxies: &TrustedProxies, request: &mut Request<B>) {
        let address = proxies.source(self.remote, request.headers());
        let by_proxy = address != self.remote;
        let permit = if by_proxy { self.permit.behind_proxy(address.ip()) } else { self.permit.clone() };
        request.extensions_mut().insert(Requester { address, permit, by_proxy, claims: self.claims.clone() });
    }

    /// Whether a handler has taken the connection over.
    pub(super) fn is_claimed(&self) -> bool {
        self.claims.as_ref().is_some_and(Claims::is_claimed)
    }
}

impl HttpListener {
    /// One that is plain, with default bounds.
    #[must_use]
    pub fn plain(tcp: TcpListener) -> Self {
        let listener = Listener::plain(tcp, Connector::register("http"), CONNECTIONS);
        Self { listener, limits: HttpLimits::default(), proxies: TrustedProxies::default(), front: None }
    }

    /// Accepts until the gateway closes.
    pub async fn serve(self, router: Router, life: Lifecycle) {
        let Self { listener, limits, proxies, front } = self;
        let shared = Arc::new(Shared { router, front, limits, proxies, life: life.clone() });
        let arrived = move |arrival| {
            let connection = shared.clone().connection(arrival);
            shared.life.spawn("http connection", connection);
        };
        listener.serve(life, arrived).await;
    }
}

impl Shared {
    /// Most connections are plain and of HTTP/1.1. What the others need is in boxes: a task is copied when it is spawned.
    async fn connection(self: Arc<Self>, arrival: Arrival) {
        let Arrival { transport, remote, permit } = arrival;
        match transport {
            Transport::Tcp(mut stream) => {
                let first = tokio::time::timeout(self.limits.head_timeout, first_bytes(&mut stream)).await;
                let Ok(Ok(first)) = first else { return };
                if first.starts_with(HTTP2_PREFACE) {
                    Box::pin(self.http2(Rewound::new(stream, first), remote, permit)).await;
                } else {
                    self.http1(stream, first, remote, permit).await;
                }
            }
            Transport::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Box::pin(self.http2(*stream, remote, permit)).await;
            }
            Transport::Tls(stream) => Box::pin(self.http1(*stream, Bytes::new(), remote, permit)).await,
        }
    }

    /// Serves a connection of HTTP/1.1 of which some may have been read.
    async fn http1<S>(self: Arc<Self>, stream: S, read: Bytes, remote: SocketAddr, permit: Permit)
    where
        S: Bare,
    {
        let visit = Visit { remote, permit, claims: Some(Claims::default()) };
        OPENING.pass().await;
        let (stream, read, answered) = match self.express(stream, read, &visit).await {
            Onward::Library { stream, read, answered } => (stream, read, answered),
            Onward::Taken { stream, read } => return self.hand_over(stream.into_socket(read), visit),
            Onward::Over => return,
        };
        let service = self.service(visit.clone(), answered);
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes);
        // Boxed, so that a connection that is taken over gives this memory back.
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(Rewound::new(stream, read)), service));
        let mut closing = pin!(self.life.closing());
        let mut told = false;
        let claimed = std::future::poll_fn(|context| {
            if !told && closing.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            let done = Pin::new(&mut *connection).poll(context).is_ready();
            if visit.is_claimed() || done { Poll::Ready(()) } else { Poll::Pending }
        });
        claimed.await;
        if visit.is_claimed() {
            let parts = connection.into_parts();
            self.hand_over(parts.io.into_inner().into_socket(parts.read_buf), visit);
        }
    }

    /// What the library asks for answers; the first request may have been answered already.
    fn service(
        self: &Arc<Self>,
        visit: Visit,
        answered: Option<Response>,
    ) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + use<> {
        let (shared, answered) = (self.clone(), Mutex::new(answered));
        service_fn(move |mut request: Request<Incoming>| {
            if let Some(answer) = answered.lock().take() {
                return Either::Left(std::future::ready(Ok(answer)));
            }
            visit.introduce(&shared.proxies, &mut request);
            Either::Right(shared.answer(request.map(Body::new)))
        })
    }

    /// Gives a connection to the handler that has claimed it.
    fn hand_over(self: Arc<Self>, (socket, read): (Socket, Bytes), visit: Visit) {
        let Visit { remote, permit, claims } = visit;
        let Some((then, source, holds)) = claims.and_then(|claims| claims.take()) else { return };
        // The reactor remembers who read last, and would keep this task's memory for as long as the socket lives.
        let _ = socket.poll_readable(&mut Context::from_waker(Waker::noop()));
        let resume = self.clone().resume(remote, permit.clone());
        let taken = Taken { socket, read, remote: source, permit: permit.and(holds), resume };
        self.life.spawn("taken connection", then(taken));
    }

    /// The way back for a connection that is taken over.
    fn resume(self: Arc<Self>, remote: SocketAddr, permit: Permit) -> Resume {
        Resume(Arc::new(move |socket, read| {
            let connection = self.clone().http1(socket, read, remote, permit.clone());
            self.life.spawn("http connection", connection);
        }))
    }

    /// By a shortcut, or through the router.
    fn answer(&self, mut request: Request<Body>) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        if let Some(front) = &self.front {
            if let Some(answer) = front.answer(request.method(), request.headers(), request.body().size_hint()) {
                return Either::Left(Either::Left(std::future::ready(Ok(answer))));
            }
            if let Some(shortcut) = front.shortcut(request.method(), request.uri().path()) {
                return Either::Left(Either::Right(shortcut(request)));
            }
        }
        // By this name, routes that a program adds to the gateway's find it.
        if let Some(address) = Requester::of(request.extensions()).map(Requester::address) {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        Either::Right(self.router.clone().oneshot(request))
    }

    async fn http2<S>(self: Arc<Self>, stream: S, remote: SocketAddr, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (shared, visit) = (self.clone(), Visit { remote, permit, claims: None });
        let service = service_fn(move |mut request: Request<Incoming>| {
            name_host(&mut request);
            visit.introduce(&shared.proxies, &mut request);
            shared.answer(request.map(|body| Body::new(Unread::new(body, shared.life.clone()))))
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

/// HTTP/2 names the host in `:authority`, in the place of `Host` (RFC 9113 section 8.3.1): all that compares it looks there.
fn name_host(request: &mut Request<Incoming>) {
    let host = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// Reads what a client says first: enough to tell HTTP/2 from HTTP/1.1. Nothing, if it goes without a word.
async fn first_bytes(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut first = Bytes::new();
    loop {
        let more = std::future::poll_fn(|context| poll_piece(stream, context)).await?;
        let is_over = more.is_empty();
        first = joined(first, more);
        if is_over || first.len() >= HTTP2_PREFACE.len() || !HTTP2_PREFACE.starts_with(&first) {
            return Ok(first);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::http::Origins;

    #[tokio::test]
    async fn a_page_of_the_own_host_is_known_over_http2_too() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = format!("http://{}", tcp.local_addr().unwrap());
        let judge = |headers: http::HeaderMap| async move {
            let nowhere = Origins::new(["https://x.example"]);
            format!("{} {}", nowhere.allows(&headers), nowhere.is_trusted_page(&headers))
        };
        let life = Lifecycle::default();
        let serving = HttpListener::plain(tcp).serve(Router::new().fallback(judge), life.clone());
        life.spawn("listener", serving);
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error: it is installed already
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        for (origin, expected) in [(here.as_str(), "true true"), ("http://y.example", "false false")] {
            let answer = client.post(&here).header(header::ORIGIN, origin).send().await.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_2);
            assert_eq!(answer.text().await.unwrap(), expected, "{origin}");
        }
        life.close();
    }
}
