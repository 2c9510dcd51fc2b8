//! A bridge: one upstream at work.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ratatosk_core::{Bus, Connector, EndReason, Fields, Filter, Qos, Session, SessionConfig, SubscribeOptions};
use tokio::sync::watch;

use super::{
    contract::ClientSide,
    demand::{self, Demand},
    fingerprint::Fingerprints,
    inbound::{Intake, PROGRAMS},
    outbound::Outlet,
    port::{Port, Wanted},
    queue::{Queue, QueueDepth, QueueLimits},
    status::{Board, State, Status},
    supervisor::{Order, Orders, supervise},
    workshop::Workshop,
};
use crate::{
    backoff::BackoffConfig,
    rules::{LoopGuard, ReplyMap, RuleSet, cover},
};

/// When inbound subscriptions exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As long as the upstream is connected.
    #[default]
    Always,
    /// While somebody here is subscribed to what they bring, and this long after.
    OnDemand {
        /// How long a subscription stays after its last local subscriber left.
        linger: Duration,
    },
}

/// What a bridge is made of. The rules must have passed [`crate::rules::analyse`].
#[derive(Debug, Clone)]
pub struct BridgeSpec {
    /// The configured name: label in metrics, monitor events and origins.
    pub name: Arc<str>,
    /// The protocol.
    pub connector: Connector,
    /// Theirs to ours.
    pub inbound: RuleSet,
    /// Ours to theirs.
    pub outbound: RuleSet,
    /// When inbound subscriptions exist.
    pub mode: Mode,
    /// What waits while the peer is away.
    pub queue: QueueLimits,
    /// The pauses between attempts.
    pub backoff: BackoffConfig,
    /// What keeps messages from coming back.
    pub guard: LoopGuard,
}

impl BridgeSpec {
    /// A bridge without rules and with default limits.
    pub fn new(name: impl Into<Arc<str>>, connector: Connector) -> Self {
        Self {
            name: name.into(),
            connector,
            inbound: RuleSet::default(),
            outbound: RuleSet::default(),
            mode: Mode::Always,
            queue: QueueLimits::default(),
            backoff: BackoffConfig::default(),
            guard: LoopGuard::Mark,
        }
    }
}

/// Makes bridges.
#[derive(Debug)]
pub struct Bridge;

impl Bridge {
    /// A bridge and the task that runs it: the caller spawns and tracks it. It ends after [`BridgeHandle::stop`],
    /// a completed [`BridgeHandle::drain`], or when the handle and its clones are dropped.
    ///
    /// The outbound queue collects from this call on.
    #[expect(clippy::new_ret_no_self, reason = "a bridge is what runs: its handle and its task")]
    pub fn new<C: ClientSide>(
        bus: &Bus,
        spec: BridgeSpec,
        client: C,
    ) -> (BridgeHandle, impl Future<Output = ()> + Send + use<C>) {
        let parts = Parts::new(bus, &spec);
        let port = parts.port(&spec, client.carries());
        let (handle, session) = (parts.handle(&spec), parts.subscribe(&spec));
        let demand = parts.demand(&spec);
        let (bus, intake, outlet) = (bus.clone(), parts.intake.clone(), parts.outlet.clone());
        let task = async move {
            send_last_values(&bus, &outlet).await;
            outlet.inherit();
            let work = Box::pin(supervise(client, port, spec.backoff));
            // What goes on beside it ends with it.
            tokio::select! {
                () = work => {}
                () = follow(demand) => {}
                () = run_programs(&intake, &outlet) => {}
            }
            if let Some(session) = session {
                session.close(EndReason::Disconnect);
            }
            outlet.end_for_good();
        };
        (handle, task)
    }

    /// Like [`Bridge::new`], on the current runtime.
    pub fn spawn<C: ClientSide>(bus: &Bus, spec: BridgeSpec, client: C) -> (BridgeHandle, tokio::task::JoinHandle<()>) {
        let (handle, task) = Self::new(bus, spec, client);
        (handle, tokio::spawn(task))
    }
}

