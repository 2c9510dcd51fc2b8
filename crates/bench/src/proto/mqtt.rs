//! MQTT 3.1.1 and 5.0 over TCP or WebSocket, all three qualities of service.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::tail::Tail;
use super::ws::{self, Part};
use super::{Client, Fault, Happening, Io, Protocol, channel_name};
use crate::access::Tokens;
use crate::stamp::Scanner;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBACK: u8 = 9;

/// An MQTT server.
#[derive(Debug)]
pub(crate) struct Mqtt {
    address: SocketAddr,
    websocket: bool,
    qos: u8,
    level: u8,
    /// Numbers client ids, which must differ.
    next: AtomicU32,
    tokens: Option<Tokens>,
}

impl Mqtt {
    pub(crate) fn tcp(address: SocketAddr, qos: u8, level: u8) -> Self {
        Self { address, websocket: false, qos, level, next: AtomicU32::new(0), tokens: None }
    }

    /// At `/mqtt` of an HTTP listener.
    pub(crate) fn websocket(address: SocketAddr, qos: u8, level: u8) -> Self {
        Self { websocket: true, ..Self::tcp(address, qos, level) }
    }

    /// With a token for every connection.
    pub(crate) fn with(self, tokens: Option<Tokens>) -> Self {
        Self { tokens, ..self }
    }

    fn client(&self, channels: &[u16]) -> Box<dyn Client> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Session {
            id: format!("bench-{}-{number}", std::process::id()),
            qos: self.qos,
            level: self.level,
            token: self.tokens.as_ref().map(Tokens::next),
            channels: channels.to_vec(),
            live: false,
            last_id: 0,
            tail: Tail::default(),
            scanner: Scanner::default(),
        };
        if self.websocket {
            let host = self.address.to_string();
            Box::new(OverWs { host, reader: ws::Reader::default(), session, packets: Vec::new() })
        } else {
            Box::new(session)
        }
    }
}

impl Protocol for Mqtt {
    fn label(&self) -> String {
        format!("{} q{}", if self.websocket { "mqtt-ws" } else { "mqtt" }, self.qos)
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn subscriber(&self, channels: &[u16]) -> Box<dyn Client> {
        self.client(channels)
    }

    fn publisher(&self, _channel: u16) -> Box<dyn Client> {
        self.client(&[])
    }
}

/// One client; a subscriber if it has channels.
#[derive(Debug)]
struct Session {
    id: String,
    qos: u8,
    level: u8,
    /// Shown as the password.
    token: Option<String>,
    channels: Vec<u16>,
    /// The handshake is over.
    live: bool,
    last_id: u16,
    tail: Tail,
    scanner: Scanner,
}

impl Client for Session {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        // Clean start; with a token, user name and password too.
        let flags = if self.token.is_some() { 0b1100_0010 } else { 0b10 };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', self.level, flags, 0x03, 0xe8];
        self.properties(&mut body);
        text(&self.id, &mut body);
        if let Some(token) = self.token.take() {
            text("jwt", &mut body);
            text(&token, &mut body);
        }
        packet(0x10, &body, io.out);
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        if self.live && self.qos == 0 {
            // Nothing needs an answer: looking for stamps is enough.
            self.scanner.scan(input, |stamp| io.news.push(Happening::Delivery(stamp)));
            return Ok(());
        }
        let mut tail = std::mem::take(&mut self.tail);
        let result = tail.feed(input, |bytes| {
            let mut done = 0;
            while let Some((first, body, len)) = bytes.get(done..).and_then(parse) {
                done += len;
                self.packet(first, body, io)?;
            }
            Ok(done)
        });
        self.tail = tail;
        result
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut body = Vec::with_capacity(payload.len() + 32);
        text(&channel_name(channel), &mut body);
        if self.qos > 0 {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            body.extend_from_slice(&self.last_id.to_be_bytes());
        }
        self.properties(&mut body);
        body.extend_from_slice(payload);
        packet(0x30 | (self.qos << 1), &body, out);
        Ok(())
    }
}

