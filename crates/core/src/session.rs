//! A session: a client's standing on the bus. It may outlive its connection.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;

use crate::{
    bus::Bus,
    channel::Filter,
    lane::Target,
    message::{Connector, Qos},
    monitor::MonitorEvent,
    peer::{Grant, Peer},
    presence::Standing,
};

pub(crate) use self::subscriptions::Subscriptions;

mod subscriptions;

/// A session's number, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a session or a connection ended. A bounded set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client said goodbye.
    Disconnect,
    /// The socket closed without a word.
    Closed,
    /// The client was silent for too long.
    Timeout,
    /// The outbox was full.
    Slow,
    /// The client broke the protocol.
    Protocol,
    /// It was not, or is no longer, allowed.
    Denied,
    /// Its token expired.
    Expired,
    /// Another connection took the session over.
    TakenOver,
    /// An operator ended it.
    Kicked,
    /// A limit was reached.
    Limit,
    /// The stream reached its greatest lifetime.
    Lifetime,
    /// The gateway is stopping.
    Drain,
    /// Reading or writing the socket failed.
    Io,
}

impl EndReason {
    /// The label in metrics and events.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Slow => "slow",
            Self::Protocol => "protocol",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::TakenOver => "taken_over",
            Self::Kicked => "kicked",
            Self::Limit => "limit",
            Self::Lifetime => "lifetime",
            Self::Drain => "drain",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Who opens a session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The client's id, as its protocol calls it.
    pub client_id: Arc<str>,
    /// The connector it came by.
    pub connector: Connector,
    /// The authenticated user.
    pub user: Option<Arc<str>>,
    /// Whether it is a client: an upstream's own session raises no client events and is not counted.
    pub is_client: bool,
}

impl SessionConfig {
    /// A client's session without a user.
    pub fn client(client_id: impl Into<Arc<str>>, connector: Connector) -> Self {
        Self { client_id: client_id.into(), connector, user: None, is_client: true }
    }
}

/// How a subscription takes its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The highest quality of service it takes.
    pub qos: Qos,
    /// Keep the session's own publications from it.
    pub no_local: bool,
    /// Pass the publisher's retain flag on.
    pub retain_as_published: bool,
    /// MQTT 5 subscription identifier.
    pub id: Option<u32>,
    /// The name of the shared subscription: each message goes to one member of the group.
    pub group: Option<Arc<str>>,
}

/// What subscribing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// Whether the session did not have the subscription before.
    pub new: bool,
    /// Every message after this position reaches the peer live; what came before is history.
    pub cut: u64,
}

/// What the bus and its lanes know of a session.
pub(crate) struct SessionCore {
    pub(crate) id: SessionId,
    pub(crate) config: SessionConfig,
    pub(crate) slot: u32,
    pub(crate) peer: Arc<dyn Peer>,
    pub(crate) opened: SystemTime,
    pub(crate) subscriptions: Mutex<Subscriptions>,
    /// Made when the session is first present somewhere: most never are.
    pub(crate) standing: Mutex<Option<Box<Standing>>>,
    /// Whether its client id names someone.
    pub(crate) appears_as_client: AtomicBool,
    ended: AtomicBool,
}

impl fmt::Debug for SessionCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("client_id", &self.config.client_id)
            .finish_non_exhaustive()
    }
}

impl SessionCore {
    pub(crate) fn new(id: SessionId, config: SessionConfig, slot: u32, peer: Arc<dyn Peer>) -> Self {
        let (opened, subscriptions, standing) = (SystemTime::now(), Mutex::default(), Mutex::default());
        Self {
            id,
            config,
            slot,
            peer,
            opened,
            subscriptions,
            standing,
            appears_as_client: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn target(&self, grant: Grant) -> Target {
        Target { session: self.id, connector: self.config.connector, slot: self.slot, peer: self.peer.clone(), grant }
    }
}

impl SessionId {
    /// Sessions are dealt to the lanes in turn.
    pub(crate) fn lane(self, lanes: usize) -> usize {
        usize::try_from(self.0 % lanes.max(1) as u64).unwrap_or(0)
    }
}

/// What an operator may see of a session.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Its number.
    pub id: SessionId,
    /// Its client id.
    pub client_id: Arc<str>,
    /// Its connector.
    pub connector: Connector,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// When it began.
    pub opened: SystemTime,
    /// What it is subscribed to.
    pub subscriptions: Vec<Filter>,
}

/// A client's standing on the bus. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    pub(crate) bus: Bus,
    pub(crate) core: Arc<SessionCore>,
}

