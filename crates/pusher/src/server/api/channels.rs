//! Asking about channels and users.

use ratatosk_core::{EndReason, Filter, Message};
use serde_json::{Map, Value, json};

use super::{Answer, Call};
use crate::{
    proto::{
        http::{Fault, Info},
        name::{Class, Kind},
    },
    server::{app::App, encode},
};

/// What was asked for of a channel, but for what it keeps.
pub(super) fn attributes(app: &App, channel: &str, info: Info) -> Map<String, Value> {
    let occupied = app.registry.occupied(channel);
    let subscriptions = occupied.map_or(0, |room| room.subscriptions);
    let mut out = Map::new();
    if info.user_count {
        out.insert("user_count".into(), app.users_in(channel).into());
    }
    if info.subscription_count {
        out.insert("subscription_count".into(), subscriptions.into());
    }
    out
}

/// `GET /channels`.
pub(super) fn list(call: &Call) -> Answer {
    let prefix = call.query.get("filter_by_prefix").unwrap_or_default();
    let info = Info::parse(call.query.get("info"))?;
    if info.user_count && !prefix.starts_with("presence-") {
        let message = "user_count may only be asked for when filtering by a presence- prefix";
        return Err(Fault::bad(message));
    }
    if info.cache {
        return Err(Fault::bad("Cannot retrieve the cached events of many channels"));
    }
    let mut channels = Map::new();
    for room in call.app.registry.list(prefix) {
        let mut out = Map::new();
        if info.user_count {
            out.insert("user_count".into(), call.app.users_in(&room.name).into());
        }
        if info.subscription_count {
            out.insert("subscription_count".into(), room.subscriptions.into());
        }
        channels.insert(room.name.to_string(), Value::Object(out));
    }
    Ok(json!({ "channels": channels }))
}

/// `GET /channels/C`.
pub(super) async fn one(call: &Call, channel: &str) -> Answer {
    let kind = kind(call, channel)?;
    let info = Info::parse(call.query.get("info"))?.check(kind)?;
    let mut out = Map::new();
    out.insert("occupied".into(), call.app.registry.occupied(channel).is_some().into());
    out.extend(attributes(&call.app, channel, info));
    if info.cache {
        out.insert("cache".into(), kept(&call.app, channel).await?);
    }
    Ok(Value::Object(out))
}

/// `GET /channels/C/users`.
pub(super) fn users(call: &Call, channel: &str) -> Answer {
    if kind(call, channel)?.class != Class::Presence {
        return Err(Fault::bad("Users can only be retrieved for presence channels"));
    }
    let (channel, _) = call.app.channel(channel).map_err(|error| Fault::bad(error.to_string()))?;
    let users: Vec<Value> = call
        .app
        .bus
        .presence()
        .read(&channel, |roster| roster.members().map(|(user, _)| json!({ "id": user })).collect());
    Ok(json!({ "users": users }))
}

/// `GET /channels/C/stats`, from before there was `info`.
pub(super) fn stats(call: &Call, channel: &str) -> Answer {
    kind(call, channel)?;
    let occupied = call.app.registry.occupied(channel);
    let subscriptions = occupied.as_ref().map_or(0, |room| room.subscriptions);
    Ok(json!({ "occupied": occupied.is_some(), "subscription_count": subscriptions }))
}

/// `POST /users/U/terminate_connections`.
pub(super) fn terminate(call: &Call, user: &str) -> Value {
    call.app.users.connections(user).iter().for_each(|client| client.end(EndReason::Kicked));
    json!({})
}

fn kind(call: &Call, channel: &str) -> Result<Kind, Fault> {
    call.app.policy.kind(channel).map_err(|fault| Fault::bad(fault.to_string()))
}

/// The kept event: its data and the seconds it is still kept for.
async fn kept(app: &App, channel: &str) -> Answer {
    let (channel, _) = app.channel(channel).map_err(|error| Fault::bad(error.to_string()))?;
    let filter = Filter::new(channel.as_str()).map_err(|error| Fault::bad(error.to_string()))?;
    let failed = |error: ratatosk_core::engine::EngineError| Fault { status: 503, message: error.to_string() };
    let kept = app.bus.last_values(&filter).await.map_err(failed)?;
    let now = std::time::Instant::now();
    Ok(kept.iter().rfind(|message| !message.is_expired(now)).map_or(Value::Null, |message| show(message, now)))
}

fn show(message: &Message, now: std::time::Instant) -> Value {
    let ttl = message.remaining(now).map(|left| left.as_secs());
    json!({ "data": encode::data(message, false).as_str(), "ttl": ttl })
}