impl Session {
    /// Version 5 has properties here; none are used.
    fn properties(&self, body: &mut Vec<u8>) {
        if self.level == 5 {
            body.push(0);
        }
    }

    fn packet(&mut self, first: u8, body: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        match first >> 4 {
            CONNACK if body.get(1) == Some(&0) => self.connected(io),
            SUBACK if body.last().is_some_and(|&code| code < 0x80) => self.ready(io),
            PUBLISH => Self::message(first, body, io),
            PUBACK | PUBCOMP => {
                io.news.push(Happening::Published);
                Ok(())
            }
            PUBREC => Self::answer(PUBREL << 4 | 2, body, io),
            PUBREL => Self::answer(PUBCOMP << 4, body, io),
            13 => Ok(()),
            _ => Err(Fault::Unexpected(format!("packet {first:#04x} {body:02x?}"))),
        }
    }

    fn connected(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        if self.channels.is_empty() {
            return self.ready(io);
        }
        let mut body = vec![0, 1];
        self.properties(&mut body);
        for &channel in &self.channels {
            text(&channel_name(channel), &mut body);
            body.push(self.qos);
        }
        packet(0x82, &body, io.out);
        Ok(())
    }

    fn ready(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        self.live = true;
        io.news.push(Happening::Ready);
        Ok(())
    }

    fn message(first: u8, body: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let topic = body.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
        let id = body.get(2 + topic..).unwrap_or_default();
        match first & 0b110 {
            0 => {}
            0b010 => Self::answer(PUBACK << 4, id, io)?,
            _ => Self::answer(PUBREC << 4, id, io)?,
        }
        io.deliveries(body);
        Ok(())
    }

    /// Sends a packet that consists of the packet id `body` begins with.
    fn answer(first: u8, body: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let id = body.first_chunk::<2>().ok_or_else(|| Fault::answer(body))?;
        io.out.extend_from_slice(&[first, 2]);
        io.out.extend_from_slice(id);
        Ok(())
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(value.len()).unwrap_or_default();
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut left = body.len();
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        out.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// First byte, body and whole length of the first packet.
fn parse(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, rest) = bytes.split_first()?;
    let mut len = 0;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let header = index + 2;
            return Some((first, bytes.get(header..header + len)?, header + len));
        }
    }
    None
}

/// A client whose packets travel in binary frames.
#[derive(Debug)]
struct OverWs {
    host: String,
    reader: ws::Reader,
    session: Session,
    /// Packets to be framed.
    packets: Vec<u8>,
}

impl Client for OverWs {
    fn open(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        io.out.extend_from_slice(ws::request(&self.host, "/mqtt", Some("mqtt")).as_bytes());
        Ok(())
    }

    fn receive(&mut self, input: &[u8], io: &mut Io<'_>) -> Result<(), Fault> {
        let Self { reader, session, packets, .. } = self;
        reader.feed(input, io, |part, io| {
            let mut inner = Io { out: packets, news: io.news };
            match part {
                Part::Open => session.open(&mut inner),
                Part::Data(data) => session.receive(data, &mut inner),
            }
        })?;
        if !packets.is_empty() {
            ws::frame(ws::BINARY, packets, io.out);
            packets.clear();
        }
        Ok(())
    }

