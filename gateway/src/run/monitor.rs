//! Monitor events as JSON messages on `$monitor/{event}/{connector or upstream}`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::UNIX_EPOCH,
};

use ratatosk_core::{Bus, Channel, Message, MonitorEvent, MonitorHandler, Origin, Publication, monitor::Monitored};
use serde_json::{Map, Value, json};

use crate::config::raw::MonitorSection;

/// Publishes the bus's events on the bus.
pub(super) fn publish_events(bus: &Bus, section: &MonitorSection) {
    let (messages, sample) = (section.messages, section.sample.max(1));
    bus.monitor().add(Arc::new(Publisher { bus: bus.clone(), messages, sample, seen: AtomicU32::new(0) }));
}

struct Publisher {
    bus: Bus,
    messages: bool,
    sample: u32,
    seen: AtomicU32,
}

impl MonitorHandler for Publisher {
    fn handle(&self, monitored: &Monitored) {
        let Some(Told { event, by, mut fields }) = tell(&monitored.event) else { return };
        let per_message =
            matches!(monitored.event, MonitorEvent::ReceivedMessage { .. } | MonitorEvent::DeliveredMessage { .. });
        if per_message && (!self.messages || !self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.sample)) {
            return;
        }
        let at = monitored.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        fields.insert("event".to_owned(), json!(event));
        fields.insert("time".to_owned(), json!(u64::try_from(at).unwrap_or(u64::MAX)));
        let Ok(channel) = Channel::new(format!("$monitor/{event}/{by}")) else { return };
        let payload = Value::Object(fields).to_string();
        // The gateway's own message to its own channel cannot be refused.
        let _ = self.bus.publish(Publication::new(channel, payload, Origin::gateway()));
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }
}

/// An event in words: its name, the connector or upstream it is about, and its fields.
struct Told {
    event: &'static str,
    by: String,
    fields: Map<String, Value>,
}

fn told(event: &'static str, by: impl ToString, fields: Value) -> Option<Told> {
    let Value::Object(fields) = fields else { return None };
    Some(Told { event, by: by.to_string(), fields })
}

fn tell(event: &MonitorEvent) -> Option<Told> {
    match event {
        MonitorEvent::CreatedClient { client_id, connector } => {
            told("created_client", connector, json!({ "client_id": client_id, "connector": connector.name() }))
        }
        MonitorEvent::DestroyedClient { client_id, connector, reason } => {
            let reason = reason.label();
            let fields = json!({ "client_id": client_id, "connector": connector.name(), "reason": reason });
            told("destroyed_client", connector, fields)
        }
        MonitorEvent::CreatedChannel { channel } => told("created_channel", "bus", json!({ "channel": channel })),
        MonitorEvent::DestroyedChannel { channel } => told("destroyed_channel", "bus", json!({ "channel": channel })),
        MonitorEvent::ClientSubscribed { client_id, connector, channel } => {
            told("client_subscribed", connector, json!({ "client_id": client_id, "channel": channel }))
        }
        MonitorEvent::ClientUnsubscribed { client_id, connector, channel } => {
            told("client_unsubscribed", connector, json!({ "client_id": client_id, "channel": channel }))
        }
        MonitorEvent::ReceivedMessage { message } => {
            tell_message("received_message", message, message.origin.connector)
        }
        MonitorEvent::DeliveredMessage { message, connector } => tell_message("delivered_message", message, *connector),
        MonitorEvent::UpstreamStatus { upstream, up, reason } => {
            let status = if *up { "up" } else { "down" };
            told("upstream_status", upstream, json!({ "upstream": upstream, "status": status, "reason": reason }))
        }
        MonitorEvent::UpstreamPing { upstream, round_trip } => {
            let ms = round_trip.as_secs_f64() * 1000.0;
            told("upstream_ping", upstream, json!({ "upstream": upstream, "round_trip_ms": ms }))
        }
        MonitorEvent::SubscriptionConnected { upstream, filter } => {
            told("subscription_connected", upstream, json!({ "upstream": upstream, "filter": filter }))
        }
        MonitorEvent::SubscriptionDisconnected { upstream, filter, reason } => {
            let fields = json!({ "upstream": upstream, "filter": filter, "reason": reason });
            told("subscription_disconnected", upstream, fields)
        }
        _ => None,
    }
}

/// The gateway's own messages are not told: telling one would be another.
fn tell_message(event: &'static str, message: &Message, by: ratatosk_core::Connector) -> Option<Told> {
    if message.origin.connector == ratatosk_core::Connector::GATEWAY {
        return None;
    }
    told(
        event,
        by,
        json!({ "client_id": message.origin.client_id, "message_id": message.seq, "channel": message.channel }),
    )
}
