//! Monitor events as JSON messages on `$monitor/{event}/{connector or upstream}`.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::UNIX_EPOCH,
};

use ratatosk_core::{
    Bus, Channel, Connector, Message, MonitorEvent, MonitorHandler, Origin, Publication, Qos, monitor::Monitored,
};
use serde_json::{Map, Value, json};

use crate::config::raw::MonitorSection;

/// Publishes the bus's events on the bus.
pub(super) fn publish_events(bus: &Bus, section: &MonitorSection) {
    let (messages, sample) = (section.messages, section.sample);
    let (sampler, channels) = (Sampler::new(sample), Channels::default());
    bus.monitor().add(Arc::new(Publisher { bus: bus.clone(), messages, sampler, channels }));
}

/// The channels of what is told of clients, made once: thousands may come at once.
type Channels = [[OnceLock<Channel>; Connector::MAX]; 6];

struct Publisher {
    bus: Bus,
    messages: bool,
    sampler: Sampler,
    channels: Channels,
}

impl Publisher {
    fn channel(&self, event: &MonitorEvent, name: &'static str, by: &str) -> Option<Cow<'_, Channel>> {
        let make = || Channel::new(["$monitor/", name, "/", by].concat()).ok();
        let (kind, connector) = match event {
            MonitorEvent::CreatedClient { connector, .. } => (0, *connector),
            MonitorEvent::DestroyedClient { connector, .. } => (1, *connector),
            MonitorEvent::ClientSubscribed { connector, .. } => (2, *connector),
            MonitorEvent::ClientUnsubscribed { connector, .. } => (3, *connector),
            MonitorEvent::CreatedChannel { .. } => (4, Connector::GATEWAY),
            MonitorEvent::DestroyedChannel { .. } => (5, Connector::GATEWAY),
            _ => return make().map(Cow::Owned),
        };
        let known = self.channels.get(kind)?.get(connector.index())?;
        if known.get().is_none() {
            let _ = known.set(make()?); // another thread may have been first: it made the same
        }
        known.get().map(Cow::Borrowed)
    }
}

/// Picks one in so many of the events that each message raises. Each kind is counted by itself: they take turns.
#[derive(Debug)]
pub(super) struct Sampler {
    every: u32,
    received: AtomicU32,
    delivered: AtomicU32,
}

impl Sampler {
    pub(super) fn new(every: u32) -> Self {
        Self { every: every.max(1), received: AtomicU32::new(0), delivered: AtomicU32::new(0) }
    }

    /// Whether this event is told. Those that no message raises always are.
    pub(super) fn picks(&self, event: &MonitorEvent) -> bool {
        let seen = match event {
            MonitorEvent::ReceivedMessage { .. } => &self.received,
            MonitorEvent::DeliveredMessage { .. } => &self.delivered,
            _ => return true,
        };
        seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every)
    }
}

impl MonitorHandler for Publisher {
    fn handle(&self, monitored: &Monitored) {
        let event = &monitored.event;
        let Some((name, by)) = name(event) else { return };
        let per_message = matches!(event, MonitorEvent::ReceivedMessage { .. } | MonitorEvent::DeliveredMessage { .. });
        if per_message && (!self.messages || !self.sampler.picks(event)) {
            return;
        }
        let Some(channel) = self.channel(event, name, by) else { return };
        // Mostly nobody watches: what nobody reads is not written.
        if !self.bus.is_wanted(&channel) {
            return;
        }
        let payload = describe(monitored, name, &self.bus).to_string();
        // The gateway's own message to its own channel cannot be refused.
        let _ = self
            .bus
            .publish(Publication::new(channel.into_owned(), payload, Origin::gateway()).with_qos(Qos::AtMostOnce));
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }
}

/// An event as clients and webhooks are told it.
pub(super) fn describe(monitored: &Monitored, name: &str, bus: &Bus) -> Value {
    let at = monitored.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut fields = fields(&monitored.event, bus);
    fields.insert("event".to_owned(), json!(name));
    fields.insert("time".to_owned(), json!(u64::try_from(at).unwrap_or(u64::MAX)));
    Value::Object(fields)
}

/// An event's name, and the connector or upstream it is about. The gateway's own messages are not told: telling one
/// would be another.
pub(super) fn name(event: &MonitorEvent) -> Option<(&'static str, &str)> {
    let named = match event {
        MonitorEvent::CreatedClient { connector, .. } => ("created_client", connector.name()),
        MonitorEvent::DestroyedClient { connector, .. } => ("destroyed_client", connector.name()),
        MonitorEvent::CreatedChannel { .. } => ("created_channel", "bus"),
        MonitorEvent::DestroyedChannel { .. } => ("destroyed_channel", "bus"),
        MonitorEvent::ClientSubscribed { connector, .. } => ("client_subscribed", connector.name()),
        MonitorEvent::ClientUnsubscribed { connector, .. } => ("client_unsubscribed", connector.name()),
        MonitorEvent::ReceivedMessage { message } if !is_own(message) => {
            ("received_message", message.origin.connector.name())
        }
        MonitorEvent::DeliveredMessage { message, connector } if !is_own(message) => {
            ("delivered_message", connector.name())
        }
        MonitorEvent::UpstreamStatus { upstream, .. } => ("upstream_status", &**upstream),
        MonitorEvent::UpstreamPing { upstream, .. } => ("upstream_ping", &**upstream),
        MonitorEvent::SubscriptionConnected { upstream, .. } => ("subscription_connected", &**upstream),
        MonitorEvent::SubscriptionDisconnected { upstream, .. } => ("subscription_disconnected", &**upstream),
        _ => return None,
    };
    Some(named)
}

fn is_own(message: &Message) -> bool {
    message.origin.connector == Connector::GATEWAY
}

fn fields(event: &MonitorEvent, bus: &Bus) -> Map<String, Value> {
    let fields = match event {
        MonitorEvent::CreatedClient { client_id, connector } => {
            json!({ "client_id": client_id, "connector": connector.name() })
        }
        MonitorEvent::DestroyedClient { client_id, connector, reason } => {
            json!({ "client_id": client_id, "connector": connector.name(), "reason": reason.label() })
        }
        MonitorEvent::CreatedChannel { channel } | MonitorEvent::DestroyedChannel { channel } => {
            json!({ "channel": channel })
        }
        MonitorEvent::ClientSubscribed { client_id, channel, .. }
        | MonitorEvent::ClientUnsubscribed { client_id, channel, .. } => {
            json!({ "client_id": client_id, "channel": channel })
        }
        MonitorEvent::ReceivedMessage { message } | MonitorEvent::DeliveredMessage { message, .. } => {
            let id = bus.position(message.seq).to_string();
            json!({ "client_id": message.origin.client_id, "message_id": id, "channel": message.channel })
        }
        MonitorEvent::UpstreamStatus { upstream, up, reason } => {
            json!({ "upstream": upstream, "status": if *up { "up" } else { "down" }, "reason": reason })
        }
        MonitorEvent::UpstreamPing { upstream, round_trip } => {
            json!({ "upstream": upstream, "round_trip_ms": round_trip.as_secs_f64() * 1000.0 })
        }
        MonitorEvent::SubscriptionConnected { upstream, filter } => json!({ "upstream": upstream, "filter": filter }),
        MonitorEvent::SubscriptionDisconnected { upstream, filter, reason } => {
            json!({ "upstream": upstream, "filter": filter, "reason": reason })
        }
        _ => Value::Null,
    };
    if let Value::Object(fields) = fields { fields } else { Map::new() }
}
