//! What waits for slow subscribers, over all sessions, and how it is given up when memory is short.

use std::sync::{Arc, atomic::Ordering};

use super::Bus;
use crate::{
    peer::{Backlog, Peer},
    session::SessionCore,
};

/// Of the sessions with long queues, at least one in this many is relieved at a time: messages that several wait for weigh on
/// each of them, so that less is freed than counted.
const LEAST_SHARE: usize = 16;
/// A queue below this is no long one: its reader is only a moment behind.
const SHORT: usize = 64 << 10;
/// Nor is one that has less than the longest by this factor.
const SPREAD: usize = 8;

/// What was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relief {
    /// Sessions that met the policy of their outbox.
    pub sessions: usize,
    /// Bytes that they held, by [`crate::Message::weight`].
    pub bytes: usize,
}

impl Bus {
    /// What waits for all sessions together. It asks each of them: for operators and for a look now and then.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.cores().iter().fold(Backlog::default(), |sum, core| sum + core.peer.backlog())
    }

    /// Has the sessions with the longest queues meet the policy of their outbox, until this many bytes are given up.
    pub fn relieve(&self, bytes: usize) -> Relief {
        let mut waiting: Vec<(usize, Arc<dyn Peer>)> = self
            .cores()
            .into_iter()
            .map(|core| (core.peer.backlog().bytes, core.peer.clone()))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        let longest = waiting.iter().map(|(bytes, _)| *bytes).max().unwrap_or_default();
        waiting.retain(|(bytes, _)| *bytes >= SHORT.max(longest / SPREAD));
        waiting.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let least = waiting.len().div_ceil(LEAST_SHARE);
        let mut relief = Relief::default();
        for (held, peer) in waiting {
            if relief.bytes >= bytes && relief.sessions >= least {
                break;
            }
            peer.relieve();
            relief.sessions += 1;
            relief.bytes += held;
        }
        relief
    }

    /// Holds publishers back in [`Bus::admission`], or lets them go on.
    pub fn hold(&self, hold: bool) {
        if self.0.held.swap(hold, Ordering::Relaxed) && !hold {
            self.0.released.notify_waiters();
        }
    }

    /// Waits while publishers are held back.
    pub(super) async fn released(&self) {
        loop {
            let released = self.0.released.notified();
            if !self.0.held.load(Ordering::Relaxed) {
                return;
            }
            released.await;
        }
    }

    fn cores(&self) -> Vec<Arc<SessionCore>> {
        self.0.sessions.pin().values().cloned().collect()
    }
}
