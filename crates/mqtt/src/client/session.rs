//! What of an MQTT session must outlive its connection: packets that are not acknowledged yet.
//!
//! It reads no clock and no socket, so that every loss of a packet can be played through in tests. MQTT 5.0
//! section 4.1 lists the state; sections 4.3, 4.4 and 4.9 say what becomes of it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    num::NonZeroU16,
    time::{Duration, Instant},
};

use ratatosk_connector::upstream::{PoisonWatch, Token};

use crate::proto::codec::{Publish, Qos, ReasonCode};

/// How far a publication of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Sent, and nothing heard.
    Published,
    /// QoS 2: the peer says that it has it; our PUBREL waits until that is to be believed.
    Received,
    /// QoS 2: the peer has it and may hand it on once it hears our PUBREL.
    Released,
    /// The peer says that it is through, which is not yet to be believed.
    Completed,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    token: Token,
    qos: Qos,
    /// Bytes of its packet.
    size: usize,
    stage: Stage,
    /// The order of the last step, in which steps are repeated.
    order: u64,
    /// Whether it takes a place of the peer's receive maximum on this connection.
    counted: bool,
    since: Instant,
}

impl Sent {
    /// Published by this connection, and nothing heard.
    fn is_unanswered(&self) -> bool {
        self.counted && self.stage == Stage::Published
    }
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
    /// It is for nothing we know (such strays follow a lost session), or it is doubted for a while.
    Nothing,
    /// The peer has the message for good.
    Done(Token),
    /// The peer will not take the message.
    Failed(Token, ReasonCode),
    /// Send PUBREL with this reason.
    Release(ReasonCode),
    /// The peer answers a QoS with the acknowledgement of another.
    Violation,
}

/// What an acknowledgement that is believed now leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send PUBREL.
    Release(NonZeroU16),
    /// The peer has the message for good.
    Done(Token),
}

/// Our side of one MQTT session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// How long acknowledgements are doubted; zero believes them at once.
    settle: Duration,
    outgoing: HashMap<NonZeroU16, Sent>,
    /// Doubted acknowledgements, oldest first.
    doubted: VecDeque<(Instant, NonZeroU16)>,
    /// QoS 2 packet ids whose message the bus has and whose PUBREL has not come, with its fingerprint.
    incoming: HashMap<NonZeroU16, u64>,
    /// By fingerprint, those of `incoming` that came by the connection before this one: a peer with a bad memory may send
    /// them again under another id, and give their id to another message.
    inherited: HashMap<u64, NonZeroU16>,
    /// Completed QoS 2 messages that a peer with a bad memory may send again, oldest first.
    past: VecDeque<(Instant, NonZeroU16, u64)>,
    /// Those of the connection before this one.
    suspects: HashMap<NonZeroU16, u64>,
    /// Ids of SUBSCRIBE and UNSUBSCRIBE on this connection.
    requests: HashSet<NonZeroU16>,
    /// Finds the publication that the peer ends connections for.
    poison: PoisonWatch,
    /// The last publication that went out by this connection.
    latest: Option<NonZeroU16>,
    hasher: RandomState,
    last_id: u16,
    order: u64,
    used: usize,
}

