use super::*;

#[tokio::test]
async fn a_session_waits_for_its_client() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t/#", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    assert_eq!(broker.server.sessions(), (0, 1));
    let mut sender = broker.client("sender").await;
    for number in 0..20 {
        sender.publish_acked("t/x", &number.to_string()).await;
    }
    sender.publish("t/x", "qos 0").await;
    sender.expect_silence().await;
    let (mut peer, connack) = broker.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    for number in 0..20 {
        let got = peer.publication().await;
        assert_eq!((got.payload.clone(), got.dup), (number.to_string().into(), false));
        peer.ack(&got).await;
    }
    peer.expect_silence().await;
    peer.publish("t/x", "still subscribed").await;
    assert_eq!(peer.publication().await.payload, "still subscribed");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_once_and_in_order() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    let mut sender = broker.client("sender").await;
    for number in 0..5 {
        sender.publish_acked("t", &number.to_string()).await;
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        let got = peer.publication().await;
        ids.push(got.packet_id);
        if ids.len() == 2 {
            peer.ack(&got).await;
        }
    }
    peer.expect_silence().await;
    drop(peer);
    let (mut peer, connack) = broker.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    for number in [0, 2, 3, 4] {
        let got = peer.publication().await;
        assert_eq!((got.payload.clone(), got.dup, got.packet_id), (number.to_string().into(), true, ids[number]));
        peer.ack(&got).await;
    }
    peer.expect_silence().await;
}

#[tokio::test]
async fn clean_start_forgets() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    broker.client("sender").await.publish_acked("t", "x").await;
    let (mut peer, connack) = broker.join(lasting("c", true, 1000)).await;
    assert!(!connack.session_present);
    peer.expect_silence().await;
    assert_eq!(peer.unsubscribe("t").await, [ReasonCode::NO_SUBSCRIPTION_EXISTED]);
}

#[tokio::test]
async fn a_session_without_expiry_ends_with_its_connection() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    assert_eq!(broker.server.sessions(), (0, 0));
    let (_, connack) = broker.join(lasting("c", false, 0)).await;
    assert!(!connack.session_present);
}

