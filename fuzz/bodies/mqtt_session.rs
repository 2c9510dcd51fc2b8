//! The MQTT session machine between a bus that delivers anything and a client whose connection breaks at any point, in a gateway that
//! stops and goes on from what was saved: nothing with QoS 1 or 2 is lost or out of order, nothing with QoS 2 comes twice, the
//! client's window is kept, and what it publishes with QoS 2 is taken once.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
    time::Instant,
};

use bytes::BytesMut;
use ratatosk_mqtt::proto::{
    codec::{Ack, Decoder, Disconnect, MAX_PACKET, Packet, Publish, Qos, ReasonCode, Template, TemplateKind, Version},
    session::{Bounds, Event, Item, Link, Machine, Outgoing, Tally, WhenFull},
};

const BOUNDS: Bounds = Bounds { messages: 10_000, bytes: 1 << 24, when_full: WhenFull::DropOldest };

/// Runs a script of steps of two bytes: what happens, and how.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut world = World::new();
    for step in data.chunks_exact(2).take(400) {
        if let [act, how] = step {
            world.act(*act, *how);
        }
    }
    world.finish();
}

/// A message is its number.
#[derive(Debug, Clone)]
struct Note(Arc<Publish>);

impl Outgoing for Note {
    fn template(&self, kind: TemplateKind) -> Option<Template> {
        Template::of(kind, Template::encode(kind, &self.0).ok()?)
    }

    fn topic(&self) -> &str {
        &self.0.topic
    }

    fn expires_in(&self, _now: Instant) -> Option<u32> {
        None
    }

    fn weight(&self) -> usize {
        100
    }
}

struct World {
    machine: Machine<Note>,
    version: Version,
    window: usize,
    now: Instant,
    /// What the machine wrote and the client has not read.
    wire: Vec<u8>,
    tally: Tally,
    numbers: u32,
    sent: [Vec<u32>; 3],
    got: [Vec<u32>; 3],
    /// Answers that the client owes, in order.
    owed: Vec<Packet>,
    /// QoS 2 messages that the client has and that are not released.
    held: BTreeMap<u16, u32>,
    /// Unanswered publications on this connection.
    open: usize,
    /// QoS 2 publications of the client's that it has not released.
    unreleased: BTreeSet<u16>,
}

fn link(version: Version, window: usize) -> Link {
    let aliases = if window.is_multiple_of(2) { 3 } else { 0 };
    let mut link = Link::new(version, aliases);
    link.window = u16::try_from(window).unwrap_or(u16::MAX);
    (link.receive_maximum, link.session_expiry) = (3, 100);
    link
}

impl World {
    fn new() -> Self {
        let mut machine = Machine::new(BOUNDS);
        machine.connect(link(Version::V5, 3));
        Self {
            machine,
            version: Version::V5,
            window: 3,
            now: Instant::now(),
            wire: Vec::new(),
            tally: Tally::default(),
            numbers: 0,
            sent: Default::default(),
            got: Default::default(),
            owed: Vec::new(),
            held: BTreeMap::new(),
            open: 0,
            unreleased: BTreeSet::new(),
        }
    }

    fn act(&mut self, act: u8, how: u8) {
        match act % 10 {
            0 => self.deliver(Qos::AtMostOnce, how),
            1 => self.deliver(Qos::AtLeastOnce, how),
            2 => self.deliver(Qos::ExactlyOnce, how),
            3 => self.read(),
            4 => self.answer(usize::from(how % 8)),
            5 => self.machine.pump(self.now, u64::from(how) * 4, &mut self.wire, &mut self.tally),
            6 => self.connect(how),
            7 => self.publish(how),
            8 => self.oddity(how),
            _ => {
                self.machine = Machine::resume(BOUNDS, self.machine.past());
                self.connect(how);
            }
        }
    }

    fn deliver(&mut self, qos: Qos, how: u8) {
        self.numbers += 1;
        let number = self.numbers;
        self.list(qos, true).push(number);
        let topic = if how & 2 == 0 { "some/topic" } else { "another/topic" };
        let payload = number.to_string().into();
        let message = Note(Arc::new(Publish { topic: topic.into(), payload, ..Publish::default() }));
        let ids = (how & 4 != 0).then(|| Arc::from([7]));
        let item = Item { message, qos, retain: how & 8 != 0, ids };
        self.machine.deliver(item, self.now, how & 1 != 0, &mut self.wire, &mut self.tally);
    }

    fn list(&mut self, qos: Qos, sent: bool) -> &mut Vec<u32> {
        let [none, once, exactly] = if sent { &mut self.sent } else { &mut self.got };
        match qos {
            Qos::AtMostOnce => none,
            Qos::AtLeastOnce => once,
            Qos::ExactlyOnce => exactly,
        }
    }

    /// The connection breaks, and the client is back: what it had not read is lost, and so are the answers it owed.
    fn connect(&mut self, how: u8) {
        self.version = if how & 1 == 0 { Version::V5 } else { Version::V311 };
        self.window = usize::from(how >> 1 & 3) + 1;
        (self.open, self.owed, self.wire) = (0, Vec::new(), Vec::new());
        self.machine.disconnect();
        self.machine.connect(link(self.version, self.window));
    }

