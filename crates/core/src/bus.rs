//! The bus: where every connector's messages meet.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;

use crate::{
    channel::{Channel, Filter},
    engine::{Engine, EngineError, Replay, Stored},
    interest::{Change, Interest, Matched},
    lane::{Entry, Lane, Targets},
    message::{Connector, Message, Position, Publication},
    monitor::{Monitor, MonitorEvent},
    peer::{Grant, Peer},
    presence::{self, Presence},
    rule::{ChannelRule, Rules},
    session::{EndReason, Session, SessionConfig, SessionCore, SessionId, SubscribeOptions},
    stats::{DropReason, Stats},
    trace::Tracer,
};

mod relief;
mod sessions;
mod share;
mod traced;
mod view;

pub use relief::Relief;
pub use sessions::SessionQuery;

/// Channels whose matched set is cached; past it the cache starts anew.
const CACHED_CHANNELS: usize = 65_536;

/// Locks that order the telling of changes of interest.
const CHANGE_LOCKS: usize = 16;

/// How a bus is made.
#[derive(Debug)]
pub struct BusConfig {
    /// This gateway's id: the mark that messages carry from gateway to gateway.
    pub gateway_id: Arc<str>,
    /// The name of this life of the sequence; ASCII letters and digits.
    pub epoch: Arc<str>,
    /// How many lanes fan out; one per core is right.
    pub lanes: usize,
    /// What is kept, channel by channel.
    pub rules: Rules,
    /// Where it is kept.
    pub engine: Arc<dyn Engine>,
}

/// A message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It passed this gateway before, or too many others.
    #[error("the message has passed this gateway already")]
    Loop,
    /// Only the gateway itself publishes below `$monitor`, `$presence` and `$SYS/broker`, and only its owner below a prefix
    /// that was reserved ([`Bus::reserve`]).
    #[error("only the gateway itself publishes there")]
    Reserved,
}

/// What became of a publication.
#[derive(Debug)]
pub struct Receipt {
    /// Its position.
    pub seq: u64,
    /// Whether anyone is subscribed to it here.
    pub matched: bool,
    /// When it is safe with the engine.
    pub stored: Stored,
}

/// What the bus remembers of a channel that was published to.
#[derive(Debug)]
struct Route {
    rule: Arc<ChannelRule>,
    matched: Matched,
    stores: bool,
}

struct Inner {
    gateway_id: Arc<str>,
    epoch: Arc<str>,
    seq: AtomicU64,
    /// Held while a position is given and the message put into the lanes, so that every subscriber sees
    /// positions in order over all its channels. Messages that nobody takes do not need it.
    sequencer: Mutex<()>,
    interest: RwLock<Interest>,
    /// By filter: held from a change of interest until it is told, so that a channel's creations and destructions are heard
    /// in the order in which they happened.
    changes: [Mutex<()>; CHANGE_LOCKS],
    hasher: RandomState,
    /// Counts every change of interest.
    version: AtomicU64,
    /// A route is emptied before it is removed: the map frees what it drops in batches, whenever one is full, and a
    /// route holds its subscribers' sockets open.
    routes: papaya::HashMap<Channel, ArcSwapOption<Route>>,
    rules: ArcSwap<Rules>,
    /// The newest position published under a rule without history: those cannot be replayed.
    unkept: AtomicU64,
    lanes: Vec<Arc<Lane>>,
    engine: Arc<dyn Engine>,
    monitor: Monitor,
    stats: Arc<Stats>,
    presence: Presence,
    reserved: ArcSwap<Vec<(&'static str, Connector)>>,
    sessions: papaya::HashMap<SessionId, Arc<SessionCore>>,
    clients: [AtomicUsize; Connector::MAX],
    next_session: AtomicU64,
    interest_watch: tokio::sync::watch::Sender<u64>,
    tracer: OnceLock<Arc<dyn Tracer>>,
    /// Publishers wait: memory is short.
    held: AtomicBool,
    released: tokio::sync::Notify,
}

type ChangeGuards<'a> = SmallVec<[MutexGuard<'a, ()>; 1]>;

