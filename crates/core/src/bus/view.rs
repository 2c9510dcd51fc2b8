//! What can be read of a bus: its parts, and figures for operators.

use std::sync::{Arc, atomic::Ordering};

use super::Bus;
use crate::{
    channel::{Channel, Filter},
    engine::Engine,
    message::{Connector, Position},
    monitor::Monitor,
    presence::Presence,
    rule::Rules,
    session::{SessionCore, SessionInfo},
    stats::Stats,
};

impl Bus {
    /// This gateway's id.
    #[must_use]
    pub fn gateway_id(&self) -> &Arc<str> {
        &self.0.gateway_id
    }

    /// The name of this life of the sequence.
    #[must_use]
    pub fn epoch(&self) -> &Arc<str> {
        &self.0.epoch
    }

    /// A place in the current sequence.
    #[must_use]
    pub fn position(&self, seq: u64) -> Position {
        Position { epoch: self.0.epoch.clone(), seq }
    }

    /// The newest position given.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.0.seq.load(Ordering::SeqCst)
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    /// Where state lives.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    /// The monitor that handlers are added to.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.0.monitor
    }

    /// Who is where.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.0.stats
    }

    /// How many client sessions a connector has.
    #[must_use]
    pub fn sessions_of(&self, connector: Connector) -> usize {
        self.0.clients.get(connector.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How many filters have a subscriber, and how many subscriptions there are.
    #[must_use]
    pub fn interest_counts(&self) -> (usize, usize) {
        let interest = self.0.interest.read();
        (interest.filters(), interest.subscriptions())
    }

    /// Every filter that has a subscriber, with how many.
    #[must_use]
    pub fn interest_list(&self) -> Vec<(Filter, usize)> {
        self.0.interest.read().list().map(|(filter, count)| (filter.clone(), count)).collect()
    }

    /// How many sessions subscribe to exactly this filter.
    #[must_use]
    pub fn subscriber_count(&self, filter: &Filter) -> usize {
        self.0.interest.read().count(filter)
    }

    /// Whether a publication to the channel would reach anybody or be kept: what is made only to be told need not be
    /// made otherwise.
    #[must_use]
    pub fn is_wanted(&self, channel: &Channel) -> bool {
        let route = self.0.route(channel);
        route.stores || !route.matched.is_empty()
    }

    /// Changes whenever a filter gets its first subscriber or loses its last.
    #[must_use]
    pub fn interest_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.interest_watch.subscribe()
    }

    /// Messages that wait in the lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lanes.iter().map(|lane| lane.waiting()).sum()
    }

    /// Sessions with a number above `after`, in order, at most `limit` of them: a page for operators.
    #[must_use]
    pub fn sessions(&self, after: u64, limit: usize) -> Vec<SessionInfo> {
        let sessions = self.0.sessions.pin();
        let mut cores: Vec<_> =
            sessions.values().filter(|core| core.id.0 > after && core.config.is_client).cloned().collect();
        cores.sort_unstable_by_key(|core| core.id);
        cores.truncate(limit);
        cores.iter().map(|core| info(core)).collect()
    }

    /// Every client's session.
    pub(crate) fn client_cores(&self) -> Vec<Arc<SessionCore>> {
        self.0.sessions.pin().values().filter(|core| core.config.is_client).cloned().collect()
    }
}

pub(super) fn info(core: &SessionCore) -> SessionInfo {
    SessionInfo {
        id: core.id,
        client_id: core.config.client_id.clone(),
        connector: core.config.connector,
        user: core.config.user.clone(),
        opened: core.opened,
        subscriptions: core.subscriptions.lock().filters().cloned().collect(),
    }
}
