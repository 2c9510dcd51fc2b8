//! The state of one session: its queue, its held connect, its deadlines.

use std::sync::Arc;

use ratatosk_core::{EndReason, SlowPolicy};

use crate::proto::{
    Millis,
    handshake::Agreed,
    queue::{Item, Limits, Pushed, Queue},
    subscriptions::Subscriptions,
    timesync,
};

/// What a mount offers all its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Connection types on offer, in the server's order.
    pub connection_types: Vec<&'static str>,
    /// How long a connect is held.
    pub timeout: Millis,
    /// How long a client is to wait between two connects.
    pub interval: Millis,
    /// How much longer than its interval a session lives without a connect.
    pub max_interval: Millis,
    /// The longest timeout or interval that a client's advice can ask for.
    pub max_client_span: Millis,
    /// How long a client should wait for its next connect when its browser holds too many sessions.
    pub multiple_clients_interval: Millis,
    /// Bounds of a session's queue.
    pub queue: Limits,
    /// The most subscriptions of a session.
    pub max_subscriptions: usize,
    /// Whether the acknowledgement extension is on offer.
    pub ack: bool,
    /// Whether the replay extension is on offer.
    pub replay: bool,
    /// Whether every reply carries a timestamp, and not only those to clients that send one.
    pub timestamp: bool,
    /// Whether messages come with replies to connects only (CometD's `metaConnectDeliveryOnly`).
    pub connect_only: bool,
    /// The activity extension: the longest silence but for connects.
    pub max_inactivity: Option<Millis>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            connection_types: vec![
                "websocket",
                "eventsource",
                "long-polling",
                "cross-origin-long-polling",
                "callback-polling",
            ],
            timeout: 30_000,
            interval: 0,
            max_interval: 10_000,
            max_client_span: 600_000,
            multiple_clients_interval: 2000,
            queue: Limits { messages: 16_384, bytes: 4 << 20, policy: SlowPolicy::Disconnect },
            max_subscriptions: 1024,
            ack: true,
            replay: true,
            timestamp: false,
            connect_only: false,
            max_inactivity: None,
        }
    }
}

impl Terms {
    /// Whether the connection type is on offer.
    #[must_use]
    pub fn offers(&self, connection_type: &str) -> bool {
        self.connection_types.contains(&connection_type)
    }
}

/// A connect that is held. Its reply needs what the request said.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) id: Option<Box<str>>,
    pub(super) received: Millis,
    pub(super) deadline: Millis,
    pub(super) timesync: Option<timesync::Request>,
    pub(super) advice: bool,
    pub(super) timestamp: bool,
    pub(super) interval: Option<Millis>,
}

/// What is to be done for a session whose deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet: the deadline has moved.
    Later,
    /// The held connect has been held long enough.
    Answer,
    /// The session is over.
    Expire(EndReason),
}

/// One session. `M` is a message that waits for it.
#[derive(Debug)]
pub struct Session<M> {
    pub(super) id: Arc<str>,
    pub(super) terms: Arc<Terms>,
    pub(super) agreed: Agreed,
    pub(super) queue: Queue<M>,
    pub(super) subscriptions: Subscriptions,
    pub(super) hold: Option<Box<Hold>>,
    pub(super) connected: bool,
    pub(super) event_source: bool,
    pub(super) expires: Millis,
    pub(super) active: Millis,
    pub(super) ended: Option<EndReason>,
}

impl<M: Item> Session<M> {
    /// A session that has just shaken hands.
    #[must_use]
    pub fn new(id: Arc<str>, terms: Arc<Terms>, agreed: Agreed, now: Millis) -> Self {
        let queue = Queue::new(terms.queue);
        let mut session = Self {
            id,
            terms,
            agreed,
            queue,
            subscriptions: Subscriptions::default(),
            hold: None,
            connected: false,
            event_source: false,
            expires: 0,
            active: now,
            ended: None,
        };
        session.extend(now);
        session
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What client and server agreed on.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// What it is subscribed to.
    #[must_use]
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Whether a connect is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Why it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    /// How many messages wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many messages and bytes are held, unacknowledged ones included.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.queue.held(), self.queue.bytes())
    }

    /// Memory is short: gives up the older half of what is held, and says how many messages that were; `None` if the session may
    /// not lose any, so that it is to end.
    pub fn shed(&mut self) -> Option<u32> {
        (self.queue.policy() != SlowPolicy::Disconnect).then(|| self.queue.shed())
    }

    /// Whether messages may go straight to a socket: nothing waits before them, and no batch must be acknowledged.
    #[must_use]
    pub fn can_stream(&self) -> bool {
        !self.agreed.ack && self.queue.is_empty() && self.ended.is_none()
    }

    /// Adds a message. Afterwards a held connect is to be answered, see [`Self::should_answer`].
    pub fn push(&mut self, message: M) -> Pushed {
        self.queue.push(message)
    }

    /// Whether the held connect has something to carry.
    #[must_use]
    pub fn should_answer(&self) -> bool {
        self.hold.is_some() && !self.queue.is_empty()
    }

    /// Takes what waits, for a reply other than a connect's or for a stream.
    pub fn take_waiting(&mut self) -> Vec<M> {
        if self.agreed.ack { Vec::new() } else { self.queue.take() }
    }

    /// Puts back messages whose carrier turned out to be gone. With the acknowledgement extension they are kept
    /// anyway, and the next connect asks for them.
    pub fn put_back(&mut self, messages: Vec<M>) {
        if !self.agreed.ack {
            self.queue.put_back(messages);
        }
    }

    /// The carrier of the held connect is gone: the session lives on for its interval.
    pub fn release(&mut self, now: Millis) {
        if self.hold.take().is_some() {
            self.extend(now);
        }
    }

    /// Ends the session; the first reason stays.
    pub fn end(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
    }

    /// When [`Self::on_deadline`] wants to be called; `None` once the session has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        if self.ended.is_some() {
            return None;
        }
        let own = self.hold.as_ref().map_or(self.expires, |hold| hold.deadline);
        Some(self.inactive_at().map_or(own, |at| at.min(own)))
    }

    /// A deadline may have come.
    #[must_use]
    pub fn on_deadline(&self, now: Millis) -> Due {
        if self.ended.is_some() {
            return Due::Later;
        }
        if self.inactive_at().is_some_and(|at| at <= now) {
            return Due::Expire(EndReason::Timeout);
        }
        match &self.hold {
            Some(hold) if hold.deadline <= now => Due::Answer,
            None if self.expires <= now => Due::Expire(EndReason::Timeout),
            _ => Due::Later,
        }
    }

    fn inactive_at(&self) -> Option<Millis> {
        self.terms.max_inactivity.map(|span| self.active.saturating_add(span))
    }

    pub(super) fn interval(&self) -> Millis {
        if self.event_source { self.timeout() } else { self.agreed.interval.unwrap_or(self.terms.interval) }
    }

    pub(super) fn timeout(&self) -> Millis {
        self.agreed.timeout.unwrap_or(self.terms.timeout)
    }

    /// The session has shown life: it lives for its interval and the grace from now.
    pub(super) fn extend(&mut self, now: Millis) {
        self.extend_by(now, self.interval());
    }

    pub(super) fn extend_by(&mut self, now: Millis, interval: Millis) {
        self.expires = now.saturating_add(interval).saturating_add(self.terms.max_interval);
    }
}
