//! Bridges whose rules do more than name messages.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::*;
use crate::rules::TreatmentBuilder;

fn treated(direction: Direction, from: &str, to: &str, builder: TreatmentBuilder) -> RuleSet {
    let treatment = builder.build().unwrap();
    RuleSet::new([Rule::new("the rule", direction, from, to).unwrap().with_treatment(treatment)])
}

fn transform(code: &str) -> TreatmentBuilder {
    TreatmentBuilder { transform: Some(code.to_owned()), ..TreatmentBuilder::default() }
}

fn letters_to(channel: &str, builder: TreatmentBuilder) -> TreatmentBuilder {
    TreatmentBuilder { dead_letter: Some(Channel::new(channel).unwrap()), ..builder }
}

fn inward(builder: TreatmentBuilder) -> BridgeSpec {
    BridgeSpec { inbound: treated(Direction::In, "a/#", "far/#", builder), ..spec(&[], &[]) }
}

fn outward(builder: TreatmentBuilder) -> BridgeSpec {
    BridgeSpec { outbound: treated(Direction::Out, "a/#", "far/#", builder), ..spec(&[], &[]) }
}

async fn received(peer: &QueuePeer, count: usize) -> Vec<String> {
    within(async {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(
                peer.recv_many(count)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|waiting| format!("{}={}", waiting.message.channel, text(&waiting.message.payload))),
            );
        }
        all
    })
    .await
}

async fn letter(peer: &QueuePeer) -> Value {
    let mut waiting = within(peer.recv_many(1)).await.unwrap();
    let message = waiting.pop().unwrap().message;
    assert_eq!(message.event(), Some("dead_letter"));
    serde_json::from_slice(&message.payload).unwrap()
}

#[tokio::test]
async fn what_comes_in_is_transformed_in_order_and_acknowledged_when_the_bus_has_it() {
    let bench = Bench::new(inward(transform(".[]")));
    let (_session, peer) = bench.subscribe("far/#");
    let mut ends = Vec::new();
    for n in 0..200 {
        let payload: &'static str = match n % 4 {
            0 => "[1,2]",
            1 => "[]",
            2 => "[3]",
            _ => "[4,{\"x\":5}]",
        };
        let Taken::Pending(end) = bench.run(move |port| port.deliver(inbound("a/b", payload))).await else {
            panic!("a program has not run yet")
        };
        ends.push(end);
    }
    for end in ends {
        within(end).await.unwrap();
    }
    let expected: Vec<String> = ["1", "2", "3", "4", r#"{"x":5}"#].map(|made| format!("far/b={made}")).to_vec();
    let all = received(&peer, 250).await;
    for five in all.chunks(5) {
        assert_eq!(five, expected);
    }
}

#[tokio::test]
async fn what_a_program_fails_on_goes_to_the_dead_letters() {
    let spec = inward(letters_to("errors/bridge", transform(".c.d")));
    let counts = spec.inbound.iter().next().unwrap().treatment().unwrap().clone();
    let bench = Bench::new(spec);
    let (_session, peer) = bench.subscribe("errors/#");
    for payload in [r#"{"c":1}"#, "text", "\u{0}\u{1}"] {
        let Taken::Pending(end) = bench.run(move |port| port.deliver(inbound("a/b", payload))).await else { panic!() };
        within(end).await.unwrap();
        let letter = letter(&peer).await;
        let told =
            ["upstream", "direction", "rule", "channel", "to", "reason"].map(|key| letter[key].as_str().unwrap());
        assert_eq!(told, ["far", "in", "the rule", "a/b", "far/b", "transform"]);
        assert!(letter["detail"].as_str().unwrap().contains("cannot index"), "{letter}");
        assert!(letter["time"].as_u64().unwrap() > 1_700_000_000_000);
        let shown = if payload.starts_with('{') { json!({"c":1}) } else { json!(payload) };
        assert_eq!(letter["payload"], shown);
    }
    assert_eq!(bench.bus.stats().drops(Connector::register("mqtt"), DropReason::Failed), 3);
    assert_eq!(counts.counts().dead_letters(), 3);
}

