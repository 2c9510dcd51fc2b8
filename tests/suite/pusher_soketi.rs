//! Our Pusher client as a guest of a real soketi, beside pusher-js.

use ratatosk_tests::pusher::{Kind, Pusher};
use ratatosk_tests::soketi::Soketi;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, SseStream};
use serde_json::{Value, json};

fn upstream(soketi: &Soketi) -> String {
    format!(
        r##"
[[upstreams]]
name = "shop"
kind = "pusher"
url = "pusher+ws://127.0.0.1:{}/app/app-key"
app_id = "app-id"
secret = "app-secret"
user_id = "gateway"
user_info = '{{"kind":"bridge"}}'
presence_events = true
in = [
  {{ from = "private-orders", to = "shop/orders" }},
  {{ from = "presence-desk", to = "shop/desk" }},
  {{ from = "private-chat", to = "shop/chat" }},
]
out = [{{ from = "prices/#", to = "prices/#" }}, {{ from = "chat", to = "private-chat" }}]
"##,
        soketi.port
    )
}

/// Waits until the upstream says that all three subscriptions are confirmed.
async fn live(gateway: &Gateway) {
    eventually("three live subscriptions", async || {
        let body = gateway.admin("/api/upstreams").await.json();
        let text = body.to_string();
        (text.matches(r#""live":true"#).count() == 3).then_some(())
    })
    .await;
}

async fn envelope(stream: &mut SseStream, channel: &str) -> Value {
    loop {
        let message = stream.message().await;
        if message.channel() == channel {
            return message.json.clone();
        }
    }
}

#[tokio::test]
async fn private_presence_and_triggers_with_a_kill_in_the_middle() {
    let mut soketi = Soketi::start().await;
    let gateway = Gateway::with(&upstream(&soketi)).await;
    live(&gateway).await;
    let mut stream = gateway.sse(&[("channel", "shop/#")]).await;
    let mut anna = Pusher::connect_with(Kind::Node, soketi.address(), Soketi::application("anna")).await;

    // Presence: we are a member there, and its joins are events here.
    let desk = anna.subscribe("presence-desk").await;
    assert_eq!(desk["members"]["gateway"], json!({"kind": "bridge"}), "{desk}");
    let joined = envelope(&mut stream, "shop/desk").await;
    assert_eq!((&joined["event"], &joined["data"]["user_id"]), (&json!("member_added"), &json!("anna")), "{joined}");

    // What clients say on a private channel comes in; what enters here goes out as a client event or by the HTTP API.
    for channel in ["private-orders", "private-chat", "prices.eur"] {
        anna.subscribe(channel).await;
    }
    for round in 0..2 {
        anna.trigger("private-orders", "client-order", json!({"n": round})).await;
        let order = envelope(&mut stream, "shop/orders").await;
        assert_eq!((&order["event"], &order["data"]), (&json!("client-order"), &json!({"n": round})), "{order}");
        gateway.publish("chat", format!(r#"{{"hello":{round}}}"#)).await;
        let said = anna.event_named("client-message").await;
        assert_eq!((&said["channel"], &said["data"]), (&json!("private-chat"), &json!({"hello": round})), "{said}");
        gateway.publish("prices/eur", format!("1.{round}")).await;
        let price = anna.event_named("message").await;
        assert_eq!(price["channel"], "prices.eur", "{price}");
        if round == 1 {
            break;
        }
        soketi.kill().await;
        gateway.metric("ratatosk_upstream_up", &[("upstream", "shop")], |up| up < 0.5).await;
        soketi.start_again().await;
        gateway.metric("ratatosk_upstream_up", &[("upstream", "shop")], |up| up > 0.5).await;
        live(&gateway).await;
        // pusher-js comes back by itself, with all its channels.
        let mut missing = vec!["presence-desk", "private-orders", "private-chat", "prices.eur"];
        while !missing.is_empty() {
            let again = anna.script.expect("subscribed").await;
            missing.retain(|channel| again["channel"] != *channel);
        }
    }

    // A message for a server that is away waits for it.
    soketi.kill().await;
    gateway.metric("ratatosk_upstream_up", &[("upstream", "shop")], |up| up < 0.5).await;
    gateway.publish("prices/late", "2").await;
    soketi.start_again().await;
    gateway.metric("ratatosk_upstream_up", &[("upstream", "shop")], |up| up > 0.5).await;
    eventually("the message to have left", async || {
        let queued = gateway.metrics().await.sum("ratatosk_upstream_queue_messages", &[("upstream", "shop")]);
        queued.is_none_or(|waiting| waiting < 0.5).then_some(())
    })
    .await;
}
