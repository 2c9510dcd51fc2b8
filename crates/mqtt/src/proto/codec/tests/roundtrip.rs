use proptest::prelude::*;

use super::strategies::{connect, from_client, from_server, version};
use super::*;

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes).unwrap();
    assert_eq!(encoded_len(packet, version), Ok(bytes.len()));
    bytes
}

proptest! {
    #[test]
    fn what_clients_send((version, packet) in version().prop_flat_map(|v| (Just(v), from_client(v)))) {
        let mut bytes = encoded(&packet, version);
        let got = server(version).decode(&mut bytes).unwrap().unwrap();
        prop_assert_eq!(got, packet);
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn what_servers_send((version, packet) in version().prop_flat_map(|v| (Just(v), from_server(v)))) {
        let mut bytes = encoded(&packet, version);
        let got = Decoder::client(version, MAX_PACKET).decode(&mut bytes).unwrap().unwrap();
        prop_assert_eq!(got, packet);
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn connects(packet in version().prop_flat_map(connect)) {
        let version = packet.version;
        let packet = Packet::Connect(Box::new(packet));
        let mut bytes = encoded(&packet, version);
        let mut decoder = Decoder::server(MAX_PACKET);
        prop_assert_eq!(decoder.decode(&mut bytes).unwrap().unwrap(), packet);
        prop_assert_eq!(decoder.version(), Some(version));
    }
}

#[test]
fn what_cannot_be_expressed_is_not_written() {
    let mut out = Vec::new();
    let long = Publish { topic: "a".repeat(65_536).into(), ..Publish::default() };
    let long = encode(&Packet::Publish(Box::new(long)), Version::V5, &mut out);
    assert_eq!(long, Err(EncodeError::FieldTooLong));
    let no_id = Publish { topic: "a".into(), qos: Qos::AtLeastOnce, ..Publish::default() };
    let no_id = encode(&Packet::Publish(Box::new(no_id)), Version::V5, &mut out);
    assert_eq!(no_id, Err(EncodeError::PacketId));
    let auth = encode(&Packet::Auth(Auth::default()), Version::V311, &mut out);
    assert_eq!(auth, Err(EncodeError::Version));
    assert!(out.is_empty());
}

#[test]
fn connack_codes_before_mqtt_5() {
    let refused = Connack { reason: ReasonCode::BANNED, ..Connack::default() };
    let mut out = Vec::new();
    encode(&Packet::Connack(Box::new(refused)), Version::V311, &mut out).unwrap();
    assert_eq!(out, [0x20, 2, 0, 5]);
}

#[test]
fn secrets_do_not_show() {
    let secret = Secret(bytes::Bytes::from_static(b"hunter2"));
    assert!(!format!("{secret:?}").contains("hunter2"));
}