    fn publish(&mut self, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        self.packets.clear();
        self.session.publish(channel, payload, &mut self.packets)?;
        ws::frame(ws::BINARY, &self.packets, out);
        self.packets.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::stamp::Stamp;

    fn drive(client: &mut dyn Client, input: &[u8]) -> (Vec<u8>, Vec<Happening>) {
        let (mut out, mut news) = (Vec::new(), Vec::new());
        client.receive(input, &mut Io { out: &mut out, news: &mut news }).unwrap();
        (out, news)
    }

    fn message(qos: u8, seq: u32) -> (Vec<u8>, Stamp) {
        let stamp = Stamp { channel: 0, seq, sent: 1 };
        let mut body = vec![0, 7];
        body.extend_from_slice(b"bench/0");
        if qos > 0 {
            body.extend_from_slice(&[0x12, 0x34]);
        }
        stamp.payload(150, &mut body);
        let mut out = Vec::new();
        packet(0x30 | (qos << 1), &body, &mut out);
        (out, stamp)
    }

    #[test]
    fn handshake_of_both_versions() {
        for (level, connack, suback) in
            [(4, vec![0x20, 2, 0, 0], vec![0x90, 3, 0, 1, 0]), (5, vec![0x20, 3, 0, 0, 0], vec![0x90, 4, 0, 1, 0, 0])]
        {
            let mqtt = Mqtt::tcp("127.0.0.1:1883".parse().unwrap(), 0, level);
            let mut client = mqtt.subscriber(&[0, 1]);
            let (mut out, mut news) = (Vec::new(), Vec::new());
            client.open(&mut Io { out: &mut out, news: &mut news }).unwrap();
            let (first, body, len) = parse(&out).unwrap();
            assert_eq!((first, len, &body[2..6], body[6]), (0x10, out.len(), &b"MQTT"[..], level));
            let (subscribe, news) = drive(client.as_mut(), &connack);
            assert_eq!((subscribe[0], news.len()), (0x82, 0));
            assert_eq!(drive(client.as_mut(), &suback).1, [Happening::Ready]);
        }
    }

    #[test]
    fn messages_at_every_split_with_their_acknowledgements() {
        for (qos, answers) in [(0, vec![]), (1, vec![0x40, 2, 0x12, 0x34]), (2, vec![0x50, 2, 0x12, 0x34])] {
            let (one, stamp) = message(qos, 0);
            let (two, next) = message(qos, 1);
            let stream = [one, two].concat();
            for split in 0..stream.len() {
                let mqtt = Mqtt::tcp("127.0.0.1:1883".parse().unwrap(), qos, 4);
                let mut client = mqtt.subscriber(&[0]);
                drive(client.as_mut(), &[0x20, 2, 0, 0]);
                drive(client.as_mut(), &[0x90, 3, 0, 1, qos]);
                let (mut out, mut news) = drive(client.as_mut(), &stream[..split]);
                let (more, rest) = drive(client.as_mut(), &stream[split..]);
                out.extend(more);
                news.extend(rest);
                assert_eq!(news, [Happening::Delivery(stamp), Happening::Delivery(next)], "q{qos} split {split}");
                assert_eq!(out, answers.repeat(2));
            }
        }
    }

    #[test]
    fn a_publisher_completes_qos_2() {
        let mqtt = Mqtt::tcp("127.0.0.1:1883".parse().unwrap(), 2, 4);
        let mut client = mqtt.publisher(0);
        assert_eq!(drive(client.as_mut(), &[0x20, 2, 0, 0]).1, [Happening::Ready]);
        let mut out = Vec::new();
        client.publish(0, b"payload", &mut out).unwrap();
        assert_eq!((out[0], &out[11..13]), (0x34, &[0, 1][..]));
        assert_eq!(drive(client.as_mut(), &[0x50, 2, 0, 1]).0, [0x62, 2, 0, 1]);
        assert_eq!(drive(client.as_mut(), &[0x70, 2, 0, 1]).1, [Happening::Published]);
    }

    #[test]
    fn refusals_are_faults() {
        let mqtt = Mqtt::tcp("127.0.0.1:1883".parse().unwrap(), 0, 4);
        for refusal in [&[0x20, 2, 0, 5][..], &[0x90, 3, 0, 1, 0x80]] {
            let (mut out, mut news) = (Vec::new(), Vec::new());
            let mut io = Io { out: &mut out, news: &mut news };
            assert!(mqtt.subscriber(&[0]).receive(refusal, &mut io).is_err());
        }
    }
}
