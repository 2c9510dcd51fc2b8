use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::property::{
    Place, Property, PropertySet, UserProperty, id, put_bytes, put_flag, put_int, put_properties, put_short,
    put_string, put_user, read_properties,
};
use super::reader::Reader;
use super::sink::{Sink, put_text, put_u8, put_u16, put_varint};
use super::topic::has_wildcard;
use super::{DecodeError, Qos, Version};

/// PUBLISH (MQTT 5, 3.3).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Publish {
    /// Whether this may be a repetition.
    pub dup: bool,
    /// The quality of service.
    pub qos: Qos,
    /// Whether the message is (to be) retained.
    pub retain: bool,
    /// The topic name; empty only if a topic alias stands for it.
    pub topic: ByteString,
    /// Present exactly if the QoS is 1 or 2.
    pub packet_id: Option<NonZeroU16>,
    /// MQTT 5 properties; empty for older versions.
    pub properties: PublishProperties,
    /// The message.
    pub payload: Bytes,
}

/// The properties of PUBLISH and of a will (MQTT 5, 3.3.2.3).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublishProperties {
    /// `Some(true)` if the payload is UTF-8 text.
    pub payload_format: Option<bool>,
    /// Seconds until the message is worthless.
    pub message_expiry: Option<u32>,
    /// A number that stands for the topic on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer is expected.
    pub response_topic: Option<ByteString>,
    /// What an answer should carry back.
    pub correlation_data: Option<Bytes>,
    /// What the payload is, commonly a MIME type.
    pub content_type: Option<ByteString>,
    /// Names and values of the sender's own, in order.
    pub user_properties: Vec<UserProperty>,
    /// The identifiers of the subscriptions that matched; only from a server.
    pub subscription_ids: Vec<NonZeroU32>,
}

impl PublishProperties {
    fn take(&mut self, property: Property) -> Result<(), DecodeError> {
        match property {
            Property::PayloadFormat(v) => self.payload_format = Some(v),
            Property::MessageExpiry(v) => self.message_expiry = Some(v),
            Property::TopicAlias(v) => self.topic_alias = Some(v),
            Property::ResponseTopic(v) => {
                if has_wildcard(&v) {
                    return Err(DecodeError::WildcardInResponseTopic);
                }
                self.response_topic = Some(v);
            }
            Property::CorrelationData(v) => self.correlation_data = Some(v),
            Property::ContentType(v) => self.content_type = Some(v),
            Property::User(v) => self.user_properties.push(v),
            Property::SubscriptionId(v) => self.subscription_ids.push(v),
            _ => return Err(DecodeError::PropertyNotAllowed),
        }
        Ok(())
    }

    /// Reads the properties of a will; `delay` receives the Will Delay Interval.
    pub(crate) fn read_will(r: &mut Reader, delay: &mut u32) -> Result<Self, DecodeError> {
        let mut properties = Self::default();
        read_properties(r, Place::Will, |property| match property {
            Property::WillDelay(v) => {
                *delay = v;
                Ok(())
            }
            other => properties.take(other),
        })?;
        Ok(properties)
    }
}

impl PropertySet for PublishProperties {
    // The expiry is first, so that its place in an encoded packet is known (see `Template`).
    fn write(&self, out: &mut impl Sink) {
        put_int(out, id::MESSAGE_EXPIRY, self.message_expiry);
        put_flag(out, id::PAYLOAD_FORMAT, self.payload_format);
        put_short(out, id::TOPIC_ALIAS, self.topic_alias.map(NonZeroU16::get));
        put_string(out, id::CONTENT_TYPE, self.content_type.as_ref());
        put_string(out, id::RESPONSE_TOPIC, self.response_topic.as_ref());
        put_bytes(out, id::CORRELATION_DATA, self.correlation_data.as_ref());
        for subscription in &self.subscription_ids {
            put_u8(out, id::SUBSCRIPTION_ID);
            put_varint(out, subscription.get());
        }
        put_user(out, &self.user_properties);
    }
}

pub(crate) fn read(flags: u8, r: &mut Reader, version: Version, from_client: bool) -> Result<Publish, DecodeError> {
    let qos = Qos::from_bits(flags >> 1 & 3)?;
    let dup = flags & 8 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(DecodeError::DupQos0);
    }
    let topic = r.text()?;
    if has_wildcard(&topic) {
        return Err(DecodeError::WildcardInTopic);
    }
    let packet_id = if qos == Qos::AtMostOnce { None } else { Some(r.packet_id()?) };
    let mut properties = PublishProperties::default();
    if version.is_v5() {
        read_properties(r, Place::Publish, |p| properties.take(p))?;
    }
    if topic.is_empty() && properties.topic_alias.is_none() {
        return Err(if version.is_v5() { DecodeError::NoTopic } else { DecodeError::EmptyTopic });
    }
    if from_client && !properties.subscription_ids.is_empty() {
        return Err(DecodeError::SubscriptionIdFromClient);
    }
    Ok(Publish { dup, qos, retain: flags & 1 != 0, topic, packet_id, properties, payload: r.rest() })
}

pub(crate) fn first_byte(dup: bool, qos: Qos, retain: bool) -> u8 {
    0x30 | u8::from(dup) << 3 | qos.level() << 1 | u8::from(retain)
}

pub(crate) fn write(packet: &Publish, version: Version, out: &mut impl Sink) {
    put_text(out, &packet.topic);
    if let (Some(id), true) = (packet.packet_id, packet.qos != Qos::AtMostOnce) {
        put_u16(out, id.get());
    }
    if version.is_v5() {
        put_properties(out, &packet.properties);
    }
    out.put(&packet.payload);
}
