//! One client's session as the bus sees it.

use std::{
    io,
    num::NonZeroU16,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use ratatosk_connector::access::Rights;
use ratatosk_core::{
    Backlog, Delivered, EndReason, Filter, Origin, Peer, Run, Session, SessionConfig, SessionId, peer::Share,
    stats::DropReason,
};

use super::{
    Shared,
    parcel::{Orphans, Parcel},
    state::State,
    wire::{End, Wire},
};
use crate::{
    mapping::CONNECTOR,
    proto::{
        codec::{Packet, Qos, ReasonCode},
        session::{Event, Fault},
    },
};

pub(super) struct Client {
    /// Itself, for lists that outlive a call.
    pub(super) me: Weak<Self>,
    pub(super) id: Arc<str>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    pub(super) session: Mutex<Option<Session>>,
    /// Whether it has a connection: asked by the bus while it holds locks, so it must not need ours.
    pub(super) live: AtomicBool,
    user: Option<Arc<str>>,
    member: OnceLock<SessionId>,
}

/// How a connection stands after a flush.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flushed {
    /// The socket took all that may be sent now.
    pub(super) clear: bool,
    /// Bytes that wait for the socket.
    pub(super) backlog: usize,
}

impl Client {
    /// A client with its session on the bus.
    pub(super) fn open(shared: &Arc<Shared>, id: Arc<str>, user: Option<Arc<str>>) -> Arc<Self> {
        let state = State::new(shared.settings.bounds, shared.settings.each);
        let client = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            id: id.clone(),
            shared: shared.clone(),
            state: Mutex::new(state),
            session: Mutex::default(),
            live: AtomicBool::new(false),
            user: user.clone(),
            member: OnceLock::new(),
        });
        let config = SessionConfig { user, ..SessionConfig::client(id, *CONNECTOR) };
        let session = shared.bus.open_session(config, client.clone());
        session.appear_as_client();
        let _ = client.member.set(session.id()); // nobody else has seen the client yet
        *client.session.lock() = Some(session);
        client
    }

    /// Where its publications come from.
    pub(super) fn origin(&self) -> Origin {
        let (client_id, user) = (Some(self.id.clone()), self.user.clone());
        Origin { session: self.member(), client_id, user, ..Origin::connector(*CONNECTOR) }
    }

    /// Its number on the bus.
    pub(super) fn member(&self) -> Option<SessionId> {
        self.member.get().copied()
    }

    /// Whether its connection is there: without one it is in no roster, however long its session stays.
    pub(super) fn set_present(&self, present: bool) {
        if let Some(session) = &*self.session.lock() {
            session.set_present(present);
        }
    }

    /// Whether another member of the shared subscription is there to deliver in this one's stead.
    pub(super) fn is_replaceable(&self, share: &Share) -> bool {
        self.member().is_some_and(|member| self.shared.bus.has_other_live(share, member))
    }

    /// Whether a client with these rights may take the session over: a user's session is for that user alone.
    pub(super) fn is_of(&self, rights: &Rights) -> bool {
        self.user.as_ref().is_none_or(|user| rights.user() == Some(user))
    }

    /// Gives up the subscriptions that the client may no longer have, with what waits for it because of them. Other members are
    /// to have what came by a shared one.
    pub(super) fn narrow(&self, rights: &Rights, orphans: &mut Orphans) {
        let (mut lost, mut left) = (Vec::new(), Vec::new());
        if let Some(session) = &*self.session.lock() {
            for (filter, options) in session.subscriptions() {
                if self.shared.auth.may_subscribe(rights, &filter) {
                    left.push(filter);
                } else {
                    session.unsubscribe_group(&filter, options.group.as_ref());
                    lost.push(filter);
                }
            }
        }
        if lost.is_empty() {
            return;
        }
        let within =
            |filters: &[Filter], parcel: &Parcel| filters.iter().any(|filter| filter.matches(&parcel.message.channel));
        let mut state = self.state.lock();
        self.shared.keeper.note_messages(self, &mut state);
        let taken = state.machine.withdraw(true, |parcel| within(&lost, parcel) && !within(&left, parcel));
        let denied = taken.iter().filter(|parcel| parcel.share.is_none()).count();
        self.shared.bus.stats().dropped(*CONNECTOR, DropReason::Denied, denied as u64);
        orphans.extend(taken);
    }

    /// Ends its standing on the bus.
    pub(super) fn close_session(&self, reason: EndReason) {
        let session = self.session.lock().take();
        if let Some(session) = session {
            session.close(reason);
        }
    }

    /// Gives the machine a packet that came by a connection.
    pub(super) fn receive(&self, wire: &Arc<Wire>, packet: Packet, out: &mut Vec<u8>) -> Result<Event, Received> {
        let mut state = self.state.lock();
        if !state.is_on(wire) {
            return Err(Received::Elsewhere);
        }
        self.shared.keeper.note_messages(self, &mut state);
        state.machine.receive(packet, out).map_err(Received::Fault)
    }

    /// Takes the plain PUBACKs that received bytes begin with: how many bytes they are.
    pub(super) fn acknowledge(&self, wire: &Arc<Wire>, bytes: &[u8]) -> Result<usize, Received> {
        let mut state = self.state.lock();
        if !state.is_on(wire) {
            return Err(Received::Elsewhere);
        }
        self.shared.keeper.note_messages(self, &mut state);
        state.machine.acknowledge(bytes).map_err(Received::Fault)
    }

    /// Answers a publication.
    pub(super) fn published(&self, qos: Qos, id: Option<NonZeroU16>, reason: ReasonCode, out: &mut Vec<u8>) {
        if qos != Qos::AtMostOnce {
            self.state.lock().machine.published(qos, id, reason, out);
        }
    }

    /// Sends answers, then what waits.
    pub(super) fn flush(&self, wire: &Arc<Wire>, answers: &[u8], count: u64) -> io::Result<Flushed> {
        let mut state = self.state.lock();
        if !state.is_on(wire) {
            return Ok(Flushed { clear: true, backlog: 0 });
        }
        if !answers.is_empty() {
            state.answer(&self.shared, answers, count)?;
        }
        state.subscribing = false;
        let clear = state.flush(&self.shared)?;
        Ok(Flushed { clear, backlog: state.outlet.len() })
    }
}

/// Why a packet was not taken.
#[derive(Debug)]
pub(super) enum Received {
    /// The session has another connection by now.
    Elsewhere,
    /// It breaks the protocol.
    Fault(Fault),
}

impl Peer for Client {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let mut state = self.state.lock();
        self.shared.keeper.note_messages(self, &mut state);
        if state.wire.is_some() || !run.iter().any(|(_, grant)| grant.share.is_some()) {
            return state.deliver(&self.shared, run);
        }
        let mut orphans = Orphans::default();
        let delivered = state.deliver_away(self, run, &mut orphans);
        drop(state);
        orphans.deal(self);
        delivered
    }

    fn end(&self, reason: EndReason) {
        let wire = self.state.lock().wire.clone();
        match wire {
            Some(wire) => wire.end(End::from(reason)),
            None => super::registry::forget(self, reason),
        }
    }

    fn backlog(&self) -> Backlog {
        self.state.lock().backlog()
    }

    fn relieve(&self) {
        let mut state = self.state.lock();
        state.relieve(&self.shared);
        self.shared.keeper.note_messages(self, &mut state);
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }
}
