//! Monitor events: what happens inside, told to any number of handlers.
//!
//! They are raised by the bus, by sessions and by the supervisor of upstreams on real changes of state
//! only, so that every protocol raises the same ones with the same meaning.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;

use crate::{
    channel::Filter,
    message::{Connector, Message},
    session::EndReason,
};

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MonitorEvent {
    /// A session began.
    CreatedClient {
        /// Its client id.
        client_id: Arc<str>,
        /// Its connector.
        connector: Connector,
    },
    /// A session ended.
    DestroyedClient {
        /// Its client id.
        client_id: Arc<str>,
        /// Its connector.
        connector: Connector,
        /// Why.
        reason: EndReason,
    },
    /// A channel, or a wildcard filter, got its first subscriber.
    CreatedChannel {
        /// Which.
        channel: Filter,
    },
    /// The last subscriber left.
    DestroyedChannel {
        /// Which.
        channel: Filter,
    },
    /// A session subscribed to something it was not subscribed to.
    ClientSubscribed {
        /// Its client id.
        client_id: Arc<str>,
        /// Its connector.
        connector: Connector,
        /// To what.
        channel: Filter,
    },
    /// A session's subscription ended.
    ClientUnsubscribed {
        /// Its client id.
        client_id: Arc<str>,
        /// Its connector.
        connector: Connector,
        /// To what.
        channel: Filter,
    },
    /// A message was accepted for publication. Raised only while a handler wants messages.
    ReceivedMessage {
        /// The message; `origin.client_id` is none for the gateway's own.
        message: Arc<Message>,
    },
    /// A message was written to one subscriber. Raised only while a handler wants messages.
    DeliveredMessage {
        /// The message; `origin.client_id` is the sender's.
        message: Arc<Message>,
        /// The receiver's connector.
        connector: Connector,
    },
    /// A message that is traced has its position and is on its way. Raised for those alone.
    TracedMessage {
        /// The message, with its span.
        message: Arc<Message>,
    },
    /// A message that is traced was written to subscribers.
    TracedDelivery {
        /// The message, with its span.
        message: Arc<Message>,
        /// The receivers' connector.
        connector: Connector,
        /// How many of them, in this pass of their lane.
        deliveries: u64,
    },
    /// A connection was accepted by a connector's server side.
    ConnectionOpened {
        /// Which connector.
        connector: Connector,
    },
    /// A connection ended.
    ConnectionClosed {
        /// Which connector.
        connector: Connector,
        /// Why.
        reason: EndReason,
    },
    /// A client broke its protocol, or asked for what is refused.
    ProtocolFault {
        /// By which connector it came.
        connector: Connector,
        /// What it did: one of a bounded set of names, in snake case.
        fault: &'static str,
    },
    /// An upstream came up or went down.
    UpstreamStatus {
        /// Its name.
        upstream: Arc<str>,
        /// Whether it is up now.
        up: bool,
        /// Why, in a few words; empty when it is up.
        reason: Arc<str>,
    },
    /// An upstream answered a keep-alive.
    UpstreamPing {
        /// Its name.
        upstream: Arc<str>,
        /// Round trip.
        round_trip: Duration,
    },
    /// An upstream subscription is live, also again after a reconnect.
    SubscriptionConnected {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The filter, in the upstream's naming.
        filter: Arc<str>,
    },
    /// An upstream subscription was lost or refused.
    SubscriptionDisconnected {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The filter, in the upstream's naming.
        filter: Arc<str>,
        /// Why, in a few words.
        reason: Arc<str>,
    },
    /// A message came from an upstream.
    UpstreamMessage {
        /// Its name.
        upstream: Arc<str>,
    },
    /// A subscriber resumed: `complete`, `partial`, `epoch` (the stream was lost) or `invalid`.
    Resumed {
        /// The result's label.
        result: &'static str,
    },
    /// Someone was let in or turned away.
    Authenticated {
        /// By which connector.
        connector: Connector,
        /// `allowed` or `denied`.
        allowed: bool,
    },
    /// Metrics or spans were pushed to a collector, or were not.
    Exported {
        /// `metrics`, counted in pushes, or `traces`, counted in spans.
        signal: &'static str,
        /// `ok`, `failed` (what is tried again) or `dropped`.
        result: &'static str,
        /// How many.
        count: u64,
    },
    /// A limit turned a connection, a session or a request away.
    Limited {
        /// By which connector it came.
        connector: Connector,
        /// Which limit: one of a bounded set of names, in snake case.
        limit: &'static str,
    },
    /// Memory was short, and sessions had to give up what waited for them.
    Relieved {
        /// How many.
        sessions: usize,
    },
    /// Certificates were read again.
    CertificatesReloaded {
        /// Whether they were taken.
        ok: bool,
    },
    /// Configuration was read again.
    ConfigReloaded {
        /// Whether it was taken.
        ok: bool,
    },
}

/// An event with its time.
#[derive(Debug, Clone)]
pub struct Monitored {
    /// When it was raised.
    pub at: SystemTime,
    /// What happened.
    pub event: MonitorEvent,
}

/// Takes monitor events. It is called where the event happens, so it must be quick and must not block;
/// slow work belongs behind a bounded queue of the handler's own.
pub trait MonitorHandler: Send + Sync + 'static {
    /// Something happened.
    fn handle(&self, event: &Monitored);

    /// Whether the two per-message events are wanted. They cost per delivery, so they are raised only on demand.
    fn wants_messages(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Inner {
    handlers: ArcSwap<Vec<Arc<dyn MonitorHandler>>>,
    wants_messages: AtomicBool,
}

/// The list of handlers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Monitor(Arc<Inner>);

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("handlers", &self.0.handlers.load().len()).finish()
    }
}

impl Monitor {
    /// Adds a handler; it sees every event from now on.
    pub fn add(&self, handler: Arc<dyn MonitorHandler>) {
        self.0.wants_messages.fetch_or(handler.wants_messages(), Ordering::Relaxed);
        self.0.handlers.rcu(|handlers| {
            let mut handlers = Vec::clone(handlers);
            handlers.push(handler.clone());
            handlers
        });
    }

    /// Raises an event.
    pub fn emit(&self, event: MonitorEvent) {
        let handlers = self.0.handlers.load();
        if handlers.is_empty() {
            return;
        }
        let monitored = Monitored { at: SystemTime::now(), event };
        handlers.iter().for_each(|handler| handler.handle(&monitored));
    }

    /// Whether any handler wants per-message events.
    pub(crate) fn wants_messages(&self) -> bool {
        self.0.wants_messages.load(Ordering::Relaxed)
    }

    pub(crate) fn traced(&self, message: &Arc<Message>, connector: Connector, deliveries: u64) {
        self.emit(MonitorEvent::TracedDelivery { message: message.clone(), connector, deliveries });
    }

    pub(crate) fn delivered(&self, message: &Arc<Message>, connector: Connector) {
        self.emit(MonitorEvent::DeliveredMessage { message: message.clone(), connector });
    }
}
