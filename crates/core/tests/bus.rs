//! What the bus promises its subscribers: order, one copy, no gap between history and live.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ratatosk_core::{
    Bus, BusConfig, Channel, Connector, EndReason, Filter, MemoryEngine, Monitor, MonitorEvent, MonitorHandler, Origin,
    OutboxLimits, Position, Publication, PublishError, QueuePeer, Rules, Session, SessionConfig, SlowPolicy,
    SubscribeOptions, monitor::Monitored,
};

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn publication(channel: &str, payload: impl ToString) -> Publication {
    Publication::new(
        Channel::new(channel).unwrap(),
        payload.to_string(),
        Origin::connector(Connector::register("test")),
    )
}

fn subscriber(bus: &Bus, id: &str, filters: &[&str]) -> (Session, Arc<QueuePeer>) {
    let limits = OutboxLimits { messages: 100_000, bytes: usize::MAX, policy: SlowPolicy::Disconnect };
    let queue = QueuePeer::new(limits);
    let session = bus.open_session(SessionConfig::client(id, Connector::register("test")), queue.clone());
    for text in filters {
        session.subscribe(filter(text), SubscribeOptions::default());
    }
    (session, queue)
}

async fn take(queue: &QueuePeer, count: usize) -> Vec<(u64, String)> {
    let mut taken = Vec::new();
    while taken.len() < count {
        for waiting in queue.recv_many(count - taken.len()).await.unwrap() {
            let text = String::from_utf8(waiting.message.payload.to_vec()).unwrap();
            taken.push((waiting.message.seq, text));
        }
    }
    taken
}

#[tokio::test]
async fn overlapping_filters_of_a_session_give_one_copy() {
    let bus = Bus::in_memory();
    let (_session, queue) = subscriber(&bus, "one", &["a/b", "a/+", "a/#", "#"]);
    bus.publish(publication("a/b", 1)).unwrap();
    bus.publish(publication("a/b", 2)).unwrap();
    assert_eq!(take(&queue, 2).await.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(queue.depth().0, 0);
}

#[tokio::test]
async fn no_local_keeps_own_messages_away() {
    let bus = Bus::in_memory();
    let (session, queue) = subscriber(&bus, "self", &[]);
    let options = SubscribeOptions { no_local: true, ..SubscribeOptions::default() };
    session.subscribe(filter("a"), options);
    let mut own = publication("a", "own");
    own.origin.session = Some(session.id());
    bus.publish(own).unwrap();
    bus.publish(publication("a", "other")).unwrap();
    assert_eq!(take(&queue, 1).await[0].1, "other");
}

/// What many have said to each other at once: everyone gets all of it but its own, in order.
#[tokio::test]
async fn a_crowd_that_talks_at_once_hears_all_but_itself() {
    let bus = Bus::in_memory();
    let crowd: Vec<_> = (0..4).map(|n| subscriber(&bus, &format!("c{n}"), &[])).collect();
    let (_onlooker, all) = subscriber(&bus, "onlooker", &["a"]);
    for (session, _) in &crowd[..3] {
        session.subscribe(filter("a"), SubscribeOptions { no_local: true, ..SubscribeOptions::default() });
    }
    crowd[3].0.subscribe(filter("a"), SubscribeOptions::default());
    for n in 0..20 {
        let mut own = publication("a", n);
        own.origin.session = Some(crowd[n % 4].0.id());
        bus.publish(own).unwrap();
    }
    let heard = async |queue: &QueuePeer, count: usize| -> Vec<usize> {
        take(queue, count).await.iter().map(|(_, text)| text.parse().unwrap()).collect()
    };
    assert_eq!(heard(&all, 20).await, (0..20).collect::<Vec<_>>());
    for (n, (_, queue)) in crowd.iter().enumerate() {
        let others: Vec<usize> = (0..20).filter(|said| n == 3 || said % 4 != n).collect();
        assert_eq!(heard(queue, others.len()).await, others, "{n}");
        assert_eq!(queue.depth().0, 0);
    }
}

/// Answers every delivery with another message, as long as it may.
struct Chatter {
    bus: Bus,
    goes_on: Arc<AtomicBool>,
}

impl MonitorHandler for Chatter {
    fn handle(&self, monitored: &Monitored) {
        if matches!(monitored.event, MonitorEvent::DeliveredMessage { .. }) && self.goes_on.load(Ordering::Relaxed) {
            self.bus.publish(publication("busy", 1)).unwrap();
        }
    }

    fn wants_messages(&self) -> bool {
        true
    }
}

/// A message to a few wakes one lane. The others get it even if that one never comes to rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_always_busy_holds_up_no_other() {
    for busy in 0..2 {
        let (bus, tasks) = Bus::new(BusConfig {
            gateway_id: "g".into(),
            epoch: "e".into(),
            lanes: 2,
            rules: Rules::default(),
            engine: Arc::new(MemoryEngine::default()),
        });
        tasks.into_iter().for_each(|task| drop(tokio::spawn(task)));
        let goes_on = Arc::new(AtomicBool::new(true));
        bus.monitor().add(Arc::new(Chatter { bus: bus.clone(), goes_on: goes_on.clone() }));
        // Neighbours have different lanes.
        let open = |n: usize| {
            let queue = QueuePeer::new(OutboxLimits { messages: 4, bytes: 4096, policy: SlowPolicy::DropOldest });
            let config = SessionConfig::client(format!("s{n}"), Connector::register("test"));
            let session = bus.open_session(config, queue.clone());
            session.subscribe(filter("both"), SubscribeOptions::default());
            if n == busy {
                session.subscribe(filter("busy"), SubscribeOptions::default());
            }
            (session, queue)
        };
        let all = [open(0), open(1)];
        bus.publish(publication("both", busy)).unwrap();
        let other = take(&all[1 - busy].1, 1);
        let taken = tokio::time::timeout(Duration::from_secs(30), other).await.unwrap();
        assert_eq!(taken[0].1, busy.to_string());
        goes_on.store(false, Ordering::Relaxed);
        bus.close();
    }
}

