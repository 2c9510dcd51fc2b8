//! The server side on a real listener, and a reader of its streams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ratatosk_connector::access::Access;
use ratatosk_connector::http::{HttpListener, Origins};
use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::{Bus, Connector, Filter, OutboxLimits, QueuePeer, Session, SessionConfig, SubscribeOptions};
use ratatosk_sse::config::SseConfig;
use ratatosk_sse::proto::parser::{Event, Limits, Parser};
use ratatosk_sse::server::Server;
use ratatosk_sse::server::mercure::Hub;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A gateway with nothing but the SSE connector.
pub(crate) struct Gateway {
    pub(crate) bus: Bus,
    pub(crate) life: Lifecycle,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
}

impl Gateway {
    pub(crate) async fn start(config: SseConfig) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (bus, life) = (Bus::in_memory(), Lifecycle::default());
        let server = Server::new(
            bus.clone(),
            life.clone(),
            Origins::new(["https://named.example", "*"]),
            Access::open(),
            &config,
            1 << 20,
        );
        let mut router = server.router();
        if let Some(mercure) = &config.mercure {
            router = router.merge(Hub::new(&server, mercure).unwrap().router());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let listener = HttpListener::plain(listener);
        tokio::spawn(listener.serve(router, life.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { bus, life, base, http }
    }

    /// Somebody of another protocol.
    pub(crate) fn other_protocol(&self, filter: &str) -> (Session, Arc<QueuePeer>) {
        let peer = QueuePeer::new(OutboxLimits::default());
        let session = self.bus.open_session(SessionConfig::client("c", Connector::register("test")), peer.clone());
        session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
        (session, peer)
    }
}

/// An open stream.
pub(crate) struct Reader {
    response: reqwest::Response,
    parser: Parser,
    events: VecDeque<Event>,
    taken: Arc<str>,
}

impl Reader {
    pub(crate) async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = within(request.send()).await.unwrap();
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().await.unwrap());
        Self { response, parser: Parser::new(Limits::default(), ""), events: VecDeque::new(), taken: "".into() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }

    /// The cursor after the event that was taken last.
    pub(crate) fn last_event_id(&self) -> &str {
        if self.events.is_empty() { self.parser.last_event_id() } else { &self.taken }
    }

    /// The next event, or none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            let chunk = within(self.response.chunk()).await.unwrap()?;
            self.parser.feed(&chunk, &mut |event| self.events.push_back(event)).unwrap();
        }
        let event = self.events.pop_front()?;
        self.taken = event.id.clone();
        Some(event)
    }

    pub(crate) async fn datas(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.next().await.unwrap().data);
        }
        all
    }
}

/// Fails a test that hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}
