//! The server side over real sockets: what the state machines' own tests cannot see.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use futures_util::{SinkExt, StreamExt};
use ratatosk_connector::{
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
};
use ratatosk_core::{
    Bus, Channel, Connector, Filter, Message, Origin, OutboxLimits, Publication, QueuePeer, SessionConfig,
    SubscribeOptions,
};
use ratatosk_pusher::{config::PusherConfig, proto::sign, server::Server};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};

/// What every call of the HTTP API carries.
const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const PATIENCE: Duration = Duration::from_secs(20);

struct Host {
    bus: Bus,
    life: Lifecycle,
    port: u16,
    http: reqwest::Client,
}

impl Host {
    async fn start(mut config: Value) -> Self {
        if config.get("apps").is_none() {
            config["apps"] = json!([{"id": "demo", "key": "demo-key", "secret": "demo-secret"}]);
        }
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
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let http = HttpListener::plain(listener);
        life.spawn("http", http.serve(server.router(), life.clone()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { bus, life, port, http: reqwest::Client::new() }
    }

    async fn connect(&self) -> Client {
        self.connect_to("/app/demo-key?protocol=7").await
    }

    async fn connect_to(&self, path: &str) -> Client {
        let url = format!("ws://127.0.0.1:{}{path}", self.port);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client { socket, id: String::new() };
        let first = client.next().await;
        if first["event"] == "pusher:connection_established" {
            let data: Value = serde_json::from_str(first["data"].as_str().unwrap()).unwrap();
            client.id = data["socket_id"].as_str().unwrap().to_owned();
        }
        client
    }

    async fn call(&self, method: &str, path: &str, params: &[(&str, &str)], body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        let md5 = sign::body_md5(body.as_bytes());
        let mut pairs = vec![("auth_key", "demo-key"), ("auth_timestamp", &now), ("auth_version", "1.0")];
        pairs.extend(params);
        if !body.is_empty() {
            pairs.push(("body_md5", &md5));
        }
        pairs.sort_unstable();
        let query: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = query.join("&");
        let signature = sign::sign("demo-secret", format!("{method}\n{path}\n{query}").as_bytes());
        let url = format!("http://127.0.0.1:{}{path}?{query}&auth_signature={signature}", self.port);
        let request = self.http.request(method.parse().unwrap(), url).body(body).header("traceparent", CONTEXT);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn publish(&self, channel: &str, event: &str, data: &str) {
        let body = json!({"name": event, "channel": channel, "data": data});
        assert_eq!(self.call("POST", "/apps/demo/events", &[], Some(body)).await, (200, json!({})));
    }

    fn publish_on_bus(&self, publication: Publication) {
        self.bus.publish(publication).unwrap();
    }
}

fn from_elsewhere(channel: &str, payload: impl Into<bytes::Bytes>) -> Publication {
    Publication::new(Channel::new(channel).unwrap(), payload, Origin::connector(Connector::register("test")))
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: String,
}

impl Client {
    async fn message(&mut self) -> tungstenite::Message {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("nothing came").unwrap().unwrap()
    }

    async fn next(&mut self) -> Value {
        loop {
            if let tungstenite::Message::Text(text) = self.message().await {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn until(&mut self, event: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["event"] == event {
                return frame;
            }
        }
    }

    async fn closed(&mut self) -> u16 {
        loop {
            if let tungstenite::Message::Close(frame) = self.message().await {
                return frame.map_or(1005, |frame| frame.code.into());
            }
        }
    }

    async fn text(&mut self, text: impl Into<String>) {
        self.socket.send(tungstenite::Message::text(text.into())).await.unwrap();
    }

    async fn subscribe(&mut self, channel: &str, channel_data: Option<&str>) -> Value {
        self.ask(channel, channel_data).await;
        self.until("pusher_internal:subscription_succeeded").await
    }

    async fn ask(&mut self, channel: &str, channel_data: Option<&str>) {
        let mut parts = vec![self.id.as_str(), channel];
        parts.extend(channel_data);
        let auth = format!("demo-key:{}", sign::sign_parts("demo-secret", &parts));
        let data = json!({"channel": channel, "auth": auth, "channel_data": channel_data});
        self.text(json!({"event": "pusher:subscribe", "data": data}).to_string()).await;
    }

    async fn sign_in(&mut self, user_data: &str) {
        let auth =
            format!("demo-key:{}", sign::sign("demo-secret", format!("{}::user::{user_data}", self.id).as_bytes()));
        let data = json!({"auth": auth, "user_data": user_data});
        self.text(json!({"event": "pusher:signin", "data": data}).to_string()).await;
        self.until("pusher:signin_success").await;
    }

    /// Nothing else came before the answer to a ping.
    async fn quiet(&mut self) {
        self.text(r#"{"event":"pusher:ping"}"#).await;
        assert_eq!(self.next().await["event"], "pusher:pong");
    }
}

fn inner(frame: &Value) -> Value {
    serde_json::from_str(frame["data"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn messages_from_elsewhere_are_rendered_as_pusher_events() {
    let host = Host::start(json!({"mounts": [{"channel": "sensors/#", "as": "private-sensors.*"}]})).await;
    let mut client = host.connect().await;
    client.subscribe("private-sensors.kitchen.temp", None).await;
    client.subscribe("v1=2E2.data", None).await;
    host.publish_on_bus(from_elsewhere("sensors/kitchen/temp", "21.5"));
    let frame = client.next().await;
    let expected = json!({"event": "message", "channel": "private-sensors.kitchen.temp", "data": "21.5"});
    assert_eq!(frame, expected);
    host.publish_on_bus(from_elsewhere("v1.2/data", &b"\xff\x00"[..]).with_event("blob"));
    let frame = client.next().await;
    assert_eq!(frame, json!({"event": "blob", "channel": "v1=2E2.data", "data": "{\"$b64\":\"/wA=\"}"}));
    host.publish_on_bus(from_elsewhere("v1.2/data", "x").with_event("pusher:error"));
    assert_eq!(client.next().await["event"], "message", "nobody speaks in the protocol's name");
    client.ask("sensors.kitchen.temp", None).await;
    assert_eq!(client.next().await["event"], "pusher:subscription_error", "a mount has no back door");
}

#[tokio::test]
async fn client_events_reach_the_bus_and_not_their_sender() {
    let host = Host::start(json!({})).await;
    let peer = QueuePeer::new(OutboxLimits::default());
    let session = host.bus.open_session(SessionConfig::client("ear", Connector::register("test")), peer.clone());
    session.subscribe(Filter::new("private-room/#").unwrap(), SubscribeOptions::default());
    let (mut ann, mut bob) = (host.connect().await, host.connect().await);
    ann.subscribe("private-room.1", None).await;
    bob.subscribe("private-room.1", None).await;
    for (data, payload) in
        [(json!({"a": 1}), r#"{"a":1}"#), (json!("text"), "text"), (json!({"$b64": "AAE="}), "\0\u{1}")]
    {
        let frame = json!({"event": "client-x", "channel": "private-room.1", "data": data});
        ann.text(frame.to_string()).await;
        let heard: Arc<Message> = peer.recv_many(1).await.unwrap().remove(0).message;
        assert_eq!((heard.channel.as_str(), &heard.payload[..]), ("private-room/1", payload.as_bytes()));
        let frame = bob.next().await;
        if data.get("$b64").is_none() {
            assert_eq!(frame["data"], data, "the form is kept");
        }
    }
    ann.quiet().await;
}

#[tokio::test]
async fn a_user_with_two_connections_joins_and_leaves_once() {
    let host = Host::start(json!({"apps": [{
        "id": "demo", "key": "demo-key", "secret": "demo-secret", "limits": {"presence_members": 2},
    }]}))
    .await;
    let (ann, bob) = (r#"{"user_id":"ann","user_info":{"n":1}}"#, r#"{"user_id":2}"#);
    let mut watcher = host.connect().await;
    watcher.subscribe("presence-x", Some(ann)).await;
    let (mut first, mut second) = (host.connect().await, host.connect().await);
    first.subscribe("presence-x", Some(bob)).await;
    assert_eq!(inner(&watcher.next().await), json!({"user_id": "2", "user_info": null}));
    let roster = inner(&second.subscribe("presence-x", Some(bob)).await);
    assert_eq!(roster["presence"], json!({"ids": ["2", "ann"], "hash": {"2": null, "ann": {"n": 1}}, "count": 2}));
    let mut third = host.connect().await;
    third.ask("presence-x", Some(r#"{"user_id":"carl"}"#)).await;
    let refused = third.next().await;
    assert_eq!(
        (&refused["event"], &inner(&refused)["type"]),
        (&json!("pusher:subscription_error"), &json!("LimitReached"))
    );
    first.socket.close(None).await.unwrap();
    watcher.quiet().await;
    drop(second);
    assert_eq!(watcher.next().await["event"], "pusher_internal:member_removed");
    let (_, users) = host.call("GET", "/apps/demo/channels/presence-x/users", &[], None).await;
    assert_eq!(users, json!({"users": [{"id": "ann"}]}));
}

#[tokio::test]
async fn one_bad_client_does_not_disturb_the_others() {
    let host = Host::start(json!({})).await;
    let (mut good, mut bad) = (host.connect().await, host.connect().await);
    good.subscribe("room", None).await;
    for frame in [
        r#"{"event":"pusher:subscribe","data":{}}"#,
        r#"{"event":"pusher:subscribe"}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":["x"]}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"a b"}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"=2B"}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"=24pusher.demo.users.ann"}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":""}}"#,
        "{\"event\":\"pusher:subscribe\",\"data\":\"{\"}",
        "nonsense",
        "[[[[[[[[[[",
        r#"{"event":"client-x","channel":"private-a","data":1}"#,
    ] {
        bad.text(frame).await;
        bad.until("pusher:error").await;
    }
    bad.text("[".repeat(100_000)).await;
    bad.until("pusher:error").await;
    bad.socket.send(tungstenite::Message::binary(vec![0xff; 10])).await.unwrap();
    bad.until("pusher:error").await;
    bad.quiet().await;
    host.publish("room", "e", "still here").await;
    assert_eq!(good.next().await["data"], "still here");
    bad.text("x".repeat(300 << 10)).await;
    assert_eq!(bad.closed().await, 1009);
    good.quiet().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_after_the_upgrade() {
    let host = Host::start(json!({"apps": [
        {"id": "demo", "key": "demo-key", "secret": "demo-secret", "limits": {"connections": 1}},
        {"id": "off", "key": "off-key", "secret": "s", "enabled": false},
    ]}))
    .await;
    let mut only = host.connect().await;
    for (path, code) in [
        ("/app/nobody", 4001),
        ("/app/off-key", 4003),
        ("/app/demo-key", 4004),
        ("/app/demo-key?protocol=x", 4006),
        ("/app/demo-key?protocol=4", 4007),
    ] {
        let url = format!("ws://127.0.0.1:{}{path}", host.port);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client { socket, id: String::new() };
        let frame = client.next().await;
        assert_eq!((&frame["event"], &frame["data"]["code"]), (&json!("pusher:error"), &json!(code)), "{path}");
        assert_eq!(client.closed().await, code, "{path}");
    }
    only.quiet().await;
    let plain = host.http.get(format!("http://127.0.0.1:{}/app/demo-key", host.port)).send().await.unwrap();
    assert_eq!(plain.status().as_u16(), 426);
}

#[tokio::test]
async fn silence_is_pinged_and_then_closed() {
    let host = Host::start(json!({"activity_timeout": "1s", "pong_timeout": "1s"})).await;
    let mut client = host.connect().await;
    assert_eq!(client.next().await["event"], "pusher:ping");
    client.text(r#"{"event":"pusher:pong"}"#).await;
    assert_eq!(client.next().await["event"], "pusher:ping");
    assert_eq!(client.next().await["data"]["code"], 4201);
    assert_eq!(client.closed().await, 4201);
}

#[tokio::test]
async fn stopping_sends_everyone_away_with_4200() {
    let host = Host::start(json!({})).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(host.connect().await);
    }
    host.life.close();
    for client in &mut clients {
        assert_eq!(client.until("pusher:error").await["data"]["code"], 4200);
        assert_eq!(client.closed().await, 4200);
    }
    drop(clients);
    assert_eq!(host.life.wait(PATIENCE).await, 0);
}

#[tokio::test]
async fn users_are_reached_watched_and_sent_away() {
    let host = Host::start(json!({})).await;
    let (mut ann, mut bob) = (host.connect().await, host.connect().await);
    ann.sign_in(r#"{"id":"ann","watchlist":["bob"]}"#).await;
    let state = inner(&ann.next().await);
    assert_eq!(state, json!({"events": [{"name": "offline", "user_ids": ["bob"]}]}));
    bob.sign_in(r#"{"id":"bob"}"#).await;
    assert_eq!(inner(&ann.next().await), json!({"events": [{"name": "online", "user_ids": ["bob"]}]}));
    bob.ask("#server-to-user-ann", None).await;
    assert_eq!(bob.next().await["event"], "pusher:subscription_error");
    assert_eq!(bob.next().await["event"], "pusher:error");
    ann.subscribe("#server-to-user-ann", None).await;
    host.publish("#server-to-user-ann", "hi", "for ann").await;
    assert_eq!(ann.next().await["data"], "for ann");
    bob.quiet().await;
    let terminated = host.call("POST", "/apps/demo/users/bob/terminate_connections", &[], None).await;
    assert_eq!(terminated, (200, json!({})));
    assert_eq!(bob.closed().await, 4009);
    assert_eq!(inner(&ann.next().await), json!({"events": [{"name": "offline", "user_ids": ["bob"]}]}));
    let without_app = host.call("POST", "/users/ann/terminate_connections", &[], Some(json!({}))).await;
    assert_eq!(without_app.0, 200);
    assert_eq!(ann.closed().await, 4009);
}

#[tokio::test]
async fn the_trace_context_of_a_request_goes_with_its_events() {
    let host = Host::start(json!({})).await;
    let peer = QueuePeer::new(OutboxLimits::default());
    let session = host.bus.open_session(SessionConfig::client("ear", Connector::register("test")), peer.clone());
    session.subscribe(Filter::new("room").unwrap(), SubscribeOptions::default());
    host.publish("room", "e", "1").await;
    let heard: Arc<Message> = peer.recv_many(1).await.unwrap().remove(0).message;
    assert_eq!(heard.properties(), [("traceparent".into(), CONTEXT.into())]);
}

#[tokio::test]
async fn cache_channels_show_the_last_event_or_a_miss() {
    let host = Host::start(json!({})).await;
    let (mut early, mut late) = (host.connect().await, host.connect().await);
    early.subscribe("cache-x", None).await;
    assert_eq!(early.next().await["event"], "pusher:cache_miss");
    host.publish("cache-x", "e", "1").await;
    host.publish("cache-x", "e", "2").await;
    late.subscribe("cache-x", None).await;
    assert_eq!(late.next().await["data"], "2");
    late.quiet().await;
    let (_, info) =
        host.call("GET", "/apps/demo/channels/cache-x", &[("info", "cache,subscription_count")], None).await;
    assert_eq!((&info["cache"]["data"], &info["subscription_count"]), (&json!("2"), &json!(2)));
    let (_, info) = host.call("GET", "/apps/demo/channels/cache-y", &[("info", "cache")], None).await;
    assert_eq!(info, json!({"occupied": false, "cache": null}));
}

#[tokio::test]
async fn the_http_api_has_true_statuses() {
    let host = Host::start(json!({})).await;
    let event = |channel: &str| json!({"name": "e", "channel": channel, "data": "d"});
    for (method, path, params, body, status) in [
        ("GET", "/apps/demo/channels", &[][..], None, 200),
        ("GET", "/apps/demo/channels", &[("info", "user_count")], None, 400),
        ("GET", "/apps/demo/channels", &[("info", "user_count"), ("filter_by_prefix", "presence-")], None, 200),
        ("GET", "/apps/demo/channels", &[("info", "nonsense")], None, 400),
        ("GET", "/apps/demo/channels/room", &[("info", "user_count")], None, 400),
        ("GET", "/apps/demo/channels/room", &[("info", "cache")], None, 400),
        ("GET", "/apps/demo/channels/room/users", &[], None, 400),
        ("GET", "/apps/demo/channels/a%20b", &[], None, 400),
        ("GET", "/apps/demo/nonsense", &[], None, 404),
        ("GET", "/apps/nobody/channels", &[], None, 404),
        ("DELETE", "/apps/demo/channels", &[], None, 405),
        ("POST", "/apps/demo/events", &[], Some(event("room")), 200),
        ("POST", "/apps/demo/events", &[], Some(event("=2B")), 400),
        ("POST", "/apps/demo/events", &[], None, 400),
        ("POST", "/apps/demo/channels/room/events", &[("name", "e")], Some(json!({"a": 1})), 202),
        ("POST", "/apps/demo/events", &[], Some(json!({"name": "e", "channel": "a", "data": "x".repeat(10_241)})), 413),
        (
            "POST",
            "/apps/demo/events",
            &[],
            Some(json!({"name": "e", "channel": "a", "data": "x".repeat(3 << 20)})),
            413,
        ),
    ] {
        let (given, answer) = host.call(method, path, params, body).await;
        assert_eq!(given, status, "{method} {path} {params:?}: {answer}");
    }
    let unsigned = host.http.get(format!("http://127.0.0.1:{}/apps/demo/channels", host.port)).send().await.unwrap();
    assert_eq!(unsigned.status().as_u16(), 401);
}

#[tokio::test]
async fn webhooks_are_signed_retried_and_in_order() {
    type Posts = (mpsc::Sender<(HeaderMap, Bytes)>, Arc<AtomicBool>);
    /// Refuses the first request, and takes every other.
    async fn receive(State((posts, refused)): State<Posts>, headers: HeaderMap, body: Bytes) -> StatusCode {
        if !refused.swap(true, Ordering::SeqCst) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        posts.send((headers, body)).await.unwrap();
        StatusCode::OK
    }
    let (posts, mut posted) = mpsc::channel(100);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiver = Router::new().route("/hook", post(receive)).with_state((posts, Arc::default()));
    let server = tokio::spawn(async move { axum::serve(listener, receiver).await });
    let events = json!(["channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event"]);
    let host = Host::start(json!({"apps": [{
        "id": "demo", "key": "demo-key", "secret": "demo-secret", "webhooks": [{"url": url, "events": events}],
    }]}))
    .await;
    let mut client = host.connect().await;
    client.subscribe("presence-x", Some(r#"{"user_id":"ann"}"#)).await;
    client.text(json!({"event": "client-e", "channel": "presence-x", "data": {"a": 1}}).to_string()).await;
    client.quiet().await;
    let id = client.id.clone();
    drop(client);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        let (headers, body) = tokio::time::timeout(PATIENCE, posted.recv()).await.expect("no webhook").unwrap();
        assert_eq!(headers["x-pusher-key"], "demo-key");
        assert!(sign::verify("demo-secret", &body, headers["x-pusher-signature"].to_str().unwrap()));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["time_ms"].as_u64().unwrap() > 1_600_000_000_000);
        heard.extend(body["events"].as_array().unwrap().clone());
    }
    let client_event = json!({
        "name": "client_event", "channel": "presence-x", "event": "client-e", "data": {"a": 1}, "socket_id": id,
        "user_id": "ann",
    });
    assert_eq!(
        heard,
        [
            json!({"name": "channel_occupied", "channel": "presence-x"}),
            json!({"name": "member_added", "channel": "presence-x", "user_id": "ann"}),
            client_event,
            json!({"name": "member_removed", "channel": "presence-x", "user_id": "ann"}),
            json!({"name": "channel_vacated", "channel": "presence-x"}),
        ]
    );
    server.abort();
}
