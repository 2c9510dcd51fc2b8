//! The same bytes given to another codec: what it can read of our packets means the same there.

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
}
