//! How a message of the bus is written for Pusher clients.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ratatosk_connector::{stream::Frame, upstream::hops};
use ratatosk_core::{Connector, Fields, Form, Kind, Message, stats::Stats};

use super::packet;
use crate::{
    mapping::{CARRIES, DEFAULT_EVENT, Names},
    payload,
    proto::{
        command::Data,
        frame,
        name::{Class, is_reserved_event},
    },
};

/// The form of every application that shares the bus's names.
static SHARED: LazyLock<Form> = LazyLock::new(|| Form::register("pusher.event"));

/// The mark of a client event whose data was not a string.
pub(super) const JSON: &str = "application/json";

/// The same form with the gateways that a message passed, for other gateways.
static MARKED: LazyLock<Form> = LazyLock::new(|| Form::register("pusher.event with hops"));

/// Writes messages under the names of one application.
pub(super) struct EventFrame {
    names: Arc<Names>,
    form: Form,
    connector: Connector,
    stats: Arc<Stats>,
    /// This gateway's id, where readers are told which gateways a message passed.
    mark: Option<Arc<str>>,
}

impl EventFrame {
    pub(super) fn new(names: Arc<Names>, shared: bool, connector: Connector, stats: Arc<Stats>) -> Self {
        let form = if shared { *SHARED } else { Form::register("pusher.event of a namespace") };
        Self { names, form, connector, stats, mark: None }
    }

    /// The same for other gateways, which are told which gateways each message passed.
    pub(super) fn marked(&self, gateway_id: Arc<str>) -> Self {
        let form = if self.form == *SHARED { *MARKED } else { Form::register("pusher.event of a namespace with hops") };
        Self { names: self.names.clone(), form, stats: self.stats.clone(), mark: Some(gateway_id), ..*self }
    }

    /// The frame's text, or `None` where the channel has no Pusher name.
    pub(super) fn text(&self, message: &Message) -> Option<String> {
        let channel = self.names.name(&message.channel)?;
        let event = message.event().filter(|event| !is_reserved_event(event)).unwrap_or(DEFAULT_EVENT);
        let from_client = message.origin.connector == self.connector && event.starts_with("client-");
        let user = message.origin.user.as_deref();
        let present =
            crate::proto::name::Kind::of(&channel, usize::MAX).is_ok_and(|kind| kind.class == Class::Presence);
        let user = user.filter(|_| from_client && present);
        let text = frame::event(&channel, event, &data(message, from_client), user);
        Some(match &self.mark {
            Some(gateway_id) => frame::with_member(text, hops::NAME, &hops::with_this(message, gateway_id)),
            None => text,
        })
    }
}

impl Frame for EventFrame {
    fn form(&self) -> Form {
        self.form
    }

    fn encode(&self, message: &Message) -> Bytes {
        // A name of one of Pusher's own events is for Pusher alone.
        let own = message.event().is_some_and(is_reserved_event);
        let carried = if own { CARRIES.without(Fields::EVENT) } else { CARRIES };
        message.count_losses(self.connector, carried, &self.stats);
        self.text(message).map_or_else(Bytes::new, |text| packet::text_frame(&text).0)
    }
}

/// The data of a message: a string, as Pusher sends it, but for client events, which are passed on as they came.
pub(super) fn data(message: &Message, from_client: bool) -> Data {
    match (message.kind(), std::str::from_utf8(&message.payload)) {
        (Kind::Json, Ok(text)) if from_client && message.content_type() == Some(JSON) => Data::Json(text.to_owned()),
        (Kind::Json | Kind::Text, Ok(text)) => Data::Text(text.to_owned()),
        _ => Data::Text(payload::binary(&message.payload)),
    }
}
