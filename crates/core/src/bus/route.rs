//! From a publication to the lanes: the channel's route, the position, and what is kept.

use std::sync::{Arc, atomic::Ordering};

use arc_swap::ArcSwapOption;

use super::{Inner, Receipt};
use crate::{
    channel::{self, Channel},
    engine::Stored,
    interest::Matched,
    lane::{Entry, Lane, Targets},
    message::{Connector, Message},
    monitor::MonitorEvent,
    rule::{ChannelRule, LastValue},
};

/// Channels whose matched set is cached; past it the cache starts anew.
const CACHED_CHANNELS: usize = 65_536;

/// What the bus remembers of a channel that was published to.
#[derive(Debug)]
pub(super) struct Route {
    rule: Arc<ChannelRule>,
    pub(super) matched: Matched,
    pub(super) stores: bool,
}

impl Inner {
    /// Whether the connector may not publish there.
    pub(super) fn is_kept_from(&self, connector: Connector, name: &str) -> bool {
        name.starts_with('$') && (channel::is_own(name) || self.is_foreign(connector, name))
    }

    /// Whether the name, or all that a filter matches, belongs to another connector.
    pub(super) fn is_foreign(&self, connector: Connector, name: &str) -> bool {
        name.starts_with('$')
            && self.reserved.load().iter().any(|(level, owner)| *owner != connector && channel::is_below(level, name))
    }

    /// Gives the message its position, keeps it, and puts it into the lanes.
    pub(super) fn place(&self, mut message: Arc<Message>) -> Receipt {
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
            if self.allowance.is_bounded() {
                self.allowance.spend(message.payload.len(), route.matched.targets());
            }
            return Receipt { seq: Some(message.seq), matched: !route.matched.is_empty(), stored };
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

    pub(super) fn push(&self, lane: usize, message: &Arc<Message>, targets: Arc<Targets>) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.push(Entry { message: message.clone(), targets });
        }
    }

    fn wake(&self, route: &Route, message: &Arc<Message>) {
        if route.matched.groups.is_empty() {
            let filled = route.matched.lanes.iter().filter_map(|(lane, _)| self.lanes.get(*lane));
            Lane::wake_all(filled, route.matched.targets());
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
    pub(super) fn route(&self, channel: &Channel) -> Arc<Route> {
        if let Some(route) = self.routes.pin().get(channel).and_then(ArcSwapOption::load_full) {
            return route;
        }
        // Under the lock, so that a change of interest either is seen here or drops what is cached here.
        let interest = self.interest.read();
        let rule = self.rules.load().of(channel);
        let stores = rule.history.is_on() || rule.last_value != LastValue::Off;
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

    pub(super) fn forget_routes(&self) {
        self.routes.pin().retain(|_, route| {
            route.store(None);
            false
        });
    }
}