#[tokio::test]
async fn a_shared_subscription_gives_each_message_to_one_member() {
    let bus = Bus::in_memory();
    let members: Vec<_> = (0..3).map(|n| subscriber(&bus, &format!("m{n}"), &[])).collect();
    for (session, _) in &members {
        let options = SubscribeOptions { group: Some("g".into()), ..SubscribeOptions::default() };
        session.subscribe(filter("jobs/#"), options);
    }
    for n in 0..9 {
        bus.publish(publication("jobs/x", n)).unwrap();
    }
    let mut all = HashSet::new();
    for (_, queue) in &members {
        for (_, text) in take(queue, 3).await {
            assert!(all.insert(text));
        }
    }
    assert_eq!(all.len(), 9);
}

/// The promise behind resume: whatever is published while a subscriber comes, history up to its cut and live
/// messages after it together hold every message once, in order, over many channels.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_and_live_meet_without_gap_or_overlap() {
    let bus = Bus::in_memory();
    let per_publisher = 500_u64;
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let bus = bus.clone();
            tokio::task::spawn_blocking(move || {
                for n in 0..per_publisher {
                    bus.publish(publication(&format!("c/{publisher}"), n)).unwrap();
                }
            })
        })
        .collect();
    let mut checks = Vec::new();
    for round in 0..20 {
        let (session, queue) = subscriber(&bus, &format!("s{round}"), &[]);
        let cut = session.subscribe(filter("c/+"), SubscribeOptions::default()).cut;
        let start = Position { epoch: bus.epoch().clone(), seq: 0 };
        let replay = bus.replay(&[filter("c/+")], &start, cut).await.unwrap();
        checks.push((session, queue, cut, replay));
        tokio::task::yield_now().await;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for (_session, queue, cut, replay) in checks {
        assert!(replay.recovered && replay.missing == 0);
        assert!(replay.messages.iter().all(|message| message.seq <= cut));
        let rest = usize::try_from(4 * per_publisher).unwrap() - replay.messages.len();
        let live = take(&queue, rest).await;
        let seqs: Vec<u64> = replay.messages.iter().map(|m| m.seq).chain(live.iter().map(|m| m.0)).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "positions rise");
        assert_eq!(queue.depth().0, 0, "nothing comes twice");
    }
}

#[tokio::test]
async fn a_slow_consumer_meets_the_policy() {
    let bus = Bus::in_memory();
    let sub = |policy| {
        let queue = QueuePeer::new(OutboxLimits { messages: 3, bytes: usize::MAX, policy });
        let session = bus.open_session(SessionConfig::client("slow", Connector::register("test")), queue.clone());
        session.subscribe(filter("#"), SubscribeOptions::default());
        (session, queue)
    };
    let (_a, dropping) = sub(SlowPolicy::DropOldest);
    let (_b, conflating) = sub(SlowPolicy::Conflate);
    let (_c, ended) = sub(SlowPolicy::Disconnect);
    let (_d, witness) = subscriber(&bus, "witness", &["#"]);
    for n in 0..6 {
        bus.publish(publication(if n % 2 == 0 { "even" } else { "odd" }, n)).unwrap();
    }
    take(&witness, 6).await; // one lane serves all sessions of a pass before the next pass
    bus.publish(publication("last", "x")).unwrap();
    take(&witness, 1).await;
    assert_eq!(take(&dropping, 3).await.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["4", "5", "x"]);
    assert_eq!(dropping.take_dropped(), 4);
    assert_eq!(take(&conflating, 3).await.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["4", "5", "x"]);
    assert_eq!(ended.recv_many(1).await.unwrap_err(), EndReason::Slow);
}

