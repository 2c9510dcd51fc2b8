use std::num::NonZeroU16;

use bytestring::ByteString;

use super::ack::AckProperties;
use super::property::{Place, Property, PropertySet, UserProperty, put_properties, put_user, read_properties};
use super::reader::Reader;
use super::sink::{Sink, put_text, put_u8, put_u16};
use super::{DecodeError, ReasonCode, Version};

/// UNSUBSCRIBE (MQTT 5, 3.10).
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribe {
    /// Which UNSUBACK answers it.
    pub packet_id: NonZeroU16,
    /// What to unsubscribe from, compared byte by byte; never empty.
    pub filters: Vec<ByteString>,
    /// Names and values of the client's own.
    pub user_properties: Vec<UserProperty>,
}

impl PropertySet for Unsubscribe {
    fn write(&self, out: &mut impl Sink) {
        put_user(out, &self.user_properties);
    }
}

pub(crate) fn read(r: &mut Reader, version: Version) -> Result<Unsubscribe, DecodeError> {
    let packet_id = r.packet_id()?;
    let mut user_properties = Vec::new();
    if version.is_v5() {
        read_properties(r, Place::Unsubscribe, |property| match property {
            Property::User(v) => {
                user_properties.push(v);
                Ok(())
            }
            _ => Err(DecodeError::PropertyNotAllowed),
        })?;
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        filters.push(r.text()?);
    }
    if filters.is_empty() {
        return Err(DecodeError::NoFilters);
    }
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

pub(crate) fn write(packet: &Unsubscribe, version: Version, out: &mut impl Sink) {
    put_u16(out, packet.packet_id.get());
    if version.is_v5() {
        put_properties(out, packet);
    }
    for filter in &packet.filters {
        put_text(out, filter);
    }
}

/// UNSUBACK (MQTT 5, 3.11).
#[derive(Debug, Clone, PartialEq)]
pub struct Unsuback {
    /// Which UNSUBSCRIBE this answers.
    pub packet_id: NonZeroU16,
    /// One per filter, in order; not written before MQTT 5.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 properties, if there are any.
    pub properties: Option<Box<AckProperties>>,
}

pub(crate) fn read_unsuback(r: &mut Reader, version: Version) -> Result<Unsuback, DecodeError> {
    let packet_id = r.packet_id()?;
    if !version.is_v5() {
        r.end()?;
        return Ok(Unsuback { packet_id, reasons: Vec::new(), properties: None });
    }
    let properties = AckProperties::read(r)?;
    let mut reasons = Vec::with_capacity(r.len());
    while !r.is_empty() {
        let code = r.u8()?;
        if !matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91) {
            return Err(DecodeError::Reason);
        }
        reasons.push(ReasonCode(code));
    }
    Ok(Unsuback { packet_id, reasons, properties })
}

pub(crate) fn write_unsuback(packet: &Unsuback, version: Version, out: &mut impl Sink) {
    put_u16(out, packet.packet_id.get());
    if version.is_v5() {
        AckProperties::put(packet.properties.as_deref(), out);
        for reason in &packet.reasons {
            put_u8(out, reason.0);
        }
    }
}
