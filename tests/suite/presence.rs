//! One roster per channel over all connectors: who joined by one protocol is seen by the clients of all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::pusher::{Kind, Pusher, Sdk};
use ratatosk_tests::{Gateway, SseStream, mosquitto};
use serde_json::{Value, json};

const ROSTERS: &str = r##"
[[channels]]
match = "fleet/#"
presence = true

[[pusher.mounts]]
channel = "fleet/#"
as = "presence-fleet.*"
"##;

/// The same mount, and no rosters.
const MOUNT: &str = r##"
[[pusher.mounts]]
channel = "fleet/#"
as = "presence-fleet.*"
"##;

/// Users, so that clients of every protocol have names.
const PEOPLE: &str = r##"
[bayeux]
max_interval = "300ms"

[[auth.users]]
name = "anna"
password = "plain:a"

[[auth.users]]
name = "ben"
password = "plain:b"

[[auth.rules]]
may = ["publish", "subscribe", "presence"]
on = ["#"]
"##;

fn users(members: &Value) -> Vec<&str> {
    let mut users: Vec<&str> = members.as_object().expect("members").keys().map(String::as_str).collect();
    users.sort_unstable();
    users
}

#[tokio::test]
async fn a_devices_will_is_a_leave_in_the_roster_that_pusher_js_shows() {
    let gateway = Gateway::with(ROSTERS).await;
    let endpoint = Endpoint::of(&gateway).await;
    let will = json!({"clientId": "device-7", "will": {"topic": "fleet/1", "payload": "gone", "qos": 1}});
    let mut device = Mqtt::connect(Client::Paho, endpoint, will).await;
    device.subscribe("fleet/1", 1).await;

    // Who was there before is in the answer, who comes after is told.
    let mut anna = Pusher::connect(Kind::Node, &gateway, "anna").await;
    let subscribed = anna.subscribe("presence-fleet.1").await;
    assert_eq!(users(&subscribed["members"]), ["anna", "device-7"], "{subscribed}");
    let mut second = Mqtt::connect(Client::Js, Endpoint::of(&gateway).await, json!({"clientId": "device-8"})).await;
    second.subscribe("fleet/1", 0).await;
    let added = anna.script.expect("event").await;
    assert_eq!((&added["name"], &added["data"]["id"]), (&json!("pusher:member_added"), &json!("device-8")), "{added}");
    let mut sdk = Sdk::npm(&gateway).await;
    let all = sdk.ok(json!({"do": "get", "path": "/channels/presence-fleet.1/users"})).await;
    assert_eq!(all["users"], json!([{"id": "anna"}, {"id": "device-7"}, {"id": "device-8"}]));

    device.die().await;
    let (mut left, mut will) = (false, false);
    while !(left && will) {
        let event = anna.script.expect("event").await;
        match event["name"].as_str() {
            Some("pusher:member_removed") => {
                assert_eq!(event["data"]["id"], "device-7");
                left = true;
            }
            Some("message") => {
                assert_eq!(event["data"], "gone");
                will = true;
            }
            other => panic!("{other:?}"),
        }
    }
    second.disconnect().await;
    let gone = anna.script.expect("event").await;
    assert_eq!((&gone["name"], &gone["data"]["id"]), (&json!("pusher:member_removed"), &json!("device-8")));
}

