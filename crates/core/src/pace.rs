//! Channels that carry only so many messages a second: of those that come faster, the latest wins.
//!
//! A message waits before it gets its position, so that order, history and cursors are what they are everywhere else.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::{bus::Bus, channel::Channel, message::Publication};

/// Channels that are paced at a time; a message on one more goes at once.
const MOST: usize = 65_536;

/// One channel.
#[derive(Debug)]
struct Paced {
    gap: Duration,
    /// The latest, and the latest retained one, in order of arrival.
    waiting: SmallVec<[Waiting; 1]>,
}

/// What waits, and since when.
#[derive(Debug)]
struct Waiting {
    publication: Publication,
    since: Instant,
}

impl Waiting {
    /// As it goes now: the wait is part of its life. It may have none left.
    fn leave(mut self, now: Instant) -> Publication {
        let waited = now.saturating_duration_since(self.since);
        self.publication.expiry = self.publication.expiry.map(|left| left.saturating_sub(waited));
        self.publication
    }
}

/// What is to become of a publication.
#[derive(Debug)]
pub(crate) enum Paces {
    /// It goes now.
    Now(Publication),
    /// It waits, perhaps in the place of an earlier one.
    Later {
        /// The one that will never go.
        replaced: Option<Publication>,
    },
}

/// All channels that had a message a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    state: Mutex<State>,
    changed: Notify,
    closed: AtomicBool,
    /// How many wait, on all channels.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Channel, Paced>,
    /// When each of the channels has its turn: once for each.
    turns: BinaryHeap<Reverse<(Instant, Channel)>>,
}

impl Pacing {
    /// A publication to a channel whose messages are at least this far apart.
    pub(crate) fn offer(&self, publication: Publication, gap: Duration, now: Instant) -> Paces {
        let mut state = self.state.lock();
        let Some(paced) = state.channels.get_mut(&publication.channel) else {
            if state.channels.len() < MOST && !self.closed.load(Ordering::Relaxed) {
                let channel = publication.channel.clone();
                state.channels.insert(channel.clone(), Paced { gap, waiting: SmallVec::new() });
                let is_first = state.turns.peek().is_none_or(|Reverse((turn, _))| now + gap < *turn);
                state.turns.push(Reverse((now + gap, channel)));
                if is_first {
                    self.changed.notify_one();
                }
            }
            return Paces::Now(publication);
        };
        paced.gap = gap;
        // What new subscribers are to be shown is not lost for a message that is not kept.
        let same = paced.waiting.iter().position(|waiting| waiting.publication.retain == publication.retain);
        let replaced = same.map(|at| paced.waiting.remove(at).publication);
        paced.waiting.push(Waiting { publication, since: now });
        self.waiting.fetch_add(usize::from(replaced.is_none()), Ordering::Relaxed);
        Paces::Later { replaced }
    }

    /// What waits on a channel that other rules do not pace any more: it goes before what comes after it.
    pub(crate) fn overtaken(&self, channel: &Channel) -> Vec<Publication> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let waiting = self.state.lock().channels.get_mut(channel).map(|paced| std::mem::take(&mut paced.waiting));
        self.take(waiting.into_iter().flatten())
    }

    fn take(&self, waiting: impl IntoIterator<Item = Waiting>) -> Vec<Publication> {
        let now = Instant::now();
        let going: Vec<Publication> = waiting.into_iter().map(|waiting| waiting.leave(now)).collect();
        self.waiting.fetch_sub(going.len(), Ordering::Relaxed);
        going
    }

    /// What goes now, and when to ask again. A channel where nothing waits at its turn is forgotten.
    fn due(&self, now: Instant) -> (Vec<Publication>, Option<Instant>) {
        let mut going = Vec::new();
        let mut state = self.state.lock();
        let State { channels, turns } = &mut *state;
        while turns.peek().is_some_and(|Reverse((turn, _))| *turn <= now) {
            let Some(Reverse((_, channel))) = turns.pop() else { break };
            let Some(paced) = channels.get_mut(&channel) else { continue };
            if paced.waiting.is_empty() {
                channels.remove(&channel);
            } else {
                going.push(paced.waiting.remove(0).leave(now));
                turns.push(Reverse((now + paced.gap, channel)));
            }
        }
        self.waiting.fetch_sub(going.len(), Ordering::Relaxed);
        let next = turns.peek().map(|Reverse((turn, _))| *turn);
        (going, next)
    }

    /// All that waits; nothing waits any more from now on.
    pub(crate) fn close(&self) -> Vec<Publication> {
        self.closed.store(true, Ordering::Relaxed);
        let state = std::mem::take(&mut *self.state.lock());
        self.changed.notify_one();
        self.take(state.channels.into_values().flat_map(|paced| paced.waiting))
    }
}