#[tokio::test]
async fn loops_and_own_channels_are_refused() {
    let bus = Bus::in_memory();
    let mut looped = publication("a", 1);
    looped.origin.hops = [bus.gateway_id().clone()].into();
    assert_eq!(bus.publish(looped).unwrap_err(), PublishError::Loop);
    assert_eq!(bus.publish(publication("$monitor/x", 1)).unwrap_err(), PublishError::Reserved);
    assert!(bus.publish(publication("$monitors", 1)).is_ok());
}

#[derive(Default)]
struct Log(parking_lot::Mutex<Vec<String>>);

impl MonitorHandler for Log {
    fn handle(&self, event: &Monitored) {
        let line = match &event.event {
            MonitorEvent::CreatedClient { client_id, .. } => format!("+client {client_id}"),
            MonitorEvent::DestroyedClient { client_id, reason, .. } => format!("-client {client_id} {reason}"),
            MonitorEvent::CreatedChannel { channel } => format!("+channel {channel}"),
            MonitorEvent::DestroyedChannel { channel } => format!("-channel {channel}"),
            MonitorEvent::ClientSubscribed { client_id, channel, .. } => format!("+sub {client_id} {channel}"),
            MonitorEvent::ClientUnsubscribed { client_id, channel, .. } => format!("-sub {client_id} {channel}"),
            other => format!("{other:?}"),
        };
        self.0.lock().push(line);
    }
}

#[tokio::test]
async fn monitor_events_tell_real_changes_only() {
    let bus = Bus::in_memory();
    let log = Arc::new(Log::default());
    Monitor::add(bus.monitor(), log.clone());
    let (one, _) = subscriber(&bus, "one", &["a", "a"]);
    let (two, _) = subscriber(&bus, "two", &["a"]);
    assert!(!two.unsubscribe(&filter("b")));
    one.close(EndReason::Disconnect);
    drop(two);
    let expected = [
        "+client one",
        "+channel a",
        "+sub one a",
        "+client two",
        "+sub two a",
        "-sub one a",
        "-client one disconnect",
        "-sub two a",
        "-channel a",
        "-client two closed",
    ];
    assert_eq!(*log.0.lock(), expected);
}

/// Whoever holds a peer holds its socket. The bus may keep a few for a while (it frees in batches), not a crowd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_left_are_let_go() {
    let bus = Bus::in_memory();
    let crowd: Vec<_> = (0..300).map(|n| subscriber(&bus, &format!("c{n}"), &["a"])).collect();
    bus.publish(publication("a", 1)).unwrap();
    for (_, queue) in &crowd {
        assert_eq!(take(queue, 1).await.len(), 1);
    }
    let left: Vec<_> = crowd.iter().map(|(_, queue)| Arc::downgrade(queue)).collect();
    drop(crowd);
    let held = || left.iter().filter(|queue| queue.strong_count() > 0).count();
    let let_go = async {
        while held() > 100 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(10), let_go).await;
    assert!(in_time.is_ok(), "{} of {} are still held", held(), left.len());
}

/// Counts what is told of one channel, in order.
#[derive(Default)]
struct Told(parking_lot::Mutex<Vec<bool>>);

impl MonitorHandler for Told {
    fn handle(&self, event: &Monitored) {
        match &event.event {
            MonitorEvent::CreatedChannel { .. } => self.0.lock().push(true),
            MonitorEvent::DestroyedChannel { .. } => self.0.lock().push(false),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_is_created_and_destroyed_in_turn_however_many_come_and_go_at_once() {
    let bus = Bus::in_memory();
    let told = Arc::new(Told::default());
    bus.monitor().add(told.clone());
    let crowd: Vec<_> = (0..8)
        .map(|n| {
            let bus = bus.clone();
            tokio::task::spawn_blocking(move || {
                let (session, _queue) = subscriber(&bus, &format!("racer{n}"), &[]);
                for round in 0..2000 {
                    session.subscribe(filter("contested"), SubscribeOptions::default());
                    // Half of them leave, half of them vanish.
                    if round % 2 == 0 {
                        session.unsubscribe(&filter("contested"));
                    } else {
                        let (brief, _queue) = subscriber(&bus, "brief", &["contested"]);
                        session.unsubscribe(&filter("contested"));
                        drop(brief);
                    }
                }
            })
        })
        .collect();
    for racer in crowd {
        racer.await.unwrap();
    }
    let told = told.0.lock();
    assert!(told.len() >= 2 && told.len().is_multiple_of(2), "{}", told.len());
    assert!(told.chunks(2).all(|pair| pair == [true, false]), "created and destroyed by turns, beginning with created");
}
