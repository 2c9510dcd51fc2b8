//! What the client side of a protocol sees of its bridge.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use ratatosk_core::{Fields, Filter, Qos, stats::DropReason};
use tokio::sync::watch;

use super::{
    inbound::{Inbound, Intake, Taken},
    outbound::Outlet,
    queue::{Outbound, Token},
    status::{Board, State},
    supervisor::{Order, Orders},
};

/// The filters to hold at the peer, in its naming, each with the highest quality of service wanted.
pub(super) type Wanted = Arc<BTreeMap<Filter, Qos>>;

/// The subscriptions that a bridge wants held at its peer.
#[derive(Debug)]
pub struct WantedFilters(watch::Receiver<Wanted>);

impl WantedFilters {
    /// What to hold now, in the peer's naming. None covers another.
    pub fn now(&mut self) -> Arc<BTreeMap<Filter, Qos>> {
        self.0.borrow_and_update().clone()
    }

    /// Resolves when [`WantedFilters::now`] has changed since it was last asked for.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One upstream's way to the bus and back, for one attempt at a time.
///
/// Nothing here needs to know about reconnecting: the supervisor puts unfinished messages back into the queue and
/// tells the loss of subscriptions when an attempt ends.
#[derive(Debug)]
pub struct Port {
    pub(super) upstream: Arc<str>,
    pub(super) intake: Arc<Intake>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) board: Arc<Board>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) live: HashSet<Filter>,
    /// What the protocol has a place for.
    pub(super) carries: Fields,
    /// When this attempt came up.
    pub(super) up_since: Option<Instant>,
}

impl Port {
    /// The upstream's configured name.
    #[must_use]
    pub fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// This gateway's id, for the mark that outbound messages carry (see [`super::hops`]).
    #[must_use]
    pub fn gateway_id(&self) -> &Arc<str> {
        self.intake.bus.gateway_id()
    }

    /// The peer has let us in. Whatever was in flight is to be taken anew.
    pub fn up(&mut self) {
        self.up_resuming(|_| false);
    }

    /// The peer has let us in and resumes a session: what `keep` names stays in flight, because the client side
    /// sends it again by itself; the rest is to be taken anew, in order.
    pub fn up_resuming(&mut self, keep: impl Fn(Token) -> bool) {
        self.outlet.queue.rewind(keep);
        self.up_since = Some(Instant::now());
        self.board.set(State::Up, &"".into());
    }

    /// A keep-alive was answered.
    pub fn ping(&self, round_trip: Duration) {
        self.board.ping(round_trip);
    }

    /// Resolves when the connection is to end in good order: return [`super::Ended::asked`] then. While an upstream
    /// drains, that is once the queue is empty.
    pub fn leave(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut orders, outlet) = (self.orders.clone(), self.outlet.clone());
        async move {
            loop {
                let order = orders.borrow_and_update().order;
                let changed = match order {
                    Order::Pause | Order::Stop => return,
                    Order::Run => orders.changed().await,
                    Order::Drain => tokio::select! {
                        () = outlet.queue.empty() => return,
                        changed = orders.changed() => changed,
                    },
                };
                if changed.is_err() {
                    return; // nobody holds the handle any more
                }
            }
        }
    }

    /// The subscriptions to hold, now and when they change.
    #[must_use]
    pub fn wanted(&self) -> WantedFilters {
        WantedFilters(self.wanted.clone())
    }

    /// The peer serves this subscription now.
    pub fn subscribed(&mut self, filter: &Filter) {
        if self.live.insert(filter.clone()) {
            self.board.subscription_up(filter.as_str());
            self.board.subscriptions(self.live.len());
        }
    }

    /// The peer refused this subscription.
    pub fn refused(&mut self, filter: &Filter, reason: &str) {
        tracing::warn!(upstream = %self.upstream, %filter, reason, "subscription refused");
        self.live.remove(filter);
        self.board.subscription_down(filter.as_str(), &reason.into());
        self.board.subscriptions(self.live.len());
    }

    /// This subscription was given up because nobody wants it any more.
    pub fn unsubscribed(&mut self, filter: &Filter) {
        if self.live.remove(filter) {
            self.board.subscription_down(filter.as_str(), &"unsubscribed".into());
            self.board.subscriptions(self.live.len());
        }
    }

    /// Waits while the bus, or a rule's programs, are behind: call it before each [`Port::deliver`], and read no more meanwhile.
    pub async fn admission(&self) {
        self.intake.admission().await;
    }

    /// Whether [`Port::admission`] resolves at once.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.admission().now_or_never().is_some()
    }

    /// Hands a message to the bus. Acknowledge it to the peer afterwards, as [`Taken`] says.
    pub fn deliver(&self, inbound: Inbound) -> Taken {
        self.intake.take(inbound)
    }

    /// Resolves when [`Port::take`] has something.
    pub async fn ready(&self) {
        self.outlet.queue.ready().await;
    }

    /// The next message to send; it stays in flight until [`Port::done`] or [`Port::failed`].
    #[must_use]
    pub fn take(&self) -> Option<Outbound> {
        let outbound = self.outlet.take()?;
        outbound.message.count_losses(self.outlet.connector, self.carries, self.outlet.bus.stats());
        Some(outbound)
    }

    /// A message in flight, for sending it again.
    #[must_use]
    pub fn in_flight(&self, token: Token) -> Option<Outbound> {
        self.outlet.queue.in_flight(token)
    }

    /// The peer has the message for good.
    pub fn done(&self, token: Token) {
        self.outlet.done(token);
    }

    /// The peer will never take the message: it is dropped and counted.
    pub fn failed(&self, token: Token, reason: DropReason) {
        self.outlet.failed(token, reason);
    }

    /// The peer has not acknowledged for too long, and the attempt is about to end for that: it is counted.
    pub fn stalled(&self) {
        self.board.stalled();
    }

    /// Counts something lost in translation that has no queue entry.
    pub fn lost(&self, reason: DropReason) {
        self.outlet.count(reason, 1);
    }

    /// Ends an attempt: says which subscriptions are gone, and how long it was up.
    pub(super) fn ended(&mut self, reason: &Arc<str>) -> Duration {
        for filter in std::mem::take(&mut self.live) {
            self.board.subscription_down(filter.as_str(), reason);
        }
        self.board.subscriptions(0);
        self.up_since.take().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
