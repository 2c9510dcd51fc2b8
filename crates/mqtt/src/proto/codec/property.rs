//! The properties of MQTT 5 (2.2.2): which exist, what they hold and which packet may carry them.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::DecodeError;
use super::reader::Reader;
use super::sink::{Counter, Sink, put_binary, put_text, put_u8, put_u16, put_u32, put_varint};

/// A name and a value given by the sender; names may repeat and the order is kept (3.3.2-18).
pub type UserProperty = (ByteString, ByteString);

/// Where properties stand.
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(crate) enum Place {
    Connect = 1,
    Will = 1 << 1,
    Connack = 1 << 2,
    Publish = 1 << 3,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK: a reason string and user properties.
    Ack = 1 << 4,
    Subscribe = 1 << 5,
    Unsubscribe = 1 << 6,
    Disconnect = 1 << 7,
    Auth = 1 << 8,
}

#[derive(Debug)]
pub(crate) enum Property {
    PayloadFormat(bool),
    MessageExpiry(u32),
    ContentType(ByteString),
    ResponseTopic(ByteString),
    CorrelationData(Bytes),
    SubscriptionId(NonZeroU32),
    SessionExpiry(u32),
    AssignedClientId(ByteString),
    ServerKeepAlive(u16),
    AuthMethod(ByteString),
    AuthData(Bytes),
    RequestProblemInfo(bool),
    WillDelay(u32),
    RequestResponseInfo(bool),
    ResponseInfo(ByteString),
    ServerReference(ByteString),
    ReasonString(ByteString),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQos(bool),
    RetainAvailable(bool),
    User(UserProperty),
    MaximumPacketSize(NonZeroU32),
    WildcardAvailable(bool),
    SubscriptionIdAvailable(bool),
    SharedAvailable(bool),
}

/// Property identifiers (table 2-4).
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTH_METHOD: u8 = 0x15;
    pub(crate) const AUTH_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFO: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFO: u8 = 0x19;
    pub(crate) const RESPONSE_INFO: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;
}

/// The places that may carry a property, as a set of [`Place`] bits; 0 for an unknown identifier.
fn places(property: u8) -> u16 {
    const CONNECT: u16 = Place::Connect as u16;
    const WILL: u16 = Place::Will as u16;
    const CONNACK: u16 = Place::Connack as u16;
    const PUBLISH: u16 = Place::Publish as u16;
    const ACK: u16 = Place::Ack as u16;
    const SUBSCRIBE: u16 = Place::Subscribe as u16;
    const UNSUBSCRIBE: u16 = Place::Unsubscribe as u16;
    const DISCONNECT: u16 = Place::Disconnect as u16;
    const AUTH: u16 = Place::Auth as u16;
    match property {
        id::PAYLOAD_FORMAT | id::MESSAGE_EXPIRY | id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::CORRELATION_DATA => {
            PUBLISH | WILL
        }
        id::SUBSCRIPTION_ID => PUBLISH | SUBSCRIBE,
        id::SESSION_EXPIRY => CONNECT | CONNACK | DISCONNECT,
        id::AUTH_METHOD | id::AUTH_DATA => CONNECT | CONNACK | AUTH,
        id::REQUEST_PROBLEM_INFO | id::REQUEST_RESPONSE_INFO => CONNECT,
        id::WILL_DELAY => WILL,
        id::SERVER_REFERENCE => CONNACK | DISCONNECT,
        id::REASON_STRING => CONNACK | ACK | DISCONNECT | AUTH,
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::MAXIMUM_PACKET_SIZE => CONNECT | CONNACK,
        id::TOPIC_ALIAS => PUBLISH,
        id::USER_PROPERTY => CONNECT | WILL | CONNACK | PUBLISH | ACK | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | AUTH,
        id::ASSIGNED_CLIENT_ID
        | id::SERVER_KEEP_ALIVE
        | id::RESPONSE_INFO
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_AVAILABLE
        | id::SUBSCRIPTION_ID_AVAILABLE
        | id::SHARED_AVAILABLE => CONNACK,
        _ => 0,
    }
}

/// Reads a property list with its length, and gives each property to `take`.
///
/// All but user properties, and subscription identifiers in PUBLISH, may appear only once.
pub(crate) fn read_properties(
    reader: &mut Reader,
    place: Place,
    mut take: impl FnMut(Property) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let len = reader.varint()?;
    if len == 0 {
        return Ok(());
    }
    let mut list = reader.part(len)?;
    let mut seen = 0u64;
    while !list.is_empty() {
        // An identifier is a variable byte integer, though none is above 127.
        let property = u8::try_from(list.varint()?).map_err(|_| DecodeError::PropertyNotAllowed)?;
        if places(property) & place as u16 == 0 {
            return Err(DecodeError::PropertyNotAllowed);
        }
        let repeatable =
            property == id::USER_PROPERTY || (property == id::SUBSCRIPTION_ID && matches!(place, Place::Publish));
        let bit = 1u64 << (property & 63);
        if seen & bit != 0 && !repeatable {
            return Err(DecodeError::DuplicateProperty);
        }
        seen |= bit;
        take(read_property(&mut list, property)?)?;
    }
    Ok(())
}

