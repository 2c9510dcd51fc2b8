//! What goes to the broker.

use std::{num::NonZeroU16, time::Instant};

use ratatosk_connector::upstream::{Outbound, Token};
use ratatosk_core::stats::DropReason;

use super::{Link, WRITE_HIGH};
use crate::{
    client::{session::Again, translate},
    proto::codec::{Ack, Packet, Qos, ReasonCode, encoded_len},
};

impl Link<'_> {
    pub(super) fn subscribe(&mut self) {
        let wanted = self.wanted.now();
        for packet in self.subscriptions.step(&wanted, self.session, self.port) {
            self.send(&packet);
        }
    }

    /// Whether the broker has to answer before another QoS 1 or 2 publication.
    fn must_wait(&self) -> bool {
        self.session.used() >= self.window || self.session.holds_back()
    }

    pub(super) fn has_room(&self) -> bool {
        self.again.is_empty() && !self.must_wait() && self.output.len() < WRITE_HIGH && !self.session.is_full()
    }

    /// First what the last connection left unfinished, then what waits.
    pub(super) fn fill(&mut self) {
        while let Some(again) = self.again.front().copied() {
            let waits = matches!(again, Again::Publish(..)) && self.must_wait();
            if waits || self.output.len() >= WRITE_HIGH {
                break;
            }
            self.again.pop_front();
            self.repeat(again);
        }
        while self.has_room() {
            let Some(out) = self.port.take() else { break };
            self.publish(&out);
        }
    }

    pub(super) fn repeat(&mut self, again: Again) {
        let now = Instant::now();
        match again {
            Again::Release(id) => {
                self.session.repeated(id, now);
                self.send(&Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS)));
            }
            Again::Publish(id, token) => {
                let publish = self
                    .port
                    .in_flight(token)
                    .map(|out| translate::outbound(&out, self.port.gateway_id(), self.can, now));
                match publish {
                    Some(publish) if publish.qos != Qos::AtMostOnce => {
                        self.session.repeated(id, now);
                        self.send(&Packet::Publish(Box::new(translate::again(publish, id))));
                    }
                    _ => self.give_up(id, token),
                }
            }
        }
    }

    /// A broker that takes no QoS any more, or a message that is gone.
    pub(super) fn give_up(&mut self, id: NonZeroU16, token: Token) {
        self.session.forget(id);
        self.port.failed(token, DropReason::Denied);
    }

    pub(super) fn publish(&mut self, out: &Outbound) {
        let now = Instant::now();
        let mut publish = translate::outbound(out, self.port.gateway_id(), self.can, now);
        if publish.qos != Qos::AtMostOnce {
            publish.packet_id = self.session.free_id();
        }
        let (id, qos) = (publish.packet_id, publish.qos);
        let packet = Packet::Publish(Box::new(publish));
        let size = match encoded_len(&packet, self.version) {
            Ok(size) if self.max_packet.is_none_or(|most| size <= most) => size,
            _ => return self.port.failed(out.token, DropReason::TooLarge),
        };
        self.send(&packet);
        match id {
            Some(id) => self.session.published(id, (out.token, size), qos, now),
            None => self.port.done(out.token),
        }
    }
}
