//! Brokers that misbehave.

use std::time::Duration;

use ratatosk_connector::upstream::State;
use ratatosk_core::Qos as Level;
use ratatosk_mqtt::{
    config::MqttUpstreamConfig,
    proto::codec::{Ack, Connack, ConnackProperties, Disconnect, Packet, Publish, Qos, ReasonCode, Suback},
};
use tokio::io::AsyncWriteExt;

use crate::{
    bench::{Upstream, spec, within},
    mosquitto::free_port,
    scripted::Server,
};

fn impatient() -> MqttUpstreamConfig {
    MqttUpstreamConfig {
        connect_timeout: "200ms".parse().unwrap(),
        ack_timeout: "200ms".parse().unwrap(),
        keep_alive: "1s".parse().unwrap(),
        ..Default::default()
    }
}

#[tokio::test]
async fn nobody_listens() {
    let port = free_port();
    let mut up = Upstream::new(&format!("mqtt://127.0.0.1:{port}"), &impatient(), spec(&[], &[]));
    let told = up.event().await;
    assert!(told.starts_with(&format!("down cannot reach 127.0.0.1:{port}: ")) && told.contains("refused"), "{told}");
}

#[tokio::test]
async fn accepts_and_says_nothing() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let _silent = server.raw().await;
    let told = up.event().await;
    assert!(told.starts_with("down ") && told.ends_with("did not let us in within 200ms"), "{told}");
    let _again = server.raw().await;
}

#[tokio::test]
async fn speaks_something_else() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let mut stream = server.raw().await;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let told = up.event().await;
    assert!(told.starts_with("down the server does not speak MQTT as agreed"), "{told}");
}

#[tokio::test]
async fn speaks_only_an_older_version() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let mut stream = server.raw().await;
    stream.write_all(&[0x20, 2, 0, 1]).await.unwrap();
    let told = up.event().await;
    assert!(told.contains("unsupported protocol version; write version = \"3.1.1\""), "{told}");
    assert!(within(up.handle.reached(State::Refused)).await);
}

#[tokio::test]
async fn breaks_off_in_the_middle_of_a_message() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[("a/#", "a/#")], &[]));
    let mut seen = up.subscribe("a/#");
    let mut first = server.welcome(false).await;
    first.stream.write_all(&[0x30, 20, 0, 3, b'a', b'/', b'b', 0, b'x']).await.unwrap();
    drop(first);
    assert_eq!(up.event().await, "up ");
    assert!(up.event().await.starts_with("down "));
    let mut second = server.welcome(false).await;
    second
        .send(&Packet::Publish(Box::new(Publish {
            topic: "a/b".into(),
            payload: "whole".into(),
            ..Default::default()
        })))
        .await;
    assert_eq!(seen.text().await, "a/b whole");
}

#[tokio::test]
async fn sends_what_is_malformed_or_not_allowed() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let garbage: [(&[u8], ReasonCode); 4] = [
        (&[0x30, 3, 0, 1, 0xFF], ReasonCode::MALFORMED),
        (&[0x36, 2, 0, 0], ReasonCode::MALFORMED),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], ReasonCode::PACKET_TOO_LARGE),
        (&[0x20, 3, 0, 0, 0], ReasonCode::PROTOCOL_ERROR),
    ];
    for (bytes, reason) in garbage {
        let mut connection = server.welcome(false).await;
        connection.stream.write_all(bytes).await.unwrap();
        assert_eq!(connection.next().await, Some(Packet::Disconnect(Disconnect::new(reason))), "{bytes:x?}");
        assert!(up.until("down").await.len() > 10);
    }
}

#[tokio::test]
async fn refuses_subscriptions() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[("a/#", "a/#"), ("b/#", "b/#")], &[]));
    let mut connection = server.welcome(false).await;
    let Some(Packet::Subscribe(subscribe)) = connection.next().await else { panic!("no SUBSCRIBE") };
    assert!(subscribe.filters.iter().all(|filter| filter.options.no_local && filter.options.retain_as_published));
    let reasons = vec![ReasonCode::NOT_AUTHORIZED, ReasonCode::GRANTED_QOS_1];
    connection.send(&Packet::Suback(Suback { packet_id: subscribe.packet_id, reasons, properties: None })).await;
    assert_eq!(up.event().await, "up ");
    assert_eq!(up.event().await, "-a/# not authorized");
    assert_eq!(up.event().await, "+b/#");
}

