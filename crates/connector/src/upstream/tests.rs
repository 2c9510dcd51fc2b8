//! Bridges driven by a client side that does what a test tells it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use ratatosk_core::{
    Bus, Channel, Connector, Filter, MonitorEvent, MonitorHandler, Origin, OutboxLimits, Publication, Qos, QueuePeer,
    Session, SessionConfig, SubscribeOptions, monitor::Monitored, stats::DropReason,
};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    backoff::BackoffConfig,
    rules::{Direction, LoopGuard, Rule, RuleSet},
};

type Work = Box<dyn FnOnce(&mut Port) -> Option<Ended> + Send>;

/// Does what comes over a channel; every attempt sees the same channel.
struct Scripted {
    attempts: mpsc::Sender<()>,
    work: mpsc::Receiver<Work>,
}

impl ClientSide for Scripted {
    async fn attempt(&mut self, port: &mut Port) -> Ended {
        let _ = self.attempts.try_send(());
        let leave = port.leave();
        tokio::pin!(leave);
        loop {
            let work = tokio::select! {
                () = &mut leave => return Ended::asked(),
                work = self.work.recv() => work,
            };
            match work {
                Some(work) => {
                    if let Some(ended) = work(port) {
                        return ended;
                    }
                }
                None => return Ended::lost("the test is over"),
            }
        }
    }
}

struct Events(mpsc::Sender<String>);

impl MonitorHandler for Events {
    fn handle(&self, event: &Monitored) {
        let text = match &event.event {
            MonitorEvent::UpstreamStatus { up, reason, .. } => format!("{} {reason}", if *up { "up" } else { "down" }),
            MonitorEvent::SubscriptionConnected { filter, .. } => format!("+{filter}"),
            MonitorEvent::SubscriptionDisconnected { filter, reason, .. } => format!("-{filter} {reason}"),
            _ => return,
        };
        let _ = self.0.try_send(text);
    }
}

struct Bench {
    bus: Bus,
    handle: BridgeHandle,
    task: tokio::task::JoinHandle<()>,
    work: mpsc::Sender<Work>,
    attempts: mpsc::Receiver<()>,
    events: mpsc::Receiver<String>,
}

fn rules(direction: Direction, list: &[(&str, &str)]) -> RuleSet {
    RuleSet::new(list.iter().map(|(from, to)| Rule::new("r", direction, from, to).unwrap()))
}

fn spec(inbound: &[(&str, &str)], outbound: &[(&str, &str)]) -> BridgeSpec {
    let quick = BackoffConfig {
        base: Duration::from_millis(20),
        cap: Duration::from_millis(20),
        stable: Duration::from_secs(60),
    };
    BridgeSpec {
        inbound: rules(Direction::In, inbound),
        outbound: rules(Direction::Out, outbound),
        backoff: quick,
        ..BridgeSpec::new("far", Connector::register("mqtt"))
    }
}

impl Bench {
    fn new(spec: BridgeSpec) -> Self {
        Self::on(Bus::in_memory(), spec)
    }

