//! What comes from the broker.

use std::{num::NonZeroU16, time::Instant};

use bytestring::ByteString;
use ratatosk_connector::upstream::{Ended, Taken};
use ratatosk_core::{engine::EngineFuture, stats::DropReason};

use super::{Link, Storing};
use crate::{
    client::{
        handshake::{ALIASES, is_permanent},
        session::Answer,
        translate,
    },
    proto::codec::{Ack, Disconnect, Packet, Publish, Qos, ReasonCode},
};

impl Link<'_> {
    pub(super) fn arrived(&mut self, read: std::io::Result<usize>) -> Result<(), Ended> {
        match read {
            Ok(0) => Err(self.broken_off("the server closed the connection")),
            Ok(_) => self.packets(),
            Err(error) => Err(self.broken_off(format!("connection lost: {error}"))),
        }
    }

    /// Takes what has been read, as far as there is room for it: one read can hold more messages than a rule's programs take.
    pub(super) fn packets(&mut self) -> Result<(), Ended> {
        loop {
            if !self.admitted && !self.port.admits() {
                return Ok(());
            }
            self.admitted = true;
            match self.decoder.decode(&mut self.input) {
                Ok(Some(packet)) => self.packet(packet)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.complain(error.reason());
                    return Err(Ended::lost(format!("malformed packet from the server: {error}")));
                }
            }
        }
    }

    pub(super) fn packet(&mut self, packet: Packet) -> Result<(), Ended> {
        match packet {
            Packet::Publish(publish) => self.publication(*publish),
            Packet::Puback(ack) => {
                let answer = self.session.puback(ack.packet_id, ack.reason, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubrec(ack) => {
                let answer = self.session.pubrec(ack.packet_id, ack.reason, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubcomp(ack) => {
                let answer = self.session.pubcomp(ack.packet_id, Instant::now());
                self.answer(ack.packet_id, answer)
            }
            Packet::Pubrel(ack) => {
                let reason = match self.session.released(ack.packet_id, Instant::now()) {
                    true => ReasonCode::SUCCESS,
                    false => ReasonCode::PACKET_ID_NOT_FOUND,
                };
                self.send(&Packet::Pubcomp(Ack::new(ack.packet_id, reason)));
                Ok(())
            }
            Packet::Suback(suback) => {
                self.session.answered(suback.packet_id);
                if !self.subscriptions.suback(suback.packet_id, &suback.reasons, self.port) {
                    return self.violated("SUBACK does not fit its SUBSCRIBE");
                }
                self.subscribe();
                self.measure();
                Ok(())
            }
            Packet::Unsuback(unsuback) => {
                self.session.answered(unsuback.packet_id);
                self.subscriptions.unsuback(unsuback.packet_id, self.port);
                self.subscribe();
                Ok(())
            }
            Packet::Pingresp => {
                if let Some(round_trip) = self.pinger.answered(Instant::now()) {
                    self.port.ping(round_trip);
                }
                Ok(())
            }
            Packet::Disconnect(disconnect) => {
                self.blames = blames(disconnect.reason);
                Err(sent_away(&disconnect))
            }
            other => self.violated(&format!("unexpected {:?}", other.packet_type())),
        }
    }

    pub(super) fn violated(&mut self, what: &str) -> Result<(), Ended> {
        self.complain(ReasonCode::PROTOCOL_ERROR);
        Err(Ended::lost(format!("protocol violation by the server: {what}")))
    }

    pub(super) fn publication(&mut self, mut publish: Publish) -> Result<(), Ended> {
        self.resolve_alias(&mut publish)?;
        let (id, qos) = (publish.packet_id, publish.qos);
        // A repetition of what the bus has is acknowledged and not delivered (4.3.3-10).
        let repeated = id.is_some_and(|id| qos == Qos::ExactlyOnce && self.session.has_received(id, &publish));
        self.admitted = false;
        let taken = if repeated {
            Taken::Stored
        } else if let Some(inbound) = translate::inbound(publish) {
            self.port.deliver(inbound)
        } else {
            self.port.lost(DropReason::Unmappable);
            Taken::Dropped(DropReason::Unmappable)
        };
        let Some(id) = id else { return Ok(()) };
        match taken {
            Taken::Pending(end) => self.storing.push_back(storing(id, qos, end)),
            // Acknowledgements keep the order of the publications (4.6.0-2).
            _ if !self.storing.is_empty() => self.storing.push_back(Box::pin(async move { (id, qos, true) })),
            _ => self.acknowledge(id, qos),
        }
        Ok(())
    }

    pub(super) fn stored(&mut self, (id, qos, ok): (NonZeroU16, Qos, bool)) -> Result<(), Ended> {
        if !ok {
            self.session.not_received(id);
            // Not acknowledged, so the broker sends it again.
            return Err(Ended::lost("the engine could not store a message"));
        }
        self.acknowledge(id, qos);
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, id: NonZeroU16, qos: Qos) {
        let ack = Ack::new(id, ReasonCode::SUCCESS);
        if qos == Qos::ExactlyOnce {
            self.send(&Packet::Pubrec(ack));
        } else {
            self.send(&Packet::Puback(ack));
        }
    }

    pub(super) fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Ended> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(()) };
        if alias.get() > ALIASES {
            return self.violated("topic alias above our maximum");
        }
        if publish.topic.is_empty() {
            match self.aliases.get(&alias) {
                Some(topic) => publish.topic = topic.clone(),
                None => return self.violated("unknown topic alias"),
            }
        } else {
            // A copy: the slice would keep the read buffer alive.
            self.aliases.insert(alias, ByteString::from(&*publish.topic));
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, id: NonZeroU16, answer: Answer) -> Result<(), Ended> {
        match answer {
            Answer::Nothing => {}
            Answer::Done(token) => self.port.done(token),
            Answer::Failed(token, reason) => {
                tracing::debug!(upstream = %self.port.upstream(), reason = reason.text(), "publication refused");
                self.port.failed(token, DropReason::Denied);
            }
            Answer::Release(reason) => self.send(&Packet::Pubrel(Ack::new(id, reason))),
            Answer::Violation => return self.violated("an acknowledgement of another quality of service"),
        }
        Ok(())
    }
}

fn storing(id: NonZeroU16, qos: Qos, end: EngineFuture<'static, ()>) -> Storing {
    Box::pin(async move {
        let result = end.await;
        if let Err(error) = &result {
            tracing::error!(%error, "a message from upstream was not stored");
        }
        (id, qos, result.is_ok())
    })
}

/// Why the server would not have a publication of ours, if it can be that.
fn blames(reason: ReasonCode) -> Option<DropReason> {
    match reason {
        ReasonCode::PACKET_TOO_LARGE => Some(DropReason::TooLarge),
        ReasonCode::UNSPECIFIED
        | ReasonCode::MALFORMED
        | ReasonCode::PROTOCOL_ERROR
        | ReasonCode::IMPLEMENTATION
        | ReasonCode::PAYLOAD_FORMAT_INVALID => Some(DropReason::Denied),
        _ => None,
    }
}

fn sent_away(disconnect: &Disconnect) -> Ended {
    let more = disconnect.reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let text = format!("the server disconnected us: {}{more}", disconnect.reason.text());
    match disconnect.reason {
        // Somebody else uses our client id, for now.
        ReasonCode::SESSION_TAKEN_OVER => Ended::lost(text + " (another client has the same client id)"),
        reason if is_permanent(reason) => Ended::refused(text),
        _ => Ended::lost(text),
    }
}
