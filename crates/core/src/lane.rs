//! Fan-out lanes: a few tasks, one per core, that write for many sessions per wake-up.
//!
//! A task per subscriber costs a wake-up per subscriber and message. A lane takes all messages that wait,
//! works out each session's run of them, and lets the session's [`Peer`] write the run in one call.
//! Sessions with the same run share the joined bytes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::{
    message::{Connector, Form, Message},
    monitor::Monitor,
    peer::{Delivered, Encode, Frames, Grant, Peer},
    session::SessionId,
    stats::Stats,
};

/// Messages handled per pass: bounds a run, and so how much one session may write before the next has its turn.
const PASS: usize = 256;
/// Sessions served before other tasks of the same thread may run.
const SERVED_PER_YIELD: usize = 256;
/// Joined runs above this are written frame by frame instead of copied.
const JOIN_LIMIT: usize = 64 << 10;
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
        self.arrived.notify_one();
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
        self.closed.store(true, Ordering::Relaxed);
        self.wake();
        self.drained.notify_waiters();
    }

    /// Serves the inbox until the lane is closed.
    pub(crate) async fn run(self: Arc<Self>, stats: Arc<Stats>, monitor: Monitor) {
        let mut batch = Vec::new();
        let mut desk = Desk::default();
        loop {
            std::mem::swap(&mut batch, &mut *self.inbox.lock());
            if batch.is_empty() {
                if self.closed.load(Ordering::Relaxed) {
                    return;
                }
                self.arrived.notified().await;
                continue;
            }
            for pass in batch.chunks(PASS) {
                desk.serve(pass, &stats, &monitor).await;
                let freed = pass.iter().filter_map(|item| if let Item::Free(slot) = item { Some(*slot) } else { None });
                let delivered = pass.len() - self.give_back(freed);
                self.waiting.fetch_sub(delivered, Ordering::Relaxed);
                self.drained.notify_waiters();
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

/// Which message of the pass, and which target of its set.
#[derive(Debug, Clone, Copy)]
struct Pick {
    entry: u32,
    target: u32,
}

/// A lane's working memory.
#[derive(Default)]
struct Desk {
    /// By slot: what the session gets in this pass.
    runs: Vec<Vec<Pick>>,
    touched: Vec<u32>,
    joins: Joins,
    sums: [Delivered64; Connector::MAX],
    served: usize,
}

#[derive(Clone, Copy, Default)]
struct Delivered64 {
    messages: u64,
    bytes: u64,
}

impl Desk {
    async fn serve(&mut self, pass: &[Item], stats: &Stats, monitor: &Monitor) {
        let entries: SmallVec<[&Entry; 32]> =
            pass.iter().filter_map(|item| if let Item::Deliver(entry) = item { Some(entry) } else { None }).collect();
        let Some(first) = entries.first() else { return };
        self.joins.clear();
        let uniform = !first.targets.any_no_local && entries.iter().all(|e| Arc::ptr_eq(&e.targets, &first.targets));
        if uniform {
            self.serve_uniform(&entries, &first.targets).await;
        } else {
            self.serve_mixed(&entries).await;
        }
        self.report(&entries, stats, monitor);
    }

    /// All messages go to the same set: every session's run is the whole pass.
    async fn serve_uniform(&mut self, entries: &[&Entry], targets: &Targets) {
        for target in &targets.list {
            let picks = Picks::All(&target.grant);
            let done = target.peer.deliver(&mut Run { entries, picks, joins: &mut self.joins });
            self.count(target.connector, done).await;
        }
    }

    async fn serve_mixed(&mut self, entries: &[&Entry]) {
        self.plan(entries);
        let touched = std::mem::take(&mut self.touched);
        for slot in &touched {
            let Some(mut picks) = self.runs.get_mut(*slot as usize).map(std::mem::take) else {
                continue;
            };
            if let Some(target) = picks.first().and_then(|pick| target_of(entries, *pick)) {
                let run = &mut Run { entries, picks: Picks::Some(&picks), joins: &mut self.joins };
                let done = target.peer.deliver(run);
                self.count(target.connector, done).await;
            }
            picks.clear();
            picks.shrink_to(64);
            if let Some(place) = self.runs.get_mut(*slot as usize) {
                *place = picks;
            }
        }
        self.touched = touched;
        self.touched.clear();
    }

    fn plan(&mut self, entries: &[&Entry]) {
        for (entry, at) in entries.iter().zip(0..) {
            for (target, index) in entry.targets.list.iter().zip(0..) {
                if target.grant.no_local && entry.message.origin.session == Some(target.session) {
                    continue;
                }
                let slot = target.slot as usize;
                if slot >= self.runs.len() {
                    self.runs.resize_with(slot + 1, Vec::new);
                }
                let Some(run) = self.runs.get_mut(slot) else {
                    continue;
                };
                if run.is_empty() {
                    self.touched.push(target.slot);
                }
                run.push(Pick { entry: at, target: index });
            }
        }
    }

    async fn count(&mut self, connector: Connector, done: Delivered) {
        if let Some(sum) = self.sums.get_mut(connector.index()) {
            sum.messages += u64::from(done.messages);
            sum.bytes += done.bytes;
        }
        self.served += 1;
        if self.served >= SERVED_PER_YIELD {
            self.served = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Counts once per pass instead of once per delivery. The latency of a pass is that of its last write.
    fn report(&mut self, entries: &[&Entry], stats: &Stats, monitor: &Monitor) {
        let now = Instant::now();
        for (connector, sum) in Connector::all().zip(&mut self.sums) {
            stats.delivered(connector, sum.messages, sum.bytes);
            *sum = Delivered64::default();
        }
        for entry in entries {
            let took = now.saturating_duration_since(entry.message.arrived);
            for (to, count) in &entry.targets.per_connector {
                stats.latency(entry.message.origin.connector, *to, took, *count);
            }
            if entry.message.span().is_some() {
                for (connector, deliveries) in &entry.targets.per_connector {
                    monitor.traced(&entry.message, *connector, *deliveries);
                }
            }
            if monitor.wants_messages() {
                for target in &entry.targets.list {
                    monitor.delivered(&entry.message, target.connector);
                }
            }
        }
    }
}

fn target_of<'a>(entries: &[&'a Entry], pick: Pick) -> Option<&'a Target> {
    entries.get(pick.entry as usize)?.targets.list.get(pick.target as usize)
}

#[derive(Clone, Copy)]
enum Picks<'a> {
    /// Every message of the pass, under one grant.
    All(&'a Grant),
    Some(&'a [Pick]),
    /// Some messages of the pass, under one grant.
    Few(&'a Grant, &'a [u32]),
}

/// The messages of one pass for one session, in order.
pub struct Run<'a> {
    entries: &'a [&'a Entry],
    picks: Picks<'a>,
    joins: &'a mut Joins,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    /// How many messages; never zero.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.picks {
            Picks::All(_) => self.entries.len(),
            Picks::Some(picks) => picks.len(),
            Picks::Few(_, entries) => entries.len(),
        }
    }

    /// A run always holds a message; here for the lint that expects it beside `len`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages, each with how this session takes it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Arc<Message>, &'a Grant)> + use<'a> {
        let (entries, picks) = (self.entries, self.picks);
        (0..self.len()).filter_map(move |at| match picks {
            Picks::All(grant) => Some((&entries.get(at)?.message, grant)),
            Picks::Some(picks) => {
                let pick = *picks.get(at)?;
                let target = target_of(entries, pick)?;
                Some((&entries.get(pick.entry as usize)?.message, &target.grant))
            }
            Picks::Few(grant, few) => Some((&entries.get(*few.get(at)? as usize)?.message, grant)),
        })
    }

    /// Hands `then` the part of the run that `keep` accepts; `None` if that is nothing. Sessions with the same part
    /// share its bytes, as with a whole run.
    pub fn narrow<R>(&mut self, keep: impl Fn(&Message) -> bool, then: impl FnOnce(&mut Run<'_>) -> R) -> Option<R> {
        let kept: SmallVec<[bool; 32]> = self.iter().map(|(message, _)| keep(message)).collect();
        let count = kept.iter().filter(|kept| **kept).count();
        if count == 0 {
            return None;
        }
        if count == kept.len() {
            return Some(then(self));
        }
        let (entries, joins) = (self.entries, &mut *self.joins);
        match self.picks {
            Picks::All(grant) => {
                let few: SmallVec<[u32; 32]> = (0..).zip(&kept).filter(|(_, kept)| **kept).map(|(at, _)| at).collect();
                Some(then(&mut Run { entries, picks: Picks::Few(grant, &few), joins }))
            }
            Picks::Some(picks) => {
                let few: SmallVec<[Pick; 32]> =
                    picks.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(pick, _)| *pick).collect();
                Some(then(&mut Run { entries, picks: Picks::Some(&few), joins }))
            }
            Picks::Few(grant, picks) => {
                let few: SmallVec<[u32; 32]> =
                    picks.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(at, _)| *at).collect();
                Some(then(&mut Run { entries, picks: Picks::Few(grant, &few), joins }))
            }
        }
    }

    pub(crate) fn join(&mut self, form: Form, encode: Encode<'_>) -> Frames {
        let mut messages = self.iter().map(|(message, _)| message);
        if let (Some(only), None) = (messages.next(), messages.next()) {
            return Frames::Joined(only.form(form, |message| encode(message)));
        }
        let which: SmallVec<[u32; 32]> = match self.picks {
            Picks::All(_) => SmallVec::new(),
            Picks::Some(picks) => picks.iter().map(|pick| pick.entry).collect(),
            Picks::Few(_, entries) => entries.iter().copied().collect(),
        };
        if let Some(known) = self.joins.get(form, &which) {
            return Frames::Joined(known);
        }
        let frames: Vec<Bytes> = self.iter().map(|(message, _)| message.form(form, |m| encode(m))).collect();
        let total: usize = frames.iter().map(Bytes::len).sum();
        if total > JOIN_LIMIT {
            return Frames::Each(frames);
        }
        let mut joined = BytesMut::with_capacity(total);
        frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        Frames::Joined(self.joins.keep(form, which, joined.freeze()))
    }
}

type Which = SmallVec<[u32; 32]>;

/// The joined bytes of this pass's runs.
#[derive(Default)]
struct Joins {
    /// Of the whole pass: one entry per form, so a search is quicker than a hash.
    whole: SmallVec<[(Form, Bytes); 4]>,
    parts: HashMap<(Form, Which), Bytes>,
}

impl Joins {
    fn clear(&mut self) {
        self.whole.clear();
        self.parts.clear();
    }

    /// The empty list of picks stands for the whole pass. The key is rebuilt in inline storage: a run of up
    /// to 32 messages allocates nothing.
    fn get(&self, form: Form, which: &Which) -> Option<Bytes> {
        if which.is_empty() {
            return self.whole.iter().find(|(known, _)| *known == form).map(|(_, joined)| joined.clone());
        }
        self.parts.get(&(form, which.clone())).cloned()
    }

    fn keep(&mut self, form: Form, which: Which, joined: Bytes) -> Bytes {
        if which.is_empty() {
            self.whole.push((form, joined.clone()));
        } else {
            self.parts.insert((form, which), joined.clone());
        }
        joined
    }
}
