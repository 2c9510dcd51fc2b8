//! Frames from a server, understood by a client: what Pusher, soketi, Sockudo, Reverb and this gateway send, leniently.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{command::Data, member::Member, text};

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The connection is up.
    Established {
        /// Its name.
        socket_id: String,
        /// Seconds of silence the server wants to see a ping after; 0 where it does not say.
        activity_timeout_s: u64,
    },
    /// `pusher:ping`.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// `pusher:error`.
    Error {
        /// Its code, where it has one.
        code: Option<u16>,
        /// Its text.
        message: String,
        /// The channel, where the server names it.
        channel: Option<String>,
    },
    /// A subscription is live.
    Succeeded {
        /// Of this channel.
        channel: String,
        /// Who is there, on presence channels.
        members: Vec<Member>,
    },
    /// A subscription is refused.
    Refused {
        /// Of this channel.
        channel: String,
        /// Why.
        message: String,
    },
    /// Someone joined a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// Who.
        member: Member,
    },
    /// Someone left a presence channel.
    MemberRemoved {
        /// The channel.
        channel: String,
        /// Who.
        user_id: String,
    },
    /// The number of subscribers of a channel.
    Count {
        /// The channel.
        channel: String,
        /// The number.
        count: u64,
    },
    /// The sign-in is taken.
    SignedIn,
    /// Users of the watchlist came or left.
    Watchlist {
        /// Who came.
        online: Vec<String>,
        /// Who left.
        offline: Vec<String>,
    },
    /// An event.
    Event {
        /// The channel.
        channel: String,
        /// Its name.
        event: String,
        /// Its data.
        data: Data,
        /// The sender, on presence channels.
        user_id: Option<String>,
        /// The gateways it passed, where another gateway says so.
        hops: Option<String>,
    },
    /// Something that needs no answer.
    Other,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "ratatosk-hops")]
    hops: Option<&'a RawValue>,
}

/// Reads a frame; `None` if it is none.
#[must_use]
pub fn read(text: &str) -> Option<Said> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    let data = || frame.data.and_then(|raw| text::object::<Value>(raw).ok()).unwrap_or_default();
    let channel = || frame.channel.as_deref().map(str::to_owned);
    Some(match &*frame.event {
        "pusher:connection_established" => established(&data())?,
        "pusher:ping" => Said::Ping,
        "pusher:pong" => Said::Pong,
        "pusher:error" => error(&data(), channel()),
        "pusher_internal:subscription_succeeded" => Said::Succeeded { channel: channel()?, members: members(&data()) },
        "pusher:subscription_error" => {
            let data = data();
            let message = data.get("error").and_then(Value::as_str).unwrap_or("the subscription is refused");
            Said::Refused { channel: channel()?, message: message.to_owned() }
        }
        "pusher_internal:member_added" => Said::MemberAdded { channel: channel()?, member: member(&data())? },
        "pusher_internal:member_removed" => {
            Said::MemberRemoved { channel: channel()?, user_id: id(data().get("user_id")?)? }
        }
        "pusher_internal:subscription_count" => {
            Said::Count { channel: channel()?, count: data().get("subscription_count")?.as_u64()? }
        }
        "pusher:signin_success" => Said::SignedIn,
        "pusher_internal:watchlist_events" => watchlist(&data()),
        event if super::name::is_reserved_event(event) => Said::Other,
        event => match channel() {
            Some(channel) => Said::Event {
                channel,
                event: event.to_owned(),
                data: Data::from_raw(frame.data),
                user_id: frame.user_id.and_then(text::as_id),
                hops: frame.hops.and_then(|hops| serde_json::from_str(hops.get()).ok()),
            },
            None => Said::Other,
        },
    })
}

fn established(data: &Value) -> Option<Said> {
    let socket_id = data.get("socket_id")?.as_str()?.to_owned();
    let activity_timeout_s = data.get("activity_timeout").and_then(Value::as_u64).unwrap_or(0);
    Some(Said::Established { socket_id, activity_timeout_s })
}

fn error(data: &Value, channel: Option<String>) -> Said {
    let code = data.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let message = data.get("message").and_then(Value::as_str).unwrap_or("an error without a text").to_owned();
    let named = || data.get("channel").and_then(Value::as_str).map(str::to_owned);
    Said::Error { code, message, channel: channel.or_else(named) }
}

fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn info(value: Option<&Value>) -> Option<String> {
    value.filter(|value| !value.is_null()).map(Value::to_string)
}

fn member(data: &Value) -> Option<Member> {
    Some(Member { user_id: id(data.get("user_id")?)?, user_info: info(data.get("user_info")) })
}

