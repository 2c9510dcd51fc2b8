use std::{num::NonZeroU16, sync::Arc, time::Instant};

use crate::proto::codec::{Qos, Template, TemplateKind};

/// A message as a session sees it: something that can be written, and that may expire.
pub trait Outgoing: Clone {
    /// The message encoded in a form, made once for all sessions; `None` if MQTT cannot express it.
    fn template(&self, kind: TemplateKind) -> Option<Template>;

    /// Its topic, for topic aliases.
    fn topic(&self) -> &str;

    /// Seconds left of its life, rounded up: `None` if it never expires, 0 if it has.
    fn expires_in(&self, now: Instant) -> Option<u32>;

    /// What it weighs against a queue's bound, in bytes.
    fn weight(&self) -> usize;
}

/// One delivery: a message and how this session takes it.
#[derive(Debug, Clone)]
pub struct Item<M> {
    /// What to deliver.
    pub message: M,
    /// The lower of the publication's and the subscription's QoS.
    pub qos: Qos,
    /// The RETAIN flag it is sent with.
    pub retain: bool,
    /// Identifiers of the subscriptions that matched; none of them 0.
    pub ids: Option<Arc<[u32]>>,
}

impl<M> Item<M> {
    pub(super) fn ids(&self) -> &[u32] {
        self.ids.as_deref().unwrap_or_default()
    }
}

/// What a session remembers of its deliveries: enough to go on in another process.
#[derive(Debug, Clone)]
pub struct Past<M> {
    /// What was sent and not acknowledged to the end, in order; without an item where only PUBREL is to be sent again.
    pub flights: Vec<(NonZeroU16, Option<Item<M>>)>,
    /// What waits with QoS 1 and 2, in order.
    pub waiting: Vec<Item<M>>,
    /// Packet identifiers of the client's QoS 2 publications that it has not released, ascending.
    pub received: Vec<u16>,
}

impl<M> Default for Past<M> {
    fn default() -> Self {
        Self { flights: Vec::new(), waiting: Vec::new(), received: Vec::new() }
    }
}

/// What became of deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages written.
    pub sent: u32,
    /// Bytes written for them.
    pub bytes: u64,
    /// Messages whose life had passed.
    pub expired: u32,
    /// Messages larger than the client takes; the standard has them count as delivered (MQTT 5, 3.1.2-25).
    pub too_large: u32,
    /// Messages dropped because too many waited.
    pub full: u32,
    /// Too many waited and the policy is to disconnect.
    pub overflow: bool,
}
