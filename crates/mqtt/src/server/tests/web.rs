//! MQTT over WebSocket, by hand: what a library would not do.

use ratatosk_connector::{
    http::{HttpListener, Origins},
    websocket::{Opcode, put_frame},
};

use super::*;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn web(broker: &Broker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = HttpListener::plain(listener);
    let router = broker.server.router("/mqtt", Origins::new(["https://page.example"]));
    broker.life.spawn("http", http.serve(router, broker.life.clone()));
    address
}

/// Sends a request; the answer's head.
async fn ask(address: SocketAddr, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{REQUEST}{headers}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A client's frame, under a mask of zeros.
fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, opcode, payload);
    let head = frame.len() - payload.len();
    frame[1] |= 0x80;
    if !fin {
        frame[0] &= 0x7F;
    }
    frame.splice(head..head, [0; 4]);
    frame
}

/// A short frame of the server's: its first byte and payload.
async fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let len = stream.read_u8().await.unwrap();
    assert!(len < 126);
    let mut payload = vec![0; len.into()];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

fn mqtt(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        encode(packet, Version::V5, &mut bytes).unwrap();
    }
    bytes
}

#[tokio::test]
async fn frames_have_no_relation_to_packets() {
    let broker = Broker::start().await;
    let (mut stream, head) = ask(web(&broker).await, "Sec-WebSocket-Protocol: mqtt\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{head}");
    let bytes = mqtt(&[Packet::Connect(Box::new(hello(Version::V5, "c"))), Packet::Pingreq, Packet::Pingreq]);
    let (one, rest) = bytes.split_at(5);
    let (two, three) = rest.split_at(rest.len() - 3);
    stream.write_all(&masked(Opcode::Binary, false, one)).await.unwrap();
    stream.write_all(&masked(Opcode::Ping, true, b"?")).await.unwrap();
    stream.write_all(&masked(Opcode::Continuation, true, two)).await.unwrap();
    stream.write_all(&masked(Opcode::Binary, true, three)).await.unwrap();
    let (mut packets, mut pongs) = (BytesMut::new(), 0);
    let mut decoder = Decoder::client(Version::V5, MAX_PACKET);
    let mut got = Vec::new();
    while got.len() < 3 || pongs == 0 {
        match frame(&mut stream).await {
            (0x82, payload) => packets.extend_from_slice(&payload),
            (0x8A, payload) => {
                assert_eq!(payload, b"?");
                pongs += 1;
            }
            other => panic!("unexpected frame {other:?}"),
        }
        while let Some(packet) = decoder.decode(&mut packets).unwrap() {
            got.push(packet);
        }
    }
    assert!(matches!(got[0], Packet::Connack(_)));
    assert_eq!(got[1..], [Packet::Pingresp, Packet::Pingresp]);
    stream.write_all(&masked(Opcode::Close, true, &[0x03, 0xE8])).await.unwrap();
    assert_eq!(frame(&mut stream).await, (0x88, vec![0x03, 0xE8]));
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn fan_out_shares_frames() {
    let broker = Broker::start().await;
    let address = web(&broker).await;
    let mut streams = Vec::new();
    for id in ["a", "b"] {
        let (mut stream, _) = ask(address, "Sec-WebSocket-Protocol: mqtt\r\n").await;
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            subscription_id: None,
            filters: vec![wish("t", Qos::AtMostOnce)],
            user_properties: vec![],
        };
        let bytes = mqtt(&[Packet::Connect(Box::new(hello(Version::V5, id))), Packet::Subscribe(subscribe)]);
        stream.write_all(&masked(Opcode::Binary, true, &bytes)).await.unwrap();
        let mut packets = BytesMut::new();
        let mut decoder = Decoder::client(Version::V5, MAX_PACKET);
        loop {
            packets.extend_from_slice(&frame(&mut stream).await.1);
            let last = std::iter::from_fn(|| decoder.decode(&mut packets).unwrap()).last();
            if matches!(last, Some(Packet::Suback(_))) {
                break;
            }
        }
        streams.push(stream);
    }
    broker.client("sender").await.publish("t", "x").await;
    for stream in &mut streams {
        assert_eq!(frame(stream).await, (0x82, mqtt(&[publish("t", "x")])));
    }
}

#[tokio::test]
async fn text_is_refused() {
    let broker = Broker::start().await;
    let (mut stream, _) = ask(web(&broker).await, "Sec-WebSocket-Protocol: mqtt\r\n").await;
    stream.write_all(&masked(Opcode::Text, true, b"hello")).await.unwrap();
    let (first, payload) = frame(&mut stream).await;
    assert_eq!((first, &payload[..2]), (0x88, &[0x03, 0xEB][..]));
}

#[tokio::test]
async fn upgrades_that_are_refused() {
    let broker = Broker::start().await;
    let address = web(&broker).await;
    let (_, head) = ask(address, "Sec-WebSocket-Protocol: chat\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (_, head) = ask(address, "Origin: https://other.example\r\nSec-WebSocket-Protocol: mqtt\r\n").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let (_, head) = ask(address, "Origin: https://page.example\r\nSec-WebSocket-Protocol: mqttv3.1\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("mqttv3.1"), "{head}");
}
