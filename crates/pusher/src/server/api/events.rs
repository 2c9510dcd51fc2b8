//! Publishing.

use std::{sync::Arc, time::Duration};

use ratatosk_connector::{
    access::Disapproved,
    limits::{Limit, Pressure},
};
use ratatosk_core::{Origin, Publication, PublishError, stats::DropReason};
use serde_json::{Map, Value, json};

use super::{Answer, Call, channels::attributes};
use crate::{
    mapping::DEFAULT_EVENT,
    payload,
    proto::http::{self, Event, Fault},
    server::app::App,
};

/// How long the event of a cache channel is kept.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// `POST /events`.
pub(super) async fn one(call: &Call) -> Answer {
    let event = http::event(&call.app.policy, &call.body)?;
    publish(call, &event).await?;
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
    for event in &events {
        names(&call.app, event)?;
    }
    let mut answers = Vec::with_capacity(events.len());
    for event in &events {
        publish(call, event).await?;
        let first = event.channels.first().map(|(channel, _)| told(&call.app, event, channel));
        answers.push(first.unwrap_or_else(|| json!({})));
    }
    let asked = events.iter().any(|event| !event.info.is_empty());
    Ok(if asked { json!({ "batch": answers }) } else { json!({}) })
}

/// `POST /channels/C/events`, from before there was `/events`.
pub(super) async fn to_channel(call: &Call, channel: &str) -> Answer {
    let event = http::trigger_from_query(&call.app.policy, channel, &call.query, &call.body)?;
    publish(call, &event).await?;
    Ok(json!({}))
}

fn told(app: &App, event: &Event, channel: &str) -> Value {
    let kind = event.channels.iter().find(|(name, _)| name == channel).map(|(_, kind)| *kind);
    let Some(info) = kind.map(|kind| event.info.applicable(kind)) else { return json!({}) };
    Value::Object(attributes(app, channel, info))
}

fn names(app: &App, event: &Event) -> Result<Vec<ratatosk_core::Channel>, Fault> {
    let channel = |(name, _): &(String, _)| app.channel(name).map(|(channel, _)| channel);
    event.channels.iter().map(channel).collect::<Result<_, _>>().map_err(|error| Fault::bad(error.to_string()))
}

/// To every channel, or to none.
async fn publish(call: &Call, event: &Event) -> Result<(), Fault> {
    let app = &*call.app;
    if app.access.limits().pressure() == Pressure::Hold {
        app.access.limits().refused(app.connector, Limit::Memory);
        return Err(Fault { status: 503, message: "The gateway is busy".into() });
    }
    let channels = names(app, event)?;
    for (channel, (written, kind)) in channels.iter().zip(&event.channels) {
        if app.is_ruled(written, *kind) && !app.own.as_ref().is_some_and(|rights| rights.may_publish(channel)) {
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
    for (channel, (written, kind)) in channels.into_iter().zip(&event.channels) {
        app.bus.admission().await;
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
        let approved = match &app.own {
            Some(rights) => rights.approve(publication).await,
            None => Ok(publication),
        };
        let publication = approved.map_err(|why| {
            app.bus.stats().dropped(app.connector, DropReason::Denied, 1);
            let status = if why == Disapproved::Unavailable { 503 } else { 403 };
            Fault { status, message: why.to_string() }
        })?;
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
