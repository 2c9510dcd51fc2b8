//! A broker whose session survives everything, over a network that breaks all the time: what a standard broker with
//! perfect storage would do.

use std::{
    collections::{HashSet, VecDeque},
    num::NonZeroU16,
};

use ratatosk_mqtt::proto::codec::{Ack, Packet, Publish, Qos, ReasonCode, Suback};

use crate::scripted::{Connection, Server};

/// Publications in flight towards the client.
const WINDOW: usize = 20;

#[derive(Clone)]
struct Flight {
    id: NonZeroU16,
    number: u32,
    qos: Qos,
    released: bool,
}

/// The state that never gets lost.
pub(crate) struct Durable {
    random: fastrand::Rng,
    /// Cuts left to make.
    cuts: u32,
    /// What waits for the client: number and quality.
    to_send: VecDeque<(u32, Qos)>,
    flight: VecDeque<Flight>,
    next_id: u16,
    /// QoS 2 ids received and not released.
    received: HashSet<NonZeroU16>,
    /// What the client published: quality and payload, each delivery.
    pub(crate) taken: Vec<(Qos, String)>,
    expected: usize,
}

enum Fate {
    Goes,
    /// The packet is handled, and what it causes is lost with the connection.
    Cut,
}

impl Durable {
    /// `send` messages go to the client and `expect` different ones come from it, half of each with QoS 1.
    pub(crate) fn new(seed: u64, cuts: u32, send: u32, expect: usize) -> Self {
        let quality = |n| if n % 2 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        Self {
            random: fastrand::Rng::with_seed(seed),
            cuts,
            to_send: (0..send).map(|n| (n, quality(n))).collect(),
            flight: VecDeque::new(),
            next_id: 0,
            received: HashSet::new(),
            taken: Vec::new(),
            expected: expect,
        }
    }

    fn is_complete(&self) -> bool {
        let different: HashSet<&String> = self.taken.iter().map(|(_, payload)| payload).collect();
        self.to_send.is_empty()
            && self.flight.is_empty()
            && self.received.is_empty()
            && different.len() == self.expected
    }

    fn fate(&mut self) -> Fate {
        if self.cuts > 0 && self.random.u32(0..60) == 0 {
            self.cuts -= 1;
            return Fate::Cut;
        }
        Fate::Goes
    }

    /// Serves until everything is through.
    pub(crate) async fn run(mut self, server: Server) -> Self {
        let mut first = true;
        loop {
            let connection = server.welcome(!first).await;
            first = false;
            self.connection(connection).await;
            if self.is_complete() {
                return self;
            }
        }
    }

    async fn connection(&mut self, mut connection: Connection) {
        for flight in self.flight.clone() {
            if self.step(&mut connection, &again(&flight)).await.is_none() {
                return;
            }
        }
        while !self.is_complete() {
            while self.flight.len() < WINDOW {
                let Some((number, qos)) = self.to_send.pop_front() else { break };
                let flight = Flight { id: self.free_id(), number, qos, released: false };
                self.flight.push_back(flight.clone());
                if self.step(&mut connection, &publish(&flight, false)).await.is_none() {
                    return;
                }
            }
            let Some(packet) = connection.next().await else { return };
            let Some(answer) = self.handle(packet) else { continue };
            if self.step(&mut connection, &answer).await.is_none() {
                return;
            }
        }
    }

    /// Sends, unless the network breaks first or right after.
    async fn step(&mut self, connection: &mut Connection, packet: &Packet) -> Option<()> {
        match self.fate() {
            Fate::Goes => connection.try_send(packet).await,
            Fate::Cut => {
                if self.random.bool() {
                    connection.try_send(packet).await;
                }
                None
            }
        }
    }

    fn handle(&mut self, packet: Packet) -> Option<Packet> {
        let ok = |id| Ack::new(id, ReasonCode::SUCCESS);
        match packet {
            Packet::Publish(publish) => {
                let (id, text) = (publish.packet_id?, String::from_utf8(publish.payload.to_vec()).unwrap());
                if publish.qos == Qos::AtLeastOnce {
                    self.taken.push((publish.qos, text));
                    return Some(Packet::Puback(ok(id)));
                }
                if self.received.insert(id) {
                    self.taken.push((publish.qos, text));
                }
                Some(Packet::Pubrec(ok(id)))
            }
            Packet::Pubrel(ack) => {
                self.received.remove(&ack.packet_id);
                Some(Packet::Pubcomp(ok(ack.packet_id)))
            }
            Packet::Puback(ack) => {
                let at = self.flight.iter().position(|flight| flight.id == ack.packet_id)?;
                assert_eq!(self.flight.remove(at).unwrap().qos, Qos::AtLeastOnce);
                None
            }
            Packet::Pubrec(ack) => {
                let flight = self.flight.iter_mut().find(|flight| flight.id == ack.packet_id)?;
                assert_eq!(flight.qos, Qos::ExactlyOnce);
                flight.released = true;
                Some(Packet::Pubrel(ok(ack.packet_id)))
            }
            Packet::Pubcomp(ack) => {
                self.flight.retain(|flight| flight.id != ack.packet_id);
                None
            }
            Packet::Subscribe(subscribe) => {
                let reasons = vec![ReasonCode::GRANTED_QOS_2; subscribe.filters.len()];
                Some(Packet::Suback(Suback { packet_id: subscribe.packet_id, reasons, properties: None }))
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// The lowest free id, so that ids are soon used again.
    fn free_id(&mut self) -> NonZeroU16 {
        let used: HashSet<u16> = self.flight.iter().map(|flight| flight.id.get()).collect();
        self.next_id = (1..).find(|id| !used.contains(id)).unwrap();
        NonZeroU16::new(self.next_id).unwrap()
    }
}

fn publish(flight: &Flight, dup: bool) -> Packet {
    Packet::Publish(Box::new(Publish {
        dup,
        qos: flight.qos,
        topic: if flight.qos == Qos::ExactlyOnce { "in/2" } else { "in/1" }.into(),
        packet_id: Some(flight.id),
        payload: flight.number.to_string().into(),
        ..Publish::default()
    }))
}

fn again(flight: &Flight) -> Packet {
    if flight.released { Packet::Pubrel(Ack::new(flight.id, ReasonCode::SUCCESS)) } else { publish(flight, true) }
}
