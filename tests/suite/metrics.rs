//! `/metrics`: what CONTRACT promises is there, and nothing a client chose becomes a label.

use ratatosk_tests::mosquitto::{Subscriber, publish};
use ratatosk_tests::{Gateway, Mosquitto};

const PROMISED: &[&str] = &[
    "connections",
    "connections_opened_total",
    "connections_closed_total",
    "sessions",
    "channels",
    "subscriptions",
    "messages_received_total",
    "messages_delivered_total",
    "received_bytes_total",
    "delivered_bytes_total",
    "messages_dropped_total",
    "mapping_loss_total",
    "delivery_seconds",
    "upstream_up",
    "upstream_reconnects_total",
    "upstream_rtt_seconds",
    "upstream_last_message_timestamp_seconds",
    "resume_total",
    "history_messages",
    "retained_messages",
    "outbox_messages",
    "auth_total",
    "config_reloads_total",
    "build_info",
];

#[tokio::test]
async fn every_promised_metric_is_there() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::setup().arguments(&["bridge", &broker.url(), "sensors/#"]).start().await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    let mut stream = gateway.sse(&[("channel", "sensors/#")]).await;
    broker.publish("sensors/x", "1", &[]).await;
    stream.message().await;
    let scrape = gateway.metrics().await;
    let missing: Vec<_> = PROMISED.iter().filter(|name| !scrape.declares(&format!("ratatosk_{name}"))).collect();
    assert!(missing.is_empty(), "missing: {missing:?}\n{}", scrape.text);
    assert!(
        scrape.declares("process_resident_memory_bytes") && scrape.declares("process_open_fds"),
        "the process metrics"
    );
}

#[tokio::test]
async fn the_numbers_are_those_of_what_happened() {
    let gateway = Gateway::start().await;
    let mut streams = [gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "#")]).await];
    for n in 0..10 {
        gateway.publish("a", n.to_string()).await;
    }
    for stream in &mut streams {
        for _ in 0..10 {
            stream.message().await;
        }
    }
    let sse = [("connector", "sse")];
    gateway.metric("ratatosk_messages_delivered_total", &sse, |count| (count - 20.0).abs() < 0.1).await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.sum("ratatosk_messages_received_total", &[("connector", "http")]), Some(10.0));
    assert_eq!(scrape.sum("ratatosk_connections", &sse), Some(2.0));
    assert_eq!(scrape.sum("ratatosk_connections_opened_total", &sse), Some(2.0));
    assert_eq!(scrape.sum("ratatosk_subscriptions", &[]), Some(2.0));
    assert_eq!(scrape.sum("ratatosk_delivery_seconds_count", &[("to", "sse")]), Some(20.0));
    assert!(scrape.sum("ratatosk_history_messages", &[]).is_some_and(|kept| kept >= 10.0));
    assert!(scrape.sum("ratatosk_delivered_bytes_total", &sse).is_some_and(|bytes| bytes > 10.0));
    drop(streams);
    gateway.metric("ratatosk_connections", &sse, |open| open < 0.5).await;
    gateway.metric("ratatosk_connections_closed_total", &sse, |closed| (closed - 2.0).abs() < 0.1).await;
}

/// CONTRACT 5: what a protocol has no place for is counted, once per message however many subscribers there are.
#[tokio::test]
async fn what_a_translation_loses_is_counted_once_per_message() {
    let gateway = Gateway::start().await;
    let envelopes = [gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "#")]).await];
    let mut raw = gateway.sse(&[("channel", "a"), ("format", "raw")]).await;
    let port = gateway.mqtt().await.port();
    let mut old = [
        Subscriber::start(port, "a", &["-V", "mqttv311"]).await,
        Subscriber::start(port, "a", &["-V", "mqttv311", "-q", "1"]).await,
    ];
    let mut new = Subscriber::start(port, "a", &["-V", "mqttv5"]).await;
    let properties = ["-D", "publish", "user-property", "colour", "red", "-D", "publish", "content-type", "text/plain"];
    let expiry = ["-V", "mqttv5", "-D", "publish", "message-expiry-interval", "600"];
    let rounds = 3;
    for n in 0..rounds {
        publish(port, "a", n.to_string(), &[&expiry[..], &properties[..]].concat()).await;
        raw.event().await;
        for subscriber in &mut old {
            subscriber.next().await;
        }
        new.next().await;
    }
    let count = async |to: &str, field: &str, wanted: f64| {
        let labels = [("from", "mqtt"), ("to", to), ("field", field)];
        gateway.metric("ratatosk_mapping_loss_total", &labels, |count| (count - wanted).abs() < 0.1).await;
    };
    for (to, field) in
        [("sse", "expiry"), ("sse", "properties"), ("mqtt", "properties"), ("mqtt", "content_type"), ("mqtt", "expiry")]
    {
        count(to, field, f64::from(rounds)).await;
    }
    drop(envelopes);
}

#[tokio::test]
async fn names_that_clients_choose_are_no_labels() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.sse(&[("channel", "zebra-channel/#")]).await;
    gateway
        .publish_with(
            &[("channel", "zebra-channel/zebra-leaf"), ("event", "zebra-event"), ("retain", "true")],
            "zebra-payload",
        )
        .await;
    stream.message().await;
    gateway.get("/sse?channel=zebra/%23/bad").await;
    gateway.get("/zebra-path").await;
    let scrape = gateway.metrics().await;
    assert!(!scrape.text.contains("zebra"), "{}", scrape.text);
}

#[tokio::test]
async fn health_and_readiness_are_on_the_admin_listener_only() {
    let gateway = Gateway::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(gateway.admin(path).await.head.status, 200, "{path}");
        assert_eq!(gateway.get(path).await.head.status, 404, "{path}");
    }
    let kind = gateway.admin("/metrics").await.head.header("content-type").map(str::to_owned);
    assert!(kind.as_deref().is_some_and(|kind| kind.starts_with("text/plain")), "{kind:?}");
}
