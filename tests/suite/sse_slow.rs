//! Readers that are slow, stop, or hang up half-way: bounded, counted, and no burden to others.

use ratatosk_tests::Gateway;

const STREAMS: (&str, &[(&str, &str)]) = ("ratatosk_connections", &[("connector", "sse")]);

#[tokio::test]
async fn a_reader_that_stops_is_let_go_and_the_others_lose_nothing() {
    let gateway = Gateway::with("[sse.outbox]\nmessages = 64\nbytes = \"2 MiB\"").await;
    let mut stuck = gateway.sse(&[("channel", "flood")]).await;
    let mut reading = gateway.sse(&[("channel", "flood")]).await;
    // More than the kernel's socket buffers and the outbox can hold together, and never more at once than an outbox holds.
    let (count, batch) = (1500, 50);
    let padding = "x".repeat(16 * 1024);
    for first in (0..count).step_by(batch) {
        let payloads = (first..first + batch).map(|n| format!(r#"{{"n":{n},"padding":"{padding}"}}"#));
        gateway.publish_all("flood", payloads).await;
        for n in first..first + batch {
            assert_eq!(reading.message().await.data()["n"], n);
        }
    }
    gateway.metric("ratatosk_messages_dropped_total", &[("connector", "sse")], |dropped| dropped > 0.5).await;
    gateway.metric(STREAMS.0, STREAMS.1, |open| open < 1.5).await;
    // What did reach the stuck reader is whole and in order, and then the stream ended.
    let mut next = 0;
    while let Some(block) = stuck.block().await {
        if block.data.is_some() {
            assert_eq!(block.json()["data"]["n"], next);
            next += 1;
        }
    }
    assert!(next < count);
}

#[tokio::test]
async fn a_reader_that_vanishes_is_noticed() {
    let gateway = Gateway::with("[sse]\nheartbeat = \"100ms\"").await;
    let streams = [gateway.sse(&[("channel", "a")]).await, gateway.sse(&[("channel", "a")]).await];
    gateway.metric(STREAMS.0, STREAMS.1, |open| open > 1.5).await;
    drop(streams);
    gateway.metric(STREAMS.0, STREAMS.1, |open| open < 0.5).await;
    gateway.metric("ratatosk_subscriptions", &[], |open| open < 0.5).await;
}

#[tokio::test]
async fn a_half_closed_socket_is_no_trap() {
    let gateway = Gateway::with("[sse]\nheartbeat = \"100ms\"").await;
    let mut half = gateway.sse(&[("channel", "a")]).await;
    let mut whole = gateway.sse(&[("channel", "a")]).await;
    half.connection().shut_write().await;
    gateway.publish("a", "on").await;
    assert_eq!(whole.message().await.payload(), b"on");
    // Either the server goes on sending (the peer can still read), or it ends the stream; it does not hang.
    while let Some(block) = half.block().await {
        if block.data.is_some() {
            break;
        }
    }
    drop(half);
    gateway.metric(STREAMS.0, STREAMS.1, |open| open < 1.5).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let gateway = Gateway::with("[http]\nheader_timeout = \"200ms\"").await;
    let mut silent = ratatosk_tests::http::HttpConn::open(gateway.http).await;
    let mut dribbling = ratatosk_tests::http::HttpConn::open(gateway.http).await;
    dribbling.write(b"GET /sse?channel=a HTT").await;
    while !silent.some().await.is_empty() {}
    while !dribbling.some().await.is_empty() {}
}
