//! What a token has opened ends with it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Ends that are carried out before other tasks may run.
const PASS: usize = 256;

/// When, and which of those.
type Key = (u64, u64);
type End = Box<dyn FnOnce() + Send>;

/// The ends to come, in order. One task waits for all of them.
#[derive(Default)]
pub(super) struct Expiry {
    ends: Mutex<BTreeMap<Key, End>>,
    numbers: AtomicU64,
    earlier: Notify,
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiry").field("waiting", &self.ends.lock().len()).finish_non_exhaustive()
    }
}

/// An end to come. Dropping it calls it off: a session that has ended by itself leaves nothing behind.
#[derive(Debug)]
pub struct Watch {
    expiry: Arc<Expiry>,
    key: Key,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let end = self.expiry.ends.lock().remove(&self.key);
        drop(end); // after the lock: it may own what has a watch itself
    }
}

impl Expiry {
    /// Calls `end` at a time, in Unix seconds, unless the watch is dropped before.
    pub(super) fn at(self: &Arc<Self>, seconds: u64, end: impl FnOnce() + Send + 'static) -> Watch {
        let key = (seconds, self.numbers.fetch_add(1, Ordering::Relaxed));
        let mut ends = self.ends.lock();
        let is_first = ends.first_key_value().is_none_or(|(first, _)| key < *first);
        ends.insert(key, Box::new(end));
        drop(ends);
        if is_first {
            self.earlier.notify_one();
        }
        Watch { expiry: self.clone(), key }
    }

    /// Carries the ends out, for ever.
    pub(super) async fn run(&self) {
        loop {
            let next = self.ends.lock().first_key_value().map(|(key, _)| key.0);
            let due = async {
                match next {
                    Some(seconds) => tokio::time::sleep(until(seconds)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.earlier.notified() => continue,
            }
            while self.pass() == PASS {
                tokio::task::yield_now().await;
            }
        }
    }

    fn pass(&self) -> usize {
        let now = super::rights::now();
        let mut due = Vec::new();
        let mut ends = self.ends.lock();
        while due.len() < PASS && ends.first_key_value().is_some_and(|(key, _)| key.0 <= now) {
            due.extend(ends.pop_first().map(|(_, end)| end));
        }
        drop(ends);
        let count = due.len();
        due.into_iter().for_each(|end| end());
        count
    }
}

/// How long it is until a time. The wall clock may be set; a token's time is read from it all the same.
fn until(seconds: u64) -> Duration {
    let at = UNIX_EPOCH + Duration::from_secs(seconds);
    // Not for ever: a clock that is set forward is noticed.
    at.duration_since(std::time::SystemTime::now()).unwrap_or_default().min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test]
    async fn ends_come_in_order_and_can_be_called_off() {
        let expiry = Arc::new(Expiry::default());
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let end = |name: &'static str| {
            let sender = sender.clone();
            move || sender.try_send(name).unwrap()
        };
        let late = expiry.at(2, end("late"));
        let off = expiry.at(1, end("off"));
        let early = expiry.at(1, end("early"));
        let never = expiry.at(u64::MAX / 4, end("never"));
        drop(off);
        tokio::select! {
            () = expiry.run() => unreachable!(),
            () = async {
                assert_eq!(receiver.recv().await, Some("early"));
                assert_eq!(receiver.recv().await, Some("late"));
            } => {}
        }
        assert_eq!(expiry.ends.lock().len(), 1);
        drop((late, early, never));
        assert!(expiry.ends.lock().is_empty());
    }
}
