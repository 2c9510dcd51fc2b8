use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_bytes, put_flag, put_int, put_properties, put_short,
    put_string, put_user, read_properties,
};
use super::reader::Reader;
use super::sink::{Sink, put_u8};
use super::{DecodeError, ReasonCode, Version};

/// CONNACK (MQTT 5, 3.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Connack {
    /// Whether the server resumes a session.
    pub session_present: bool,
    /// Success, or why not. Before MQTT 5 it is written as the return code that is nearest.
    pub reason: ReasonCode,
    /// MQTT 5 properties; empty for older versions.
    pub properties: ConnackProperties,
}

/// The properties of CONNACK (MQTT 5, 3.2.2.3). What is absent has the standard's default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnackProperties {
    /// Seconds that the session outlives the connection, if not what the client asked for.
    pub session_expiry: Option<u32>,
    /// How many QoS 1 and 2 publications the server takes at once.
    pub receive_maximum: Option<NonZeroU16>,
    /// `Some(false)`: only QoS 0; `Some(true)`: up to QoS 1.
    pub maximum_qos_1: Option<bool>,
    /// Whether the server retains messages.
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes.
    pub max_packet_size: Option<NonZeroU32>,
    /// The identifier given to a client that sent none.
    pub assigned_client_id: Option<ByteString>,
    /// The highest topic alias the server takes.
    pub topic_alias_maximum: Option<u16>,
    /// For people and logs.
    pub reason_string: Option<ByteString>,
    /// Names and values of the server's own.
    pub user_properties: Vec<UserProperty>,
    /// Whether filters may have wildcards.
    pub wildcard_available: Option<bool>,
    /// Whether subscription identifiers are kept.
    pub subscription_id_available: Option<bool>,
    /// Whether shared subscriptions are served.
    pub shared_available: Option<bool>,
    /// Seconds of keep-alive that the client must use instead of its own.
    pub server_keep_alive: Option<u16>,
    /// What to build response topics from.
    pub response_info: Option<ByteString>,
    /// Another server.
    pub server_reference: Option<ByteString>,
    /// The method of an enhanced authentication.
    pub auth_method: Option<ByteString>,
    /// The last data of an enhanced authentication.
    pub auth_data: Option<Bytes>,
}

impl ConnackProperties {
    fn take(&mut self, property: Property) -> Result<(), DecodeError> {
        match property {
            Property::SessionExpiry(v) => self.session_expiry = Some(v),
            Property::ReceiveMaximum(v) => self.receive_maximum = Some(v),
            Property::MaximumQos(v) => self.maximum_qos_1 = Some(v),
            Property::RetainAvailable(v) => self.retain_available = Some(v),
            Property::MaximumPacketSize(v) => self.max_packet_size = Some(v),
            Property::AssignedClientId(v) => self.assigned_client_id = Some(v),
            Property::TopicAliasMaximum(v) => self.topic_alias_maximum = Some(v),
            Property::ReasonString(v) => self.reason_string = Some(v),
            Property::User(v) => self.user_properties.push(v),
            Property::WildcardAvailable(v) => self.wildcard_available = Some(v),
            Property::SubscriptionIdAvailable(v) => self.subscription_id_available = Some(v),
            Property::SharedAvailable(v) => self.shared_available = Some(v),
            Property::ServerKeepAlive(v) => self.server_keep_alive = Some(v),
            Property::ResponseInfo(v) => self.response_info = Some(v),
            Property::ServerReference(v) => self.server_reference = Some(v),
            Property::AuthMethod(v) => self.auth_method = Some(v),
            Property::AuthData(v) => self.auth_data = Some(v),
            _ => return Err(DecodeError::PropertyNotAllowed),
        }
        Ok(())
    }
}

impl PropertySet for ConnackProperties {
    fn write(&self, out: &mut impl Sink) {
        put_int(out, id::SESSION_EXPIRY, self.session_expiry);
        put_short(out, id::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        put_flag(out, id::MAXIMUM_QOS, self.maximum_qos_1);
        put_flag(out, id::RETAIN_AVAILABLE, self.retain_available);
        put_int(out, id::MAXIMUM_PACKET_SIZE, self.max_packet_size.map(NonZeroU32::get));
        put_string(out, id::ASSIGNED_CLIENT_ID, self.assigned_client_id.as_ref());
        put_short(out, id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        put_string(out, id::REASON_STRING, self.reason_string.as_ref());
        put_flag(out, id::WILDCARD_AVAILABLE, self.wildcard_available);
        put_flag(out, id::SUBSCRIPTION_ID_AVAILABLE, self.subscription_id_available);
        put_flag(out, id::SHARED_AVAILABLE, self.shared_available);
        put_short(out, id::SERVER_KEEP_ALIVE, self.server_keep_alive);
        put_string(out, id::RESPONSE_INFO, self.response_info.as_ref());
        put_string(out, id::SERVER_REFERENCE, self.server_reference.as_ref());
        put_string(out, id::AUTH_METHOD, self.auth_method.as_ref());
        put_bytes(out, id::AUTH_DATA, self.auth_data.as_ref());
        put_user(out, &self.user_properties);
    }
}

fn allowed(reason: ReasonCode) -> bool {
    matches!(reason.0, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
}

pub(crate) fn read(r: &mut Reader, version: Version) -> Result<Connack, DecodeError> {
    let flags = r.u8()?;
    if flags & !1 != 0 {
        return Err(DecodeError::ReservedBit);
    }
    let session_present = flags == 1;
    let code = r.u8()?;
    let mut properties = ConnackProperties::default();
    let reason = if version.is_v5() {
        read_properties(r, Place::Connack, |p| properties.take(p))?;
        Some(ReasonCode(code)).filter(|reason| allowed(*reason))
    } else {
        ReasonCode::from_connack_v3(code)
    };
    r.end()?;
    let reason = reason.ok_or(DecodeError::Reason)?;
    Ok(Connack { session_present, reason, properties })
}

pub(crate) fn write(packet: &Connack, version: Version, out: &mut impl Sink) {
    // MQTT 3.1 has no session present flag: the byte is reserved.
    put_u8(out, u8::from(packet.session_present && version != Version::V31));
    if version.is_v5() {
        put_u8(out, packet.reason.0);
        put_properties(out, &packet.properties);
    } else {
        put_u8(out, packet.reason.connack_v3());
    }
}
