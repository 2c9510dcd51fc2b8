//! A far server that is only played.

use serde_json::{Value, json};

use crate::{Refused, UpstreamControl, UpstreamOrder};

pub(super) struct Fake;

impl UpstreamControl for Fake {
    fn list(&self) -> Vec<Value> {
        vec![shown("factory")]
    }

    fn get(&self, name: &str) -> Option<Value> {
        (name == "factory" || name == "new").then(|| shown(name))
    }

    fn add(&self, section: Value) -> Result<String, Refused> {
        Ok(section["name"].as_str().unwrap_or_default().to_owned())
    }

    fn order(&self, name: &str, _order: UpstreamOrder) -> Result<(), Refused> {
        self.get(name).map(drop).ok_or(Refused::Unknown)
    }

    fn remove(&self, name: &str) -> Result<(), Refused> {
        self.get(name).map(drop).ok_or(Refused::Unknown)
    }
}

/// The real ones are held to the same description by the black-box tests.
fn shown(name: &str) -> Value {
    let rule = json!([{ "from": "a/#", "to": "b/#", "qos": 2, "retain": true }]);
    json!({
        "name": name, "kind": "mqtt", "url": "mqtt://h:1", "source": "file", "mode": "always", "loop_guard": "mark",
        "state": "up", "permanent": false, "reason": "", "since_ms": 1, "connections": 1, "round_trip_ms": 0.5,
        "ack_stalls": 0, "subscriptions": 1, "wanted": ["a/#"], "in": rule, "out": [], "facts": null,
        "queue": { "messages": 0, "in_flight": 0, "bytes": 0, "oldest_seconds": 0.0 },
    })
}
