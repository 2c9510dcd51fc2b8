//! A server of one's own per test, and clients that say exactly what the test wants said.

use std::{sync::Arc, time::Duration};

use ratatosk_bayeux::{
    config::BayeuxConfig,
    server::{BayeuxServer, ServerConfig},
};
use ratatosk_connector::{
    access::Access,
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
};
use ratatosk_core::{Bus, Channel, Origin, Publication};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A generous limit: a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) bus: Bus,
    pub(crate) life: Lifecycle,
    pub(crate) bayeux: BayeuxServer,
    pub(crate) address: String,
}

impl Server {
    pub(crate) async fn start(config: Value) -> Self {
        Self::with_origins(config, &["*"]).await
    }

    /// With more around its routes.
    pub(crate) async fn layered(config: Value, layers: impl FnOnce(axum::Router) -> axum::Router) -> Self {
        Self::guarded(config, Access::open(), layers).await
    }

    /// With more around its routes, which goes by who may come in.
    pub(crate) async fn guarded(
        config: Value,
        access: Access,
        layers: impl FnOnce(axum::Router) -> axum::Router,
    ) -> Self {
        Self::build(config, &["*"], access, layers).await
    }

    pub(crate) async fn with_origins(config: Value, origins: &[&str]) -> Self {
        Self::build(config, origins, Access::open(), |router| router).await
    }

    async fn build(
        config: Value,
        origins: &[&str],
        access: Access,
        layers: impl FnOnce(axum::Router) -> axum::Router,
    ) -> Self {
        let config: BayeuxConfig = serde_json::from_value(config).unwrap();
        let (bus, life) = (Bus::in_memory(), Lifecycle::default());
        let origins = Origins::new(origins.iter().copied());
        let bayeux = BayeuxServer::new(ServerConfig { config, bus: bus.clone(), life: life.clone(), origins, access });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let http = HttpListener::plain(listener);
        life.spawn("listener", http.serve(layers(bayeux.router()), life.clone()));
        Self { bus, life, bayeux, address }
    }

    pub(crate) fn publish(&self, channel: &str, payload: &str) {
        let channel = Channel::new(channel).unwrap();
        self.bus.publish(Publication::new(channel, payload.to_owned(), Origin::gateway())).unwrap();
    }

    pub(crate) fn retain(&self, channel: &str, payload: &str) {
        let channel = Channel::new(channel).unwrap();
        let publication = Publication::new(channel, payload.to_owned(), Origin::gateway()).retained(true);
        self.bus.publish(publication).unwrap();
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: String) -> Response {
        Pending::open(self, request).await.response().await
    }

    pub(crate) async fn post(&self, messages: Value) -> Vec<Value> {
        let response = self.send(self.request(&messages, "")).await;
        assert_eq!(response.status, 200, "{}", response.body);
        response.messages()
    }

    pub(crate) fn request(&self, messages: &Value, headers: &str) -> String {
        self.raw("/bayeux", "application/json", &messages.to_string(), headers)
    }

    pub(crate) fn raw(&self, path: &str, content_type: &str, body: &str, headers: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// Shakes hands and has the first connect behind it.
    pub(crate) async fn client(&self, ext: Value) -> Client<'_> {
        let reply = self.post(handshake(ext)).await.remove(0);
        assert_eq!(reply["successful"], true, "{reply}");
        let client = Client { server: self, id: reply["clientId"].as_str().unwrap().to_owned() };
        client.post(client.connect(json!({}))).await;
        client
    }
}

pub(crate) fn handshake(ext: Value) -> Value {
    json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "ext": ext})
}

pub(crate) struct Client<'a> {
    pub(crate) server: &'a Server,
    pub(crate) id: String,
}

impl Client<'_> {
    pub(crate) fn message(&self, channel: &str, more: Value) -> Value {
        let mut message = json!({"channel": channel, "clientId": self.id});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    }

    pub(crate) fn connect(&self, more: Value) -> Value {
        let mut message = self.message("/meta/connect", json!({"connectionType": "long-polling"}));
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    }

    pub(crate) async fn post(&self, message: Value) -> Vec<Value> {
        self.server.post(json!([message])).await
    }

    pub(crate) async fn subscribe(&self, subscription: Value) {
        let reply = self.post(self.message("/meta/subscribe", json!({"subscription": subscription}))).await.remove(0);
        assert_eq!(reply["successful"], true, "{reply}");
    }

    /// Sends a connect and does not wait for its answer.
    pub(crate) async fn hold(&self) -> Pending {
        Pending::open(self.server, self.server.request(&json!([self.connect(json!({}))]), "")).await
    }

    /// The data of what comes with connects, until there are so many.
    pub(crate) async fn collect(&self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        while data.len() < count {
            for message in self.post(self.connect(json!({}))).await {
                data.extend(message.get("data").cloned());
            }
        }
        data
    }
}

/// A request that was sent.
pub(crate) struct Pending(TcpStream);

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Pending {
    pub(crate) async fn open(server: &Server, request: String) -> Self {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Sends another request on the same connection.
    pub(crate) async fn send(&mut self, request: String) {
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Response {
        tokio::time::timeout(PATIENCE, read(&mut self.0)).await.expect("an answer in time")
    }

    pub(crate) async fn response(mut self) -> Response {
        tokio::time::timeout(PATIENCE, read(&mut self.0)).await.expect("an answer in time")
    }
}

async fn read(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|v| v.trim().to_owned()))
                .map_or(0, |value| value.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Response { status, head, body };
            }
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the connection ended after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..count]);
    }
}

impl Response {
    pub(crate) fn messages(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }
}

/// Waits for something that happens soon, without a fixed pause.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// Monitor events as short texts.
#[derive(Default)]
pub(crate) struct Seen(parking_lot::Mutex<Vec<String>>);

impl Seen {
    pub(crate) fn on(bus: &Bus) -> Arc<Self> {
        let seen = Arc::new(Self::default());
        bus.monitor().add(seen.clone());
        seen
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl ratatosk_core::MonitorHandler for Seen {
    fn handle(&self, event: &ratatosk_core::monitor::Monitored) {
        use ratatosk_core::MonitorEvent as E;
        let text = match &event.event {
            E::CreatedClient { .. } => "created_client".to_owned(),
            E::DestroyedClient { reason, .. } => format!("destroyed_client {reason}"),
            E::CreatedChannel { channel } => format!("created_channel {channel}"),
            E::DestroyedChannel { channel } => format!("destroyed_channel {channel}"),
            E::ClientSubscribed { channel, .. } => format!("client_subscribed {channel}"),
            E::ClientUnsubscribed { channel, .. } => format!("client_unsubscribed {channel}"),
            _ => return,
        };
        self.0.lock().push(text);
    }
}
