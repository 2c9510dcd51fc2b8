//! Messages, sessions and rules as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatosk_core::{Bus, ChannelRule, Filter, Kind, LastValue, Message, SlowPolicy, session::SessionInfo};
use serde_json::{Map, Value, json};

/// The most bytes of a payload that are shown.
const SHOWN_BYTES: usize = 64 << 10;

pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// A message with its payload: JSON as it is, text as a string, anything else (and what is too long) in base64.
pub(crate) fn message(bus: &Bus, message: &Message) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(bus.position(message.seq).to_string()));
    out.insert("channel".to_owned(), json!(message.channel.as_str()));
    out.insert("time".to_owned(), json!(message.time_ms));
    out.insert("bytes".to_owned(), json!(message.payload.len()));
    payload(message, &mut out);
    out.insert("qos".to_owned(), json!(message.qos as u8));
    out.insert("retained".to_owned(), json!(message.retain));
    out.insert("event".to_owned(), json!(message.event()));
    out.insert("content_type".to_owned(), json!(message.content_type()));
    let properties: Vec<_> = message.properties().iter().map(|(name, value)| json!([name, value])).collect();
    out.insert("properties".to_owned(), json!(properties));
    let origin = &message.origin;
    out.insert(
        "origin".to_owned(),
        json!({
            "connector": origin.connector.name(),
            "client_id": origin.client_id,
            "user": origin.user,
            "upstream": origin.upstream,
            "hops": &*origin.hops,
        }),
    );
    Value::Object(out)
}

fn payload(message: &Message, out: &mut Map<String, Value>) {
    let cut = message.payload.get(..SHOWN_BYTES);
    let data = match (message.kind(), std::str::from_utf8(&message.payload)) {
        _ if cut.is_some_and(|cut| cut.len() < message.payload.len()) => {
            out.insert("truncated".to_owned(), json!(true));
            None
        }
        (Kind::Json, Ok(text)) => serde_json::from_str(text).ok(),
        (Kind::Text, Ok(text)) => Some(json!(text)),
        _ => None,
    };
    let data = data.unwrap_or_else(|| {
        out.insert("encoding".to_owned(), json!("base64"));
        json!(STANDARD.encode(cut.unwrap_or(&message.payload)))
    });
    out.insert("data".to_owned(), data);
}

pub(crate) fn session(info: &SessionInfo) -> Value {
    json!({
        "id": info.id.to_string(),
        "client_id": info.client_id,
        "connector": info.connector.name(),
        "user": info.user,
        "opened": unix_ms(info.opened),
        "subscriptions": info.subscriptions.iter().map(Filter::as_str).collect::<Vec<_>>(),
    })
}

pub(crate) fn rule(rule: &ChannelRule) -> Value {
    json!({
        "match": rule.matches.as_str(),
        "history": {
            "messages": rule.history.messages,
            "age_seconds": rule.history.age.as_secs_f64(),
            "bytes": rule.history.bytes,
        },
        "last_value": match rule.last_value {
            LastValue::Off => "off",
            LastValue::Retained => "retained",
            LastValue::Always => "always",
        },
        "presence": rule.presence,
        "slow": rule.slow.map(|policy| match policy {
            SlowPolicy::Disconnect => "disconnect",
            SlowPolicy::DropOldest => "drop_oldest",
            SlowPolicy::Conflate => "conflate",
        }),
        "outbox": rule.outbox.map(|outbox| json!({ "messages": outbox.messages, "bytes": outbox.bytes })),
    })
}
