//! Limits on connections, users and rates: what is too much is refused in each protocol's own words, counted, and let in again
//! when there is room.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatosk_tests::bayeux::Bayeux;
use ratatosk_tests::http::{Response, fetch, query};
use ratatosk_tests::mosquitto::try_publish;
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::pusher::{Kind, Pusher};
use ratatosk_tests::{Gateway, Script, SseStream};
use serde_json::{Value, json};

const BY_POLL: ratatosk_tests::bayeux::Kind =
    ratatosk_tests::bayeux::Kind { client: "cometd", transport: "long-polling", browser: false };

/// How often a limit turned somebody away.
async fn limited(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metrics().await.sum("ratatosk_limited_total", &[("limit", limit)]).unwrap_or_default()
}

async fn publish(gateway: &Gateway, headers: &[(&str, &str)]) -> Response {
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([("Connection", "close")]).collect();
    fetch(gateway.http, "POST", &format!("/publish{}", query(&[("channel", "a")])), &headers, b"1").await
}

/// What a client is told that is refused at CONNECT: the code of MQTT 5, and that of 3.1.1.
async fn connack(gateway: &Gateway, version: u8) -> Value {
    let endpoint = Endpoint::of(gateway).await;
    let mut client = Mqtt::launch(Client::Js, endpoint, json!({"version": version}));
    client.script.expect("failed").await["code"].clone()
}

#[tokio::test]
async fn a_full_gateway_says_so_in_each_protocols_words_and_has_room_again() {
    let gateway = Gateway::with("[limits]\nconnections = 2").await;
    let held = (gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "a")]).await);
    let answer = publish(&gateway, &[]).await;
    let problem = answer.assert_problem(503);
    assert_eq!(problem["type"], "urn:ratatosk:problem:busy");
    assert_eq!(answer.head.header("retry-after"), Some("5"));
    assert_eq!(connack(&gateway, 5).await, 0x89, "server busy");
    assert_eq!(connack(&gateway, 4).await, 3, "server unavailable");
    // A stream asked for by anybody but an EventSource.
    let target = "/sse?channel=a";
    fetch(gateway.http, "GET", target, &[("Connection", "close")], b"").await.assert_problem(503);
    // A page would be silenced for good by that: it is told to come back.
    let mut page = Script::node("eventsource.mjs", &json!({"url": gateway.url(target)}));
    page.expect("open").await;
    assert_eq!(page.expect("closed").await["state"], 0, "an EventSource that connects again by itself");
    // 4100: pusher-js comes back after a second.
    let mut pusher = Pusher::launch(Kind::Node, gateway.http, &json!({"userId": "u"}));
    assert_eq!(pusher.expect("fault").await["code"], 4100);
    // CometD's client is advised to shake hands again.
    let options = json!({"client": "cometd", "transport": "long-polling", "url": gateway.url("/bayeux")});
    let mut cometd = Script::node("bayeux.mjs", &options);
    let refused = cometd.expect("handshake").await;
    assert_eq!(refused["error"], "503:connections:handshake_denied", "{refused}");
    assert!(limited(&gateway, "connections").await >= 7.0);
    drop(held);
    pusher.expect("connected").await;
    pusher.finish().await;
    while cometd.expect("handshake").await["successful"] != true {}
    drop(cometd);
    // Of all streams that it opens by itself, the first that stays shows what is published.
    loop {
        let answer = publish(&gateway, &[]).await;
        assert!([200, 503].contains(&answer.head.status));
        if !page.all("message").is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let gateway = Gateway::with("[limits]\nconnections_per_address = 2").await;
    let held = [gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "a")]).await];
    let answer = publish(&gateway, &[]).await;
    assert_eq!(answer.assert_problem(429)["type"], "urn:ratatosk:problem:limit");
    assert_eq!(connack(&gateway, 5).await, 0x97, "quota exceeded");
    assert_eq!(connack(&gateway, 4).await, 3);
    assert!(limited(&gateway, "address_connections").await > 2.5);
    // Operators come in by another door.
    assert_eq!(gateway.admin("/healthz").await.head.status, 200);
    drop(held);
    gateway.metric("ratatosk_connections", &[("connector", "sse")], |open| open < 0.5).await;
    assert_eq!(publish(&gateway, &[]).await.head.status, 200);
}

