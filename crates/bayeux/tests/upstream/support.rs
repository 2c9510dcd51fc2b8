//! Two buses, one bridge between them, and a server in the middle.

use std::{sync::Arc, time::Duration};

use ratatosk_bayeux::{
    client::BayeuxClient,
    config::{BayeuxConfig, BayeuxUpstreamConfig},
    server::{BayeuxServer, ServerConfig},
};
use ratatosk_connector::{
    backoff::BackoffConfig,
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
    rules::{Direction, Rule, RuleSet},
    upstream::{Bridge, BridgeHandle, BridgeSpec},
};
use ratatosk_core::{
    Bus, Channel, Filter, Message, Origin, OutboxLimits, Publication, QueuePeer, Session, SessionConfig,
    SubscribeOptions,
};
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Serves a bus over Bayeux.
pub(crate) async fn serve(bus: &Bus, address: &str) -> (Lifecycle, String) {
    serve_with(bus, address, json!({"timeout": "2s"})).await
}

/// Serves a bus over Bayeux, with these settings.
pub(crate) async fn serve_with(bus: &Bus, address: &str, config: Value) -> (Lifecycle, String) {
    let config: BayeuxConfig = serde_json::from_value(config).unwrap();
    let life = Lifecycle::default();
    let origins = Origins::new(["*"]);
    let server = BayeuxServer::new(ServerConfig {
        config,
        bus: bus.clone(),
        life: life.clone(),
        origins,
        access: ratatosk_connector::access::Access::open(),
    });
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let http = HttpListener::plain(listener);
    life.spawn("listener", http.serve(server.router(), life.clone()));
    (life, address)
}

/// A bridge with one rule each way.
pub(crate) fn bridge(bus: &Bus, url: &str, options: Value) -> BridgeHandle {
    let config: BayeuxUpstreamConfig = serde_json::from_value(options).unwrap();
    let client = BayeuxClient::new(&url::Url::parse(url).unwrap(), &config).unwrap();
    let rule = |direction, from: &str, to: &str| RuleSet::new([Rule::new("rule", direction, from, to).unwrap()]);
    let backoff = BackoffConfig { cap: Duration::from_millis(300), ..BackoffConfig::default() };
    let spec = BridgeSpec {
        inbound: rule(Direction::In, "theirs/#", "from/#"),
        outbound: rule(Direction::Out, "ours/#", "arrived/#"),
        backoff,
        ..BridgeSpec::new("far", ratatosk_bayeux::connector())
    };
    Bridge::spawn(bus, spec, client).0
}

/// A program that listens to a bus.
pub(crate) struct Listener {
    queue: Arc<QueuePeer>,
    _session: Session,
}

impl Listener {
    pub(crate) fn on(bus: &Bus, filter: &str) -> Self {
        let queue = QueuePeer::new(OutboxLimits::default());
        let session = bus.open_session(SessionConfig::client("listener", ratatosk_bayeux::connector()), queue.clone());
        session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
        Self { queue, _session: session }
    }

    pub(crate) async fn next(&self) -> Arc<Message> {
        let received = tokio::time::timeout(PATIENCE, self.queue.recv_many(1)).await.expect("a message in time");
        received.unwrap().remove(0).message
    }
}

pub(crate) fn publish(bus: &Bus, channel: &str, payload: &[u8]) {
    let channel = Channel::new(channel).unwrap();
    bus.publish(Publication::new(channel, payload.to_vec(), Origin::gateway())).unwrap();
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}
