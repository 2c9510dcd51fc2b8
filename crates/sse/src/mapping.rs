//! Where event streams meet the model: how a message becomes an event. (The other way round is [`inbound`].)
//!
//! Channel names need no mapping: the canonical name stands in the query and in the envelope as it is.

use crate::proto::envelope::{Data, Envelope};
use crate::proto::parser::Event;
use bytes::{Bytes, BytesMut};
use ratatosk_core::message::{Extras, Properties};
use ratatosk_core::{Channel, Fields, Form, Kind, Message, Position};
use std::sync::{Arc, LazyLock};

/// The name of the property that carries a foreign stream's event id.
pub const ID_PROPERTY: &str = "sse-id";

/// How a stream wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// The JSON envelope of [`crate::proto::envelope`].
    #[default]
    Envelope,
    /// The payload alone, line by line.
    Raw,
}

/// How a message is written: all that its bytes depend on, so that streams of one style share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// Envelope or raw.
    pub format: Format,
    /// Whether the message's event name becomes the SSE `event:` type.
    pub named: bool,
}

static ENVELOPE: LazyLock<Form> = LazyLock::new(|| Form::register("sse.envelope"));
static ENVELOPE_NAMED: LazyLock<Form> = LazyLock::new(|| Form::register("sse.envelope.named"));
static RAW: LazyLock<Form> = LazyLock::new(|| Form::register("sse.raw"));
static RAW_NAMED: LazyLock<Form> = LazyLock::new(|| Form::register("sse.raw.named"));

impl Style {
    /// The wire form that live messages of this style are cached under.
    #[must_use]
    pub fn form(self) -> Form {
        match (self.format, self.named) {
            (Format::Envelope, false) => *ENVELOPE,
            (Format::Envelope, true) => *ENVELOPE_NAMED,
            (Format::Raw, false) => *RAW,
            (Format::Raw, true) => *RAW_NAMED,
        }
    }

    /// What its events tell of every message.
    #[must_use]
    pub fn carries(self) -> Fields {
        match (self.format, self.named) {
            (Format::Envelope, _) => Fields::ALL,
            (Format::Raw, true) => Fields::EVENT,
            (Format::Raw, false) => Fields::NONE,
        }
    }

    /// What its events tell of this message: most payloads survive as bare data, too.
    #[must_use]
    pub fn carries_of(self, message: &Message) -> Fields {
        match self.format {
            Format::Envelope => self.carries(),
            Format::Raw => self.carries().and(bare(&message.payload)),
        }
    }

    /// The event of a live or replayed message, written now; ask [`Message::form`] with [`Style::form`] for the shared bytes.
    #[must_use]
    pub fn encode(self, epoch: &str, message: &Message) -> Bytes {
        self.write(epoch, message, None)
    }

    /// The event of a last value: marked `retained`. Its `id:` line is the place where the stream goes on, because the
    /// message's own would move the reader's cursor back.
    #[must_use]
    pub fn encode_last_value(self, epoch: &str, message: &Message, cursor: &str) -> Bytes {
        self.write(epoch, message, Some(cursor))
    }

    fn write(self, epoch: &str, message: &Message, cursor: Option<&str>) -> Bytes {
        let id = Position::text(epoch, message.seq);
        let mut envelope = envelope(&id, message, cursor.is_some());
        envelope.cursor = cursor;
        let mut out = BytesMut::new();
        match self.format {
            Format::Envelope => envelope.encode_event(&mut out, self.named),
            Format::Raw => envelope.encode_raw_event(&mut out, self.named),
        }
        out.freeze()
    }
}

fn envelope<'a>(id: &'a str, message: &'a Message, retained: bool) -> Envelope<'a> {
    let mut envelope = Envelope::new(message.channel.as_str(), id, message.time_ms, data(message));
    envelope.retained = retained;
    envelope.retain = message.retain && !retained;
    envelope.expires_ms = message.expires_ms();
    envelope.user = message.origin.user.as_deref();
    envelope.hops = &message.origin.hops;
    if let Some(extras) = message.extras() {
        envelope.event = extras.event.as_deref();
        envelope.content_type = extras.content_type.as_deref();
        envelope.properties = &extras.properties;
        envelope.reply_to = extras.reply_to.as_ref().map(Channel::as_str);
        envelope.correlation = extras.correlation.as_deref();
    }
    envelope
}

/// Whether a payload is the same when it comes out of an event's `data` lines: they are UTF-8, and every line break in
/// them is read as LF (HTML, 9.2.6).
#[must_use]
pub fn bare(payload: &[u8]) -> Fields {
    let same = std::str::from_utf8(payload).is_ok() && memchr::memchr(b'\r', payload).is_none();
    if same { Fields::PAYLOAD } else { Fields::NONE }
}

/// What an update of a Mercure hub tells of every message, whoever published it.
pub const MERCURE_CARRIES: Fields = Fields::EVENT;

fn data(message: &Message) -> Data<'_> {
    let bytes = &*message.payload;
    match message.kind() {
        Kind::Json => Data::Json(bytes),
        Kind::Text => std::str::from_utf8(bytes).map_or(Data::Binary(bytes), Data::Text),
        Kind::Binary => Data::Binary(bytes),
    }
}

/// What a foreign stream's event becomes: its data the payload, its type the event name (`message`, the default type, is no name),
/// its id the property [`ID_PROPERTY`].
#[must_use]
pub fn inbound(event: Event) -> (Bytes, Option<Box<Extras>>) {
    let name = event.event.filter(|name| name != "message");
    let mut properties = Properties::new();
    if !event.id.is_empty() {
        properties.push((Arc::from(ID_PROPERTY), event.id));
    }
    let plain = name.is_none() && properties.is_empty();
    let extras = (!plain).then(|| Extras { event: name.map(Arc::from), properties, ..Extras::default() });
    (event.data.into(), extras.map(Box::new))
}
