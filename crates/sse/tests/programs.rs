//! Inbound rules with a program, over a stream that brings more than the program keeps up with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests script more")]
mod support;

use ratatosk_connector::rules::{Direction, Rule, RuleSet, TreatmentBuilder};
use ratatosk_connector::upstream::{Bridge, BridgeSpec};
use ratatosk_core::stats::DropReason;
use ratatosk_core::{Bus, Connector, OutboxLimits, QueuePeer, SessionConfig, SubscribeOptions};
use ratatosk_sse::client::SseClient;
use ratatosk_sse::config::SseUpstreamConfig;
use support::{Server, within};

/// One piece of the stream can hold more events than wait for a program; the cursor moves past none that was dropped for that.
#[tokio::test]
async fn a_burst_in_one_piece_loses_nothing() {
    const BURST: usize = 30_000;
    let mut server = Server::start().await;
    let bus = Bus::in_memory();
    let peer = QueuePeer::new(OutboxLimits { messages: BURST, bytes: 1 << 30, ..OutboxLimits::default() });
    let session = bus.open_session(SessionConfig::client("c", Connector::register("test")), peer.clone());
    session.subscribe("far/#".parse().unwrap(), SubscribeOptions::default());
    let treatment =
        TreatmentBuilder { transform: Some("[range(100)] | length".into()), ..Default::default() }.build().unwrap();
    let rule = Rule::new("r", Direction::In, "#", "far/#").unwrap().with_treatment(treatment);
    let spec = BridgeSpec { inbound: RuleSet::new([rule]), ..BridgeSpec::new("far", Connector::register("sse")) };
    let config = SseUpstreamConfig { proxy: Some("off".into()), ..SseUpstreamConfig::default() };
    let client = SseClient::new(&server.url("/s").parse().unwrap(), &config).unwrap();
    let (_handle, _task) = Bridge::spawn(&bus, spec, client);
    let mut stream = server.next().await;
    let events = "data:1\n\n".repeat(BURST);
    // In one chunk, which is read as large as the buffer has become.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write(format!("{head}{:x}\r\n{events}\r\n", events.len())).await;
    let mut got = 0;
    while got < BURST {
        got += within(peer.recv_many(BURST)).await.unwrap().len();
    }
    assert_eq!(bus.stats().drops(Connector::register("sse"), DropReason::QueueFull), 0);
}
