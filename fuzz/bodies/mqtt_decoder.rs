//! The MQTT decoder under any bytes: it ends in packets, a wish for more or a refusal with a reason; it does not matter how the bytes
//! were cut on their way; and whatever it accepts can be written again and means the same.

use bytes::BytesMut;
use ratatosk_mqtt::proto::codec::{DecodeError, Decoder, MAX_PACKET, Packet, Version, encode};

/// A limit that inputs can reach.
const LIMIT: u32 = 300;

/// Decodes an input: its first byte says who reads, the second where reads are cut.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let [reader, cut, bytes @ ..] = data else { return };
    let decoder = match reader % 8 {
        0 => Decoder::server(MAX_PACKET),
        1 => Decoder::server(LIMIT),
        2 => after_connect(Version::V31),
        3 => after_connect(Version::V311),
        4 => after_connect(Version::V5),
        5 => Decoder::client(Version::V31, MAX_PACKET),
        6 => Decoder::client(Version::V311, LIMIT),
        _ => Decoder::client(Version::V5, MAX_PACKET),
    };
    let whole = drain(decoder.clone(), bytes.len().max(1), bytes);
    let cut_up = drain(decoder.clone(), usize::from(*cut % 8) + 1, bytes);
    assert_eq!(whole, cut_up, "how the bytes were cut matters");
    whole.1.into_iter().for_each(|error| assert!(error.reason().is_failure(), "{error} has no reason code"));
    let mut reader = decoder;
    for packet in whole.0 {
        again(&mut reader, packet);
    }
}

/// A server's decoder whose client has said which version it speaks.
fn after_connect(version: Version) -> Decoder {
    let connect: &[u8] = match version {
        Version::V31 => b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01c",
        Version::V311 => b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c",
        Version::V5 => b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c",
    };
    let mut decoder = Decoder::server(MAX_PACKET);
    assert!(matches!(decoder.decode(&mut BytesMut::from(connect)), Ok(Some(Packet::Connect(_)))));
    decoder
}

fn drain(mut decoder: Decoder, step: usize, bytes: &[u8]) -> (Vec<Packet>, Option<DecodeError>) {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for part in bytes.chunks(step) {
        buffer.extend_from_slice(part);
        loop {
            let capacity = buffer.capacity();
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break assert_eq!(buffer.capacity(), capacity, "memory was reserved for what is not there"),
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}

fn again(decoder: &mut Decoder, packet: Packet) {
    let version = match (&packet, decoder.version()) {
        (Packet::Connect(connect), None) => connect.version,
        (_, version) => version.expect("packets follow CONNECT"),
    };
    let mut bytes = BytesMut::new();
    encode(&packet, version, &mut bytes).expect("what was read can be written");
    // Written more tersely than it came it fits; a limit would be another question.
    let same = decoder.decode(&mut bytes).expect("what was written can be read").expect("all of it");
    assert_eq!(same, packet);
    assert!(bytes.is_empty());
}