/// What a bus needs to have run.
pub type BusTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle to the bus; cloning shares it.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("gateway_id", &self.0.gateway_id).finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus and the tasks that serve its lanes and rosters: the caller spawns and tracks them. They end after [`Bus::close`].
    pub fn new(config: BusConfig) -> (Self, Vec<BusTask>) {
        let lanes: Vec<Arc<Lane>> = (0..config.lanes.max(1)).map(|_| Arc::default()).collect();
        let (stats, monitor): (Arc<Stats>, Monitor) = Default::default();
        let serve = |lane: &Arc<Lane>| -> BusTask { Box::pin(lane.clone().run(stats.clone(), monitor.clone())) };
        let mut tasks: Vec<_> = lanes.iter().map(serve).collect();
        let inner = Inner {
            gateway_id: config.gateway_id,
            epoch: config.epoch,
            seq: AtomicU64::new(0),
            sequencer: Mutex::default(),
            interest: RwLock::default(),
            changes: Default::default(),
            hasher: RandomState::new(),
            version: AtomicU64::new(0),
            routes: papaya::HashMap::new(),
            rules: ArcSwap::from_pointee(config.rules),
            unkept: AtomicU64::new(0),
            lanes,
            engine: config.engine,
            monitor,
            stats,
            presence: Presence::default(),
            reserved: ArcSwap::default(),
            sessions: papaya::HashMap::new(),
            clients: Default::default(),
            next_session: AtomicU64::new(1),
            interest_watch: tokio::sync::watch::Sender::new(0),
            tracer: OnceLock::new(),
            held: AtomicBool::new(false),
            released: tokio::sync::Notify::new(),
        };
        let bus = Self(Arc::new(inner));
        tasks.push(Box::pin(presence::tell(bus.clone())));
        (bus, tasks)
    }

    /// A bus in memory with default rules, its lanes spawned on the current runtime: for tests and small programs.
    #[must_use]
    pub fn in_memory() -> Self {
        let epoch = format!("{:x}", fastrand::u64(..));
        let (bus, lanes) = Self::new(BusConfig {
            gateway_id: epoch.as_str().into(),
            epoch: epoch.into(),
            lanes: 1,
            rules: Rules::default(),
            engine: Arc::new(crate::engine::MemoryEngine::default()),
        });
        lanes.into_iter().for_each(|lane| drop(tokio::spawn(lane)));
        bus
    }

    /// Publishes. It never waits for a subscriber; a connector awaits [`Bus::admission`] before each batch.
    ///
    /// # Errors
    /// A loop, or a channel of the gateway's own. Both are counted.
    pub fn publish(&self, mut publication: Publication) -> Result<Receipt, PublishError> {
        let inner = &*self.0;
        let (connector, bytes) = (publication.origin.connector, publication.payload.len());
        if publication.origin.has_passed(&inner.gateway_id) {
            inner.stats.dropped(connector, DropReason::Loop, 1);
            return Err(PublishError::Loop);
        }
        if connector != Connector::GATEWAY && inner.is_kept_from(connector, publication.channel.as_str()) {
            inner.stats.dropped(connector, DropReason::Denied, 1);
            return Err(PublishError::Reserved);
        }
        let span = inner.begin_span(&mut publication);
        let message = Message::new(publication, (SystemTime::now(), Instant::now())).spanned(span);
        let receipt = inner.place(Arc::new(message));
        inner.stats.received(connector, bytes);
        Ok(receipt)
    }

    /// Waits while the fan-out is behind, or memory is short. This is how a publisher that is too fast is slowed down, by not
    /// being read.
    pub async fn admission(&self) {
        if self.0.held.load(Ordering::Relaxed) {
            self.released().await;
        }
        for lane in &self.0.lanes {
            if lane.is_behind() {
                lane.caught_up().await;
            }
        }
    }

    /// Opens a session.
    pub fn open_session(&self, config: SessionConfig, peer: Arc<dyn Peer>) -> Session {
        let inner = &*self.0;
        let id = SessionId(inner.next_session.fetch_add(1, Ordering::Relaxed));
        let slot = inner.lanes.get(id.lane(inner.lanes.len())).map_or(0, |lane| lane.take_slot());
        let core = Arc::new(SessionCore::new(id, config, slot, peer));
        inner.sessions.pin().insert(id, core.clone());
        if core.config.is_client {
            if let Some(count) = inner.clients.get(core.config.connector.index()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let (client_id, connector) = (core.config.client_id.clone(), core.config.connector);
            inner.monitor.emit(MonitorEvent::CreatedClient { client_id, connector });
        }
        Session { bus: self.clone(), core }
    }

    /// What was published to the filters after a cursor and up to a cut (see [`crate::Subscribed::cut`]).
    ///
    /// A cursor of another epoch gets what there is, as not recovered.
    ///
    /// # Errors
    /// The engine could not read.
    pub async fn replay(&self, filters: &[Filter], cursor: &Position, cut: u64) -> Result<Replay, EngineError> {
        let inner = &*self.0;
        let known = cursor.epoch == inner.epoch;
        if known && cursor.seq > cut {
            return Ok(Replay::default());
        }
        let after = if known { cursor.seq } else { 0 };
        let mut replay = inner.engine.replay(filters, after, cut).await?;
        replay.recovered &= known;
        if inner.unkept.load(Ordering::SeqCst) > after && self.may_miss(filters) {
            (replay.recovered, replay.missing_exact) = (false, false);
        }
        Ok(replay)
    }

    /// Everything kept for the filters, up to a cut.
    ///
    /// # Errors
    /// The engine could not read.
    pub async fn replay_all(&self, filters: &[Filter], cut: u64) -> Result<Replay, EngineError> {
        self.0.engine.replay(filters, 0, cut).await
    }

    /// The last values that a new subscriber to the filter is shown.
    ///
    /// # Errors
    /// The engine could not read.
    pub async fn last_values(&self, filter: &Filter) -> Result<Vec<Arc<Message>>, EngineError> {
        self.0.engine.last_values(filter).await
    }

    /// Puts other rules in force. What is kept already stays until it is trimmed by them.
    pub fn set_rules(&self, rules: Rules) {
        let interest = self.0.interest.write();
        self.0.rules.store(Arc::new(rules));
        self.0.forget_routes();
        self.0.version.fetch_add(1, Ordering::SeqCst);
        drop(interest);
    }

    /// Asks a session to end. False if there is none of that number.
    pub fn end_session(&self, id: u64, reason: EndReason) -> bool {
        let found = self.0.sessions.pin().get(&SessionId(id)).cloned();
        found.is_some_and(|core| {
            core.peer.end(reason);
            true
        })
    }

    /// Gives all channels below a first level, which begins with `$`, to one connector: others do not publish there, and their
    /// clients hear nothing. (Wildcards do not reach such names anyway.) A bridge whose rule names it does hear.
    pub fn reserve(&self, level: &'static str, owner: Connector) {
        self.0.reserved.rcu(|reserved| {
            let mut reserved = Vec::clone(reserved);
            reserved.retain(|(known, _)| *known != level);
            reserved.push((level, owner));
            reserved
        });
    }

    /// Ends the lanes once they are empty.
    pub fn close(&self) {
        self.0.presence.news.close();
        self.hold(false);
        self.0.lanes.iter().for_each(|lane| lane.close());
    }

    /// Changes of interest in these filters are made and told by nobody else while this is held.
    pub(crate) fn changes_in_order<'a>(&self, filters: impl Iterator<Item = &'a Filter>) -> ChangeGuards<'_> {
        let inner = &*self.0;
        let mut wanted: SmallVec<[u64; 4]> =
            filters.map(|filter| inner.hasher.hash_one(filter) % CHANGE_LOCKS as u64).collect();
        // In one order, so that two who want several do not wait for each other.
        wanted.sort_unstable();
        wanted.dedup();
        let lock = |index: &u64| usize::try_from(*index).ok().and_then(|index| inner.changes.get(index));
        wanted.iter().filter_map(lock).map(Mutex::lock).collect()
    }

    /// Adds subscriptions at one cut: the position is read after the index shows them all, so that a publisher
    /// that takes a later position sees them.
    pub(crate) fn add_interest(
        &self,
        session: &Arc<SessionCore>,
        filters: &[(Filter, SubscribeOptions)],
    ) -> (Vec<Change>, u64) {
        let mut interest = self.0.interest.write();
        let (connector, is_client) = (session.config.connector, session.config.is_client);
        let add = |(filter, options): &(Filter, SubscribeOptions)| {
            if is_client && self.0.is_foreign(connector, filter.as_str()) {
                return Change { subscription: false, filter: false };
            }
            let change = interest.add(filter, session, Grant::from(options), options.group.as_ref());
            self.0.interest_changed(filter, change, true);
            change
        };
        let changes = filters.iter().map(add).collect();
        drop(interest);
        (changes, self.head())
    }

    pub(crate) fn remove_interest(&self, session: SessionId, filter: &Filter, group: Option<&Arc<str>>) -> Change {
        let mut interest = self.0.interest.write();
        let change = interest.remove(filter, session, group);
        self.0.interest_changed(filter, change, false);
        change
    }

    pub(crate) fn forget(&self, core: &SessionCore) {
        let inner = &*self.0;
        inner.sessions.pin().remove(&core.id);
        if core.config.is_client
            && let Some(count) = inner.clients.get(core.config.connector.index())
        {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(lane) = inner.lanes.get(core.id.lane(inner.lanes.len())) {
            lane.free_slot(core.slot);
        }
    }

    /// Whether a rule without history can have kept something from these filters.
    fn may_miss(&self, filters: &[Filter]) -> bool {
        let rules = self.rules();
        rules.iter().any(|rule| !rule.history.is_on() && filters.iter().any(|filter| filter.overlaps(&rule.matches)))
    }
}

