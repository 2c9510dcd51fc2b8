//! One pass of a lane: who gets what, and the counting of it.

use std::{sync::Arc, time::Instant};

use smallvec::SmallVec;

use super::{
    Entry, Item, Targets,
    run::{Joins, Pick, Picks, Run, target_of},
};
use crate::{message::Connector, monitor::Monitor, peer::Delivered, session::SessionId, stats::Stats};

/// Sessions served before other tasks of the same thread may run.
const SERVED_PER_YIELD: usize = 256;

/// A lane's working memory.
#[derive(Default)]
pub(super) struct Desk {
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
    pub(super) async fn serve(&mut self, pass: &[Item], stats: &Stats, monitor: &Monitor) {
        let entries: SmallVec<[&Entry; 32]> =
            pass.iter().filter_map(|item| if let Item::Deliver(entry) = item { Some(entry) } else { None }).collect();
        let Some(first) = entries.first() else { return };
        self.joins.clear();
        if entries.iter().all(|entry| Arc::ptr_eq(&entry.targets, &first.targets)) {
            self.serve_uniform(&entries, &first.targets).await;
        } else {
            self.serve_mixed(&entries).await;
        }
        self.report(&entries, stats, monitor);
    }

    /// All messages go to the same set: every session's run is the whole pass, but for those who published some of it and
    /// do not take their own.
    async fn serve_uniform(&mut self, entries: &[&Entry], targets: &Targets) {
        let publishers = if targets.any_no_local { publishers(entries) } else { Publishers::new() };
        for target in &targets.list {
            let others: SmallVec<[u32; 32]>;
            let picks = if target.grant.no_local && publishers.binary_search(&target.session).is_ok() {
                others = not_of(target.session, entries);
                if others.is_empty() {
                    continue;
                }
                Picks::Few(&target.grant, &others)
            } else {
                Picks::All(&target.grant)
            };
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

/// Sessions that published something of a pass, each once, in order.
type Publishers = SmallVec<[SessionId; 8]>;

fn publishers(entries: &[&Entry]) -> Publishers {
    let mut publishers: Publishers = entries.iter().filter_map(|entry| entry.message.origin.session).collect();
    publishers.sort_unstable();
    publishers.dedup();
    publishers
}

/// The messages of a pass that others published.
fn not_of(session: SessionId, entries: &[&Entry]) -> SmallVec<[u32; 32]> {
    let others = (0..).zip(entries).filter(|(_, entry)| entry.message.origin.session != Some(session));
    others.map(|(at, _)| at).collect()
}
