//! What happens to sessions whose client is away: their will is published, they expire. One task for all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Shared, client::Client, registry};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Will,
    Expiry,
}

struct Entry {
    client: Weak<Client>,
    epoch: u64,
    due: Due,
}

#[derive(Default)]
struct List {
    entries: BTreeMap<(Instant, u64), Entry>,
    next: u64,
}

#[derive(Default)]
pub(super) struct Agenda {
    list: Mutex<List>,
    changed: Notify,
}

impl Agenda {
    /// Notes what is due after a while, unless the client has come back by then.
    pub(super) fn add(&self, after: Duration, client: &Arc<Client>, epoch: u64, due: Due) {
        let Some(at) = Instant::now().checked_add(after) else { return };
        let mut list = self.list.lock();
        list.next += 1;
        let key = (at, list.next);
        let is_first = list.entries.first_key_value().is_none_or(|(first, _)| key < *first);
        list.entries.insert(key, Entry { client: Arc::downgrade(client), epoch, due });
        drop(list);
        if is_first {
            self.changed.notify_one();
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.list.lock().entries.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop_due(&self, now: Instant) -> Option<Entry> {
        let mut list = self.list.lock();
        let first = list.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Does what is due until the gateway closes.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut closing = std::pin::pin!(shared.life.closing());
    loop {
        let wait = async {
            match shared.agenda.next_at() {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = shared.agenda.changed.notified() => continue,
            () = &mut closing => return,
        }
        while let Some(entry) = shared.agenda.pop_due(Instant::now()) {
            if let Some(client) = entry.client.upgrade() {
                registry::due(&shared, &client, entry.epoch, entry.due);
            }
        }
    }
}
