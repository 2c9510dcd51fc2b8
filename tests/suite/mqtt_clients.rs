//! MQTT behaviours, each shown by every stock client: paho (Python), MQTT.js in Node and in headless Chromium, over TCP and
//! WebSocket, with MQTT 3.1.1 and 5.0.

use ratatosk_tests::Gateway;
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt, Seen};
use serde_json::{Value, json};

/// Every client with both versions. The browser is slow to start, so that it shows each behaviour once only.
const EVERY: [(Client, u8); 9] = [
    (Client::Paho, 4),
    (Client::Paho, 5),
    (Client::PahoWebSocket, 4),
    (Client::PahoWebSocket, 5),
    (Client::Js, 4),
    (Client::Js, 5),
    (Client::JsWebSocket, 4),
    (Client::JsWebSocket, 5),
    (Client::Browser, 5),
];

async fn serve() -> (Gateway, Endpoint) {
    let gateway = Gateway::start().await;
    let endpoint = Endpoint::of(&gateway).await;
    (gateway, endpoint)
}

/// A name that no other client of the test has.
fn name(client: Client, version: u8) -> String {
    format!("{client:?}-{version}")
}

#[tokio::test]
async fn every_quality_of_service_and_any_bytes_go_both_ways() {
    let (_gateway, endpoint) = serve().await;
    let binary: Vec<u8> = (0..=255).collect();
    let payloads: [&[u8]; 4] = [b"text", b"", "z\u{fc}rich \u{1f40d}\0\r\n".as_bytes(), &binary];
    for (client, version) in EVERY {
        let topic = format!("round/{}", name(client, version));
        let mut mqtt = Mqtt::connect(client, endpoint, json!({"version": version})).await;
        assert_eq!(mqtt.subscribe(&topic, 2).await, json!([2]), "{client:?} {version}");
        for qos in 0..=2 {
            for payload in payloads {
                mqtt.publish(&topic, payload, qos).await;
                let seen = mqtt.message().await;
                let told = (seen.topic(), seen.payload(), seen.json["qos"].clone(), seen.json["retain"].clone());
                assert_eq!(told, (topic.as_str(), payload.to_vec(), json!(qos), json!(false)), "{client:?} {version}");
            }
        }
        mqtt.disconnect().await;
    }
}

#[tokio::test]
async fn a_subscription_limits_the_quality_of_service() {
    let (_gateway, endpoint) = serve().await;
    for (client, version) in [(Client::Paho, 4), (Client::Js, 5)] {
        let mut mqtt = Mqtt::connect(client, endpoint, json!({"version": version})).await;
        let topic = format!("limit/{}", name(client, version));
        assert_eq!(mqtt.subscribe(&topic, 1).await, json!([1]));
        for (sent, arrives) in [(0, 0), (1, 1), (2, 1)] {
            mqtt.publish(&topic, "x", sent).await;
            assert_eq!(mqtt.message().await.json["qos"], arrives, "{client:?}");
        }
    }
}

#[tokio::test]
async fn retained_messages_are_kept_replaced_and_cleared() {
    let (gateway, endpoint) = serve().await;
    for (client, version) in EVERY {
        let topic = format!("retained/{}", name(client, version));
        let mut mqtt = Mqtt::connect(client, endpoint, json!({"version": version})).await;
        for payload in ["first", "second"] {
            mqtt.publish_with(&topic, payload, json!({"qos": 1, "retain": true})).await;
        }
        mqtt.subscribe(&topic, 1).await;
        let seen = mqtt.message().await;
        assert_eq!((seen.payload(), &seen.json["retain"]), (b"second".to_vec(), &json!(true)), "{client:?} {version}");
        // The same value is the first frame of a new EventSource.
        let mut stream = gateway.sse(&[("channel", "retained/+")]).await;
        let first = stream.message().await;
        assert_eq!((first.channel(), first.payload(), first.retained()), (topic.as_str(), b"second".to_vec(), true));
        mqtt.publish_with(&topic, "", json!({"qos": 1, "retain": true})).await;
        let cleared = mqtt.message().await;
        assert_eq!((cleared.payload(), &cleared.json["retain"]), (Vec::new(), &json!(false)), "{client:?} {version}");
        // Nothing is left for a later subscriber: what it sees first is the next live message.
        let mut later = gateway.sse(&[("channel", "retained/+")]).await;
        mqtt.publish(&topic, "live", 1).await;
        let first = later.message().await;
        assert_eq!((first.payload(), first.retained()), (b"live".to_vec(), false), "{client:?} {version}");
        mqtt.disconnect().await;
    }
}

