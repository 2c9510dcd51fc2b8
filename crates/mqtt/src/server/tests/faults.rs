use parking_lot::Mutex;
use ratatosk_core::{MonitorEvent, MonitorHandler, monitor::Monitored};

use super::*;

/// The faults that were told to the monitor, in order.
#[derive(Default)]
struct Faults(Mutex<Vec<&'static str>>);

impl MonitorHandler for Faults {
    fn handle(&self, event: &Monitored) {
        if let MonitorEvent::ProtocolFault { fault, .. } = event.event {
            self.0.lock().push(fault);
        }
    }
}

impl Faults {
    fn of(broker: &Broker) -> Arc<Self> {
        let faults = Arc::new(Self::default());
        broker.bus.monitor().add(faults.clone());
        faults
    }

    /// The next one.
    async fn next(&self) -> &'static str {
        let wait = async {
            loop {
                let first = self.0.lock().first().copied();
                if let Some(first) = first {
                    self.0.lock().remove(0);
                    return first;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }
}

#[tokio::test]
async fn a_fault_is_answered_with_its_reason_and_ends_only_that_connection() {
    let broker = Broker::configured(|config| {
        config.max_packet_size = ratatosk_connector::config_types::Size::from_bytes(1000);
        config.receive_maximum = NonZeroU16::MIN;
    })
    .await;
    let mut bystander = broker.client("bystander").await;
    let faults = Faults::of(&broker);
    for (bytes, reason, fault) in [
        (&b"\x36\x06\x00\x01a\x00\x01\x00"[..], ReasonCode::MALFORMED, "qos_3"),
        (b"\x30\x05\x00\x02a#\x00", ReasonCode::MALFORMED, "wildcard_in_topic"),
        (b"\x30\x05\x00\x02a\x00\x00", ReasonCode::MALFORMED, "null_character"),
        (b"\x30\x03\x00\x00\x00", ReasonCode::PROTOCOL_ERROR, "no_topic"),
        (b"\x30\x07\x00\x01a\x03\x23\x00\x63", ReasonCode::TOPIC_ALIAS_INVALID, "topic_alias"),
        (b"\x30\xE9\x07", ReasonCode::PACKET_TOO_LARGE, "too_large"),
        (b"\x82\x09\x00\x01\x00\x00\x03a/#\x03", ReasonCode::MALFORMED, "qos_3"),
        (b"\x30\x05\x00\x02\xC3\x28\x00", ReasonCode::MALFORMED, "utf8"),
        (b"\x20\x00", ReasonCode::PROTOCOL_ERROR, "wrong_side"),
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c", ReasonCode::PROTOCOL_ERROR, "second_connect"),
        (b"\xF0\x05\x19\x03\x15\x00\x00", ReasonCode::PROTOCOL_ERROR, "unexpected_auth"),
        (
            b"\x34\x06\x00\x01a\x00\x01\x00\x34\x06\x00\x01a\x00\x02\x00",
            ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            "receive_maximum",
        ),
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
        assert_eq!(faults.next().await, fault, "{bytes:x?}");
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
    let faults = Faults::of(&broker);
    for (bytes, fault) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "not_connected"),
        (b"\x16\x03\x01\x02\x00", "flags"),
        (b"\xC0\x00", "not_connected"),
        (b"\x10\xFF\xFF\xFF\xFF\xFF", "var_int"),
    ] {
        let mut peer = broker.dial().await;
        peer.raw(bytes).await;
        assert_eq!(peer.next().await, None);
        assert_eq!(faults.next().await, fault);
    }
}

#[tokio::test]
async fn a_connect_of_mqtt_5_that_is_malformed_is_told_why_and_an_older_one_is_closed() {
    let broker = Broker::configured(|config| {
        config.max_packet_size = ratatosk_connector::config_types::Size::from_bytes(1000);
    })
    .await;
    let faults = Faults::of(&broker);
    for (bytes, reason, fault) in [
        // The reserved flag, a client id that is not UTF-8, one with U+0000, a byte too many.
        (&b"\x10\x0e\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01c"[..], ReasonCode::MALFORMED, "reserved_bit"),
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\xFF", ReasonCode::MALFORMED, "utf8"),
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\x00", ReasonCode::MALFORMED, "null_character"),
        (b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01cc", ReasonCode::MALFORMED, "trailing_bytes"),
        // Receive Maximum 0.
        (
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x01c",
            ReasonCode::PROTOCOL_ERROR,
            "property_value",
        ),
        // Larger than is taken: known before it is there.
        (b"\x10\xE9\x07\x00\x04MQTT\x05\x02", ReasonCode::PACKET_TOO_LARGE, "too_large"),
        (b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01c", ReasonCode::UNSUPPORTED_VERSION, "protocol_level"),
        (b"\x10\x0e\x00\x04mqtt\x05\x02\x00\x00\x00\x00\x01c", ReasonCode::UNSUPPORTED_VERSION, "protocol_name"),
    ] {
        let mut peer = broker.dial().await;
        peer.raw(bytes).await;
        match peer.next().await {
            Some(Packet::Connack(connack)) => assert_eq!(connack.reason, reason, "{bytes:x?}"),
            other => panic!("{other:?} for {bytes:x?}"),
        }
        assert_eq!(peer.next().await, None);
        assert_eq!(faults.next().await, fault, "{bytes:x?}");
    }
    let mut peer = broker.dial().await;
    peer.raw(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01c").await;
    assert_eq!(peer.next().await, None);
    assert_eq!(faults.next().await, "reserved_bit");
}

#[tokio::test]
async fn refusals_are_counted() {
    let broker = Broker::configured(|config| {
        config.connect_timeout = ratatosk_connector::config_types::Duration::from_millis(20);
        config.max_subscriptions = 1;
    })
    .await;
    let faults = Faults::of(&broker);
    let mut silent = broker.dial().await;
    assert_eq!(silent.next().await, None);
    assert_eq!(faults.next().await, "connect_timeout");
    let mut refused = broker.dial().await;
    refused.connect(Connect { clean_start: false, ..hello(Version::V311, "") }).await;
    assert_eq!(faults.next().await, "connect_client_id");
    let mut enhanced = hello(Version::V5, "c");
    enhanced.properties.auth_method = Some("unheard of".into());
    let mut refused = broker.dial().await;
    refused.connect(enhanced).await;
    assert_eq!(faults.next().await, "connect_auth_method");
    let mut peer = broker.client("c").await;
    peer.subscribe_all(vec![wish("a#", Qos::AtMostOnce), wish("a", Qos::AtMostOnce), wish("b", Qos::AtMostOnce)], None)
        .await;
    assert_eq!((faults.next().await, faults.next().await), ("filter_invalid", "filter_refused"));
}
