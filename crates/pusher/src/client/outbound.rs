//! How a message of the bus is sent to a Pusher server.

use ratatosk_core::{Kind as Payload, Message};

use super::subscriptions::{Stage, Subscriptions, wire_name};
use crate::mapping::DEFAULT_EVENT;
use crate::payload;
use crate::proto::{
    command::Data,
    name::{Class, Kind, is_reserved_event},
};

/// Bytes of data that every server takes.
pub(super) const MAX_DATA: usize = 10 * 1024;
/// Characters of an event's name that every server takes.
const MAX_EVENT: usize = 200;

/// Which way a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// As a client event, on the socket.
    Event,
    /// By the HTTP API.
    Api,
}

/// A message in the words of Pusher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) way: Way,
    pub(super) channel: String,
    pub(super) kind: Kind,
    pub(super) event: String,
    pub(super) data: Data,
}

/// Why a message has no place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// The channel has no Pusher name.
    Name,
    /// It is too large.
    TooLarge,
}

/// Translates. Private and presence channels that are subscribed get client events, unless the API is forced;
/// everything else goes by the API.
pub(super) fn letter(
    message: &Message,
    channel: &str,
    subscriptions: &Subscriptions,
    force_api: bool,
) -> Result<Letter, Unsendable> {
    let channel = wire_name(channel).map_err(|_| Unsendable::Name)?;
    let kind = Kind::of(&channel, usize::MAX).map_err(|_| Unsendable::Name)?;
    let live = subscriptions.0.get(&channel).is_some_and(|subscription| subscription.stage == Stage::Live);
    let way = match kind.class {
        Class::Private | Class::Presence if live && !force_api => Way::Event,
        _ => Way::Api,
    };
    let event = message.event().filter(|event| !is_reserved_event(event)).unwrap_or(DEFAULT_EVENT);
    let event = match way {
        Way::Event if !event.starts_with("client-") => format!("client-{event}"),
        _ => event.to_owned(),
    };
    let data = data(message);
    if data.as_str().len() > MAX_DATA || event.chars().count() > MAX_EVENT {
        return Err(Unsendable::TooLarge);
    }
    Ok(Letter { way, channel, kind, event, data })
}

fn data(message: &Message) -> Data {
    match (message.kind(), std::str::from_utf8(&message.payload)) {
        (Payload::Json, Ok(text)) => Data::Json(text.to_owned()),
        (Payload::Text, Ok(text)) => Data::Text(text.to_owned()),
        _ => Data::Json(payload::binary(&message.payload)),
    }
}