/// By `ids` and `hash`; servers that leave one of them out are understood by the other.
fn members(data: &Value) -> Vec<Member> {
    let Some(presence) = data.get("presence") else { return Vec::new() };
    let hash = presence.get("hash").and_then(Value::as_object);
    let mut ids: Vec<String> =
        presence.get("ids").and_then(Value::as_array).into_iter().flatten().filter_map(id).collect();
    if ids.is_empty() {
        ids = hash.into_iter().flat_map(serde_json::Map::keys).cloned().collect();
    }
    let one = |user_id: String| {
        let user_info = info(hash.and_then(|hash| hash.get(&user_id)));
        Member { user_id, user_info }
    };
    ids.into_iter().map(one).collect()
}

fn watchlist(data: &Value) -> Said {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    for event in data.get("events").and_then(Value::as_array).into_iter().flatten() {
        let ids = event.get("user_ids").and_then(Value::as_array).into_iter().flatten().filter_map(id);
        match event.get("name").and_then(Value::as_str) {
            Some("online") => online.extend(ids),
            Some("offline") => offline.extend(ids),
            _ => {}
        }
    }
    Said::Watchlist { online, offline }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{frame, socket_id::SocketId};
    use proptest::prelude::*;

    fn member(id: &str, info: Option<&str>) -> Member {
        Member { user_id: id.into(), user_info: info.map(str::to_owned) }
    }

    #[test]
    fn what_our_server_writes_is_read_back() {
        let established = Said::Established { socket_id: "1.2".into(), activity_timeout_s: 120 };
        assert_eq!(read(&frame::established(SocketId(1, 2), 120)), Some(established));
        let members = [("7", Some(r#"{"n":1}"#)), ("b", None)];
        let succeeded = Said::Succeeded {
            channel: "presence-x".into(),
            members: vec![member("7", Some(r#"{"n":1}"#)), member("b", None)],
        };
        assert_eq!(read(&frame::succeeded_presence("presence-x", members.into_iter())), Some(succeeded));
        let refused = Said::Refused { channel: "private-x".into(), message: "no".into() };
        assert_eq!(read(&frame::subscription_error("private-x", "AuthError", "no", 401)), Some(refused));
        let removed = Said::MemberRemoved { channel: "presence-x".into(), user_id: "7".into() };
        assert_eq!(read(&frame::member_removed("presence-x", "7")), Some(removed));
        let watchlist = Said::Watchlist { online: vec!["a".into()], offline: vec!["b".into()] };
        let text = frame::watchlist(["a"].into_iter(), ["b"].into_iter());
        assert_eq!(text.and_then(|text| read(&text)), Some(watchlist));
        assert_eq!(read(frame::ping()), Some(Said::Ping));
        assert_eq!(read(&frame::signin_success("{}")), Some(Said::SignedIn));
    }

    #[test]
    fn what_other_servers_write_differently_is_read_too() {
        for (text, said) in [
            (
                r#"{"event":"pusher_internal:subscription_succeeded","channel":"a"}"#,
                Said::Succeeded { channel: "a".into(), members: vec![] },
            ),
            (
                r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":{"presence":{"hash":{"10":{}}}}}"#,
                Said::Succeeded { channel: "presence-a".into(), members: vec![member("10", Some("{}"))] },
            ),
            (
                r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":10}"}"#,
                Said::MemberAdded { channel: "presence-a".into(), member: member("10", None) },
            ),
            (
                r#"{"event":"pusher:error","data":"{\"code\":4009,\"message\":\"no\"}","channel":"x"}"#,
                Said::Error { code: Some(4009), message: "no".into(), channel: Some("x".into()) },
            ),
            (
                r#"{"event":"pusher:subscription_error","channel":"x","data":{"type":"AuthError","error":"no","status":401}}"#,
                Said::Refused { channel: "x".into(), message: "no".into() },
            ),
            (
                r#"{"event":"e","channel":"x","data":{"a":1},"user_id":7}"#,
                Said::Event {
                    channel: "x".into(),
                    event: "e".into(),
                    data: Data::Json(r#"{"a":1}"#.into()),
                    user_id: Some("7".into()),
                    hops: None,
                },
            ),
            (
                r#"{"event":"e","channel":"x","data":"1","ratatosk-hops":"a,b"}"#,
                Said::Event {
                    channel: "x".into(),
                    event: "e".into(),
                    data: Data::Text("1".into()),
                    user_id: None,
                    hops: Some("a,b".into()),
                },
            ),
        ] {
            assert_eq!(read(text), Some(said), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(
            event in "(pusher(_internal)?:(connection_established|error|subscription_succeeded|member_added|watchlist_events)|x)",
            data in "(\\{\"(presence|events|code|user_id|socket_id)\":(1|null|\"x\"|\\[1\\]|\\{\"ids\":\\[1,null\\]\\})\\}|\\PC{0,20})",
        ) {
            let _ = read(&format!(r#"{{"event":{event:?},"channel":"c","data":{data}}}"#));
        }
    }
}
