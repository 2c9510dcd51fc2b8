//! The memory engine passes the suite, and holds its own bounds over all channels.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ratatosk_core::{
    Bus, BusConfig, Channel, Connector, Engine, Filter, MemoryEngine, Origin, Position, Publication, Rules,
    engine::MemoryLimits,
};

#[tokio::test]
async fn the_memory_engine_passes_the_suite() {
    ratatosk_testkit::engine_suite::run(|| Arc::new(MemoryEngine::default())).await;
}

fn bus(limits: MemoryLimits) -> (Bus, Arc<MemoryEngine>) {
    let engine = Arc::new(MemoryEngine::new(limits));
    let (bus, lanes) = Bus::new(BusConfig {
        gateway_id: "g".into(),
        epoch: "e".into(),
        lanes: 1,
        rules: Rules::default(),
        engine: engine.clone(),
    });
    lanes.into_iter().for_each(|lane| drop(tokio::spawn(lane)));
    (bus, engine)
}

fn publish(bus: &Bus, channel: &str, payload: Vec<u8>) {
    let channel = Channel::new(channel).unwrap();
    bus.publish(Publication::new(channel, payload, Origin::connector(Connector::GATEWAY))).unwrap();
}

#[tokio::test]
async fn endless_new_channels_stay_within_the_bound_and_are_told_as_lost() {
    let (bus, engine) = bus(MemoryLimits { history_bytes: u64::MAX, channels: 1000 });
    for n in 0..10_000 {
        publish(&bus, &format!("c/{n}"), vec![b'x']);
    }
    assert!(engine.usage().history_messages <= 1001, "{:?}", engine.usage());
    let start = Position { epoch: "e".into(), seq: 0 };
    let replay = bus.replay(&[Filter::new("c/#").unwrap()], &start, bus.head()).await.unwrap();
    assert!(!replay.recovered && !replay.missing_exact);
    assert_eq!(replay.messages.last().map(|message| message.seq), Some(10_000), "the newest are kept");
}

#[tokio::test]
async fn all_histories_together_stay_within_the_bound() {
    let (bus, engine) = bus(MemoryLimits { history_bytes: 1 << 20, channels: 1000 });
    for n in 0..5000 {
        publish(&bus, &format!("c/{}", n % 50), vec![b'x'; 1000]);
    }
    assert!(engine.usage().history_bytes <= (1 << 20) + 2000, "{:?}", engine.usage());
    assert!(engine.usage().history_messages > 100);
}
