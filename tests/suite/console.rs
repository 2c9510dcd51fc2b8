//! The console in headless Chromium.

use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::{Gateway, Mosquitto, Script};
use serde_json::json;

/// `RATATOSK_SHOTS=DIRECTORY` keeps screenshots.
#[tokio::test]
async fn every_page_shows_what_happens_and_does_what_it_offers() {
    let broker = Mosquitto::start().await;
    let config = format!(
        "[admin]\ntoken = \"open sesame\"\n[[upstreams]]\nname = \"factory\"\nkind = \"mqtt\"\nurl = \"{}\"\nmax_backoff = \"300ms\"\nin = [{{ from = \"line/#\", to = \"factory/#\" }}]\n",
        broker.url()
    );
    let gateway = Gateway::with(&config).await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut device = Mqtt::connect(Client::Js, endpoint, json!({ "clientId": "a-device", "reconnectPeriod": 0 })).await;
    device.subscribe("sensors/#", 0).await;
    let mut stream = gateway.sse(&[("channel", "#")]).await;
    gateway.publish_with(&[("channel", "sensors/kitchen"), ("retain", "true")], r#"{"c":21.5}"#).await;
    stream.message().await;
    device.message().await;

    let mut argument =
        json!({ "url": format!("http://{}", gateway.admin), "session": "a-device", "token": "open sesame" });
    if let Some(directory) = std::env::var_os("RATATOSK_SHOTS") {
        argument["shots"] = json!(directory.to_string_lossy());
        argument["settle"] = json!(25_000);
    }
    let mut page = Script::node("browser-console.mjs", &argument);
    page.expect("ready").await;
    if argument.get("settle").is_some() {
        // Something for the charts to show.
        for n in 0..2_000 {
            gateway.publish("sensors/kitchen", format!("{{\"c\":{n}}}")).await;
            broker.publish("line/x", "1", &[]).await;
        }
    }
    page.expect("monitoring").await;
    let _newcomer = gateway.sse(&[("channel", "x")]).await;
    let done = page.expect("done").await;
    assert_eq!(done["problems"], json!([]));
    page.finish().await;
}
