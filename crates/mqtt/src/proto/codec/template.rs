//! A PUBLISH that is encoded once and delivered to any number of subscribers.

use std::num::NonZeroU16;

use bytes::Bytes;

use super::property::id;
use super::publish::first_byte;
use super::reader::varint;
use super::sink::{Sink, put_u8, put_u16, put_u32, put_varint, varint_len};
use super::{EncodeError, MAX_REMAINING, Packet, Publish, Qos, Version, encode};

/// The forms of a message that differ in more than a few patched bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateKind {
    /// MQTT 3.1 and 3.1.1, without packet identifier.
    V3Qos0,
    /// MQTT 3.1 and 3.1.1, with packet identifier.
    V3Acked,
    /// MQTT 5, without packet identifier.
    V5Qos0,
    /// MQTT 5, with packet identifier.
    V5Acked,
}

impl TemplateKind {
    /// The form for a version and a QoS.
    #[must_use]
    pub fn of(version: Version, qos: Qos) -> Self {
        match (version.is_v5(), qos) {
            (false, Qos::AtMostOnce) => Self::V3Qos0,
            (false, _) => Self::V3Acked,
            (true, Qos::AtMostOnce) => Self::V5Qos0,
            (true, _) => Self::V5Acked,
        }
    }

    fn acked(self) -> bool {
        matches!(self, Self::V3Acked | Self::V5Acked)
    }

    fn is_v5(self) -> bool {
        matches!(self, Self::V5Qos0 | Self::V5Acked)
    }
}

/// An encoded PUBLISH and where in it the parts are that differ per subscriber: the flags of the first
/// byte, the packet identifier, the expiry; and where a topic alias and subscription identifiers go.
#[derive(Debug, Clone)]
pub struct Template {
    kind: TemplateKind,
    bytes: Bytes,
    /// Where the variable header begins, with the two bytes of the topic's length.
    body: usize,
    topic_len: usize,
    /// Where properties begin, behind their length; for MQTT 3 where the payload begins.
    content: usize,
    properties_len: usize,
}

/// What is particular to one delivery of a [`Template`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Copy<'a> {
    /// QoS of this delivery; whether it has a packet identifier was decided by the [`TemplateKind`].
    pub qos: Qos,
    /// Whether it may be a repetition.
    pub dup: bool,
    /// The RETAIN flag.
    pub retain: bool,
    /// The packet identifier, for QoS 1 and 2.
    pub packet_id: Option<NonZeroU16>,
    /// The seconds left until expiry, in place of those in the template.
    pub expiry: Option<u32>,
    /// The topic alias to name (MQTT 5).
    pub alias: Option<NonZeroU16>,
    /// Leave the topic out: the receiver knows it by its alias.
    pub omit_topic: bool,
    /// The identifiers of the matching subscriptions, none of them 0 (MQTT 5).
    pub subscription_ids: &'a [u32],
}