#[tokio::test]
async fn the_roster_is_a_message_for_every_protocol_and_kept() {
    let gateway = Gateway::with(ROSTERS).await;
    let mqtt = gateway.mqtt().await;
    let mut stream = gateway.sse(&[("channel", "$presence/fleet/2")]).await;
    let mut page = Bayeux::connect(NODE[1], &gateway.url("/bayeux")).await;
    page.subscribe("/$presence/fleet/*").await;
    let mut onlooker = mosquitto::Subscriber::start(mqtt.port(), "$presence/fleet/+", &[]).await;
    // A persistent session whose connection comes and goes: it is there only while it is connected.
    let session = json!({"clientId": "truck", "clean": false, "version": 4});
    // (paho, because MQTT.js would be back before anybody is told.)
    let mut truck = Mqtt::connect(Client::Paho, Endpoint::of(&gateway).await, session.clone()).await;
    truck.subscribe("fleet/2", 1).await;
    let came = stream.message().await;
    assert_eq!(came.channel(), "$presence/fleet/2");
    let check = |roster: &Value| {
        assert_eq!((&roster["count"], &roster["joined"]), (&json!(1), &json!(["truck"])), "{roster}");
        assert_eq!(roster["users"][0]["connectors"], json!(["mqtt"]), "{roster}");
    };
    check(came.data());
    let (channel, roster) = page.message().await;
    assert_eq!(channel, "/$presence/fleet/2");
    check(&roster);
    check(&serde_json::from_slice(&onlooker.next().await.payload).expect("JSON"));
    // Newcomers are shown the roster, because it is retained.
    let mut late = gateway.sse(&[("channel", "$presence/#")]).await;
    let kept = late.event().await.json();
    assert_eq!((&kept["channel"], &kept["retained"]), (&json!("$presence/fleet/2"), &json!(true)));
    check(&kept["data"]);

    truck.disconnect().await;
    let left = stream.message().await;
    assert_eq!((&left.data()["count"], &left.data()["left"]), (&json!(0), &json!(["truck"])));
    let mut truck = Mqtt::connect(Client::Paho, Endpoint::of(&gateway).await, session).await;
    assert_eq!(stream.message().await.data()["joined"], json!(["truck"]), "its subscription was kept");
    truck.die().await;
    assert_eq!(stream.message().await.data()["left"], json!(["truck"]));
}

#[tokio::test]
async fn a_user_of_two_protocols_is_there_once_and_nobody_forges_a_roster() {
    let gateway = Gateway::with(ROSTERS).await;
    let mut stream = gateway.sse(&[("channel", "$presence/fleet/3")]).await;
    let mut page = Pusher::connect(Kind::Node, &gateway, "kim").await;
    page.subscribe("presence-fleet.3").await;
    let first = stream.message().await.data().clone();
    assert_eq!(first["users"][0]["connectors"], json!(["pusher"]), "{first}");
    let endpoint = Endpoint::of(&gateway).await;
    let mut phone = Mqtt::connect(Client::Js, endpoint, json!({"clientId": "kim"})).await;
    phone.subscribe("fleet/3", 0).await;
    // One who joins after both, to tell that nothing was told of the second.
    let mut other = Mqtt::connect(Client::Js, Endpoint::of(&gateway).await, json!({"clientId": "lee"})).await;
    other.subscribe("fleet/3", 0).await;
    let both = stream.message().await.data().clone();
    assert_eq!((&both["count"], &both["joined"]), (&json!(2), &json!(["lee"])), "{both}");
    assert_eq!(both["users"][0]["connectors"], json!(["mqtt", "pusher"]), "{both}");
    drop(page);
    phone.disconnect().await;
    let rest = stream.message().await.data().clone();
    assert_eq!((&rest["count"], &rest["left"]), (&json!(1), &json!(["kim"])), "{rest}");

    let forged = gateway.get("/publish?channel=$presence/fleet/3").await.head.status;
    assert!(forged >= 400);
    let refused =
        mosquitto::try_publish(gateway.mqtt().await.port(), "$presence/fleet/3", "{}", &["-V", "5", "-q", "1"]).await;
    let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(told.contains("not authorized"), "{refused:?}");
}

async fn roster(stream: &mut SseStream, joined: &[&str], left: &[&str], connectors: &[&str]) {
    let news = stream.message().await.data().clone();
    assert_eq!((&news["joined"], &news["left"]), (&json!(joined), &json!(left)), "{news}");
    let by: Vec<&Value> = news["users"]
        .as_array()
        .expect("users")
        .iter()
        .flat_map(|user| user["connectors"].as_array().expect("a list"))
        .collect();
    assert_eq!(by, connectors, "{news}");
}