    fn on(bus: Bus, spec: BridgeSpec) -> Self {
        let (events, seen) = mpsc::channel(1000);
        bus.monitor().add(Arc::new(Events(events)));
        let (attempts, attempted) = mpsc::channel(1000);
        let (work, todo) = mpsc::channel(1000);
        let (handle, task) = Bridge::spawn(&bus, spec, Scripted { attempts, work: todo });
        Self { bus, handle, task, work, attempts: attempted, events: seen }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Port) -> T + Send + 'static) -> T {
        let (answer, result) = oneshot::channel();
        let work: Work = Box::new(move |port| {
            let _ = answer.send(work(port));
            None
        });
        self.work.send(work).await.unwrap();
        result.await.unwrap()
    }

    async fn end(&self, ended: Ended) {
        self.work.send(Box::new(move |_| Some(ended))).await.unwrap();
    }

    async fn event(&mut self) -> String {
        within(self.events.recv()).await.unwrap()
    }

    fn publish(&self, channel: &str, payload: &str) {
        self.bus
            .publish(Publication::new(Channel::new(channel).unwrap(), payload.to_owned(), Origin::gateway()))
            .unwrap();
    }

    fn subscribe(&self, filter: &str) -> (Session, Arc<QueuePeer>) {
        let peer = QueuePeer::new(OutboxLimits::default());
        let session = self.bus.open_session(SessionConfig::client("c", Connector::register("sse")), peer.clone());
        session.subscribe(Filter::new(filter).unwrap(), SubscribeOptions::default());
        (session, peer)
    }

    /// Takes that many messages.
    async fn taken(&self, count: usize) -> Vec<String> {
        within(async {
            let mut all: Vec<String> = Vec::new();
            while all.len() < count {
                tokio::task::yield_now().await;
                let next =
                    |port: &mut Port| port.take().map(|out| format!("{}={}", out.channel, text(&out.message.payload)));
                all.extend(self.run(next).await);
            }
            all
        })
        .await
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

fn inbound(channel: &str, payload: &'static str) -> Inbound {
    Inbound::new(Channel::new(channel).unwrap(), payload)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

#[tokio::test]
async fn status_is_told_on_change_and_reconnects_follow_losses() {
    let mut bench = Bench::new(spec(&[("a/#", "b/#")], &[]));
    within(bench.attempts.recv()).await;
    bench.end(Ended::lost("connection refused")).await;
    assert_eq!(bench.event().await, "down connection refused");
    bench.end(Ended::lost("connection timed out")).await; // still down: told once
    bench
        .run(|port| {
            port.up();
            let wanted = port.wanted().now();
            wanted.keys().for_each(|filter| port.subscribed(filter));
        })
        .await;
    assert_eq!(bench.event().await, "up ");
    assert_eq!(bench.event().await, "+a/#");
    assert_eq!(bench.handle.status().subscriptions, 1);
    bench.end(Ended::lost("reset")).await;
    assert_eq!(bench.event().await, "-a/# reset");
    assert_eq!(bench.event().await, "down reset");
    bench
        .run(|port| {
            port.up();
            port.refused(&Filter::new("a/#").unwrap(), "not authorized");
        })
        .await;
    assert_eq!(bench.event().await, "up ");
    assert_eq!(bench.event().await, "-a/# not authorized");
    assert_eq!(bench.handle.status().connections, 2);
}

#[tokio::test]
async fn a_permanent_error_stops_until_it_is_resumed() {
    let mut bench = Bench::new(spec(&[], &[]));
    bench.end(Ended::lost("connection refused")).await;
    assert_eq!(bench.event().await, "down connection refused");
    for _ in 0..2 {
        within(bench.attempts.recv()).await.unwrap();
    }
    bench.end(Ended::refused("bad user name or password")).await;
    assert_eq!(bench.event().await, "down bad user name or password");
    assert!(within(bench.handle.reached(State::Refused)).await);
    assert!(bench.attempts.try_recv().is_err());
    bench.handle.resume();
    within(bench.attempts.recv()).await.unwrap();
}

#[tokio::test]
async fn pause_resume_and_stop() {
    let mut bench = Bench::new(spec(&[], &[("x/#", "y/#")]));
    bench.run(Port::up).await;
    bench.handle.pause();
    assert!(within(bench.handle.reached(State::Paused)).await);
    bench.publish("x/1", "kept");
    bench.handle.resume();
    assert_eq!(bench.taken(1).await, ["y/1=kept"]);
    bench.run(Port::up).await;
    bench.handle.stop();
    within(bench.task).await.unwrap();
    assert_eq!(bench.handle.status().state, State::Stopped);
    let mut told = Vec::new();
    while let Ok(event) = bench.events.try_recv() {
        told.push(event);
    }
    assert_eq!(told, ["up ", "down paused", "up ", "down stopped"]);
}

#[tokio::test]
async fn a_bridge_without_a_handle_ends() {
    let Bench { handle, task, work, bus, .. } = Bench::new(spec(&[], &[]));
    drop(handle);
    within(task).await.unwrap();
    drop((work, bus));
}

#[tokio::test]
async fn a_panic_in_a_client_side_is_a_failed_attempt() {
    let mut bench = Bench::new(spec(&[], &[]));
    within(bench.attempts.recv()).await;
    #[expect(clippy::panic, reason = "that is what is tested")]
    bench.work.send(Box::new(|_| panic!("on purpose"))).await.unwrap();
    assert_eq!(bench.event().await, "down internal error");
    within(bench.attempts.recv()).await.unwrap();
}

#[tokio::test]
async fn inbound_messages_are_renamed_and_marked() {
    let bench = Bench::new(spec(&[("sensors/#", "factory/#")], &[("replies/#", "answers/#")]));
    let (_session, peer) = bench.subscribe("factory/#");
    let taken = bench
        .run(|port| {
            let mut message = inbound("sensors/a", "1");
            message.qos = Qos::ExactlyOnce;
            message.hops = vec!["other".into()];
            message.extras = Some(Box::default());
            message.extras.as_mut().unwrap().reply_to = Some(Channel::new("answers/7").unwrap());
            let first = port.deliver(message);
            let unknown = port.deliver(inbound("elsewhere", "2"));
            (matches!(first, Taken::Stored), matches!(unknown, Taken::Dropped(DropReason::Unmappable)))
        })
        .await;
    assert_eq!(taken, (true, true));
    let got = within(peer.recv_many(9)).await.unwrap();
    let message = &got[0].message;
    assert_eq!((got.len(), message.channel.as_str(), message.qos), (1, "factory/a", Qos::ExactlyOnce));
    assert_eq!(message.origin.upstream.as_deref(), Some("far"));
    assert_eq!(message.origin.hops.iter().map(|hop| &**hop).collect::<Vec<_>>(), ["other"]);
    assert_eq!(message.extras().unwrap().reply_to.as_ref().unwrap().as_str(), "replies/7");
}

#[tokio::test]
async fn a_message_does_not_pass_the_gateway_twice() {
    let bench = Bench::new(spec(&[("#", "#")], &[("#", "#")]));
    let id = bench.bus.gateway_id().clone();
    let dropped = bench
        .run(move |port| {
            let mut message = inbound("a", "1");
            message.hops = vec!["other".into(), id];
            matches!(port.deliver(message), Taken::Dropped(DropReason::Loop))
        })
        .await;
    assert!(dropped);
    assert_eq!(bench.bus.stats().drops(Connector::register("mqtt"), DropReason::Loop), 1);
}

#[tokio::test]
async fn outbound_keeps_order_over_a_reconnect_and_never_returns_to_its_origin() {
    let bench = Bench::new(spec(&[("in/#", "x/in/#")], &[("x/#", "y/#")]));
    bench.run(Port::up).await;
    assert!(matches!(bench.run(|port| port.deliver(inbound("in/1", "theirs"))).await, Taken::Stored));
    bench.publish("x/1", "1");
    bench.publish("other", "-");
    bench.publish("x/2", "2");
    assert_eq!(bench.taken(2).await, ["y/1=1", "y/2=2"]);
    bench.end(Ended::lost("reset")).await;
    bench.publish("x/3", "3");
    bench.run(Port::up).await;
    assert_eq!(bench.taken(3).await, ["y/1=1", "y/2=2", "y/3=3"]);
    assert_eq!(bench.handle.queue_depth().messages, 3);
}

#[tokio::test]
async fn last_values_from_before_the_bridge_go_first() {
    let bus = Bus::in_memory();
    let keep = |channel: &str, payload: &'static str| {
        bus.publish(Publication::new(Channel::new(channel).unwrap(), payload, Origin::gateway()).retained(true))
            .unwrap();
    };
    keep("x/1", "old");
    let bench = Bench::on(bus.clone(), spec(&[], &[("x/#", "y/#")]));
    bench.publish("x/2", "new");
    bench.run(Port::up).await;
    assert_eq!(bench.taken(2).await, ["y/1=old", "y/2=new"]);
}

#[tokio::test]
async fn drain_sends_what_waits_and_stops() {
    let bench = Bench::new(spec(&[], &[("x/#", "y/#")]));
    bench.run(Port::up).await;
    bench.publish("x/1", "1");
    let tokens = within(async {
        loop {
            if let Some(out) = bench.run(|port| port.take()).await {
                return out.token;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let handle = bench.handle.clone();
    let drained = tokio::spawn(async move { handle.drain().await });
    bench.run(move |port| port.done(tokens)).await;
    within(drained).await.unwrap();
    assert_eq!(bench.bus.stats().totals(Connector::register("mqtt")).delivered, 1);
}

#[tokio::test]
async fn a_peer_without_marks_is_recognised_by_fingerprint() {
    let bench = Bench::new(BridgeSpec { guard: LoopGuard::Fingerprint, ..spec(&[("#", "#")], &[("#", "#")]) });
    bench.run(Port::up).await;
    bench.publish("a", "1");
    assert_eq!(bench.taken(1).await, ["a=1"]);
    let echo = bench.run(|port| matches!(port.deliver(inbound("a", "1")), Taken::Dropped(DropReason::Loop))).await;
    let again = bench.run(|port| matches!(port.deliver(inbound("a", "1")), Taken::Stored)).await;
    assert!(echo && again);
}

#[tokio::test]
async fn on_demand_follows_local_subscribers() {
    let mode = Mode::OnDemand { linger: Duration::from_millis(100) };
    let bench = Bench::new(BridgeSpec { mode, ..spec(&[("sensors/#", "factory/#")], &[("#", "all/#")]) });
    assert!(bench.handle.wanted().is_empty());
    let changed = |bench: &Bench| {
        let (told, change) = oneshot::channel();
        let mut wanted = bench.handle.wanted_watch();
        wanted.borrow_and_update();
        tokio::spawn(async move {
            wanted.changed().await.unwrap();
            let _ = told.send(wanted.borrow().keys().map(ToString::to_string).collect::<Vec<_>>());
        });
        change
    };
    let change = changed(&bench);
    let (first, _peer) = bench.subscribe("factory/kitchen/+");
    assert_eq!(within(change).await.unwrap(), ["sensors/kitchen/+"]);
    let change = changed(&bench);
    let (second, _peer) = bench.subscribe("factory/#");
    assert_eq!(within(change).await.unwrap(), ["sensors/#"]);
    let change = changed(&bench);
    drop(second);
    assert_eq!(within(change).await.unwrap(), ["sensors/kitchen/+"]);
    let change = changed(&bench);
    drop(first);
    assert!(within(change).await.unwrap().is_empty());
}

mod succession;
mod treatments;
