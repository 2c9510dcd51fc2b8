use super::*;

#[tokio::test]
async fn a_fault_is_answered_with_its_reason_and_ends_only_that_connection() {
    let broker = Broker::configured(|config| {
        config.max_packet_size = ratatosk_connector::config_types::Size::from_bytes(1000);
        config.receive_maximum = NonZeroU16::MIN;
    })
    .await;
    let mut bystander = broker.client("bystander").await;
    for (bytes, reason) in [
        (&b"\x36\x06\x00\x01a\x00\x01\x00"[..], ReasonCode::MALFORMED),
        (b"\x30\x05\x00\x02a#\x00", ReasonCode::MALFORMED),
        (b"\x30\x05\x00\x02a\x00\x00", ReasonCode::MALFORMED),
        (b"\x30\x03\x00\x00\x00", ReasonCode::PROTOCOL_ERROR),
        (b"\x30\x07\x00\x01a\x03\x23\x00\x63", ReasonCode::TOPIC_ALIAS_INVALID),
        (b"\x30\xE9\x07", ReasonCode::PACKET_TOO_LARGE),
        (b"\x82\x09\x00\x01\x00\x00\x03a/#\x03", ReasonCode::MALFORMED),
        (b"\x20\x00", ReasonCode::PROTOCOL_ERROR),
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c", ReasonCode::PROTOCOL_ERROR),
        (b"\xF0\x05\x19\x03\x15\x00\x00", ReasonCode::PROTOCOL_ERROR),
        (b"\x34\x06\x00\x01a\x00\x01\x00\x34\x06\x00\x01a\x00\x02\x00", ReasonCode::RECEIVE_MAXIMUM_EXCEEDED),
    ] {
        let mut peer = broker.client("c").await;
        peer.raw(bytes).await;
        loop {
            match peer.next().await {
                Some(Packet::Disconnect(disconnect)) => break assert_eq!(disconnect.reason, reason, "{bytes:x?}"),
                Some(Packet::Pubrec(_)) => {}
                other => panic!("{other:?} for {bytes:x?}"),
            }
        }
        assert_eq!(peer.next().await, None);
    }
    bystander.expect_silence().await;
}

#[tokio::test]
async fn mqtt_3_is_closed_without_a_word() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(hello(Version::V311, "c")).await;
    peer.raw(b"\x36\x05\x00\x01a\x00\x01").await;
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn packets_before_a_fault_count_and_those_after_it_do_not() {
    let broker = Broker::start().await;
    let mut watcher = broker.client("watcher").await;
    watcher.subscribe("#", Qos::AtMostOnce).await;
    let mut peer = broker.client("c").await;
    peer.raw(b"\x30\x05\x00\x01a\x001\x36\x00\x30\x05\x00\x01a\x002").await;
    peer.expect_disconnect(ReasonCode::MALFORMED).await;
    assert_eq!(watcher.publication().await.payload, "1");
    watcher.expect_silence().await;
}

#[tokio::test]
async fn nothing_after_a_refused_connect_is_processed() {
    let broker = Broker::start().await;
    let mut watcher = broker.client("watcher").await;
    watcher.subscribe("#", Qos::AtMostOnce).await;
    let mut peer = broker.dial().await;
    let mut bytes = Vec::new();
    let refused = Connect { clean_start: false, ..hello(Version::V311, "") };
    encode(&Packet::Connect(Box::new(refused)), Version::V311, &mut bytes).unwrap();
    encode(&publish("a", "x"), Version::V311, &mut bytes).unwrap();
    peer.decoder = Decoder::client(Version::V311, MAX_PACKET);
    peer.raw(&bytes).await;
    assert!(matches!(peer.next().await, Some(Packet::Connack(_))));
    assert_eq!(peer.next().await, None);
    watcher.expect_silence().await;
}

#[tokio::test]
async fn what_is_not_mqtt_is_closed() {
    let broker = Broker::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00", b"\xC0\x00", b"\x10\xFF\xFF\xFF\xFF\xFF"] {
        let mut peer = broker.dial().await;
        peer.raw(bytes).await;
        assert_eq!(peer.next().await, None);
    }
}
