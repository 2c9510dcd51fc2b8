//! The publish authorizer: a real HTTP server is asked about each publication, by whatever protocol it comes, and allows, denies or
//! changes it. A server that is slow, down or answers nonsense lets nothing through.

use ratatosk_tests::{
    Gateway,
    bayeux::{self, Bayeux},
    command::Ran,
    hook::Receiver,
    http,
    mqtt::{Client, Endpoint, Mqtt},
    pusher::{Kind, Pusher},
};
use serde_json::{Value, json};

async fn gateway(receiver: &Receiver, more: &str) -> Gateway {
    Gateway::with(&format!(
        "[auth]\nanonymous = \"allow\"\n[auth.publish]\nurl = \"{}\"\ncache = \"0s\"\ntimeout = \"2s\"\n{more}\n\
         [[pusher.apps]]\nid = \"demo\"\nkey = \"demo-key\"\nsecret = \"demo-secret\"\nclient_events = true\n",
        receiver.url()
    ))
    .await
}

async fn post(gateway: &Gateway, channel: &str, payload: &str) -> http::Response {
    let target = format!("/publish{}", http::query(&[("channel", channel)]));
    http::fetch(gateway.http, "POST", &target, &[], payload.as_bytes()).await
}

fn yes() -> String {
    json!({"allow": true}).to_string()
}

fn no() -> String {
    json!({"allow": false, "reason": "not polite"}).to_string()
}

