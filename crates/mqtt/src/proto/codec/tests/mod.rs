#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod differential;
mod incremental;
mod random;
mod roundtrip;
pub(crate) mod strategies;
mod strict;
mod template;

use bytes::BytesMut;

use super::*;

/// A server's decoder that has seen a CONNECT of this version.
fn server(version: Version) -> Decoder {
    let connect = Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id: "c".into(),
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    };
    let mut bytes = BytesMut::new();
    encode(&Packet::Connect(Box::new(connect)), version, &mut bytes).unwrap();
    let mut decoder = Decoder::server(MAX_PACKET);
    decoder.decode(&mut bytes).unwrap().unwrap();
    decoder
}

/// Decodes one packet that a client of this version sends after CONNECT.
fn decode(version: Version, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    server(version).decode(&mut BytesMut::from(bytes))
}

/// Decodes one packet as the first of a connection.
fn decode_first(bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    Decoder::server(MAX_PACKET).decode(&mut BytesMut::from(bytes))
}

/// A packet from its first byte and the rest behind the remaining length.
fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut out = vec![first];
    sink::put_varint(&mut out, body.len().try_into().unwrap());
    out.extend(body);
    out
}

/// A string with its length.
fn s(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    sink::put_text(&mut out, text);
    out
}
