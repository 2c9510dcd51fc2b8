//! Publishing.

use std::{sync::Arc, time::Duration};

use ratatosk_connector::{
    access::{Disapproved, Rights},
    limits::{Limit, Pressure},
};
use ratatosk_core::{Channel, Origin, Publication, PublishError, stats::DropReason};
use serde_json::{Map, Value, json};

use super::{Answer, Call, channels::attributes};
use crate::{
    mapping::DEFAULT_EVENT,
    payload,
    proto::{
        http::{self, Event, Fault},
        name::Kind,
    },
    server::app::App,
};

/// How long the event of a cache channel is kept.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// `POST /events`.
pub(super) async fn one(call: &Call) -> Answer {
    let event = http::event(&call.app.policy, &call.body)?;
    publish(call, std::slice::from_ref(&event)).await?;
    if event.info.is_empty() {
        return Ok(json!({}));
    }
    let mut channels = Map::new();
    for (channel, _) in &event.channels {
        channels.insert(channel.clone(), told(&call.app, &event, channel));
    }
    Ok(json!({ "channels": channels }))
}

/// `POST /batch_events`.
pub(super) async fn batch(call: &Call) -> Answer {
    let events = http::batch(&call.app.policy, &call.body)?;
    publish(call, &events).await?;
    let first = |event: &Event| event.channels.first().map(|(channel, _)| told(&call.app, event, channel));
    let answers: Vec<Value> = events.iter().map(|event| first(event).unwrap_or_else(|| json!({}))).collect();
    let asked = events.iter().any(|event| !event.info.is_empty());
    Ok(if asked { json!({ "batch": answers }) } else { json!({}) })
}

/// `POST /channels/C/events`, from before there was `/events`.
pub(super) async fn to_channel(call: &Call, channel: &str) -> Answer {
    let event = http::trigger_from_query(&call.app.policy, channel, &call.query, &call.body)?;
    publish(call, &[event]).await?;
    Ok(json!({}))
}

fn told(app: &App, event: &Event, channel: &str) -> Value {
    let kind = event.channels.iter().find(|(name, _)| name == channel).map(|(_, kind)| *kind);
    let Some(info) = kind.map(|kind| event.info.applicable(kind)) else { return json!({}) };
    Value::Object(attributes(app, channel, info))
}

fn names(app: &App, event: &Event) -> Result<Vec<Channel>, Fault> {
    let channel = |(name, _): &(String, _)| app.channel(name).map(|(channel, _)| channel);
    event.channels.iter().map(channel).collect::<Result<_, _>>().map_err(|error| Fault::bad(error.to_string()))
}

/// One of the publications of an event.
struct Made<'a> {
    publication: Publication,
    written: &'a str,
    kind: Kind,
}

/// All events to every channel, or nothing.
async fn publish(call: &Call, events: &[Event]) -> Result<(), Fault> {
    let app = &*call.app;
    if app.access.limits().pressure() == Pressure::Hold {
        app.access.limits().refused(app.connector, Limit::Memory);
        return Err(Fault { status: 503, message: "The gateway is busy".into() });
    }
    let own = app.own_rights();
    let mut publications = Vec::new();
    for event in events {
        publications.extend(made(call, event, &own)?);
    }
    let mut approved = Vec::with_capacity(publications.len());
    for made in publications {
        let publication = own.approve(made.publication).await.map_err(|why| {
            app.bus.stats().dropped(app.connector, DropReason::Denied, 1);
            let status = if why == Disapproved::Unavailable { 503 } else { 403 };
            Fault { status, message: why.to_string() }
        })?;
        approved.push(Made { publication, ..made });
    }
    for Made { publication, written, kind } in approved {
        app.bus.admission().await;
        match app.bus.publish(publication) {
            Ok(_) => {}
            // It has been here, and the bus has counted it: whoever sent it has done right.
            Err(PublishError::Loop) => continue,
            Err(error) => return Err(Fault::bad(error.to_string())),
        }
        if kind.cache {
            app.registry.filled(written);
        }
    }
    Ok(())
}

/// What an event is to publish, where the rules allow all of it.
fn made<'a>(call: &Call, event: &'a Event, own: &Rights) -> Result<Vec<Made<'a>>, Fault> {
    let app = &*call.app;
    let channels = names(app, event)?;
    for (channel, (written, kind)) in channels.iter().zip(&event.channels) {
        if app.is_ruled(written, *kind) && !own.may_publish(channel) {
            app.bus.stats().dropped(app.connector, DropReason::Denied, 1);
            let message = format!("The gateway's rules do not allow publishing to {written}");
            return Err(Fault { status: 403, message });
        }
    }
    let name: Option<Arc<str>> = Some(event.name.as_str()).filter(|name| *name != DEFAULT_EVENT).map(Into::into);
    let payload = payload::of(&event.data);
    let mut origin = Origin { hops: call.hops.clone(), ..Origin::connector(app.connector) };
    if let Some(client) = event.socket_id.as_deref().and_then(|id| app.client(id)) {
        origin.session = Some(client.session);
        origin.client_id = event.socket_id.as_deref().map(Arc::from);
    }
    let one = |(channel, (written, kind)): (Channel, &'a (String, Kind))| {
        let mut publication = Publication::new(channel, payload.clone(), origin.clone());
        if let Some(name) = &name {
            publication = publication.with_event(name.clone());
        }
        if !call.context.is_empty() {
            publication.extras_mut().properties.clone_from(&call.context);
        }
        if kind.cache {
            publication.retain = true;
            publication.expiry = Some(KEPT);
        }
        Made { publication, written, kind: *kind }
    };
    Ok(channels.into_iter().zip(&event.channels).map(one).collect())
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