#[tokio::test]
async fn what_goes_out_is_transformed_and_keeps_what_else_it_is() {
    let bench = Bench::new(outward(TreatmentBuilder {
        when: Some(".n % 2 == 0".into()),
        properties: vec![("x-from".into(), "{channel}".into())],
        qos: Some(Qos::ExactlyOnce),
        retain: Some(true),
        ..transform("{n, twice: (.n * 2)}")
    }));
    for n in 0..100 {
        bench.publish("a/b", &json!({ "n": n }).to_string());
    }
    let all = bench.taken(50).await;
    let expected: Vec<String> = (0..50).map(|n| format!(r#"far/b={{"n":{},"twice":{}}}"#, 2 * n, 4 * n)).collect();
    assert_eq!(all, expected);
    bench.publish("a/c", r#"{"n":2}"#);
    let outbound = within(async {
        loop {
            if let Some(outbound) = bench.run(|port| port.take()).await {
                return outbound;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((outbound.qos, outbound.retain), (Qos::ExactlyOnce, true));
    assert_eq!(outbound.message.channel.as_str(), "a/c", "our own name stays with it");
    assert_eq!(outbound.message.properties(), [("x-from".into(), "a/c".into())]);
}

#[tokio::test]
async fn a_rule_that_fails_on_its_own_letters_writes_one() {
    let spec = BridgeSpec {
        outbound: treated(Direction::Out, "#", "far/#", letters_to("errors/bridge", transform("error(\"never\")"))),
        ..spec(&[], &[])
    };
    let treatment = spec.outbound.iter().next().unwrap().treatment().unwrap().clone();
    let bench = Bench::new(spec);
    let (_session, peer) = bench.subscribe("errors/#");
    bench.publish("a/b", "1");
    assert_eq!(letter(&peer).await["detail"], "never");
    bench.publish("a/c", "2");
    assert_eq!(letter(&peer).await["channel"], "a/c", "no letter about a letter came between");
    within(async {
        // Two messages and two letters.
        while treatment.counts().read().into_iter().find(|(name, _)| *name == "failed").unwrap().1 < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(treatment.counts().dead_letters(), 2);
}

#[tokio::test]
async fn what_the_peer_refuses_goes_to_the_dead_letters_too() {
    let bench = Bench::new(outward(letters_to("errors/bridge", TreatmentBuilder::default())));
    let (_session, peer) = bench.subscribe("errors/#");
    bench.publish("a/b", "1");
    assert_eq!(bench.taken(1).await, ["far/b=1"]);
    bench.run(|port| port.up()).await;
    within(async {
        loop {
            let refused = bench.run(|port| {
                let outbound = port.take()?;
                port.failed(outbound.token, DropReason::TooLarge);
                Some(())
            });
            if refused.await.is_some() {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let letter = letter(&peer).await;
    assert_eq!(
        (&letter["reason"], &letter["direction"], &letter["to"]),
        (&json!("too_large"), &json!("out"), &json!("far/b"))
    );
}

#[tokio::test]
async fn a_drain_waits_for_what_programs_still_make() {
    let bench = Bench::new(outward(transform("[range(1000)] | length")));
    let (_session, peer) = bench.subscribe("a/#");
    for _ in 0..100 {
        bench.publish("a/b", "1");
    }
    received(&peer, 100).await;
    let (handle, work) = (bench.handle.clone(), bench.work.clone());
    let sent = tokio::spawn(async move {
        let mut sent = 0;
        loop {
            let (answer, done) = oneshot::channel();
            let step: Work = Box::new(move |port| {
                let taken = port.take().map(|outbound| port.done(outbound.token)).is_some();
                let _ = answer.send(taken);
                None
            });
            if work.send(step).await.is_err() {
                return sent;
            }
            match done.await {
                Ok(true) => sent += 1,
                Ok(false) => tokio::task::yield_now().await,
                Err(_) => return sent,
            }
        }
    });
    within(handle.drain()).await;
    drop(bench);
    assert_eq!(within(sent).await.unwrap(), 100);
}

#[tokio::test]
async fn what_is_over_the_rate_is_dropped_and_counted() {
    let bench =
        Bench::new(inward(TreatmentBuilder { max_rate: Some("2/h".parse().unwrap()), ..TreatmentBuilder::default() }));
    let (_session, peer) = bench.subscribe("far/#");
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(bench.run(|port| port.deliver(inbound("a/b", "1"))).await);
    }
    assert!(matches!(taken[..], [Taken::Stored, Taken::Stored, Taken::Dropped(DropReason::RateLimited)]), "{taken:?}");
    assert_eq!(received(&peer, 2).await.len(), 2);
}

#[tokio::test]
async fn what_waits_for_programs_is_bounded_as_the_queue_is() {
    const BURST: usize = 9000;
    let bench = Bench::new(outward(transform(".")));
    for n in 0..BURST {
        bench.publish("a/b", &n.to_string());
    }
    let expected: Vec<String> = (0..BURST).map(|n| format!("far/b={n}")).collect();
    assert_eq!(bench.taken(BURST).await, expected);

    let queue = QueueLimits { messages: 3, ..QueueLimits::default() };
    let bench = Bench::new(BridgeSpec { queue, ..outward(transform(".")) });
    let dropped = || bench.bus.stats().drops(Connector::register("mqtt"), DropReason::QueueFull);
    for n in 0..10 {
        bench.publish("a/b", &n.to_string());
    }
    within(async {
        while dropped() < 7 || bench.handle.queue_depth().messages < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.taken(3).await, ["far/b=7", "far/b=8", "far/b=9"]);
}

#[tokio::test]
async fn last_values_pass_programs_before_what_came_since() {
    const RETAINED: usize = 6000;
    let bus = Bus::in_memory();
    for n in 0..RETAINED {
        let channel = Channel::new(format!("a/{n}")).unwrap();
        bus.publish(Publication::new(channel, "0", Origin::gateway()).retained(true)).unwrap();
    }
    let bench = Bench::on(bus, outward(transform(".")));
    bench.publish("a/7", "1");
    let all = bench.taken(RETAINED + 1).await;
    assert_eq!(all.iter().filter(|text| text.ends_with("=0")).count(), RETAINED);
    assert_eq!(all.last().unwrap(), "far/7=1");
}
