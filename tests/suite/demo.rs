//! `ratatosk demo`: a fleet over MQTT, and a page with four stock clients, in headless Chromium.

use std::net::TcpListener;

use ratatosk_tests::{Gateway, Script};
use serde_json::{Value, json};

#[tokio::test]
async fn four_panes_show_the_fleet_and_each_other() {
    let gateway = Gateway::setup().arguments(&["demo"]).start().await;
    let mut page = Script::node("demo-page.mjs", &json!({"url": gateway.url("/"), "foreigner": "said by a shell"}));
    for (who, native) in
        [("eventsource", "demo/"), ("pusher", "private-demo."), ("cometd", "/demo/"), ("mqtt", "demo/")]
    {
        let pane = page.expect("pane").await;
        assert_eq!(pane["who"], who);
        assert!(pane["fleet"].as_u64() >= Some(3), "{pane}");
        assert!(pane["first"].as_str().is_some_and(|name| name.starts_with(native)), "{pane}");
    }
    for who in ["eventsource", "pusher", "cometd", "mqtt"] {
        let reached = page.expect("reached").await;
        assert_eq!((&reached["who"], &reached["shown"]), (&json!(who), &json!([who, who, who, who])), "{reached}");
        assert!(reached["told"].as_str().is_some_and(|told| told.starts_with("reached all 4 in ")), "{reached}");
    }
    page.expect("asked").await;
    gateway.publish("demo/hello", "said by a shell").await;
    page.expect("foreigner").await;
    let totals = page.expect("totals").await;
    for who in ["eventsource", "pusher", "cometd", "mqtt", "other"] {
        assert_eq!(totals[format!("senders.{who}")], 1, "{totals}");
    }
    let received = |who: &str| totals[format!("receivers.{who}")].as_u64().expect("a number");
    assert!(received("eventsource") >= 5 + 3 && received("mqtt") >= 5 + 3, "{totals}");
    assert!(page.all("foreign").is_empty(), "the page loads nothing from elsewhere: {:?}", page.all("foreign"));
    page.finish().await;
}

#[tokio::test]
async fn only_the_demos_channels_are_signed() {
    let gateway = Gateway::setup().arguments(&["demo"]).start().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (channel, status) in
        [("private-demo.hello", 200), ("private-orders", 403), ("private-demo", 403), ("private-demonic", 403)]
    {
        let body = format!("socket_id=1.2&channel_name={channel}");
        let answer =
            ratatosk_tests::http::fetch(gateway.http, "POST", "/demo/pusher-auth", &form, body.as_bytes()).await;
        assert_eq!(answer.head.status, status, "{channel}");
    }
}

#[tokio::test]
async fn a_default_port_that_is_taken_is_replaced() {
    // Whoever holds it, this test or something else on the machine: the demo must not need it.
    let _held = TcpListener::bind("127.0.0.1:1883");
    let setup = Gateway::setup().arguments(&["demo", "--set", "mqtt.listen=127.0.0.1:1883"]);
    let gateway = setup.start().await;
    let mqtt = gateway.mqtt().await;
    assert_ne!(mqtt.port(), 1883);
    let settings: Value = gateway.get("/demo/settings.json").await.json();
    assert_eq!(settings["sensors"].as_array().map(Vec::len), Some(6), "{settings}");
    // The fleet found its way to the port that was found.
    let mut stream = gateway.sse(&[("channel", "demo/#")]).await;
    assert!(stream.message().await.json["data"]["unit"].is_string());
}

#[tokio::test]
async fn the_embedded_clients_are_the_tested_ones() {
    let vendor = ratatosk_tests::tests_dir().join("../gateway/assets/vendor");
    let modules = ratatosk_tests::tests_dir().join("js/node_modules");
    let mut files = vec![
        ("mqtt-5.16.0/mqtt.min.js".to_owned(), "mqtt/dist/mqtt.min.js".to_owned()),
        ("pusher-js-8.6.0/pusher.min.js".to_owned(), "pusher-js/dist/web/pusher.min.js".to_owned()),
    ];
    for entry in std::fs::read_dir(vendor.join("cometd-9.0.0")).expect("a directory") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        files.push((format!("cometd-9.0.0/{name}"), format!("cometd/{name}")));
    }
    for (embedded, tested) in files {
        let read = |path: std::path::PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(read(vendor.join(&embedded)) == read(modules.join(&tested)), "{embedded} is not {tested}");
    }
}
