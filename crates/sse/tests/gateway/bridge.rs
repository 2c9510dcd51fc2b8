//! Our client side against our own server side: two gateways joined in both directions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Gateway, Reader, within};
use ratatosk_connector::rules::{Direction, Rule, RuleSet};
use ratatosk_connector::upstream::{Bridge, BridgeHandle, BridgeSpec, State};
use ratatosk_core::{Channel, Connector, Message, Origin, Publication, QueuePeer};
use ratatosk_sse::client::SseClient;
use ratatosk_sse::config::{SseConfig, SseUpstreamConfig, SseUpstreamFormat};
use std::sync::Arc;

fn rules(direction: Direction) -> RuleSet {
    RuleSet::new([Rule::new("r", direction, "#", "#").unwrap()])
}

/// `near` follows everything of `far` and sends it everything.
async fn join(near: &Gateway, far: &Gateway) -> BridgeHandle {
    let config = SseUpstreamConfig {
        format: SseUpstreamFormat::Envelope,
        proxy: Some("off".into()),
        ..SseUpstreamConfig::default()
    };
    let client = SseClient::new(&format!("{}/sse", far.base).parse().unwrap(), &config).unwrap();
    let spec = BridgeSpec {
        inbound: rules(Direction::In),
        outbound: rules(Direction::Out),
        ..BridgeSpec::new("far", Connector::register("sse"))
    };
    let (handle, _task) = Bridge::spawn(&near.bus, spec, client);
    assert!(within(handle.reached(State::Up)).await);
    handle
}

async fn take(peer: &QueuePeer, count: usize) -> Vec<Arc<Message>> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(within(peer.recv_many(count - all.len())).await.unwrap().into_iter().map(|waiting| waiting.message));
    }
    all
}

fn publication(channel: &str, payload: &[u8]) -> Publication {
    Publication::new(Channel::new(channel).unwrap(), payload.to_vec(), Origin::gateway())
}

#[tokio::test]
async fn messages_cross_whole() {
    let (near, far) = (Gateway::start(SseConfig::default()).await, Gateway::start(SseConfig::default()).await);
    let (_session, peer) = near.other_protocol("#");
    let _bridge = join(&near, &far).await;
    let payloads: [&[u8]; 7] =
        [b"", b"\r\n\0", b"\xff\x00", b"{\"a\": 1.50}", b"text", b"[1,\n2]", "\u{feff}é".as_bytes()];
    for payload in payloads {
        far.bus.publish(publication("a b/é", payload)).unwrap();
    }
    let mut full = publication("full", b"x").with_event("tick");
    full.extras_mut().properties = vec![("k".into(), "1".into()), ("k".into(), "2".into())];
    full.extras_mut().content_type = Some("text/x".into());
    full.extras_mut().correlation = Some(b"\x00\xff".as_slice().into());
    full.extras_mut().reply_to = Some(Channel::new("answers/1").unwrap());
    far.bus.publish(full.clone()).unwrap();
    let got = take(&peer, 8).await;
    for (message, payload) in got.iter().zip(payloads) {
        // A line break between JSON tokens comes as a space.
        let want = if payload == b"[1,\n2]" { b"[1, 2]" } else { payload };
        assert_eq!((message.channel.as_str(), &message.payload[..]), ("a b/é", want));
    }
    let (sent, came) = (full.extras.unwrap(), got.last().unwrap().extras().unwrap());
    assert_eq!(
        (&sent.event, &sent.properties, &sent.content_type),
        (&came.event, &came.properties, &came.content_type)
    );
    assert_eq!((&sent.correlation, &sent.reply_to), (&came.correlation, &came.reply_to));
}

#[tokio::test]
async fn two_gateways_that_follow_each_other_do_not_storm() {
    let (near, far) = (Gateway::start(SseConfig::default()).await, Gateway::start(SseConfig::default()).await);
    let (_near_session, at_near) = near.other_protocol("#");
    let (_far_session, at_far) = far.other_protocol("#");
    let _there = join(&near, &far).await;
    let _back = join(&far, &near).await;
    for n in 0..50 {
        near.bus.publish(publication("from/near", n.to_string().as_bytes())).unwrap();
        far.bus.publish(publication("from/far", n.to_string().as_bytes())).unwrap();
    }
    // Each way there are two paths, the stream and the posts: each message is taken by one of them, and nothing comes back to
    // where it began.
    let count =
        |all: &[Arc<Message>], channel: &str| all.iter().filter(|message| message.channel.as_str() == channel).count();
    let (near_got, far_got) = (take(&at_near, 100).await, take(&at_far, 100).await);
    assert_eq!((count(&near_got, "from/near"), count(&near_got, "from/far")), (50, 50));
    assert_eq!((count(&far_got, "from/far"), count(&far_got, "from/near")), (50, 50));
    // A last round trip, after which nothing more may have come.
    let mut probe = Reader::open(near.http.get(format!("{}/sse?channel=probe&last_value=false", near.base))).await;
    far.bus.publish(publication("probe", b"1")).unwrap();
    probe.next().await.unwrap();
    let rest = take(&at_near, 1).await;
    assert_eq!(count(&rest, "probe"), 1);
}

#[tokio::test]
async fn nothing_is_lost_when_the_far_gateway_drops_the_stream() {
    let config = serde_json::json!({"max_lifetime": "40ms", "retry": "1ms"});
    let far = Gateway::start(serde_json::from_value(config).unwrap()).await;
    let near = Gateway::start(SseConfig::default()).await;
    let (_session, peer) = near.other_protocol("n");
    let _bridge = join(&near, &far).await;
    let sender = far.bus.clone();
    let task = tokio::spawn(async move {
        for n in 0..300_u32 {
            sender.publish(publication("n", n.to_string().as_bytes())).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let mut next = 0;
    while next < 300 {
        for message in take(&peer, 1).await {
            let number: u32 = String::from_utf8(message.payload.to_vec()).unwrap().parse().unwrap();
            assert!(number <= next, "{next} is missing before {number}");
            next = next.max(number + 1);
        }
    }
    task.await.unwrap();
    far.life.close();
}
