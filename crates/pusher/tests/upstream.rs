//! The client side against our own server side, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{sync::Arc, time::Duration};

use ratatosk_connector::{
    backoff::BackoffConfig,
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
    rules::{Direction, Rule, RuleSet},
    upstream::{Bridge, BridgeHandle, BridgeSpec, State},
};
use ratatosk_core::{
    Bus, Channel, Connector, Filter, Message, Origin, OutboxLimits, Publication, QueuePeer, Session, SessionConfig,
    SubscribeOptions,
};
use ratatosk_pusher::{
    client::{ClientState, FactsCell, PusherClient},
    config::{PusherConfig, PusherUpstreamConfig},
    server::Server,
};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// A Pusher server on a bus of its own.
struct Far {
    bus: Bus,
    life: Lifecycle,
    port: u16,
}

impl Far {
    async fn start(port: u16, config: serde_json::Value) -> Self {
        let (bus, life) = (Bus::in_memory(), Lifecycle::default());
        let config: PusherConfig = serde_json::from_value(config).unwrap();
        let server = Server::new(
            bus.clone(),
            life.clone(),
            Origins::new(["*"]),
            ratatosk_connector::access::Access::open(),
            &config,
        )
        .unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let http = HttpListener::plain(listener);
        life.spawn("http", http.serve(server.router(), life.clone()));
        Self { bus, life, port }
    }

    async fn stop(self) -> u16 {
        self.life.close();
        assert_eq!(self.life.wait(PATIENCE).await, 0);
        self.port
    }
}

fn default() -> serde_json::Value {
    json!({"apps": [{"id": "demo", "key": "demo-key", "secret": "demo-secret"}]})
}

