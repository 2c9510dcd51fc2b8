use std::num::NonZeroU16;

use bytestring::ByteString;

use super::packet::PacketType;
use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_properties, put_string, put_user, read_properties,
};
use super::reader::Reader;
use super::sink::{Sink, put_u8, put_u16};
use super::{DecodeError, ReasonCode, Version};

/// PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 5, 3.4 to 3.7).
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// Which publication this answers.
    pub packet_id: NonZeroU16,
    /// Always success before MQTT 5.
    pub reason: ReasonCode,
    /// MQTT 5 properties, if there are any.
    pub properties: Option<Box<AckProperties>>,
}

impl Ack {
    /// An acknowledgement without properties.
    #[must_use]
    pub fn new(packet_id: NonZeroU16, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: None }
    }
}

/// A reason string and user properties, as all acknowledgements may carry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AckProperties {
    /// For people and logs.
    pub reason_string: Option<ByteString>,
    /// Names and values of the sender's own.
    pub user_properties: Vec<UserProperty>,
}

impl AckProperties {
    pub(crate) fn read(r: &mut Reader) -> Result<Option<Box<Self>>, DecodeError> {
        let mut all = Self::default();
        read_properties(r, Place::Ack, |property| {
            match property {
                Property::ReasonString(v) => all.reason_string = Some(v),
                Property::User(v) => all.user_properties.push(v),
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
            Ok(())
        })?;
        Ok((all != Self::default()).then(|| Box::new(all)))
    }

    pub(crate) fn put(this: Option<&Self>, out: &mut impl Sink) {
        match this {
            Some(properties) => put_properties(out, properties),
            None => put_u8(out, 0),
        }
    }
}

impl PropertySet for AckProperties {
    fn write(&self, out: &mut impl Sink) {
        put_string(out, id::REASON_STRING, self.reason_string.as_ref());
        put_user(out, &self.user_properties);
    }
}

fn allowed(kind: PacketType, reason: ReasonCode) -> bool {
    match kind {
        PacketType::Puback | PacketType::Pubrec => {
            matches!(reason.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        _ => matches!(reason.0, 0x00 | 0x92),
    }
}

pub(crate) fn read(kind: PacketType, r: &mut Reader, version: Version) -> Result<Ack, DecodeError> {
    let mut ack = Ack::new(r.packet_id()?, ReasonCode::SUCCESS);
    if version.is_v5() && !r.is_empty() {
        ack.reason = ReasonCode(r.u8()?);
        if !allowed(kind, ack.reason) {
            return Err(DecodeError::Reason);
        }
        if !r.is_empty() {
            ack.properties = AckProperties::read(r)?;
        }
    }
    r.end()?;
    Ok(ack)
}

pub(crate) fn write(packet: &Ack, version: Version, out: &mut impl Sink) {
    put_u16(out, packet.packet_id.get());
    if !version.is_v5() {
        return;
    }
    let properties = packet.properties.as_deref();
    if packet.reason != ReasonCode::SUCCESS || properties.is_some() {
        put_u8(out, packet.reason.0);
    }
    if properties.is_some() {
        AckProperties::put(properties, out);
    }
}
