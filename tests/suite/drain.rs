//! SIGTERM: not ready any more, then every stream ends in a way its client comes back from, then exit 0.

use ratatosk_tests::http;
use ratatosk_tests::wait::{eventually, within};
use ratatosk_tests::{Gateway, Mosquitto, Script};
use rustix::process::Signal;
use serde_json::json;

/// The status of `/readyz`, or nothing once the listener is gone.
async fn readiness(gateway: &Gateway) -> Option<u16> {
    let connected = tokio::net::TcpStream::connect(gateway.admin).await.is_ok();
    if !connected {
        return None;
    }
    Some(gateway.admin("/readyz").await.head.status)
}

#[tokio::test]
async fn a_terminated_gateway_drains() {
    let mut gateway = Gateway::with("[shutdown]\ngrace = \"3s\"").await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    gateway.publish("a", "before").await;
    stream.message().await;
    gateway.process.signal(Signal::TERM);
    eventually("/readyz to turn 503", async || (readiness(&gateway).await == Some(503)).then_some(())).await;
    // It says so while it still serves: who has not heard yet is not refused.
    gateway.publish("a", "during the grace period").await;
    assert_eq!(stream.message().await.payload(), b"during the grace period");
    let mut retry = None;
    while let Some(block) = within("the end of the stream", stream.block()).await {
        retry = block.retry.or(retry);
    }
    assert!(retry.is_some_and(|retry| retry > 0), "the last word is when to come back");
    assert_eq!(gateway.process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_interrupted_gateway_drains_too() {
    let mut gateway = Gateway::with("[shutdown]\ngrace = \"500ms\"").await;
    gateway.process.signal(Signal::INT);
    assert_eq!(gateway.process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut gateway = Gateway::with("[shutdown]\ngrace = \"1h\"").await;
    let mut stream = gateway.sse(&[("channel", "a")]).await;
    gateway.process.signal(Signal::TERM);
    eventually("/readyz to turn 503", async || (readiness(&gateway).await == Some(503)).then_some(())).await;
    gateway.process.signal(Signal::TERM);
    gateway.process.exit().await;
    while stream.block().await.is_some() {}
}

#[tokio::test]
async fn a_stuck_reader_does_not_hold_up_the_end() {
    let mut gateway = Gateway::with("[shutdown]\ngrace = \"1s\"").await;
    let _stuck = gateway.sse(&[("channel", "flood")]).await;
    let padding = "x".repeat(16 * 1024);
    gateway.publish_all("flood", (0..400).map(|_| padding.clone())).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn an_eventsource_rides_over_a_restart() {
    let mut gateway = Gateway::setup().fixed_ports().config("[shutdown]\ngrace = \"300ms\"").start().await;
    let mut client = Script::node("eventsource.mjs", &json!({"url": gateway.url("/sse?channel=a")}));
    client.expect("open").await;
    gateway.publish("a", "one").await;
    assert_eq!(client.expect("message").await["data"]["data"], "one");
    assert!(gateway.terminate().await.success());
    gateway.start_again().await;
    client.expect("open").await;
    let resume = client.expect("resume").await;
    assert_eq!(resume["recovered"], json!(false), "the new process does not know the old one's messages");
    gateway.publish("a", "two").await;
    assert_eq!(client.expect("message").await["data"]["data"], "two");
    client.finish().await;
}

#[tokio::test]
async fn an_upstream_is_told_that_we_leave() {
    let broker = Mosquitto::start().await;
    let mut gateway = Gateway::setup()
        .arguments(&["bridge", &broker.url(), "sensors/#"])
        .environment("RATATOSK__SHUTDOWN__GRACE", "500ms")
        .start()
        .await;
    gateway.metric("ratatosk_upstream_up", &[], |up| up > 0.5).await;
    assert!(gateway.terminate().await.success());
    broker.process().wait_for("Received DISCONNECT").await;
}

#[tokio::test]
async fn a_port_in_use_ends_the_start_with_status_1() {
    let gateway = Gateway::start().await;
    let taken = gateway.http.to_string();
    let mut command = tokio::process::Command::new(ratatosk_tests::gateway::binary());
    command.args([
        "serve",
        "--set",
        &format!("http.listen=\"{taken}\""),
        "--set",
        "mqtt.listen=\"127.0.0.1:0\"",
        "--set",
        "admin.listen=\"127.0.0.1:0\"",
    ]);
    let mut second = ratatosk_tests::process::Process::spawn("a second gateway", command);
    assert_eq!(second.exit().await.code(), Some(1));
    second.wait_for(&taken).await;
    assert_eq!(
        http::fetch(gateway.http, "POST", "/publish?channel=a", &[], b"x").await.head.status,
        200,
        "the first is unharmed"
    );
}