impl Template {
    /// Encodes a publication. Its flags, packet identifier, alias and subscription identifiers are ignored.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn encode(kind: TemplateKind, publish: &Publish) -> Result<Bytes, EncodeError> {
        let mut plain = publish.clone();
        plain.dup = false;
        plain.retain = false;
        plain.properties.topic_alias = None;
        plain.properties.subscription_ids = Vec::new();
        (plain.qos, plain.packet_id) =
            if kind.acked() { (Qos::AtLeastOnce, Some(NonZeroU16::MAX)) } else { (Qos::AtMostOnce, None) };
        let version = if kind.is_v5() { Version::V5 } else { Version::V311 };
        let mut out = Vec::with_capacity(plain.payload.len() + plain.topic.len() + 64);
        encode(&Packet::Publish(Box::new(plain)), version, &mut out)?;
        Ok(out.into())
    }

    /// Finds the parts of what [`Template::encode`] gave for the same kind; `None` for other bytes.
    #[must_use]
    pub fn of(kind: TemplateKind, bytes: Bytes) -> Option<Self> {
        let (_, len) = varint(bytes.get(1..)?).ok()??;
        let body = 1 + len;
        let topic_len = usize::from(u16::from_be_bytes([*bytes.get(body)?, *bytes.get(body + 1)?]));
        let mut content = body + 2 + topic_len + if kind.acked() { 2 } else { 0 };
        let mut properties_len = 0;
        if kind.is_v5() {
            let (value, len) = varint(bytes.get(content..)?).ok()??;
            content += len;
            properties_len = value as usize;
        }
        (content + properties_len <= bytes.len()).then_some(Self {
            kind,
            bytes,
            body,
            topic_len,
            content,
            properties_len,
        })
    }

    /// The encoded packet as it stands: QoS 0 (or an empty hole for the packet identifier), no flags.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the copy is the template's own bytes, which any number of receivers can then share.
    #[must_use]
    pub fn is_shared(&self, copy: &Copy<'_>) -> bool {
        !self.kind.acked()
            && !copy.retain
            && copy.alias.is_none()
            && copy.subscription_ids.is_empty()
            && (copy.expiry.is_none() || copy.expiry == self.expiry())
    }

    /// The expiry in the template, in seconds.
    #[must_use]
    pub fn expiry(&self) -> Option<u32> {
        let property = self.expiry_at()?;
        let value = self.bytes.get(property + 1..property + 5)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    fn expiry_at(&self) -> Option<usize> {
        let first = self.bytes.get(self.content).copied();
        (self.properties_len >= 5 && first == Some(id::MESSAGE_EXPIRY)).then_some(self.content)
    }

    /// The bytes that [`Template::write`] would write for this copy.
    #[must_use]
    pub fn len_of(&self, copy: &Copy<'_>) -> usize {
        let (_, remaining) = self.lengths(copy);
        1 + varint_len(remaining) + remaining as usize
    }

    /// The length of the properties and the remaining length of a copy.
    fn lengths(&self, copy: &Copy<'_>) -> (usize, u32) {
        let mut properties = self.properties_len;
        if self.kind.is_v5() {
            properties += if copy.alias.is_some() { 3 } else { 0 };
            let ids = copy.subscription_ids.iter();
            properties += ids.map(|id| 1 + varint_len(*id)).sum::<usize>();
        }
        let mut remaining = self.bytes.len() - self.content - self.properties_len + properties;
        remaining += 2 + if self.kind.acked() { 2 } else { 0 };
        remaining += if copy.omit_topic { 0 } else { self.topic_len };
        if self.kind.is_v5() {
            remaining += varint_len(u32::try_from(properties).unwrap_or(MAX_REMAINING));
        }
        (properties, u32::try_from(remaining).unwrap_or(MAX_REMAINING))
    }

    /// Appends a copy to `out`: a few patched bytes and two or three memory copies.
    pub fn write(&self, copy: &Copy<'_>, out: &mut impl Sink) {
        let extended = self.kind.is_v5() && (copy.alias.is_some() || !copy.subscription_ids.is_empty());
        put_u8(out, first_byte(copy.dup, copy.qos, copy.retain));
        let id_at = self.body + 2 + self.topic_len;
        if !extended {
            out.put(self.part(1, id_at));
            self.put_id(copy, out);
            out.put(self.part(if self.kind.acked() { id_at + 2 } else { id_at }, self.content));
        } else {
            let (properties, remaining) = self.lengths(copy);
            put_varint(out, remaining);
            if copy.omit_topic {
                put_u16(out, 0);
            } else {
                out.put(self.part(self.body, id_at));
            }
            self.put_id(copy, out);
            put_varint(out, u32::try_from(properties).unwrap_or(MAX_REMAINING));
            self.put_extras(copy, out);
        }
        self.put_content(copy, out);
    }

    fn put_id(&self, copy: &Copy<'_>, out: &mut impl Sink) {
        if self.kind.acked() {
            put_u16(out, copy.packet_id.map_or(0, NonZeroU16::get));
        }
    }

    fn put_extras(&self, copy: &Copy<'_>, out: &mut impl Sink) {
        if let Some(alias) = copy.alias {
            put_u8(out, id::TOPIC_ALIAS);
            put_u16(out, alias.get());
        }
        for subscription in copy.subscription_ids {
            put_u8(out, id::SUBSCRIPTION_ID);
            put_varint(out, *subscription);
        }
    }

    /// Properties and payload, with the expiry patched.
    fn put_content(&self, copy: &Copy<'_>, out: &mut impl Sink) {
        match (copy.expiry, self.expiry_at()) {
            (Some(expiry), Some(at)) => {
                put_u8(out, id::MESSAGE_EXPIRY);
                put_u32(out, expiry);
                out.put(self.part(at + 5, self.bytes.len()));
            }
            _ => out.put(self.part(self.content, self.bytes.len())),
        }
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }
}
