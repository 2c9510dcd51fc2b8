use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_bytes, put_flag, put_int, put_properties, put_short,
    put_string, put_user, read_properties,
};
use super::publish::PublishProperties;
use super::reader::Reader;
use super::sink::{Counter, Sink, put_binary, put_text, put_u8, put_u16, put_varint};
use super::topic::has_wildcard;
use super::{DecodeError, Qos, Version};

/// CONNECT (MQTT 5, 3.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// The version the client speaks.
    pub version: Version,
    /// The client says that it is a bridge, by the top bit of the protocol level: a habit of Mosquitto
    /// before MQTT 5 that asks not to be sent its own messages back.
    pub bridge: bool,
    /// Forget what is known of this client (before MQTT 5: and forget again when it leaves).
    pub clean_start: bool,
    /// Seconds; 0 switches the supervision off.
    pub keep_alive: u16,
    /// The client identifier; empty asks the server for one.
    pub client_id: ByteString,
    /// Who the client says it is.
    pub username: Option<ByteString>,
    /// What proves it.
    pub password: Option<Secret>,
    /// What to publish when the client is lost.
    pub will: Option<Will>,
    /// MQTT 5 properties; empty for older versions.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT (MQTT 5, 3.1.2.11).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectProperties {
    /// Seconds that the session outlives the connection; absent is 0, `u32::MAX` is for ever.
    pub session_expiry: Option<u32>,
    /// How many QoS 1 and 2 publications the client takes at once; absent is 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet the client takes, in bytes.
    pub max_packet_size: Option<NonZeroU32>,
    /// The highest topic alias the client takes; absent is 0.
    pub topic_alias_maximum: Option<u16>,
    /// Whether CONNACK may carry response information.
    pub request_response_info: Option<bool>,
    /// Whether reason strings and user properties may be sent.
    pub request_problem_info: Option<bool>,
    /// The method of an enhanced authentication.
    pub auth_method: Option<ByteString>,
    /// The first data of an enhanced authentication.
    pub auth_data: Option<Secret>,
    /// Names and values of the client's own.
    pub user_properties: Vec<UserProperty>,
}

/// A message that is published when the client is lost (MQTT 5, 3.1.2.5).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Will {
    /// Where to publish.
    pub topic: ByteString,
    /// What to publish.
    pub payload: Bytes,
    /// With which quality.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
    /// Seconds to wait for the client to come back first.
    pub delay: u32,
    /// Its MQTT 5 properties.
    pub properties: PublishProperties,
}

/// Bytes that never show in logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Bytes);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

const BRIDGE: u8 = 0x80;
const USERNAME: u8 = 1 << 7;
const PASSWORD: u8 = 1 << 6;
const WILL_RETAIN: u8 = 1 << 5;
const WILL_QOS: u8 = 3 << 3;
const WILL: u8 = 1 << 2;
const CLEAN_START: u8 = 1 << 1;
const RESERVED: u8 = 1;

/// Reads what follows [`read_version`].
pub(crate) fn read(r: &mut Reader, version: Version, bridge: bool) -> Result<Connect, DecodeError> {
    let flags = r.u8()?;
    check_flags(flags, version)?;
    let keep_alive = r.u16()?;
    let properties = if version.is_v5() { ConnectProperties::read(r)? } else { ConnectProperties::default() };
    let client_id = r.text()?;
    let will = if flags & WILL != 0 { Some(read_will(r, flags, version)?) } else { None };
    let username = if flags & USERNAME != 0 { Some(r.text()?) } else { None };
    let password = if flags & PASSWORD != 0 { Some(Secret(r.binary()?)) } else { None };
    r.end()?;
    let clean_start = flags & CLEAN_START != 0;
    Ok(Connect { version, bridge, clean_start, keep_alive, client_id, username, password, will, properties })
}

/// The version that the beginning of a CONNECT's body tells, if enough of it is there.
pub(crate) fn peek_version(body: &[u8]) -> Option<Version> {
    const LONGEST: usize = 2 + 6 + 1;
    let start = body.get(..LONGEST.min(body.len()))?;
    read_version(&mut Reader::new(Bytes::copy_from_slice(start))).ok().map(|(version, _)| version)
}

/// Protocol name and level, and whether the client calls itself a bridge.
pub(crate) fn read_version(r: &mut Reader) -> Result<(Version, bool), DecodeError> {
    let name = r.binary()?;
    if name != "MQTT" && name != "MQIsdp" {
        return Err(DecodeError::ProtocolName);
    }
    let level = r.u8()?;
    let bridge = level & BRIDGE != 0;
    match (name.as_ref(), level & !BRIDGE) {
        (b"MQIsdp", 3) => Ok((Version::V31, bridge)),
        (b"MQTT", 4) => Ok((Version::V311, bridge)),
        (b"MQTT", 5) if !bridge => Ok((Version::V5, false)),
        _ => Err(DecodeError::ProtocolLevel(level)),
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & RESERVED != 0 {
        return Err(DecodeError::ReservedBit);
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::ConnectFlags);
    }
    Qos::from_bits((flags & WILL_QOS) >> 3)?;
    // MQTT 5 allows a password without a user name; 3.1.1 does not (3.1.2-22).
    if !version.is_v5() && flags & PASSWORD != 0 && flags & USERNAME == 0 {
        return Err(DecodeError::ConnectFlags);
    }
    Ok(())
}

