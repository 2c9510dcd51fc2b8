use super::*;
use crate::{config::Overlapping, proto::codec::RetainHandling};

fn with(filter: &str, change: impl FnOnce(&mut SubscribeOptions)) -> Vec<SubscribeFilter> {
    let mut wish = wish(filter, Qos::AtMostOnce);
    change(&mut wish.options);
    vec![wish]
}

#[tokio::test]
async fn one_reason_per_filter() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    let filters = ["a", "a#", "$share/g/b", "$share//b", "", "+/x"].map(|filter| wish(filter, Qos::AtLeastOnce));
    let reasons: Vec<u8> = peer.subscribe_all(filters.into(), None).await.iter().map(|reason| reason.0).collect();
    assert_eq!(reasons, [1, 0x8F, 1, 0x8F, 0x8F, 1]);
    let (mut old, _) = broker.join(hello(Version::V311, "old")).await;
    let reasons = old.subscribe_all(vec![wish("a#", Qos::AtMostOnce)], None).await;
    assert_eq!(reasons, [ReasonCode::UNSPECIFIED]);
}

#[tokio::test]
async fn unsubscribing() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe("t", Qos::AtMostOnce).await;
    assert_eq!(peer.unsubscribe("t").await, [ReasonCode::SUCCESS]);
    assert_eq!(peer.unsubscribe("t").await, [ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    assert_eq!(peer.unsubscribe("a#").await, [ReasonCode::FILTER_INVALID]);
    peer.publish("t", "x").await;
    peer.expect_silence().await;
}

#[tokio::test]
async fn retained_messages_and_retain_handling() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.send(&retained("t/a", "1")).await;
    peer.send(&retained("t/b", "2")).await;
    peer.send(&retained("t/c", "3")).await;
    peer.send(&retained("t/c", "")).await;
    peer.subscribe_all(vec![wish("t/#", Qos::AtMostOnce)], Some(7)).await;
    for expected in ["t/a", "t/b"] {
        let got = peer.publication().await;
        assert_eq!((got.retain, &*got.topic), (true, expected));
        assert_eq!(got.properties.subscription_ids.len(), 1);
    }
    peer.expect_silence().await;
    peer.subscribe_all(with("t/#", |options| options.retain_handling = RetainHandling::IfNew), None).await;
    peer.expect_silence().await;
    peer.subscribe_all(with("t/#", |options| options.retain_handling = RetainHandling::Always), None).await;
    assert_eq!([peer.topic().await, peer.topic().await], ["t/a", "t/b"]);
    let mut other = broker.client("other").await;
    other.subscribe_all(with("t/#", |options| options.retain_handling = RetainHandling::Never), None).await;
    other.expect_silence().await;
    other.subscribe_all(with("t/a", |options| options.retain_handling = RetainHandling::IfNew), None).await;
    assert_eq!(other.topic().await, "t/a");
    other.subscribe("$share/g/t/a", Qos::AtMostOnce).await;
    other.expect_silence().await;
}

#[tokio::test]
async fn live_messages_lose_the_retain_flag_unless_it_is_asked_for() {
    let broker = Broker::start().await;
    let mut plain = broker.client("plain").await;
    plain.subscribe("t", Qos::AtMostOnce).await;
    let mut faithful = broker.client("faithful").await;
    faithful.subscribe_all(with("t", |options| options.retain_as_published = true), None).await;
    plain.send(&retained("t", "x")).await;
    assert!(!plain.publication().await.retain);
    assert!(faithful.publication().await.retain);
}

#[tokio::test]
async fn no_local() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe_all(with("t", |options| options.no_local = true), None).await;
    peer.publish("t", "own").await;
    broker.client("other").await.publish("t", "other").await;
    assert_eq!(peer.publication().await.payload, "other");
}

