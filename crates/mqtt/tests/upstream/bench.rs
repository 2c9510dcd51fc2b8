//! A bus with one upstream, and eyes on what happens.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ratatosk_connector::{
    backoff::BackoffConfig,
    rules::{Direction, LoopGuard, Rule, RuleSet},
    upstream::{Bridge, BridgeHandle, BridgeSpec, Mode, QueueLimits},
};
use ratatosk_core::{
    Bus, Channel, Connector, Filter, Message, MonitorEvent, MonitorHandler, Origin, OutboxLimits, Publication, Qos,
    QueuePeer, Session, SessionConfig, SubscribeOptions, monitor::Monitored,
};
use ratatosk_mqtt::{client::MqttClient, config::MqttUpstreamConfig};
use tokio::sync::mpsc;

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

struct Events(mpsc::Sender<String>);

impl MonitorHandler for Events {
    fn handle(&self, event: &Monitored) {
        let text = match &event.event {
            MonitorEvent::UpstreamStatus { up, reason, .. } => format!("{} {reason}", if *up { "up" } else { "down" }),
            MonitorEvent::SubscriptionConnected { filter, .. } => format!("+{filter}"),
            MonitorEvent::SubscriptionDisconnected { filter, reason, .. } => format!("-{filter} {reason}"),
            MonitorEvent::UpstreamPing { .. } => "ping".into(),
            _ => return,
        };
        let _ = self.0.try_send(text);
    }
}

pub(crate) struct Upstream {
    pub(crate) bus: Bus,
    pub(crate) handle: BridgeHandle,
    events: mpsc::Receiver<String>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

pub(crate) fn rules(direction: Direction, list: &[(&str, &str)]) -> RuleSet {
    RuleSet::new(list.iter().map(|(from, to)| Rule::new("r", direction, from, to).unwrap()))
}

/// A bridge called `far` that tries again quickly.
pub(crate) fn spec(inbound: &[(&str, &str)], outbound: &[(&str, &str)]) -> BridgeSpec {
    BridgeSpec {
        inbound: rules(Direction::In, inbound),
        outbound: rules(Direction::Out, outbound),
        mode: Mode::Always,
        queue: QueueLimits { messages: 100_000, bytes: 256 << 20, ..QueueLimits::default() },
        backoff: BackoffConfig {
            base: Duration::from_millis(20),
            cap: Duration::from_millis(200),
            stable: Duration::from_secs(5),
        },
        guard: LoopGuard::Mark,
        ..BridgeSpec::new("far", Connector::register("mqtt"))
    }
}

impl Upstream {
    pub(crate) fn new(url: &str, config: &MqttUpstreamConfig, spec: BridgeSpec) -> Self {
        Self::on(Bus::in_memory(), url, config, spec)
    }

    pub(crate) fn on(bus: Bus, url: &str, config: &MqttUpstreamConfig, spec: BridgeSpec) -> Self {
        let (events, seen) = mpsc::channel(100_000);
        bus.monitor().add(Arc::new(Events(events)));
        let client = MqttClient::new(&spec.name, &url.parse().unwrap(), config).unwrap();
        let (handle, task) = Bridge::spawn(&bus, spec, client);
        Self { bus, handle, events: seen, task }
    }

    /// The next event, pings left out.
    pub(crate) async fn event(&mut self) -> String {
        loop {
            let event = within(self.events.recv()).await.expect("the bus is there");
            if event != "ping" {
                return event;
            }
        }
    }

    /// Waits for an event that begins so, and yields it.
    pub(crate) async fn until(&mut self, begins: &str) -> String {
        loop {
            let event = within(self.events.recv()).await.expect("the bus is there");
            if event.starts_with(begins) {
                return event;
            }
        }
    }

    pub(crate) fn publish(&self, channel: &str, payload: &str, qos: Qos) {
        let mut publication = Publication::new(Channel::new(channel).unwrap(), payload.to_owned(), Origin::gateway());
        publication.qos = qos;
        self.bus.publish(publication).unwrap();
    }

    pub(crate) fn subscribe(&self, filter: &str) -> Subscriber {
        let limits = OutboxLimits { messages: 1_000_000, bytes: 1 << 30, ..OutboxLimits::default() };
        let peer = QueuePeer::new(limits);
        let session = self.bus.open_session(SessionConfig::client("c", Connector::register("test")), peer.clone());
        session
            .subscribe(Filter::new(filter).unwrap(), SubscribeOptions { qos: Qos::ExactlyOnce, ..Default::default() });
        Subscriber { peer, _session: session, got: VecDeque::new() }
    }
}

pub(crate) struct Subscriber {
    peer: Arc<QueuePeer>,
    _session: Session,
    got: VecDeque<Arc<Message>>,
}

impl Subscriber {
    pub(crate) async fn next(&mut self) -> Arc<Message> {
        while self.got.is_empty() {
            let more = within(self.peer.recv_many(1000)).await.unwrap();
            self.got.extend(more.into_iter().map(|waiting| waiting.message));
        }
        self.got.pop_front().unwrap()
    }

    pub(crate) fn try_next(&mut self) -> Option<Arc<Message>> {
        if let Some(more) = self.peer.try_recv_many(1000).unwrap() {
            self.got.extend(more.into_iter().map(|waiting| waiting.message));
        }
        self.got.pop_front()
    }

    /// Channel and payload of the next message.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.next().await;
        format!("{} {}", message.channel, String::from_utf8_lossy(&message.payload))
    }
}

/// Polls until it holds, with a bound.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, poll).await.is_ok(), "never: {what}");
}
