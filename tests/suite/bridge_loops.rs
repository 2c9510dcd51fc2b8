//! Two gateways bridged both ways, by each of the four protocols: every message arrives at the other once, and none comes back.

use ratatosk_tests::{Gateway, SseStream};
use serde_json::Value;

const COUNT: usize = 100;

/// How a gateway joins another by each protocol, in both directions.
async fn upstream(kind: &str, other: &Gateway) -> String {
    let http = other.http;
    let (url, more) = match kind {
        "mqtt" => (format!("mqtt://{}", other.mqtt().await), "version = \"5\"".to_owned()),
        "sse" => {
            let publish = format!("publish = {{ url = \"http://{http}/publish\", preset = \"ratatosk\" }}");
            (format!("http://{http}/sse"), format!("format = \"envelope\"\n{publish}"))
        }
        "bayeux" => (format!("bayeux+ws://{http}/bayeux"), String::new()),
        _ => (format!("pusher+ws://{http}/app/demo-key"), "app_id = \"demo\"\nsecret = \"demo-secret\"".to_owned()),
    };
    format!("[[upstreams]]\nname = \"other\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{more}\n")
}

const IN: &str = "in = [{ from = \"to/here\", to = \"to/here\" }, { from = \"to/there\", to = \"to/there\" }]\n";
const OUT: &str = "out = [{ from = \"to/#\", to = \"to/#\" }]\n";

/// Starts both, each with its rules about the other.
async fn pair(kind: &str, rules_here: &str, rules_there: &str) -> (Gateway, Gateway) {
    let there = Gateway::start().await;
    let here = Gateway::with(&(upstream(kind, &there).await + rules_here)).await;
    if !rules_there.is_empty() {
        assert!(there.reload(&(upstream(kind, &here).await + rules_there)).await, "{kind}: the second bridge is taken");
    }
    for (gateway, rules) in [(&here, rules_here), (&there, rules_there)] {
        if rules.contains("in = ") {
            gateway.metric("ratatosk_upstream_subscriptions", &[("upstream", "other")], |count| count > 0.5).await;
        }
        if !rules.is_empty() {
            gateway.metric("ratatosk_upstream_up", &[("upstream", "other")], |up| up > 0.5).await;
        }
    }
    (here, there)
}

async fn until_end(stream: &mut SseStream) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let message = stream.message().await;
        let payload = match message.data() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if payload == "end" {
            return payloads;
        }
        payloads.push(payload);
    }
}

/// Everything that is published on either side arrives on both, once and in order.
async fn carries_once(kind: &str, (here, there): (Gateway, Gateway)) {
    let mut seen_here = here.sse(&[("channel", "to/#")]).await;
    let mut seen_there = there.sse(&[("channel", "to/#")]).await;
    let numbers: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    for (gateway, channel) in [(&here, "to/there"), (&there, "to/here"), (&here, "to/here"), (&there, "to/there")] {
        gateway.publish_all(channel, numbers.iter().cloned()).await;
        gateway.publish(channel, "end").await;
        // What circled would come between, or before the end of the next round.
        assert_eq!(until_end(&mut seen_here).await, numbers, "{kind}: {channel} at this side");
        assert_eq!(until_end(&mut seen_there).await, numbers, "{kind}: {channel} at the other");
    }
    // A message each way after all has come to rest: nothing else is on its way.
    for gateway in [&here, &there] {
        gateway.publish("to/here", "last").await;
        assert_eq!(seen_here.message().await.payload(), b"last", "{kind}");
        assert_eq!(seen_there.message().await.payload(), b"last", "{kind}");
    }
}

/// One side joins the other and carries both directions.
async fn one_bridge(kind: &str) {
    let gateways = pair(kind, &format!("{IN}{OUT}"), "").await;
    carries_once(kind, gateways).await;
}

/// Each side sends to the other.
async fn two_senders(kind: &str) {
    let gateways = pair(kind, OUT, OUT).await;
    carries_once(kind, gateways).await;
}

/// Each side takes from the other.
async fn two_takers(kind: &str) {
    let gateways = pair(kind, IN, IN).await;
    carries_once(kind, gateways).await;
}

/// Each side joins the other and carries both directions: every message has two ways across.
async fn two_bridges(kind: &str) {
    let rules = format!("{IN}{OUT}");
    let gateways = pair(kind, &rules, &rules).await;
    carries_once(kind, gateways).await;
}

macro_rules! shapes {
    ($($kind:ident)*) => {
        $(mod $kind {
            #[tokio::test]
            async fn one_bridge_carries_everything_once() {
                super::one_bridge(stringify!($kind)).await;
            }

            #[tokio::test]
            async fn two_that_send_to_each_other_do_not_loop() {
                super::two_senders(stringify!($kind)).await;
            }

            #[tokio::test]
            async fn two_that_take_from_each_other_do_not_loop() {
                super::two_takers(stringify!($kind)).await;
            }
        })*
    };
}

shapes! { mqtt sse bayeux pusher }

#[tokio::test]
async fn two_that_join_each_other_carry_everything_once() {
    for kind in ["mqtt", "bayeux", "sse"] {
        two_bridges(kind).await;
    }
}
