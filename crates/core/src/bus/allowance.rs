//! What publishers may add to memory until somebody has looked at it again.
//!
//! Memory is looked at now and then, and a fan-out to many who do not read fills it faster than that. So every publication is
//! reckoned at what it may take at most, and whoever finds nothing left waits for the next look.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

use super::Bus;

/// What a place in a queue takes, whatever the message.
pub(super) const PLACE: usize = 64;
/// What a message takes beside its payload: its names, its wire forms.
const MESSAGE: usize = 512;
/// Stands for no bound.
const ANY: i64 = i64::MAX;

#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicI64,
    spent: Notify,
    granted: Notify,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: AtomicI64::new(ANY), spent: Notify::new(), granted: Notify::new() }
    }
}

impl Allowance {
    /// Whether publications have to be reckoned at all.
    pub(super) fn is_bounded(&self) -> bool {
        self.left.load(Ordering::Relaxed) != ANY
    }

    pub(super) fn spend(&self, payload: usize, places: usize) {
        let weight = payload.saturating_add(MESSAGE).saturating_add(places.saturating_mul(PLACE));
        let weight = i64::try_from(weight).unwrap_or(i64::MAX / 2);
        let before = self.left.fetch_sub(weight, Ordering::Relaxed);
        if before > 0 && before <= weight {
            self.spent.notify_one();
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) <= 0
    }

    pub(super) async fn granted(&self) {
        loop {
            let granted = self.granted.notified();
            if !self.is_spent() {
                return;
            }
            granted.await;
        }
    }
}

impl Bus {
    /// Lets publications take so many bytes of memory from now on; `None` is without a bound. Those who find nothing left wait in
    /// [`Bus::admission`].
    pub fn allow(&self, bytes: Option<usize>) {
        let allowance = &self.0.allowance;
        let left = bytes.map_or(ANY, |bytes| i64::try_from(bytes).unwrap_or(ANY));
        allowance.left.store(left, Ordering::Relaxed);
        if left > 0 {
            allowance.granted.notify_waiters();
        }
    }

    /// Waits until what was allowed is spent.
    pub async fn allowance_spent(&self) {
        self.0.allowance.spent.notified().await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::{Channel, Connector, Origin, Publication};

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[tokio::test]
    async fn publishers_wait_when_their_allowance_is_spent_and_go_on_with_another() {
        let bus = Bus::in_memory();
        let publish = |bytes: usize| {
            let channel = Channel::new("a").unwrap();
            bus.publish(Publication::new(channel, vec![0; bytes], Origin::connector(Connector::GATEWAY))).unwrap();
        };
        bus.allow(Some(10_000));
        publish(4000);
        assert!(is_ready(bus.admission()));
        assert!(!is_ready(bus.allowance_spent()));
        publish(8000);
        assert!(is_ready(bus.allowance_spent()), "somebody is told to look");
        let waiting = tokio::spawn({
            let bus = bus.clone();
            async move { bus.admission().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        bus.allow(Some(1));
        waiting.await.unwrap();
        publish(1);
        assert!(!is_ready(bus.admission()));
        bus.allow(None);
        publish(1 << 20);
        assert!(is_ready(bus.admission()));
    }
}
