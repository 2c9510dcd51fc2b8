//! Bridge rules that do more than rename, between a stock Mosquitto and the real binary: the configuration of `examples/`.

use ratatosk_tests::{Gateway, Mosquitto, tests_dir};
use serde_json::{Value, json};

/// The example's configuration, with another broker.
fn example(broker: &Mosquitto) -> String {
    let text = std::fs::read_to_string(tests_dir().join("../examples/bridge.toml")).expect("the example");
    assert!(text.contains("mqtt://127.0.0.1:1884"));
    text.replace("mqtt://127.0.0.1:1884", &broker.url())
}

async fn subscribed(gateway: &Gateway) {
    gateway.metric("ratatosk_upstream_subscriptions", &[("upstream", "factory")], |count| count > 0.5).await;
}

async fn counted(gateway: &Gateway, rule: &str, result: &str, wanted: f64) {
    let labels = [("upstream", "factory"), ("rule", rule), ("result", result)];
    gateway.metric("ratatosk_rule_messages_total", &labels, |count| (count - wanted).abs() < 0.1).await;
}

#[tokio::test]
async fn messages_are_filtered_transformed_named_and_multiplied() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::with(&example(&broker)).await;
    subscribed(&gateway).await;
    let mut stream = gateway.sse(&[("channel", "factory/#")]).await;
    let mut errors = gateway.sse(&[("channel", "errors/#")]).await;
    for payload in [r#"{"c": 9999}"#, "out of order", r#"{"c": 200}"#] {
        broker.publish("sensors/oven/temp", payload, &["-q", "1"]).await;
    }
    let reading = stream.message().await;
    assert_eq!(reading.channel(), "factory/oven/temp");
    assert_eq!(reading.data(), &json!({"machine": "oven", "f": 392}));
    assert_eq!(reading.json["event"], "reading");
    assert_eq!(reading.json["properties"], json!([["x-site", "north"], ["x-source", "factory/sensors/oven/temp"]]));
    let letter = errors.message().await;
    assert_eq!((letter.channel(), &letter.json["event"]), ("errors/bridge", &json!("dead_letter")));
    for (key, value) in [
        ("upstream", "factory"),
        ("direction", "in"),
        ("rule", "upstreams[0].in[0]"),
        ("channel", "sensors/oven/temp"),
        ("to", "factory/oven/temp"),
        ("reason", "when"),
        ("payload", "out of order"),
    ] {
        assert_eq!(letter.data()[key], value, "{}", letter.data());
    }
    let lines =
        json!({"lines": [{"level": "error", "text": "jam"}, {"level": "info"}, {"level": "error", "text": "no oil"}]});
    broker.publish("logs/press", lines.to_string(), &["-q", "1"]).await;
    for line in ["jam", "no oil"] {
        let message = stream.message().await;
        assert_eq!((message.channel(), message.payload()), ("factory/logs/press", line.as_bytes().to_vec()));
    }
    gateway.publish("commands/oven", "off").await;
    let mut over_there = broker.subscribe("commands/#", &["-q", "1"]).await;
    let command = over_there.next().await;
    assert_eq!((command.topic.as_str(), command.qos, &*command.payload), ("commands/oven", 1, &b"off"[..]));
    for (rule, result, wanted) in [
        ("in[0]", "carried", 1.0),
        ("in[0]", "filtered", 1.0),
        ("in[0]", "failed", 1.0),
        ("in[1]", "carried", 1.0),
        ("out[0]", "carried", 1.0),
    ] {
        counted(&gateway, rule, result, wanted).await;
    }
    gateway
        .metric("ratatosk_rule_dead_letters_total", &[("upstream", "factory"), ("rule", "in[0]")], |n| n > 0.5)
        .await;
    gateway
        .metric("ratatosk_messages_dropped_total", &[("connector", "mqtt"), ("reason", "failed")], |n| n > 0.5)
        .await;
}

/// What loops, recurses or asks for all memory ends, is explained, and holds up nobody.
#[tokio::test]
async fn programs_without_end_end() {
    let broker = Mosquitto::start().await;
    let program = r#"
        if . == "loop" then def f: f; f
        elif . == "recurse" then def f: 1 + f; f
        elif . == "swell" then reduce range(99) as $i ("x"; . + .)
        elif . == "repeat" then [repeat(1)]
        elif . == "ask" then "x" * 1e12
        elif . == "flood" then range(1e9)
        else . end"#;
    let gateway = Gateway::with(&format!(
        "[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{}\"\ndead_letter = \"errors\"\n\
         in = [{{ from = \"in/#\", to = \"here/#\", transform = '''{program}''' }}, {{ from = \"plain/#\", to = \"plain/#\" }}]\n",
        broker.url()
    ))
    .await;
    subscribed(&gateway).await;
    let mut stream = gateway.sse(&[("channel", "here/#")]).await;
    let mut errors = gateway.sse(&[("channel", "errors")]).await;
    for (word, why) in [
        ("loop", "too many steps"),
        ("recurse", "too deeply"),
        ("swell", "too large"),
        ("repeat", "does it loop"),
        ("ask", "too large"),
        ("flood", "more than 1000 messages"),
    ] {
        broker.publish("in/x", word, &["-q", "1"]).await;
        let letter = errors.message().await;
        let detail = letter.data()["detail"].as_str().expect("a detail");
        assert!(detail.contains(why) || detail.contains("takes too long"), "{word}: {detail}");
        broker.publish("in/x", format!("after {word}"), &["-q", "1"]).await;
        assert_eq!(stream.message().await.payload(), format!("after {word}").into_bytes());
    }
    // Other rules are not held up: this comes while a program runs.
    let mut plain = gateway.sse(&[("channel", "plain/#")]).await;
    for _ in 0..20 {
        broker.publish("in/x", "loop", &["-q", "0"]).await;
    }
    broker.publish("plain/x", "at once", &["-q", "1"]).await;
    assert_eq!(plain.message().await.payload(), b"at once");
    let rss = gateway.metrics().await.sum("process_resident_memory_bytes", &[]).expect("process metrics");
    assert!(rss < 600e6, "{rss}");
}

/// Messages of one channel keep their order through a program, also when they come fast, and none is lost at the end.
#[tokio::test]
async fn order_is_kept_and_the_end_waits_for_programs() {
    let broker = Mosquitto::start().await;
    let mut gateway = Gateway::with(&format!(
        "[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{}\"\n\
         out = [{{ from = \"numbers\", to = \"far/numbers\", transform = '{{ n: ., rest: ([range(. % 7)] | length) }}' }}]\n",
        broker.url()
    ))
    .await;
    gateway.metric("ratatosk_upstream_up", &[("upstream", "factory")], |up| up > 0.5).await;
    let mut over_there = broker.subscribe("far/numbers", &["-q", "1"]).await;
    gateway.publish_all("numbers", (0..500).map(|n| n.to_string())).await;
    assert!(gateway.terminate().await.success());
    for n in 0..500 {
        let message: Value = serde_json::from_slice(&over_there.next().await.payload).expect("JSON");
        assert_eq!(message, json!({"n": n, "rest": n % 7}));
    }
}