#[tokio::test]
async fn a_flood_of_connections_from_one_address_is_slowed_down() {
    let gateway = Gateway::with("[limits]\nconnection_rate_per_address = 20").await;
    let mut refused = 0;
    for _ in 0..60 {
        let answer = publish(&gateway, &[]).await;
        if answer.head.status == 429 {
            refused += 1;
            assert_eq!(answer.head.header("retry-after"), Some("1"));
        }
    }
    assert!((1..60).contains(&refused), "{refused}");
    assert!(limited(&gateway, "address_rate").await > 0.5);
    // MQTT has a word for it.
    let port = gateway.mqtt().await.port();
    let told = async || {
        let output = try_publish(port, "a", "1", &["-V", "mqttv5"]).await;
        String::from_utf8_lossy(&output.stderr).contains("Connection rate exceeded")
    };
    while !told().await {}
}

const USERS: &str = r##"
[auth]
anonymous = "allow"
[[auth.users]]
name = "ann"
password = "plain:squirrel"
[[auth.users]]
name = "joe"
password = "plain:beaver"
"##;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn a_user_has_so_many_connections_over_all_protocols() {
    let gateway = Gateway::setup().config(USERS).config("[limits]\nconnections_per_user = 2").start().await;
    let endpoint = Endpoint::of(&gateway).await;
    let login = json!({"username": "ann", "password": "squirrel"});
    let first = Mqtt::connect(Client::Paho, endpoint, login.clone()).await;
    let ann = basic("ann", "squirrel");
    let stream = SseStream::open(gateway.http, "/sse?channel=a", &[("Authorization", &ann)]).await;
    let mut third = Mqtt::launch(Client::Paho, endpoint, login.clone());
    assert_eq!(third.script.expect("connected").await["code"], 0x97);
    let answer = fetch(gateway.http, "GET", "/sse?channel=a", &[("Authorization", &ann)], b"").await;
    assert_eq!(answer.assert_problem(429)["detail"], "too many connections of this user");
    let handshake = json!({"ext": {"authentication": {"user": "ann", "password": "squirrel"}}});
    let options = json!({
        "client": "cometd", "transport": "long-polling", "url": gateway.url("/bayeux"), "handshake": handshake
    });
    let mut cometd = Script::node("bayeux.mjs", &options);
    assert_eq!(cometd.expect("handshake").await["error"], "429:user_connections:handshake_denied");
    drop(cometd);
    // A signed-in user of an application is a user, too.
    let mut pusher = Pusher::connect_with(Kind::Node, gateway.http, json!({"userId": "ann"})).await;
    pusher.script.send(&json!({"do": "signin"})).await;
    assert_eq!(pusher.script.expect("fault").await["code"], 4100);
    drop(pusher);
    // Others are not concerned, nor is who comes without a name.
    let joe = basic("joe", "beaver");
    SseStream::open(gateway.http, "/sse?channel=a", &[("Authorization", &joe)]).await;
    SseStream::open(gateway.http, "/sse?channel=a", &[]).await;
    assert!(limited(&gateway, "user_connections").await > 3.5);
    drop(stream);
    gateway.metric("ratatosk_connections", &[("connector", "sse")], |open| open < 0.5).await;
    Mqtt::connect(Client::Paho, endpoint, login).await.disconnect().await;
    first.disconnect().await;
}

