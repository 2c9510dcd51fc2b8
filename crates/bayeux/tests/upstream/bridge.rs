//! Against our own server.

use ratatosk_connector::upstream::State;
use ratatosk_core::{Bus, Filter, stats::DropReason};
use serde_json::{Value, json};

use crate::support::{Listener, bridge, publish, serve, serve_with, until};

async fn crosses_both_ways(scheme: &str, options: Value) {
    let (near, far) = (Bus::in_memory(), Bus::in_memory());
    let (_life, address) = serve(&far, "127.0.0.1:0").await;
    let (here, there) = (Listener::on(&near, "from/#"), Listener::on(&far, "arrived/#"));
    let handle = bridge(&near, &format!("{scheme}://{address}/bayeux"), options);
    let (deep, parent) = (Filter::new("theirs/#").unwrap(), Filter::new("theirs").unwrap());
    until("the subscription is there", || far.subscriber_count(&deep) + far.subscriber_count(&parent) == 2).await;
    for payload in [&br#"{"a":1}"#[..], b"text", b"21.5.1", b"\xff\x00", b""] {
        publish(&far, "theirs/a b", payload);
        let message = here.next().await;
        assert_eq!((message.channel.as_str(), &message.payload[..]), ("from/a b", payload));
        assert_eq!(message.origin.upstream.as_deref(), Some("far"));
        publish(&near, "ours/x", payload);
        let message = there.next().await;
        assert_eq!((message.channel.as_str(), &message.payload[..]), ("arrived/x", payload));
        assert_eq!(message.origin.neighbour(), Some(&**near.gateway_id()));
    }
    publish(&far, "theirs", b"the parent too");
    assert_eq!(here.next().await.channel.as_str(), "from");
    for n in 0..200 {
        publish(&near, "ours/n", n.to_string().as_bytes());
        publish(&far, "theirs/n", n.to_string().as_bytes());
    }
    for n in 0..200 {
        assert_eq!(there.next().await.payload, n.to_string());
        assert_eq!(here.next().await.payload, n.to_string());
    }
    until("a round trip is measured", || handle.status().round_trip.is_some()).await;
    handle.stop();
    until("we have left", || far.subscriber_count(&deep) == 0).await;
}

#[tokio::test]
async fn long_polling() {
    crosses_both_ways("bayeux+http", json!({"transport": "long-polling"})).await;
}

#[tokio::test]
async fn websocket() {
    crosses_both_ways("bayeux+ws", json!({})).await;
}

#[tokio::test]
async fn whatever_the_server_offers() {
    crosses_both_ways("http", json!({"ack": false})).await;
}

/// The server is killed and comes back; what was published meanwhile is replayed.
#[tokio::test]
async fn a_restart_in_the_middle_loses_nothing_with_replay() {
    for scheme in ["bayeux+ws", "bayeux+http"] {
        let (near, far) = (Bus::in_memory(), Bus::in_memory());
        let (life, address) = serve(&far, "127.0.0.1:0").await;
        let here = Listener::on(&near, "from/#");
        let transport = if scheme == "bayeux+ws" { "websocket" } else { "long-polling" };
        let options = json!({"replay": {"from": "new"}, "transport": transport});
        let handle = bridge(&near, &format!("{scheme}://{address}/bayeux"), options);
        let deep = Filter::new("theirs/#").unwrap();
        until("the subscription is there", || far.subscriber_count(&deep) == 1).await;
        publish(&far, "theirs/n", b"0");
        assert_eq!(here.next().await.payload, "0");
        life.close();
        life.wait(crate::support::PATIENCE).await;
        until("the server has gone", || far.subscriber_count(&deep) == 0).await;
        for n in 1..50 {
            publish(&far, "theirs/n", n.to_string().as_bytes());
        }
        let (_life, _) = serve(&far, &address).await;
        for n in 1..50 {
            assert_eq!(here.next().await.payload, n.to_string(), "{scheme}");
        }
        until("it is up again", || handle.status().state == State::Up).await;
        handle.stop();
    }
}

/// Messages that wait for the server are sent once it is there.
#[tokio::test]
async fn publications_wait_for_the_server() {
    let (near, far) = (Bus::in_memory(), Bus::in_memory());
    let (life, address) = serve(&far, "127.0.0.1:0").await;
    life.close();
    life.wait(crate::support::PATIENCE).await;
    let _handle = bridge(&near, &format!("bayeux+http://{address}/bayeux"), json!({}));
    for n in 0..20 {
        publish(&near, "ours/n", n.to_string().as_bytes());
    }
    let there = Listener::on(&far, "arrived/#");
    let (_life, _) = serve(&far, &address).await;
    for n in 0..20 {
        assert_eq!(there.next().await.payload, n.to_string());
    }
}

/// What the server does not take is given up, and holds nothing up.
async fn a_message_too_large_for_the_server(transport: &str) -> (Bus, ratatosk_connector::upstream::BridgeHandle) {
    let (near, far) = (Bus::in_memory(), Bus::in_memory());
    let limits = json!({"body": "8 KiB"});
    let (_life, address) = serve_with(&far, "127.0.0.1:0", json!({"timeout": "2s", "limits": limits})).await;
    let there = Listener::on(&far, "arrived/#");
    let handle = bridge(&near, &format!("http://{address}/bayeux"), json!({"transport": transport}));
    until("it is up", || handle.status().state == State::Up).await;
    for n in 0..20 {
        let payload = if n % 7 == 3 { "x".repeat(20_000) } else { n.to_string() };
        publish(&near, "ours/n", payload.as_bytes());
    }
    for n in (0..20).filter(|n| n % 7 != 3) {
        // What crossed without an answer may cross again before it.
        while there.next().await.payload != n.to_string() {}
    }
    until("nothing waits", || handle.queue_depth().messages == 0).await;
    (near, handle)
}

#[tokio::test]
async fn a_message_too_large_for_a_polled_server_does_not_even_end_the_session() {
    let (near, handle) = a_message_too_large_for_the_server("long-polling").await;
    let bayeux = ratatosk_bayeux::connector();
    assert_eq!(near.stats().drops(bayeux, DropReason::TooLarge), 3);
    assert_eq!(handle.status().connections, 1);
}

#[tokio::test]
async fn a_message_too_large_for_a_socket_ends_few_connections() {
    let (near, _handle) = a_message_too_large_for_the_server("websocket").await;
    let bayeux = ratatosk_bayeux::connector();
    let dropped = |reason| near.stats().drops(bayeux, reason);
    // The server's words may be lost with the connection that they end.
    assert_eq!(dropped(DropReason::TooLarge) + dropped(DropReason::Denied), 3);
}
