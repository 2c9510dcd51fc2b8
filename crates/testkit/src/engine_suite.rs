//! What any engine promises, as tests that take the engine.
//!
//! ```no_run
//! # async fn run() {
//! ratatosk_testkit::engine_suite::run(|| std::sync::Arc::new(ratatosk_core::MemoryEngine::default())).await;
//! # }
//! ```

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ratatosk_core::{
    Bus, BusConfig, Channel, ChannelRule, Connector, Engine, Filter, HistoryRule, LastValue, Origin, Position,
    Publication, Rules, bus::Receipt, engine::Stored,
};

/// Runs every check, each on an engine of its own.
///
/// # Panics
/// When the engine breaks a promise; the message names it.
pub async fn run<E: Engine>(make: impl Fn() -> Arc<E>) {
    order_is_that_of_positions(make()).await;
    resume_gives_each_message_once(make()).await;
    a_gap_is_told_with_its_size(make()).await;
    age_and_bytes_bound_a_history(make()).await;
    last_values_replace_and_clear(make()).await;
    the_last_message_can_be_the_last_value(make()).await;
    what_has_expired_is_not_shown(make()).await;
    nothing_is_kept_where_nothing_is_to_be(make()).await;
    sessions_change_by_compare_and_set(make()).await;
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn bus(engine: Arc<dyn Engine>, rule: ChannelRule) -> Bus {
    let (bus, lanes) = Bus::new(BusConfig {
        gateway_id: "suite".into(),
        epoch: "suite".into(),
        lanes: 1,
        rules: Rules::new(Vec::new(), rule),
        engine,
    });
    lanes.into_iter().for_each(|lane| drop(tokio::spawn(lane)));
    bus
}

fn keep(messages: usize) -> ChannelRule {
    let history = HistoryRule { messages, age: Duration::from_secs(3600), bytes: usize::MAX };
    ChannelRule { history, ..ChannelRule::default() }
}

fn message(channel: &str, payload: impl Into<Bytes>) -> Publication {
    Publication::new(Channel::new(channel).unwrap(), payload, Origin::connector(Connector::GATEWAY))
}

/// Publishes and waits until the engine has it.
async fn put(bus: &Bus, publication: Publication) -> u64 {
    let Receipt { seq, stored, .. } = bus.publish(publication).unwrap();
    if let Stored::Pending(stored) = stored {
        stored.await.unwrap();
    }
    seq.unwrap()
}

async fn replay(bus: &Bus, filters: &[&str], after: u64) -> ratatosk_core::Replay {
    let filters: Vec<Filter> = filters.iter().map(|text| filter(text)).collect();
    let cursor = Position { epoch: "suite".into(), seq: after };
    bus.replay(&filters, &cursor, bus.head()).await.unwrap()
}

async fn order_is_that_of_positions(engine: Arc<dyn Engine>) {
    let bus = bus(engine, keep(100));
    let mut put_seqs = Vec::new();
    for n in 0..30 {
        put_seqs.push(put(&bus, message(&format!("a/{}", n % 3), "x")).await);
    }
    let replayed: Vec<u64> = replay(&bus, &["a/#"], 0).await.messages.iter().map(|m| m.seq).collect();
    assert_eq!(replayed, put_seqs, "a replay over many channels is in order of position");
}

async fn resume_gives_each_message_once(engine: Arc<dyn Engine>) {
    let bus = bus(engine, keep(100));
    put(&bus, message("a/b", "1")).await;
    let cursor = put(&bus, message("a/c", "2")).await;
    put(&bus, message("a/b", "3")).await;
    put(&bus, message("other", "4")).await;
    put(&bus, message("a", "5")).await;
    let found = replay(&bus, &["a/b", "a/+", "a/#"], cursor).await;
    let payloads: Vec<&[u8]> = found.messages.iter().map(|m| &*m.payload).collect();
    assert_eq!(payloads, [b"3", b"5"], "only what came after the cursor, each once over overlapping filters");
    assert!(found.recovered && found.missing == 0 && found.missing_exact);
    let nothing_new = replay(&bus, &["a/#"], bus.head()).await;
    assert!(nothing_new.recovered && nothing_new.messages.is_empty(), "nothing new is not a loss");
}

async fn a_gap_is_told_with_its_size(engine: Arc<dyn Engine>) {
    let bus = bus(engine, keep(5));
    let cursor = put(&bus, message("a", "seen")).await;
    for n in 0..12 {
        put(&bus, message("a", n.to_string())).await;
    }
    let found = replay(&bus, &["a"], cursor).await;
    assert!(!found.recovered, "a partial recovery is never presented as complete");
    assert_eq!((found.missing, found.missing_exact, found.messages.len()), (7, true, 5));
    assert_eq!(found.oldest, Some(found.messages[0].seq));
    let quiet = replay(&bus, &["quiet"], cursor).await;
    assert!(quiet.recovered, "another channel's gap is not this one's");
    let foreign = Position { epoch: "other".into(), seq: 3 };
    assert!(!bus.replay(&[filter("a")], &foreign, bus.head()).await.unwrap().recovered, "another epoch is a loss");
    let future = Position { epoch: "suite".into(), seq: bus.head() + 10 };
    assert!(!bus.replay(&[filter("a")], &future, bus.head()).await.unwrap().recovered, "so is a position to come");
}

async fn age_and_bytes_bound_a_history(engine: Arc<dyn Engine>) {
    let history = HistoryRule { messages: 1000, age: Duration::from_nanos(1), bytes: usize::MAX };
    let aged = bus(engine.clone(), ChannelRule { history, ..ChannelRule::default() });
    put(&aged, message("aged", "x")).await;
    engine.sweep();
    assert!(replay(&aged, &["aged"], 0).await.messages.is_empty(), "age is a bound");
    assert!(!replay(&aged, &["aged"], 0).await.recovered);

    let history = HistoryRule { messages: 1000, age: Duration::from_secs(3600), bytes: 10_000 };
    let heavy = bus(engine.clone(), ChannelRule { history, ..ChannelRule::default() });
    for _ in 0..20 {
        put(&heavy, message("heavy", vec![b'x'; 1000])).await;
    }
    let kept = replay(&heavy, &["heavy"], 0).await.messages;
    assert!(!kept.is_empty() && kept.iter().map(|m| m.weight()).sum::<usize>() <= 10_000, "bytes are a bound");
    assert_eq!(engine.usage().history_messages, kept.len() as u64, "the usage agrees");
}

async fn last_values_replace_and_clear(engine: Arc<dyn Engine>) {
    let bus = bus(engine, keep(10));
    let values = async |text| {
        let found = bus.last_values(&filter(text)).await.unwrap();
        found.iter().map(|m| String::from_utf8(m.payload.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    put(&bus, message("a/1", "old").retained(true)).await;
    put(&bus, message("a/2", "two").retained(true)).await;
    put(&bus, message("a/1", "new").retained(true)).await;
    put(&bus, message("a/1", "passing")).await;
    assert_eq!(values("a/+").await, ["two", "new"], "retained messages replace, others do not");
    assert_eq!(values("a/#").await.len(), 2);
    assert_eq!(values("a/1").await, ["new"]);
    put(&bus, message("a/1", "").retained(true)).await;
    assert_eq!(values("#").await, ["two"], "an empty retained message clears");
    assert_eq!(bus.engine().usage().retained_messages, 1);
}

async fn the_last_message_can_be_the_last_value(engine: Arc<dyn Engine>) {
    let bus = bus(engine, ChannelRule { last_value: LastValue::Always, ..keep(10) });
    put(&bus, message("a", "1")).await;
    put(&bus, message("a", "2")).await;
    let found = bus.last_values(&filter("a")).await.unwrap();
    assert_eq!(found.iter().map(|m| &*m.payload).collect::<Vec<_>>(), [b"2"]);
}

async fn what_has_expired_is_not_shown(engine: Arc<dyn Engine>) {
    let bus = bus(engine.clone(), keep(10));
    let mut gone = message("a", "gone").retained(true);
    gone.expiry = Some(Duration::ZERO);
    put(&bus, gone).await;
    let mut stays = message("b", "stays").retained(true);
    stays.expiry = Some(Duration::from_secs(3600));
    put(&bus, stays).await;
    assert_eq!(bus.last_values(&filter("#")).await.unwrap().len(), 1);
    let found = replay(&bus, &["#"], 0).await;
    assert_eq!((found.messages.len(), found.recovered), (1, true), "an expired message is not missing");
    engine.sweep();
    assert_eq!(engine.usage().retained_messages, 1);
}

async fn nothing_is_kept_where_nothing_is_to_be(engine: Arc<dyn Engine>) {
    let rule = ChannelRule { history: HistoryRule::OFF, last_value: LastValue::Off, ..ChannelRule::default() };
    let bus = bus(engine, rule);
    put(&bus, message("a", "x").retained(true)).await;
    assert_eq!(bus.engine().usage().history_messages + bus.engine().usage().retained_messages, 0);
    assert!(!replay(&bus, &["a"], 0).await.recovered, "what was never kept cannot be recovered");
}

async fn sessions_change_by_compare_and_set(engine: Arc<dyn Engine>) {
    let store = engine.sessions();
    assert_eq!(store.load("mqtt/c").await.unwrap(), None);
    let first = store.put("mqtt/c", 0, Bytes::from_static(b"one")).await.unwrap().unwrap();
    let refused = store.put("mqtt/c", 0, Bytes::from_static(b"two")).await.unwrap().unwrap_err();
    assert_eq!(refused.0.map(|record| record.data), Some(Bytes::from_static(b"one")), "the loser learns what is there");
    let second = store.put("mqtt/c", first, Bytes::from_static(b"two")).await.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(store.list("mqtt/").await.unwrap(), [Arc::from("mqtt/c")]);
    assert!(store.list("bayeux/").await.unwrap().is_empty());
    assert!(store.remove("mqtt/c", first).await.unwrap().is_err());
    assert!(store.remove("mqtt/c", second).await.unwrap().is_ok());
    assert_eq!(store.load("mqtt/c").await.unwrap(), None);
}
