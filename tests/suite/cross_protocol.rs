//! The reason to exist: what enters by one door leaves by every other. Each protocol publishes every kind of payload with a stock
//! client, and every protocol's stock client receives it in its own way (CONTRACT 5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::pusher::{Kind, Pusher, Sdk};
use ratatosk_tests::{Gateway, SseStream, mosquitto};
use serde_json::{Value, json};

/// One payload, as each protocol has it.
struct Payload {
    name: &'static str,
    /// What MQTT and HTTP publish and MQTT receives.
    bytes: Vec<u8>,
    /// What JSON clients (Bayeux, Pusher) publish and receive.
    value: Value,
    /// Whether the bytes are JSON, to be compared by meaning.
    json: bool,
    /// Pusher takes 10 KB.
    large: bool,
}

fn payloads() -> Vec<Payload> {
    let object = json!({"n": 1, "text": "z\u{fc}rich \u{1f40d} \u{2028}", "list": [1.5, null, true, {}]});
    let text = "no {json}, two\r\nlines, a \u{1f40d}";
    let binary = vec![0, 255, 1, 254, b'\n', 0x80];
    let large = "x".repeat(512 * 1024);
    let of = |name, bytes: &[u8], value, json, large| Payload { name, bytes: bytes.to_vec(), value, json, large };
    vec![
        of("JSON object", object.to_string().as_bytes(), object.clone(), true, false),
        of("JSON number", b"21.5", json!(21.5), true, false),
        of("text", text.as_bytes(), json!(text), false, false),
        of("binary", &binary, json!({"$b64": STANDARD.encode(&binary)}), false, false),
        of("empty", b"", json!(""), false, false),
        of("512 KiB", large.as_bytes(), json!(large), false, true),
    ]
}

const NAMES: [&str; 4] = ["MQTT", "HTTP/SSE", "Pusher", "Bayeux"];

struct Doors {
    gateway: Gateway,
    mqtt_port: u16,
    sdk: Sdk,
    mqtt: Mqtt,
    sse: SseStream,
    pusher: Pusher,
    bayeux: Bayeux,
    publisher: Bayeux,
}

impl Doors {
    /// Opens every door on one channel, whose name in each protocol is that of CONTRACT 4's table.
    async fn open(gateway: Gateway, canonical: &str, bayeux_name: &str, pusher_name: &str) -> Self {
        let endpoint = Endpoint::of(&gateway).await;
        let mut mqtt = Mqtt::connect(Client::Js, endpoint, json!({})).await;
        mqtt.subscribe(canonical, 1).await;
        let sse = gateway.sse(&[("channel", canonical)]).await;
        let mut pusher = Pusher::connect(Kind::Node, &gateway, "7").await;
        pusher.subscribe(pusher_name).await;
        let url = gateway.url("/bayeux");
        let mut bayeux = Bayeux::connect(NODE[1], &url).await;
        bayeux.subscribe(bayeux_name).await;
        let publisher = Bayeux::connect(NODE[2], &url).await;
        let sdk = Sdk::npm(&gateway).await;
        Self { mqtt_port: endpoint.tcp.port(), gateway, sdk, mqtt, sse, pusher, bayeux, publisher }
    }

    async fn publish(&mut self, door: &str, names: [&str; 3], payload: &Payload) {
        let [canonical, bayeux, pusher] = names;
        match door {
            "MQTT" => mosquitto::publish(self.mqtt_port, canonical, &payload.bytes, &["-q", "1"]).await,
            "HTTP/SSE" => drop(self.gateway.publish(canonical, &payload.bytes).await),
            "Pusher" => self.sdk.trigger(pusher, "message", payload.value.clone()).await,
            "Bayeux" => {
                let reply = self.publisher.publish(bayeux, payload.value.clone()).await;
                assert_eq!(reply["successful"], true, "{reply}");
            }
            other => panic!("no door {other}"),
        }
    }

    /// Takes the next message from every door and holds it to what this payload must be there.
    async fn receive(&mut self, door: &str, names: [&str; 3], payload: &Payload) {
        let [canonical, bayeux_name, pusher_name] = names;
        let Payload { name, bytes, value, json, .. } = payload;

        let seen = self.mqtt.message().await;
        assert_eq!(seen.topic(), canonical, "{door} to MQTT");
        let got = seen.payload();
        let same =
            if *json { serde_json::from_slice::<Value>(&got).ok().as_ref() == Some(value) } else { got == *bytes };
        assert!(same, "{name} from {door} to MQTT: {:?}", String::from_utf8_lossy(&got[..got.len().min(200)]));

        let envelope = self.sse.message().await;
        assert_eq!(envelope.channel(), canonical, "{door} to SSE");
        let same = if *json { envelope.data() == value } else { envelope.payload() == *bytes };
        assert!(same, "{name} from {door} to SSE");

        let event = self.pusher.event().await;
        assert_eq!((&event["name"], &event["channel"]), (&json!("message"), &json!(pusher_name)), "{door} to Pusher");
        assert!(event["data"] == *value, "{name} from {door} to Pusher: {}", preview(&event["data"]));

        let (channel, data) = self.bayeux.message().await;
        assert_eq!(channel, bayeux_name, "{door} to Bayeux");
        assert!(data == *value, "{name} from {door} to Bayeux: {}", preview(&data));
    }
}