#[tokio::test]
async fn a_will_is_published_when_the_connection_breaks_and_only_then() {
    let (gateway, endpoint) = serve().await;
    for (client, version) in EVERY {
        let topic = format!("will/{}", name(client, version));
        let mut watching = gateway.sse(&[("channel", &topic)]).await;
        let will = json!({"version": version, "will": {"topic": topic, "payload": "gone", "qos": 1}});
        Mqtt::connect(client, endpoint, will.clone()).await.disconnect().await;
        let mut mqtt = Mqtt::connect(client, endpoint, will).await;
        gateway.publish(&topic, "one left politely").await;
        mqtt.die().await;
        for expected in ["one left politely", "gone"] {
            assert_eq!(watching.message().await.payload(), expected.as_bytes(), "{client:?} {version}");
        }
    }
}

#[tokio::test]
async fn a_persistent_session_keeps_its_messages() {
    let (_gateway, endpoint) = serve().await;
    for (client, version) in EVERY {
        let topic = format!("kept/{}", name(client, version));
        let options = json!({"version": version, "clientId": name(client, version), "clean": false, "properties": if version == 5 {
            json!({"sessionExpiryInterval": 600})
        } else {
            Value::Null
        }});
        let (mut first, connected) = Mqtt::connect_telling(client, endpoint, options.clone()).await;
        assert_eq!(connected["sessionPresent"], false, "{client:?} {version}");
        first.subscribe(&topic, 1).await;
        first.disconnect().await;
        let mut publisher = Mqtt::connect(Client::Js, endpoint, json!({})).await;
        for n in 0..20 {
            publisher.publish(&topic, n.to_string(), 1).await;
        }
        let (mut again, connected) = Mqtt::connect_telling(client, endpoint, options.clone()).await;
        assert_eq!(connected["sessionPresent"], true, "{client:?} {version}");
        for n in 0..20 {
            assert_eq!(again.message().await.number(), n, "{client:?} {version}");
        }
        again.disconnect().await;
        let mut clean = options;
        clean["clean"] = json!(true);
        let (fresh, connected) = Mqtt::connect_telling(client, endpoint, clean).await;
        assert_eq!(connected["sessionPresent"], false, "{client:?} {version}");
        fresh.disconnect().await;
    }
}

#[tokio::test]
async fn properties_of_mqtt_5_arrive_unaltered() {
    let (gateway, endpoint) = serve().await;
    for client in [Client::Paho, Client::Js, Client::Browser] {
        let topic = format!("properties/{client:?}");
        let mut stream = gateway.sse(&[("channel", &topic)]).await;
        let mut mqtt = Mqtt::connect(client, endpoint, json!({"version": 5})).await;
        mqtt.subscribe_with(json!({"topic": topic, "qos": 1, "properties": {"subscriptionIdentifier": 77}})).await;
        let properties = json!({
            "contentType": "text/x-test", "responseTopic": "answers/here", "correlationData": "AAEC/w==", "messageExpiryInterval": 600,
            "payloadFormatIndicator": if client == Client::Paho { json!(1) } else { json!(true) },
            "userProperties": [["a", "1"], ["a", "2"], ["b", "\u{1f40d}"]],
        });
        mqtt.publish_with(&topic, "x", json!({"qos": 1, "properties": properties})).await;
        let seen = mqtt.message().await;
        let told = &seen.json["properties"];
        for key in ["contentType", "responseTopic", "correlationData", "userProperties", "payloadFormatIndicator"] {
            assert_eq!(told[key], properties[key], "{client:?}: {key} in {told}");
        }
        assert!(told["messageExpiryInterval"].as_u64().is_some_and(|left| (500..=600).contains(&left)), "{told}");
        let identifier = &told["subscriptionIdentifier"];
        assert!(*identifier == json!(77) || *identifier == json!([77]), "{client:?}: {told}");
        // And the envelope has what it can show.
        let envelope = stream.message().await.json;
        assert!(envelope["properties"].to_string().contains('b'), "{envelope}");
        mqtt.disconnect().await;
    }
}

