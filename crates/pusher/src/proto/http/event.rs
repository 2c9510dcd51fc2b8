//! Events to publish: `POST /events`, `POST /batch_events`, and the old `POST /channels/C/events`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, Info};
use crate::proto::{
    command::Data,
    name::{Class, Kind, is_reserved_event},
    policy::Policy,
    query::Query,
    socket_id::SocketId,
};

/// An event that passed every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Data,
    /// Where to, each once, with the kind of the name.
    pub channels: Vec<(String, Kind)>,
    /// The connection that is left out.
    pub socket_id: Option<String>,
    /// What the answer should tell of each channel.
    pub info: Info,
}

#[derive(Deserialize)]
struct Raw {
    name: Option<String>,
    data: Option<Box<RawValue>>,
    channels: Option<Vec<String>>,
    channel: Option<String>,
    socket_id: Option<String>,
    info: Option<String>,
}

#[derive(Deserialize)]
struct RawBatch {
    batch: Vec<Raw>,
}

fn shape(error: &serde_json::Error) -> Fault {
    Fault::bad(format!("Invalid JSON body: {error}"))
}

/// Reads the body of `POST /events`.
///
/// # Errors
/// 400 for what is wrong or missing, 413 for too much data.
pub fn event(policy: &Policy, body: &[u8]) -> Result<Event, Fault> {
    let raw: Raw = serde_json::from_slice(body).map_err(|error| shape(&error))?;
    check(policy, raw)
}

/// Reads the body of `POST /batch_events`: all or nothing.
///
/// # Errors
/// As [`event`], and 400 for too many events.
pub fn batch(policy: &Policy, body: &[u8]) -> Result<Vec<Event>, Fault> {
    let raw: RawBatch = serde_json::from_slice(body).map_err(|error| shape(&error))?;
    let most = policy.limits.batch_events;
    if raw.batch.len() > most {
        return Err(Fault::bad(format!("Too many events: a batch has at most {most}")));
    }
    raw.batch.into_iter().map(|raw| check(policy, raw)).collect()
}

/// Reads the old form: name and `socket_id` in the query, the data as the body.
///
/// # Errors
/// As [`event`].
pub fn trigger_from_query(policy: &Policy, channel: &str, query: &Query, body: &[u8]) -> Result<Event, Fault> {
    let data = std::str::from_utf8(body).map_err(|_| Fault::bad("The data must be UTF-8 text"))?;
    let name = query.get("name").map(str::to_owned);
    let socket_id = query.get("socket_id").map(str::to_owned);
    finish(policy, name, Data::Text(data.to_owned()), vec![channel.to_owned()], socket_id, None)
}

fn check(policy: &Policy, raw: Raw) -> Result<Event, Fault> {
    let data = raw.data.as_deref().ok_or_else(|| Fault::bad("data is missing"))?;
    let mut channels = raw.channels.unwrap_or_default();
    channels.extend(raw.channel);
    finish(policy, raw.name, Data::from_raw(Some(data)), channels, raw.socket_id, raw.info.as_deref())
}