/// Joins and leaves of each protocol: a stream that is opened and cut, a poller that falls silent.
#[tokio::test]
async fn a_cut_stream_and_a_silent_poller_leave() {
    let gateway = Gateway::setup().config(ROSTERS).config(PEOPLE).start().await;
    let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let (anna, ben) = (basic("anna", "a"), basic("ben", "b"));
    let mut news = gateway.sse_with(&[("channel", "$presence/fleet/5")], &[("Authorization", &anna)]).await;
    let fleet = [("channel", "fleet/5")];
    let stream = gateway.sse_with(&fleet, &[("Authorization", &anna)]).await;
    roster(&mut news, &["anna"], &[], &["sse"]).await;
    let handshake = json!({"handshake": {"ext": {"authentication": {"user": "ben", "password": "b"}}}, "timeout": 200});
    let mut poller = Bayeux::connect_with(NODE[0], &gateway.url("/bayeux"), handshake).await;
    poller.subscribe("/fleet/5").await;
    roster(&mut news, &["ben"], &[], &["sse", "bayeux"]).await;
    // A second place of the same user, which tells nothing; and an onlooker by a wildcard, who is not there.
    let second = gateway.sse_with(&fleet, &[("Authorization", &ben)]).await;
    let _onlooker = gateway.sse_with(&[("channel", "fleet/+")], &[("Authorization", &ben)]).await;
    drop(stream);
    roster(&mut news, &[], &["anna"], &["bayeux", "sse"]).await;
    poller.script.process.kill().await;
    gateway.metric("ratatosk_sessions", &[("connector", "bayeux")], |sessions| sessions < 0.5).await;
    drop(second);
    roster(&mut news, &[], &["ben"], &[]).await;
}

#[tokio::test]
async fn rosters_follow_a_rule_that_changes_while_clients_are_there() {
    let gateway = Gateway::with(MOUNT).await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut device = Mqtt::connect(Client::Paho, endpoint, json!({"clientId": "device-7"})).await;
    device.subscribe("fleet/9", 1).await;
    let mut news = gateway.sse(&[("channel", "$presence/#")]).await;
    let seen = async || gateway.admin("/api/channel?name=fleet/9").await.json()["presence"].clone();
    let nobody = seen().await;
    assert_eq!(nobody, json!([]));

    assert!(gateway.reload(ROSTERS).await);
    roster(&mut news, &["device-7"], &[], &["mqtt"]).await;
    let one = seen().await;
    assert_eq!((&one[0]["user"], &one[0]["connectors"]), (&json!("device-7"), &json!(["mqtt"])), "{one}");
    assert_eq!(gateway.admin("/api/presence").await.json()["channels"], json!([{"channel": "fleet/9", "users": 1}]));
    let mut page = Pusher::connect(Kind::Node, &gateway, "anna").await;
    let members = page.subscribe("presence-fleet.9").await;
    assert_eq!(users(&members["members"]), ["anna", "device-7"]);
    roster(&mut news, &["anna"], &[], &["pusher", "mqtt"]).await;

    // Without the rule the device is there no more; who joined by Pusher's own presence stays. What was kept is cleared.
    assert!(gateway.reload(MOUNT).await);
    let gone = page.event_named("pusher:member_removed").await;
    assert_eq!(gone["data"]["id"], "device-7");
    let cleared = news.message().await;
    assert_eq!((cleared.channel(), cleared.payload()), ("$presence/fleet/9", Vec::new()));
    let mut late = gateway.sse(&[("channel", "$presence/#"), ("channel", "mark")]).await;
    gateway.publish("mark", "1").await;
    assert_eq!(late.message().await.channel(), "mark", "nothing is kept of the roster");
}