impl Session {
    /// Its number: goes into the origin of what it publishes.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.core.id
    }

    /// Its client id.
    #[must_use]
    pub fn client_id(&self) -> &Arc<str> {
        &self.core.config.client_id
    }

    /// The bus it stands on.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Subscribes, or replaces the subscription to the same filter without a gap.
    pub fn subscribe(&self, filter: Filter, options: SubscribeOptions) -> Subscribed {
        let mut cut = 0;
        let changes = self.subscribe_all(vec![(filter, options)], &mut cut);
        Subscribed { new: changes.first().copied().unwrap_or(false), cut }
    }

    /// Subscribes to several filters at one cut. Answers, for each, whether the session did not have it before.
    pub fn subscribe_all(&self, filters: Vec<(Filter, SubscribeOptions)>, cut: &mut u64) -> Vec<bool> {
        let order = self.bus.changes_in_order(filters.iter().map(|(filter, _)| filter));
        let (changes, at) = self.bus.add_interest(&self.core, &filters);
        *cut = at;
        let mut subscriptions = self.core.subscriptions.lock();
        filters.iter().for_each(|(filter, options)| subscriptions.insert(filter.clone(), options.clone()));
        drop(subscriptions);
        let config = &self.core.config;
        for (change, (filter, _)) in
            changes.iter().zip(&filters).filter(|(_, (filter, _))| config.is_client && !filter.is_hidden())
        {
            if change.filter {
                self.bus.monitor().emit(MonitorEvent::CreatedChannel { channel: filter.clone() });
            }
            if change.subscription {
                let (client_id, connector) = (config.client_id.clone(), config.connector);
                let channel = filter.clone();
                self.bus.monitor().emit(MonitorEvent::ClientSubscribed { client_id, connector, channel });
            }
        }
        drop(order);
        self.enter_all_by_rule(&filters);
        changes.iter().map(|change| change.subscription).collect()
    }

    /// Ends the subscription to exactly this filter, if there is one.
    pub fn unsubscribe(&self, filter: &Filter) -> bool {
        self.unsubscribe_group(filter, None)
    }

    /// Ends the membership in a shared subscription, or with `None` the plain subscription.
    pub fn unsubscribe_group(&self, filter: &Filter, group: Option<&Arc<str>>) -> bool {
        let removed = self.core.subscriptions.lock().remove(filter, group);
        removed && self.leave(filter, group)
    }

    /// What it is subscribed to.
    #[must_use]
    pub fn filters(&self) -> Vec<Filter> {
        self.core.subscriptions.lock().filters().cloned().collect()
    }

    /// Its subscriptions, with how each takes its messages.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(Filter, SubscribeOptions)> {
        self.core.subscriptions.lock().iter().cloned().collect()
    }

    /// How many subscriptions it has.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.core.subscriptions.lock().len()
    }

    /// Ends the session.
    pub fn close(self, reason: EndReason) {
        self.end(reason);
    }

    fn leave(&self, filter: &Filter, group: Option<&Arc<str>>) -> bool {
        if group.is_none() {
            self.leave_roster(filter);
        }
        let _order = self.bus.changes_in_order(std::iter::once(filter));
        let change = self.bus.remove_interest(self.core.id, filter, group);
        let config = &self.core.config;
        let is_told = config.is_client && !filter.is_hidden();
        if is_told && change.subscription {
            let (client_id, connector) = (config.client_id.clone(), config.connector);
            let channel = filter.clone();
            self.bus.monitor().emit(MonitorEvent::ClientUnsubscribed { client_id, connector, channel });
        }
        if is_told && change.filter {
            self.bus.monitor().emit(MonitorEvent::DestroyedChannel { channel: filter.clone() });
        }
        change.subscription
    }

    fn end(&self, reason: EndReason) {
        if self.core.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let subscriptions = std::mem::take(&mut *self.core.subscriptions.lock());
        for (filter, options) in subscriptions.iter() {
            self.leave(filter, options.group.as_ref());
        }
        self.leave_all_rosters();
        self.bus.forget(&self.core);
        let config = &self.core.config;
        if config.is_client {
            let (client_id, connector) = (config.client_id.clone(), config.connector);
            self.bus.monitor().emit(MonitorEvent::DestroyedClient { client_id, connector, reason });
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(EndReason::Closed);
    }
}