/// Publishes what waits, each at its time, until the bus is closed.
pub(crate) async fn run(bus: Bus) {
    let pacing = bus.pacing();
    loop {
        let changed = pacing.changed.notified();
        if pacing.closed.load(Ordering::Relaxed) {
            return;
        }
        let (going, next) = pacing.due(Instant::now());
        for publication in going {
            bus.publish_now(publication);
        }
        match next {
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = changed => {}
            },
            None => changed.await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::message::Origin;

    fn publication(payload: &str) -> Publication {
        Publication::new(Channel::new("a").unwrap(), payload.to_owned(), Origin::gateway())
    }

    fn payloads(publications: &[Publication]) -> Vec<&[u8]> {
        publications.iter().map(|publication| &publication.payload[..]).collect()
    }

    #[test]
    fn the_latest_wins_and_what_is_retained_is_not_lost() {
        let (pacing, start, gap) = (Pacing::default(), Instant::now(), Duration::from_secs(1));
        assert!(matches!(pacing.offer(publication("1"), gap, start), Paces::Now(_)));
        assert!(matches!(pacing.offer(publication("2").retained(true), gap, start), Paces::Later { replaced: None }));
        assert!(matches!(pacing.offer(publication("3"), gap, start), Paces::Later { replaced: None }));
        assert!(matches!(pacing.offer(publication("4"), gap, start), Paces::Later { replaced: Some(_) }));
        assert_eq!(pacing.due(start).0.len(), 0);
        let (going, next) = pacing.due(start + gap);
        assert_eq!((payloads(&going), next), (vec![&b"2"[..]], Some(start + 2 * gap)));
        let (going, next) = pacing.due(start + 2 * gap);
        assert_eq!((payloads(&going), next), (vec![&b"4"[..]], Some(start + 3 * gap)));
        // A channel that has been quiet is forgotten.
        assert!(pacing.due(start + 3 * gap).0.is_empty());
        assert!(pacing.state.lock().channels.is_empty());
        assert!(matches!(pacing.offer(publication("5"), gap, start + 4 * gap), Paces::Now(_)));
        pacing.offer(publication("6"), gap, start + 4 * gap);
        assert_eq!(payloads(&pacing.overtaken(&Channel::new("a").unwrap())), [b"6"]);
        pacing.offer(publication("7"), gap, start + 4 * gap);
        assert_eq!(payloads(&pacing.close()), [b"7"]);
        assert!(pacing.overtaken(&Channel::new("a").unwrap()).is_empty());
        assert!(matches!(pacing.offer(publication("8"), gap, start + 4 * gap), Paces::Now(_)));
        assert!(matches!(pacing.offer(publication("9"), gap, start + 4 * gap), Paces::Now(_)));
    }

    #[test]
    fn waiting_is_part_of_a_messages_life() {
        let (pacing, start, gap) = (Pacing::default(), Instant::now(), Duration::from_secs(5));
        let short = Publication { expiry: Some(Duration::from_secs(6)), ..publication("1") };
        pacing.offer(short.clone(), gap, start);
        pacing.offer(short, gap, start);
        let (going, _) = pacing.due(start + gap);
        assert_eq!(going.first().unwrap().expiry, Some(Duration::from_secs(1)));
    }
}
