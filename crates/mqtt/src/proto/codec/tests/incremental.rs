use super::*;

#[test]
fn packets_arrive_in_any_pieces() {
    let packets = [
        packet(0x30, &[&s("a/b"), &[0], b"one"]),
        packet(0xC0, &[]),
        packet(0x32, &[&s("a/b"), &[0, 7, 0], &[b'x'; 300]]),
    ];
    let stream = packets.concat();
    for size in [1, 2, 3, 7, 64, stream.len()] {
        let mut decoder = server(Version::V5);
        let mut buffer = BytesMut::new();
        let mut got = Vec::new();
        for piece in stream.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                got.push(packet.packet_type());
            }
        }
        assert_eq!(got, [PacketType::Publish, PacketType::Pingreq, PacketType::Publish]);
        assert!(buffer.is_empty());
    }
}

#[test]
fn payloads_are_slices_of_what_was_received() {
    let mut buffer = BytesMut::from(&packet(0x30, &[&s("topic"), &[0], b"payload"])[..]);
    let range = buffer.as_ptr_range();
    let Some(Packet::Publish(publish)) = server(Version::V5).decode(&mut buffer).unwrap() else {
        panic!("not PUBLISH")
    };
    assert!(range.contains(&publish.payload.as_ptr()));
    assert!(range.contains(&publish.topic.as_bytes().as_ptr()));
}

#[test]
fn a_fault_shows_before_the_packet_is_complete() {
    assert_eq!(decode(Version::V5, &[0x36]), Err(DecodeError::Qos3));
    assert_eq!(decode_first(&[0x30]), Err(DecodeError::NotConnected));
}

#[test]
fn the_version_is_that_of_the_first_connect() {
    let mut decoder = server(Version::V311);
    let second = packet(0x10, &[&s("MQTT"), &[5, 2, 0, 0, 0], &s("c")]);
    decoder.decode(&mut BytesMut::from(&second[..])).unwrap().unwrap();
    assert_eq!(decoder.version(), Some(Version::V311));
}
