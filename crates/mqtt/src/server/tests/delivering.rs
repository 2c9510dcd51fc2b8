use super::*;
use crate::proto::codec::PublishProperties;

#[tokio::test]
async fn the_lower_qos_decides() {
    let broker = Broker::start().await;
    let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    let mut sender = broker.client("sender").await;
    for granted in qos {
        let mut receiver = broker.client("receiver").await;
        receiver.subscribe("t", granted).await;
        for sent in qos {
            sender.send(&note("t", "x", sent, 9)).await;
            assert_eq!(receiver.publication().await.qos, sent.min(granted));
            match sent {
                Qos::AtMostOnce => {}
                Qos::AtLeastOnce => assert!(matches!(sender.next().await, Some(Packet::Puback(_)))),
                Qos::ExactlyOnce => {
                    assert!(matches!(sender.next().await, Some(Packet::Pubrec(_))));
                    sender.send(&Packet::Pubrel(Ack::new(NonZeroU16::new(9).unwrap(), ReasonCode::SUCCESS))).await;
                    assert!(matches!(sender.next().await, Some(Packet::Pubcomp(_))));
                }
            }
        }
    }
}

#[tokio::test]
async fn qos_2_to_the_end() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe("t", Qos::ExactlyOnce).await;
    peer.send(&note("t", "x", Qos::ExactlyOnce, 5)).await;
    let five = Ack::new(NonZeroU16::new(5).unwrap(), ReasonCode::SUCCESS);
    let (mut got, mut received) = (None, false);
    for _ in 0..2 {
        match peer.next().await {
            Some(Packet::Publish(publish)) => got = publish.packet_id,
            Some(Packet::Pubrec(ack)) => received = ack == five,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(received);
    peer.send(&Packet::Pubrel(five.clone())).await;
    assert_eq!(peer.next().await, Some(Packet::Pubcomp(five)));
    let ours = Ack::new(got.unwrap(), ReasonCode::SUCCESS);
    peer.send(&Packet::Pubrec(ours.clone())).await;
    assert_eq!(peer.next().await, Some(Packet::Pubrel(ours.clone())));
    peer.send(&Packet::Pubcomp(ours)).await;
    peer.expect_silence().await;
}

#[tokio::test]
async fn properties_arrive_unaltered() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe("t", Qos::AtMostOnce).await;
    let pair = |name: &str, value: &str| (ByteString::from(name), ByteString::from(value));
    let properties = PublishProperties {
        payload_format: Some(true),
        message_expiry: Some(100),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer/here".into()),
        correlation_data: Some("\u{0}\u{1}".into()),
        user_properties: vec![pair("b", "2"), pair("a", "1"), pair("b", "2")],
        ..PublishProperties::default()
    };
    let sent = Publish { topic: "t".into(), payload: "x".into(), properties, ..Publish::default() };
    peer.send(&Packet::Publish(Box::new(sent.clone()))).await;
    assert_eq!(peer.publication().await, sent);
}

#[tokio::test]
async fn all_versions_meet() {
    let broker = Broker::start().await;
    let mut sender = broker.client("sender").await;
    let mut receivers = Vec::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = broker.join(hello(version, &format!("{version:?}"))).await;
        peer.subscribe("t/#", Qos::AtMostOnce).await;
        receivers.push(peer);
    }
    for number in 0..300 {
        sender.publish("t/x", &number.to_string()).await;
    }
    for receiver in &mut receivers {
        for number in 0..300 {
            assert_eq!(receiver.publication().await.payload, number.to_string());
        }
    }
}

#[tokio::test]
async fn the_window_of_the_client_is_kept() {
    let broker = Broker::start().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.receive_maximum = NonZeroU16::new(2);
    let (mut peer, _) = broker.join(connect).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    let mut sender = broker.client("sender").await;
    for number in 0..5 {
        sender.publish_acked("t", &number.to_string()).await;
    }
    let first = peer.publication().await;
    let _second = peer.publication().await;
    peer.expect_silence().await;
    peer.ack(&first).await;
    assert_eq!(peer.publication().await.payload, "2");
    peer.expect_silence().await;
}

#[tokio::test]
async fn a_packet_larger_than_the_client_takes_is_not_sent() {
    let broker = Broker::start().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.max_packet_size = std::num::NonZeroU32::new(100);
    let (mut peer, _) = broker.join(connect).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    for payload in ["x".repeat(200), "y".repeat(50)] {
        peer.publish("t", &payload).await;
    }
    assert_eq!(peer.publication().await.payload, "y".repeat(50));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_qos_0_and_keeps_its_connection() {
    let broker = Broker::configured(|config| config.max_queued_messages = 10).await;
    let mut lazy = broker.client("lazy").await;
    lazy.subscribe("t", Qos::AtMostOnce).await;
    let mut sender = broker.client("sender").await;
    let stats = broker.bus.stats().clone();
    let payload = "x".repeat(100_000);
    // Far more than the kernel's buffers hold.
    while stats.drops(*crate::mapping::CONNECTOR, ratatosk_core::stats::DropReason::Slow) == 0 {
        sender.publish("t", &payload).await;
        sender.expect_silence().await;
    }
    sender.publish("t", "last").await;
    while lazy.publication().await.payload != "last" {}
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    let payload = "é".repeat(400_000);
    let mut sender = broker.client("sender").await;
    sender.publish("t", &payload).await;
    assert_eq!(peer.publication().await.payload, payload);
}

#[tokio::test]
async fn topic_aliases_both_ways() {
    let broker = Broker::start().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.topic_alias_maximum = Some(5);
    let (mut peer, connack) = broker.join(connect).await;
    assert_eq!(connack.properties.topic_alias_maximum, Some(16));
    peer.subscribe("some/topic", Qos::AtMostOnce).await;
    for topic in ["some/topic", ""] {
        let Packet::Publish(mut packet) = publish(topic, "x") else { unreachable!() };
        packet.properties.topic_alias = NonZeroU16::new(7);
        peer.send(&Packet::Publish(packet)).await;
        let got = peer.publication().await;
        assert_eq!((&*got.topic, got.properties.topic_alias), (topic, NonZeroU16::new(1)));
    }
}

#[tokio::test]
async fn nobody_listens() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    assert_eq!(peer.publish_acked("t", "x").await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    peer.subscribe("t", Qos::AtMostOnce).await;
    peer.send(&note("t", "x", Qos::AtLeastOnce, 1)).await;
    let answers = [peer.next().await.unwrap(), peer.next().await.unwrap()];
    assert!(answers.contains(&Packet::Puback(Ack::new(NonZeroU16::MIN, ReasonCode::SUCCESS))));
}
