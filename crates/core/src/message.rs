//! The one message model that every protocol is translated to and from.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

pub use crate::message::{
    connector::Connector,
    form::Form,
    kind::Kind,
    losses::Fields,
    origin::{MAX_HOPS, NAMED, Origin, gateway_of},
    record::RecordError,
};
use crate::{channel::Channel, trace::Span};

mod connector;
mod form;
mod kind;
mod losses;
mod origin;
mod record;

/// Quality of service in MQTT's sense (MQTT 5.0 section 4.3). What comes by a protocol without one has [`Qos::UNSAID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once per hop.
    ExactlyOnce = 2,
}

impl Qos {
    /// What a message counts as whose protocol has no such thing: it waits for subscribers that asked for that much, and
    /// whoever asked for less gets less.
    pub const UNSAID: Self = Self::AtLeastOnce;
}

impl TryFrom<u8> for Qos {
    type Error = u8;
    fn try_from(level: u8) -> Result<Self, u8> {
        match level {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(other),
        }
    }
}

/// Ordered, repeatable name/value pairs: MQTT 5 user properties, Bayeux `ext`, HTTP headers.
pub type Properties = Vec<(Arc<str>, Arc<str>)>;

/// A place in the gateway's one sequence of messages, written `EPOCH.SEQ`.
///
/// The epoch names the life of the sequence: another epoch means that the stream was lost, so that a
/// client can tell it from "nothing new".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which sequence.
    pub epoch: Arc<str>,
    /// Which place in it; the first message has 1.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::text(&self.epoch, self.seq))
    }
}

impl Position {
    /// `EPOCH.SEQ`. Every event of a stream has one: it is joined without the formatting machinery.
    #[must_use]
    pub fn text(epoch: &str, seq: u64) -> String {
        [epoch, ".", itoa::Buffer::new().format(seq)].concat()
    }
}

/// The text is not `EPOCH.SEQ`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position reads EPOCH.SEQ")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, seq) = text.split_once('.').ok_or(PositionError)?;
        let plain = |t: &str| !t.is_empty() && t.len() <= 32 && t.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(epoch) || !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PositionError);
        }
        let seq = seq.parse().map_err(|_| PositionError)?;
        Ok(Self { epoch: epoch.into(), seq })
    }
}

/// The parts of a message that most messages lack, boxed so that those do not pay for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// MIME type of the payload.
    pub content_type: Option<Arc<str>>,
    /// Pusher's event, the SSE `event:`, Mercure's `type`.
    pub event: Option<Arc<str>>,
    /// User properties in the order they came.
    pub properties: Properties,
    /// Where an answer is expected (MQTT 5 response topic), in canonical form.
    pub reply_to: Option<Channel>,
    /// What an answer carries back (MQTT 5 correlation data).
    pub correlation: Option<Bytes>,
    /// Whether the publisher declared the payload to be UTF-8 text (MQTT 5 payload format indicator 1).
    pub utf8: bool,
}

/// What a connector hands to the bus: a message that has no position yet.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where to.
    pub channel: Channel,
    /// Opaque bytes, never re-encoded on the bus.
    pub payload: Bytes,
    /// The publisher's quality of service.
    pub qos: Qos,
    /// Whether it becomes the channel's last value; with an empty payload it clears it.
    pub retain: bool,
    /// How long it may live from now.
    pub expiry: Option<Duration>,
    /// Who sent it and what it passed.
    pub origin: Origin,
    /// The rare parts.
    pub extras: Option<Box<Extras>>,
}

impl Publication {
    /// A plain message: of no quality of service said ([`Qos::UNSAID`]), not retained, without extras.
    #[must_use]
    pub fn new(channel: Channel, payload: impl Into<Bytes>, origin: Origin) -> Self {
        let payload = payload.into();
        Self { channel, payload, qos: Qos::UNSAID, retain: false, expiry: None, origin, extras: None }
    }

    /// Says the quality of service.
    #[must_use]
    pub fn with_qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// The rare parts, made when first asked for.
    pub fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Names the event.
    #[must_use]
    pub fn with_event(mut self, event: impl Into<Arc<str>>) -> Self {
        self.extras_mut().event = Some(event.into());
        self
    }

    /// Marks the message as the channel's last value.
    #[must_use]
    pub fn retained(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }
}

/// A published message. It is shared, never copied, by all who take it.
#[derive(Debug)]
pub struct Message {
    /// Its place in the gateway's sequence.
    pub seq: u64,
    /// When it was accepted, in Unix milliseconds.
    pub time_ms: u64,
    /// When it was accepted, for latency.
    pub arrived: Instant,
    /// When it stops being deliverable.
    pub expires: Option<Instant>,
    /// Where it was published.
    pub channel: Channel,
    /// The bytes, as they came.
    pub payload: Bytes,
    /// The publisher's quality of service.
    pub qos: Qos,
    /// Whether the publisher asked for it to be kept as last value.
    pub retain: bool,
    /// Who sent it and what it passed.
    pub origin: Origin,
    extras: Option<Box<Extras>>,
    kind: OnceLock<Kind>,
    forms: form::Forms,
    told: losses::Told,
    span: Option<Box<Span>>,
}

