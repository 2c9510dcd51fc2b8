//! Bytes that nobody meant: decoding ends, without a panic, in a packet, an error or a wish for more.

use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::{from_client, version};
use super::*;

fn drain(mut decoder: Decoder, bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(packet)) = decoder.decode(&mut buffer) {
        // Whatever was accepted can be written again and means the same.
        let version = decoder.version().unwrap();
        let mut again = BytesMut::new();
        encode(&packet, version, &mut again).unwrap();
        let same = match packet {
            Packet::Connect(_) => Decoder::server(MAX_PACKET).decode(&mut again),
            _ => decoder.clone().decode(&mut again),
        };
        assert_eq!(same.unwrap().unwrap(), packet);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200), version in version()) {
        drain(Decoder::server(MAX_PACKET), &bytes);
        drain(server(version), &bytes);
        drain(Decoder::client(version, MAX_PACKET), &bytes);
    }

    #[test]
    fn random_bodies(first in any::<u8>(), body in vec(any::<u8>(), 0..80), version in version()) {
        let bytes = packet(first, &[&body]);
        drain(Decoder::server(MAX_PACKET), &bytes);
        drain(server(version), &bytes);
        drain(Decoder::client(version, MAX_PACKET), &bytes);
    }

    #[test]
    fn damaged_packets(
        (version, packet) in version().prop_flat_map(|v| (Just(v), from_client(v))),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        encode(&packet, version, &mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drain(server(version), &bytes);
    }
}