fn preview(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

#[tokio::test]
async fn every_payload_goes_from_every_door_to_every_other() {
    every_payload_from_every_door(Gateway::start().await).await;
}

/// There, one thread does all.
#[tokio::test]
async fn so_it_does_where_there_is_one_core() {
    let mut gateway = every_payload_from_every_door(Gateway::setup().one_core().start().await).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
}

async fn every_payload_from_every_door(gateway: Gateway) -> Gateway {
    let names = ["matrix/room 1", "/matrix/room~201", "matrix.room=201"];
    let mut doors = Doors::open(gateway, names[0], names[1], names[2]).await;
    let mut table = String::from("payload        from        to\n");
    for payload in payloads() {
        for door in NAMES {
            if payload.large && door == "Pusher" {
                continue;
            }
            doors.publish(door, names, &payload).await;
            doors.receive(door, names, &payload).await;
            table.push_str(&format!("{:<14} {door:<11} {}\n", payload.name, NAMES.join(", ")));
        }
    }
    println!("{table}");
    doors.gateway
}

#[tokio::test]
async fn names_are_those_of_the_contract() {
    for (canonical, bayeux, pusher) in [
        ("v1.2/data", "/v1.2/data", "v1=2E2.data"),
        ("/leading", "/~-/leading", ".leading"),
        ("a//b", "/a/~-/b", "a..b"),
        ("home/salon temp\u{e9}rature", "/home/salon~20temp~xE9~rature", "home.salon=20temp=xE9;rature"),
        ("device/00:11/rssi", "/device/00~3A11/rssi", "device.00=3A11.rssi"),
    ] {
        let names = [canonical, bayeux, pusher];
        let mut doors = Doors::open(Gateway::start().await, canonical, bayeux, pusher).await;
        let payload = payloads().remove(2);
        for door in NAMES {
            doors.publish(door, names, &payload).await;
            doors.receive(door, names, &payload).await;
        }
    }
}

#[tokio::test]
async fn a_mount_joins_a_shared_channel_to_a_private_one() {
    let gateway = Gateway::with("[[pusher.mounts]]\nchannel = \"sensors/#\"\nas = \"private-sensors.*\"").await;
    let port = gateway.mqtt().await.port();
    let mut page = Pusher::connect(Kind::Node, &gateway, "7").await;
    page.subscribe("private-sensors.kitchen.temp").await;
    let mut device = mosquitto::Subscriber::start(port, "sensors/#", &[]).await;
    mosquitto::publish(port, "sensors/kitchen/temp", r#"{"c":21.5}"#, &["-q", "1"]).await;
    let event = page.event().await;
    assert_eq!((&event["name"], &event["data"]), (&json!("message"), &json!({"c": 21.5})));
    assert_eq!(device.next().await.topic, "sensors/kitchen/temp");
    page.trigger("private-sensors.kitchen.temp", "client-set", json!({"c": 19})).await;
    let heard = device.next().await;
    assert_eq!(heard.topic, "sensors/kitchen/temp");
    assert_eq!(serde_json::from_slice::<Value>(&heard.payload).ok(), Some(json!({"c": 19})));
}

#[tokio::test]
async fn a_retained_value_meets_a_new_subscriber_of_every_protocol() {
    let gateway = Gateway::start().await;
    let endpoint = Endpoint::of(&gateway).await;
    mosquitto::publish(endpoint.tcp.port(), "cache-lamp", "on", &["-r", "-q", "1"]).await;
    let first = gateway.sse(&[("channel", "cache-lamp")]).await.message().await;
    assert_eq!((first.payload(), first.retained()), (b"on".to_vec(), true));
    let mut mqtt = Mqtt::connect(Client::Js, endpoint, json!({})).await;
    mqtt.subscribe("#", 0).await;
    let seen = mqtt.message().await;
    assert_eq!((seen.payload(), &seen.json["retain"]), (b"on".to_vec(), &json!(true)));
    let mut page = Pusher::connect(Kind::Node, &gateway, "7").await;
    page.subscribe("cache-lamp").await;
    assert_eq!(page.event_named("message").await["data"], "on");
    let mut bayeux = Bayeux::connect(NODE[1], &gateway.url("/bayeux")).await;
    bayeux.subscribe("/cache-lamp").await;
    assert_eq!(bayeux.message().await, ("/cache-lamp".to_owned(), json!("on")));
}
