//! Channels: who subscribes, what was last said, what is kept, who is there.

use axum::{
    Json,
    extract::{Query, State},
};
use ratatosk_connector::http::Problem;
use ratatosk_core::{Bus, Channel, Filter, bus::SessionQuery};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, page};
use crate::{problems, render};

/// The most sessions that one channel's page names.
const SHOWN_SESSIONS: usize = 50;

/// Which page of which channels.
#[derive(Deserialize)]
pub(super) struct Wanted {
    after: Option<String>,
    limit: Option<usize>,
    q: Option<String>,
}

/// Channels and wildcard filters that have a subscriber, by name.
pub(super) async fn list(State(admin): Gateway, Query(wanted): Query<Wanted>) -> Json<Value> {
    let (bus, limit) = (&admin.config.bus, page(wanted.limit));
    let all = bus.interest_list();
    let total = all.len();
    let fits = |(filter, _): &(Filter, usize)| {
        wanted.after.as_deref().is_none_or(|after| filter.as_str() > after)
            && wanted.q.as_deref().is_none_or(|text| filter.as_str().contains(text))
    };
    let mut found: Vec<(Filter, usize)> = all.into_iter().filter(fits).collect();
    found.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(filter, _)| filter.as_str().to_owned());
    let entries: Vec<Value> =
        found.iter().map(|(filter, count)| json!({ "filter": filter.as_str(), "subscribers": count })).collect();
    Json(json!({ "channels": entries, "next": next, "total": total }))
}

/// Which channel, and how much of its history.
#[derive(Deserialize)]
pub(super) struct One {
    name: String,
    history: Option<usize>,
}

/// One channel or filter: its subscribers, its last values, the newest of its history, its roster.
pub(super) async fn one(State(admin): Gateway, Query(wanted): Query<One>) -> Result<Json<Value>, Problem> {
    let bus = &admin.config.bus;
    let filter = Filter::new(wanted.name).map_err(|error| problems::bad(error.to_string()))?;
    let replay = bus.replay_all(std::slice::from_ref(&filter), bus.head()).await;
    let replay = replay.map_err(|error| problems::engine(&error))?;
    let newest = replay.messages.iter().rev().take(page(wanted.history));
    let history: Vec<Value> = newest.map(|message| render::message(bus, message)).collect();
    let last = bus.last_values(&filter).await.map_err(|error| problems::engine(&error))?;
    let last: Vec<Value> = last.iter().rev().take(page(None)).map(|message| render::message(bus, message)).collect();
    let query = SessionQuery { filter: Some(filter.clone()), ..SessionQuery::default() };
    let sessions: Vec<Value> = bus.find_sessions(&query, SHOWN_SESSIONS).iter().map(render::session).collect();
    let rules = bus.rules();
    let (rule, roster) = match filter.as_channel() {
        Some(channel) => (rules.of(&channel), users(bus, &channel)),
        None => (rules.of_filter(&filter), Vec::new()),
    };
    Ok(Json(json!({
        "name": filter.as_str(),
        "subscribers": bus.subscriber_count(&filter),
        "sessions": sessions,
        "last_values": last,
        "history": { "kept": replay.messages.len(), "messages": history },
        "presence": roster,
        "rule": render::rule(&rule),
    })))
}

/// The last values that are kept, by channel name.
pub(super) async fn retained(State(admin): Gateway, Query(wanted): Query<Wanted>) -> Result<Json<Value>, Problem> {
    let (bus, limit) = (&admin.config.bus, page(wanted.limit));
    let all = Filter::new("#").map_err(|error| problems::bad(error.to_string()))?;
    let mut found = bus.last_values(&all).await.map_err(|error| problems::engine(&error))?;
    let total = found.len();
    found.retain(|message| {
        let name = message.channel.as_str();
        wanted.after.as_deref().is_none_or(|after| name > after)
            && wanted.q.as_deref().is_none_or(|text| name.contains(text))
    });
    found.sort_unstable_by(|one, other| one.channel.as_str().cmp(other.channel.as_str()));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|message| message.channel.as_str().to_owned());
    let entries: Vec<Value> = found.iter().map(|message| render::message(bus, message)).collect();
    Ok(Json(json!({ "messages": entries, "next": next, "total": total })))
}

/// Channels with a roster, by name, and how many are there.
pub(super) async fn presence(State(admin): Gateway, Query(wanted): Query<Wanted>) -> Result<Json<Value>, Problem> {
    let (bus, limit) = (&admin.config.bus, page(wanted.limit));
    let after = wanted.after.map(Channel::new).transpose().map_err(|error| problems::bad(error.to_string()))?;
    let mut found = bus.presence().channels(after.as_ref(), limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(channel, _)| channel.as_str().to_owned());
    let entries: Vec<Value> =
        found.iter().map(|(channel, count)| json!({ "channel": channel.as_str(), "users": count })).collect();
    Ok(Json(json!({ "channels": entries, "next": next })))
}

fn users(bus: &Bus, channel: &Channel) -> Vec<Value> {
    let mut users = bus.presence().users(channel);
    users.truncate(super::LARGEST_PAGE);
    let one = |user: &ratatosk_core::presence::Present| {
        json!({
            "user": user.user,
            "info": user.info,
            "since": render::unix_ms(user.since),
            "connectors": user.connectors.iter().map(|connector| connector.name()).collect::<Vec<_>>(),
        })
    };
    users.iter().map(one).collect()
}
