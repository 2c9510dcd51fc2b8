//! From a peer onto the bus: names by rule, origin marked, loops cut.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use ratatosk_core::{
    Bus, Channel, Connector, MonitorEvent, Origin, Publication, PublishError, Qos,
    engine::{EngineError, Stored},
    message::Extras,
    stats::DropReason,
};
use tokio::sync::oneshot;

use super::{
    fingerprint::Fingerprints,
    letters::{self, Lost},
    queue::{QueueLimits, WhenFull},
    workshop::{Job, Then, Workshop},
};
use crate::rules::{Direction, ReplyMap, Rule, RuleSet, Scene, Treatment, Verdict};

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

impl Taken {
    /// What became of several: all of them must be stored.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pending(one), Self::Pending(other)) => Self::Pending(Box::pin(async move {
                one.await?;
                other.await
            })),
            (Self::Pending(one), _) | (_, Self::Pending(one)) => Self::Pending(one),
            (_, last) => last,
        }
    }
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

/// What waits for the programs of inbound rules: a client side asks for admission long before it is full.
pub(super) const PROGRAMS: QueueLimits =
    QueueLimits { messages: 4096, bytes: 16 << 20, age: None, when_full: WhenFull::DropNewest };

/// The inbound half of a bridge.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) bus: Bus,
    pub(super) connector: Connector,
    pub(super) upstream: Arc<str>,
    pub(super) rules: RuleSet,
    pub(super) replies: ReplyMap,
    pub(super) prints: Option<Arc<Mutex<Fingerprints>>>,
    /// Where programs are run; none where no rule has any.
    pub(super) workshop: Option<Workshop>,
}

impl Intake {
    /// Waits while the bus, or a rule's programs, are behind.
    pub(super) async fn admission(&self) {
        self.bus.admission().await;
        if let Some(workshop) = &self.workshop {
            workshop.room().await;
        }
    }

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
        let Some((rule, from, publication)) = self.translate(inbound) else { return self.drop(DropReason::Unmappable) };
        match rule.treatment().filter(|treatment| treatment.changes_messages()) {
            None => self.publish(publication),
            Some(treatment) => self.treat(rule, treatment, from, publication),
        }
    }

    fn publish(&self, publication: Publication) -> Taken {
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

    fn treat(&self, rule: &Rule, treatment: &Treatment, channel: Channel, publication: Publication) -> Taken {
        let programs = treatment.has_programs().then_some(self.workshop.as_ref()).flatten();
        let Some(workshop) = programs else {
            let scene = Scene { upstream: &self.upstream, channel: &channel, publication: &publication };
            let verdict = treatment.judge(&scene, None, Instant::now());
            return self.follow(rule, &channel, &publication, verdict);
        };
        let (told, end) = oneshot::channel();
        if workshop.put(Job { rule: rule.clone(), channel, publication, then: Then::Publish(told) }) > 0 {
            return self.drop(DropReason::QueueFull);
        }
        // Whoever waits for it hears that it was not taken when the bridge ends before.
        Taken::Pending(Box::pin(async move {
            end.await.unwrap_or_else(|_| Err(EngineError("the bridge has ended".into())))
        }))
    }

    /// Does what a verdict says.
    fn follow(&self, rule: &Rule, channel: &Channel, publication: &Publication, verdict: Verdict) -> Taken {
        match verdict {
            Verdict::Crosses(made) => {
                made.into_iter().map(|publication| self.publish(publication)).fold(Taken::Stored, Taken::and)
            }
            Verdict::Filtered => Taken::Stored,
            Verdict::RateLimited => self.drop(DropReason::RateLimited),
            Verdict::Failed(failure) => {
                let content_type = publication.extras.as_deref().and_then(|extras| extras.content_type.as_deref());
                let (to, payload, hops) = (&publication.channel, &publication.payload, &publication.origin.hops);
                let lost = Lost { direction: Direction::In, channel, to, payload, content_type, hops };
                letters::send(&self.bus, &self.upstream, rule, &lost, &failure);
                self.drop(DropReason::Failed)
            }
        }
    }

    /// What follows when a program has judged.
    pub(super) async fn finish(&self, job: Job, verdict: Verdict) {
        let Job { rule, channel, publication, then } = job;
        let stored = match self.follow(&rule, &channel, &publication, verdict) {
            Taken::Pending(end) => end.await,
            Taken::Stored | Taken::Dropped(_) => Ok(()),
        };
        if let Then::Publish(told) = then {
            // Who does not acknowledge does not wait.
            let _ = told.send(stored);
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

    /// The rule that takes a message, the channel it came by, and what it is here.
    fn translate(&self, inbound: Inbound) -> Option<(&Rule, Channel, Publication)> {
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
        let (qos, retain) = rule.options().apply(inbound.qos, inbound.retain);
        let publication =
            Publication { channel, payload: inbound.payload, qos, retain, expiry: inbound.expiry, origin, extras };
        Some((rule, inbound.channel, publication))
    }
}
