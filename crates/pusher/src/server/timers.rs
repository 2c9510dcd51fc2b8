//! Things to do at a time, for one application: one task for all of them, asleep when there are none.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The channels whose count is to be told, by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    channels: Mutex<BTreeSet<(u64, Arc<str>)>>,
    pub(super) changed: Notify,
}

impl Timers {
    pub(super) fn at(&self, at: u64, channel: Arc<str>) {
        self.channels.lock().insert((at, channel));
        self.changed.notify_one();
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.channels.lock().first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, now: u64) -> Option<Arc<str>> {
        let mut channels = self.channels.lock();
        if channels.first()?.0 > now {
            return None;
        }
        channels.pop_first().map(|(_, channel)| channel)
    }
}