#[tokio::test]
async fn the_reason_codes_of_mqtt_5_are_told() {
    let (_gateway, endpoint) = serve().await;
    let mut mqtt = Mqtt::connect(Client::Paho, endpoint, json!({"version": 5})).await;
    let answer = mqtt.script.ask(&json!({"do": "unsubscribe", "topic": "never/subscribed"}), "unsubscribed").await;
    assert_eq!(answer["codes"], json!([0x11]), "no subscription existed");
    let nobody = mqtt.publish_with("nobody/listens", "x", json!({"qos": 1})).await;
    assert_eq!(nobody["code"], 0x10, "no matching subscribers");
    mqtt.subscribe("somebody", 0).await;
    let answer = mqtt.script.ask(&json!({"do": "unsubscribe", "topic": "somebody"}), "unsubscribed").await;
    assert_eq!(answer["codes"], json!([0]));
}

#[tokio::test]
async fn no_local_retain_as_published_and_retain_handling_work() {
    let (_gateway, endpoint) = serve().await;
    for client in [Client::Paho, Client::Js] {
        let mut mqtt = Mqtt::connect(client, endpoint, json!({"version": 5})).await;
        let mut other = Mqtt::connect(client, endpoint, json!({"version": 5})).await;
        let topic = format!("options/{client:?}");
        mqtt.subscribe_with(json!({"topic": topic, "qos": 1, "nl": true, "rap": true})).await;
        mqtt.publish(&topic, "own", 1).await;
        other.publish_with(&topic, "theirs", json!({"qos": 1, "retain": true})).await;
        let seen = mqtt.message().await;
        let told = (seen.payload(), &seen.json["retain"]);
        assert_eq!(told, (b"theirs".to_vec(), &json!(true)), "no local, retain as published");
        // Retain handling 2: nothing retained, although there is something; 1: only to a new subscription; 0: always.
        for (handling, first) in [(2, "live"), (1, "live"), (0, "theirs")] {
            mqtt.subscribe_with(json!({"topic": topic, "qos": 1, "rh": handling})).await;
            other.publish(&topic, "live", 1).await;
            assert_eq!(mqtt.message().await.payload(), first.as_bytes(), "{client:?}: retain handling {handling}");
        }
        mqtt.message().await;
        mqtt.script.ask(&json!({"do": "unsubscribe", "topic": topic}), "unsubscribed").await;
        mqtt.subscribe_with(json!({"topic": topic, "qos": 1, "rh": 1})).await;
        assert_eq!(mqtt.message().await.payload(), b"theirs", "{client:?}: retain handling 1, new subscription");
    }
}

#[tokio::test]
async fn the_same_client_identifier_takes_over() {
    let (_gateway, endpoint) = serve().await;
    for client in [Client::Js, Client::Paho] {
        let options = json!({"version": 5, "clientId": format!("twin-{client:?}")});
        let mut first = Mqtt::connect(client, endpoint, options.clone()).await;
        let _second = Mqtt::connect(client, endpoint, options).await;
        assert_eq!(first.script.expect("disconnected").await["code"], 0x8e, "{client:?}: session taken over");
    }
}

