//! Frames to a client (Pusher, "Websocket protocol"). `data` of the protocol's own events is the JSON of an
//! object in a string; `pusher:error` carries the object itself, as Pusher does.

use std::fmt::Write as _;

use super::{close::Close, command::Data, socket_id::SocketId, text::push_string};

/// `pusher:connection_established`.
#[must_use]
pub fn established(socket_id: SocketId, activity_timeout_s: u64) -> String {
    format!(
        r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"{socket_id}\",\"activity_timeout\":{activity_timeout_s}}}"}}"#
    )
}

/// `pusher:error`; most refusals have no code.
#[must_use]
pub fn error(code: Option<u16>, message: &str) -> String {
    let mut out = String::from(r#"{"event":"pusher:error","data":{"code":"#);
    match code {
        Some(code) => {
            let _ = write!(out, "{code}");
        }
        None => out.push_str("null"),
    }
    out.push_str(r#","message":"#);
    push_string(&mut out, message);
    out.push_str("}}");
    out
}

/// The `pusher:error` that goes before a close.
#[must_use]
pub fn closing(close: Close) -> String {
    error(Some(close.code()), &close.to_string())
}

/// `pusher:ping`.
#[must_use]
pub fn ping() -> &'static str {
    r#"{"event":"pusher:ping","data":"{}"}"#
}

/// `pusher:pong`.
#[must_use]
pub fn pong() -> &'static str {
    r#"{"event":"pusher:pong","data":"{}"}"#
}

