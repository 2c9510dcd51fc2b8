//! Delivered messages on the wire: each form is made once per message and shared by all subscribers.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ratatosk_connector::upstream::hops;
use ratatosk_core::{Bus, Connector, Form, Message, stats::Stats};

use crate::{
    mapping,
    proto::{
        details::Details,
        payload::{BINARY_PROPERTY, BinaryMeta, write_fields},
        reply::string,
    },
};

/// What a session's messages tell besides channel and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What the message itself says.
    Plain,
    /// Its position and the gateways it passed, too: for sessions that asked for replay, and for other gateways.
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
        message.count_losses(self.connector, mapping::CARRIES, &self.stats);
        let binary = message.properties().iter().find(|(key, _)| &**key == BINARY_PROPERTY);
        let binary = binary.and_then(|(_, value)| BinaryMeta::from_property(value));
        let ext = self.ext_of(message, detail);
        write_fields(&message.payload, message.kind(), binary.as_ref(), &ext, out);
        out.push(b'}');
    }

    /// What `ext` holds beside the mark of binary data, without its braces.
    fn ext_of(&self, message: &Message, detail: Detail) -> String {
        let mut out = Vec::new();
        let reply_to = message.extras().and_then(|extras| extras.reply_to.as_ref());
        let mut details = Details::of(message, reply_to, message.retain);
        details.expires = message.expires_ms();
        details.write(&mut out);
        if detail == Detail::Full {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend(format!("\"replay\":\"{}.{}\",\"{}\":", self.epoch, message.seq, hops::NAME).into_bytes());
            string(&hops::with_this(message, &self.gateway), &mut out);
        }
        String::from_utf8(out).unwrap_or_default()
    }
}