impl Message {
    pub(crate) fn new(publication: Publication, time: (SystemTime, Instant)) -> Self {
        let Publication { channel, payload, qos, retain, expiry, origin, extras } = publication;
        let since_epoch = time.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            seq: 0,
            time_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            arrived: time.1,
            expires: expiry.and_then(|left| time.1.checked_add(left)),
            channel,
            payload,
            qos,
            retain,
            origin,
            extras,
            kind: OnceLock::new(),
            forms: form::Forms::default(),
            told: losses::Told::default(),
            span: None,
        }
    }

    /// The same with a span.
    pub(crate) fn spanned(self, span: Option<Box<Span>>) -> Self {
        Self { span, ..self }
    }

    /// A message that no bus has placed: it has no position. For tests and for what is sent beside the bus.
    #[must_use]
    pub fn detached(publication: Publication) -> Self {
        Self::new(publication, (SystemTime::now(), Instant::now()))
    }

    /// The same message with one more property, at the end: for a subscriber that is to know what others need not.
    #[must_use]
    pub fn with_property(&self, name: &str, value: &str) -> Self {
        let mut publication = self.publication();
        publication.extras_mut().properties.push((name.into(), value.into()));
        self.revised(publication)
    }

    /// What would be published to have this message again: all but its position and times.
    #[must_use]
    pub fn publication(&self) -> Publication {
        Publication {
            channel: self.channel.clone(),
            payload: self.payload.clone(),
            qos: self.qos,
            retain: self.retain,
            expiry: None,
            origin: self.origin.clone(),
            extras: self.extras.clone(),
        }
    }

    /// The message at the same position, of the same time and with the same end of its life, that says something else.
    #[must_use]
    pub fn revised(&self, publication: Publication) -> Self {
        let copy = Self::new(publication, (SystemTime::UNIX_EPOCH, self.arrived));
        Self { seq: self.seq, time_ms: self.time_ms, expires: self.expires, ..copy }
    }

    /// What the payload is: JSON, text or binary. Sniffed when first asked for.
    pub fn kind(&self) -> Kind {
        *self.kind.get_or_init(|| Kind::of(&self.payload, self.content_type()))
    }

    /// The bytes of this message in a wire form, made once and shared by every subscriber that takes the form.
    pub fn form(&self, form: Form, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.forms.get_or_encode(form, || encode(self))
    }

    /// What is left of its life: `None` if it never expires, zero if it has.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.expires.map(|end| end.saturating_duration_since(now))
    }

    /// Whether its life has passed.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// The gateway's span of it, if it is traced.
    #[must_use]
    pub fn span(&self) -> Option<&Span> {
        self.span.as_deref()
    }

    /// When it stops being deliverable, in Unix milliseconds; `None` if it never does.
    #[must_use]
    pub fn expires_ms(&self) -> Option<u64> {
        let life = self.expires?.saturating_duration_since(self.arrived);
        Some(self.time_ms.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The rare parts, where it has any.
    #[must_use]
    pub fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    /// MIME type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.extras()?.content_type.as_deref()
    }

    /// The event's name.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.extras()?.event.as_deref()
    }

    /// User properties in order; empty where there are none.
    #[must_use]
    pub fn properties(&self) -> &[(Arc<str>, Arc<str>)] {
        self.extras().map_or(&[], |extras| &extras.properties)
    }

    /// What it weighs against a bound in bytes: its data and a fixed allowance for its bookkeeping.
    #[must_use]
    pub fn weight(&self) -> usize {
        const BOOKKEEPING: usize = 256;
        let extras = self.extras().map_or(0, |e| {
            e.properties.iter().map(|(k, v)| k.len() + v.len() + 64).sum::<usize>()
                + e.correlation.as_ref().map_or(0, Bytes::len)
                + 160
        });
        BOOKKEEPING + self.payload.len() + self.channel.as_str().len() + extras
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn positions_read_back_what_they_write() {
        let position = Position { epoch: "k3x9".into(), seq: 42 };
        assert_eq!(position.to_string(), "k3x9.42");
        assert_eq!("k3x9.42".parse::<Position>().unwrap(), position);
        for bad in ["", "42", ".42", "k.", "k.-1", "k.+1", "k.4x", "k 3.1", "k.99999999999999999999", "é.1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_is_encoded_once() {
        let form = Form::register("test.once");
        let message = Message::new(
            Publication::new(Channel::new("a").unwrap(), "x", Origin::gateway()),
            (SystemTime::now(), Instant::now()),
        );
        assert_eq!(message.form(form, |_| Bytes::from_static(b"1")), "1");
        assert_eq!(message.form(form, |_| Bytes::from_static(b"2")), "1");
    }
}
