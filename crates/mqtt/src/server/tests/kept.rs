//! Sessions behind the session store of an engine whose records outlive the process.

use std::sync::atomic::{AtomicBool, Ordering};

use ratatosk_core::{
    BusConfig, Channel, ChannelRule, Filter, Message, Rules,
    engine::{
        Engine, EngineError, EngineFuture, EngineUsage, MemoryEngine, MemorySessions, Replay, SessionRecord,
        SessionStore, Stamp, StoreConflict, Stored,
    },
};

use super::*;

/// Sessions as a disk would keep them: a later process finds them.
#[derive(Debug, Default)]
struct Disk {
    sessions: MemorySessions,
    broken: AtomicBool,
}

impl Disk {
    fn check<'a, T: Send + 'a>(&self, fine: EngineFuture<'a, T>) -> EngineFuture<'a, T> {
        if self.broken.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(EngineError("the disk is gone".into()))));
        }
        fine
    }
}

impl SessionStore for Disk {
    fn load<'a>(&'a self, key: &'a str) -> EngineFuture<'a, Option<SessionRecord>> {
        self.check(self.sessions.load(key))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        expected: u64,
        data: bytes::Bytes,
    ) -> EngineFuture<'a, Result<u64, StoreConflict>> {
        self.check(Box::pin(async move { self.sessions.put(key, expected, data).await }))
    }

    fn remove<'a>(&'a self, key: &'a str, expected: u64) -> EngineFuture<'a, Result<(), StoreConflict>> {
        self.check(Box::pin(async move { self.sessions.remove(key, expected).await }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> EngineFuture<'a, Vec<Arc<str>>> {
        self.check(self.sessions.list(prefix))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// An engine whose sessions are on that disk. What it keeps of channels dies with it.
#[derive(Debug, Default)]
struct Durable {
    memory: MemoryEngine,
    disk: Arc<Disk>,
}

impl Engine for Durable {
    fn append(&self, channel: &Channel, rule: &ChannelRule, stamp: Stamp<'_>) -> Option<Stored> {
        self.memory.append(channel, rule, stamp)
    }

    fn replay<'a>(&'a self, filters: &'a [Filter], after: u64, up_to: u64) -> EngineFuture<'a, Replay> {
        self.memory.replay(filters, after, up_to)
    }

    fn last_values<'a>(&'a self, filter: &'a Filter) -> EngineFuture<'a, Vec<Arc<Message>>> {
        self.memory.last_values(filter)
    }

    fn interest_changed(&self, filter: &Filter, wanted: bool) {
        self.memory.interest_changed(filter, wanted);
    }

    fn sessions(&self) -> &dyn SessionStore {
        &*self.disk
    }

    fn usage(&self) -> EngineUsage {
        self.memory.usage()
    }

    fn sweep(&self) {
        self.memory.sweep();
    }
}

/// A gateway that has just started, on this disk.
async fn start(disk: &Arc<Disk>) -> Broker {
    let engine = Durable { disk: disk.clone(), ..Durable::default() };
    let (gateway_id, epoch) = ("test".into(), "e".into());
    let (bus, tasks) =
        Bus::new(BusConfig { gateway_id, epoch, lanes: 1, rules: Rules::default(), engine: Arc::new(engine) });
    tasks.into_iter().for_each(|task| drop(tokio::spawn(task)));
    Broker::on(bus, MqttConfig::default(), Arc::new(Anonymous)).await
}

async fn records(disk: &Disk) -> usize {
    disk.sessions.list("mqtt/").await.unwrap().len()
}

async fn until(mut fulfilled: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !fulfilled().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_session_survives_its_gateway() {
    let disk = Arc::default();
    let broker = start(&disk).await;
    let mut connect = lasting("c", true, 1000);
    connect.properties.receive_maximum = NonZeroU16::new(2);
    let (mut peer, _) = broker.join(connect).await;
    peer.subscribe("t/#", Qos::ExactlyOnce).await;
    let mut sender = broker.client("sender").await;
    for number in 0..4 {
        sender.publish_acked("t/x", &number.to_string()).await;
    }
    let first = peer.publication().await;
    let second = peer.publication().await;
    peer.ack(&first).await;
    let third = peer.publication().await;
    broker.stop().await;

    let broker = start(&disk).await;
    until(async || broker.server.sessions() == (0, 1)).await;
    broker.client("sender").await.publish_acked("t/x", "while away").await;
    let (mut peer, connack) = broker.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    for sent in [second, third] {
        let again = peer.publication().await;
        assert_eq!((&again.payload, again.packet_id, again.dup), (&sent.payload, sent.packet_id, true));
        peer.ack(&again).await;
    }
    for waited in ["3", "while away"] {
        let got = peer.publication().await;
        assert_eq!((got.payload.clone(), got.dup), (waited.into(), false));
        peer.ack(&got).await;
    }
    assert_eq!(peer.unsubscribe("t/#").await, [ReasonCode::SUCCESS]);
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_what_it_saved() {
    let disk = Arc::default();
    let broker = start(&disk).await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    peer.disconnect().await;
    broker.client("sender").await.publish_acked("t", "waits").await;
    let saved = async || {
        let record = disk.sessions.load("mqtt/c").await.unwrap();
        record.is_some_and(|record| record.data.windows(5).any(|window| window == b"waits"))
    };
    until(saved).await;
    // Not stopped: as far as the disk is concerned, this gateway never says anything again.
    let other = start(&disk).await;
    let (mut peer, connack) = other.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    assert_eq!(peer.publication().await.payload, "waits");
}

#[tokio::test]
async fn the_gateway_that_a_session_has_left_lets_go_of_it() {
    let disk = Arc::default();
    let old = start(&disk).await;
    let (mut peer, _) = old.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    until(async || records(&disk).await == 1).await;
    // It comes back there by itself, because the disk says that it is this gateway's to bring back.
    let new = start(&disk).await;
    let (mut there, connack) = new.join(lasting("c", false, 1000)).await;
    assert!(connack.session_present);
    there.subscribe("u", Qos::AtLeastOnce).await;
    // Whatever the old one writes next is of an old revision.
    peer.send(&Packet::Pingreq).await;
    loop {
        match peer.next().await {
            Some(Packet::Pingresp) => {}
            Some(Packet::Disconnect(goodbye)) => break assert_eq!(goodbye.reason, ReasonCode::SESSION_TAKEN_OVER),
            other => panic!("unexpected {other:?}"),
        }
    }
    there.publish("u", "here").await;
    assert_eq!(there.publication().await.payload, "here");
}

#[tokio::test]
async fn the_record_goes_when_the_session_ends() {
    let disk = Arc::default();
    let broker = start(&disk).await;
    let (peer, _) = broker.join(lasting("a", true, 1000)).await;
    peer.disconnect().await;
    let (peer, _) = broker.join(lasting("b", true, 1000)).await;
    until(async || records(&disk).await == 2).await;
    let (_again, connack) = broker.join(lasting("a", true, 0)).await;
    assert!(!connack.session_present);
    until(async || records(&disk).await == 1).await;
    let mut peer = peer;
    let goodbye = Disconnect { session_expiry: Some(0), ..Disconnect::default() };
    peer.send(&Packet::Disconnect(goodbye)).await;
    until(async || records(&disk).await == 0).await;
}

#[tokio::test]
async fn clean_start_forgets_what_another_life_kept() {
    let disk = Arc::default();
    let broker = start(&disk).await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    peer.subscribe("t", Qos::AtLeastOnce).await;
    broker.stop().await;
    let broker = start(&disk).await;
    let (mut peer, connack) = broker.join(lasting("c", true, 0)).await;
    assert!(!connack.session_present);
    assert_eq!(peer.unsubscribe("t").await, [ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    until(async || records(&disk).await == 0).await;
}

#[tokio::test]
async fn a_will_and_the_end_of_a_session_come_due_in_a_later_life() {
    let disk = Arc::default();
    let broker = start(&disk).await;
    let mut connect = lasting("c", true, 2);
    connect.will = Some(Will { retain: true, ..will("w", 1) });
    let (peer, _) = broker.join(connect).await;
    drop(peer);
    until(async || broker.server.sessions() == (0, 1)).await;
    broker.stop().await;
    let broker = start(&disk).await;
    let mut watcher = broker.client("watcher").await;
    watcher.subscribe("w", Qos::AtMostOnce).await;
    assert_eq!(watcher.publication().await.payload, "gone");
    until(async || records(&disk).await == 0).await;
    assert_eq!(broker.server.sessions(), (1, 0));
}

#[tokio::test]
async fn a_store_that_fails_is_tried_again_and_told_to_who_connects() {
    let disk: Arc<Disk> = Arc::default();
    let broker = start(&disk).await;
    let (mut peer, _) = broker.join(lasting("c", true, 1000)).await;
    disk.broken.store(true, Ordering::Relaxed);
    peer.subscribe("t", Qos::AtLeastOnce).await;
    let mut refused = broker.dial().await;
    assert_eq!(refused.connect(lasting("d", false, 1000)).await.reason, ReasonCode::SERVER_UNAVAILABLE);
    disk.broken.store(false, Ordering::Relaxed);
    let saved = async || {
        let record = disk.sessions.load("mqtt/c").await.unwrap();
        record.is_some_and(|record| record.data.windows(2).any(|window| window == b"\x01t"))
    };
    until(saved).await;
}
