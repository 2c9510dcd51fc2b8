//! What waits for one receiver, in order.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bounds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// The most events.
    pub events: usize,
    /// The most bytes, by what [`Queue::offer`] is told.
    pub bytes: usize,
}

/// A bounded queue; when it is full, the oldest event makes room.
#[derive(Debug)]
pub struct Queue<E> {
    bounds: QueueBounds,
    waiting: Mutex<Waiting<E>>,
    arrived: Notify,
    delivered: AtomicU64,
    dropped: AtomicU64,
    given_up: AtomicU64,
    failed_requests: AtomicU64,
}

#[derive(Debug)]
struct Waiting<E> {
    events: VecDeque<(E, usize)>,
    bytes: usize,
}

/// What became of events so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Waiting now.
    pub waiting: usize,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Dropped because the receiver did not take them for too long, or the process ended.
    pub given_up: u64,
    /// Requests that failed; each is tried again.
    pub failed_requests: u64,
}

impl<E> Queue<E> {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: QueueBounds) -> Self {
        Self {
            bounds,
            waiting: Mutex::new(Waiting { events: VecDeque::new(), bytes: 0 }),
            arrived: Notify::new(),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            failed_requests: AtomicU64::new(0),
        }
    }

    /// Adds an event of so many bytes. Quick, and never blocks.
    pub fn offer(&self, event: E, bytes: usize) {
        let mut waiting = self.waiting.lock();
        let mut dropped = 0;
        while waiting.events.len() >= self.bounds.events || waiting.bytes + bytes > self.bounds.bytes {
            let Some((_, oldest)) = waiting.events.pop_front() else { break };
            waiting.bytes -= oldest;
            dropped += 1;
        }
        // One that is too large alone is not taken either.
        if bytes > self.bounds.bytes {
            dropped += 1;
        } else {
            waiting.bytes += bytes;
            waiting.events.push_back((event, bytes));
        }
        drop(waiting);
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }

    /// The next events, oldest first, at most so many; empty if none wait.
    pub fn take(&self, most: usize) -> Vec<E> {
        let mut waiting = self.waiting.lock();
        let count = waiting.events.len().min(most);
        let taken: Vec<(E, usize)> = waiting.events.drain(..count).collect();
        waiting.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        taken.into_iter().map(|(event, _)| event).collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.lock().events.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of events.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            waiting: self.len(),
            delivered: read(&self.delivered),
            dropped: read(&self.dropped),
            given_up: read(&self.given_up),
            failed_requests: read(&self.failed_requests),
        }
    }

    /// Resolves when at least so many wait.
    pub(super) async fn has(&self, count: usize) {
        loop {
            let arrived = self.arrived.notified();
            if self.len() >= count {
                return;
            }
            arrived.await;
        }
    }

    pub(super) fn count_delivered(&self, events: usize) {
        self.delivered.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(super) fn count_given_up(&self, events: usize) {
        self.given_up.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(super) fn count_failed_request(&self) {
        self.failed_requests.fetch_add(1, Ordering::Relaxed);
    }
}
