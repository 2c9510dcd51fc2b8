//! Who is subscribed to what: the subscriptions API, and the private updates that tell of changes (Mercure, section "Active
//! Subscriptions").

use super::Hub;
use super::update::HUB_PATH;
use super::view::View;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ratatosk_core::{Channel, Origin, Publication};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What RFC 3986 calls unreserved stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The active subscriptions, by id.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    topic: String,
    subscriber: String,
    payload: Option<Value>,
}

impl Entry {
    fn id(&self) -> String {
        let part = |text| utf8_percent_encode(text, ENCODED);
        format!("{HUB_PATH}/subscriptions/{}/{}", part(&self.topic), part(&self.subscriber))
    }

    fn json(&self, active: bool) -> Value {
        let mut value = json!({
            "id": self.id(), "type": "Subscription", "subscriber": self.subscriber, "topic": self.topic, "active": active,
        });
        if let (Some(payload), Some(object)) = (&self.payload, value.as_object_mut()) {
            object.insert("payload".to_owned(), payload.clone());
        }
        value
    }
}

impl Registry {
    /// The subscriptions of a topic, of a subscriber, or all.
    pub(super) fn list(&self, topic: Option<&str>, subscriber: Option<&str>) -> Vec<Value> {
        let fits = |wanted: Option<&str>, text: &str| wanted.is_none_or(|wanted| wanted == text);
        let entries = self.0.lock();
        let found = entries.values().filter(|entry| fits(topic, &entry.topic) && fits(subscriber, &entry.subscriber));
        found.map(|entry| entry.json(true)).collect()
    }
}

/// One stream's subscriptions; dropping it ends them and tells so.
#[derive(Debug)]
pub(super) struct Active {
    hub: Hub,
    entries: Vec<Entry>,
}

impl Active {
    /// Enters a stream's selectors, if the hub keeps account of them.
    pub(super) fn enter(hub: &Hub, view: &View, subscriber: &str, payload: Option<&Value>) -> Self {
        let entry =
            |text: &str| Entry { topic: text.to_owned(), subscriber: subscriber.to_owned(), payload: payload.cloned() };
        let kept = if hub.0.tells_subscriptions { view.selectors.as_ref() } else { &[] };
        let entries: Vec<Entry> = kept.iter().map(|selector| entry(selector.text())).collect();
        let mut registry = hub.0.registry.0.lock();
        registry.extend(entries.iter().map(|entry| (entry.id(), entry.clone())));
        drop(registry);
        let active = Self { hub: hub.clone(), entries };
        active.tell(true);
        active
    }

    fn tell(&self, active: bool) {
        let hub = &self.hub.0;
        for entry in &self.entries {
            let mut data = entry.json(active);
            if let Some(object) = data.as_object_mut() {
                object.insert("@context".to_owned(), json!("https://mercure.rocks/"));
            }
            let channel = Channel::new(entry.id()).ok().and_then(|topic| hub.private.channel(&topic));
            let Some(channel) = channel else { continue };
            let update = Publication::new(channel, data.to_string(), Origin::connector(hub.connector));
            if let Err(error) = hub.server.0.bus.publish(update) {
                tracing::debug!(%error, "a change of subscriptions was not told");
            }
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut registry = self.hub.0.registry.0.lock();
        for entry in &self.entries {
            registry.remove(&entry.id());
        }
        drop(registry);
        self.tell(false);
    }
}
