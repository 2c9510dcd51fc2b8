//! What the connection carries, packet by packet.

use ratatosk_core::Qos as Level;
use ratatosk_mqtt::{
    config::MqttUpstreamConfig,
    proto::codec::{Ack, Packet, Publish, PublishProperties, Qos, ReasonCode, RetainHandling},
};

use crate::{
    bench::{Upstream, eventually, spec, within},
    scripted::Server,
};

fn kept() -> MqttUpstreamConfig {
    MqttUpstreamConfig { clean_session: false, client_id: Some("gw".into()), ..Default::default() }
}

fn publish(topic: &str, qos: Qos, id: u16, payload: &'static str) -> Publish {
    Publish {
        topic: topic.into(),
        qos,
        packet_id: std::num::NonZeroU16::new(id),
        payload: payload.into(),
        ..Default::default()
    }
}

/// The trace that a client library of the day fails for good: cut between PUBREC and PUBREL.
#[tokio::test]
async fn qos_2_inbound_is_taken_once_however_the_connection_breaks() {
    let server = Server::new().await;
    let up = Upstream::new(&server.url(), &kept(), spec(&[("a", "a")], &[]));
    let mut seen = up.subscribe("a");
    let mut first = server.welcome(false).await;
    assert!(!first.connect().clean_start);
    first.next().await; // SUBSCRIBE
    first.send(&Packet::Publish(Box::new(publish("a", Qos::ExactlyOnce, 7, "x")))).await;
    assert!(matches!(first.next().await, Some(Packet::Pubrec(ack)) if ack.packet_id.get() == 7));
    drop(first);
    // PUBREC was lost: the broker repeats the publication.
    let mut second = server.welcome(true).await;
    let Some(Packet::Subscribe(subscribe)) = second.next().await else { panic!("no SUBSCRIBE") };
    assert_eq!(subscribe.filters[0].options.retain_handling, RetainHandling::IfNew);
    second.send(&Packet::Publish(Box::new(Publish { dup: true, ..publish("a", Qos::ExactlyOnce, 7, "x") }))).await;
    assert!(matches!(second.next().await, Some(Packet::Pubrec(_))));
    drop(second);
    // PUBREC came through: the broker goes on with PUBREL.
    let mut third = server.welcome(true).await;
    third.next().await;
    for _ in 0..2 {
        third.send(&Packet::Pubrel(Ack::new(std::num::NonZeroU16::new(7).unwrap(), ReasonCode::SUCCESS))).await;
        assert!(matches!(third.next().await, Some(Packet::Pubcomp(_))));
    }
    // The id now stands for another message.
    third.send(&Packet::Publish(Box::new(publish("a", Qos::ExactlyOnce, 7, "y")))).await;
    assert_eq!((seen.text().await, seen.text().await), ("a x".into(), "a y".into()));
    assert!(seen.try_next().is_none());
}

#[tokio::test]
async fn outbound_steps_are_repeated_on_a_resumed_session_and_not_started_anew() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &kept(), spec(&[], &[("#", "#")]));
    let mut first = server.welcome(false).await;
    up.publish("a", "one", Level::AtLeastOnce);
    up.publish("a", "two", Level::ExactlyOnce);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let Some(Packet::Publish(publish)) = first.next().await else { panic!("no PUBLISH") };
        ids.push(publish.packet_id.unwrap());
    }
    first.send(&Packet::Pubrec(Ack::new(ids[1], ReasonCode::SUCCESS))).await;
    assert!(matches!(first.next().await, Some(Packet::Pubrel(_))));
    drop(first);
    up.until("down").await;
    up.publish("a", "three", Level::AtLeastOnce);
    let mut second = server.welcome(true).await;
    assert!(matches!(second.next().await, Some(Packet::Pubrel(ack)) if ack.packet_id == ids[1]));
    let Some(Packet::Publish(again)) = second.next().await else { panic!("no PUBLISH") };
    assert!(again.dup && again.payload == "one" && again.packet_id == Some(ids[0]));
    let Some(Packet::Publish(new)) = second.next().await else { panic!("no PUBLISH") };
    assert!(!new.dup && new.payload == "three" && !ids.contains(&new.packet_id.unwrap()), "{new:?} {ids:?}");
    second.send(&Packet::Puback(Ack::new(ids[0], ReasonCode::SUCCESS))).await;
    second.send(&Packet::Pubcomp(Ack::new(ids[1], ReasonCode::PACKET_ID_NOT_FOUND))).await;
    eventually("acknowledged", || up.handle.queue_depth().messages == 1).await;
    drop(second);
    // The session is gone, and with it what the broker knew: everything unfinished starts anew, in order.
    let mut third = server.welcome(false).await;
    let Some(Packet::Publish(anew)) = third.next().await else { panic!("no PUBLISH") };
    assert!(!anew.dup && anew.payload == "three");
}

#[tokio::test]
async fn topic_aliases_of_the_broker_are_resolved() {
    let server = Server::new().await;
    let mut up = Upstream::new(&server.url(), &MqttUpstreamConfig::default(), spec(&[("#", "#")], &[]));
    let mut seen = up.subscribe("#");
    let mut connection = server.welcome(false).await;
    assert!(connection.connect().properties.topic_alias_maximum.is_some_and(|most| most >= 2));
    let aliased = |topic: &str, alias: u16, payload: &'static str| {
        let properties = PublishProperties { topic_alias: std::num::NonZeroU16::new(alias), ..Default::default() };
        Packet::Publish(Box::new(Publish { properties, ..publish(topic, Qos::AtMostOnce, 0, payload) }))
    };
    connection.send(&aliased("a/long/name", 2, "1")).await;
    connection.send(&aliased("", 2, "2")).await;
    assert_eq!((seen.text().await, seen.text().await), ("a/long/name 1".into(), "a/long/name 2".into()));
    connection.send(&aliased("", 1, "unknown")).await;
    assert!(up.until("down").await.contains("unknown topic alias"));
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let server = Server::new().await;
    let up = Upstream::new(&server.url(), &MqttUpstreamConfig::default(), spec(&[], &[("#", "#")]));
    let mut connection = server.welcome(false).await;
    up.publish("a", "1", Level::AtLeastOnce);
    let Some(Packet::Publish(publish)) = connection.next().await else { panic!("no PUBLISH") };
    let handle = up.handle.clone();
    let drain = tokio::spawn(async move { handle.drain().await });
    connection.send(&Packet::Puback(Ack::new(publish.packet_id.unwrap(), ReasonCode::SUCCESS))).await;
    assert!(matches!(connection.next().await, Some(Packet::Disconnect(bye)) if bye.reason == ReasonCode::SUCCESS));
    assert_eq!(connection.next().await, None);
    within(drain).await.unwrap();
    within(up.task).await.unwrap();
}

#[tokio::test]
async fn a_shared_subscription_is_asked_for_by_name() {
    let server = Server::new().await;
    let config = MqttUpstreamConfig { share: Some("gateways".into()), ..Default::default() };
    let _up = Upstream::new(&server.url(), &config, spec(&[("a/#", "a/#")], &[]));
    let mut connection = server.welcome(false).await;
    let Some(Packet::Subscribe(subscribe)) = connection.next().await else { panic!("no SUBSCRIBE") };
    assert_eq!(&*subscribe.filters[0].filter, "$share/gateways/a/#");
    // MQTT5-3.8.3-4: a shared subscription with No Local is a protocol error.
    assert!(!subscribe.filters[0].options.no_local);
}