#[tokio::test]
async fn mqtt_publishers_are_held_to_their_rate() {
    let gateway = Gateway::with("[limits]\npublish_rate = 10").await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut stream = gateway.sse(&[("channel", "q/#")]).await;
    // MQTT 5 can be told.
    let mut client = Mqtt::connect(Client::Paho, endpoint, json!({"version": 5})).await;
    let mut told = Vec::new();
    for n in 0..30 {
        let published = client.publish_with("q/five", n.to_string(), json!({"qos": 1})).await;
        told.push(published["code"].as_i64().unwrap_or_default());
    }
    let refused = told.iter().filter(|code| **code == 0x97).count();
    assert!(refused > 0 && refused <= 20, "{told:?}");
    assert!(told.iter().take(10).all(|code| *code == 0));
    for _ in 0..told.len() - refused {
        assert_eq!(stream.message().await.channel(), "q/five");
    }
    // Before that, what must not be lost is taken at the rate: nothing is missing, and nothing is repeated.
    let mut old = Mqtt::connect(Client::Paho, endpoint, json!({"version": 4})).await;
    old.script.send(&json!({"do": "burst", "topic": "q/four", "from": 0, "to": 25, "qos": 1})).await;
    let begun = std::time::Instant::now();
    for n in 0..25 {
        assert_eq!(stream.message().await.data(), n);
    }
    assert!(begun.elapsed() > std::time::Duration::from_millis(1000), "25 at 10 a second, 10 of them at once");
    // What may be lost is dropped, and counted.
    let dropped = [("connector", "mqtt"), ("reason", "rate_limited")];
    let before = gateway.metrics().await.sum("ratatosk_messages_dropped_total", &dropped).unwrap_or_default();
    let mut plain = Mqtt::connect(Client::Paho, endpoint, json!({"version": 4})).await;
    plain.script.send(&json!({"do": "burst", "topic": "q/zero", "from": 0, "to": 50, "qos": 0})).await;
    gateway.metric("ratatosk_messages_dropped_total", &dropped, |count| count >= before + 30.0).await;
    assert!(limited(&gateway, "publish_rate").await > 40.0);
}

#[tokio::test]
async fn publishers_of_the_other_protocols_are_held_to_theirs() {
    let gateway = Gateway::with("[limits]\npublish_rate = 5").await;
    let answers: Vec<Response> = {
        let mut answers = Vec::new();
        for _ in 0..15 {
            answers.push(publish(&gateway, &[]).await);
        }
        answers
    };
    assert!(answers.iter().take(5).all(|answer| answer.head.status == 200));
    let refused = answers.iter().find(|answer| answer.head.status != 200).expect("one is refused");
    refused.assert_problem(429);
    assert_eq!(refused.head.header("retry-after"), Some("1"));
    let mut bayeux = Bayeux::connect(BY_POLL, &gateway.url("/bayeux")).await;
    let mut replies = Vec::new();
    for n in 0..15 {
        replies.push(bayeux.publish("/b", json!(n)).await);
    }
    assert!(replies.iter().any(|reply| reply["error"] == "429:publish_rate:publish_denied"), "{replies:?}");
    bayeux.disconnect().await;
    let mut pusher = Pusher::connect(Kind::Node, &gateway, "u").await;
    pusher.subscribe("private-p").await;
    for n in 0..9 {
        pusher.trigger("private-p", "client-x", json!(n)).await;
    }
    assert_eq!(pusher.script.expect("fault").await["code"], 4301);
}

#[tokio::test]
async fn a_users_rate_is_shared_by_its_sessions() {
    let gateway = Gateway::setup().config(USERS).config("[limits]\npublish_rate_per_user = 10").start().await;
    let endpoint = Endpoint::of(&gateway).await;
    let login = |user: &str, password: &str| json!({"version": 5, "username": user, "password": password});
    let mut one = Mqtt::connect(Client::Paho, endpoint, login("ann", "squirrel")).await;
    let mut two = Mqtt::connect(Client::Paho, endpoint, login("ann", "squirrel")).await;
    let mut other = Mqtt::connect(Client::Paho, endpoint, login("joe", "beaver")).await;
    let mut refused = 0;
    for n in 0..30 {
        let client = if n % 2 == 0 { &mut one } else { &mut two };
        refused += i32::from(client.publish_with("r", "x", json!({"qos": 1})).await["code"] == 0x97);
    }
    assert!(refused > 0, "ten for both together");
    assert_ne!(other.publish_with("r", "x", json!({"qos": 1})).await["code"], 0x97);
}