#[tokio::test]
async fn overlapping_subscriptions_are_merged() {
    let broker = Broker::start().await;
    let mut peer = broker.client("c").await;
    peer.subscribe_all(vec![wish("t/#", Qos::AtMostOnce)], Some(3)).await;
    peer.subscribe_all(vec![wish("t/+", Qos::AtLeastOnce)], Some(2)).await;
    peer.send(&note("t/x", "x", Qos::AtLeastOnce, 1)).await;
    let answers = [peer.next().await.unwrap(), peer.next().await.unwrap()];
    let got = answers.iter().find_map(|p| if let Packet::Publish(p) = p { Some(p) } else { None }).unwrap();
    let ids: Vec<u32> = got.properties.subscription_ids.iter().map(|id| id.get()).collect();
    assert_eq!((got.qos, ids), (Qos::AtLeastOnce, vec![2, 3]));
    peer.expect_silence().await;
}

#[tokio::test]
async fn overlapping_subscriptions_get_a_message_each_where_that_is_configured() {
    let broker = Broker::configured(|config| config.overlapping = Overlapping::Each).await;
    let mut peer = broker.client("c").await;
    peer.subscribe_all(vec![wish("t/#", Qos::AtMostOnce)], Some(3)).await;
    peer.subscribe_all(vec![wish("t/+", Qos::AtMostOnce)], Some(2)).await;
    peer.subscribe("$share/g/t/x", Qos::AtMostOnce).await;
    peer.publish("t/x", "x").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let got = peer.publication().await;
        ids.push(got.properties.subscription_ids.first().map_or(0, |id| id.get()));
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 2, 3]);
    peer.expect_silence().await;
}

#[tokio::test]
async fn a_shared_subscription_deals_to_its_members() {
    let broker = Broker::start().await;
    let mut members = [broker.client("a").await, broker.client("b").await];
    for member in &mut members {
        member.subscribe("$share/g/t/#", Qos::AtMostOnce).await;
    }
    let mut sender = broker.client("sender").await;
    for number in 0..10 {
        sender.publish("t/x", &number.to_string()).await;
    }
    for member in &mut members {
        for _ in 0..5 {
            member.publication().await;
        }
        member.expect_silence().await;
    }
    let [mut stays, leaves] = members;
    leaves.disconnect().await;
    for _ in 0..4 {
        sender.publish("t/x", "x").await;
        stays.publication().await;
    }
    assert_eq!(stays.unsubscribe("$share/g/t/#").await, [ReasonCode::SUCCESS]);
}

#[tokio::test]
async fn the_limit_of_subscriptions() {
    let broker = Broker::configured(|config| config.max_subscriptions = 1).await;
    let mut peer = broker.client("c").await;
    let wishes = vec![wish("a", Qos::AtMostOnce), wish("b", Qos::AtMostOnce)];
    assert_eq!(peer.subscribe_all(wishes, None).await, [ReasonCode::SUCCESS, ReasonCode::QUOTA_EXCEEDED]);
}

#[tokio::test]
async fn a_bridge_is_not_sent_its_own_messages_back() {
    let broker = Broker::start().await;
    let (mut bridge, _) = broker.join(Connect { bridge: true, ..hello(Version::V311, "bridge") }).await;
    bridge.subscribe("#", Qos::AtMostOnce).await;
    bridge.publish("t", "own").await;
    let mut other = broker.client("other").await;
    other.send(&retained("t", "other")).await;
    let got = bridge.publication().await;
    assert_eq!((got.payload, got.retain), ("other".into(), true));
}

#[tokio::test]
async fn the_gateways_own_topics() {
    let broker = Broker::configured(|config| {
        config.sys_interval = ratatosk_connector::config_types::Duration::from_millis(50);
    })
    .await;
    let mut peer = broker.client("c").await;
    for topic in ["$SYS/broker/uptime", "$share/g/t", "$monitor/x"] {
        assert_eq!(peer.publish_acked(topic, "x").await, ReasonCode::NOT_AUTHORIZED, "{topic}");
    }
    peer.subscribe("$SYS/broker/clients/connected", Qos::AtMostOnce).await;
    while peer.publication().await.payload != "1" {}
    peer.subscribe("#", Qos::AtMostOnce).await;
    peer.expect_silence().await;
}
