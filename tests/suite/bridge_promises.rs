//! What an MQTT upstream promises beyond carrying messages, shown with stock Mosquittos: fail-over, shared ingress, a queue that
//! forgets what is too old, and an eye on acknowledgements that do not come.

use std::collections::BTreeSet;

use ratatosk_tests::sse::Envelope;
use ratatosk_tests::{Gateway, Mosquitto, SseStream};
use serde_json::Value;

const UPSTREAM: &[(&str, &str)] = &[("upstream", "factory")];

fn factory(url: &str, more: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{url}\"\nmax_backoff = \"300ms\"\nin = [{{ from = \"sensors/#\", to = \"sensors/#\" }}]\nout = [{{ from = \"commands/#\", to = \"commands/#\" }}]\n{more}\n"
    )
}

async fn is_up(gateway: &Gateway, up: bool) {
    let wanted = f64::from(u8::from(up));
    gateway.metric("ratatosk_upstream_up", UPSTREAM, |value| (value - wanted).abs() < 0.1).await;
}

#[tokio::test]
async fn another_address_takes_over_when_a_broker_is_killed() {
    let (mut first, second) = (Mosquitto::start().await, Mosquitto::start().await);
    let gateway = Gateway::with(&factory(&first.url(), &format!("also = [\"{}\"]", second.url()))).await;
    is_up(&gateway, true).await;
    let mut stream = gateway.sse(&[("channel", "sensors/#")]).await;
    first.publish("sensors/x", "from the first", &[]).await;
    assert_eq!(stream.message().await.payload(), b"from the first");
    let mut over_there = second.subscribe("commands/#", &["-q", "1"]).await;
    first.kill().await;
    gateway.metric("ratatosk_upstream_reconnects_total", UPSTREAM, |count| count > 0.5).await;
    gateway.metric("ratatosk_upstream_subscriptions", UPSTREAM, |count| count > 0.5).await;
    second.publish("sensors/x", "from the second", &["-q", "1"]).await;
    assert_eq!(stream.message().await.payload(), b"from the second");
    gateway.publish("commands/x", "to the second").await;
    assert_eq!(over_there.next().await.payload, b"to the second");
}

/// The payload as text, also where it reads as a JSON number.
fn text(message: &Envelope) -> String {
    match message.data() {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The payloads up to the one that is for this gateway alone.
async fn until(stream: &mut SseStream, end: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    loop {
        let payload = text(&stream.message().await);
        match payload.parse() {
            Ok(number) => assert!(numbers.insert(number), "{number} came twice"),
            Err(_) => {
                assert_eq!(payload, end);
                return numbers;
            }
        }
    }
}

#[tokio::test]
async fn gateways_of_one_share_divide_what_the_broker_sends() {
    let broker = Mosquitto::start().await;
    let one = Gateway::with(&factory(&broker.url(), "share = \"ingress\"")).await;
    let two = Gateway::with(&factory(&broker.url(), "share = \"ingress\"")).await;
    let (mut at_one, mut at_two) = (one.sse(&[("channel", "#")]).await, two.sse(&[("channel", "#")]).await);
    for gateway in [&one, &two] {
        gateway.metric("ratatosk_upstream_subscriptions", UPSTREAM, |count| count > 0.5).await;
    }
    for number in 0..40 {
        broker.publish("sensors/x", number.to_string(), &["-q", "1"]).await;
    }
    let received = async || {
        let mut sum = 0.0;
        for gateway in [&one, &two] {
            let count = gateway.metrics().await.sum("ratatosk_messages_received_total", &[("connector", "mqtt")]);
            sum += count.unwrap_or_default();
        }
        sum
    };
    ratatosk_tests::wait::eventually("all to be received", async || (received().await > 39.5).then_some(())).await;
    one.publish("end", "one").await;
    two.publish("end", "two").await;
    let (of_one, of_two) = (until(&mut at_one, "one").await, until(&mut at_two, "two").await);
    assert!(!of_one.is_empty() && !of_two.is_empty(), "both had a part: {} and {}", of_one.len(), of_two.len());
    assert!(of_one.is_disjoint(&of_two));
    assert_eq!(of_one.len() + of_two.len(), 40);
}

#[tokio::test]
async fn what_waits_for_too_long_is_not_sent_any_more() {
    let mut broker = Mosquitto::start().await;
    let gateway = Gateway::with(&factory(&broker.url(), "buffer = { age = \"300ms\" }")).await;
    is_up(&gateway, true).await;
    broker.kill().await;
    is_up(&gateway, false).await;
    gateway.publish("commands/old", "stale").await;
    gateway.metric("ratatosk_upstream_queue_oldest_seconds", UPSTREAM, |age| age > 0.3).await;
    broker.start_again().await;
    is_up(&gateway, true).await;
    let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;
    gateway.publish("commands/new", "fresh").await;
    assert_eq!(over_there.next().await.payload, b"fresh");
    let sent = broker.process().lines().iter().any(|line| line.text.contains("commands/old"));
    assert!(!sent, "the old message was sent");
    gateway.metric("ratatosk_upstream_queue_messages", UPSTREAM, |waiting| waiting < 0.5).await;
}

#[tokio::test]
async fn a_broker_that_stops_acknowledging_is_left_and_joined_anew() {
    let broker = Mosquitto::start().await;
    let patience = "ack_timeout = \"1s\"\nconnect_timeout = \"1s\"\nkeep_alive = \"60s\"";
    let gateway = Gateway::with(&factory(&broker.url(), patience)).await;
    is_up(&gateway, true).await;
    let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;
    broker.pause();
    gateway.publish("commands/x", "is it there?").await;
    gateway.metric("ratatosk_upstream_ack_stalls_total", UPSTREAM, |stalls| stalls > 0.5).await;
    is_up(&gateway, false).await;
    broker.resume();
    is_up(&gateway, true).await;
    // With QoS 1 a broker that only slept may have it twice.
    assert_eq!(over_there.next().await.payload, b"is it there?");
    gateway.metric("ratatosk_upstream_queue_messages", UPSTREAM, |waiting| waiting < 0.5).await;
}

#[tokio::test]
async fn what_waits_for_an_upstream_outlives_a_change_of_its_entry() {
    let (mut first, second) = (Mosquitto::start().await, Mosquitto::start().await);
    let gateway = Gateway::with(&factory(&first.url(), "")).await;
    is_up(&gateway, true).await;
    first.kill().await;
    is_up(&gateway, false).await;
    for number in 0..20 {
        gateway.publish("commands/x", number.to_string()).await;
    }
    gateway.metric("ratatosk_upstream_queue_messages", UPSTREAM, |waiting| waiting > 19.5).await;
    let mut over_there = second.subscribe("commands/#", &["-q", "1"]).await;
    assert!(gateway.reload(&factory(&second.url(), "keep_alive = \"30s\"")).await);
    gateway.publish("commands/x", "20").await;
    for number in 0..=20 {
        assert_eq!(over_there.next().await.payload, number.to_string().as_bytes());
    }
}
