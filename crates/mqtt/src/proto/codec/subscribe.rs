use std::num::{NonZeroU16, NonZeroU32};

use bytestring::ByteString;

use super::ack::AckProperties;
use super::property::{Place, Property, PropertySet, UserProperty, id, put_properties, put_user, read_properties};
use super::reader::Reader;
use super::sink::{Sink, put_text, put_u8, put_u16, put_varint};
use super::topic::is_shared;
use super::{DecodeError, Qos, ReasonCode, Version};

/// SUBSCRIBE (MQTT 5, 3.8).
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// Which SUBACK answers it.
    pub packet_id: NonZeroU16,
    /// Sent back with each message that these subscriptions match.
    pub subscription_id: Option<NonZeroU32>,
    /// What to subscribe to; never empty. Only the encoding of the filters has been checked: each is
    /// answered by itself (see [`parse_filter`](super::parse_filter)).
    pub filters: Vec<SubscribeFilter>,
    /// Names and values of the client's own.
    pub user_properties: Vec<UserProperty>,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeFilter {
    /// The filter, with its `$share/name/` if it is shared.
    pub filter: ByteString,
    /// How its messages are to be delivered.
    pub options: SubscribeOptions,
}

/// Subscription options (MQTT 5, 3.8.3.1). Before MQTT 5 there is only the QoS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// The highest QoS of delivery.
    pub qos: Qos,
    /// Do not deliver what this client published.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages to send now.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent (MQTT 5, 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each subscribe.
    #[default]
    Always = 0,
    /// Only if the subscription did not exist.
    IfNew = 1,
    /// Not at all.
    Never = 2,
}

impl SubscribeOptions {
    fn read(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let qos = Qos::from_bits(byte & 3)?;
        if !version.is_v5() {
            return if byte & !3 == 0 { Ok(Self { qos, ..Self::default() }) } else { Err(DecodeError::ReservedBit) };
        }
        if byte & 0xC0 != 0 {
            return Err(DecodeError::ReservedBit);
        }
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(DecodeError::PropertyValue),
        };
        Ok(Self { qos, no_local: byte & 4 != 0, retain_as_published: byte & 8 != 0, retain_handling })
    }

    fn byte(self, version: Version) -> u8 {
        if !version.is_v5() {
            return self.qos.level();
        }
        self.qos.level()
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

pub(crate) fn read(r: &mut Reader, version: Version) -> Result<Subscribe, DecodeError> {
    let packet_id = r.packet_id()?;
    let mut subscription_id = None;
    let mut user_properties = Vec::new();
    if version.is_v5() {
        read_properties(r, Place::Subscribe, |property| {
            match property {
                Property::SubscriptionId(v) => subscription_id = Some(v),
                Property::User(v) => user_properties.push(v),
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
            Ok(())
        })?;
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        let filter = r.text()?;
        let options = SubscribeOptions::read(r.u8()?, version)?;
        if options.no_local && is_shared(&filter) {
            return Err(DecodeError::NoLocalShared);
        }
        filters.push(SubscribeFilter { filter, options });
    }
    if filters.is_empty() {
        return Err(DecodeError::NoFilters);
    }
    Ok(Subscribe { packet_id, subscription_id, filters, user_properties })
}

impl PropertySet for Subscribe {
    fn write(&self, out: &mut impl Sink) {
        if let Some(subscription) = self.subscription_id {
            put_u8(out, id::SUBSCRIPTION_ID);
            put_varint(out, subscription.get());
        }
        put_user(out, &self.user_properties);
    }
}

pub(crate) fn write(packet: &Subscribe, version: Version, out: &mut impl Sink) {
    put_u16(out, packet.packet_id.get());
    if version.is_v5() {
        put_properties(out, packet);
    }
    for SubscribeFilter { filter, options } in &packet.filters {
        put_text(out, filter);
        put_u8(out, options.byte(version));
    }
}

/// SUBACK (MQTT 5, 3.9).
#[derive(Debug, Clone, PartialEq)]
pub struct Suback {
    /// Which SUBSCRIBE this answers.
    pub packet_id: NonZeroU16,
    /// One per filter, in order: the granted QoS or a failure. Before MQTT 5 all failures are 0x80.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 properties, if there are any.
    pub properties: Option<Box<AckProperties>>,
}

pub(crate) fn read_suback(r: &mut Reader, version: Version) -> Result<Suback, DecodeError> {
    let packet_id = r.packet_id()?;
    let properties = if version.is_v5() { AckProperties::read(r)? } else { None };
    let mut reasons = Vec::with_capacity(r.len());
    while !r.is_empty() {
        let code = r.u8()?;
        let known = match version {
            Version::V5 => {
                matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            _ => matches!(code, 0..=2 | 0x80),
        };
        if !known {
            return Err(DecodeError::Reason);
        }
        reasons.push(ReasonCode(code));
    }
    Ok(Suback { packet_id, reasons, properties })
}

pub(crate) fn write_suback(packet: &Suback, version: Version, out: &mut impl Sink) {
    put_u16(out, packet.packet_id.get());
    if version.is_v5() {
        AckProperties::put(packet.properties.as_deref(), out);
    }
    for reason in &packet.reasons {
        let code = if reason.is_failure() && !version.is_v5() { 0x80 } else { reason.0 };
        put_u8(out, code);
    }
}