/// Whether a name is a level or below it.
fn is_below(level: &str, name: &str) -> bool {
    name.strip_prefix(level).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Inner {
    /// Whether the connector may not publish there.
    fn is_kept_from(&self, connector: Connector, name: &str) -> bool {
        name.starts_with('$')
            && (["$monitor", "$presence", "$SYS/broker"].iter().any(|own| is_below(own, name))
                || self.is_foreign(connector, name))
    }

    /// Whether the name, or all that a filter matches, belongs to another connector.
    fn is_foreign(&self, connector: Connector, name: &str) -> bool {
        name.starts_with('$')
            && self.reserved.load().iter().any(|(level, owner)| *owner != connector && is_below(level, name))
    }

    /// Gives the message its position, keeps it, and puts it into the lanes.
    fn place(&self, mut message: Arc<Message>) -> Receipt {
        loop {
            let version = self.version.load(Ordering::SeqCst);
            let route = self.route(&message.channel);
            let channel = message.channel.clone();
            let stored = if route.stores {
                let mut stamp = || self.dispatch(&mut message, &route, version).then(|| message.clone());
                self.engine.append(&channel, &route.rule, &mut stamp)
            } else {
                self.dispatch(&mut message, &route, version).then_some(Stored::Done)
            };
            let Some(stored) = stored else { continue };
            self.wake(&route, &message);
            return Receipt { seq: message.seq, matched: !route.matched.is_empty(), stored };
        }
    }

    /// Gives a position and fills the lanes. False if interest changed meanwhile: the position is left unused,
    /// and the caller looks the route up again, so that a subscriber misses nothing after its cut.
    fn dispatch(&self, message: &mut Arc<Message>, route: &Route, version: u64) -> bool {
        let ordered = (!route.matched.is_empty()).then(|| self.sequencer.lock());
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        if !route.rule.history.is_on() {
            self.unkept.fetch_max(seq, Ordering::SeqCst);
        }
        if self.version.load(Ordering::SeqCst) != version {
            return false;
        }
        if let Some(message) = Arc::get_mut(message) {
            message.seq = seq;
        }
        if ordered.is_some() {
            for (lane, targets) in &route.matched.lanes {
                self.push(*lane, message, targets.clone());
            }
            for target in route.matched.groups.iter().filter_map(|group| group.choose()) {
                self.push(target.session.lane(self.lanes.len()), message, Arc::new(Targets::new(vec![target.clone()])));
            }
        }
        true
    }

    fn push(&self, lane: usize, message: &Arc<Message>, targets: Arc<Targets>) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.push(Entry { message: message.clone(), targets });
        }
    }

    fn wake(&self, route: &Route, message: &Arc<Message>) {
        if route.matched.groups.is_empty() {
            route.matched.lanes.iter().filter_map(|(lane, _)| self.lanes.get(*lane)).for_each(|lane| lane.wake());
        } else {
            self.lanes.iter().for_each(|lane| lane.wake());
        }
        if self.monitor.wants_messages() {
            self.monitor.emit(MonitorEvent::ReceivedMessage { message: message.clone() });
        }
        if message.span().is_some() {
            self.monitor.emit(MonitorEvent::TracedMessage { message: message.clone() });
        }
    }

    /// Rule and subscribers of a channel, from the cache or worked out.
    fn route(&self, channel: &Channel) -> Arc<Route> {
        if let Some(route) = self.routes.pin().get(channel).and_then(ArcSwapOption::load_full) {
            return route;
        }
        // Under the lock, so that a change of interest either is seen here or drops what is cached here.
        let interest = self.interest.read();
        let rule = self.rules.load().of(channel);
        let stores = rule.history.is_on() || rule.last_value != crate::rule::LastValue::Off;
        let matched = interest.matched(channel, self.lanes.len());
        let route = Arc::new(Route { rule, matched, stores });
        let routes = self.routes.pin();
        if routes.len() >= CACHED_CHANNELS {
            self.forget_routes();
        }
        if let Some(replaced) = routes.insert(channel.clone(), ArcSwapOption::new(Some(route.clone()))) {
            replaced.store(None);
        }
        route
    }

    fn forget_routes(&self) {
        self.routes.pin().retain(|_, route| {
            route.store(None);
            false
        });
    }

    /// Called with the index locked for writing.
    fn interest_changed(&self, filter: &Filter, change: Change, wanted: bool) {
        match filter.as_channel() {
            Some(channel) => {
                if let Some(route) = self.routes.pin().remove(&channel) {
                    route.store(None);
                }
            }
            None => self.forget_routes(),
        }
        self.version.fetch_add(1, Ordering::SeqCst);
        if change.filter {
            self.engine.interest_changed(filter, wanted);
            self.interest_watch.send_modify(|count| *count += 1);
        }
    }
}
