//! Two gateways bridged to each other over MQTT, everything in both directions: nothing storms, nothing is lost.

use ratatosk_tests::mosquitto::Subscriber;
use ratatosk_tests::sse::Envelope;
use ratatosk_tests::{Gateway, SseStream};
use serde_json::Value;

const COUNT: usize = 200;

/// An upstream to that gateway, with everything in and out.
async fn everything_to(other: &Gateway, version: &str) -> String {
    let url = format!("mqtt://{}", other.mqtt().await);
    format!(
        "[[upstreams]]\nname = \"other\"\nkind = \"mqtt\"\nurl = \"{url}\"\nversion = \"{version}\"\nin = [{{ from = \"#\", to = \"#\" }}]\nout = [{{ from = \"#\", to = \"#\" }}]\n"
    )
}

async fn is_subscribed(gateway: &Gateway) {
    gateway.metric("ratatosk_upstream_subscriptions", &[("upstream", "other")], |count| count > 0.5).await;
}

/// The payload as text, also where it reads as a JSON number.
fn text(message: &Envelope) -> String {
    match message.data() {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The payloads up to the one that ends the test.
async fn until_end(stream: &mut SseStream) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let payload = text(&stream.message().await);
        if payload == "end" {
            return payloads;
        }
        payloads.push(payload);
    }
}

fn numbers() -> Vec<String> {
    (0..COUNT).map(|number| number.to_string()).collect()
}

async fn publish_and_end(gateway: &Gateway, channel: &str) {
    gateway.publish_all(channel, numbers()).await;
    gateway.publish(channel, "end").await;
}

/// One side joins the other as a client, in either version: with the mark and No Local in MQTT 5, by fingerprint before it.
#[tokio::test]
async fn one_bridge_carries_everything_both_ways_once() {
    for version in ["5", "3.1.1"] {
        let there = Gateway::start().await;
        let here = Gateway::with(&everything_to(&there, version).await).await;
        is_subscribed(&here).await;
        let (mut seen_here, mut seen_there) =
            (here.sse(&[("channel", "to/#")]).await, there.sse(&[("channel", "to/#")]).await);
        publish_and_end(&here, "to/there").await;
        assert_eq!(until_end(&mut seen_there).await, numbers(), "version {version}");
        assert_eq!(until_end(&mut seen_here).await, numbers(), "version {version}");
        publish_and_end(&there, "to/here").await;
        assert_eq!(until_end(&mut seen_here).await, numbers(), "version {version}");
        assert_eq!(
            until_end(&mut seen_there).await,
            numbers(),
            "version {version}: what came from there is not sent back"
        );
    }
}

/// Each side joins the other: there are two ways from each to the other, and each message is taken by one of them.
#[tokio::test]
async fn two_bridges_between_the_same_gateways_do_not_storm() {
    let there = Gateway::start().await;
    let here = Gateway::with(&everything_to(&there, "5").await).await;
    assert!(there.reload(&everything_to(&here, "5").await).await, "the second bridge is taken");
    is_subscribed(&here).await;
    is_subscribed(&there).await;
    let mut seen_here = here.sse(&[("channel", "to/#")]).await;
    let mut seen_there = there.sse(&[("channel", "to/#")]).await;
    publish_and_end(&here, "to/there").await;
    assert_eq!(until_end(&mut seen_here).await, numbers(), "its own messages once, and none of them from there");
    assert_eq!(until_end(&mut seen_there).await, numbers(), "both bridges bring them, and one copy is taken");
    // What circulates would still be counted: nothing more comes before the next message.
    let mut next_here = Subscriber::start(here.mqtt().await.port(), "to/#", &["-q", "1"]).await;
    there.publish("to/here", "next").await;
    assert_eq!(next_here.next().await.payload, b"next");
    assert_eq!(seen_here.message().await.payload(), b"next");
    let cut = here.metrics().await.sum("ratatosk_messages_dropped_total", &[("reason", "loop")]).unwrap_or(0.0)
        + there.metrics().await.sum("ratatosk_messages_dropped_total", &[("reason", "loop")]).unwrap_or(0.0);
    assert!(cut >= f64::from(u32::try_from(COUNT).expect("small")), "loops are cut and counted: {cut}");
}
