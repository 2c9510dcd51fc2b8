//! `new EventSource(...)` in headless Chromium.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatosk_tests::mosquitto;
use ratatosk_tests::ports::free_port;
use ratatosk_tests::proxy::Proxy;
use ratatosk_tests::tls::Certificates;
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

/// What no encoding on the way may change.
fn corpus() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "\r",
        "\n",
        "\n\n\n",
        "a\r\nb\rc\n",
        "nul\0",
        "\u{feff}bom",
        "\u{2028}",
        "data: x\n\nid: 1",
        "z\u{fc}rich \u{1f40d}",
    ];
    let mut payloads: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    payloads.push(vec![0xff, 0x00, 0xfe]);
    payloads.push("line\r\n".repeat(150_000).into_bytes()); // about 1 MiB
    payloads
}

#[tokio::test]
async fn pages_of_any_origin_see_what_an_mqtt_publisher_sends_byte_for_byte() {
    let port = free_port();
    let gateway = Gateway::with(&format!("[http]\ncors_origins = [\"http://127.0.0.1:{port}\"]")).await;
    let mqtt = gateway.mqtt().await.port();
    let start = gateway.url("/");
    let same = json!({"url": "/sse?channel=corpus", "page": start});
    let cross = json!({"url": gateway.url("/sse?channel=corpus"), "withCredentials": true, "pagePort": port});
    let mut pages = [same, cross].map(|options| Script::node("browser-eventsource.mjs", &options));
    for page in &mut pages {
        page.expect("open").await;
    }
    for payload in corpus() {
        mosquitto::publish(mqtt, "corpus", &payload, &[]).await;
        for page in &mut pages {
            let envelope = data(&page.expect("message").await);
            let text = envelope["data"].as_str().expect("a string");
            let bytes = match envelope["encoding"].as_str() {
                Some("base64") => STANDARD.decode(text).expect("base64"),
                _ => text.as_bytes().to_vec(),
            };
            assert!(bytes == payload, "{} bytes became {}", payload.len(), bytes.len());
        }
    }
    for page in pages {
        page.finish().await;
    }
}

#[tokio::test]
async fn a_page_comes_back_after_a_restart_and_is_told_that_it_may_have_missed_something() {
    let mut gateway = Gateway::setup().fixed_ports().start().await;
    let mut page = Script::node("browser-eventsource.mjs", &json!({"url": gateway.url("/sse?channel=a")}));
    page.expect("open").await;
    gateway.publish("a", "before").await;
    assert_eq!(data(&page.expect("message").await)["data"], "before");
    gateway.kill().await;
    page.expect("closed").await;
    gateway.start_again().await;
    let resume = page.expect("resume").await;
    assert_eq!(resume["recovered"], json!(false), "{resume}");
    gateway.publish("a", "after").await;
    assert_eq!(data(&page.expect("message").await)["data"], "after");
    page.finish().await;
}

/// Over HTTP/1.1 a browser opens six connections to a host, and a seventh stream would wait for ever.
#[tokio::test]
async fn a_page_follows_many_streams_over_http_2() {
    const STREAMS: usize = 12;
    let certificates = Certificates::new();
    let gateway = Gateway::with(&format!(
        "[http]\ntls_listen = \"127.0.0.1:0\"\n[tls]\ncert = {:?}\nkey = {:?}",
        certificates.text("server.crt"),
        certificates.text("server.key")
    ))
    .await;
    let address = gateway.listener("https").await;
    let url = |n: usize| format!("https://{address}/sse?channel=a&stream={n}");
    let mut page = Script::node("browser-eventsource.mjs", &json!({"url": url(0)}));
    page.send(&json!({"open": (1..STREAMS).map(url).collect::<Vec<_>>()})).await;
    for _ in 0..STREAMS {
        page.expect("open").await;
    }
    gateway.publish("a", "to all").await;
    let mut seen = BTreeSet::new();
    for _ in 0..STREAMS {
        let message = page.expect("message").await;
        assert_eq!(data(&message)["data"], "to all");
        seen.insert(message["name"].to_string());
    }
    assert_eq!(seen.len(), STREAMS);
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
