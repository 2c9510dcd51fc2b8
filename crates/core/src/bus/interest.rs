//! Who listens where: changes of interest, in order, and what they make stale.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::{Bus, CHANGE_LOCKS, Inner};
use crate::{
    channel::Filter,
    interest::Change,
    peer::Grant,
    session::{SessionCore, SessionId, SubscribeOptions},
};

/// Keeps others from changing and telling the interest in some filters.
pub(crate) type ChangeGuards<'a> = SmallVec<[MutexGuard<'a, ()>; 1]>;

impl Bus {
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
}

impl Inner {
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
