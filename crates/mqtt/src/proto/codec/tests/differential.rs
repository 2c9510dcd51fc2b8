//! The same bytes given to two other codecs: what they can read of our packets means the same there.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::{v3_1_1 as core_v3, v5_0 as core_v5};
use proptest::prelude::*;
use rmqtt_codec::{v3, v5};
use tokio_util::codec::Decoder as _;

use super::strategies::{from_client, publish};
use super::*;

/// It refuses an expiry of 0, which the standard allows; and a SUBSCRIBE with a bad filter, whose other
/// filters the standard lets a server grant.
fn taken_by_both(packet: &Packet) -> bool {
    match packet {
        Packet::Publish(p) => p.properties.message_expiry != Some(0),
        Packet::Subscribe(p) => p.filters.iter().all(|f| parse_filter(&f.filter).is_ok()),
        Packet::Unsubscribe(p) => p.filters.iter().all(|filter| parse_filter(filter).is_ok()),
        _ => true,
    }
}

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn packets_of_mqtt_5(packet in from_client(Version::V5)) {
        prop_assume!(taken_by_both(&packet));
        let mut bytes = encoded(&packet, Version::V5);
        let theirs = v5::Codec::new(0, 0).decode(&mut bytes);
        prop_assert!(matches!(theirs, Ok(Some(_))), "{theirs:?} for {packet:?}");
    }

    #[test]
    fn packets_of_mqtt_3(packet in from_client(Version::V311)) {
        prop_assume!(taken_by_both(&packet));
        let mut bytes = encoded(&packet, Version::V311);
        let theirs = v3::Codec::new(0).decode(&mut bytes);
        prop_assert!(matches!(theirs, Ok(Some(_))), "{theirs:?} for {packet:?}");
    }

    #[test]
    fn publications_mean_the_same(ours in publish(Version::V5, false)) {
        prop_assume!(ours.properties.message_expiry != Some(0));
        let mut bytes = encoded(&Packet::Publish(Box::new(ours.clone())), Version::V5);
        let Ok(Some((v5::Packet::Publish(theirs), _))) = v5::Codec::new(0, 0).decode(&mut bytes) else {
            panic!("not read as PUBLISH")
        };
        prop_assert_eq!(&theirs.topic[..], &ours.topic[..]);
        prop_assert_eq!(theirs.packet_id, ours.packet_id);
        prop_assert_eq!(theirs.retain, ours.retain);
        prop_assert_eq!(theirs.dup, ours.dup);
        prop_assert_eq!(&theirs.payload[..], &ours.payload[..]);
    }

    #[test]
    fn packets_of_mqtt_5_by_a_second_judge(packet in from_client(Version::V5)) {
        prop_assume!(taken_by_the_second(&packet));
        let theirs = second_judge_v5(&encoded(&packet, Version::V5));
        prop_assert!(theirs.is_ok(), "{theirs:?} for {packet:?}");
    }

    #[test]
    fn packets_of_mqtt_3_by_a_second_judge(packet in from_client(Version::V311)) {
        let theirs = second_judge_v3(&encoded(&packet, Version::V311));
        prop_assert!(theirs.is_ok(), "{theirs:?} for {packet:?}");
    }

    #[test]
    fn publications_mean_the_same_to_a_second_judge(ours in publish(Version::V5, false)) {
        let bytes = encoded(&Packet::Publish(Box::new(ours.clone())), Version::V5);
        let (first, body) = apart(&bytes);
        let (theirs, _) = core_v5::Publish::parse(first & 15, Arc::from(body)).unwrap();
        prop_assert_eq!(theirs.topic_name(), &ours.topic[..]);
        prop_assert_eq!(theirs.packet_id(), ours.packet_id.map(std::num::NonZeroU16::get));
        prop_assert_eq!((theirs.retain(), theirs.dup()), (ours.retain, ours.dup));
        prop_assert_eq!(theirs.payload().as_slice(), &ours.payload[..]);
        prop_assert_eq!(theirs.props().len(), count(&ours.properties));
    }
}

/// It refuses a password without a user name, which MQTT 5 allows.
fn taken_by_the_second(packet: &Packet) -> bool {
    !matches!(packet, Packet::Connect(c) if c.password.is_some() && c.username.is_none())
}

fn count(properties: &PublishProperties) -> usize {
    let p = properties;
    let optional = [
        p.payload_format.is_some(),
        p.message_expiry.is_some(),
        p.topic_alias.is_some(),
        p.response_topic.is_some(),
        p.correlation_data.is_some(),
        p.content_type.is_some(),
    ];
    optional.into_iter().filter(|there| *there).count() + p.user_properties.len() + p.subscription_ids.len()
}

/// A packet's first byte, and what follows its remaining length.
fn apart(bytes: &[u8]) -> (u8, &[u8]) {
    let (_, len) = reader::varint(&bytes[1..]).unwrap().unwrap();
    (bytes[0], &bytes[1 + len..])
}

fn second_judge_v5(bytes: &[u8]) -> Result<usize, mqtt_protocol_core::mqtt::result_code::MqttError> {
    let (first, body) = apart(bytes);
    Ok(match first >> 4 {
        1 => core_v5::Connect::parse(body)?.1,
        3 => core_v5::Publish::parse(first & 15, Arc::from(body))?.1,
        4 => core_v5::Puback::parse(body)?.1,
        5 => core_v5::Pubrec::parse(body)?.1,
        6 => core_v5::Pubrel::parse(body)?.1,
        7 => core_v5::Pubcomp::parse(body)?.1,
        8 => core_v5::Subscribe::parse(body)?.1,
        10 => core_v5::Unsubscribe::parse(body)?.1,
        12 => core_v5::Pingreq::parse(body)?.1,
        14 => core_v5::Disconnect::parse(body)?.1,
        15 => core_v5::Auth::parse(body)?.1,
        other => panic!("type {other} is not a client's"),
    })
}

fn second_judge_v3(bytes: &[u8]) -> Result<usize, mqtt_protocol_core::mqtt::result_code::MqttError> {
    let (first, body) = apart(bytes);
    Ok(match first >> 4 {
        1 => core_v3::Connect::parse(body)?.1,
        3 => core_v3::Publish::parse(first & 15, Arc::from(body))?.1,
        4 => core_v3::Puback::parse(body)?.1,
        5 => core_v3::Pubrec::parse(body)?.1,
        6 => core_v3::Pubrel::parse(body)?.1,
        7 => core_v3::Pubcomp::parse(body)?.1,
        8 => core_v3::Subscribe::parse(body)?.1,
        10 => core_v3::Unsubscribe::parse(body)?.1,
        12 => core_v3::Pingreq::parse(body)?.1,
        14 => core_v3::Disconnect::parse(body)?.1,
        other => panic!("type {other} is not a client's"),
    })
}