#[tokio::test]
async fn it_allows_denies_and_changes_what_comes_by_http() {
    let mut receiver = Receiver::start().await;
    let gateway = gateway(&receiver, "on = [\"chat/#\"]").await;
    let mut stream = gateway.sse(&[("channel", "#")]).await;
    receiver.will_say(200, yes()).await;
    assert_eq!(post(&gateway, "chat/a", r#"{"text":"hello"}"#).await.head.status, 200);
    let asked = receiver.next().await.json();
    for (key, value) in
        [("connector", json!("http")), ("channel", json!("chat/a")), ("payload", json!({"text": "hello"}))]
    {
        assert_eq!(asked[key], value, "{asked}");
    }
    assert_eq!(stream.message().await.data(), &json!({"text": "hello"}));
    receiver.will_say(200, no()).await;
    let refused = post(&gateway, "chat/a", "x").await;
    assert!(refused.assert_problem(403).to_string().contains("not polite"));
    receiver.will_say(200, json!({"allow": true, "channel": "held/a", "payload": {"text": "***"}}).to_string()).await;
    assert_eq!(post(&gateway, "chat/a", "x").await.head.status, 200);
    let changed = stream.message().await;
    assert_eq!((changed.channel(), changed.data()), ("held/a", &json!({"text": "***"})));
    for _ in 0..2 {
        receiver.next().await;
    }
    assert_eq!(post(&gateway, "elsewhere", "x").await.head.status, 200);
    assert_eq!(stream.message().await.channel(), "elsewhere");
    assert!(receiver.came().is_none(), "nobody is asked about other channels");
}

#[tokio::test]
async fn what_is_no_clear_yes_is_a_no() {
    let mut receiver = Receiver::start().await;
    let gateway = gateway(&receiver, "").await;
    let mut stream = gateway.sse(&[("channel", "#")]).await;
    for (status, body) in [(500, yes()), (200, "nonsense".to_owned()), (200, "{}".to_owned()), (204, String::new())] {
        receiver.will_say(status, body).await;
        post(&gateway, "a", "x").await.assert_problem(503);
        receiver.next().await;
    }
    receiver.will_be_silent().await;
    post(&gateway, "a", "slow").await.assert_problem(503);
    let down = Gateway::with("[auth]\nanonymous = \"allow\"\n[auth.publish]\nurl = \"http://127.0.0.1:1/\"\n").await;
    post(&down, "a", "down").await.assert_problem(503);
    receiver.will_say(200, yes()).await;
    assert_eq!(post(&gateway, "a", "at last").await.head.status, 200);
    assert_eq!(stream.message().await.payload(), b"at last", "nothing of the rest came through");
    gateway
        .metric("ratatosk_messages_dropped_total", &[("connector", "http"), ("reason", "denied")], |n| n > 4.5)
        .await;
}

#[tokio::test]
async fn the_same_question_is_remembered() {
    let mut receiver = Receiver::start().await;
    let gateway = Gateway::with(&format!(
        "[auth]\nanonymous = \"allow\"\n[auth.publish]\nurl = \"{}\"\ncache = \"1h\"\npayload = false\n",
        receiver.url()
    ))
    .await;
    receiver.will_say(200, yes()).await;
    for n in 0..5 {
        assert_eq!(post(&gateway, "a", &n.to_string()).await.head.status, 200);
    }
    let asked = receiver.next().await.json();
    assert_eq!(asked.get("payload"), None);
    assert!(receiver.came().is_none());
}

/// Order is kept, QoS 0 too, and a denial has MQTT's own words.
#[tokio::test]
async fn mqtt_publications_wait_for_it_in_order() {
    let receiver = Receiver::start().await;
    let gateway = gateway(&receiver, "").await;
    let mut stream = gateway.sse(&[("channel", "#")]).await;
    let mut client = Mqtt::connect(Client::Paho, Endpoint::of(&gateway).await, json!({"version": 5})).await;
    for (n, answer) in
        [(0, yes()), (1, no()), (2, yes()), (3, json!({"allow": true, "payload": "changed"}).to_string())]
    {
        receiver.will_say(200, answer).await;
        let qos = u8::try_from(n % 3).expect("small");
        let told = client.publish_with("m/x", format!("message {n}"), json!({"qos": qos})).await;
        assert_eq!(told["code"] == 0x87, n == 1, "{told}");
    }
    for payload in ["message 0", "message 2", "changed"] {
        assert_eq!(String::from_utf8(stream.message().await.payload()).expect("text"), payload);
    }
}

#[tokio::test]
async fn bayeux_publications_are_judged_one_by_one() {
    let receiver = Receiver::start().await;
    let gateway = gateway(&receiver, "").await;
    let mut stream = gateway.sse(&[("channel", "chat/#")]).await;
    for kind in bayeux::NODE {
        let mut client = Bayeux::connect(kind, &gateway.url("/bayeux")).await;
        receiver.will_say(200, yes()).await;
        let told = client.publish("/chat/a", json!({"n": 1})).await;
        assert_eq!(told["successful"], true, "{kind:?}: {told}");
        receiver.will_say(200, no()).await;
        let told = client.publish("/chat/a", json!({"n": 2})).await;
        assert_eq!(told["successful"], false, "{kind:?}: {told}");
        assert!(told["error"].as_str().is_some_and(|error| error.ends_with("publish_denied")), "{kind:?}: {told}");
        receiver.will_say(200, json!({"allow": true, "payload": {"n": 3, "by": "us"}}).to_string()).await;
        client.publish("/chat/a", json!({"n": 3})).await;
        for data in [json!({"n": 1}), json!({"n": 3, "by": "us"})] {
            assert_eq!(stream.message().await.data(), &data, "{kind:?}");
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn pusher_client_events_are_judged() {
    let receiver = Receiver::start().await;
    let gateway = gateway(&receiver, "").await;
    let mut stream = gateway.sse(&[("channel", "private-chat")]).await;
    let mut client = Pusher::connect(Kind::Node, &gateway, "joe").await;
    client.subscribe("private-chat").await;
    for (answer, data) in [(yes(), "1"), (no(), "2"), (json!({"allow": true, "payload": "changed"}).to_string(), "3")] {
        receiver.will_say(200, answer).await;
        client.trigger("private-chat", "client-say", json!({"n": data})).await;
        if data == "2" {
            let fault: Value = client.script.expect("fault").await;
            assert_eq!(fault["code"], 4301);
            assert!(fault.to_string().contains("not polite"), "{fault}");
        }
    }
    assert_eq!(stream.message().await.data(), &json!({"n": "1"}));
    assert_eq!(stream.message().await.payload(), b"changed");
}

#[tokio::test]
async fn check_refuses_to_ask_over_an_open_line() {
    let address = "auth.publish.url=http://moderation.example.org/";
    let said = Ran::start(&["check", "--set", address]).ends_with(2).await.stderr();
    assert!(said.contains("auth.publish.url") && said.contains("https://"), "{said}");
}