#[tokio::test]
async fn never_acknowledges() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[("#", "#")]));
    let mut connection = server.welcome(false).await;
    up.publish("a", "1", Level::AtLeastOnce);
    let Some(Packet::Publish(first)) = connection.next().await else { panic!("no PUBLISH") };
    assert!(!first.dup);
    assert_eq!(up.event().await, "up ");
    assert_eq!(up.event().await, "down the server does not acknowledge publications");
    // The session was lost, so it comes as a new message.
    let mut connection = server.welcome(false).await;
    let Some(Packet::Publish(second)) = connection.next().await else { panic!("no PUBLISH") };
    assert!(!second.dup && second.payload == "1");
    connection.send(&Packet::Puback(Ack::new(second.packet_id.unwrap(), ReasonCode::SUCCESS))).await;
    up.publish("a", "2", Level::AtLeastOnce);
    let Some(Packet::Publish(third)) = connection.next().await else { panic!("no PUBLISH") };
    assert_eq!(third.payload, "2");
}

#[tokio::test]
async fn does_not_answer_pings() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let mut stream = server.raw().await;
    stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
    assert_eq!(up.event().await, "up ");
    assert_eq!(up.event().await, "down the server does not answer pings");
}

#[tokio::test]
async fn sends_us_away() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &impatient(), spec(&[], &[]));
    let mut connection = server.welcome(false).await;
    connection.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SHUTTING_DOWN))).await;
    up.until("down the server disconnected us: server shutting down").await;
    let mut connection = server.welcome(false).await;
    connection.send(&Packet::Disconnect(Disconnect::new(ReasonCode::NOT_AUTHORIZED))).await;
    up.until("down the server disconnected us: not authorized").await;
    assert!(within(up.handle.reached(State::Refused)).await);
}

#[tokio::test]
async fn fails_over_to_the_next_address() {
    let (dead, server) = (free_port(), Server::new().await);
    let config = MqttUpstreamConfig { also: vec![server.url().parse().unwrap()], ..impatient() };
    let mut up = Upstream::new(&format!("mqtt://127.0.0.1:{dead}"), &config, spec(&[], &[]));
    let connection = server.welcome(false).await;
    assert!(up.until("up").await == "up ");
    drop(connection);
    // The address that worked is tried first.
    drop(server.welcome(false).await);
    assert_eq!(up.handle.status().connections.clamp(1, 2), up.handle.status().connections);
}

#[tokio::test]
async fn limits_of_the_broker_are_kept() {
    let server = Server::new().await;
    let up = Upstream::new(&server.url(), &impatient(), spec(&[], &[("#", "#")]));
    let mut connection = server.accept().await;
    assert_eq!(connection.connect().keep_alive, 1);
    let properties = ConnackProperties {
        receive_maximum: std::num::NonZeroU16::new(2),
        maximum_qos_1: Some(true),
        retain_available: Some(false),
        max_packet_size: std::num::NonZeroU32::new(200),
        ..Default::default()
    };
    connection.send(&Packet::Connack(Box::new(Connack { properties, ..Default::default() }))).await;
    up.publish("a", &"x".repeat(300), Level::AtLeastOnce);
    for n in 0..5 {
        up.publish("a", &n.to_string(), Level::ExactlyOnce);
    }
    let mut open = Vec::new();
    for n in 0..5 {
        let Some(Packet::Publish(publish)) = connection.next().await else { panic!("no PUBLISH") };
        assert_eq!(
            (publish.qos, publish.retain, &publish.payload[..]),
            (Qos::AtLeastOnce, false, n.to_string().as_bytes())
        );
        open.push(publish.packet_id.unwrap());
        assert!(open.len() <= 2);
        if open.len() == 2 {
            // Nothing more comes before an acknowledgement.
            let more = tokio::time::timeout(Duration::from_millis(30), connection.next()).await;
            assert!(more.is_err(), "{more:?}");
            connection.send(&Packet::Puback(Ack::new(open.remove(0), ReasonCode::SUCCESS))).await;
        }
    }
}