/// A frame about a channel, whose `data` is the given text in a string.
#[must_use]
pub fn on_channel(event: &str, channel: &str, data: &str) -> String {
    let mut out = String::with_capacity(event.len() + channel.len() + data.len() + 48);
    head(&mut out, event, channel);
    out.push_str(r#","data":"#);
    push_string(&mut out, data);
    out.push('}');
    out
}

fn head(out: &mut String, event: &str, channel: &str) {
    out.push_str(r#"{"event":"#);
    push_string(out, event);
    out.push_str(r#","channel":"#);
    push_string(out, channel);
}

/// `pusher_internal:subscription_succeeded` of all channels but presence channels.
#[must_use]
pub fn succeeded(channel: &str) -> String {
    on_channel("pusher_internal:subscription_succeeded", channel, "{}")
}

/// The same for a presence channel, with everybody who is there, the subscriber included.
#[must_use]
pub fn succeeded_presence<'a>(channel: &str, members: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let (mut ids, mut hash, mut count) = (String::new(), String::new(), 0usize);
    for (id, info) in members {
        if count > 0 {
            ids.push(',');
            hash.push(',');
        }
        push_string(&mut ids, id);
        push_string(&mut hash, id);
        hash.push(':');
        hash.push_str(info.unwrap_or("null"));
        count += 1;
    }
    let data = format!(r#"{{"presence":{{"ids":[{ids}],"hash":{{{hash}}},"count":{count}}}}}"#);
    on_channel("pusher_internal:subscription_succeeded", channel, &data)
}

/// `pusher:subscription_error` on the channel, the form that pusher-js and Laravel Echo hand to the page.
#[must_use]
pub fn subscription_error(channel: &str, kind: &str, error: &str, status: u16) -> String {
    let mut data = String::from(r#"{"type":"#);
    push_string(&mut data, kind);
    data.push_str(r#","error":"#);
    push_string(&mut data, error);
    let _ = write!(data, r#","status":{status}}}"#);
    on_channel("pusher:subscription_error", channel, &data)
}

/// `pusher_internal:member_added`.
#[must_use]
pub fn member_added(channel: &str, user_id: &str, user_info: Option<&str>) -> String {
    let mut data = String::from(r#"{"user_id":"#);
    push_string(&mut data, user_id);
    data.push_str(r#","user_info":"#);
    data.push_str(user_info.unwrap_or("null"));
    data.push('}');
    on_channel("pusher_internal:member_added", channel, &data)
}

/// `pusher_internal:member_removed`.
#[must_use]
pub fn member_removed(channel: &str, user_id: &str) -> String {
    let mut data = String::from(r#"{"user_id":"#);
    push_string(&mut data, user_id);
    data.push('}');
    on_channel("pusher_internal:member_removed", channel, &data)
}

/// `pusher_internal:subscription_count`.
#[must_use]
pub fn subscription_count(channel: &str, count: usize) -> String {
    on_channel("pusher_internal:subscription_count", channel, &format!(r#"{{"subscription_count":{count}}}"#))
}

/// `pusher:cache_miss`.
#[must_use]
pub fn cache_miss(channel: &str) -> String {
    let mut out = String::new();
    head(&mut out, "pusher:cache_miss", channel);
    out.push_str(r#","data":"{}"}"#);
    out
}

/// `pusher:signin_success`, with the user data as it was signed.
#[must_use]
pub fn signin_success(user_data: &str) -> String {
    let mut data = String::from(r#"{"user_data":"#);
    push_string(&mut data, user_data);
    data.push('}');
    let mut out = String::from(r#"{"event":"pusher:signin_success","data":"#);
    push_string(&mut out, &data);
    out.push('}');
    out
}

/// `pusher_internal:watchlist_events`: who of the watchlist is there and who is not; empty lists are left out.
#[must_use]
pub fn watchlist<'a>(online: impl Iterator<Item = &'a str>, offline: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut events = String::new();
    push_watchlist(&mut events, "online", online);
    push_watchlist(&mut events, "offline", offline);
    if events.is_empty() {
        return None;
    }
    let mut out = String::from(r#"{"event":"pusher_internal:watchlist_events","data":"#);
    push_string(&mut out, &format!(r#"{{"events":[{events}]}}"#));
    out.push('}');
    Some(out)
}

fn push_watchlist<'a>(events: &mut String, name: &str, users: impl Iterator<Item = &'a str>) {
    let mut users = users.peekable();
    if users.peek().is_none() {
        return;
    }
    if !events.is_empty() {
        events.push(',');
    }
    let _ = write!(events, r#"{{"name":"{name}","user_ids":["#);
    for (index, user) in users.enumerate() {
        if index > 0 {
            events.push(',');
        }
        push_string(events, user);
    }
    events.push_str("]}");
}

/// An event of a channel; `user_id` on presence channels when a client sent it.
#[must_use]
pub fn event(channel: &str, event: &str, data: &Data, user_id: Option<&str>) -> String {
    let mut out = String::with_capacity(event.len() + channel.len() + data.as_str().len() + 64);
    head(&mut out, event, channel);
    out.push_str(r#","data":"#);
    match data {
        Data::Text(text) => push_string(&mut out, text),
        Data::Json(json) => out.push_str(json),
    }
    if let Some(user_id) = user_id {
        out.push_str(r#","user_id":"#);
        push_string(&mut out, user_id);
    }
    out.push('}');
    out
}

/// The frame with one more member, which stock clients ignore.
#[must_use]
pub fn with_member(mut frame: String, name: &str, value: &str) -> String {
    if frame.pop() == Some('}') {
        frame.push(',');
        push_string(&mut frame, name);
        frame.push(':');
        push_string(&mut frame, value);
    }
    frame.push('}');
    frame
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::{Value, json};

    fn parse(frame: &str) -> (Value, Value) {
        let frame: Value = serde_json::from_str(frame).unwrap();
        let data = frame["data"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        (frame, data)
    }

    #[test]
    fn data_of_the_protocols_own_events_is_a_string() {
        let (frame, data) = parse(&established(SocketId(1, 2), 120));
        assert_eq!(frame["event"], "pusher:connection_established");
        assert_eq!(data, json!({"socket_id": "1.2", "activity_timeout": 120}));
        let members = [("1", Some(r#"{"n":"\"é"}"#)), ("b\"", None)];
        let (frame, data) = parse(&succeeded_presence("presence-x", members.into_iter()));
        assert_eq!(frame["channel"], "presence-x");
        let hash = json!({"1": {"n": "\"é"}, "b\"": null});
        assert_eq!(data, json!({"presence": {"ids": ["1", "b\""], "hash": hash, "count": 2}}));
        let (_, data) = parse(&signin_success(r#"{"id":"a"}"#));
        assert_eq!(data, json!({"user_data": r#"{"id":"a"}"#}));
        let (_, data) = parse(&watchlist(["a"].into_iter(), ["b", "c"].into_iter()).unwrap());
        let events = json!([{"name": "online", "user_ids": ["a"]}, {"name": "offline", "user_ids": ["b", "c"]}]);
        assert_eq!(data["events"], events);
        assert_eq!(watchlist([].into_iter(), [].into_iter()), None);
        let (frame, data) = parse(&subscription_error("private-x", "AuthError", "no", 401));
        assert_eq!(
            (frame["channel"].clone(), data),
            (json!("private-x"), json!({"type":"AuthError","error":"no","status":401}))
        );
        assert_eq!(parse(&subscription_count("x", 3)).1, json!({"subscription_count": 3}));
        assert_eq!(parse(&member_added("presence-x", "7", None)).1, json!({"user_id": "7", "user_info": null}));
        assert_eq!(parse(&member_removed("presence-x", "7")).1, json!({"user_id": "7"}));
        assert_eq!(parse(&cache_miss("cache-x")).0["event"], "pusher:cache_miss");
    }

    #[test]
    fn an_error_carries_an_object() {
        let (frame, _) = parse(&error(None, "a \"b\""));
        assert_eq!(frame["data"], json!({"code": null, "message": "a \"b\""}));
        let (frame, _) = parse(&closing(Close::UnknownApp));
        assert_eq!(frame["data"]["code"], 4001);
    }

    #[test]
    fn event_data_is_forwarded_in_its_form() {
        let (frame, _) = parse(&event("private-x", "client-a", &Data::Json(r#"{"a":1}"#.into()), None));
        assert_eq!(frame["data"], json!({"a": 1}));
        let text = event("presence-x", "client-a", &Data::Text("{}".into()), Some("7"));
        let (frame, _) = parse(&text);
        assert_eq!((frame["data"].clone(), frame["user_id"].clone()), (json!("{}"), json!("7")));
    }
}