fn read_will(r: &mut Reader, flags: u8, version: Version) -> Result<Will, DecodeError> {
    let mut delay = 0;
    let properties =
        if version.is_v5() { PublishProperties::read_will(r, &mut delay)? } else { PublishProperties::default() };
    let topic = r.text()?;
    if topic.is_empty() {
        return Err(DecodeError::EmptyTopic);
    }
    if has_wildcard(&topic) {
        return Err(DecodeError::WildcardInTopic);
    }
    let payload = r.binary()?;
    let qos = Qos::from_bits((flags & WILL_QOS) >> 3)?;
    Ok(Will { topic, payload, qos, retain: flags & WILL_RETAIN != 0, delay, properties })
}

impl ConnectProperties {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut all = Self::default();
        read_properties(r, Place::Connect, |property| {
            match property {
                Property::SessionExpiry(v) => all.session_expiry = Some(v),
                Property::ReceiveMaximum(v) => all.receive_maximum = Some(v),
                Property::MaximumPacketSize(v) => all.max_packet_size = Some(v),
                Property::TopicAliasMaximum(v) => all.topic_alias_maximum = Some(v),
                Property::RequestResponseInfo(v) => all.request_response_info = Some(v),
                Property::RequestProblemInfo(v) => all.request_problem_info = Some(v),
                Property::AuthMethod(v) => all.auth_method = Some(v),
                Property::AuthData(v) => all.auth_data = Some(Secret(v)),
                Property::User(v) => all.user_properties.push(v),
                _ => return Err(DecodeError::PropertyNotAllowed),
            }
            Ok(())
        })?;
        if all.auth_data.is_some() && all.auth_method.is_none() {
            return Err(DecodeError::AuthDataWithoutMethod);
        }
        Ok(all)
    }
}

impl PropertySet for ConnectProperties {
    fn write(&self, out: &mut impl Sink) {
        put_int(out, id::SESSION_EXPIRY, self.session_expiry);
        put_short(out, id::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        put_int(out, id::MAXIMUM_PACKET_SIZE, self.max_packet_size.map(NonZeroU32::get));
        put_short(out, id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        put_flag(out, id::REQUEST_RESPONSE_INFO, self.request_response_info);
        put_flag(out, id::REQUEST_PROBLEM_INFO, self.request_problem_info);
        put_string(out, id::AUTH_METHOD, self.auth_method.as_ref());
        put_bytes(out, id::AUTH_DATA, self.auth_data.as_ref().map(|secret| &secret.0));
        put_user(out, &self.user_properties);
    }
}

pub(crate) fn write(packet: &Connect, out: &mut impl Sink) {
    let version = packet.version;
    put_text(out, version.protocol_name());
    put_u8(out, version.level() | if packet.bridge { BRIDGE } else { 0 });
    put_u8(out, flags(packet));
    put_u16(out, packet.keep_alive);
    if version.is_v5() {
        put_properties(out, &packet.properties);
    }
    put_text(out, &packet.client_id);
    if let Some(will) = &packet.will {
        if version.is_v5() {
            put_will_properties(out, will);
        }
        put_text(out, &will.topic);
        put_binary(out, &will.payload);
    }
    if let Some(username) = &packet.username {
        put_text(out, username);
    }
    if let Some(Secret(password)) = &packet.password {
        put_binary(out, password);
    }
}

fn put_will_properties(out: &mut impl Sink, will: &Will) {
    let delay = Some(will.delay).filter(|delay| *delay > 0);
    let mut counter = Counter::default();
    put_int(&mut counter, id::WILL_DELAY, delay);
    will.properties.write(&mut counter);
    put_varint(out, u32::try_from(counter.len).unwrap_or(super::MAX_REMAINING));
    put_int(out, id::WILL_DELAY, delay);
    will.properties.write(out);
}

fn flags(packet: &Connect) -> u8 {
    let mut flags = 0;
    if packet.clean_start {
        flags |= CLEAN_START;
    }
    if let Some(will) = &packet.will {
        flags |= WILL | will.qos.level() << 3;
        if will.retain {
            flags |= WILL_RETAIN;
        }
    }
    if packet.username.is_some() {
        flags |= USERNAME;
    }
    if packet.password.is_some() {
        flags |= PASSWORD;
    }
    flags
}
