//! `new EventSource(...)` in headless Chromium.

use ratatosk_tests::ports::free_port;
use ratatosk_tests::proxy::Proxy;
use ratatosk_tests::wait::eventually;
use ratatosk_tests::{Gateway, Mosquitto, Script};
use serde_json::{Value, json};

fn data(message: &Value) -> Value {
    serde_json::from_str(message["data"].as_str().expect("text")).expect("an envelope")
}

#[tokio::test]
async fn a_page_of_another_origin_sees_what_mosquitto_pub_sends() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::setup().arguments(&["bridge", &broker.url(), "sensors/#"]).start().await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    let mut page = Script::node("browser-eventsource.mjs", &json!({"url": gateway.url("/sse?channel=sensors/%23")}));
    page.expect("open").await;
    broker.publish("sensors/kitchen/temp", r#"{"c":21.5}"#, &[]).await;
    let message = page.expect("message").await;
    let envelope = data(&message);
    assert_eq!((&envelope["channel"], &envelope["data"]), (&json!("sensors/kitchen/temp"), &json!({"c": 21.5})));
    assert_eq!(envelope["id"], message["id"], "lastEventId is the message's");
    page.finish().await;
}

#[tokio::test]
async fn a_page_of_the_same_origin_sees_the_corpus() {
    let gateway = Gateway::start().await;
    let start = gateway.url("/");
    let mut page = Script::node("browser-eventsource.mjs", &json!({"url": "/sse?channel=corpus", "page": start}));
    page.expect("open").await;
    for payload in ["", "\r", "\n", "a\r\nb\rc\n", "nul\0", "\u{feff}bom", "\u{2028}", "z\u{fc}rich \u{1f40d}"] {
        gateway.publish("corpus", payload).await;
        assert_eq!(data(&page.expect("message").await)["data"], payload, "{payload:?}");
    }
    gateway.publish("corpus", [0xff, 0x00, 0xfe]).await;
    let envelope = data(&page.expect("message").await);
    assert_eq!((&envelope["data"], &envelope["encoding"]), (&json!("/wD+"), &json!("base64")));
    page.finish().await;
}

#[tokio::test]
async fn credentials_work_for_a_named_origin_only() {
    let port = free_port();
    let gateway = Gateway::with(&format!("[http]\ncors_origins = [\"http://127.0.0.1:{port}\"]")).await;
    let url = gateway.url("/sse?channel=a");
    let mut friend =
        Script::node("browser-eventsource.mjs", &json!({"url": url, "withCredentials": true, "pagePort": port}));
    friend.expect("open").await;
    let mut stranger = Script::node("browser-eventsource.mjs", &json!({"url": url, "withCredentials": true}));
    let closed = stranger.expect("closed").await;
    assert_eq!(closed["state"], 2, "the browser gives up: {closed}");
    gateway.publish("a", "hello").await;
    assert_eq!(data(&friend.expect("message").await)["data"], "hello");
    assert!(stranger.all("message").is_empty());
}

#[tokio::test]
async fn a_cut_page_comes_back_and_misses_nothing() {
    let history = "[[channels]]\nmatch = \"#\"\nhistory = { messages = 5000, age = \"10m\", bytes = \"64 MiB\" }";
    let gateway = Gateway::with(history).await;
    let proxy = Proxy::to(gateway.http).await;
    let url = format!("http://{}/sse?channel=stream/%23", proxy.address);
    let mut page = Script::node("browser-eventsource.mjs", &json!({"url": url, "last": 1999, "report": 999}));
    page.expect("open").await;
    let numbers = |range: std::ops::Range<u64>| range.map(|n| format!(r#"{{"n":{n}}}"#));
    gateway.publish_all("stream/x", numbers(0..1000)).await;
    page.expect("reached").await;
    proxy.cut();
    page.expect("closed").await;
    gateway.publish_all("stream/x", numbers(1000..1900)).await;
    let before = proxy.accepted();
    proxy.mend();
    eventually("the page to come back by itself", async || (proxy.accepted() > before).then_some(())).await;
    gateway.publish_all("stream/x", numbers(1900..2000)).await;
    let done = page.expect("done").await;
    let seen: Vec<u64> = done["seen"].as_array().expect("numbers").iter().filter_map(Value::as_u64).collect();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
    assert_eq!(done["resumes"][0]["recovered"], json!(true), "{}", done["resumes"]);
    page.finish().await;
}
