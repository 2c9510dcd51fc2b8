//! With Mosquitto as it comes.

use ratatosk_connector::{
    rules::LoopGuard,
    upstream::{Mode, State},
};
use ratatosk_core::{Channel, Connector, Origin, Publication, Qos, stats::DropReason};
use ratatosk_mqtt::config::{MqttUpstreamConfig, MqttVersion};

use crate::{
    bench::{Upstream, eventually, spec, within},
    mosquitto::Mosquitto,
};

pub(crate) fn version(version: MqttVersion) -> MqttUpstreamConfig {
    MqttUpstreamConfig { version, ..Default::default() }
}

const BOTH: [MqttVersion; 2] = [MqttVersion::V311, MqttVersion::V5];

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_in_with_their_quality_and_retain_flag() {
    for which in BOTH {
        let broker = Mosquitto::start();
        broker.publish(&["-t", "sensors/old", "-m", "kept", "-r", "-q", "1"]);
        let mut up = Upstream::new(&broker.url(), &version(which), spec(&[("sensors/#", "factory/#")], &[]));
        let mut seen = up.subscribe("#");
        assert_eq!(up.event().await, "up ");
        assert_eq!(up.event().await, "+sensors/#");
        let first = seen.next().await;
        assert_eq!((first.channel.as_str(), &first.payload[..], first.retain), ("factory/old", &b"kept"[..], true));
        for (qos, level) in [("0", Qos::AtMostOnce), ("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce)] {
            broker.publish(&["-t", "sensors/a", "-m", qos, "-q", qos]);
            let message = seen.next().await;
            assert_eq!((&message.payload[..], message.qos, message.retain), (qos.as_bytes(), level, false));
            assert_eq!(message.origin.upstream.as_deref(), Some("far"));
        }
        broker.publish(&["-t", "elsewhere", "-m", "no"]);
        broker.publish(&["-t", "sensors/end", "-m", "yes"]);
        assert_eq!(seen.text().await, "factory/end yes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_survive_both_ways() {
    let broker = Mosquitto::start();
    let up =
        Upstream::new(&broker.url(), &MqttUpstreamConfig::default(), spec(&[("a/#", "in/#")], &[("out/#", "b/#")]));
    let mut seen = up.subscribe("in/#");
    within(up.handle.reached(State::Up)).await;
    eventually("subscribed", || up.handle.status().subscriptions == 1).await;
    broker.publish(&[
        "-V",
        "5",
        "-t",
        "a/x",
        "-m",
        "{}",
        "-q",
        "1",
        "-r",
        "-D",
        "publish",
        "content-type",
        "application/json",
        "-D",
        "publish",
        "response-topic",
        "b/answers",
        "-D",
        "publish",
        "correlation-data",
        "c7",
        "-D",
        "publish",
        "user-property",
        "k",
        "v1",
        "-D",
        "publish",
        "user-property",
        "k",
        "v2",
        "-D",
        "publish",
        "message-expiry-interval",
        "600",
        "-D",
        "publish",
        "payload-format-indicator",
        "1",
        "-D",
        "publish",
        "user-property",
        "ratatosk-hops",
        "g1,g2",
    ]);
    let message = seen.next().await;
    let extras = message.extras().unwrap();
    assert_eq!(message.content_type(), Some("application/json"));
    assert_eq!(extras.reply_to.as_ref().unwrap().as_str(), "out/answers");
    assert_eq!(extras.correlation.as_deref(), Some(&b"c7"[..]));
    let pairs: Vec<(&str, &str)> = extras.properties.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(pairs, [("k", "v1"), ("k", "v2")]);
    assert!(extras.utf8 && message.expires.is_some() && message.retain);
    assert_eq!(message.origin.hops.iter().map(|hop| &**hop).collect::<Vec<_>>(), ["g1", "g2"]);

    let mut theirs = broker.subscribe(&["-V", "5", "-t", "b/#", "-F", "%t %q %r %C %R %D %E %P %p"]);
    let mut publication = Publication::new(Channel::new("out/y").unwrap(), "hello", Origin::gateway());
    publication.qos = Qos::ExactlyOnce;
    publication.expiry = Some(std::time::Duration::from_secs(600));
    let extras = publication.extras_mut();
    extras.content_type = Some("text/plain".into());
    extras.reply_to = Some(Channel::new("in/answers").unwrap());
    extras.correlation = Some("c8".into());
    extras.properties = vec![("n".into(), "1".into()), ("n".into(), "2".into())];
    up.bus.publish(publication).unwrap();
    let line = theirs.line().await;
    let id = up.bus.gateway_id();
    // mosquitto_sub subscribes with QoS 0 and shows the user properties joined.
    assert!(line.starts_with("b/y 0 0 text/plain a/answers c8 "), "{line}");
    for part in ["n:1", "n:2", &format!("ratatosk-hops:{id}"), "hello"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_out_with_their_quality_and_retain_flag() {
    for which in BOTH {
        let broker = Mosquitto::start();
        let up = Upstream::new(&broker.url(), &version(which), spec(&[], &[("commands/#", "cmd/#")]));
        let mut theirs = broker.subscribe(&["-q", "2", "-t", "cmd/#", "-F", "%t %q %r %p"]);
        for (qos, level) in [(Qos::AtMostOnce, "0"), (Qos::AtLeastOnce, "1"), (Qos::ExactlyOnce, "2")] {
            up.publish("commands/a", level, qos);
            assert_eq!(theirs.line().await, format!("cmd/a {level} 0 {level}"));
        }
        let retained = Publication::new(Channel::new("commands/r").unwrap(), "keep", Origin::gateway()).retained(true);
        up.bus.publish(retained).unwrap();
        assert_eq!(theirs.line().await, "cmd/r 1 0 keep");
        let mut later = broker.subscribe(&["-t", "cmd/#", "-F", "%t %r %p"]);
        assert_eq!(later.line().await, "cmd/r 1 keep");
        eventually("nothing left", || up.handle.queue_depth().messages == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_joined_again_and_gets_what_waited() {
    for which in BOTH {
        let mut broker = Mosquitto::start();
        let mut up = Upstream::new(&broker.url(), &version(which), spec(&[("a/#", "a/#")], &[("b/#", "b/#")]));
        let mut seen = up.subscribe("a/#");
        up.until("+a/#").await;
        broker.kill();
        assert!(up.event().await.starts_with("-a/# "));
        assert!(up.event().await.starts_with("down "));
        for n in 0..3 {
            up.publish("b/x", &n.to_string(), Qos::AtLeastOnce);
        }
        broker.start_again();
        up.until("up").await;
        assert_eq!(up.event().await, "+a/#");
        let mut theirs = broker.subscribe(&["-t", "b/#"]);
        up.publish("b/x", "after", Qos::AtLeastOnce);
        // What waited went out before we subscribed over there; what came later arrives.
        assert_eq!(theirs.line().await, "after");
        eventually("nothing left", || up.handle.queue_depth().messages == 0).await;
        assert_eq!(up.bus.stats().totals(Connector::register("mqtt")).delivered, 4);
        broker.publish(&["-t", "a/1", "-m", "again"]);
        assert_eq!(seen.text().await, "a/1 again");
        assert_eq!(up.handle.status().connections, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_stop_it_until_it_is_resumed() {
    for which in BOTH {
        let broker = Mosquitto::with("allow_anonymous false\npersistence false\n", "");
        let url = format!("mqtt://joe:wrong@127.0.0.1:{}", broker.port);
        let mut up = Upstream::new(&url, &version(which), spec(&[("a/#", "a/#")], &[]));
        let told = up.event().await;
        assert!(told.starts_with("down the server refused us: ") && !told.contains("wrong"), "{told}");
        assert!(within(up.handle.reached(State::Refused)).await);
        up.handle.stop();
        within(up.task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_measured() {
    let broker = Mosquitto::start();
    let config = MqttUpstreamConfig { keep_alive: "1s".parse().unwrap(), ..Default::default() };
    let mut up = Upstream::new(&broker.url(), &config, spec(&[], &[]));
    up.until("ping").await;
    up.until("ping").await;
    assert!(up.handle.status().round_trip.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket() {
    for which in BOTH {
        let broker = Mosquitto::with("allow_anonymous true\npersistence false\n", "protocol websockets");
        let url = format!("mqtt+ws://127.0.0.1:{}/mqtt", broker.port);
        let bus_rules = spec(&[("echo/#", "back/#")], &[("there/#", "echo/#")]);
        let spec = ratatosk_connector::upstream::BridgeSpec { guard: LoopGuard::None, ..bus_rules };
        // MQTT 3.1.1 has no way to keep a client's own messages from it: that makes an echo here.
        if which == MqttVersion::V311 {
            let up = Upstream::new(&url, &version(which), spec);
            let mut seen = up.subscribe("back/#");
            eventually("subscribed", || up.handle.status().subscriptions == 1).await;
            let large = "x".repeat(300_000);
            up.publish("there/1", &large, Qos::ExactlyOnce);
            assert_eq!(seen.next().await.payload.len(), large.len());
        } else {
            let up = Upstream::new(&url, &version(which), spec);
            assert!(within(up.handle.reached(State::Up)).await);
            eventually("subscribed", || up.handle.status().subscriptions == 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_will_is_published_when_we_vanish_and_not_when_we_leave() {
    let broker = Mosquitto::start();
    let config: MqttUpstreamConfig =
        serde_json::from_str(r#"{"will": {"topic": "gone", "payload": "gw", "qos": 1}}"#).unwrap();
    let mut theirs = broker.subscribe(&["-t", "gone", "-t", "end"]);
    let vanish = Upstream::new(&broker.url(), &config, spec(&[], &[]));
    assert!(within(vanish.handle.reached(State::Up)).await);
    vanish.task.abort();
    assert_eq!(theirs.line().await, "gw");
    let leave = Upstream::new(&broker.url(), &config, spec(&[], &[]));
    assert!(within(leave.handle.reached(State::Up)).await);
    leave.handle.stop();
    within(leave.task).await.unwrap();
    broker.publish(&["-t", "end", "-m", "no will"]);
    assert_eq!(theirs.line().await, "no will");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_subscribes_when_somebody_listens() {
    let broker = Mosquitto::start();
    let mode = Mode::OnDemand { linger: std::time::Duration::from_millis(50) };
    let spec = ratatosk_connector::upstream::BridgeSpec { mode, ..spec(&[("sensors/#", "factory/#")], &[]) };
    let mut up = Upstream::new(&broker.url(), &MqttUpstreamConfig::default(), spec);
    assert_eq!(up.event().await, "up ");
    let mut one = up.subscribe("factory/kitchen/+");
    assert_eq!(up.event().await, "+sensors/kitchen/+");
    let two = up.subscribe("factory/kitchen/+");
    broker.publish(&["-t", "sensors/kitchen/t", "-m", "1"]);
    assert_eq!(one.text().await, "factory/kitchen/t 1");
    drop(two);
    drop(one);
    assert_eq!(up.event().await, "-sensors/kitchen/+ unsubscribed");
}

/// Two gateways and two brokers in a ring, everything bridged both ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_gateways_does_not_storm() {
    let (left, right) = (Mosquitto::start(), Mosquitto::start());
    let config = MqttUpstreamConfig::default();
    let named = |name: &str| ratatosk_connector::upstream::BridgeSpec {
        name: name.into(),
        ..spec(&[("r/#", "r/#")], &[("r/#", "r/#")])
    };
    let a = Upstream::new(&left.url(), &config, named("left"));
    let a2 = Upstream::on(a.bus.clone(), &right.url(), &config, named("right"));
    let b = Upstream::new(&left.url(), &config, named("left"));
    let b2 = Upstream::on(b.bus.clone(), &right.url(), &config, named("right"));
    for up in [&a, &a2, &b, &b2] {
        eventually("subscribed", || up.handle.status().subscriptions == 1).await;
    }
    let (mut at_a, mut at_b) = (a.subscribe("r/#"), b.subscribe("r/#"));
    for n in 0..100 {
        a.publish("r/x", &n.to_string(), Qos::AtLeastOnce);
    }
    // Each message reaches B over both brokers, which takes it by one, and A again over none.
    for n in 0..100 {
        assert_eq!(at_b.text().await, format!("r/x {n}"));
    }
    let idle = |up: &Upstream| up.handle.queue_depth().messages == 0;
    eventually("everything sent", || [&a, &a2, &b, &b2].into_iter().all(idle)).await;
    let loops = |up: &Upstream| up.bus.stats().drops(Connector::register("mqtt"), DropReason::Loop);
    // B hands each on to the other broker, from where it would come back to A: cut there, and counted.
    eventually("loops and copies are counted", || loops(&a) >= 100 && loops(&b) >= 100).await;
    assert!(at_b.try_next().is_none());
    let own = std::iter::from_fn(|| at_a.try_next()).count();
    assert_eq!(own, 100, "A sees its own messages once");
}
