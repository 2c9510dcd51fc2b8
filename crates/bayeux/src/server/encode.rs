//! Delivered messages on the wire: each form is made once per message and shared by all subscribers.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ratatosk_connector::upstream::hops;
use ratatosk_core::{Bus, Connector, Fields, Form, Message, stats::Stats};

use crate::{
    mapping,
    proto::{
        payload::{BINARY_PROPERTY, BinaryMeta, write_fields},
        reply::string,
    },
};

/// What a session's messages tell besides channel and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing.
    Plain,
    /// Position and passed gateways, in `ext`: for sessions that asked for replay, and for other gateways.
    Full,
}

impl Detail {
    /// Of a pair of forms, the one for this detail.
    pub(crate) fn of(self, forms: &[Form; 2]) -> Form {
        let [plain, full] = *forms;
        if self == Self::Plain { plain } else { full }
    }
}

static IN_ARRAY: LazyLock<[Form; 2]> =
    LazyLock::new(|| [Form::register("bayeux.array"), Form::register("bayeux.array.full")]);

/// Writes messages as this gateway's.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    epoch: Arc<str>,
    gateway: Arc<str>,
    stats: Arc<Stats>,
    connector: Connector,
}

impl Encoder {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self {
            epoch: bus.epoch().clone(),
            gateway: bus.gateway_id().clone(),
            stats: bus.stats().clone(),
            connector: crate::connector(),
        }
    }

    /// The form of [`Self::in_array`].
    pub(crate) fn array_form(detail: Detail) -> Form {
        detail.of(&IN_ARRAY)
    }

    /// A message and a comma: what a reply's array holds before the replies.
    pub(crate) fn in_array(&self, message: &Message, detail: Detail) -> Bytes {
        let mut out = Vec::with_capacity(message.payload.len() + 96);
        self.write(message, None, detail, &mut out);
        out.push(b',');
        out.into()
    }

    /// Appends the message as a JSON object, under a spelling of the client's own if there is one.
    pub(crate) fn write(&self, message: &Message, name: Option<&str>, detail: Detail, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"channel\":");
        match name {
            Some(name) => string(name, out),
            None => string(&mapping::encode(&message.channel), out),
        }
        out.push(b',');
        message.count_losses(self.connector, carries(message), &self.stats);
        let binary = message.properties().iter().find(|(key, _)| &**key == BINARY_PROPERTY);
        let binary = binary.and_then(|(_, value)| BinaryMeta::from_property(value));
        let ext = if detail == Detail::Full { self.ext_of(message) } else { String::new() };
        write_fields(&message.payload, message.kind(), binary.as_ref(), &ext, out);
        out.push(b'}');
    }

    fn ext_of(&self, message: &Message) -> String {
        let mut out = format!("\"replay\":\"{}.{}\",\"{}\":", self.epoch, message.seq, hops::NAME).into_bytes();
        string(&hops::with_this(&message.origin, &self.gateway), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

/// What a Bayeux message tells beside channel and data: nothing, but for the mark of the binary extension.
fn carries(message: &Message) -> Fields {
    let only_binary = message.properties().iter().all(|(name, _)| &**name == BINARY_PROPERTY);
    if only_binary { Fields::PROPERTIES } else { Fields::NONE }
}