impl Session {
    /// A session whose acknowledgements are doubted for so long.
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, ..Self::default() }
    }

    /// A connection begins. Without a resumed session all state is gone (the messages go back to the queue). Yields
    /// what is to be sent again, in order.
    pub(super) fn connected(&mut self, resumed: bool) -> Vec<Again> {
        self.requests.clear();
        self.doubted.clear();
        self.used = 0;
        self.latest = None;
        if !resumed {
            self.outgoing.clear();
            self.incoming.clear();
            self.suspects.clear();
        }
        self.inherited.clear();
        if !self.settle.is_zero() {
            self.inherited.extend(self.incoming.iter().map(|(id, print)| (*print, *id)));
        }
        let mut again: Vec<(u64, Again)> = Vec::with_capacity(self.outgoing.len());
        for (id, sent) in &mut self.outgoing {
            sent.counted = false;
            // What was doubted when the connection broke is done again.
            let step = match sent.stage {
                Stage::Published | Stage::Received => Again::Publish(*id, sent.token),
                Stage::Completed if sent.qos == Qos::AtLeastOnce => Again::Publish(*id, sent.token),
                Stage::Released | Stage::Completed => Again::Release(*id),
            };
            sent.stage = if matches!(step, Again::Publish(..)) { Stage::Published } else { Stage::Released };
            again.push((sent.order, step));
        }
        // PUBRELs first: they free places at brokers that count what their session holds, such as Mosquitto.
        again.sort_unstable_by_key(|(order, step)| (matches!(step, Again::Publish(..)), *order));
        again.into_iter().map(|(_, step)| step).collect()
    }

    /// A connection has ended without our doing.
    pub(super) fn broken(&mut self, now: Instant) {
        self.forget_past(now);
        self.suspects = self.past.drain(..).map(|(_, id, print)| (id, print)).collect();
    }

    /// Whether publications wait until the peer has spoken about the last one: one of them may be poison.
    pub(super) fn holds_back(&self) -> bool {
        let latest = self.latest.filter(|_| self.poison.is_careful());
        latest.and_then(|id| self.outgoing.get(&id)).is_some_and(Sent::is_unanswered)
    }

    /// The connection has ended, perhaps for a publication of ours. Yields the one that the peer will never take; it is
    /// forgotten here.
    pub(super) fn poisoned(&mut self, says_too_large: bool) -> Option<Token> {
        let unanswered = self.outgoing.values().filter(|sent| sent.is_unanswered());
        let under_way: Vec<(Token, usize)> = unanswered.map(|sent| (sent.token, sent.size)).collect();
        let found = match says_too_large {
            true => self.poison.too_large(under_way),
            false => self.poison.ended(under_way),
        }?;
        self.outgoing.retain(|_, sent| sent.token != found);
        Some(found)
    }

    /// We leave in good order: every acknowledgement is believed.
    pub(super) fn leaving(&mut self) -> Vec<Due> {
        self.believe(|_| true)
    }

    /// The acknowledgements that have become old enough to be believed.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let settle = self.settle;
        self.believe(|at| now.saturating_duration_since(at) >= settle)
    }

    fn believe(&mut self, old_enough: impl Fn(Instant) -> bool) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.doubted.front().copied() {
            if !old_enough(at) {
                break;
            }
            self.doubted.pop_front();
            match self.outgoing.get_mut(&id) {
                Some(sent) if sent.stage == Stage::Received => {
                    sent.stage = Stage::Released;
                    due.push(Due::Release(id));
                }
                Some(sent) if sent.stage == Stage::Completed => {
                    due.push(Due::Done(sent.token));
                    self.outgoing.remove(&id);
                }
                _ => {}
            }
        }
        due
    }

    /// The messages in flight under this session.
    pub(super) fn tokens(&self) -> HashSet<Token> {
        self.outgoing.values().map(|sent| sent.token).collect()
    }

    /// How many places of the peer's receive maximum are taken.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether ids run short, because much is doubted.
    pub(super) fn is_full(&self) -> bool {
        const SPARE: usize = 4096;
        self.outgoing.len() >= usize::from(u16::MAX) - SPARE
    }

    /// When the oldest unacknowledged step of this connection was made.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let open = |sent: &&Sent| sent.counted && matches!(sent.stage, Stage::Published | Stage::Released);
        let open = self.outgoing.values().filter(open);
        open.map(|sent| sent.since).min()
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
    pub(super) fn published(&mut self, id: NonZeroU16, (token, size): (Token, usize), qos: Qos, now: Instant) {
        let order = self.step();
        self.used += 1;
        self.latest = Some(id);
        self.outgoing.insert(id, Sent { token, qos, size, stage: Stage::Published, order, counted: true, since: now });
    }

    /// A publication or PUBREL goes out again.
    pub(super) fn repeated(&mut self, id: NonZeroU16, now: Instant) {
        let Some(sent) = self.outgoing.get_mut(&id) else { return };
        if sent.stage == Stage::Published {
            self.latest = Some(id);
        }
        sent.since = now;
        self.used += usize::from(!std::mem::replace(&mut sent.counted, true));
    }

    /// The message of a publication is no more: its id is free again.
    pub(super) fn forget(&mut self, id: NonZeroU16) {
        self.remove(id);
    }

    pub(super) fn puback(&mut self, id: NonZeroU16, reason: ReasonCode, now: Instant) -> Answer {
        match self.outgoing.get(&id) {
            None => Answer::Nothing,
            Some(sent) if sent.qos != Qos::AtLeastOnce => Answer::Violation,
            Some(_) => self.finish(id, reason, now),
        }
    }

    pub(super) fn pubrec(&mut self, id: NonZeroU16, reason: ReasonCode, now: Instant) -> Answer {
        let order = self.step();
        match self.outgoing.get_mut(&id) {
            // The peer waits for a PUBREL, whatever we know (4.3.3).
            None => Answer::Release(ReasonCode::PACKET_ID_NOT_FOUND),
            Some(sent) if sent.qos != Qos::ExactlyOnce => Answer::Violation,
            Some(sent) if sent.stage == Stage::Received => Answer::Nothing,
            Some(sent) if sent.stage != Stage::Published => Answer::Release(ReasonCode::SUCCESS),
            Some(_) if reason.is_failure() => self.finish(id, reason, now),
            Some(sent) => {
                self.poison.answered(sent.token, sent.size);
                (sent.order, sent.since) = (order, now);
                if self.settle.is_zero() {
                    sent.stage = Stage::Released;
                    return Answer::Release(ReasonCode::SUCCESS);
                }
                sent.stage = Stage::Received;
                self.doubted.push_back((now, id));
                Answer::Nothing
            }
        }
    }

    pub(super) fn pubcomp(&mut self, id: NonZeroU16, now: Instant) -> Answer {
        match self.outgoing.get(&id).map(|sent| sent.stage) {
            None | Some(Stage::Completed) => Answer::Nothing,
            // "Packet identifier not found" says that the peer had completed it before the connection broke.
            Some(Stage::Released) => self.finish(id, ReasonCode::SUCCESS, now),
            Some(Stage::Published | Stage::Received) => Answer::Violation,
        }
    }

    /// Whether a QoS 2 publication is a repetition of one that the bus has.
    pub(super) fn has_received(&mut self, id: NonZeroU16, publish: &Publish) -> bool {
        let print = self.print(publish);
        let suspect = self.suspects.remove(&id);
        let held = self.incoming.insert(id, print);
        if let Some(other) = self.inherited.remove(&print) {
            if other != id && self.incoming.get(&other) == Some(&print) {
                self.incoming.remove(&other);
            }
            return true;
        }
        // Where the peer is doubted, an id may name another message than it did before.
        held == Some(print) || (suspect == Some(print) && !self.settle.is_zero())
    }

    /// The bus could not take it after all, so its repetition is to be taken.
    pub(super) fn not_received(&mut self, id: NonZeroU16) {
        self.incoming.remove(&id);
    }

    /// PUBREL came. False if its publication is unknown.
    pub(super) fn released(&mut self, id: NonZeroU16, now: Instant) -> bool {
        let Some(print) = self.incoming.remove(&id) else { return false };
        if !self.settle.is_zero() {
            self.inherited.remove(&print);
            self.forget_past(now);
            self.past.push_back((now, id, print));
        }
        true
    }

    fn forget_past(&mut self, now: Instant) {
        while self.past.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > self.settle) {
            self.past.pop_front();
        }
    }

    fn print(&self, publish: &Publish) -> u64 {
        if self.settle.is_zero() { 0 } else { self.hasher.hash_one((&*publish.topic, &*publish.payload)) }
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

    fn finish(&mut self, id: NonZeroU16, reason: ReasonCode, now: Instant) -> Answer {
        if let Some(sent) = self.outgoing.get(&id) {
            self.poison.answered(sent.token, sent.size);
        }
        if !reason.is_failure() && !self.settle.is_zero() {
            if let Some(sent) = self.outgoing.get_mut(&id).filter(|sent| sent.stage != Stage::Completed) {
                sent.stage = Stage::Completed;
                self.used -= usize::from(std::mem::take(&mut sent.counted));
                self.doubted.push_back((now, id));
            }
            return Answer::Nothing;
        }
        match self.remove(id) {
            None => Answer::Nothing,
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