#[tokio::test]
async fn sessions_of_mqtt_3_live_on_without_clean_session() {
    let broker = Broker::start().await;
    let connect = || Connect { clean_start: false, ..hello(Version::V311, "c") };
    let (mut peer, connack) = broker.join(connect()).await;
    assert!(!connack.session_present);
    peer.subscribe("t", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    let (mut peer, connack) = broker.join(connect()).await;
    assert!(connack.session_present);
    peer.publish("t", "x").await;
    assert_eq!(peer.publication().await.payload, "x");
}

#[tokio::test]
async fn sessions_expire() {
    let broker = Broker::start().await;
    let (peer, _) = broker.join(lasting("c", true, 1)).await;
    peer.disconnect().await;
    assert_eq!(broker.server.sessions(), (0, 1));
    tokio::time::timeout(PATIENCE, async {
        while broker.server.sessions() != (0, 0) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let (_, connack) = broker.join(lasting("c", false, 1)).await;
    assert!(!connack.session_present);
}

#[tokio::test]
async fn disconnect_may_change_the_expiry() {
    let broker = Broker::start().await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    let goodbye = Disconnect { session_expiry: Some(0), ..Disconnect::default() };
    peer.send(&Packet::Disconnect(goodbye)).await;
    assert_eq!(peer.next().await, None);
    assert_eq!(broker.server.sessions(), (0, 0));
    let mut peer = broker.client("c").await;
    let goodbye = Disconnect { session_expiry: Some(9), ..Disconnect::default() };
    peer.send(&Packet::Disconnect(goodbye)).await;
    peer.expect_disconnect(ReasonCode::PROTOCOL_ERROR).await;
}

#[tokio::test]
async fn a_second_connection_takes_over() {
    let broker = Broker::start().await;
    let (mut first, _) = broker.join(lasting("c", true, 1000)).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    let (mut second, connack) = broker.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    first.expect_disconnect(ReasonCode::SESSION_TAKEN_OVER).await;
    second.publish("t", "x").await;
    assert_eq!(second.publication().await.payload, "x");
    let (mut third, connack) = broker.join(lasting("c", true, 0)).await;
    assert!(!connack.session_present);
    second.expect_disconnect(ReasonCode::SESSION_TAKEN_OVER).await;
    third.expect_silence().await;
    assert_eq!(broker.server.sessions(), (1, 0));
}

#[tokio::test]
async fn many_connections_of_one_client_leave_one_session() {
    let broker = Broker::start().await;
    let mut joining = Vec::new();
    for number in 0..20 {
        let mut peer = broker.dial().await;
        let connect = lasting("c", number % 3 == 0, if number % 2 == 0 { 100 } else { 0 });
        joining.push(tokio::spawn(async move {
            peer.send(&Packet::Connect(Box::new(connect))).await;
            peer
        }));
    }
    let mut peers = Vec::new();
    for join in joining {
        peers.push(join.await.unwrap());
    }
    let (mut last, _) = broker.join(lasting("c", true, 0)).await;
    last.expect_silence().await;
    for mut peer in peers {
        while peer.next().await.is_some() {}
    }
    assert_eq!(broker.server.sessions(), (1, 0));
    assert_eq!(broker.bus.sessions_of(*crate::mapping::CONNECTOR), 1);
}

#[tokio::test]
async fn a_full_queue_is_told_when_the_client_is_back() {
    let broker = Broker::configured(|config| config.max_queued_messages = 2).await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    let mut sender = broker.client("sender").await;
    for number in 0..5 {
        sender.publish_acked("t", &number.to_string()).await;
    }
    // The lane may be a step behind the acknowledgement.
    let drops = || broker.bus.stats().drops(*crate::mapping::CONNECTOR, ratatosk_core::stats::DropReason::QueueFull);
    while drops() < 3 {
        tokio::task::yield_now().await;
    }
    let (mut peer, connack) = broker.join(lasting("c", false, 1000)).await;
    assert_eq!(connack.properties.user_properties, [("dropped".into(), "3".into())]);
    assert_eq!(peer.publication().await.payload, "3");
    assert_eq!(peer.publication().await.payload, "4");
}

#[tokio::test]
async fn the_number_of_waiting_sessions_is_limited() {
    let broker = Broker::configured(|config| config.max_sessions = 1).await;
    let (peer, _) = broker.join(lasting("a", true, 1000)).await;
    peer.disconnect().await;
    let mut refused = broker.dial().await;
    assert_eq!(refused.connect(lasting("b", true, 1000)).await.reason, ReasonCode::QUOTA_EXCEEDED);
    let _a = broker.join(lasting("a", false, 1000)).await;
    let _b = broker.join(lasting("b", true, 1000)).await;
}

/// Everyone may subscribe to everything, until only `open/#` is left.
#[derive(Default)]
struct Narrowing(std::sync::atomic::AtomicBool);

impl Authenticate for Narrowing {
    fn authenticate<'a>(&'a self, _: Credentials<'a>) -> AuthFuture<'a> {
        Box::pin(std::future::ready(Ok(ratatosk_connector::access::Rights::unrestricted())))
    }

    fn may_subscribe(&self, _: &ratatosk_connector::access::Rights, filter: &ratatosk_core::Filter) -> bool {
        !self.0.load(std::sync::atomic::Ordering::Relaxed) || filter.as_str() == "open/#"
    }
}

#[tokio::test]
async fn fewer_rights_take_what_waits_with_the_subscriptions() {
    let auth = Arc::new(Narrowing::default());
    let broker = Broker::with(MqttConfig::default(), auth.clone()).await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    for filter in ["open/#", "closed/#", "#"] {
        peer.subscribe(filter, Qos::AtLeastOnce).await;
    }
    peer.disconnect().await;
    let mut publisher = broker.client("p").await;
    for topic in ["closed/a", "open/a", "closed/b", "other"] {
        publisher.publish_acked(topic, "x").await;
    }
    while broker.bus.backlog().messages < 4 {
        tokio::task::yield_now().await;
    }
    auth.0.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut peer, connack) = broker.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    assert_eq!(peer.topic().await, "open/a");
    peer.expect_silence().await;
}
