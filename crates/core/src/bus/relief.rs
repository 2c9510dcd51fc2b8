//! What waits for slow subscribers, over all sessions, and how it is given up when memory is short.

use std::sync::Arc;

use super::{Bus, allowance::PLACE};
use crate::{
    peer::{Backlog, Peer},
    session::SessionCore,
};

/// A queue below this is no long one: its reader is only a moment behind.
const SHORT: usize = 64 << 10;
/// Nor is one that has less than the longest by this factor.
const SPREAD: usize = 8;

/// What was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relief {
    /// Sessions that met the policy of their outbox.
    pub sessions: usize,
    /// Bytes that were asked for and given up.
    pub bytes: usize,
}

impl Bus {
    /// What waits for all sessions together. It asks each of them: for operators and for a look now and then.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.cores().iter().fold(Backlog::default(), |sum, core| sum + core.peer.backlog())
    }

    /// Has the sessions with the longest queues meet the policy of their outbox, until so many bytes less wait by
    /// [`Bus::backlog`].
    pub fn relieve(&self, bytes: usize) -> Relief {
        relieve(self.long_queues(), bytes, |backlog| backlog.bytes)
    }

    /// The same until about so many bytes of memory are free. A message that several wait for is in memory once: each of them
    /// frees its places in the queue, and its part of what they share.
    pub fn relieve_memory(&self, bytes: usize) -> Relief {
        let waiting = self.long_queues();
        let sharers = waiting.len().max(1);
        relieve(waiting, bytes, |backlog| backlog.messages * PLACE + backlog.bytes / sharers)
    }

    /// The sessions that are far behind, the longest queue first.
    fn long_queues(&self) -> Vec<(Backlog, Arc<dyn Peer>)> {
        let waiting = self.cores().into_iter().map(|core| (core.peer.backlog(), core.peer.clone()));
        let mut waiting: Vec<_> = waiting.filter(|(backlog, _)| backlog.bytes >= SHORT).collect();
        let longest = waiting.iter().map(|(backlog, _)| backlog.bytes).max().unwrap_or_default();
        waiting.retain(|(backlog, _)| backlog.bytes >= longest / SPREAD);
        waiting.sort_unstable_by_key(|(backlog, _)| std::cmp::Reverse(backlog.bytes));
        waiting
    }

    fn cores(&self) -> Vec<Arc<SessionCore>> {
        self.0.sessions.pin().values().cloned().collect()
    }
}

fn relieve(waiting: Vec<(Backlog, Arc<dyn Peer>)>, bytes: usize, frees: impl Fn(Backlog) -> usize) -> Relief {
    let mut relief = Relief::default();
    for (backlog, peer) in waiting {
        if relief.bytes >= bytes {
            break;
        }
        peer.relieve();
        relief.sessions += 1;
        relief.bytes += frees(backlog);
    }
    relief
}
