//! The messages that we send.

use std::time::Instant;

use ratatosk_connector::upstream::{Outbound, hops};
use ratatosk_core::Filter;
use serde_json::{Map, Value, json};

use crate::{
    mapping,
    proto::{
        VERSION,
        details::Details,
        payload::{BINARY_PROPERTY, BinaryMeta, write_fields},
        reply::string,
    },
};

/// The names that stand for a filter at a Bayeux server; `None` if none do. `a/#` takes two, because `/a/**` leaves
/// out `/a`.
pub(super) fn names(filter: &Filter) -> Option<Vec<String>> {
    let name = mapping::encode_filter(filter)?;
    let parent = name.strip_suffix("/**").filter(|parent| !parent.is_empty()).map(str::to_owned);
    Some(std::iter::once(name).chain(parent).collect())
}

pub(super) fn handshake(id: u64, types: &[&str], ack: bool, replay: bool) -> Value {
    let mut ext = Map::new();
    if ack {
        ext.insert("ack".into(), true.into());
    }
    if replay {
        ext.insert("replay".into(), true.into());
    }
    ext.insert(hops::NAME.into(), true.into());
    json!({
        "channel": "/meta/handshake", "id": id.to_string(), "version": VERSION, "minimumVersion": VERSION,
        "supportedConnectionTypes": types, "ext": ext,
    })
}

/// A connect; the first is not to be held.
pub(super) fn connect(id: u64, client_id: &str, connection_type: &str, ack: Option<u64>, first: bool) -> Value {
    let mut message = json!({
        "channel": "/meta/connect", "id": id.to_string(), "clientId": client_id, "connectionType": connection_type,
    });
    if let Some(fields) = message.as_object_mut() {
        if let Some(batch) = ack {
            fields.insert("ext".into(), json!({ "ack": batch }));
        }
        if first {
            fields.insert("advice".into(), json!({ "timeout": 0 }));
        }
    }
    message
}

/// `channel` is `/meta/subscribe` or `/meta/unsubscribe`; `place` is where to begin, raw.
pub(super) fn subscription(channel: &str, id: u64, client_id: &str, names: &[String], place: Option<&str>) -> Value {
    // One name as a string: the form that every server takes.
    let subscription = match names {
        [one] => Value::from(one.as_str()),
        many => many.into(),
    };
    let mut message =
        json!({ "channel": channel, "id": id.to_string(), "clientId": client_id, "subscription": subscription });
    if let (Some(place), Some(fields)) = (place, message.as_object_mut()) {
        let place: Value = serde_json::from_str(place).unwrap_or(Value::Null);
        let places: Map<String, Value> = names.iter().map(|name| (name.clone(), place.clone())).collect();
        fields.insert("ext".into(), json!({ "replay": places }));
    }
    message
}

pub(super) fn disconnect(id: u64, client_id: &str) -> Value {
    json!({ "channel": "/meta/disconnect", "id": id.to_string(), "clientId": client_id })
}

/// Appends a publication; its payload goes as it is shown to JSON clients everywhere.
pub(super) fn publication(outbound: &Outbound, id: u64, client_id: &str, gateway_id: &str, out: &mut Vec<u8>) {
    let message = &outbound.message;
    out.extend_from_slice(b"{\"channel\":");
    string(&mapping::encode(&outbound.channel), out);
    out.extend_from_slice(format!(",\"id\":\"{id}\",\"clientId\":").as_bytes());
    string(client_id, out);
    out.push(b',');
    let binary = message.properties().iter().find(|(name, _)| &**name == BINARY_PROPERTY);
    let binary = binary.and_then(|(_, value)| BinaryMeta::from_property(value));
    let mut details = Details::of(message, outbound.reply_to.as_ref(), outbound.retain);
    details.expiry = message.remaining(Instant::now()).map(|left| left.as_secs_f64());
    let mut ext = Vec::new();
    details.write(&mut ext);
    if !ext.is_empty() {
        ext.push(b',');
    }
    ext.extend(format!("\"{}\":", hops::NAME).into_bytes());
    string(&hops::with_this(message, gateway_id), &mut ext);
    write_fields(&message.payload, message.kind(), binary.as_ref(), &String::from_utf8_lossy(&ext), out);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_deep_filter_takes_its_parent_too() {
        let of = |filter: &str| names(&Filter::new(filter).unwrap());
        assert_eq!(of("a/b/#").unwrap(), ["/a/b/**", "/a/b"]);
        assert_eq!(of("#").unwrap(), ["/**"]);
        assert_eq!(of("a/+").unwrap(), ["/a/*"]);
        assert_eq!(of("a").unwrap(), ["/a"]);
        assert_eq!(of("+/b"), None);
    }

    #[test]
    fn a_place_is_asked_for_as_it_was_given() {
        let message = subscription("/meta/subscribe", 1, "c", &["/event/X__e".into()], Some("17"));
        assert_eq!(message["ext"]["replay"], json!({ "/event/X__e": 17 }));
        assert_eq!(message["subscription"], "/event/X__e");
        let message = subscription("/meta/subscribe", 1, "c", &["/a/**".into(), "/a".into()], Some("\"k.5\""));
        assert_eq!(message["ext"]["replay"], json!({ "/a/**": "k.5", "/a": "k.5" }));
    }
}
