//! One roster per channel over all connectors: who joined by one protocol is seen by the clients of all.

use ratatosk_tests::bayeux::{Bayeux, NODE};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::pusher::{Kind, Pusher, Sdk};
use ratatosk_tests::{Gateway, mosquitto};
use serde_json::{Value, json};

const ROSTERS: &str = r##"
[[channels]]
match = "fleet/#"
presence = true

[[pusher.mounts]]
channel = "fleet/#"
as = "presence-fleet.*"
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