    fn read(&mut self) {
        let mut decoder = Decoder::client(self.version, MAX_PACKET);
        let mut bytes = BytesMut::from(&std::mem::take(&mut self.wire)[..]);
        while let Some(packet) = decoder.decode(&mut bytes).expect("what the machine writes is MQTT") {
            self.take(packet);
        }
        assert!(bytes.is_empty(), "half a packet was written");
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.take_publish(&publish),
            Packet::Pubrel(ack) if ack.reason == ReasonCode::SUCCESS => {
                self.held.remove(&ack.packet_id.get());
                self.owed.push(Packet::Pubcomp(Ack::new(ack.packet_id, ReasonCode::SUCCESS)));
            }
            // Answers to what the client publishes: perhaps released before it reads them.
            Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubcomp(_) | Packet::Pubrel(_) | Packet::Pingresp => {}
            other => unreachable!("the machine wrote {other:?}"),
        }
    }

    fn take_publish(&mut self, publish: &Publish) {
        let text = std::str::from_utf8(&publish.payload).expect("a number");
        let number: u32 = text.parse().expect("a number");
        let known = self.list(publish.qos, false).contains(&number);
        let Some(id) = publish.packet_id else { return self.list(publish.qos, false).push(number) };
        self.open += 1;
        assert!(self.open <= self.window, "{} publications for a window of {}", self.open, self.window);
        if publish.qos == Qos::AtLeastOnce {
            assert!(publish.dup || !known, "repeated without DUP");
            self.owed.push(Packet::Puback(Ack::new(id, ReasonCode::SUCCESS)));
        } else {
            match self.held.insert(id.get(), number) {
                Some(held) => assert!(held == number && publish.dup, "an identifier was used again before its release"),
                None => assert!(!known, "QoS 2 came twice"),
            }
            self.owed.push(Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS)));
        }
        if !known {
            self.list(publish.qos, false).push(number);
        }
    }

    fn answer(&mut self, count: usize) {
        for packet in self.owed.drain(..count.min(self.owed.len())) {
            if !matches!(packet, Packet::Pubrec(_)) {
                self.open = self.open.saturating_sub(1);
            }
            let event = self.machine.receive(packet, &mut self.wire).expect("an honest answer");
            assert_eq!(event, Event::None);
        }
    }

    /// The client publishes, or releases what it published.
    fn publish(&mut self, how: u8) {
        let id = NonZeroU16::MIN.saturating_add(u16::from(how >> 3 & 3));
        if how & 4 != 0 {
            self.unreleased.remove(&id.get());
            let release = Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS));
            self.machine.receive(release, &mut self.wire).expect("PUBREL is always answered");
            return;
        }
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce][usize::from(how & 3)];
        let packet_id = (qos != Qos::AtMostOnce).then_some(id);
        let publish = Publish { topic: "up".into(), qos, packet_id, ..Publish::default() };
        let repeated = qos == Qos::ExactlyOnce && self.unreleased.contains(&id.get());
        let too_many = qos == Qos::ExactlyOnce && !repeated && self.unreleased.len() >= 3;
        match self.machine.receive(Packet::Publish(Box::new(publish)), &mut self.wire) {
            Ok(Event::Publish(publish)) => {
                assert!(!repeated && !too_many, "QoS 2 was taken twice, or beyond the Receive Maximum");
                if qos == Qos::ExactlyOnce {
                    self.unreleased.insert(id.get());
                }
                self.machine.published(publish.qos, publish.packet_id, ReasonCode::SUCCESS, &mut self.wire);
            }
            Ok(event) => assert!(repeated && event == Event::None, "{event:?}"),
            Err(fault) => {
                assert!(too_many, "{fault}");
                assert_eq!(fault.reason(), ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
                self.connect(how);
            }
        }
    }

    /// What clients should not send, or only at another time.
    fn oddity(&mut self, how: u8) {
        let unknown = Ack::new(NonZeroU16::MAX, ReasonCode::SUCCESS);
        let packet = match how % 7 {
            0 => Packet::Pingreq,
            1 => Packet::Puback(unknown),
            2 => Packet::Pubrec(unknown),
            3 => Packet::Pubrel(unknown),
            4 => Packet::Pubcomp(unknown),
            5 => Packet::Disconnect(Disconnect::default()),
            _ => Packet::Pubrec(Ack::new(NonZeroU16::MAX, ReasonCode::UNSPECIFIED)),
        };
        let _ = self.machine.receive(packet, &mut self.wire).expect("odd, and allowed");
    }

    /// The connection holds from now on: everything arrives.
    fn finish(&mut self) {
        self.connect(0b110);
        for _ in 0..=2 * self.numbers + 2 {
            self.machine.pump(self.now, u64::MAX, &mut self.wire, &mut self.tally);
            self.read();
            self.answer(usize::MAX);
        }
        self.read();
        assert_eq!(self.machine.depth(), (0, 0), "something is left");
        let ([_, once, exactly], [_, got_once, got_exactly]) = (&self.sent, &self.got);
        assert_eq!(got_once, once, "QoS 1: all, in order");
        assert_eq!(got_exactly, exactly, "QoS 2: all, once, in order");
    }
}
