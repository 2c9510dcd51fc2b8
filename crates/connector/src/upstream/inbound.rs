//! From a peer onto the bus: names by rule, origin marked, loops cut.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use ratatosk_core::{
    Bus, Channel, Connector, MonitorEvent, Origin, Publication, PublishError, Qos, engine::Stored, message::Extras,
    stats::DropReason,
};

use super::fingerprint::Fingerprints;
use crate::rules::{ReplyMap, RuleSet};

/// A message as it came from a peer: canonical names, in the peer's naming.
#[derive(Debug)]
pub struct Inbound {
    /// The channel over there.
    pub channel: Channel,
    /// Opaque bytes.
    pub payload: Bytes,
    /// The quality of service it came with.
    pub qos: Qos,
    /// Whether the peer retains it.
    pub retain: bool,
    /// What is left of its life.
    pub expiry: Option<Duration>,
    /// The gateways it passed, oldest first (see [`super::hops`]).
    pub hops: Vec<Arc<str>>,
    /// The rare parts; `reply_to` is in the peer's naming.
    pub extras: Option<Box<Extras>>,
}

impl Inbound {
    /// A plain message, of no quality of service said ([`Qos::UNSAID`]).
    #[must_use]
    pub fn new(channel: Channel, payload: impl Into<Bytes>) -> Self {
        let payload = payload.into();
        Self { channel, payload, qos: Qos::UNSAID, retain: false, expiry: None, hops: Vec::new(), extras: None }
    }
}

/// What became of it. Acknowledge to the peer in every case but [`Taken::Pending`], where its end comes first.
pub enum Taken {
    /// The bus has it, and so has the engine.
    Stored,
    /// The bus has it; the engine will.
    Pending(ratatosk_core::engine::EngineFuture<'static, ()>),
    /// It was dropped for good reason, and counted.
    Dropped(DropReason),
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("Stored"),
            Self::Pending(_) => f.write_str("Pending"),
            Self::Dropped(reason) => write!(f, "Dropped({reason:?})"),
        }
    }
}

/// The inbound half of a bridge.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) bus: Bus,
    pub(super) connector: Connector,
    pub(super) upstream: Arc<str>,
    pub(super) rules: RuleSet,
    pub(super) replies: ReplyMap,
    pub(super) prints: Option<Arc<Mutex<Fingerprints>>>,
}

impl Intake {
    pub(super) fn take(&self, inbound: Inbound) -> Taken {
        let taken = self.place(inbound);
        // Told afterwards: whoever sees the event finds the message.
        self.bus.monitor().emit(MonitorEvent::UpstreamMessage { upstream: self.upstream.clone() });
        taken
    }

    fn place(&self, inbound: Inbound) -> Taken {
        if self.comes_back(&inbound) {
            return self.drop(DropReason::Loop);
        }
        let Some(publication) = self.translate(inbound) else { return self.drop(DropReason::Unmappable) };
        match self.bus.publish(publication) {
            Ok(receipt) => match receipt.stored {
                Stored::Done => Taken::Stored,
                Stored::Pending(end) => Taken::Pending(end),
            },
            // The bus has counted these.
            Err(PublishError::Loop) => Taken::Dropped(DropReason::Loop),
            Err(PublishError::Reserved) => Taken::Dropped(DropReason::Denied),
        }
    }

    fn comes_back(&self, inbound: &Inbound) -> bool {
        let Some(prints) = &self.prints else { return false };
        prints.lock().is_return(&inbound.channel, &inbound.payload, Instant::now())
    }

    fn drop(&self, reason: DropReason) -> Taken {
        self.bus.stats().dropped(self.connector, reason, 1);
        Taken::Dropped(reason)
    }

    fn translate(&self, inbound: Inbound) -> Option<Publication> {
        let (rule, channel) = self.rules.apply(&inbound.channel)?;
        let mut extras = inbound.extras;
        if let Some(extras) = extras.as_deref_mut() {
            extras.reply_to = extras.reply_to.take().map(|theirs| self.replies.inbound(&theirs, rule));
        }
        let mut origin = Origin::connector(self.connector);
        origin.upstream = Some(self.upstream.clone());
        if !inbound.hops.is_empty() {
            origin.hops = inbound.hops.into();
        }
        Some(Publication {
            channel,
            payload: inbound.payload,
            qos: inbound.qos,
            retain: inbound.retain && rule.options().retain,
            expiry: inbound.expiry,
            origin,
            extras,
        })
    }
}
