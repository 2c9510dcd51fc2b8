//! The bus: where every connector's messages meet.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, ReentrantMutex, RwLock};

use self::allowance::Allowance;
use crate::{
    channel::{Channel, Filter},
    engine::{Engine, EngineError, Replay, Stored},
    hash::{RandomState, SharedMap},
    interest::Interest,
    lane::Lane,
    message::{Connector, Message, Position, Publication},
    monitor::{Monitor, MonitorEvent},
    pace::{self, Pacing},
    peer::Peer,
    presence::{self, Presence},
    rule::Rules,
    session::{EndReason, Session, SessionConfig, SessionCore, SessionId},
    stats::{DropReason, Stats},
    trace::Tracer,
};

mod allowance;
mod copies;
mod interest;
mod paced;
mod relief;
mod route;
mod sessions;
mod share;
mod traced;
mod view;

use copies::Copies;
pub use relief::Relief;
use route::Route;
pub use sessions::SessionQuery;

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
    /// It passed this gateway before, or too many others, or has come here by another way.
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
    /// Its position; none yet where it waits for its channel's turn ([`ChannelRule::least_gap`](crate::ChannelRule)).
    pub seq: Option<u64>,
    /// Whether anyone is subscribed to it here.
    pub matched: bool,
    /// When it is safe with the engine.
    pub stored: Stored,
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
    routes: SharedMap<Channel, ArcSwapOption<Route>>,
    rules: ArcSwap<Rules>,
    /// The newest position published under a rule without history: those cannot be replayed.
    unkept: AtomicU64,
    lanes: Vec<Arc<Lane>>,
    engine: Arc<dyn Engine>,
    monitor: Monitor,
    stats: Arc<Stats>,
    presence: Presence,
    reserved: ArcSwap<Vec<(&'static str, Connector)>>,
    sessions: SharedMap<SessionId, Arc<SessionCore>>,
    clients: [AtomicUsize; Connector::MAX],
    next_session: AtomicU64,
    interest_watch: tokio::sync::watch::Sender<u64>,
    tracer: OnceLock<Arc<dyn Tracer>>,
    allowance: Allowance,
    pacing: Pacing,
    /// Reentrant, because a monitor handler may publish while a message is given its place.
    copies: ReentrantMutex<RefCell<Copies>>,
}

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
        let serve =
            |lane: &Arc<Lane>| -> BusTask { Box::pin(lane.clone().run(lanes.clone(), stats.clone(), monitor.clone())) };
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
            routes: SharedMap::default(),
            rules: ArcSwap::from_pointee(config.rules),
            unkept: AtomicU64::new(0),
            lanes,
            engine: config.engine,
            monitor,
            stats,
            presence: Presence::default(),
            reserved: ArcSwap::default(),
            sessions: SharedMap::default(),
            clients: Default::default(),
            next_session: AtomicU64::new(1),
            interest_watch: tokio::sync::watch::Sender::new(0),
            tracer: OnceLock::new(),
            allowance: Allowance::default(),
            pacing: Pacing::default(),
            copies: ReentrantMutex::default(),
        };
        let bus = Self(Arc::new(inner));
        tasks.push(Box::pin(presence::tell(bus.clone())));
        tasks.push(Box::pin(pace::run(bus.clone())));
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
        // Held until the message has its place: what came later by another way must not overtake it.
        let copies = publication.origin.named().is_some().then(|| inner.copies.lock());
        if publication.origin.has_passed(&inner.gateway_id)
            || copies.as_ref().is_some_and(|copies| copies.borrow_mut().is_copy(&publication))
        {
            inner.stats.dropped(connector, DropReason::Loop, 1);
            return Err(PublishError::Loop);
        }
        if connector != Connector::GATEWAY && inner.is_kept_from(connector, publication.channel.as_str()) {
            inner.stats.dropped(connector, DropReason::Denied, 1);
            return Err(PublishError::Reserved);
        }
        let rules = inner.rules.load();
        if rules.any_rate()
            && let Some(gap) = rules.of(&publication.channel).least_gap
        {
            return Ok(self.publish_paced(publication, gap));
        }
        drop(rules);
        for earlier in inner.pacing.overtaken(&publication.channel) {
            self.publish_now(earlier);
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
        if self.0.allowance.is_spent() {
            self.0.allowance.granted().await;
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

    /// Puts other rules in force. What is kept already stays until it is trimmed by them; rosters follow at once.
    pub fn set_rules(&self, rules: Rules) {
        let interest = self.0.interest.write();
        let before = self.0.rules.swap(Arc::new(rules));
        self.0.forget_routes();
        self.0.version.fetch_add(1, Ordering::SeqCst);
        drop(interest);
        self.rosters_follow(&before);
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
        self.allow(None);
        self.0.pacing.close().into_iter().for_each(|publication| self.publish_now(publication));
        self.0.lanes.iter().for_each(|lane| lane.close());
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
