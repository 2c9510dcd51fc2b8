//! The page at `/`: what is connected, and a live view.

use ratatosk_tests::{Gateway, Mosquitto, Script};
use serde_json::{Value, json};

#[tokio::test]
async fn it_shows_who_is_connected_and_what_is_published() {
    let broker = Mosquitto::start().await;
    let gateway = Gateway::setup().arguments(&["bridge", &broker.url(), "sensors/#"]).start().await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    let mut page = Script::node("live-page.mjs", &json!({"url": gateway.url("/?channel=sensors/%23")}));
    page.expect("live").await;
    broker.publish("sensors/kitchen/temp", r#"{"c":21.5}"#, &[]).await;
    let row = page.expect("row").await;
    assert_eq!((&row["channel"], &row["preview"]), (&json!("sensors/kitchen/temp"), &json!(r#"{"c":21.5}"#)));
    let who = page.expect("connected").await;
    assert!(
        who["text"].as_str().is_some_and(|text| text.contains("EventSource1") && text.contains("upstream upstreamup")),
        "{who}"
    );
    page.finish().await;
}

#[tokio::test]
async fn who_is_connected_is_not_told_to_other_machines() {
    let gateway = Gateway::start().await;
    let told: Value = gateway.get("/connected").await.json();
    assert_eq!((&told["sessions"]["mqtt"], &told["upstreams"]), (&json!(0), &json!([])), "{told}");
    let open = Gateway::with("[http]\nlisten = \"0.0.0.0:0\"\n[auth]\nanonymous = \"allow\"").await;
    assert_eq!(open.get("/connected").await.head.status, 404);
    assert_eq!(open.get("/").await.head.status, 200);
}
