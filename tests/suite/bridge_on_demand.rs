//! `mode = "on_demand"`, by each of the four protocols between two gateways: the far one is subscribed to once somebody here
//! listens, once for all of them, and no longer when the last has left.

use ratatosk_tests::{Gateway, wait::eventually};

/// How a gateway joins another by each protocol: its kind, its address, and what else it needs.
async fn upstream(kind: &str, there: &Gateway) -> String {
    let http = there.http;
    let (url, more) = match kind {
        "mqtt" => (format!("mqtt://{}", there.mqtt().await), "version = \"5\""),
        "sse" => (format!("http://{http}/sse"), "format = \"envelope\""),
        "bayeux" => (format!("bayeux+ws://{http}/bayeux"), ""),
        _ => (format!("pusher+ws://{http}/app/demo-key"), ""),
    };
    format!("[[upstreams]]\nname = \"there\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{more}\n")
}

/// Whether anybody over there is subscribed to the channel: the API names every channel that somebody is subscribed to.
async fn wanted_there(there: &Gateway) -> bool {
    let channels = there.admin("/api/channels").await.json();
    channels.to_string().contains("sensors/kitchen")
}

async fn listens(kind: &str) {
    let there = Gateway::start().await;
    let rules =
        "mode = \"on_demand\"\nlinger = \"200ms\"\nin = [{ from = \"sensors/kitchen\", to = \"far/kitchen\" }]\n";
    let here = Gateway::with(&(upstream(kind, &there).await + rules)).await;
    let subscriptions = |wanted: f64| {
        here.metric("ratatosk_upstream_subscriptions", &[("upstream", "there")], move |count| {
            (count - wanted).abs() < 0.1
        })
    };
    subscriptions(0.0).await;
    let elsewhere = here.sse(&[("channel", "near/#")]).await;
    assert!(!wanted_there(&there).await, "{kind}: nobody wants it yet");
    for round in 0..2 {
        let mut first = here.sse(&[("channel", "far/kitchen")]).await;
        subscriptions(1.0).await;
        eventually("the far side to know", async || wanted_there(&there).await.then_some(())).await;
        let before = there.metrics().await.sum("ratatosk_subscriptions", &[]);
        let mut second = here.sse(&[("channel", "far/#")]).await;
        let payload = format!("round {round}");
        there.publish("sensors/kitchen", &payload).await;
        for stream in [&mut first, &mut second] {
            let message = stream.message().await;
            assert_eq!((message.channel(), message.payload()), ("far/kitchen", payload.clone().into_bytes()), "{kind}");
        }
        assert_eq!(there.metrics().await.sum("ratatosk_subscriptions", &[]), before, "{kind}: one serves both");
        drop(first);
        let mut second_still = second;
        there.publish("sensors/kitchen", "still").await;
        assert_eq!(second_still.message().await.payload(), b"still", "{kind}: while one is left");
        drop(second_still);
        subscriptions(0.0).await;
        eventually("the far side to be rid of it", async || (!wanted_there(&there).await).then_some(())).await;
    }
    drop(elsewhere);
}

#[tokio::test]
async fn mqtt_subscribes_while_somebody_listens() {
    listens("mqtt").await;
}

#[tokio::test]
async fn sse_subscribes_while_somebody_listens() {
    listens("sse").await;
}

#[tokio::test]
async fn bayeux_subscribes_while_somebody_listens() {
    listens("bayeux").await;
}

#[tokio::test]
async fn pusher_subscribes_while_somebody_listens() {
    listens("pusher").await;
}
