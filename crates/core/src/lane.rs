//! Fan-out lanes: a few tasks, one per core, that write for many sessions per wake-up.
//!
//! A task per subscriber costs a wake-up per subscriber and message. A lane takes all messages that wait,
//! works out each session's run of them, and lets the session's [`Peer`] write the run in one call.
//! Sessions with the same run share the joined bytes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::Notify;

pub use self::run::Run;
use crate::{
    message::{Connector, Message},
    monitor::Monitor,
    peer::{Grant, Peer},
    session::SessionId,
    stats::Stats,
};

mod desk;
mod run;

/// Messages handled per pass: bounds a run, and so how much one session may write before the next has its turn.
const PASS: usize = 256;
/// Subscribers of a message to whom one core writes sooner than another is woken.
const FEW: usize = 32;
/// Waiting messages past which publishers are held back.
const HIGH_WATER: usize = 16 * 1024;

/// One session's place in a channel's matched set.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) session: SessionId,
    pub(crate) connector: Connector,
    pub(crate) slot: u32,
    pub(crate) peer: Arc<dyn Peer>,
    pub(crate) grant: Grant,
}

/// The sessions of one lane that take a channel.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    list: Vec<Target>,
    /// Whether anyone of them does not take its own publications.
    any_no_local: bool,
    per_connector: SmallVec<[(Connector, u64); 4]>,
}

impl Targets {
    pub(crate) fn new(list: Vec<Target>) -> Self {
        let mut per_connector: SmallVec<[(Connector, u64); 4]> = SmallVec::new();
        for target in &list {
            match per_connector.iter_mut().find(|(connector, _)| *connector == target.connector) {
                Some((_, count)) => *count += 1,
                None => per_connector.push((target.connector, 1)),
            }
        }
        let any_no_local = list.iter().any(|target| target.grant.no_local);
        Self { list, any_no_local, per_connector }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: Arc<Message>,
    pub(crate) targets: Arc<Targets>,
}

#[derive(Debug)]
enum Item {
    Deliver(Entry),
    /// A session has ended: its slot may be used again once every earlier message is through.
    Free(u32),
}

/// The inbox of a lane, filled by publishers.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    inbox: Mutex<Vec<Item>>,
    slots: Mutex<Slab<()>>,
    waiting: AtomicUsize,
    /// Whether the lane will look into its inbox without being woken.
    awake: AtomicBool,
    arrived: Notify,
    drained: Notify,
    closed: AtomicBool,
}

impl Lane {
    /// Adds one message. The caller holds the sequencer, so that every lane sees positions in order.
    pub(crate) fn push(&self, entry: Entry) {
        self.inbox.lock().push(Item::Deliver(entry));
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Wakes the lane; called outside the sequencer.
    pub(crate) fn wake(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            self.arrived.notify_one();
        }
    }

    /// Wakes those of the lanes into which a message for so many was put. To wake another core takes longer than to write to a
    /// few: then only the first is woken, unless it has more to do, and wakes the next when it is done.
    pub(crate) fn wake_all<'a>(lanes: impl Iterator<Item = &'a Arc<Self>>, targets: usize) {
        for lane in lanes {
            lane.wake();
            if targets <= FEW && lane.waiting() <= 1 {
                return;
            }
        }
    }

    /// Wakes one that nobody has woken for what it was given.
    fn wake_next(lanes: &[Arc<Self>]) {
        let asleep = |lane: &&Arc<Self>| lane.waiting() > 0 && !lane.awake.load(Ordering::SeqCst);
        if let Some(lane) = lanes.iter().find(asleep) {
            lane.wake();
        }
    }

    pub(crate) fn take_slot(&self) -> u32 {
        u32::try_from(self.slots.lock().insert(())).unwrap_or(u32::MAX)
    }

    pub(crate) fn free_slot(&self, slot: u32) {
        self.inbox.lock().push(Item::Free(slot));
        self.wake();
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= HIGH_WATER
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until the lane has caught up enough to take more.
    pub(crate) async fn caught_up(&self) {
        loop {
            let drained = self.drained.notified();
            if !self.is_behind() || self.closed.load(Ordering::Relaxed) {
                return;
            }
            drained.await;
        }
    }

    /// Ends [`Lane::run`] once the inbox is empty.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
        self.drained.notify_waiters();
    }

    /// Serves the inbox until the lane is closed. `lanes` are all that there are, see [`Lane::wake_all`].
    pub(crate) async fn run(self: Arc<Self>, lanes: Vec<Arc<Self>>, stats: Arc<Stats>, monitor: Monitor) {
        let mut batch = Vec::new();
        let mut desk = desk::Desk::default();
        loop {
            std::mem::swap(&mut batch, &mut *self.inbox.lock());
            if batch.is_empty() {
                if self.closed.load(Ordering::Relaxed) {
                    return;
                }
                self.awake.store(false, Ordering::SeqCst);
                // What came before that has woken nobody.
                if self.inbox.lock().is_empty() && !self.closed.load(Ordering::SeqCst) {
                    Self::wake_next(&lanes);
                    self.arrived.notified().await;
                }
                self.awake.store(true, Ordering::SeqCst);
                continue;
            }
            for pass in batch.chunks(PASS) {
                desk.serve(pass, &stats, &monitor).await;
                let freed = pass.iter().filter_map(|item| if let Item::Free(slot) = item { Some(*slot) } else { None });
                let delivered = pass.len() - self.give_back(freed);
                self.waiting.fetch_sub(delivered, Ordering::Relaxed);
                self.drained.notify_waiters();
                Self::wake_next(&lanes);
            }
            batch.clear();
            batch.shrink_to(4 * PASS);
        }
    }

    fn give_back(&self, freed: impl Iterator<Item = u32>) -> usize {
        let mut count = 0;
        for slot in freed {
            self.slots.lock().try_remove(slot as usize);
            count += 1;
        }
        count
    }
}
