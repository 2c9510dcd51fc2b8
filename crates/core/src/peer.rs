//! The far end of a session: what takes messages from the bus.

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use crate::lane::Run;
use crate::{
    channel::Filter,
    message::{Form, Message, Qos},
    session::{EndReason, SubscribeOptions},
};

/// A shared subscription: each message goes to one of those who subscribe to the filter under the name (MQTT 5.0 section 4.8.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Share {
    /// What is subscribed to.
    pub filter: Filter,
    /// The group's name.
    pub name: Arc<str>,
}

/// How one session takes the messages of one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The highest quality of service it takes.
    pub qos: Qos,
    /// Whether its own publications are kept from it.
    pub no_local: bool,
    /// Whether the publisher's retain flag is passed on (MQTT 5.0 section 3.8.3.1).
    pub retain_as_published: bool,
    /// Subscription identifiers of all its subscriptions that matched, ascending (MQTT 5.0 section 3.3.2.3.8).
    pub ids: Option<Arc<[u32]>>,
    /// The shared subscription that the message was dealt by: another member may get it in this one's stead.
    pub share: Option<Arc<Share>>,
}

impl From<&SubscribeOptions> for Grant {
    fn from(options: &SubscribeOptions) -> Self {
        Self {
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            ids: options.id.map(|id| Arc::from([id])),
            share: None,
        }
    }
}

impl Grant {
    /// One grant for a message that several subscriptions of a session match: it is sent once.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.qos = self.qos.max(other.qos);
        self.no_local &= other.no_local;
        self.retain_as_published |= other.retain_as_published;
        if let Some(theirs) = &other.ids {
            let mut ids: Vec<u32> =
                self.ids.iter().flat_map(|ours| ours.iter()).chain(theirs.iter()).copied().collect();
            ids.sort_unstable();
            ids.dedup();
            self.ids = Some(ids.into());
        }
    }
}

/// What a peer did with a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages written to the socket or handed to the consumer now; those that wait are counted when they leave.
    pub messages: u32,
    /// Bytes of them on the wire.
    pub bytes: u64,
}

/// What waits in memory for a session's client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages.
    pub messages: usize,
    /// Bytes of them, by [`crate::Message::weight`], and of what is encoded already.
    pub bytes: usize,
}

impl std::ops::Add for Backlog {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// One session's end of the bus.
///
/// The lane calls [`Peer::deliver`] once per batch. It must not block: it writes what the socket takes and
/// keeps the rest in a bounded [`crate::Outbox`].
pub trait Peer: Send + Sync + 'static {
    /// Takes the messages of a run, in order.
    fn deliver(&self, run: &mut Run<'_>) -> Delivered;

    /// Asks the session to end, telling its client in the protocol's own words. It may be called more than once.
    fn end(&self, reason: EndReason);

    /// What waits for the session now.
    fn backlog(&self) -> Backlog {
        Backlog::default()
    }

    /// Memory is short: the session meets the policy of its outbox now, as if that were full. One that may lose messages loses
    /// the older half of what waits; one that may not ends.
    fn relieve(&self) {
        self.end(EndReason::Slow);
    }

    /// Whether a shared subscription may choose this session now.
    fn is_live(&self) -> bool {
        true
    }
}

impl fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

/// The bytes of a run in one wire form.
#[derive(Debug)]
pub enum Frames {
    /// All frames joined, shared by every session with the same run.
    Joined(Bytes),
    /// The frames are large: write them one by one, or vectored.
    Each(Vec<Bytes>),
}

/// Encodes a message for a form; called once per message and form.
pub type Encode<'a> = &'a dyn Fn(&Message) -> Bytes;

impl Run<'_> {
    /// The run's frames in a form that does not depend on the grant.
    pub fn frames(&mut self, form: Form, encode: Encode<'_>) -> Frames {
        self.join(form, encode)
    }
}