/// A gateway's side: a bus with a bridge to the far server.
struct Near {
    bus: Bus,
    handle: BridgeHandle,
    facts: Arc<FactsCell>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Near {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn rules(direction: Direction, pairs: &[(&str, &str)]) -> RuleSet {
    let rules = pairs.iter().map(|(from, to)| Rule::new("rule", direction, from, to).unwrap());
    RuleSet::new(rules)
}

impl Near {
    fn start(port: u16, options: serde_json::Value, inbound: &[(&str, &str)], outbound: &[(&str, &str)]) -> Self {
        let mut all = json!({"app_id": "demo", "secret": "demo-secret"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let config: PusherUpstreamConfig = serde_json::from_value(all).unwrap();
        let url = url::Url::parse(&format!("pusher+ws://127.0.0.1:{port}/app/demo-key")).unwrap();
        let client = PusherClient::new(&url, &config).unwrap();
        let facts = client.facts();
        let bus = Bus::in_memory();
        let backoff = BackoffConfig { cap: Duration::from_millis(300), ..BackoffConfig::default() };
        let spec = BridgeSpec {
            inbound: rules(Direction::In, inbound),
            outbound: rules(Direction::Out, outbound),
            backoff,
            ..BridgeSpec::new("far", Connector::register("pusher"))
        };
        let (handle, task) = Bridge::spawn(&bus, spec, client);
        Self { bus, handle, facts, task }
    }

    async fn live(&self, channel: &str) {
        let live = || self.facts.get().channels.get(channel).is_some_and(|facts| facts.live);
        until(live, &format!("{channel} is not live: {:?}", self.facts.get())).await;
    }

    async fn down(&self) {
        until(|| self.facts.get().state != ClientState::Connected, "still connected").await;
    }
}

async fn until(condition: impl Fn() -> bool, otherwise: &str) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{otherwise}"));
}

struct Ear {
    peer: Arc<QueuePeer>,
    _session: Session,
}

impl Ear {
    fn on(bus: &Bus, filter: &str) -> Self {
        let peer = QueuePeer::new(OutboxLimits::default());
        let session = bus.open_session(SessionConfig::client("ear", Connector::register("test")), peer.clone());
        session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
        Self { peer, _session: session }
    }

    async fn next(&self) -> Arc<Message> {
        let heard = tokio::time::timeout(PATIENCE, self.peer.recv_many(1)).await.expect("nothing was heard").unwrap();
        heard.into_iter().next().unwrap().message
    }
}

fn publish(bus: &Bus, channel: &str, payload: &str) {
    let origin = Origin::connector(Connector::register("test"));
    bus.publish(Publication::new(Channel::new(channel).unwrap(), payload.to_owned(), origin)).unwrap();
}

#[tokio::test]
async fn messages_cross_both_ways_and_do_not_come_back() {
    let far = Far::start(0, default()).await;
    let near = Near::start(
        far.port,
        json!({}),
        &[("news", "far/news"), ("private-chat", "far/chat")],
        &[("near/#", "near/#"), ("chat", "private-chat"), ("news", "news")],
    );
    near.live("news").await;
    near.live("private-chat").await;
    let (here, there) = (Ear::on(&near.bus, "far/#"), Ear::on(&far.bus, "#"));
    publish(&far.bus, "news", r#"{"a":1}"#);
    let heard = here.next().await;
    assert_eq!((heard.channel.as_str(), &heard.payload[..], heard.event()), ("far/news", &br#"{"a":1}"#[..], None));
    there.next().await;
    // By the HTTP API, because nobody is subscribed to it; by name, because there are levels in it.
    publish(&near.bus, "near/kitchen/temp", "21.5");
    let heard = there.next().await;
    assert_eq!((heard.channel.as_str(), &heard.payload[..]), ("near/kitchen/temp", &b"21.5"[..]));
    // As a client event, because it is private and subscribed.
    publish(&near.bus, "chat", "hello");
    let heard = there.next().await;
    assert_eq!((heard.channel.as_str(), heard.event()), ("private-chat", Some("client-message")));
    // By the API into a channel that is subscribed: our own echo is left out.
    publish(&near.bus, "news", "mine");
    assert_eq!(&there.next().await.payload[..], b"mine");
    publish(&far.bus, "news", "theirs");
    assert_eq!(&here.next().await.payload[..], b"theirs");
    assert_eq!(near.handle.status().state, State::Up);
    until(|| near.handle.status().round_trip.is_some(), "no round trip was measured").await;
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_every_message() {
    let far = Far::start(0, default()).await;
    let near = Near::start(far.port, json!({}), &[], &[("out/#", "#")]);
    until(|| near.handle.status().state == State::Up, "not up").await;
    let there = Ear::on(&far.bus, "#");
    for number in 0..57 {
        publish(&near.bus, "out/numbers", &number.to_string());
    }
    publish(&near.bus, "out/numbers", &"x".repeat(11_000));
    publish(&near.bus, "out/numbers", "last");
    for number in 0..57 {
        assert_eq!(&there.next().await.payload[..], number.to_string().as_bytes());
    }
    assert_eq!(&there.next().await.payload[..], b"last", "what is too large is left out, and holds nothing up");
}

#[tokio::test]
async fn client_events_are_paced_and_none_is_lost() {
    let far = Far::start(0, default()).await;
    let near = Near::start(far.port, json!({}), &[("private-p", "p")], &[("out", "private-p")]);
    near.live("private-p").await;
    let there = Ear::on(&far.bus, "#");
    for number in 0..15 {
        publish(&near.bus, "out", &number.to_string());
    }
    for number in 0..15 {
        assert_eq!(&there.next().await.payload[..], number.to_string().as_bytes());
    }
    assert_eq!(near.facts.get().last_error, None);
}

#[tokio::test]
async fn after_a_restart_everything_is_subscribed_again_and_joins_are_true() {
    let far = Far::start(0, default()).await;
    let options = json!({"user_id": "me", "user_info": "{\"n\":1}", "presence_events": true});
    let rules = [("presence-room", "room"), ("private-x", "x"), ("y", "y")];
    let near = Near::start(far.port, options.clone(), &rules, &[]);
    let ear = Ear::on(&near.bus, "room");
    for channel in ["presence-room", "private-x", "y"] {
        near.live(channel).await;
    }
    assert_eq!(ear.next().await.event(), Some("member_added"), "that is us");
    let presence = near.facts.get().channels.get("presence-room").unwrap().presence.clone().unwrap();
    assert_eq!((presence.count(), presence.me()), (1, Some("me")));
    let told = near.facts.get().to_json();
    let expected = json!({"ids": ["me"], "hash": {"me": {"n": 1}}, "count": 1, "me": "me"});
    assert_eq!((&told["state"], &told["channels"]["presence-room"]["presence"]), (&json!("connected"), &expected));
    let other = Near::start(far.port, json!({"user_id": "other"}), &[("presence-room", "room")], &[]);
    let joined = ear.next().await;
    assert_eq!(&joined.payload[..], br#"{"user_id":"other","user_info":null}"#);
    let port = far.stop().await;
    near.down().await;
    drop(other);
    let far = Far::start(port, default()).await;
    for channel in ["presence-room", "private-x", "y"] {
        near.live(channel).await;
    }
    let left = ear.next().await;
    assert_eq!(
        (left.event(), &left.payload[..]),
        (Some("member_removed"), &br#"{"user_id":"other","user_info":null}"#[..])
    );
    let ear = Ear::on(&near.bus, "y");
    publish(&far.bus, "y", "again");
    assert_eq!(&ear.next().await.payload[..], b"again");
}

#[tokio::test]
async fn encrypted_channels_are_opened_and_sealed() {
    let master = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let far = Far::start(0, default()).await;
    let options = json!({"encryption_master_key": master});
    let channel = "private-encrypted-s";
    let reader = Near::start(far.port, options.clone(), &[(channel, "plain")], &[]);
    let writer = Near::start(far.port, options, &[], &[("secret", channel)]);
    reader.live(channel).await;
    let (ear, everybody) = (Ear::on(&reader.bus, "plain"), Ear::on(&far.bus, "#"));
    publish(&writer.bus, "secret", r#"{"pin":1234}"#);
    assert_eq!(&ear.next().await.payload[..], br#"{"pin":1234}"#);
    publish(&far.bus, "plain/end", "end");
    let seen = everybody.next().await;
    assert_eq!(seen.channel.as_str(), "plain/end", "sealed payloads are not for other protocols");
}

#[tokio::test]
async fn users_sign_in_and_are_watched() {
    let far = Far::start(0, default()).await;
    let ann = json!({"user_id": "ann", "sign_in": true, "watchlist": ["bob"]});
    let ann = Near::start(far.port, ann, &[("#server-to-user-ann", "for-ann")], &[]);
    ann.live("#server-to-user-ann").await;
    assert!(ann.facts.get().signed_in && ann.facts.get().online.is_empty());
    let bob =
        Near::start(far.port, json!({"user_id": "bob", "sign_in": true}), &[], &[("to-ann", "#server-to-user-ann")]);
    until(|| ann.facts.get().online == ["bob"], "bob was not seen").await;
    let ear = Ear::on(&ann.bus, "for-ann");
    publish(&bob.bus, "to-ann", "hello ann");
    assert_eq!(&ear.next().await.payload[..], b"hello ann");
    drop(bob);
    until(|| ann.facts.get().online.is_empty(), "bob is still seen").await;
}

#[tokio::test]
async fn refusals_are_told_and_permanent_ones_stop() {
    let far = Far::start(0, default()).await;
    let near = Near::start(
        far.port,
        json!({"secret": "wrong"}),
        &[("private-x", "x"), ("y", "y"), ("z/#", "z/#")],
        &[("out", "out")],
    );
    near.live("y").await;
    let error = || near.facts.get().last_error.is_some_and(|error| error.contains("Invalid signature"));
    until(error, "the refusal was not told").await;
    assert!(!near.facts.get().channels.get("private-x").unwrap().live);
    publish(&near.bus, "out", "never taken");
    until(|| near.handle.status().queue.messages == 0, "a denied message still waits").await;
    assert_eq!(near.handle.status().state, State::Up, "one refused channel ends nothing");

    let url = url::Url::parse(&format!("pusher+ws://127.0.0.1:{}/app/unknown", far.port)).unwrap();
    let client = PusherClient::new(&url, &PusherUpstreamConfig::default()).unwrap();
    let facts = client.facts();
    let spec = BridgeSpec::new("far", Connector::register("pusher"));
    let (handle, task) = Bridge::spawn(&Bus::in_memory(), spec, client);
    until(|| handle.status().state == State::Refused, "an unknown application is tried again").await;
    assert_eq!(facts.get().state, ClientState::Failed);
    task.abort();
}