#[tokio::test]
async fn limits_change_with_a_reload() {
    let gateway = Gateway::start().await;
    let held = [gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "a")]).await];
    assert_eq!(publish(&gateway, &[]).await.head.status, 200);
    assert!(gateway.reload("[limits]\nconnections_per_address = 1").await);
    let _counted = gateway.sse(&[("channel", "a")]).await;
    publish(&gateway, &[]).await.assert_problem(429);
    drop(held);
}

#[tokio::test]
async fn queues_of_all_together_are_bounded() {
    let config = "[limits]\nqueue_bytes = \"8 MiB\"\n[sse.outbox]\nmessages = 100000\nbytes = \"1 GiB\"";
    let gateway = Gateway::with(config).await;
    let mut reading = gateway.sse(&[("channel", "flood")]).await;
    let _stuck = [gateway.sse(&[("channel", "flood")]).await, gateway.sse(&[("channel", "flood")]).await];
    let padding = "x".repeat(64 * 1024);
    // Until those that do not read are let go: what the kernel holds for them is not ours to bound.
    let relieved =
        async || gateway.metrics().await.sum("ratatosk_relieved_sessions_total", &[]).unwrap_or_default() >= 2.0;
    let mut sent = 0;
    while !relieved().await {
        gateway.publish_all("flood", (0..16).map(|_| padding.clone())).await;
        for _ in 0..16 {
            reading.message().await;
        }
        sent += 16;
        assert!(sent < 4000, "nobody is relieved");
    }
    gateway.metric("ratatosk_connections", &[("connector", "sse")], |open| open < 1.5).await;
    gateway.metric("ratatosk_queue_bytes", &[], |bytes| bytes < 8.0 * 1024.0 * 1024.0).await;
    gateway.publish("flood", "on").await;
    assert_eq!(reading.message().await.payload(), b"on");
}

#[tokio::test]
async fn wrong_limits_are_named() {
    let subscriber = ratatosk_tests::command::Ran::start(&["check", "--set", "limits.memory=1 MiB"]).ends_with(2).await;
    assert!(subscriber.stderr().contains("limits.memory"), "{}", subscriber.stderr());
    let zero = ratatosk_tests::command::Ran::start(&["check", "--set", "limits.publish_rate=0"]).ends_with(2).await;
    assert!(zero.stderr().contains("limits.publish_rate"), "{}", zero.stderr());
}

#[tokio::test]
async fn a_fast_channel_carries_so_many_messages_a_second_to_every_protocol() {
    let gateway = Gateway::with("[[channels]]\nmatch = \"fast/#\"\nmax_rate = 2").await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut stream = gateway.sse(&[("channel", "fast/a")]).await;
    let mut device = Mqtt::connect(Client::Js, endpoint, json!({})).await;
    device.subscribe("fast/#", 1).await;
    let begun = std::time::Instant::now();
    gateway.publish_all("fast/a", (0..200).map(|n| n.to_string())).await;
    let burst = begun.elapsed();
    // The first goes at once and the last is never lost; what is between them is the latest of its time.
    let (mut seen, mut heard) = (Vec::new(), Vec::new());
    while seen.last() != Some(&199) {
        seen.push(stream.message().await.data().as_u64().expect("a number"));
    }
    while heard.last() != Some(&199) {
        heard.push(device.message().await.number());
    }
    assert_eq!(seen, heard, "each protocol sees the same");
    assert_eq!(seen.first(), Some(&0));
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    let most = 2 + usize::try_from(burst.as_secs()).expect("seconds") * 2 + 2;
    assert!(seen.len() <= most, "{} in {burst:?}", seen.len());
    let dropped = gateway.metrics().await.sum("ratatosk_messages_dropped_total", &[("reason", "conflated")]);
    assert_eq!(dropped, Some((200 - seen.len()) as f64));
    // What is kept is what was seen, and others are not concerned.
    let mut again = gateway.sse(&[("channel", "fast/a"), ("lastEventID", "earliest")]).await;
    assert_eq!(again.message().await.data(), &json!(0));
    let mut plain = gateway.sse(&[("channel", "slow")]).await;
    gateway.publish_all("slow", (0..50).map(|n| n.to_string())).await;
    for n in 0..50 {
        assert_eq!(plain.message().await.data(), n);
    }
}