fn read_property(r: &mut Reader, property: u8) -> Result<Property, DecodeError> {
    use Property as P;
    Ok(match property {
        id::PAYLOAD_FORMAT => P::PayloadFormat(flag(r)?),
        id::MESSAGE_EXPIRY => P::MessageExpiry(r.u32()?),
        id::CONTENT_TYPE => P::ContentType(r.text()?),
        id::RESPONSE_TOPIC => P::ResponseTopic(r.text()?),
        id::CORRELATION_DATA => P::CorrelationData(r.binary()?),
        id::SUBSCRIPTION_ID => P::SubscriptionId(NonZeroU32::new(r.varint()?).ok_or(DecodeError::PropertyValue)?),
        id::SESSION_EXPIRY => P::SessionExpiry(r.u32()?),
        id::ASSIGNED_CLIENT_ID => P::AssignedClientId(r.text()?),
        id::SERVER_KEEP_ALIVE => P::ServerKeepAlive(r.u16()?),
        id::AUTH_METHOD => P::AuthMethod(r.text()?),
        id::AUTH_DATA => P::AuthData(r.binary()?),
        id::REQUEST_PROBLEM_INFO => P::RequestProblemInfo(flag(r)?),
        id::WILL_DELAY => P::WillDelay(r.u32()?),
        id::REQUEST_RESPONSE_INFO => P::RequestResponseInfo(flag(r)?),
        id::RESPONSE_INFO => P::ResponseInfo(r.text()?),
        id::SERVER_REFERENCE => P::ServerReference(r.text()?),
        id::REASON_STRING => P::ReasonString(r.text()?),
        id::RECEIVE_MAXIMUM => P::ReceiveMaximum(NonZeroU16::new(r.u16()?).ok_or(DecodeError::PropertyValue)?),
        id::TOPIC_ALIAS_MAXIMUM => P::TopicAliasMaximum(r.u16()?),
        id::TOPIC_ALIAS => P::TopicAlias(NonZeroU16::new(r.u16()?).ok_or(DecodeError::TopicAliasZero)?),
        id::MAXIMUM_QOS => P::MaximumQos(flag(r)?),
        id::RETAIN_AVAILABLE => P::RetainAvailable(flag(r)?),
        id::USER_PROPERTY => P::User((r.text()?, r.text()?)),
        id::MAXIMUM_PACKET_SIZE => P::MaximumPacketSize(NonZeroU32::new(r.u32()?).ok_or(DecodeError::PropertyValue)?),
        id::WILDCARD_AVAILABLE => P::WildcardAvailable(flag(r)?),
        id::SUBSCRIPTION_ID_AVAILABLE => P::SubscriptionIdAvailable(flag(r)?),
        id::SHARED_AVAILABLE => P::SharedAvailable(flag(r)?),
        _ => return Err(DecodeError::PropertyNotAllowed),
    })
}

/// A byte that may only be 0 or 1.
fn flag(r: &mut Reader) -> Result<bool, DecodeError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue),
    }
}

/// A set of properties that can be written.
pub(crate) trait PropertySet {
    fn write(&self, out: &mut impl Sink);
}

/// Writes a property list with its length.
pub(crate) fn put_properties(out: &mut impl Sink, set: &impl PropertySet) {
    let mut counter = Counter::default();
    set.write(&mut counter);
    if counter.overlong {
        out.overlong();
    }
    match u32::try_from(counter.len) {
        Ok(len) if len <= super::MAX_REMAINING => put_varint(out, len),
        _ => out.overlong(),
    }
    set.write(out);
}

pub(crate) fn put_flag(out: &mut impl Sink, property: u8, value: Option<bool>) {
    if let Some(value) = value {
        put_u8(out, property);
        put_u8(out, u8::from(value));
    }
}

pub(crate) fn put_short(out: &mut impl Sink, property: u8, value: Option<u16>) {
    if let Some(value) = value {
        put_u8(out, property);
        put_u16(out, value);
    }
}

pub(crate) fn put_int(out: &mut impl Sink, property: u8, value: Option<u32>) {
    if let Some(value) = value {
        put_u8(out, property);
        put_u32(out, value);
    }
}

pub(crate) fn put_string(out: &mut impl Sink, property: u8, value: Option<&ByteString>) {
    if let Some(value) = value {
        put_u8(out, property);
        put_text(out, value);
    }
}

pub(crate) fn put_bytes(out: &mut impl Sink, property: u8, value: Option<&Bytes>) {
    if let Some(value) = value {
        put_u8(out, property);
        put_binary(out, value);
    }
}

pub(crate) fn put_user(out: &mut impl Sink, properties: &[UserProperty]) {
    for (name, value) in properties {
        put_u8(out, id::USER_PROPERTY);
        put_text(out, name);
        put_text(out, value);
    }
}
