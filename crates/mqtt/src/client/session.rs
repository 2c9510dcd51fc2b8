//! What of an MQTT session must outlive its connection: packets that are not acknowledged yet.
//!
//! It reads no clock and no socket, so that every loss of a packet can be played through in tests. MQTT 5.0
//! section 4.1 lists the state; sections 4.3, 4.4 and 4.9 say what becomes of it.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU16,
    time::Instant,
};

use ratatosk_connector::upstream::Token;

use crate::proto::codec::{Qos, ReasonCode};

/// How far a publication of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Sent, and nothing heard.
    Published,
    /// QoS 2: the peer has it and may hand it on once it hears our PUBREL.
    Released,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    token: Token,
    qos: Qos,
    stage: Stage,
    /// The order of the last step, in which steps are repeated.
    order: u64,
    /// Whether it takes a place of the peer's receive maximum on this connection.
    counted: bool,
    since: Instant,
}

/// What is to be sent again on a resumed session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The publication, marked as a repetition.
    Publish(NonZeroU16, Token),
    /// The PUBREL.
    Release(NonZeroU16),
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is for nothing we know; such strays follow a lost session.
    Stray,
    /// The peer has the message for good.
    Done(Token),
    /// The peer will not take the message.
    Failed(Token, ReasonCode),
    /// Send PUBREL with this reason.
    Release(ReasonCode),
    /// The peer answers a QoS with the acknowledgement of another.
    Violation,
}

/// Our side of one MQTT session.
#[derive(Debug, Default)]
pub(super) struct Session {
    outgoing: HashMap<NonZeroU16, Sent>,
    /// QoS 2 packet ids whose message the bus has and whose PUBREL has not come.
    incoming: HashSet<NonZeroU16>,
    /// Ids of SUBSCRIBE and UNSUBSCRIBE on this connection.
    requests: HashSet<NonZeroU16>,
    last_id: u16,
    order: u64,
    used: usize,
}

impl Session {
    /// A connection begins. Without a resumed session all state is gone (the messages go back to the queue). Yields
    /// what is to be sent again, in order.
    pub(super) fn connected(&mut self, resumed: bool) -> Vec<Again> {
        self.requests.clear();
        self.used = 0;
        if !resumed {
            self.outgoing.clear();
            self.incoming.clear();
        }
        let mut again: Vec<(u64, Again)> = Vec::with_capacity(self.outgoing.len());
        for (id, sent) in &mut self.outgoing {
            sent.counted = false;
            let step = match sent.stage {
                Stage::Published => Again::Publish(*id, sent.token),
                Stage::Released => Again::Release(*id),
            };
            again.push((sent.order, step));
        }
        again.sort_unstable_by_key(|(order, _)| *order);
        again.into_iter().map(|(_, step)| step).collect()
    }

    /// Whether a message is in flight under this session.
    pub(super) fn tokens(&self) -> HashSet<Token> {
        self.outgoing.values().map(|sent| sent.token).collect()
    }

    /// How many places of the peer's receive maximum are taken.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// When the oldest unacknowledged step was made.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.outgoing.values().map(|sent| sent.since).min()
    }

    /// A packet id that is not in use; `None` if all are.
    pub(super) fn free_id(&mut self) -> Option<NonZeroU16> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(id) = NonZeroU16::new(self.last_id) else { continue };
            if !self.outgoing.contains_key(&id) && !self.requests.contains(&id) {
                return Some(id);
            }
        }
        None
    }

    /// A publication with QoS 1 or 2 goes out for the first time.
    pub(super) fn published(&mut self, id: NonZeroU16, token: Token, qos: Qos, now: Instant) {
        let order = self.step();
        self.used += 1;
        self.outgoing.insert(id, Sent { token, qos, stage: Stage::Published, order, counted: true, since: now });
    }

    /// A publication or PUBREL goes out again.
    pub(super) fn repeated(&mut self, id: NonZeroU16, now: Instant) {
        let Some(sent) = self.outgoing.get_mut(&id) else { return };
        sent.since = now;
        if sent.stage == Stage::Published && !sent.counted {
            sent.counted = true;
            self.used += 1;
        }
    }

    /// The message of a publication is no more: its id is free again.
    pub(super) fn forget(&mut self, id: NonZeroU16) {
        self.remove(id);
    }

    pub(super) fn puback(&mut self, id: NonZeroU16, reason: ReasonCode) -> Answer {
        match self.outgoing.get(&id) {
            None => Answer::Stray,
            Some(sent) if sent.qos != Qos::AtLeastOnce => Answer::Violation,
            Some(_) => self.finish(id, reason),
        }
    }

    pub(super) fn pubrec(&mut self, id: NonZeroU16, reason: ReasonCode, now: Instant) -> Answer {
        let order = self.order;
        match self.outgoing.get_mut(&id) {
            // The peer waits for a PUBREL, whatever we know (4.3.3).
            None => return Answer::Release(ReasonCode::PACKET_ID_NOT_FOUND),
            Some(sent) if sent.qos != Qos::ExactlyOnce => return Answer::Violation,
            Some(sent) if sent.stage == Stage::Released => return Answer::Release(ReasonCode::SUCCESS),
            Some(_) if reason.is_failure() => {}
            Some(sent) => {
                (sent.stage, sent.order, sent.since) = (Stage::Released, order, now);
                self.order += 1;
                return Answer::Release(ReasonCode::SUCCESS);
            }
        }
        self.finish(id, reason)
    }

    pub(super) fn pubcomp(&mut self, id: NonZeroU16) -> Answer {
        match self.outgoing.get(&id) {
            None => Answer::Stray,
            Some(sent) if sent.stage != Stage::Released => Answer::Violation,
            // "Packet identifier not found" says that the peer had completed it before the connection broke.
            Some(_) => self.finish(id, ReasonCode::SUCCESS),
        }
    }

    /// Whether a QoS 2 publication is a repetition of one that the bus has.
    pub(super) fn has_received(&self, id: NonZeroU16) -> bool {
        self.incoming.contains(&id)
    }

    /// The bus has this QoS 2 publication.
    pub(super) fn received(&mut self, id: NonZeroU16) {
        self.incoming.insert(id);
    }

    /// PUBREL came. False if its publication is unknown.
    pub(super) fn released(&mut self, id: NonZeroU16) -> bool {
        self.incoming.remove(&id)
    }

    /// A SUBSCRIBE or UNSUBSCRIBE goes out.
    pub(super) fn requested(&mut self, id: NonZeroU16) {
        self.requests.insert(id);
    }

    /// It was answered.
    pub(super) fn answered(&mut self, id: NonZeroU16) {
        self.requests.remove(&id);
    }

    fn step(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn finish(&mut self, id: NonZeroU16, reason: ReasonCode) -> Answer {
        match self.remove(id) {
            None => Answer::Stray,
            Some(sent) if reason.is_failure() => Answer::Failed(sent.token, reason),
            Some(sent) => Answer::Done(sent.token),
        }
    }

    fn remove(&mut self, id: NonZeroU16) -> Option<Sent> {
        let sent = self.outgoing.remove(&id)?;
        self.used -= usize::from(sent.counted);
        Some(sent)
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
