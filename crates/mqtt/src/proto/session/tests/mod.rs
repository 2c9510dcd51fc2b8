#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod delivery;
mod inbound;
mod model;
mod opening;
mod random;

use std::{
    num::NonZeroU16,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::*;
use crate::proto::codec::{
    Ack, Decoder, MAX_PACKET, Packet, Publish, PublishProperties, Qos, ReasonCode, Template, TemplateKind, Version,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment this many seconds into a test.
fn at(seconds: u64) -> Instant {
    *START + Duration::from_secs(seconds)
}

#[derive(Debug)]
struct Inner {
    publish: Publish,
    expires: Option<Instant>,
}

/// A message of the tests.
#[derive(Debug, Clone)]
struct Note(Arc<Inner>);

impl Note {
    fn new(topic: &str, payload: impl Into<bytes::Bytes>) -> Self {
        Self::expiring(topic, payload, None)
    }

    fn expiring(topic: &str, payload: impl Into<bytes::Bytes>, expiry: Option<u32>) -> Self {
        let properties = PublishProperties { message_expiry: expiry, ..PublishProperties::default() };
        let publish = Publish { topic: topic.into(), payload: payload.into(), properties, ..Publish::default() };
        Self(Arc::new(Inner { publish, expires: expiry.map(|left| at(left.into())) }))
    }
}

impl Outgoing for Note {
    fn template(&self, kind: TemplateKind) -> Option<Template> {
        Template::of(kind, Template::encode(kind, &self.0.publish).ok()?)
    }

    fn topic(&self) -> &str {
        &self.0.publish.topic
    }

    fn expires_in(&self, now: Instant) -> Option<u32> {
        let left = self.0.expires?.saturating_duration_since(now);
        Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    fn weight(&self) -> usize {
        self.0.publish.payload.len() + 100
    }
}

fn item(message: Note, qos: Qos) -> Item<Note> {
    Item { message, qos, retain: false, ids: None }
}

const BOUNDS: Bounds = Bounds { messages: 1000, bytes: 1 << 20, when_full: WhenFull::DropOldest };

fn machine(link: Link) -> Machine<Note> {
    let mut machine = Machine::new(BOUNDS);
    machine.connect(link);
    machine
}

fn v5() -> Link {
    Link::new(Version::V5, 0)
}

fn v3() -> Link {
    Link::new(Version::V311, 0)
}

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn ok(number: u16) -> Ack {
    Ack::new(id(number), ReasonCode::SUCCESS)
}

/// What the machine wrote, as the client reads it.
fn read(version: Version, bytes: &[u8]) -> Vec<Packet> {
    let mut decoder = Decoder::client(version, MAX_PACKET);
    let mut buffer = BytesMut::from(bytes);
    let packets = std::iter::from_fn(|| decoder.decode(&mut buffer).unwrap()).collect();
    assert!(buffer.is_empty(), "half a packet was written");
    packets
}

/// Delivers with room in the socket and gives what was written.
fn deliver(machine: &mut Machine<Note>, item: Item<Note>, seconds: u64) -> (Vec<Packet>, Tally) {
    let (mut out, mut tally) = (Vec::new(), Tally::default());
    machine.deliver(item, at(seconds), true, &mut out, &mut tally);
    (read(machine.link().map_or(Version::V5, |link| link.version), &out), tally)
}

/// Pumps without end and gives what was written.
fn pump(machine: &mut Machine<Note>, seconds: u64) -> (Vec<Packet>, Tally) {
    let (mut out, mut tally) = (Vec::new(), Tally::default());
    machine.pump(at(seconds), u64::MAX, &mut out, &mut tally);
    (read(machine.link().unwrap().version, &out), tally)
}

/// Gives the machine a packet; what it answers.
fn receive(machine: &mut Machine<Note>, packet: Packet) -> Result<(Event, Vec<Packet>), Fault> {
    let version = machine.link().unwrap().version;
    let mut out = Vec::new();
    let event = machine.receive(packet, &mut out)?;
    Ok((event, read(version, &out)))
}

fn publishes(packets: &[Packet]) -> Vec<&Publish> {
    let mut found = Vec::new();
    for packet in packets {
        if let Packet::Publish(publish) = packet {
            found.push(&**publish);
        }
    }
    found
}