fn finish(
    policy: &Policy,
    name: Option<String>,
    data: Data,
    names: Vec<String>,
    socket_id: Option<String>,
    info: Option<&str>,
) -> Result<Event, Fault> {
    let limits = &policy.limits;
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| Fault::bad("name is missing"))?;
    if name.chars().count() > limits.event_name_chars {
        return Err(Fault::bad(format!("Event name too long: at most {} characters", limits.event_name_chars)));
    }
    if is_reserved_event(&name) {
        return Err(Fault::bad("Event names may not begin with pusher: or pusher_internal:"));
    }
    if names.is_empty() {
        return Err(Fault::bad("channels is missing"));
    }
    if names.len() > limits.event_channels {
        return Err(Fault::bad(format!("Too many channels: at most {}", limits.event_channels)));
    }
    if data.as_str().len() > limits.event_bytes {
        return Err(Fault::too_large(format!("The data is over {} bytes", limits.event_bytes)));
    }
    if socket_id.as_ref().is_some_and(|id| !SocketId::is_valid(id)) {
        return Err(Fault::bad("Invalid socket id: it must be of the form N.N"));
    }
    let mut channels: Vec<(String, Kind)> = Vec::with_capacity(names.len());
    for name in names {
        let kind = policy.kind(&name).map_err(|fault| Fault::bad(fault.to_string()))?;
        if !channels.iter().any(|(known, _)| *known == name) {
            channels.push((name, kind));
        }
    }
    if channels.len() > 1 && channels.iter().any(|(_, kind)| kind.class == Class::Encrypted) {
        return Err(Fault::bad("An event for an encrypted channel cannot go to other channels too"));
    }
    Ok(Event { name, data, channels, socket_id, info: Info::parse(info)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn post(body: &Value) -> Result<Event, Fault> {
        event(&Policy::new("demo", "k", "s"), body.to_string().as_bytes())
    }

    fn status(body: &Value) -> u16 {
        post(body).map_or_else(|fault| fault.status, |_| 200)
    }

    #[test]
    fn one_or_many_channels() {
        let ok = post(&json!({"name": "e", "data": "d", "channels": ["a", "presence-b", "a"], "info": "user_count"}));
        let ok = ok.map(|event| (event.channels.len(), event.info.user_count, event.data));
        assert_eq!(ok, Ok((2, true, Data::Text("d".into()))));
        assert_eq!(status(&json!({"name": "e", "data": {"a": 1}, "channel": "a", "socket_id": "1.2"})), 200);
        assert_eq!(status(&json!({"name": "e", "data": "d", "channel": "#server-to-user-7"})), 200);
    }

    #[test]
    fn limits_have_true_status_codes() {
        let many = |n: usize| (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>();
        for (body, expected) in [
            (json!({"name": "e", "data": "x".repeat(10_240), "channel": "a"}), 200),
            (json!({"name": "e", "data": "x".repeat(10_241), "channel": "a"}), 413),
            (json!({"name": "e", "data": "d", "channels": many(100)}), 200),
            (json!({"name": "e", "data": "d", "channels": many(101)}), 400),
            (json!({"name": "e", "data": "d", "channels": []}), 400),
            (json!({"name": "e", "data": "d"}), 400),
            (json!({"name": "e", "channel": "a"}), 400),
            (json!({"data": "d", "channel": "a"}), 400),
            (json!({"name": "", "data": "d", "channel": "a"}), 400),
            (json!({"name": "x".repeat(201), "data": "d", "channel": "a"}), 400),
            (json!({"name": "pusher:error", "data": "d", "channel": "a"}), 400),
            (json!({"name": "pusher_internal:member_added", "data": "d", "channel": "a"}), 400),
            (json!({"name": "e", "data": "d", "channel": "a b"}), 400),
            (json!({"name": "e", "data": "d", "channel": "#x"}), 400),
            (json!({"name": "e", "data": "d", "channel": ""}), 400),
            (json!({"name": "e", "data": "d", "channel": "x".repeat(165)}), 400),
            (json!({"name": "e", "data": "d", "channel": "a", "socket_id": "x"}), 400),
            (json!({"name": "e", "data": "d", "channel": "a", "info": "nonsense"}), 400),
            (json!({"name": "e", "data": "d", "channels": ["private-encrypted-a", "b"]}), 400),
            (json!({"name": 1, "data": "d", "channel": "a"}), 400),
            (json!([]), 400),
            (json!(null), 400),
        ] {
            assert_eq!(status(&body), expected, "{}", &body.to_string()[..body.to_string().len().min(80)]);
        }
    }

    #[test]
    fn a_batch_is_all_or_nothing() {
        let policy = Policy::new("demo", "k", "s");
        let one = json!({"name": "e", "data": "d", "channel": "a"});
        let batch_of = |events: Vec<Value>| batch(&policy, json!({"batch": events}).to_string().as_bytes());
        assert_eq!(batch_of(vec![one.clone(); 10]).map(|events| events.len()), Ok(10));
        assert_eq!(batch_of(vec![one.clone(); 11]).map_err(|fault| fault.status), Err(400));
        assert_eq!(batch_of(vec![one, json!({})]).map_err(|fault| fault.status), Err(400));
        assert_eq!(batch(&policy, b"{}").map_err(|fault| fault.status), Err(400));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "(\\{\"(name|data|channel|channels|batch)\":(1|\"x\"|\\[\\]|\\{\\}|null)\\}|\\PC{0,60})") {
            let policy = Policy::new("demo", "k", "s");
            let _ = event(&policy, body.as_bytes());
            let _ = batch(&policy, body.as_bytes());
        }
    }
}