#[tokio::test]
async fn shared_subscriptions_split_the_stream_between_live_members() {
    let (gateway, endpoint) = serve().await;
    let mut members = Vec::new();
    for client in [Client::Paho, Client::Js] {
        let mut member = Mqtt::connect(client, endpoint, json!({"version": 5})).await;
        member.subscribe("$share/crew/jobs/#", 1).await;
        members.push(member);
    }
    gateway.publish_all("jobs/x", (0..100).map(|n| n.to_string())).await;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        a.push(members[0].message().await.number());
        b.push(members[1].message().await.number());
    }
    assert!(a.is_sorted() && b.is_sorted(), "each member sees its share in order");
    let mut all = [a, b].concat();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>(), "each message goes to one member, in turn");
    // A member that leaves takes nothing with it.
    members.pop().expect("two members").disconnect().await;
    gateway.publish_all("jobs/x", (100..120).map(|n| n.to_string())).await;
    for n in 100..120 {
        assert_eq!(members[0].message().await.number(), n);
    }
}

#[tokio::test]
async fn a_persistent_subscriber_killed_in_a_burst_gets_everything_in_order() {
    const COUNT: u64 = 2000;
    let (_gateway, endpoint) = serve().await;
    let options = json!({"version": 5, "clientId": "reader", "clean": false, "manualAck": true,
        "properties": {"sessionExpiryInterval": 600, "receiveMaximum": 20}});
    let mut first = Mqtt::connect(Client::Paho, endpoint, options.clone()).await;
    first.subscribe("burst", 1).await;
    let mut publisher = Mqtt::connect(Client::Paho, endpoint, json!({"version": 5})).await;
    publisher.script.send(&json!({"do": "burst", "topic": "burst", "qos": 1, "from": 0, "to": COUNT})).await;
    for _ in 0..200 {
        first.message().await;
    }
    first.script.process.kill().await;
    let before = first.script.all("message").into_iter().map(|json| Seen { json }.number());
    let mut numbers: Vec<u64> = before.collect();
    for _ in 0..COUNT {
        publisher.script.expect("published").await;
    }
    let (mut again, connected) = Mqtt::connect_telling(Client::Paho, endpoint, options).await;
    assert_eq!(connected["sessionPresent"], true);
    // Only what was in flight may come a second time, and then it comes first and marked.
    let mut next = again.message().await;
    let repeated_from = next.number();
    let last = *numbers.last().expect("it saw some");
    assert!(repeated_from <= last + 1, "nothing between {last} and {repeated_from} is lost");
    assert!(last - repeated_from.min(last) < 20, "at most the receive maximum comes again");
    numbers.truncate(usize::try_from(repeated_from).expect("fits"));
    loop {
        let number = next.number();
        assert!(number > last || next.json["dup"] == true, "{number} came before and is marked as a repetition");
        numbers.push(number);
        if number == COUNT - 1 {
            break;
        }
        next = again.message().await;
    }
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_burst_of_qos_2_loses_and_repeats_nothing() {
    const COUNT: u64 = 2000;
    let (_gateway, endpoint) = serve().await;
    let options = json!({"version": 5, "clientId": "reader", "clean": false, "reconnect": true,
        "properties": {"sessionExpiryInterval": 600, "receiveMaximum": 20}});
    let mut reader = Mqtt::connect(Client::Js, endpoint, options).await;
    reader.subscribe("burst", 2).await;
    let mut publisher = Mqtt::connect(Client::Paho, endpoint, json!({"version": 5})).await;
    publisher.script.send(&json!({"do": "burst", "topic": "burst", "qos": 2, "from": 0, "to": COUNT})).await;
    for n in 0..COUNT {
        assert_eq!(reader.message().await.number(), n);
        if n % 500 == 250 {
            reader.die().await;
            let connected = reader.script.expect("connected").await;
            assert_eq!(connected["sessionPresent"], true);
        }
    }
}

#[tokio::test]
async fn sys_topics_tell_about_the_broker() {
    let (_gateway, endpoint) = serve().await;
    let mut mqtt = Mqtt::connect(Client::Js, endpoint, json!({})).await;
    mqtt.subscribe("$SYS/broker/version", 0).await;
    let version = mqtt.message().await;
    assert!(String::from_utf8_lossy(&version.payload()).contains("ratatosk"), "{version:?}");
    assert_eq!(version.json["retain"], true);
}