async fn follow(demand: Option<Demand>) {
    match demand {
        Some(demand) => demand.follow().await,
        None => std::future::pending().await,
    }
}

/// Runs the programs of both directions for ever, if there are any.
async fn run_programs(intake: &Intake, outlet: &Outlet) {
    let inward = async {
        match &intake.workshop {
            Some(workshop) => workshop.run(|job, verdict| intake.finish(job, verdict)).await,
            None => std::future::pending().await,
        }
    };
    let outward = async {
        match &outlet.workshop {
            Some(workshop) => workshop.run(async |job, verdict| outlet.finish(job, verdict)).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(Box::pin(inward), Box::pin(outward));
}

/// What the halves of a bridge share.
struct Parts {
    bus: Bus,
    intake: Arc<Intake>,
    outlet: Arc<Outlet>,
    board: Arc<Board>,
    wanted: watch::Sender<Wanted>,
    orders: Arc<watch::Sender<Orders>>,
}

impl Parts {
    fn new(bus: &Bus, spec: &BridgeSpec) -> Self {
        let prints = (spec.guard == LoopGuard::Fingerprint)
            .then(|| Arc::new(Mutex::new(Fingerprints::new(sources(&spec.inbound)))));
        let replies = ReplyMap::new(spec.inbound.clone(), spec.outbound.clone());
        let workshop =
            |rules: &RuleSet, limits| rules.have_programs().then(|| Workshop::new(spec.name.clone(), limits));
        let intake = Intake {
            bus: bus.clone(),
            connector: spec.connector,
            upstream: spec.name.clone(),
            rules: spec.inbound.clone(),
            replies: replies.clone(),
            prints: prints.clone(),
            workshop: workshop(&spec.inbound, PROGRAMS),
        };
        let outlet = Outlet {
            bus: bus.clone(),
            connector: spec.connector,
            upstream: spec.name.clone(),
            rules: spec.outbound.clone(),
            replies,
            prints,
            queue: Queue::new(spec.queue),
            workshop: workshop(&spec.outbound, spec.queue),
            closed: std::sync::atomic::AtomicBool::new(false),
            begins: OnceLock::new(),
            heir: OnceLock::new(),
            predecessor: Mutex::default(),
        };
        Self {
            bus: bus.clone(),
            intake: Arc::new(intake),
            outlet: Arc::new(outlet),
            board: Arc::new(Board::new(spec.name.clone(), bus.monitor().clone())),
            wanted: if spec.mode == Mode::Always { demand::fixed(&spec.inbound) } else { demand::none() },
            orders: Arc::new(watch::Sender::new(Orders { order: Order::Run, kick: 0 })),
        }
    }

    fn port(&self, spec: &BridgeSpec, carries: Fields) -> Port {
        Port {
            upstream: spec.name.clone(),
            intake: self.intake.clone(),
            outlet: self.outlet.clone(),
            board: self.board.clone(),
            wanted: self.wanted.subscribe(),
            orders: self.orders.subscribe(),
            live: HashSet::new(),
            carries,
            up_since: None,
        }
    }

    fn handle(&self, spec: &BridgeSpec) -> BridgeHandle {
        BridgeHandle {
            name: spec.name.clone(),
            orders: self.orders.clone(),
            board: self.board.clone(),
            outlet: self.outlet.clone(),
            wanted: self.wanted.clone(),
        }
    }

    /// The bus session that feeds the queue.
    fn subscribe(&self, spec: &BridgeSpec) -> Option<Session> {
        if spec.outbound.is_empty() {
            return None;
        }
        let config = SessionConfig {
            client_id: format!("upstream:{}", spec.name).into(),
            connector: spec.connector,
            user: None,
            is_client: false,
        };
        let session = self.bus.open_session(config, self.outlet.clone());
        let options = SubscribeOptions { qos: Qos::ExactlyOnce, retain_as_published: true, ..Default::default() };
        let subscribe = |filter: Filter| {
            let cut = session.subscribe(filter.clone(), options.clone()).cut;
            (filter, cut)
        };
        let cuts = sources(&spec.outbound).into_iter().map(subscribe).collect();
        // Nobody else sets it.
        let _ = self.outlet.begins.set(cuts);
        Some(session)
    }

    fn demand(&self, spec: &BridgeSpec) -> Option<Demand> {
        let Mode::OnDemand { linger } = spec.mode else { return None };
        Some(Demand {
            bus: self.bus.clone(),
            rules: spec.inbound.clone(),
            own: sources(&spec.outbound),
            linger,
            wanted: self.wanted.clone(),
        })
    }
}

fn sources(rules: &RuleSet) -> Vec<Filter> {
    cover(rules.iter().map(|rule| rule.from().clone()))
}

/// The peer gets the retained messages that there were before it was bridged, as a new subscriber would.
async fn send_last_values(bus: &Bus, outlet: &Outlet) {
    for (filter, cut) in outlet.begins.get().into_iter().flatten() {
        match bus.last_values(filter).await {
            Ok(mut messages) => {
                messages.retain(|message| message.retain && message.seq <= *cut);
                outlet.offer_old(&messages, Instant::now());
            }
            Err(error) => tracing::warn!(upstream = %outlet.upstream, %error, "cannot read last values"),
        }
    }
}

/// Controls one bridge. Cloning shares it; when the last clone is dropped the bridge stops.
#[derive(Debug, Clone)]
pub struct BridgeHandle {
    name: Arc<str>,
    orders: Arc<watch::Sender<Orders>>,
    board: Arc<Board>,
    pub(super) outlet: Arc<Outlet>,
    wanted: watch::Sender<Wanted>,
}

impl BridgeHandle {
    /// The upstream's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.board.watch().borrow().clone();
        status.queue = self.queue_depth();
        status
    }

    /// How much waits to be sent.
    #[must_use]
    pub fn queue_depth(&self) -> QueueDepth {
        self.outlet.queue.depth(Instant::now())
    }

    /// The filters held, or to be held, at the peer.
    #[must_use]
    pub fn wanted(&self) -> Vec<Filter> {
        self.wanted.borrow().keys().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn wanted_watch(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Resolves when a state is reached; at once if it is in force. False if the bridge is over first.
    pub async fn reached(&self, state: State) -> bool {
        let mut status = self.board.watch();
        let end = status.wait_for(|status| status.state == state || status.state == State::Stopped).await;
        end.is_ok_and(|status| status.state == state)
    }

    /// Ends the connection and makes no other until resumed. The outbound queue keeps collecting.
    pub fn pause(&self) {
        self.order(Order::Pause);
    }

    /// Runs again after a pause, or after the peer refused us.
    pub fn resume(&self) {
        self.order(Order::Run);
    }

    /// Sends what is queued, takes nothing new, and stops. Use it with a deadline, and [`BridgeHandle::stop`] after that.
    pub async fn drain(&self) {
        self.finish_programs().await;
        self.order(Order::Drain);
        self.reached(State::Stopped).await;
    }

    /// Takes nothing new, and has what waits for programs made.
    pub async fn finish_programs(&self) {
        self.outlet.close();
        if let Some(workshop) = &self.outlet.workshop {
            // It stands still when the bridge has ended, and whatever is in it with it.
            tokio::select! {
                () = workshop.idle() => {}
                _ = self.reached(State::Stopped) => {}
            }
        }
    }

    /// Ends the connection in good order and the bridge with it. What is queued is lost, and counted, unless another
    /// bridge takes it over.
    pub fn stop(&self) {
        self.outlet.close();
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        self.orders.send_modify(|orders| {
            if orders.order != Order::Stop {
                orders.order = order;
            }
            orders.kick += 1;
        });
    }
}
