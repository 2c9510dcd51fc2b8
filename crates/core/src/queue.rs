//! A peer that its owner empties: for consumers that pull, such as upstreams, HTTP bodies and programs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    lane::Run,
    outbox::{Outbox, OutboxLimits, Pushed, SlowPolicy, Waiting},
    peer::{Backlog, Delivered, Peer},
    session::EndReason,
};

#[derive(Debug)]
struct State {
    outbox: Outbox,
    ended: Option<EndReason>,
}

/// A bounded queue between the bus and one consumer.
#[derive(Debug)]
pub struct QueuePeer {
    state: Mutex<State>,
    dropped: AtomicU64,
    arrived: Notify,
}

impl QueuePeer {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Arc<Self> {
        let state = State { outbox: Outbox::new(limits), ended: None };
        Arc::new(Self { state: Mutex::new(state), dropped: AtomicU64::new(0), arrived: Notify::new() })
    }

    /// Waits for messages and takes up to `most` of them; fails once the session is to end.
    ///
    /// # Errors
    /// Why the session is to end.
    pub async fn recv_many(&self, most: usize) -> Result<Vec<Waiting>, EndReason> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(taken) = self.try_recv_many(most)? {
                return Ok(taken);
            }
            arrived.await;
        }
    }

    /// Takes up to `most` messages that wait, or `None` if none does.
    ///
    /// # Errors
    /// Why the session is to end, once nothing waits.
    pub fn try_recv_many(&self, most: usize) -> Result<Option<Vec<Waiting>>, EndReason> {
        let mut state = self.state.lock();
        if state.ended == Some(EndReason::Slow) {
            return Err(EndReason::Slow);
        }
        let taken: Vec<Waiting> = std::iter::from_fn(|| state.outbox.pop()).take(most).collect();
        if !taken.is_empty() {
            return Ok(Some(taken));
        }
        state.ended.map_or(Ok(None), Err)
    }

    /// How many messages and bytes wait.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.outbox.len(), state.outbox.bytes())
    }

    /// How many messages were dropped since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Peer for QueuePeer {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        let mut state = self.state.lock();
        let mut delivered = Delivered::default();
        if state.ended.is_some() {
            return delivered;
        }
        for (message, grant) in run.iter() {
            match state.outbox.push(message.clone(), grant.clone()) {
                Pushed::Queued => {}
                Pushed::Dropped(count) => {
                    self.dropped.fetch_add(u64::from(count), Ordering::Relaxed);
                }
                Pushed::Full => {
                    self.dropped.fetch_add(1 + state.outbox.clear() as u64, Ordering::Relaxed);
                    state.ended = Some(EndReason::Slow);
                    break;
                }
            }
            delivered.messages += 1;
            delivered.bytes += message.payload.len() as u64;
        }
        drop(state);
        self.arrived.notify_one();
        delivered
    }

    fn end(&self, reason: EndReason) {
        self.state.lock().ended.get_or_insert(reason);
        self.arrived.notify_one();
    }

    fn backlog(&self) -> Backlog {
        let (messages, bytes) = self.depth();
        Backlog { messages, bytes }
    }

    fn relieve(&self) {
        let mut state = self.state.lock();
        self.dropped.fetch_add(state.outbox.relieve() as u64, Ordering::Relaxed);
        if state.outbox.policy() == SlowPolicy::Disconnect {
            state.ended = Some(EndReason::Slow);
        }
        drop(state);
        self.arrived.notify_one();
    }
}
